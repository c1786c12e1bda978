"""REML of one gene against a dense computation, and against the truth over replicates."""

from __future__ import annotations

import numpy as np
import pytest
from analysis_windows import effects, window
from scipy import stats
from scipy.optimize import minimize

from analysis.reml import LARGEST_H2, reml

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Dense:
    """The restricted likelihood as textbooks write it, with n x n matrices."""

    def __init__(self, genotype: FloatArray, expression: FloatArray, intercept: bool) -> None:
        n, p = genotype.shape
        self.y, self.kinship = expression, genotype @ genotype.T / p
        self.mean = np.ones((n, int(intercept)))

    def projection(self, genetic: float, residual: float) -> tuple[FloatArray, float]:
        """P, and the log determinants of V and of 1' V^-1 1 / n."""
        covariance = genetic * self.kinship + residual * np.eye(len(self.y))
        sign, determinant = np.linalg.slogdet(covariance)
        if sign <= 0 or np.linalg.eigvalsh(covariance)[0] <= 0:
            raise ValueError
        inverse = np.linalg.inv(covariance)
        if not self.mean.shape[1]:
            return inverse, float(determinant)
        weight = self.mean.T @ inverse @ self.mean
        fixed = inverse @ self.mean @ np.linalg.solve(weight, self.mean.T @ inverse)
        return inverse - fixed, float(determinant + np.linalg.slogdet(weight / len(self.y))[1])

    def log_likelihood(self, genetic: float, residual: float) -> float:
        try:
            projection, determinant = self.projection(genetic, residual)
        except ValueError:
            return -np.inf
        n = len(self.y) - self.mean.shape[1]
        return -0.5 * (n * np.log(2 * np.pi) + determinant + float(self.y @ projection @ self.y))

    def maximum(self, *starts: tuple[float, float]) -> tuple[FloatArray, float]:
        fits = [
            minimize(
                lambda v: -self.log_likelihood(*v) if np.isfinite(self.log_likelihood(*v)) else 1e9,
                np.array(start),
                method="Nelder-Mead",
                options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 4000, "maxfev": 4000},
            )
            for start in starts
        ]
        best = min(fits, key=lambda fit: fit.fun)
        return best.x, -float(best.fun)

    def standard_error(self, genetic: float, residual: float) -> float:
        """GCTA's: average information 1/2 y' P V_i P V_j P y, delta method."""
        projection, _ = self.projection(genetic, residual)
        parts = [self.kinship, np.eye(len(self.y))]
        seen = [part @ projection @ self.y for part in parts]
        information = 0.5 * np.array([[a @ projection @ b for b in seen] for a in seen])
        slope = np.array([residual, -genetic]) / (genetic + residual) ** 2
        return float(np.sqrt(slope @ np.linalg.inv(information) @ slope))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("n", "p", "h2", "seed"), [(60, 20, 0.4, 1), (60, 20, 0.0, 4), (40, 70, 0.5, 3)])
def test_maximum_is_that_of_the_dense_likelihood(
    n: int, p: int, h2: float, seed: int, intercept: bool
) -> None:
    rng = np.random.default_rng(seed)
    genotype = window(rng, n, p) + 0.3  # not centred: the mean matters
    expression = genotype @ effects(rng, genotype, h2, None) + rng.normal(size=n) * np.sqrt(1 - h2)
    fitted = reml(genotype, expression, intercept=intercept)
    dense = Dense(genotype, expression, intercept)
    (genetic, residual), best = dense.maximum((0.3, 0.7), (0.02, 0.9), (-0.01, 1.0))
    assert fitted.log_likelihood == pytest.approx(best, abs=1e-8)
    assert fitted.h2 == pytest.approx(genetic / (genetic + residual), abs=1e-5)
    assert fitted.genetic == pytest.approx(genetic, abs=1e-5)
    assert fitted.residual == pytest.approx(residual, abs=1e-5)
    assert fitted.se == pytest.approx(dense.standard_error(fitted.genetic, fitted.residual), rel=1e-6)
    null = minimize(lambda v: -dense.log_likelihood(0.0, float(np.exp(v[0]))), np.zeros(1), tol=1e-12).fun
    ratio = 2 * (fitted.log_likelihood + float(null))
    assert fitted.p == pytest.approx(0.5 * stats.chi2.sf(ratio, 1) if fitted.h2 > 0 else 1.0, rel=1e-5)


