"""The elastic net and the lasso: the weights of scikit-learn, and optimal where scikit-learn gives up."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNetCV
from sklearn.model_selection import PredefinedSplit

from analysis import elastic_net
from analysis.elastic_net import cross_validated, enet, lasso, path, penalties_of

FloatArray = npt.NDArray[np.float64]


def window(
    n: int, p: int, *, ld: float = 0.9, imputed: float = 0.0, seed: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Standardised genotypes in which neighbours have latent correlation ``ld``, and expression of two of them.

    Dosages that are ``imputed`` have errors of that deviation: no two are equal, so that the lasso has one solution.
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(p, n, 2))
    for number in range(1, p):
        latent[number] = ld * latent[number - 1] + np.sqrt(1 - ld**2) * latent[number]
    dosage = (latent > rng.uniform(-1, 1, size=(p, 1, 1))).sum(axis=-1).T.astype(float)
    genotype = standardised((dosage + imputed * rng.normal(size=dosage.shape))[:, dosage.std(axis=0) > 0.2])
    expression = genotype[:, [0, -1]] @ [0.5, 0.4] + rng.normal(size=n)
    return genotype, standardised(expression)


def standardised(values: FloatArray) -> FloatArray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def related(kind: str) -> tuple[FloatArray, FloatArray]:
    """Designs in which columns are equal to, or combinations of, others."""
    genotype, expression = window(60, 30)
    if kind == "more variants than people":
        return window(40, 150, ld=0.8)
    if kind == "duplicated":
        return np.repeat(genotype, 3, axis=1), expression
    if kind == "opposite":
        return np.concatenate([genotype, -genotype], axis=1), expression
    if kind == "sums":
        sums = genotype[:, :10] + genotype[:, 10:20] - genotype[:, 5:15]
        return np.concatenate([genotype, standardised(sums)], axis=1), expression
    assert kind == "strong LD"
    return window(80, 120, ld=0.999)


DESIGNS = ["more variants than people", "duplicated", "opposite", "sums", "strong LD"]


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize(("n", "p", "ld"), [(100, 20, 0.0), (120, 40, 0.9), (100, 40, 0.98), (50, 80, 0.5)])
def test_weights_are_scikit_learns(n: int, p: int, ld: float, l1_ratio: float) -> None:
    genotype, expression = window(n, p, ld=ld, imputed=0.05)
    folds = np.random.default_rng(1).integers(5, size=n)
    ours = cross_validated(genotype, expression, folds, l1_ratio=l1_ratio)
    theirs = ElasticNetCV(l1_ratio=l1_ratio, cv=PredefinedSplit(folds), max_iter=20_000, tol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # at the smallest penalties
        theirs.fit(genotype, expression)
    np.testing.assert_allclose(ours.penalties, theirs.alphas_, rtol=1e-12)
    np.testing.assert_allclose(ours.errors, theirs.mse_path_, atol=1e-4)
    assert ours.penalty == pytest.approx(theirs.alpha_, rel=1e-12)
    np.testing.assert_allclose(ours.weights, theirs.coef_, atol=1e-5)
    assert (ours.weights != 0).sum() > 1
    assert ours.n_stopped == 0


@pytest.mark.parametrize("l1_ratio", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", DESIGNS)
def test_weights_are_optimal_at_every_penalty(kind: str, l1_ratio: float) -> None:
    genotype, expression = related(kind)
    penalties = penalties_of(genotype, expression, l1_ratio=l1_ratio)
    weights, n_stopped = path(genotype, expression, penalties, l1_ratio=l1_ratio)
    assert n_stopped == 0
    # The subgradient of the objective has 0 in it: Tibshirani and Taylor 2012, with the ridge term beside.
    covariance = (expression - weights @ genotype.T) @ genotype / len(expression)
    pull = covariance - (1 - l1_ratio) * penalties[:, None] * weights
    l1 = np.broadcast_to(penalties[:, None] * l1_ratio, pull.shape)
    np.testing.assert_allclose(pull[weights != 0], (l1 * np.sign(weights))[weights != 0], atol=1e-9)
    assert (np.abs(pull) <= l1 + 1e-8).all()
    assert (weights[0] == 0).all()
    assert (weights[-1] != 0).sum() > 20


def test_lasso_of_independent_columns_is_soft_thresholding() -> None:
    genotype = np.linalg.qr(np.random.default_rng(0).normal(size=(50, 8)) - 0.0)[0]
    genotype = np.linalg.qr(genotype - genotype.mean(axis=0))[0] * np.sqrt(50)
    expression = genotype @ np.arange(-3.0, 5.0)
    weights, _ = path(genotype, expression, np.array([3.5, 1.5]), l1_ratio=1.0)
    np.testing.assert_allclose(
        weights, [[0, 0, 0, 0, 0, 0, 0, 0.5], [-1.5, -0.5, 0, 0, 0, 0.5, 1.5, 2.5]], atol=1e-12
    )


def test_a_variant_that_does_not_vary_in_a_fold_does_no_harm() -> None:
    genotype, expression = window(60, 20)
    folds = np.arange(60) % 5
    genotype[:, 3] = standardised((folds == 2).astype(float))
    fitted = cross_validated(genotype, expression, folds, l1_ratio=1.0)
    assert np.isfinite(fitted.errors).all()
    assert np.isfinite(fitted.weights).all()


def test_seed_deals_the_folds_and_stopped_fits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    genotype, expression = window(100, 60)
    np.testing.assert_array_equal(enet(genotype, expression, 1), enet(genotype, expression, 1))
    assert (lasso(genotype, expression, 1) != enet(genotype, expression, 1)).any()
    seeds = {enet(genotype, expression, seed).tobytes() for seed in range(8)}
    assert len(seeds) > 1
    monkeypatch.setattr(elastic_net, "MAX_SEARCHES", 1)
    with pytest.warns(ConvergenceWarning, match="fits stopped early"):
        enet(genotype, expression, 0)
