from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from trainer.objectives import AllPairsRegression


def test_targets_are_z_scores_of_the_training_people() -> None:
    expression = np.array([[1, 3, 7, np.nan], [5, 5, 6, 7]], dtype=np.float32)
    train = np.array([[True, True, False, True], [True, True, False, False]])
    found = AllPairsRegression().targets(expression, train)
    np.testing.assert_allclose(found[0], [-1, 1, 5, np.nan])
    assert np.isnan(found[1]).all()  # constant among those who train


def test_two_people_literally() -> None:
    loss = AllPairsRegression().loss(torch.tensor([1.0, 0.5]), torch.tensor([2.0, -1.0]))
    assert loss.item() == pytest.approx((0.5 - 3) ** 2)


@pytest.mark.parametrize("k", [2, 3, 17])
def test_loss_and_gradient_are_those_of_all_pairs(k: int) -> None:
    rng = np.random.default_rng(k)
    target = torch.from_numpy(rng.normal(size=k))
    quick = torch.from_numpy(rng.normal(size=k)).requires_grad_()
    slow = quick.detach().clone().requires_grad_()
    loss = AllPairsRegression().loss(quick, target)
    pairs = [
        ((slow[i] - slow[j]) - (target[i] - target[j])) ** 2 for i, j in itertools.combinations(range(k), 2)
    ]
    expected = torch.stack(pairs).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(quick.grad, slow.grad)
