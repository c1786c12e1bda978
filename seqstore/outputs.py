"""Places for results, checked before the work that makes them."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seqstore.errors import InputError


def check_folder(path: str | Path) -> None:
    """Refuse a folder that can neither be written to nor be made."""
    path = Path(path)
    standing = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise InputError(f"{standing}: is a file, not a folder; choose another output")
    if not os.access(standing, os.W_OK):
        raise InputError(f"{standing}: cannot be written to; choose another output")


@contextmanager
def written_aside(output: Path) -> Iterator[Path]:
    """A place to write what shall stand at ``output`` once it is whole."""
    aside = output.with_name(f"{output.name}.{uuid.uuid4().hex}.partial")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
        os.replace(aside, output)
    finally:
        remove: Any = shutil.rmtree if aside.is_dir() else Path.unlink
        if aside.exists():
            remove(aside)