def test_constraint_matters_only_where_the_maximum_is_outside() -> None:
    rng = np.random.default_rng(0)
    genotype = window(rng, 100, 30)
    below = 0
    for _ in range(20):
        expression = rng.normal(size=100)
        free, bound = (reml(genotype, expression, constrained=c) for c in (False, True))
        if free.h2 >= 0:
            assert bound.h2 == pytest.approx(free.h2, abs=1e-6)
            assert bound.p == pytest.approx(free.p, rel=1e-6)
        else:
            below += 1
            assert bound.h2 == 0
            assert bound.p == free.p == 1
            assert bound.genetic == 0
            assert bound.residual == pytest.approx(expression.var(ddof=1))
            assert bound.log_likelihood < free.log_likelihood
    assert 5 <= below <= 18


def test_scale_and_mean_of_expression() -> None:
    rng = np.random.default_rng(2)
    genotype = window(rng, 80, 15)
    expression = genotype @ effects(rng, genotype, 0.4, None) + rng.normal(size=80)
    one, other = reml(genotype, expression), reml(genotype, 100 - 3 * expression)
    for name in ("h2", "se", "p"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-6)
    assert other.genetic == pytest.approx(9 * one.genetic, rel=1e-6)


def test_no_maximum_is_nan() -> None:
    rng = np.random.default_rng(0)
    genotype = window(rng, 50, 5)
    exact = genotype @ rng.normal(size=5)
    for values in (exact, np.zeros(50), np.full(50, 3.0)):  # nothing left for e; nothing at all
        fitted = reml(genotype, values)
        assert not fitted.converged
        assert np.isnan([fitted.genetic, fitted.residual, fitted.se, fitted.p, fitted.log_likelihood]).all()
    assert reml(genotype, exact, constrained=True).h2 == pytest.approx(LARGEST_H2)
    assert not reml(np.zeros((50, 5)), rng.normal(size=50)).converged
    assert not reml(np.sqrt(50) * np.eye(50), rng.normal(size=50), intercept=False).converged  # K = I


def replicates(h2: float, n_people: int, n_variants: int, n: int, seed: int) -> FloatArray:
    """h2, its standard error, p, s2g and s2e (replicate, 5) of unconstrained fits, in 20 windows."""
    rng = np.random.default_rng(seed)
    windows = [window(rng, n_people, n_variants) for _ in range(20)]
    found = np.empty((n, 5))
    for number in range(n):
        genotype = windows[number % len(windows)]
        noise = rng.normal(size=n_people) * np.sqrt(1 - h2)
        fitted = reml(genotype, genotype @ effects(rng, genotype, h2, None) + noise)
        found[number] = fitted.h2, fitted.se, fitted.p, fitted.genetic, fitted.residual
    assert np.isfinite(found).all()
    return found


def check_unbiased(h2: float, found: FloatArray) -> None:
    """99% intervals of the mean estimates hold the true variances, and standard errors tell the spread.

    h2 is a ratio of unbiased estimates, and so itself a little too small.
    """
    intervals = []
    for name, estimate, truth in (
        ("s2g", found[:, 3], h2),
        ("s2e", found[:, 4], 1 - h2),
        ("h2", found[:, 0], h2),
    ):
        margin = 2.58 * estimate.std(ddof=1) / np.sqrt(len(found))
        intervals.append(f"{name} {truth:.2f}: mean {estimate.mean():.4f}, 99% interval +- {margin:.4f}")
        allowed = margin if name != "h2" else margin + 0.005
        assert abs(estimate.mean() - truth) < allowed, intervals[-1]
    spread, error = found[:, 0].std(ddof=1), found[:, 1].mean()
    print(*intervals, f"SD of h2 {spread:.4f}, mean SE {error:.4f}", sep="; ")
    if h2 > 0:  # at 0 the likelihood is not quadratic: few directions, a bound just below
        assert error == pytest.approx(spread, rel=0.15)


def check_null(p: FloatArray) -> None:
    """Below 1/2, p is uniform or, because K has few large eigenvalues, a little conservative."""
    for level in (0.01, 0.05, 0.1, 0.2, 0.4):
        share, error = (p <= level).mean(), np.sqrt(level * (1 - level) / len(p))
        print(f"p <= {level}: {share:.4f}")
        assert 0.75 * level - 2.58 * error < share < level + 2.58 * error
    assert 0.4 < (p == 1).mean() < 0.65


@pytest.mark.parametrize("h2", [0.0, 0.4])
def test_unconstrained_is_unbiased(h2: float) -> None:
    found = replicates(h2, 200, 50, 400, seed=1)
    check_unbiased(h2, found)
    if h2 == 0:
        check_null(found[:, 2])


@pytest.mark.slow
@pytest.mark.parametrize("h2", [0.0, 0.05, 0.1, 0.3, 0.6])
def test_unconstrained_is_unbiased_at_the_studys_size(h2: float) -> None:
    found = replicates(h2, 327, 120, 3000, seed=2)
    check_unbiased(h2, found)
    if h2 == 0:
        check_null(found[:, 2])
