"""Chunk files that a store should have and has not, such as after a copy that was cut off.

Zarr reads a chunk that is not there as the fill value, without a word. Windows are looked after by their codec; of
the other arrays the files are counted when a store on this machine is opened.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from pathlib import Path

from seqstore.errors import InputError
from seqstore.store_arrays import ARRAYS, SEQUENCE

#: What of the root of a store is looked at, besides its coordinates.
_OF_A_STORE = {name.split("/")[0] for name in ARRAYS} - {SEQUENCE} | {"splits"}


def refuse_lost_chunks(place: str, coordinates: str) -> None:
    """Refuse a store in a folder of which a chunk file is not there, of any array but the windows.

    ``coordinates`` is the attribute of the store that names some of its arrays; others that somebody has added to it
    are not looked at.

    Raises:
        InputError: one is missing; the message names it.
    """
    own = {*_OF_A_STORE, *coordinates.split()}
    for folder in (
        folder for name in sorted(os.listdir(place)) if name in own for folder in _arrays(place, name)
    ):
        metadata = json.loads(Path(folder, "zarr.json").read_text())
        chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        grid = [-(-size // of_chunk) for size, of_chunk in zip(metadata["shape"], chunk, strict=True)]
        if sum(len(files) for _, _, files in os.walk(f"{folder}/c")) < math.prod(grid):
            for key in itertools.product(*map(range, grid)):
                file = "/".join([folder, "c", *map(str, key)])
                if not os.path.exists(file):
                    raise InputError(
                        f"{file}: this chunk file is missing; take it from a copy of the store (all that is missing: "
                        f"seqstore verify {place})"
                    )


def _arrays(place: str, name: str) -> list[str]:
    """The folder of an array, or those of the arrays of a group and of its groups."""
    folder = f"{place}/{name}"
    if name.endswith(".partial") or not os.path.isfile(f"{folder}/zarr.json"):
        return []
    if json.loads(Path(folder, "zarr.json").read_text()).get("node_type") == "array":
        return [folder]
    return [array for inner in sorted(os.listdir(folder)) for array in _arrays(folder, inner)]
