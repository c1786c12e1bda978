from __future__ import annotations

import numpy as np
import pytest
import torch
from enformer_pytorch.modeling_enformer import poisson_loss

from trainer.auxiliary_losses import masked_mse, poisson_nll


def test_poisson_literally() -> None:
    prediction = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    target = torch.tensor([[[3.0, 0.0], [0.0, 1.0]]])
    # 1 - 3 log 1, 2 - 0, 0 - 0, 0 - 1 log 1e-8
    expected = (1 + 2 + 0 + 18.420680743952367) / 4
    assert poisson_nll(prediction, target).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_poisson_is_the_mean_over_bins_and_tracks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prediction, target = rng.gamma(1.0, 2.0, (3, 5, 7)) + 0.01, rng.poisson(2.0, (3, 5, 7)).astype(float)
    given = torch.from_numpy(prediction).requires_grad_()
    loss = poisson_nll(given, torch.from_numpy(target))
    expected = (prediction - target * np.log(prediction + 1e-8)).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert given.grad is not None
    np.testing.assert_allclose(given.grad, (1 - target / (prediction + 1e-8)) / target.size, rtol=1e-10)
    assert loss.item() == torch.nn.PoissonNLLLoss(log_input=False)(given, torch.from_numpy(target)).item()
    assert loss.item() == pytest.approx(poisson_loss(given, torch.from_numpy(target)).item(), rel=1e-6)


def test_poisson_is_smallest_at_the_target() -> None:
    target = torch.tensor([0.5, 2.0, 8.0])
    losses = [poisson_nll(target * scale, target).item() for scale in (0.8, 0.99, 1.0, 1.01, 1.2)]
    assert min(losses) == losses[2]


def test_mse_of_the_known_literally() -> None:
    difference = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    effect = torch.tensor([[0.0, torch.nan], [5.0, torch.nan]])
    loss = masked_mse(difference, effect)
    assert loss.item() == pytest.approx((1 + 4) / 2)
    loss.backward()
    np.testing.assert_allclose(difference.grad, [[1, 0], [-2, 0]])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_mse_is_that_of_selected_entries(share: float) -> None:
    rng = np.random.default_rng(4)
    difference, effect = rng.normal(size=(2, 40, 5))
    effect[rng.random(effect.shape) < share] = np.nan
    known = ~np.isnan(effect)
    found = masked_mse(torch.from_numpy(difference), torch.from_numpy(effect))
    assert found.item() == pytest.approx(((difference - effect)[known] ** 2).mean())


def test_where_nothing_is_known_there_is_no_gradient() -> None:
    difference = torch.ones(3, 2, requires_grad=True)
    loss = masked_mse(difference, torch.full((3, 2), torch.nan))
    assert loss.item() == 0
    loss.backward()
    assert difference.grad is not None
    assert difference.grad.tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("loss", [poisson_nll, masked_mse])
def test_other_shapes_are_refused(loss: object) -> None:
    with pytest.raises(ValueError, match=r"prediction \(4, 3\) and target \(4, 1\) differ"):
        loss(torch.ones(4, 3), torch.ones(4, 1))  # type: ignore[operator]
