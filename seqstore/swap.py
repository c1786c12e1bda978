"""Putting a store in the place of the one that it was made from, so that there is always a whole one.

A folder cannot be replaced by another in one step everywhere. It takes two renames: the old store goes aside,
the new one comes in. Should the first be the last that a process does, whoever opens the store next does the
second.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from seqstore.errors import InputError


def beside(place: str) -> str:
    """Where the store that is to replace the one at a place is built."""
    return f"{_folder(place)}.appending"


def check_replaceable(place: str) -> None:
    """Refuse a store that cannot be given another name.

    Raises:
        InputError: its folder is where a file system is mounted.
    """
    if _folder(place).is_mount():
        raise InputError(
            f"{place}: is where a file system is mounted, and so cannot be replaced; move the store into a folder "
            "of it"
        )


def swap(place: str) -> None:
    """Put the finished store `beside` a place there; the one that stands there is removed."""
    if not Path(beside(place)).is_dir():
        raise InputError(f"{beside(place)}: was removed by another process; the store is as it was")
    os.rename(_folder(place), _replaced(place))
    finish_swap(place)
    shutil.rmtree(_replaced(place), ignore_errors=True)  # what cannot go now is the next swap's affair


def finish_swap(place: str) -> None:
    """Do the second rename of a swap of which only the first was done, if there is one.

    Raises:
        InputError: this user may not.
    """
    if _folder(place).exists() or not _replaced(place).exists():
        return
    new = Path(beside(place))
    try:
        os.rename(new if new.exists() else _replaced(place), _folder(place))
    except PermissionError:
        raise InputError(
            f"{place}: was being replaced when that was stopped; somebody who may write there has to open it once"
        ) from None
    except OSError:  # another process was faster
        if not _folder(place).exists():
            raise


def remove_replaced(place: str) -> None:
    """Remove what an earlier swap has put aside; a store stands at the place itself.

    Raises:
        InputError: it cannot be removed.
    """
    replaced = _replaced(place)
    shutil.rmtree(replaced, ignore_errors=True)
    if replaced.exists():
        raise InputError(
            f"{replaced}: cannot be removed; a process may still read it. Remove it and try again"
        )


def _folder(place: str) -> Path:
    """The store's folder itself, where the place is a link to it."""
    return Path(place).resolve()


def _replaced(place: str) -> Path:
    return Path(f"{_folder(place)}.replaced")
