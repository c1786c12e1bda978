"""BLUP against the closed form at the true variances, and against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from analysis_windows import effects, window

from analysis.blup import SMALLEST_H2, blup, posterior_mean
from analysis.reml import reml


@pytest.mark.parametrize(("n", "p"), [(50, 20), (20, 50), (30, 30)])
def test_posterior_mean_is_that_of_the_joint_normal(n: int, p: int) -> None:
    """E[b | y] = Cov(b, y) Var(y)^-1 y, with a basis of the contrasts that have no mean."""
    rng = np.random.default_rng(1)
    genotype, expression = window(rng, n, p), rng.normal(size=n)
    expression -= expression.mean()
    genetic, residual = 0.3, 0.6
    covariance = genetic / p * genotype @ genotype.T + residual * np.eye(n)
    expected = genetic / p * genotype.T @ np.linalg.inv(covariance) @ expression
    weights = posterior_mean(genotype, expression, genetic=genetic, residual=residual)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-8)
    contrasts = np.linalg.svd(np.eye(n) - 1 / n)[0][:, : n - 1]
    reduced = contrasts.T @ covariance @ contrasts
    of_contrasts = genetic / p * genotype.T @ contrasts @ np.linalg.solve(reduced, contrasts.T @ expression)
    np.testing.assert_allclose(weights, of_contrasts, rtol=0, atol=1e-8)


def test_variances_are_those_of_constrained_reml() -> None:
    rng = np.random.default_rng(3)
    genotype = window(rng, 120, 40)
    expression = genotype @ effects(rng, genotype, 0.5, None) + rng.normal(size=120)
    expression = (expression - expression.mean()) / expression.std()
    fitted = reml(genotype, expression, constrained=True)
    expected = posterior_mean(genotype, expression, genetic=fitted.genetic, residual=fitted.residual)
    np.testing.assert_allclose(blup(genotype, expression, 0), expected, rtol=1e-9)


def test_without_heritability_weights_are_small_but_not_zero() -> None:
    rng = np.random.default_rng(0)
    genotype = window(rng, 100, 30)
    for _ in range(100):
        expression = rng.normal(size=100)
        expression = (expression - expression.mean()) / expression.std()
        if reml(genotype, expression, constrained=True).h2 == 0:
            break
    weights = blup(genotype, expression, 0)
    direction = genotype.T @ expression
    assert np.corrcoef(weights, direction)[0, 1] > 0.99
    assert 0 < (genotype @ weights).std() < 10 * SMALLEST_H2


def slope_of_truth(n_genes: int, h2: float, seed: int) -> float:
    """Of true on predicted genetic value, over held-out people of all genes."""
    rng = np.random.default_rng(seed)
    true, predicted = [], []
    for _ in range(n_genes):
        everyone = window(rng, 600, 60)
        train = np.arange(600) < 300
        effect = effects(rng, everyone, h2, None)
        expression = everyone @ effect + rng.normal(size=600) * np.sqrt(1 - h2)
        mean, sd = expression[train].mean(), expression[train].std()
        centre, scale = everyone[train].mean(axis=0), everyone[train].std(axis=0)
        standardised = (everyone - centre) / scale
        weights = blup(standardised[train], (expression[train] - mean) / sd, 0) * sd
        true.append((everyone @ effect)[~train] - (everyone @ effect)[train].mean())
        predicted.append(standardised[~train] @ weights)
    x, y = np.concatenate(predicted), np.concatenate(true)
    return float(x @ y / (x @ x))


def test_slope_of_truth_on_prediction_is_one() -> None:
    assert slope_of_truth(150, 0.3, seed=1) == pytest.approx(1, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("h2", "lowest"), [(0.1, 0.9), (0.3, 0.95), (0.6, 0.95)])
def test_slope_of_truth_on_prediction_is_one_over_many_genes(h2: float, lowest: float) -> None:
    """Below 1 at a small h2, for the variance is estimated: genes where it is too large weigh more."""
    slope = slope_of_truth(1500, h2, seed=2)
    print(f"h2 {h2}: slope {slope:.3f}")
    assert lowest < slope < 1.05
