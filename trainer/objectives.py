"""Objectives: what the people of a gene batch are trained on, and the loss over them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from seqstore.expression import standardise


class ObjectiveFunction(Protocol):
    """What an objective offers to the loop."""

    def targets(
        self, expression: npt.NDArray[np.float32], train: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """What is predicted for each (gene, individual), NaN = unknown; ``train`` are the people it may learn from."""
        ...

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The loss of one gene batch, a scalar, from values (people,)."""
        ...


class AllPairsRegression:
    """Squared error of differences of z-scores, mean over all pairs of a gene batch.

    With e = prediction - z, the mean over unordered pairs of (e_i - e_j)^2 is
    2 / (K - 1) x sum (e_i - mean e)^2: it costs K, not K^2, and K does not change a gene's weight.
    """

    def targets(
        self, expression: npt.NDArray[np.float32], train: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """z-scores with mean and deviation of the training people."""
        return standardise(expression, train)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See the class; at least two people."""
        error = prediction - target
        return 2 / (len(error) - 1) * (error - error.mean()).square().sum()
