"""Tables that users give: tab- or comma-separated text, plain or gzipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seqstore.errors import InputError


def read_table(path: str | Path, what: str) -> pd.DataFrame:
    """Read a table with a header line; columns are separated by tabs, or commas in ``.csv`` files.

    ``what`` names the table in errors ("gene table").
    """
    path = Path(path)
    separator = "," if path.name.removesuffix(".gz").endswith(".csv") else "\t"
    try:
        header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str).iloc[0]
        table = pd.read_csv(path, sep=separator, low_memory=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}") from None
    except (OSError, EOFError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: cannot be read as a {what} ({error})") from error
    if table.shape[1] < 2:
        raise InputError(
            f"{path}: a {what} needs several columns, separated by tabs (or commas in .csv files)"
        )
    refuse_repeats(header, path, "column")  # which pandas would rename
    table.columns = [str(column).strip() for column in table.columns]
    return table


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
    """A column as a coordinate: numbers stay numbers, everything else is text ("" = missing)."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy()
    return column.astype(object).where(column.notna(), "").astype(str).to_numpy(dtype=object)
