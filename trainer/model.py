"""A model: trunk and heads, from packed tiles to one value a window, or to what a task is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from trainer.config import FitConfig
from trainer.head import HaplotypeHead, SharedTrackHead
from trainer.onehot import OneHot
from trainer.task_heads import TaskHead
from trainer.tiles import Span, Tiling
from trainer.trunks import TrunkModule

#: The head's seed is so much more.
_HEAD = 1 << 32


class Sizes(NamedTuple):
    """Of what a task's head predicts: the centre bins of a window, and the tracks or cell types."""

    bins: int
    n_outputs: int


def _sizes_in(weights: Mapping[str, Tensor], channels: int) -> dict[str, Sizes]:
    """Those of the tasks' heads in a model's weights: outputs, and bins as far as the weights depend on them."""
    return {
        name.split(".")[1]: Sizes(weight.shape[1] // channels, weight.shape[0])
        for name, weight in weights.items()
        if name.startswith("tasks.") and name.endswith(".output.weight")
    }


class Model(nn.Module):
    """Reads the distinct tiles of a set of windows and gives each window one value, or predicts a task of ``tasks``."""

    def __init__(
        self,
        trunk: TrunkModule,
        head: HaplotypeHead,
        ambiguous: str = "zero",
        tasks: Mapping[str, TaskHead] | None = None,
    ) -> None:
        super().__init__()
        self._only_tasks = False
        self.input: nn.Module = getattr(trunk, "input", None) or OneHot(ambiguous)
        self.trunk = cast(nn.Module, trunk)
        self.head = cast(nn.Module, head)
        self.tasks = nn.ModuleDict(cast("dict[str, nn.Module]", tasks or {}))
        if isinstance(head, SharedTrackHead):
            head.share(self.task_head(head.task))

    def task_head(self, name: str) -> TaskHead:
        """The head of a task."""
        return cast(TaskHead, self.tasks[name])

    def freeze_all_but_tasks(self) -> None:
        """Train the heads of tasks only; all else stays as it is, in evaluation mode."""
        self.trunk.requires_grad_(False)
        self.head.requires_grad_(False)
        self._only_tasks = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Model:
        """As of any module; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self._only_tasks:
            self.trunk.eval()
            self.head.eval()
        return self

    @property
    def tiling(self) -> Tiling | None:
        """How the trunk's windows are cut."""
        return cast(TrunkModule, self.trunk).tiling

    def forward(
        self, tiles: Tensor, index: Tensor, span: Span, reverse: bool, task: str | None = None
    ) -> Tensor:
        """Values (windows,) float32 of windows given as tiles, or what the head of a task gives (windows, ...).

        ``tiles`` (n, bytes) uint8 packed on the + strand, of which a ``span`` is read, ``index`` (windows, tiles a
        window) which tiles each window consists of; with ``reverse`` the other strand is read, whose tiles stand
        in the opposite order.
        """
        read = self.input(tiles, start=span.start, length=span.length, reverse=reverse)
        embedded = cast(TrunkModule, self.trunk).embed(read).float()
        order = index.flip(1) if reverse else index
        # Not embedded[order]: on a CPU its gradient is slow, and adds up in an order that varies.
        bins = embedded.index_select(0, order.flatten()).reshape(len(order), -1, embedded.shape[2])
        # People of one gene differ little from each other: too little for the digits of bfloat16.
        with torch.autocast(bins.device.type, enabled=False):
            return cast(Tensor, (self.head if task is None else self.tasks[task])(bins))


def build_model(config: FitConfig, sizes: Mapping[str, Sizes] | None = None) -> Model:
    """The untrained model of a config, with heads for the tasks whose ``sizes`` are given.

    Its random weights depend on ``config.seed``, the heads' not on the trunk.
    """
    return _assembled(config, lambda _: sizes or {})


def trained_model(config: FitConfig, weights: Mapping[str, Tensor]) -> Model:
    """The model of a config with these weights, those of its tasks' heads among them."""
    model = _assembled(config, lambda channels: _sizes_in(weights, channels))
    model.load_state_dict(dict(weights))
    return model


def _assembled(config: FitConfig, sizes_for: Callable[[int], Mapping[str, Sizes]]) -> Model:
    torch.manual_seed(config.seed)
    trunk = config.trunk.build()
    if config.compile:
        trunk.embed = torch.compile(trunk.embed)  # type: ignore[method-assign]
    torch.manual_seed(config.seed + _HEAD)
    head = config.head.build(trunk.channels)
    sizes = sizes_for(trunk.channels)
    tasks = {
        task.name: task.head(trunk.channels, *sizes[task.name]) for task in config.tasks if task.name in sizes
    }
    return Model(trunk, head, config.ambiguous, tasks)
