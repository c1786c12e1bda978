"""What a model is trained on besides people: settings of tasks, each a term of the loss. See `trainer.config`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.requirements import require, require_checkpoint
from trainer.trunk_settings import Trunk

if TYPE_CHECKING:  # torch takes seconds to import: not before a config is known to be good
    from trainer.task_data import TaskData
    from trainer.task_heads import TaskHead


@dataclass(frozen=True)
class Task(ABC):
    """Examples with targets of their own, which a head of its own predicts from the trunk that people train.

    Args:
        name: name in metrics.csv and in checkpoints
        path: Zarr group of the examples
        weight: of its loss, beside that of people, which weighs 1
        per_step: examples in one optimiser step, over all processes
        validation: examples to validate on, where no people are trained on
    """

    name: str
    path: str
    weight: float = 1.0
    per_step: int = 64
    validation: int = 256

    def __post_init__(self) -> None:
        require(self.name.isidentifier(), f"tasks.name: {self.name!r} is not letters, digits and underscores")
        require(0 < self.weight < float("inf"), f"tasks.weight: {self.weight} is not positive")
        for key in ("per_step", "validation"):
            value = getattr(self, key)
            require(value >= 1, f"tasks.{key}: {value} is not positive")

    @abstractmethod
    def open(self, trunk: Trunk, margin: int) -> TaskData:
        """The examples, with ``margin`` bases more on each side; an InputError if they do not suit the trunk."""

    @abstractmethod
    def head(self, channels: int, bins: int, n_outputs: int) -> TaskHead:
        """The module, for an embedding of that many channels and bins, and that many tracks or cells."""


@dataclass(frozen=True)
class ReferenceTracks(Task):
    """Tracks of the reference genome, as Enformer was trained on: Poisson loss of each bin (trainer/convert_tracks.py).

    Args:
        length: bases of a window; default those that are stored
        bins: bins in the centre that have a loss; default all that the targets have
        tracks: names or numbers of tracks; default all
        once_more: track whose loss is added once more, by itself: in the study the one that people are compared by
        pretrained: hub id or local folder of an Enformer whose output head the weights are of; default random
        species: which of its output heads
    """

    length: int | None = None
    bins: int | None = None
    tracks: list[str | int] | None = None
    once_more: str | int | None = None
    pretrained: str | None = None
    species: str = "human"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("length", "bins"):
            value = getattr(self, key)
            require(value is None or value >= 1, f"tasks.{key}: {value} is not positive")
        if self.pretrained is not None:
            require_checkpoint("tasks.pretrained", self.pretrained)

    def open(self, trunk: Trunk, margin: int) -> TaskData:
        """See `trainer.task_data.TrackTask`."""
        from trainer.task_data import TrackTask

        return TrackTask(self, trunk, margin)

    def head(self, channels: int, bins: int, n_outputs: int) -> TaskHead:
        """See `trainer.task_heads.TracksHead`."""
        from trainer.task_heads import TracksHead

        return TracksHead(channels, bins, n_outputs)


@dataclass(frozen=True)
class MpraEffects(Task):
    """Effects of variants in reporter assays: squared error of alternative minus reference (trainer/convert_mpra.py).

    Args:
        cells: names or numbers of cell types; default all
        bin_width: sequences are filled up with N on both sides to a whole number of so many bases (Enformer: 128)
    """

    cells: list[str | int] | None = None
    bin_width: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.bin_width >= 2 and self.bin_width % 2 == 0,
            f"tasks.bin_width: {self.bin_width} is not a positive even number of bases",
        )

    def open(self, trunk: Trunk, margin: int) -> TaskData:
        """See `trainer.task_data.MpraTask`."""
        from trainer.task_data import MpraTask

        return MpraTask(self, trunk, margin)

    def head(self, channels: int, bins: int, n_outputs: int) -> TaskHead:
        """See `trainer.task_heads.EffectsHead`."""
        from trainer.task_heads import EffectsHead

        return EffectsHead(channels, bins, n_outputs)
