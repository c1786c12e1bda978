"""Heads: from the embedding of a window to the value of a haplotype, and from haplotypes to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqstore.errors import InputError
from trainer.pretrained import read_tensors

if TYPE_CHECKING:
    from trainer.head_settings import TrackHead
    from trainer.task_heads import TaskHead


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
        centre = centre_bins(embedding, self.bins)
        # The linear layer commutes with the weighted mean over bins, and is cheaper first.
        weight = torch.softmax(self.score(centre).squeeze(2), dim=1)
        value: Tensor = (weight * self.value(centre).squeeze(2)).sum(dim=1)
        return value * centre.shape[1] if self.pooling == "sum" else value


class TrackPoolingHead(nn.Module):
    """The sum over the centre bins of one track that Enformer's own output head predicts; positive.

    Enformer's output head is a linear layer from the embedding of a bin to its tracks and a softplus; this is the
    one row of it. In the study the value of a haplotype in pairwise classification, and of the untouched Enformer.
    The centre is as in `AttentionPoolingHead`.
    """

    def __init__(self, channels: int, *, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.track = nn.Linear(channels, 1)

    @classmethod
    def from_settings(cls, settings: TrackHead, channels: int) -> TrackPoolingHead:
        """Load the weights of the track, or draw them.

        Raises:
            InputError: the checkpoint cannot be read, has no such track, or is of an Enformer of another size.
        """
        head = cls(channels, bins=settings.bins)
        if settings.pretrained is None:
            return head
        names = [f"_heads.{settings.species}.0.{kind}" for kind in ("weight", "bias")]
        weight, bias = read_tensors(settings.pretrained, names, key="head.pretrained")
        if settings.track >= len(weight):
            raise InputError(
                f"head.track: {settings.pretrained} has the {settings.species} tracks 0 to {len(weight) - 1}, "
                f"no {settings.track}"
            )
        if weight.shape[1] != channels:
            raise InputError(
                f"head.pretrained: the tracks of {settings.pretrained} are read from {weight.shape[1]} channels, "
                f"but the trunk gives {channels}; name the checkpoint of the trunk"
            )
        with torch.no_grad():
            head.track.weight.copy_(weight[settings.track])
            head.track.bias.copy_(bias[settings.track])
        return head

    def forward(self, embedding: Tensor) -> Tensor:
        """(windows, bins, channels) to (windows,)."""
        return F.softplus(self.track(centre_bins(embedding, self.bins))).sum(dim=(1, 2))


class SharedTrackHead(nn.Module):
    """`TrackPoolingHead` with a row of the output head of a task, which is trained for both.

    It has no weights of its own: they belong to the task's head, which `share` names.
    """

    def __init__(self, task: str, *, track: int, bins: int) -> None:
        super().__init__()
        self.task = task
        self._track = track
        self._bins = bins
        self._shared: tuple[TaskHead, ...] = ()  # in a tuple, it does not become a part of this module too

    def share(self, head: TaskHead) -> None:
        """Use a task's head.

        Raises:
            InputError: it has no such track.
        """
        if not hasattr(head, "is_of_tracks"):
            raise InputError(f"head.task: the task {self.task!r} has no tracks; name one of ReferenceTracks")
        if self._track >= head.output.out_features:
            raise InputError(
                f"head.track: the task {self.task!r} has the tracks 0 to {head.output.out_features - 1}, no "
                f"{self._track}"
            )
        self._shared = (head,)

    def forward(self, embedding: Tensor) -> Tensor:
        """(windows, bins, channels) to (windows,)."""
        (head,) = self._shared
        row = slice(self._track, self._track + 1)
        values = F.linear(centre_bins(embedding, self._bins), head.output.weight[row], head.output.bias[row])
        return F.softplus(values).sum(dim=(1, 2))


def centre_bins(embedding: Tensor, n: int) -> Tensor:
    """The ``n`` bins in the middle of (windows, bins, channels); 0 = all.

    Where as many cannot be left off on both sides, one more is behind.
    """
    n_bins = embedding.shape[1]
    n = n or n_bins
    start = (n_bins - n) // 2
    return embedding[:, start : start + n]


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
