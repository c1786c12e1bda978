"""Where else metrics go than to metrics.csv: TensorBoard and Weights & Biases, if a config asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seqstore.errors import InputError

if TYPE_CHECKING:
    from trainer.run import Metrics

Logger = Literal["tensorboard", "wandb"]


def check_loggers(names: Sequence[Logger]) -> None:
    """Raise an InputError if what a logger needs is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise InputError(f"log: {name} is not installed; pip install {name}, or leave it out")


def open_loggers(
    names: Sequence[Logger], path: Path, *, name: str, step: int
) -> list[Callable[[Metrics], None]]:
    """Functions that take a row of metrics.csv; a run at ``path`` goes on from ``step``, and forgets what came after.

    TensorBoard's files are in the folder ``tensorboard`` of the run. Weights & Biases knows a run by its path.
    """
    opened: list[Callable[[Metrics], None]] = []
    if "tensorboard" in names:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(path / "tensorboard", purge_step=step + 1)

        def add_scalars(metrics: Metrics) -> None:
            for key, value in metrics.row().items():
                writer.add_scalar(key, value, metrics.step)
            writer.flush()

        opened.append(add_scalars)
    if "wandb" in names:
        import wandb

        identity = str(path.resolve()).strip("/").replace("/", "-")[-128:]
        run = wandb.init(project="seqstore", name=name, id=identity, dir=path, resume="allow")
        opened.append(lambda metrics: run.log(metrics.row(), step=metrics.step))
    return opened
