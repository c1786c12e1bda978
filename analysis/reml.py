"""Variance components of one gene: how much of its expression the variants of its window explain together.

The model is expression = mean + g + e with g ~ N(0, s2g K), e ~ N(0, s2e I) and K = X X' / p for the p
standardised variants X. Turned into the eigenvectors of K, the people are independent, and the restricted
likelihood is a function of one number, which is searched over all of its range: there are no starting values,
and no iterations that wander off.

Sources: Patterson and Thompson 1971 (REML); Kang et al. 2008 (EMMA) and Lippert et al. 2011 (FaST-LMM), the
one-dimensional profile; Yang et al. 2011 (GCTA), standard errors by average information and the delta method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

NEARLY_ZERO = 1e-10  # eigenvalues below this share of the largest are rounding errors
LARGEST_H2 = 1 - 1e-6  # of a constrained fit: the variance of e stays above 0
SEARCHED = np.arange(-200, 201) / 8  # log of the ratio of the largest variance to the smallest


@dataclass(frozen=True)
class Spectrum:
    """Expression seen along the eigenvectors of K, the mean taken out: all that the likelihood depends on.

    A last eigenvalue 0 stands for all directions in which no variant varies.
    """

    values: FloatArray  # (direction,) eigenvalues of K
    squares: FloatArray  # (direction,) squared length of expression
    counts: FloatArray  # (direction,) dimensions


@dataclass(frozen=True)
class Reml:
    """Variance components of one gene; all NaN where there is no maximum to be found."""

    genetic: float  # s2g, in squared units of expression
    residual: float  # s2e
    h2: float  # s2g / (s2g + s2e)
    se: float  # standard error of h2
    log_likelihood: float  # restricted, natural logarithm, of the contrasts that leave the mean out
    p: float  # of s2g = 0 against s2g > 0

    @property
    def converged(self) -> bool:
        """Whether a maximum was found."""
        return math.isfinite(self.h2)


def reml(
    genotype: FloatArray, expression: FloatArray, *, constrained: bool = False, intercept: bool = True
) -> Reml:
    """Restricted maximum likelihood of one gene's variance components.

    Args:
        genotype: (individual, variant), standardised: then K has diagonal 1 on average, and h2 is the
            share of variance.
        expression: (individual,), residuals if there are covariates.
        constrained: keep h2 within 0 and 1 (``LARGEST_H2``). Otherwise h2 may be negative, as under GCTA's
            ``--reml-no-constrain``, as long as the covariance is positive definite: only so are s2g and s2e
            unbiased, and h2 but for being a ratio (at 327 people and 120 variants about 0.005 too small).
        intercept: fit a mean; False if expression is known to have mean 0.

    Returns:
        The maximum. The standard error is GCTA's. ``p`` is that of the likelihood ratio under half a
        point mass at 0 and half a chi-square of 1 degree of freedom (Self and Liang 1987), and 1 where h2 is
        not above 0. K has few large eigenvalues in a window, hence its null estimates are below 0 in somewhat
        more than half of the genes, and ``p`` is a little conservative.
    """
    return fit(spectrum_of(genotype, expression, intercept=intercept), constrained=constrained)


def spectrum_of(genotype: FloatArray, expression: FloatArray, *, intercept: bool = True) -> Spectrum:
    """Eigenvalues of K and expression along its eigenvectors, by a singular value decomposition of X.

    A mean is fitted by centring both: that is the restricted likelihood exactly, whatever the genotypes.
    """
    n, p = genotype.shape
    if intercept:
        genotype, expression = genotype - genotype.mean(axis=0), expression - expression.mean()
    vectors, singular, _ = np.linalg.svd(genotype, full_matrices=False)
    values = singular**2 / p
    kept = values > NEARLY_ZERO * max(values.max(initial=0.0), np.finfo(float).tiny)
    squares = (vectors[:, kept].T @ expression) ** 2
    n_rest = n - int(intercept) - int(kept.sum())
    if n_rest == 0:
        return Spectrum(values[kept], squares, np.ones(len(squares)))
    rest = max(0.0, float(expression @ expression - squares.sum()))
    return Spectrum(
        np.append(values[kept], 0.0), np.append(squares, rest), np.append(np.ones(len(squares)), n_rest)
    )


def fit(spectrum: Spectrum, *, constrained: bool = False) -> Reml:
    """The maximum of the restricted likelihood; options and result as of ``reml``.

    With a and b the variances along the smallest and the largest eigenvalue, the covariance is positive
    definite exactly if both are positive, so log(b / a) is free of bounds; it is 0 where h2 is. The likelihood
    may have a second maximum below 0, because expression happens to be short along one large eigenvector: h2 is
    negative only if no h2 above 0 is more likely than 0.
    """
    from scipy.optimize import minimize_scalar
    from scipy.stats import chi2

    d = spectrum.values
    low, high = d.min(initial=np.inf), d.max(initial=0.0)
    if not high - low > NEARLY_ZERO * high or not spectrum.squares.any():
        return _NOTHING  # g looks like e, or there is nothing to explain
    grid = SEARCHED
    if constrained:
        most = LARGEST_H2
        top = math.log((most * high + 1 - most) / (most * low + 1 - most))
        grid = np.append(SEARCHED[(SEARCHED >= 0) & (SEARCHED < top)], top)
    likelihood = _profile(spectrum, grid)
    null = int(np.searchsorted(grid, 0.0))
    best = null + int(np.argmax(likelihood[null:]))
    if best == null:
        best = int(np.argmax(likelihood[: null + 1]))
    if best in (0, len(grid) - 1) and not constrained:
        return _NOTHING
    refined = minimize_scalar(
        lambda x: -float(_profile(spectrum, np.array([x]))[0]),
        bounds=(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    log_ratio = float(refined.x) if -refined.fun > likelihood[best] else float(grid[best])
    log_likelihood = float(max(-refined.fun, likelihood[best]))

    rise = np.expm1(log_ratio) / (high - low)
    smallest = float((spectrum.squares / (1 + rise * (d - low))).sum() / spectrum.counts.sum())
    genetic, residual = float(smallest * rise), float(smallest * (1 - rise * low))
    ratio = max(0.0, 2 * (log_likelihood - float(_profile(spectrum, np.zeros(1))[0])))
    return Reml(
        genetic=genetic,
        residual=residual,
        h2=genetic / (genetic + residual),
        se=_standard_error(spectrum, genetic, residual),
        log_likelihood=log_likelihood,
        p=float(0.5 * chi2.sf(ratio, 1)) if genetic > 0 and ratio > 0 else 1.0,
    )


_NOTHING = Reml(*[math.nan] * 6)


def _profile(spectrum: Spectrum, log_ratio: FloatArray) -> FloatArray:
    """Log-likelihood (point,) at the best overall variance for each log ratio of largest to smallest variance."""
    d, n = spectrum.values, spectrum.counts.sum()
    place = (d - d.min()) / (d.max() - d.min())
    shape = 1 + np.expm1(log_ratio)[:, None] * place
    variance = (spectrum.squares / shape).sum(axis=1) / n
    determinant = np.log(shape) @ spectrum.counts
    likelihood: FloatArray = -0.5 * (n * np.log(2 * np.pi * variance) + n + determinant)
    return likelihood


def _standard_error(spectrum: Spectrum, genetic: float, residual: float) -> float:
    """Of h2, from the average of observed and expected information, by the delta method."""
    d = spectrum.values
    weight = spectrum.squares / (genetic * d + residual) ** 3
    information = 0.5 * np.array([[weight @ d**2, weight @ d], [weight @ d, weight.sum()]])
    slope = np.array([residual, -genetic]) / (genetic + residual) ** 2
    if not np.linalg.cond(information) < 1e15:
        return math.nan
    return float(np.sqrt(slope @ np.linalg.solve(information, slope)))
