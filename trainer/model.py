"""A model: trunk and head, from packed tiles to one value a window."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from trainer.config import FitConfig
from trainer.head import HaplotypeHead
from trainer.onehot import OneHot
from trainer.tiles import Span, Tiling
from trainer.trunks import TrunkModule

#: The head's seed is so much more.
_HEAD = 1 << 32


class Model(nn.Module):
    """Reads the distinct tiles of a set of windows and gives each window one value."""

    def __init__(self, trunk: TrunkModule, head: HaplotypeHead, ambiguous: str = "zero") -> None:
        super().__init__()
        self.input: nn.Module = getattr(trunk, "input", None) or OneHot(ambiguous)
        self.trunk = cast(nn.Module, trunk)
        self.head = cast(nn.Module, head)

    @property
    def tiling(self) -> Tiling | None:
        """How the trunk's windows are cut."""
        return cast(TrunkModule, self.trunk).tiling

    def forward(self, tiles: Tensor, index: Tensor, span: Span, reverse: bool) -> Tensor:
        """Values (windows,) float32 of windows given as tiles.

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
            return cast(Tensor, self.head(bins))


def build_model(config: FitConfig) -> Model:
    """The untrained model of a config; its random weights depend on ``config.seed``, the head's not on the trunk."""
    torch.manual_seed(config.seed)
    trunk = config.trunk.build()
    if config.compile:
        trunk.embed = torch.compile(trunk.embed)  # type: ignore[method-assign]
    torch.manual_seed(config.seed + _HEAD)
    return Model(trunk, config.head.build(trunk.channels), config.ambiguous)
