"""Losses and targets against what their formulas say, written down again with numpy and scipy."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats

from trainer.config import PairwiseClassification, PairwiseRegression, SingleRegression

Values = npt.NDArray[np.float64]


def drawn(k: int, seed: int) -> tuple[Values, Values]:
    """Predictions and targets."""
    rng = np.random.default_rng([k, seed])
    return rng.normal(size=k), rng.normal(size=k)


def smape(f: float, y: float) -> float:
    return 2 * abs(f - y) / (abs(f) + abs(y) + 1e-6)


def test_z_scores_are_of_the_people_who_fit() -> None:
    expression = np.array([[1, 3, 7, np.nan], [5, 5, 6, 7]], dtype=np.float32)
    train = np.array([[True, True, False, True], [True, True, False, False]])
    for config in (PairwiseRegression(), SingleRegression(scale="z", error="mse")):
        found = config.build().targets(expression, train)
        np.testing.assert_allclose(found[0], [-1, 1, 5, np.nan])
        assert np.isnan(found[1]).all()  # constant among those who fit
    for config in (PairwiseRegression(scale="expression"), SingleRegression()):
        found = config.build().targets(expression, train)
        np.testing.assert_array_equal(found[0], expression[0])
        assert np.isnan(found[1]).all()


def test_percentiles_are_scipys() -> None:
    rng = np.random.default_rng(0)
    expression = rng.integers(0, 9, (5, 40)).astype(np.float32)
    expression[rng.random(expression.shape) < 0.1] = np.nan
    expression[4] = 3
    fit = rng.random(expression.shape) < 0.6
    found = PairwiseClassification().build().targets(expression, fit)
    for values, chosen, percentile in zip(expression[:4], fit, found, strict=False):
        known = np.isfinite(values)
        expected = stats.percentileofscore(values[chosen & known], values[known])
        np.testing.assert_allclose(percentile[known], expected, rtol=1e-6)
        assert np.isnan(percentile[~known]).all()
    assert np.isnan(found[4]).all()


def test_two_people_literally() -> None:
    loss = PairwiseRegression().build().loss(torch.tensor([1.0, 0.5]), torch.tensor([2.0, -1.0]))
    assert loss.item() == pytest.approx((0.5 - 3) ** 2)


@pytest.mark.parametrize("k", [2, 3, 17])
def test_loss_and_gradient_are_those_of_all_pairs(k: int) -> None:
    prediction, target = (torch.from_numpy(values) for values in drawn(k, 0))
    quick = prediction.requires_grad_()
    slow = quick.detach().clone().requires_grad_()
    loss = PairwiseRegression().build().loss(quick, target)
    pairs = [
        ((slow[i] - slow[j]) - (target[i] - target[j])) ** 2 for i, j in itertools.combinations(range(k), 2)
    ]
    expected = torch.stack(pairs).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(quick.grad, slow.grad)


@pytest.mark.parametrize("k", [2, 3, 17])
def test_pairs_of_expression_are_as_the_study_has_them(k: int) -> None:
    f, y = drawn(k, 1)
    found = PairwiseRegression(scale="expression", error="smape").build()
    pairs = [
        (smape(f[i], y[i]) + smape(f[j], y[j])) / 2 + smape(f[i] - f[j], y[i] - y[j])
        for i, j in itertools.combinations(range(k), 2)
    ]
    loss = found.loss(torch.from_numpy(f), torch.from_numpy(y))
    assert loss.item() == pytest.approx(np.mean(pairs), rel=1e-9)


@pytest.mark.parametrize("k", [1, 2, 17])
def test_single_samples(k: int) -> None:
    f, y = drawn(k, 2)
    tensors = torch.from_numpy(f), torch.from_numpy(y)
    assert SingleRegression(scale="z", error="mse").build().loss(*tensors).item() == pytest.approx(
        np.mean((f - y) ** 2)
    )
    assert SingleRegression().build().loss(*tensors).item() == pytest.approx(
        np.mean([smape(a, b) for a, b in zip(f, y, strict=True)])
    )


def test_smape_has_a_gradient_where_all_is_0() -> None:
    value = torch.zeros(2, requires_grad=True)
    SingleRegression().build().loss(value, torch.zeros(2)).backward()
    assert value.grad is not None
    assert torch.isfinite(value.grad).all()


@pytest.mark.parametrize("k", [2, 3, 17])
@pytest.mark.parametrize("gap", [0.0, 25.0])
def test_classification_is_cross_entropy_of_pairs_far_apart(k: int, gap: float) -> None:
    rng = np.random.default_rng(k)
    f, percentile = rng.gamma(2, 4, k), rng.uniform(0, 100, k)
    percentile[:2] = 10, 90
    losses = []
    for i, j in itertools.combinations(range(k), 2):
        if abs(percentile[i] - percentile[j]) > gap:
            p = stats.norm.cdf((2 * np.sqrt(f[i] + 3 / 8) - 2 * np.sqrt(f[j] + 3 / 8)) / np.sqrt(2))
            y = float(percentile[i] >= percentile[j])
            losses.append(-np.log(p if y else 1 - p))
    objective = PairwiseClassification(gap=gap).build()
    loss = objective.loss(torch.from_numpy(f), torch.from_numpy(percentile))
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_classification_needs_people_far_apart() -> None:
    objective = PairwiseClassification(gap=25).build()
    assert objective.is_usable(np.array([10, 36], np.float32))
    assert not objective.is_usable(np.array([10, 35], np.float32))
    value = torch.ones(2, requires_grad=True)
    loss = objective.loss(value, torch.tensor([10.0, 35.0]))
    loss.backward()
    assert loss.item() == 0
    assert value.grad is not None
    assert not value.grad.any()


def test_a_certain_mistake_has_a_finite_loss() -> None:
    value = torch.tensor([1e4, 0.0], requires_grad=True)
    loss = PairwiseClassification().build().loss(value, torch.tensor([0.0, 100.0]))
    loss.backward()
    assert value.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(value.grad).all()
