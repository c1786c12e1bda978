"""Heads of tasks: from the embedding of windows to the targets of their examples."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn

from trainer.head import centre_bins


@runtime_checkable
class TaskHead(Protocol):
    """What the head of a task offers; it is an nn.Module besides.

    ``output`` is its only layer, a row a track or cell type.
    """

    output: nn.Linear

    def __call__(self, embedding: Tensor) -> Tensor:
        """Embeddings (windows, bins, channels) to predictions (windows, ...)."""
        ...


class TracksHead(nn.Module):
    """Tracks of each of the centre bins, as Enformer's own output heads: a linear layer and a softplus."""

    is_of_tracks = True

    def __init__(self, channels: int, bins: int, n_tracks: int) -> None:
        super().__init__()
        self.bins = bins
        self.output = nn.Linear(channels, n_tracks)

    def forward(self, embedding: Tensor) -> Tensor:
        """(windows, bins, channels) to (windows, centre bins, tracks)."""
        return F.softplus(self.output(centre_bins(embedding, self.bins)))


class EffectsHead(nn.Module):
    """Activities of a short sequence in cell types: a linear layer on all channels of its centre bins."""

    def __init__(self, channels: int, bins: int, n_cells: int) -> None:
        super().__init__()
        self.bins = bins
        self.output = nn.Linear(bins * channels, n_cells)

    def forward(self, embedding: Tensor) -> Tensor:
        """(windows, bins, channels) to (windows, cells)."""
        activity: Tensor = self.output(centre_bins(embedding, self.bins).flatten(1))
        return activity
