"""The examples of tasks, as the loop takes them: batches that are pure functions of the seed and the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqstore.errors import InputError
from trainer.auxiliary_losses import masked_mse, poisson_nll
from trainer.choices import chosen
from trainer.config import FitConfig
from trainer.mpra import VariantEffects
from trainer.pretrained import read_tensors
from trainer.shuffled import Numbers, Shuffled
from trainer.task_heads import TaskHead
from trainer.tasks import MpraEffects, ReferenceTracks
from trainer.tiles import Packed, Span
from trainer.track_data import Tracks
from trainer.trunk_settings import Trunk

Targets = npt.NDArray[np.float32]


class TaskData(Protocol):
    """What the examples of a task offer to the loop.

    ``length`` are the bases that the trunk reads of a window, ``bins`` those of them that are predicted, each with
    ``n_outputs`` targets; an example has ``windows_each`` windows.
    """

    length: int
    bins: int
    n_outputs: int
    windows_each: int

    def examples(self, split: str) -> Numbers:
        """The numbers of the examples of a split: train or valid."""
        ...

    def read(self, numbers: Numbers, *, reverse: bool) -> tuple[Packed, Targets]:
        """Packed windows (n x windows_each, bytes) of the + strand, and the targets (n, ...) of a strand."""
        ...

    def n_terms(self, numbers: Numbers) -> int:
        """Over how many terms the loss of these examples is a mean."""
        ...

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean loss, a scalar, of what the head predicts for windows (n x windows_each, ...)."""
        ...

    def begin(self, head: TaskHead) -> None:
        """Give a new head the weights that the settings name."""
        ...


