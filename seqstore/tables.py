"""Tables that users give: tab- or comma-separated text, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seqstore.errors import InputError

#: What stands for a missing number.
MISSING_NUMBERS = ("", "NA", "N/A", "NaN", "nan", "null", "None", ".")


def read_table(path: str | Path, what: str, *, numbers: bool = False) -> pd.DataFrame:
    """Read a table with a header line; columns are separated by tabs, or commas in ``.csv`` files.

    Everything is text as it stands ("" = empty), so that labels such as 0010 and NA survive; with
    ``numbers`` only the first column is, and pandas reads the others. ``what`` names the table in errors
    ("gene table").
    """
    path = Path(path)
    separator = "," if path.name.removesuffix(".gz").endswith(".csv") else "\t"
    try:
        _refuse_ragged(path, separator)
        header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str).iloc[0]
        if numbers:
            table = pd.read_csv(
                path, sep=separator, low_memory=False, index_col=False, converters={0: str}, na_values=["."]
            )
        else:
            table = pd.read_csv(path, sep=separator, index_col=False, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}") from None
    except (
        *(OSError, EOFError, UnicodeDecodeError, zlib.error),
        *(pd.errors.ParserError, pd.errors.EmptyDataError),
    ) as error:
        raise InputError(f"{path}: cannot be read as a {what} ({error})") from error
    if table.shape[1] < 2:
        raise InputError(
            f"{path}: a {what} needs several columns, separated by tabs (or commas in .csv files)"
        )
    table.columns = [str(column).strip() for column in header]
    refuse_repeats(pd.Series(table.columns), path, "column")
    return table


def _refuse_ragged(path: Path, separator: str) -> None:
    """Raise an InputError if a row has more or fewer columns than the header: pandas would fill or cut it."""
    with gzip.open(path, "rt") if path.name.endswith(".gz") else path.open() as lines:
        expected = 0
        for number, line in enumerate(lines, start=1):
            found = line.count(separator) + 1
            expected = expected or found
            if found != expected and '"' not in line and line.strip():
                raise InputError(
                    f"{path}: line {number} has {found} columns, but the header names {expected}"
                )


def first_column_of(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The column of ``table`` that has the earliest of ``names``, whatever its case."""
    by_name = {column.lower().lstrip("#"): column for column in reversed(table.columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def refuse_repeats(labels: pd.Series, path: str | Path, what: str) -> None:
    """Raise an InputError if a label stands twice."""
    repeated = labels[labels.duplicated()]
    if len(repeated):
        raise InputError(f"{path}: {what} {repeated.iloc[0]!r} stands there more than once; keep one")


def as_coordinate(column: pd.Series) -> np.ndarray:
    """A column of text as a coordinate: numbers if all of it is (NaN = missing), else text ("" = missing)."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy()
    texts = column.astype(str)
    missing = texts.isin(MISSING_NUMBERS)
    is_code = texts.str.fullmatch(r"[+-]?0\d+")  # 0010 is a label
    numbers = pd.to_numeric(texts.where(~missing), errors="coerce")
    if missing.all() or is_code.any() or (numbers.isna() & ~missing).any():
        return texts.to_numpy(dtype=object)
    whole = not missing.any() and (numbers % 1 == 0).all() and texts.str.fullmatch(r"[+-]?\d+").all()
    return numbers.to_numpy(dtype=np.int64 if whole else np.float64)
