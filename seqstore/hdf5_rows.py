"""HDF5 in the layout of the reference study: one row a gene and individual, both of its windows as one-hot.

The layout is what `construct_h5_dataset.py` of ni-lab/finetuning-enformer writes: ``seqs`` (row, 2, length, 4)
float16 in the order ACGT, ``genes``, ``samples``, ``ancestries`` and ``Y`` (row,).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from seqstore.errors import InputError

_LABELS = {"genes": "gene", "samples": "individual", "ancestries": "population"}
_NEEDED = ("seqs", "genes", "samples", "Y")
#: Rows of one-hot sequence in memory at once.
_ROWS = 16


class Hdf5Rows:
    """Some files of the layout, opened.

    ``table`` has one line a row: ``file`` (number), ``row`` (in the file), ``gene``, ``individual``, ``population``
    ("" = not given) and ``expression``; ``length`` is the bases of a window.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        """Open the files and read all but the sequences.

        Raises:
            InputError: one is no such file, windows have two lengths, or a gene and individual stand twice.
        """
        self.paths = list(paths)
        self._files = [_open(path) for path in paths]
        lengths = {path: int(file["seqs"].shape[2]) for path, file in zip(paths, self._files, strict=True)}
        self.length = lengths[paths[0]]
        for path, length in lengths.items():
            if length % 2 or length != self.length:
                raise InputError(
                    f"{path}: its windows have {length} bases, those of {paths[0]} {self.length}; give files of "
                    "one even length"
                )
        self.table = pd.concat(
            [_labels(number, file) for number, file in enumerate(self._files)], ignore_index=True
        )
        twice = self.table.duplicated(["gene", "individual"])
        if twice.any():
            cell = self.table[twice].iloc[0]
            raise InputError(
                f"{paths[cell['file']]}: row {cell['row']}, gene {cell['gene']} of individual {cell['individual']}, "
                "stands twice in what is given; keep one"
            )

    def windows(self, cells: pd.DataFrame) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """The packed windows (2, length // 2) of some rows of the table, each with its place among ``cells``.

        Raises:
            InputError: they are not one-hot.
        """
        order = np.lexsort([cells["row"], cells["file"]])
        files, rows = cells["file"].to_numpy()[order], cells["row"].to_numpy()[order]
        breaks = np.flatnonzero((np.diff(files) != 0) | (np.diff(rows) != 1)) + 1
        for begin, end in itertools.pairwise([0, *breaks.tolist(), len(order)]):
            for first in range(begin, end, _ROWS):
                stop = min(first + _ROWS, end)
                number, row = int(files[first]), int(rows[first])
                packed = self._packed(number, row, row + stop - first)
                yield from zip(order[first:stop].tolist(), packed, strict=True)

    def _packed(self, number: int, first: int, stop: int) -> npt.NDArray[np.uint8]:
        """Windows (row, 2, length // 2) of consecutive rows of a file."""
        try:
            one_hot = self._files[number]["seqs"][first:stop]
        except OSError as error:
            raise InputError(
                f"{self.paths[number]}: seqs of rows {first} to {stop - 1} cannot be read ({error})"
            ) from None
        # Comparing numbers of 16 bits as what they are is slow; as bits it is not.
        one: Any = np.float16(1).view(np.uint16) if one_hot.dtype == np.float16 else 1
        bits = one_hot.view(np.uint16) if one_hot.dtype == np.float16 else one_hot
        is_one = bits == one
        is_set = is_one.view(np.uint8)
        at_most_one = is_set[..., 0] + is_set[..., 1] + is_set[..., 2] + is_set[..., 3] <= 1
        bad = (bits != 0).sum(axis=-1, dtype=np.uint8) != is_set.sum(axis=-1, dtype=np.uint8)
        bad |= ~at_most_one
        if bad.any():
            row, haplotype, base = np.argwhere(bad)[0].tolist()
            raise InputError(
                f"{self.paths[number]}: seqs[{first + row}, {haplotype}, {base}] is "
                f"{one_hot[row, haplotype, base].tolist()}, not the one-hot of a base or zeros"
            )
        return np.packbits(is_set.reshape(*is_set.shape[:2], -1), axis=-1, bitorder="little")


def _open(path: str) -> Any:
    """An HDF5 file that has what is needed, in its shapes."""
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"{path}: HDF5 needs h5py ({error}); pip install seqstore[hdf5]") from error
    try:
        file = h5py.File(path)
    except OSError as error:
        hint = "; gunzip it first" if path.endswith(".gz") else ""
        raise InputError(f"{path}: cannot be read as HDF5 ({error}){hint}") from None
    missing = [name for name in _NEEDED if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        raise InputError(f"{path}: has no {missing[0]!r}; the study's layout has {', '.join(_NEEDED)}")
    shape = file["seqs"].shape
    if len(shape) != 4 or shape[1] != 2 or shape[3] != 4 or not shape[0]:
        raise InputError(f"{path}: seqs has the shape {shape}, not (rows, 2, length, 4)")
    for name in (*_LABELS, "Y"):
        if name in file and file[name].shape != shape[:1]:
            raise InputError(f"{path}: {name} has the shape {file[name].shape}, seqs {shape[0]} rows")
    return file


def _labels(number: int, file: Any) -> pd.DataFrame:
    n = file["seqs"].shape[0]
    labels = {
        column: file[name].asstr()[:] if name in file else np.full(n, "", dtype=object)
        for name, column in _LABELS.items()
    }
    return pd.DataFrame(
        {"file": number, "row": np.arange(n), **labels, "expression": file["Y"][:].astype(np.float32)}
    )
