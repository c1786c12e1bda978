"""Tracks and cell types that a user chooses, by name or by number."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqstore.errors import InputError

#: So many names are listed; of more, the nearest.
_FEW = 12


def chosen(
    wanted: Sequence[str | int] | None, *names: Sequence[str], what: str, place: str
) -> npt.NDArray[np.int64]:
    """The numbers of what is wanted, in the order of ``wanted``; None = all.

    ``names`` are sequences of one length, such as identifiers and descriptions: a name is looked up in the first
    that has it. ``what`` ("track") is chosen in the file ``place``, for errors.

    Raises:
        InputError: there is none of that name or number, several have the name, or one is wanted twice.
    """
    n = len(names[0])
    if wanted is None:
        return np.arange(n)
    numbers = [_number(one, n, names, what, place) for one in wanted]
    for at, number in enumerate(numbers):
        if number in numbers[:at]:
            raise InputError(f"{what} {wanted[at]}: is chosen twice; name it once")
    if not numbers:
        raise InputError(f"{place}: no {what} is chosen; name one, or leave the choice out for all {n}")
    return np.array(numbers, dtype=np.int64)


def _number(one: str | int, n: int, names: Sequence[Sequence[str]], what: str, place: str) -> int:
    if isinstance(one, int):
        if not 0 <= one < n:
            raise InputError(f"{what} {one}: {place} has {n}, numbered from 0 to {n - 1}")
        return one
    for labels in names:
        found = [number for number, label in enumerate(labels) if label == one]
        if len(found) > 1:
            listed = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
            raise InputError(
                f"{what} {one!r}: is the name of {len(found)} of {place}; choose by number ({listed})"
            )
        if found:
            return found[0]
    known = list(dict.fromkeys(label for labels in names for label in labels))
    if n <= _FEW:
        raise InputError(f"{what} {one!r}: {place} has {', '.join(names[0])}")
    near = difflib.get_close_matches(one, known, n=3, cutoff=0.5)
    hint = (
        f"the nearest of {n} are {', '.join(near)}" if near else f"it has {n}, such as {', '.join(known[:3])}"
    )
    raise InputError(f"{what} {one!r}: {place} has none of that name; {hint}")
