"""The devices and the precision that a config asks for."""

from __future__ import annotations

from typing import Any

from lightning.fabric import Fabric

from seqstore.errors import InputError
from trainer.config import FitConfig


def open_fabric(config: FitConfig, **options: Any) -> Fabric:
    """A Fabric with the config's accelerator and precision.

    Raises:
        InputError: this machine has no such device.
    """
    try:
        return Fabric(accelerator=config.accelerator, precision=config.precision, **options)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"accelerator: {config.accelerator} cannot be used on this machine ({error})"
        ) from error
