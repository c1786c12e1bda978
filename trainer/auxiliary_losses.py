"""Losses of what a model is trained on besides people: reference-genome tracks, and effects of variants (MPRA)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: What keeps the logarithm of a prediction of 0 finite.
_EPSILON = 1e-8


def poisson_nll(prediction: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of counts, a scalar: mean of prediction - target x log(prediction + 1e-8).

    The term log(target!), which no prediction changes, is left out. It is torch's ``PoissonNLLLoss(log_input=False)``,
    with which the study trained on tracks; enformer-pytorch's ``poisson_loss`` clamps the prediction at 1e-20
    instead of adding 1e-8, and is the same for all but tiny predictions.

    Args:
        prediction: expected counts (..., bins, tracks), not negative (softplus)
        target: counts, of the same shape

    Raises:
        ValueError: the shapes differ.
    """
    _refuse_shapes(prediction, target)
    return F.poisson_nll_loss(prediction, target, log_input=False, full=False, eps=_EPSILON)


def masked_mse(difference: Tensor, effect: Tensor) -> Tensor:
    """Squared error of effects, a scalar: mean of (difference - effect)^2 over the effects that are known.

    Where none is known it is 0, and so is its gradient.

    Args:
        difference: prediction of the alternative minus that of the reference sequence (variants, cells)
        effect: measured, of the same shape; NaN = not measured

    Raises:
        ValueError: the shapes differ.
    """
    _refuse_shapes(difference, effect)
    known = ~effect.isnan()
    # Masked before it is squared: 0 times the NaN of a square is a gradient of NaN.
    error = torch.where(known, difference - effect, 0.0)
    return error.square().sum() / known.sum().clamp(min=1)


def _refuse_shapes(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape:  # torch would stretch one to the other without a word
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape"
        )
