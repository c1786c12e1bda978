"""Heads: from the embedding of a window to the value of a haplotype, and from haplotypes to people."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


@runtime_checkable
class HaplotypeHead(Protocol):
    """What a head offers; it is an nn.Module besides."""

    def __call__(self, embedding: Tensor) -> Tensor:
        """Embeddings (windows, bins, channels) to one value a window (windows,)."""
        ...


class AttentionPoolingHead(nn.Module):
    """Softmax attention pooling over the centre bins and a linear layer to one value a window.

    The weight of a bin is the softmax over bins of a linear score of its embedding. The centre is the
    ``bins`` bins around the TSS, all where ``bins`` is 0.
    """

    def __init__(self, channels: int, *, bins: int, pooling: str, zero: bool) -> None:
        super().__init__()
        self.bins = bins
        self.pooling = pooling
        self.score = nn.Linear(channels, 1)
        self.value = nn.Linear(channels, 1)
        if zero:
            for parameter in self.parameters():
                nn.init.zeros_(parameter)

    def forward(self, embedding: Tensor) -> Tensor:
        """(windows, bins, channels) to (windows,)."""
        n_bins = embedding.shape[1]
        n_centre = self.bins or n_bins
        start = (n_bins - n_centre) // 2
        centre = embedding[:, start : start + n_centre]
        # The linear layer commutes with the weighted mean over bins, and is cheaper first.
        weight = torch.softmax(self.score(centre).squeeze(2), dim=1)
        value: Tensor = (weight * self.value(centre).squeeze(2)).sum(dim=1)
        return value * n_centre if self.pooling == "sum" else value


def mean_of_haplotypes(value: Tensor, haplotype: Tensor) -> Tensor:
    """The mean of the haplotypes each person has.

    ``value`` (windows,), ``haplotype`` (people, 2) the window of each, -1 = no such haplotype; returns
    (people,), NaN for a person without any.
    """
    exists = haplotype >= 0
    values = torch.where(exists, value[haplotype.clamp(min=0)], 0.0)
    return values.sum(dim=1) / exists.sum(dim=1)


def mean_of_existing(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The mean of the haplotypes (people, 2) that each person has, NaN = none: (people,)."""
    exists = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: npt.NDArray[np.float32] = np.where(exists, values, 0).sum(axis=1) / exists.sum(axis=1)
    return mean.astype(np.float32)
