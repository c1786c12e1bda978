"""Putting a chunk that is encoded already where zarr keeps it.

Going through zarr would mean to spell out every haplotype's window, tens of megabytes a gene, only for the
codec to find out again which of them are the same.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from seqstore.errors import InputError


def write_chunk(array: Any, chunk: tuple[int, ...], encoded: bytes) -> None:
    """Put the encoded bytes of a chunk, given its number along each dimension, into a zarr.Array's store."""
    place = array.store_path / array.metadata.encode_chunk_key(chunk)
    sync(place.set(default_buffer_prototype().buffer.from_bytes(encoded)))


def link_chunk(source: Any, target: Any, chunk: tuple[int, ...]) -> None:
    """Make a chunk of a zarr.Array one of another, both on this machine: the same file by a second name.

    Where the file system has no such names, it is copied.

    Raises:
        InputError: the chunk's file is missing.
    """
    paths = [
        Path(array.store.root) / array.path / array.metadata.encode_chunk_key(chunk)
        for array in (source, target)
    ]
    paths[1].parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(*paths)
    except FileExistsError:  # by a run that was stopped
        return
    except FileNotFoundError:
        raise InputError(
            f"{paths[0]}: this chunk file of the store is missing; build the store again"
        ) from None
    except OSError:
        aside = paths[1].with_name(f"{paths[1].name}.{uuid.uuid4().hex}.partial")
        shutil.copyfile(paths[0], aside)
        os.replace(aside, paths[1])