class TrackTask:
    """Windows of the reference genome: Poisson loss, mean over bins and tracks."""

    windows_each = 1

    def __init__(self, settings: ReferenceTracks, trunk: Trunk, margin: int) -> None:
        self._settings = settings
        self._tracks = Tracks(
            settings.path, length=settings.length, bins=settings.bins, tracks=settings.tracks, margin=margin
        )
        if self._tracks.length > self._tracks.stored_length:
            raise InputError(
                f"tasks.length: {self._tracks.length} bases, but the sequences of {settings.path} have "
                f"{self._tracks.stored_length}; widen them with convert_tracks.py --reference --length"
            )
        self.length, self.bins = self._tracks.length, self._tracks.bins
        self.n_outputs = len(self._tracks.tracks)
        if trunk.bins(self.length) * self._tracks.bin_width != self.length:
            raise InputError(
                f"tasks.{settings.name}: {settings.path} has bins of {self._tracks.bin_width} bases, but the trunk "
                f"makes {trunk.bins(self.length)} of {self.length} bases"
            )
        once_more = [] if settings.once_more is None else [settings.once_more]
        among = f"tasks.once_more: the choice of {settings.path}"
        self._once_more = [
            int(chosen([one], self._tracks.tracks, what="track", place=among)[0]) for one in once_more
        ]

    def examples(self, split: str) -> Numbers:
        """See `TaskData`."""
        return self._tracks.examples(split)

    def read(self, numbers: Numbers, *, reverse: bool) -> tuple[Packed, Targets]:
        """See `TaskData`; of the other strand bins are in the opposite order, and tracks those of that strand."""
        return self._tracks.batch(numbers, reverse=reverse)

    def n_terms(self, numbers: Numbers) -> int:
        """Examples: each has as many bins and tracks."""
        return len(numbers)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See the class; with the track that is to count once more."""
        loss = poisson_nll(prediction, target)
        for track in self._once_more:
            loss = loss + poisson_nll(prediction[..., track], target[..., track])
        return loss

    @torch.no_grad()
    def begin(self, head: TaskHead) -> None:
        """Give a new head the rows of a checkpoint's output head.

        Raises:
            InputError: it has other tracks, or reads other channels.
        """
        settings = self._settings
        if settings.pretrained is None:
            return
        names = [f"_heads.{settings.species}.0.{kind}" for kind in ("weight", "bias")]
        weight, bias = read_tensors(settings.pretrained, names, key="tasks.pretrained")
        if len(weight) != self._tracks.n_stored or weight.shape[1] != head.output.in_features:
            raise InputError(
                f"tasks.pretrained: the {settings.species} head of {settings.pretrained} has {len(weight)} tracks of "
                f"{weight.shape[1]} channels, but {settings.path} has {self._tracks.n_stored} tracks and the trunk "
                f"gives {head.output.in_features} channels"
            )
        head.output.weight.copy_(weight[self._tracks.columns])
        head.output.bias.copy_(bias[self._tracks.columns])


class MpraTask:
    """Reference and alternative sequences of variants: squared error of their difference, mean over what is known."""

    windows_each = 2

    def __init__(self, settings: MpraEffects, trunk: Trunk, margin: int) -> None:
        whole = settings.bin_width
        self._effects = VariantEffects(settings.path, bin_width=whole, cells=settings.cells, margin=margin)
        self.length = self._effects.length
        self.bins = trunk.bins(self.length)
        self.n_outputs = len(self._effects.cells)

    def examples(self, split: str) -> Numbers:
        """See `TaskData`."""
        return self._effects.examples(split)

    def read(self, numbers: Numbers, *, reverse: bool) -> tuple[Packed, Targets]:
        """See `TaskData`: first all reference sequences, then all alternative ones. Effects have no strand."""
        reference, alternative, effect = self._effects.batch(numbers)
        return np.concatenate([reference, alternative]), effect

    def n_terms(self, numbers: Numbers) -> int:
        """Effects that are known."""
        return self._effects.n_known(numbers)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        reference, alternative = prediction.chunk(2)
        return masked_mse(alternative - reference, target)

    def begin(self, head: TaskHead) -> None:
        """Random weights stay."""


@dataclass(frozen=True)
class TaskBatch:
    """Some examples of a task, on one strand, with one shift.

    ``windows`` (n x windows_each, bytes), of which a ``span`` is read; ``weight`` is that of their mean loss in the
    gradient of this process; ``seed`` is for dropout.
    """

    task: str
    windows: Packed
    span: Span
    target: Targets
    reverse: bool
    weight: float
    seed: int


class TaskBatches:
    """All batches of the tasks of a run, by step and process."""

    def __init__(self, data: Mapping[str, TaskData], config: FitConfig, context: int) -> None:
        """Take the examples by the name of their task; as many as ``microbatch`` windows of ``context`` at a time."""
        self._config = config
        self._data = data
        self._margin = _margin(config)
        # Which task is the how-maniest one says nothing about its examples: they go by its name.
        self._orders = {
            task.name: Shuffled(
                data[task.name].examples("train"), per_step=task.per_step, seed=_seed(config.seed, task.name)
            )
            for task in config.tasks
        }
        self._at_once = {
            name: max(1, config.microbatch * context // (one.length * one.windows_each))
            for name, one in data.items()
        }

    def at(self, step: int, *, rank: int = 0, n_ranks: int = 1) -> list[TaskBatch]:
        """The batches of one process in one optimiser step."""
        found: list[TaskBatch] = []
        for task in self._config.tasks:
            order, data = self._orders[task.name], self._data[task.name]
            mine = order.numbers(step, rank, n_ranks)
            # Processes average their gradients.
            share = n_ranks * task.weight / max(1, data.n_terms(order.numbers(step)))
            rng = np.random.default_rng([_seed(self._config.seed, task.name), step])
            reverse = bool(rng.random() < self._config.reverse_complement)
            shift = int(rng.integers(-self._config.max_shift, self._config.max_shift, endpoint=True))
            seed = int(rng.integers(2**62))
            at_once = self._at_once[task.name]
            for part in (mine[i : i + at_once] for i in range(0, len(mine), at_once)):
                weight = share * data.n_terms(part)
                found.append(
                    self._batch(task.name, part, reverse, shift, weight, seed + rank + n_ranks * len(found))
                )
        return found

    def epoch(self, step: int) -> float:
        """How many epochs of the first task so many steps are; 0 without tasks."""
        return next((order.epoch(step) for order in self._orders.values()), 0.0)

    def validation(self, name: str, n: int, *, rank: int = 0, n_ranks: int = 1) -> Iterator[TaskBatch]:
        """The first ``n`` validation examples of a task, unshifted on the + strand: one process's batches of them.

        Their weights say how much each counts in the mean over all ``n``.
        """
        data, at_once = self._data[name], self._at_once[name]
        numbers = data.examples("valid")[:n]
        terms = max(1, data.n_terms(numbers))
        parts = [numbers[i : i + at_once] for i in range(0, len(numbers), at_once)]
        for part in parts[rank::n_ranks]:  # one by one: the tracks of an example are megabytes
            yield self._batch(name, part, False, 0, data.n_terms(part) / terms, 0)

    def _batch(
        self, name: str, numbers: Numbers, reverse: bool, shift: int, weight: float, seed: int
    ) -> TaskBatch:
        windows, target = self._data[name].read(numbers, reverse=reverse)
        span = Span(self._margin - shift, self._data[name].length)
        return TaskBatch(name, windows, span, target, reverse, weight, seed)


def open_tasks(config: FitConfig) -> dict[str, TaskData]:
    """The examples of a config's tasks, by name.

    Raises:
        InputError: they are not there, or do not suit the trunk.
    """
    return {task.name: task.open(config.trunk, _margin(config)) for task in config.tasks}


def _margin(config: FitConfig) -> int:
    """Bases on each side of a window, for shifts; even."""
    return config.max_shift + config.max_shift % 2


def _seed(seed: int, name: str) -> int:
    """The seed of a task."""
    return int.from_bytes(name.encode(), "little") * 2**32 + seed
