"""Settings of heads: what turns the embedding of a window into a value. See `trainer.config`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seqstore.errors import InputError
from trainer.requirements import require, require_checkpoint
from trainer.xpresso_weights import SHAPES, read_layers

if TYPE_CHECKING:
    from trainer.head import HaplotypeHead


@dataclass(frozen=True)
class Head(ABC):
    """What turns the embedding of a window into the value of that haplotype."""

    @abstractmethod
    def check(self, bins: int) -> None:
        """Raise an InputError if a window of that many bins does not suit this head."""

    @abstractmethod
    def build(self, channels: int) -> HaplotypeHead:
        """The module, for an embedding of that many channels."""


@dataclass(frozen=True)
class AttentionHead(Head):
    """Softmax attention pooling over the centre bins, then a linear layer to one value.

    Args:
        bins: number of centre bins (the study: 10); 0 = all
        pooling: mean = the attention-weighted mean of the bins (the study); sum = that times their number, so
            that the effect of one variant does not shrink with the length of the window
        zero: start from linear layers of zeros: every haplotype is predicted alike until trained
    """

    bins: int = 0
    pooling: Literal["mean", "sum"] = "sum"
    zero: bool = True

    def __post_init__(self) -> None:
        require(self.bins >= 0, f"head.bins: {self.bins} is negative; 0 means all")

    def check(self, bins: int) -> None:
        """The centre cannot be wider than the window."""
        require(self.bins <= bins, f"head.bins: {self.bins} centre bins, but a window has {bins}")

    def build(self, channels: int) -> HaplotypeHead:
        """See `trainer.head.AttentionPoolingHead`."""
        from trainer.head import AttentionPoolingHead

        return AttentionPoolingHead(channels, bins=self.bins, pooling=self.pooling, zero=self.zero)


@dataclass(frozen=True)
class TrackHead(Head):
    """The sum over the centre bins of one track of Enformer's own output head; positive.

    The head of the study's pairwise classification and of its untouched Enformer.

    Args:
        pretrained: hub id or local folder, the trunk's; default random weights
        species: which of the checkpoint's output heads; only with pretrained
        track: which of its tracks, from 0 on (the study: 5110, CAGE of GM12878); only with pretrained or task
        bins: number of centre bins (the study: 10); 0 = all
        task: name of a task with tracks whose output head this is a row of, trained for both; instead of pretrained
    """

    pretrained: str | None = None
    species: str = "human"
    track: int = 5110
    bins: int = 10
    task: str | None = None

    def __post_init__(self) -> None:
        for name in ("track", "bins"):
            value = getattr(self, name)
            require(value >= 0, f"head.{name}: {value} is negative")
        require(
            self.pretrained is None or self.task is None,
            "head.pretrained, head.task: give one; a task has a pretrained of its own",
        )
        if self.pretrained is not None:
            require_checkpoint("head.pretrained", self.pretrained)
            self._check_track(Path(self.pretrained) / "config.json")

    def check(self, bins: int) -> None:
        """The centre cannot be wider than the window."""
        require(self.bins <= bins, f"head.bins: {self.bins} centre bins, but a window has {bins}")

    def build(self, channels: int) -> HaplotypeHead:
        """See `trainer.head.TrackPoolingHead` and `trainer.head.SharedTrackHead`."""
        from trainer.head import SharedTrackHead, TrackPoolingHead

        if self.task is not None:
            return SharedTrackHead(self.task, track=self.track, bins=self.bins)
        return TrackPoolingHead.from_settings(self, channels)

    def _check_track(self, path: Path) -> None:
        """What a local folder says of its tracks; a hub id's are looked at once it is loaded."""
        if not path.is_file():
            return
        try:
            config = json.loads(path.read_text())
            # transformers leaves out what is as in Enformer itself.
            tracks = config.get("output_heads", {"human": 5313, "mouse": 1643})
            n = {str(species): int(tracks[species]) for species in tracks}
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"head.pretrained: {path}: {error}") from error
        require(self.species in n, f"head.species: {path} has {', '.join(n) or 'none'}, no {self.species!r}")
        require(
            self.track < n[self.species],
            f"head.track: {path} has the {self.species} tracks 0 to {n[self.species] - 1}, no {self.track}",
        )


@dataclass(frozen=True)
class XpressoHead(Head):
    """The last layers of Xpresso, from its dense layer of 64 to the expression level; for the Xpresso trunk.

    Args:
        pretrained: Keras HDF5 file of its authors, the trunk's; default random weights
    """

    pretrained: str | None = None

    def __post_init__(self) -> None:
        if self.pretrained is not None:
            read_layers(self.pretrained, key="head.pretrained")

    def check(self, bins: int) -> None:
        """Xpresso has one bin."""
        require(
            bins == 1, f"head: XpressoHead reads one bin, but a window has {bins}; take the Xpresso trunk"
        )

    def build(self, channels: int) -> HaplotypeHead:
        """See `trainer.xpresso.XpressoLevelHead`."""
        from trainer.xpresso import XpressoLevelHead, load_layers

        needed = SHAPES["narrow"][0]
        require(
            channels == needed,
            f"head: XpressoHead reads {needed} channels, but the trunk gives {channels}; take the Xpresso trunk",
        )
        head = XpressoLevelHead()
        load_layers(head, self.pretrained, key="head.pretrained")
        return head
