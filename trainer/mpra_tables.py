"""Tables of MPRA variant effects, one or several, as one dataset.

A massively parallel reporter assay measures for a variant how much more a reporter is expressed behind the
alternative sequence than behind the reference one: log2 skew. The study took 42 tables of ENCODE for five cell types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from seqstore.errors import InputError
from seqstore.nucleotides import NOT_A_BASE, Codes, encode, pack
from seqstore.tables import MISSING_NUMBERS, first_column_of, read_table, refuse_repeats

FORMAT_NAME = "seqstore variant effects"
FORMAT_VERSION = 1
_WHAT = "table of variant effects"
_SEQUENCES = ("ref_sequence", "alt_sequence")
_COLUMNS = {
    "ref_id": ("ref_id", "id", "variant", "variant_id"),
    "alt_id": ("alt_id",),
    "ref_sequence": ("ref_sequence", "ref_seq"),
    "alt_sequence": ("alt_sequence", "alt_seq"),
}
_KEYS = list(_COLUMNS)
_EFFECT = ("log2skew", "log2_skew", "effect")
_ENDING = "_log2skew"


def read_effects(path: str | Path, cells: Sequence[str] | None = None, *, pad: bool = False) -> pd.DataFrame:
    """Read a table with a column for each cell type: effects float64, NaN = not measured.

    It has columns ref_sequence and alt_sequence (or ref_seq, alt_seq), and may have ref_ID and alt_ID. ``cells`` names
    the columns with effects; by default they are those that end in ``_Log2Skew``, or else all others. Rows of one
    variant are averaged. Returns a table indexed by ids and sequences, with a column a cell type.

    Args:
        path: tabs, ``.csv`` or ``.parquet``
        cells: columns with effects
        pad: take sequences of several lengths, and odd ones, which `as_dataset` is to pad

    Raises:
        InputError: it cannot be read, a column is missing, a sequence has other letters than nucleotides or another
            length than the others, or an effect is no number.
    """
    table = read_table(path, _WHAT)
    keys, used = _keys(table, path, pad)
    others = [column for column in table.columns if column not in used]
    if cells is None:
        columns = [column for column in others if column.lower().endswith(_ENDING)] or others
    else:
        missing = [name for name in cells if name not in others]
        if missing:
            raise InputError(f"{path}: has no effects in {missing[0]!r}; it has columns {', '.join(others)}")
        columns = list(cells)
    if not columns:
        raise InputError(f"{path}: has no column with effects besides {', '.join(table.columns)}")
    refuse_repeats(pd.Series([_cell_of(column) for column in columns]), path, "cell type")
    effects = {_cell_of(column): _effects(table[column], path) for column in columns}
    return pd.DataFrame({**keys, **effects}).groupby(_KEYS, sort=True).mean()


def read_cells(tables: Mapping[str, Sequence[str | Path]], *, pad: bool = False) -> pd.DataFrame:
    """Read tables of one cell type each, several a cell type: to what `read_effects` returns.

    They have columns ref_ID, alt_ID, ref_seq, alt_seq and Log2Skew. As in the study, rows without a finite effect and
    rows that stand there several times are left out, and the others of one variant (ids and sequences) averaged; a
    variant that some cell types lack is kept.

    Raises:
        InputError: as `read_effects`.
    """
    of_cell = {}
    for cell, paths in tables.items():
        rows = pd.concat([_rows_of_cell(path, cell, pad) for path in paths], ignore_index=True)
        of_cell[cell] = rows.dropna(subset="effect").drop_duplicates().groupby(_KEYS)["effect"].mean()
    return pd.concat(of_cell, axis="columns", join="outer").sort_index()


def as_dataset(
    effects: pd.DataFrame,
    *,
    seed: int,
    validation: float = 0.05,
    test: float = 0.05,
    zscore: bool = True,
    pad: bool = False,
) -> xr.Dataset:
    """The variants of `read_effects` or `read_cells` with packed sequences and a split.

    ``ref_sequence`` and ``alt_sequence`` (variant, byte) are packed, ``effect`` (variant, cell) float32 with NaN = not
    measured; coordinates are ``split`` (variant: train, valid, test), ``ref_id``, ``alt_id``, ``cell``, and
    ``effect_mean`` and ``effect_sd`` (cell) of the effects as they were.

    Args:
        effects: indexed by ids and sequences, a column a cell type
        seed: of the split, which is of random variants, as in the study
        validation: share of variants for validation
        test: share of variants for testing
        zscore: make the effects of each cell type z-scores, as in the study over all its variants (ddof 1)
        pad: lengthen shorter sequences to the longest with N behind, as in the study

    Raises:
        InputError: there are no effects, those of a cell type do not vary, sequences differ in length, or the shares
            leave no variant to train.
    """
    effects = effects[effects.notna().any(axis="columns")]
    if not len(effects):
        raise InputError("effects: no variant has one in any cell type; see the tables")
    values = effects.to_numpy(dtype=np.float64)
    mean, sd = (np.array(found) for found in zip(*map(_mean_and_sd, values.T), strict=True))
    if zscore and not (sd > 0).all():
        cell = effects.columns[~(sd > 0)][0]
        raise InputError(f"effects: those of {cell} do not vary, so that they have no z-score")
    length = _length(effects.index, pad)
    dataset = xr.Dataset(
        {
            **{
                name: (
                    ("variant", "byte"),
                    _packed(effects.index.get_level_values(name), length),
                    {
                        "description": "bit-packed one-hot, 4 bits a base: A=1 C=2 G=4 T=8, N=0, low nibble first"
                    },
                )
                for name in _SEQUENCES
            },
            "effect": (
                ("variant", "cell"),
                ((values - mean) / sd if zscore else values).astype(np.float32),
                {"description": "of the alternative sequence over the reference one; NaN = not measured"},
            ),
        },
        coords={
            "split": ("variant", _split(len(effects), seed, validation, test)),
            "ref_id": ("variant", _labels(effects.index.get_level_values("ref_id"))),
            "alt_id": ("variant", _labels(effects.index.get_level_values("alt_id"))),
            "cell": ("cell", _labels(effects.columns)),
            "effect_mean": ("cell", mean),
            "effect_sd": ("cell", sd),
        },
        attrs={
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "length": length,
            "unit": "z-score" if zscore else "as given",
            "seed": seed,
            "validation": validation,
            "test": test,
        },
    )
    return dataset.assign_attrs(sha256=checksum(dataset))


def checksum(dataset: xr.Dataset) -> str:
    """SHA-256 of sequences and effects: Zarr reads a chunk that is lost as zeros, without a word."""
    digest = hashlib.sha256()
    for name in (*_SEQUENCES, "effect"):
        digest.update(np.ascontiguousarray(dataset[name].values).tobytes())
    return digest.hexdigest()


def _rows_of_cell(path: str | Path, cell: str, pad: bool) -> pd.DataFrame:
    table = read_table(path, _WHAT)
    keys, _ = _keys(table, path, pad)
    column = first_column_of(table, (f"{cell.lower()}{_ENDING}", *_EFFECT))
    if column is None:
        raise InputError(f"{path}: has no column Log2Skew; it has {', '.join(table.columns)}")
    return pd.DataFrame({**keys, "effect": _effects(table[column], path)})


def _cell_of(column: str) -> str:
    return column[: -len(_ENDING)] if column.lower().endswith(_ENDING) else column


def _keys(table: pd.DataFrame, path: str | Path, pad: bool) -> tuple[dict[str, pd.Series], set[str]]:
    """Ids ("" = none given) and sequences in capital letters, of each row; and the columns these are."""
    keys, used = {}, set()
    for key, names in _COLUMNS.items():
        column = first_column_of(table, names)
        if column is None and key in _SEQUENCES:
            raise InputError(
                f"{path}: has no column {key} (or {names[1]}); it has {', '.join(table.columns)}"
            )
        if column is None:
            keys[key] = pd.Series("", index=table.index, dtype=object)
        else:
            keys[key] = table[column].astype(str)
            used.add(column)
    for key in _SEQUENCES:
        keys[key] = keys[key].str.upper()
        _refuse_letters(keys[key], key, path)
    if not pad and len(table):
        _refuse_lengths(keys, path)
    return keys, used


def _refuse_letters(sequences: pd.Series, key: str, path: str | Path) -> None:
    """Refuse empty sequences and letters that are no IUPAC nucleotides. Rows count from 1, without the header."""
    rare = np.flatnonzero(~sequences.str.fullmatch("[ACGTN]+").to_numpy(dtype=bool))
    for row in rare.tolist():
        bases = str(sequences.iloc[row])
        bad = np.flatnonzero(encode(bases) == NOT_A_BASE)
        if not bases:
            raise InputError(f"{path}: row {row + 1} has no {key}; leave the row out")
        if len(bad):
            raise InputError(
                f"{path}: row {row + 1}: {key} has {bases[bad[0]]!r} at base {bad[0] + 1}, which is no nucleotide "
                "letter (IUPAC)"
            )


def _refuse_lengths(keys: Mapping[str, pd.Series], path: str | Path) -> None:
    """Refuse sequences that have not the length of the first, or an odd one."""
    lengths = np.stack([keys[key].str.len().to_numpy(dtype=np.int64) for key in _SEQUENCES], axis=1)
    length = int(lengths[0, 0])
    other = np.argwhere(lengths != length)
    if len(other):
        row, which = other[0].tolist()
        n_rows = len(np.unique(other[:, 0]))
        raise InputError(
            f"{path}: row {row + 1}: {_SEQUENCES[which]} has {lengths[row, which]} bases, the first of the table "
            f"{length}; so have {n_rows} rows another length; leave them out, or pad sequences with N (--pad)"
        )
    if length % 2:
        raise InputError(
            f"{path}: row 1: sequences have {length} bases, an odd number; pad them with N (--pad)"
        )


def _effects(column: pd.Series, path: str | Path) -> pd.Series:
    """A column as numbers, NaN = missing; one that is not finite is missing too."""
    given = column.astype(str).str.strip()
    missing = given.isin(MISSING_NUMBERS)
    numbers = pd.to_numeric(given.where(~missing), errors="coerce").astype(np.float64)
    bad = np.flatnonzero(numbers.isna() & ~missing)
    if len(bad):
        raise InputError(
            f"{path}: row {bad[0] + 1}: {column.name} is {given.iloc[bad[0]]!r}, no number; name the columns that "
            "hold effects (--effects)"
        )
    return numbers.where(np.isfinite(numbers))


def _length(index: pd.Index, pad: bool) -> int:
    """The bases that sequences are stored with, an even number."""
    lengths = {int(n) for name in _SEQUENCES for n in index.get_level_values(name).str.len().unique()}
    if len(lengths) > 1 and not pad:
        raise InputError(
            f"effects: the tables have sequences of {' and '.join(map(str, sorted(lengths)[:3]))} bases; give tables "
            "of one length, or pad sequences with N (--pad)"
        )
    return max(lengths) + max(lengths) % 2


def _packed(sequences: pd.Index, length: int) -> Codes:
    codes = np.zeros((len(sequences), length), dtype=np.uint8)
    for row, bases in zip(codes, sequences, strict=True):
        row[: len(bases)] = encode(bases)
    return pack(codes)


def _split(n: int, seed: int, validation: float, test: float) -> npt.NDArray[np.object_]:
    n_test, n_validation = round(n * test), round(n * validation)
    if min(validation, test) < 0 or n_test + n_validation >= n:
        raise InputError(
            f"validation, test: {validation} and {test} of {n} variants leave none to train; make them smaller"
        )
    split = np.full(n, "train", dtype=object)
    order = np.random.default_rng(seed).permutation(n)
    split[order[:n_test]] = "test"
    split[order[n_test : n_test + n_validation]] = "valid"
    return split


def _mean_and_sd(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Of the known values; the standard deviation (ddof 1) of fewer than two is 0."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0, float(known.std(ddof=1)) if len(known) > 1 else 0.0


def _labels(values: Any) -> npt.NDArray[np.object_]:
    return np.array([str(value) for value in values], dtype=object)
