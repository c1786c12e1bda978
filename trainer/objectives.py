"""Objectives: what the people of a gene batch are trained on, and the loss over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqstore.scales import percentiles, z_scores

Expression = npt.NDArray[np.float32]
People = npt.NDArray[np.bool_]
Scale = Literal["z", "expression"]
Error = Literal["mse", "smape"]


class ObjectiveFunction(Protocol):
    """What an objective offers to the loop."""

    def targets(self, expression: Expression, fit: People) -> Expression:
        """What is predicted for each (gene, individual), NaN = unknown; ``fit`` are the people it is scaled by."""
        ...

    def is_usable(self, target: npt.NDArray[np.float32]) -> bool:
        """Whether there is anything to learn from people with these targets (people,)."""
        ...

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of one gene batch, a scalar, from values (people,)."""
        ...


@dataclass(frozen=True)
class _Regression:
    """Of expression or of z-scores, squared or as SMAPE."""

    scale: Scale
    error: Error
    epsilon: float

    def targets(self, expression: Expression, fit: People) -> Expression:
        """Expression, or z-scores with mean and deviation of ``fit``."""
        z = z_scores(expression, fit).astype(np.float32)
        # A gene that does not vary among them teaches nothing, whatever the scale.
        return z if self.scale == "z" else np.where(np.isnan(z), np.float32(np.nan), expression)


@dataclass(frozen=True)
class SampleRegression(_Regression):
    """The error of each person's value, mean over the people of a gene batch.

    Of z-scores it is squared in the study, of expression SMAPE: 2 |f - y| / (|f| + |y| + epsilon).
    """

    def is_usable(self, target: npt.NDArray[np.float32]) -> bool:
        """Always."""
        return True

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        if self.error == "mse":
            return (prediction - target).square().mean()
        return smape(prediction, target, self.epsilon).mean()


@dataclass(frozen=True)
class PairRegression(_Regression):
    """The error of differences between people, mean over all pairs of a gene batch.

    Squared, as the study's of z-scores: with e = prediction - target, the mean over unordered pairs of
    (e_i - e_j)^2 is 2 / (K - 1) x sum (e_i - mean e)^2: it costs K, not K^2, and K does not change a gene's weight.

    As SMAPE, the study's of expression, a pair's loss is the mean of the errors of both people, and the error of
    their difference.
    """

    def is_usable(self, target: npt.NDArray[np.float32]) -> bool:
        """With two people at least."""
        return len(target) >= 2

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See the class; at least two people."""
        if self.error == "mse":
            error = prediction - target
            return 2 / (len(error) - 1) * (error - error.mean()).square().sum()
        # Everyone is in as many pairs, so that the mean over pairs of what is of one person is that over people.
        of_pairs = smape(_differences(prediction), _differences(target), self.epsilon)
        return smape(prediction, target, self.epsilon).mean() + of_pairs.mean()


@dataclass(frozen=True)
class PairClassification:
    """Which of two people has more: binary cross-entropy, mean over the pairs more than ``gap`` percentiles apart.

    Predictions are expected counts of a track, 0 or more. The square root makes those of Poisson counts nearly normal
    with equal variance (Anscombe), so the first of two is larger with probability
    Phi((2 sqrt(f1 + 3/8) - 2 sqrt(f2 + 3/8)) / sqrt 2).
    """

    gap: float

    def targets(self, expression: Expression, fit: People) -> Expression:
        """Percentiles of expression among ``fit``, 0 to 100."""
        return percentiles(expression, fit).astype(np.float32)

    def is_usable(self, target: npt.NDArray[np.float32]) -> bool:
        """With one pair at least that is far enough apart."""
        return bool(np.ptp(target) > self.gap) if len(target) else False

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See the class; 0 where there is no such pair."""
        apart = _differences(target)
        by = math.sqrt(2) * _differences(torch.sqrt(prediction + 3 / 8))
        is_pair = apart.abs() > self.gap
        # log Phi of it for whoever has more; the other way round it is the logarithm of 1 - Phi.
        likelihood = torch.special.log_ndtr(torch.where(apart > 0, by, -by))
        return -torch.where(is_pair, likelihood, 0.0).sum() / is_pair.sum().clamp(min=1)


def smape(prediction: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """2 |f - y| / (|f| + |y| + epsilon), elementwise."""
    return 2 * (prediction - target).abs() / (prediction.abs() + target.abs() + epsilon)


def _differences(values: Tensor) -> Tensor:
    """First minus second (pairs,) of all unordered pairs of values (n,)."""
    first, second = torch.triu_indices(len(values), len(values), offset=1, device=values.device)
    return values[first] - values[second]
