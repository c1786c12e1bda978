"""Labels that a user names, looked up among those that exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import xarray as xr

from seqstore.errors import InputError


def labels_of(dataset: xr.Dataset | xr.DataArray, name: str) -> list[str]:
    """The values of a dimension, coordinate or variable with one dimension, as plain text."""
    return [str(label) for label in dataset[name].values]


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist: all that do if they are few, else the nearest."""
    names = sorted(set(known))
    if len(names) <= 12:
        hint = f"there is {', '.join(names)}" if names else "there is none"
    else:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"the nearest of {len(names)} are {', '.join(close or names[:3])}"
    return InputError(f"no {what} {name!r}: {hint}")
