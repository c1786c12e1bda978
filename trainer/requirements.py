"""What the settings of a run must be like."""

from __future__ import annotations

from pathlib import Path

from seqstore.errors import InputError


def require(condition: bool, message: str) -> None:
    """Raise an InputError with this message unless the condition holds."""
    if not condition:
        raise InputError(message)


def bins_of(context: int, bases: int) -> int:
    """How many bins of so many bases a context has; an InputError if that is no whole number."""
    require(context % bases == 0, f"context: {context} bases are not a whole number of bins of {bases}")
    return context // bases


def require_checkpoint(key: str, pretrained: str) -> None:
    """Raise an InputError unless ``pretrained`` is a hub id, or a folder with a checkpoint; ``key`` names it."""
    folder = Path(pretrained)
    is_path = folder.is_absolute() or pretrained.startswith(".") or len(folder.parts) != 2
    require(
        (folder / "config.json").is_file() if folder.exists() else not is_path,
        f"{key}: {folder} is neither a folder with a config.json nor a hub id (owner/name)",
    )
