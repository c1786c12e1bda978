"""What several commands refuse before they begin."""

from __future__ import annotations

from pathlib import Path

from seqstore.errors import InputError


def check_seed(seed: int) -> None:
    """Raise an InputError unless numpy takes the seed."""
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed}: give a number from 0 to {2**32 - 1}")


def refuse_existing(path: Path) -> None:
    """Raise an InputError if a result stands at the path already."""
    if path.exists():
        raise InputError(f"{path}: exists already; remove it or give another --output")
