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

_WINDOWS = "haplotype_sequence"


def refuse_lost_chunks(place: str) -> None:
    """Refuse a store in a folder of which a chunk file is not there, of any array but the windows.

    Raises:
        InputError: one is missing; the message names it.
    """
    for folder in _arrays(place):
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


def _arrays(place: str) -> list[str]:
    """The folders of the arrays of a store but the windows, those of its groups too."""
    found = []
    for name in sorted(os.listdir(place)):
        folder = f"{place}/{name}"
        if name in (_WINDOWS, "spool") or name.endswith(".partial") or not os.path.isdir(folder):
            continue
        if os.path.isfile(f"{folder}/zarr.json"):
            if json.loads(Path(folder, "zarr.json").read_text()).get("node_type") == "array":
                found.append(folder)
            else:
                found += _arrays(folder)
    return found
