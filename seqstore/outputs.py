"""Places for results, checked before the work that makes them."""

from __future__ import annotations

import os
from pathlib import Path

from seqstore.errors import InputError


def check_folder(path: str | Path) -> None:
    """Refuse a folder that can neither be written to nor be made."""
    path = Path(path)
    standing = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise InputError(f"{standing}: is a file, not a folder; choose another output")
    if not os.access(standing, os.W_OK):
        raise InputError(f"{standing}: cannot be written to; choose another output")
