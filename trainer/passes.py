"""Forward and backward passes of a model over packed windows.

The loss couples all people of a gene batch. Where their windows do not fit into memory at once they are
run twice: without gradient, to get every window's value and from those the loss's derivative by each
value; then microbatch by microbatch with gradient, weighted by that derivative. The sum is the gradient of
the whole batch, because each window's value depends on that window alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.batches import GeneBatch, distinct_windows
from trainer.crops import Windows
from trainer.head import mean_of_haplotypes
from trainer.objectives import ObjectiveFunction
from trainer.task_data import TaskBatch, TaskData
from trainer.tiles import Packed, Span, Tiling, cut

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from lightning.fabric.wrappers import _FabricModule


class Passes:
    """Runs a model, set up by a Fabric, on up to ``microbatch`` windows at a time.

    ``n_windows`` counts the windows run with and without gradient, and ``n_bases`` the bases that the trunk
    read for them.
    """

    def __init__(self, fabric: Fabric, model: _FabricModule, tiling: Tiling | None, microbatch: int) -> None:
        self._fabric = fabric
        self._model = model
        self._tiling = tiling
        self._microbatch = microbatch
        self.n_windows = 0
        self.n_bases = 0

    def add_gradient(
        self, batch: GeneBatch, objective: ObjectiveFunction, *, weight: float, last: bool
    ) -> float:
        """Add ``weight`` times the gradient of a gene batch's loss to the parameters' gradients.

        ``last`` says that no other batch of this process follows in this step: then processes exchange
        gradients. Both passes drop the same units. Returns the loss.
        """
        parts = self._parts(batch.windows)
        haplotype = self._fabric.to_device(torch.from_numpy(batch.haplotype))
        target = self._fabric.to_device(torch.from_numpy(batch.target))

        def run(number: int) -> Tensor:
            torch.manual_seed(batch.seed + number)
            return self._values(parts[number], batch.span, batch.reverse)

        def loss_of(values: Tensor) -> Tensor:
            return objective.loss(mean_of_haplotypes(values, haplotype), target)

        def exchange_after(number: int) -> AbstractContextManager[None]:
            is_last = last and number == len(parts) - 1
            return self._fabric.no_backward_sync(self._model, enabled=not is_last)

        if len(parts) == 1:
            with exchange_after(0):
                loss = loss_of(run(0))
                self._fabric.backward(loss * weight)
            return float(loss.detach())
        with torch.no_grad():
            values = torch.cat([run(number) for number in range(len(parts))])
        loss = loss_of(values.requires_grad_())
        (derivative,) = torch.autograd.grad(loss, values)
        for number, share in enumerate(torch.split(derivative, self._microbatch)):
            with exchange_after(number):
                self._fabric.backward((run(number) * share).sum() * weight)
        return float(loss.detach())

    def add_task_gradient(self, batch: TaskBatch, data: TaskData, *, last: bool) -> float:
        """Add the gradient of a task's batch, times its weight, to the parameters' gradients.

        ``last`` as of `add_gradient`. Returns the mean loss of the batch.
        """
        with self._fabric.no_backward_sync(self._model, enabled=not last):
            loss = self.task_loss(batch, data)
            self._fabric.backward(loss * batch.weight)
        return float(loss.detach())

    def task_loss(self, batch: TaskBatch, data: TaskData) -> Tensor:
        """The mean loss of a task's batch, a scalar."""
        torch.manual_seed(batch.seed)
        prediction = self._values(batch.windows, batch.span, batch.reverse, batch.task)
        return data.loss(prediction, self._fabric.to_device(torch.from_numpy(batch.target)))

    @torch.no_grad()
    def predict(
        self, crops: Windows, gene: int, people: npt.NDArray[np.integer], *, both_strands: bool
    ) -> npt.NDArray[np.float32]:
        """Values of people's haplotypes (n, 2) of a gene, each distinct window run once on each strand, NaN = none.

        With ``both_strands`` a window's value is the mean over both. The model is to be in evaluation mode.
        """
        windows, haplotype = distinct_windows(crops, gene, people)
        if len(windows) == 0:
            return np.full((len(people), 2), np.nan, dtype=np.float32)
        strands = (False, True) if both_strands else (False,)
        runs = [
            [self._values(part, crops.span(), reverse) for part in self._parts(windows)]
            for reverse in strands
        ]
        values = torch.stack([torch.cat(parts) for parts in runs]).mean(dim=0).cpu()
        # The last one is that of -1, a haplotype that does not exist.
        return np.append(values.numpy(), np.float32(np.nan))[haplotype]

    def _parts(self, windows: Packed) -> list[Packed]:
        return [windows[i : i + self._microbatch] for i in range(0, len(windows), self._microbatch)]

    def _values(self, windows: Packed, span: Span, reverse: bool, task: str | None = None) -> Tensor:
        """The values (n,) of a span of packed windows (n, bytes), or what the head of a task gives."""
        tiles = cut(windows, span, self._tiling)
        self.n_windows += len(windows)
        self.n_bases += len(tiles.packed) * tiles.span.length
        packed, index = (
            self._fabric.to_device(torch.from_numpy(array)) for array in (tiles.packed, tiles.index)
        )
        return cast(Tensor, self._model(packed, index, tiles.span, reverse, task))
