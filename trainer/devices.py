"""The devices and the precision that a config asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy

from seqstore.errors import InputError
from trainer.config import FitConfig


def launched_fabric(config: FitConfig) -> Fabric:
    """A Fabric with the config's accelerator and precision, of one process or of those that torchrun has started.

    Raises:
        InputError: this machine has no such device.
    """
    n_processes = int(os.environ.get("WORLD_SIZE", 1))
    n_here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            precision=config.precision,
            devices=n_here,
            num_nodes=n_processes // n_here,
            strategy=_side_by_side(config) if n_processes > 1 else "auto",
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"accelerator: {config.accelerator} cannot be used on this machine ({error})"
        ) from error
    fabric.launch()
    return fabric


def _side_by_side(config: FitConfig) -> DDPStrategy:
    """Processes exchange gradients once a step, and nothing else: one may have nothing to validate or to predict.

    With tasks, the last pass of a step uses one of several heads.
    """
    return DDPStrategy(find_unused_parameters=bool(config.tasks), broadcast_buffers=False)


@contextmanager
def lack_of_memory_named(microbatch: int) -> Iterator[None]:
    """Turn an error of the device's, or of this machine's, memory into an InputError that says what to lower."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        raise InputError(
            f"microbatch: {microbatch} windows at once do not fit into memory; lower it, or let the trunk "
            "checkpoint_activations"
        ) from error
