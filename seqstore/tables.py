"""Tables that users give: tab- or comma-separated text, plain or gzipped, and Parquet."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqstore.errors import InputError

#: What stands for a missing number.
MISSING_NUMBERS = ("", ".", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "NULL", "null", "None")
_GZIPPED = (".gz", ".bgz")
_UNREADABLE = (OSError, EOFError, UnicodeDecodeError, zlib.error)


def bare_name(path: str | Path) -> str:
    """A file's name in lower case without ``.gz`` or ``.bgz``: its ending says which format it has."""
    name = Path(path).name.lower()
    return next((name.removesuffix(ending) for ending in _GZIPPED if name.endswith(ending)), name)


def lines_of(path: str | Path, what: str) -> Iterator[str]:
    """The lines of a text file, plain or gzipped, without their ends. ``what`` names the file in errors.

    Raises:
        InputError: there is no such file, or it is no text.
    """
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if Path(path).name.lower().endswith(_GZIPPED)
            else Path(path).open(encoding="utf-8-sig")
        ) as lines:
            for line in lines:
                yield line.rstrip("\n")
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}") from None
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read as {_a(what)} ({error})") from error


def read_table(
    path: str | Path,
    what: str,
    *,
    numbers: bool = False,
    labels: int = 1,
    skip: int = 0,
    first: int | None = None,
) -> pd.DataFrame:
    """Read a table with a header line; columns are separated by tabs, or commas in ``.csv`` files.

    Everything is text ("" = empty), so that labels such as 0010 and NA survive, without blanks around it;
    with ``numbers`` only the first ``labels`` columns are, and pandas reads the others. ``skip`` lines stand
    before the header; of the columns only the ``first`` ones are read. Separators at the end of a line
    are no columns. A ``.parquet`` file is read alike; labels in its index become the first column.
    ``what`` names the table in errors ("gene table").

    Raises:
        InputError: it cannot be read, has one column or two of one name, or a line has more or fewer
            columns than the header.
    """
    path = Path(path)
    if bare_name(path).endswith(".parquet"):
        return _read_parquet(path, what, text=labels if numbers else None)
    separator = "," if bare_name(path).endswith(".csv") else "\t"
    header, n_rows = _header_and_rows(path, what, separator, skip)
    if len(header) < 2:
        raise InputError(
            f"{path}: {_a(what)} needs several columns, separated by tabs (or commas in .csv files)"
        )
    refuse_repeats(pd.Series(header), path, "column")
    names = header[:first]
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False}
    if numbers:
        options = {
            "dtype": dict.fromkeys(names[:labels], str),
            "na_values": dict.fromkeys(names[labels:], MISSING_NUMBERS),
            "keep_default_na": False,
            "low_memory": False,
        }
    try:
        table: pd.DataFrame = pd.read_csv(
            path,
            sep=separator,
            header=None,
            names=names,
            usecols=range(len(names)),
            skiprows=skip + 1,
            index_col=False,
            encoding="utf-8",
            compression="gzip" if path.name.lower().endswith(_GZIPPED) else None,
            **options,
        )
    except (*_UNREADABLE, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: cannot be read as {_a(what)} ({error})") from error
    if len(table) != n_rows:
        raise InputError(f'{path}: cannot be read as {_a(what)} (a quote, ", is not closed)')
    return _stripped(table, labels if numbers else None)


def _header_and_rows(path: Path, what: str, separator: str, skip: int) -> tuple[list[str], int]:
    """The names of the columns and the number of rows.

    Raises an InputError if a row has more or fewer columns than the header: pandas would fill or cut it.
    """
    header: list[str] = []
    n_rows = 0
    for number, line in enumerate(lines_of(path, what), start=1):
        if number <= skip:
            continue
        if not header:
            header = [name.strip() for name in _cells(line, separator, f"{path}: line {number}")]
            while header and not header[-1]:
                header.pop()
            if not header:
                raise InputError(f"{path}: cannot be read as {_a(what)} (line {number} is to be its header)")
            continue
        if not line.strip(" \t" if separator == "," else " "):
            continue
        n_rows += 1
        if line.count(separator) + 1 != len(header) or '"' in line:
            cells = _cells(line, separator, f"{path}: line {number}")
            if line.count('"') % 2 and len(cells) != len(header):
                raise InputError(f'{path}: line {number} has a quote (") that is not closed on it')
            if len(cells) < len(header) or any(cells[len(header) :]):
                raise InputError(
                    f"{path}: line {number} has {len(cells)} columns, but the header names {len(header)}"
                )
    if not header:
        raise InputError(f"{path}: cannot be read as {_a(what)} (it is empty)")
    return header, n_rows


def _cells(line: str, separator: str, place: str) -> list[str]:
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:  # a long line in one quote
        raise InputError(
            f'{place} cannot be split into columns ({error}); is a quote (") not closed?'
        ) from error


def _stripped(table: pd.DataFrame, n: int | None) -> pd.DataFrame:
    """The table with its first ``n`` columns (None = all), which are text, without blanks around the cells."""
    return table.assign(**{column: table[column].str.strip() for column in table.columns[:n]})


def _read_parquet(path: Path, what: str, text: int | None) -> pd.DataFrame:
    """A Parquet file whose first ``text`` columns (None = all) become text, "" = missing."""
    try:
        table = pd.read_parquet(path)
        if table.index.name is not None or not pd.api.types.is_numeric_dtype(table.index.dtype):
            table = table.reset_index()
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as {_a(what)} ({error})") from error
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    if table.shape[1] < 2:
        raise InputError(f"{path}: {_a(what)} needs several columns")
    refuse_repeats(table.columns.to_series(), path, "column")
    for column in table.columns[:text]:
        given = table[column]
        if text and pd.api.types.is_float_dtype(given.dtype):
            raise InputError(f"{path}: column {column!r} holds numbers; the first column is to hold labels")
        table[column] = given.astype(object).where(given.notna(), "").astype(str)
    for column in table.columns[len(table.columns) if text is None else text :]:
        kind = table[column].dtype
        if kind.kind in "Mm" or isinstance(kind, pd.PeriodDtype):
            raise InputError(f"{path}: column {column!r} holds dates or times; it is to hold numbers")
    return _stripped(table, text)


def _a(what: str) -> str:
    return f"{'an' if what[0].lower() in 'aeiou' else 'a'} {what}"


def first_column_of(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The column of ``table`` that has the earliest of ``names``, whatever its case."""
    by_name = {column.lower().lstrip("#"): column for column in reversed(table.columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def refuse_repeats(labels: pd.Series, path: str | Path, what: str) -> None:
    """Raise an InputError if a label stands twice."""
    repeated = labels[labels.duplicated()]
    if len(repeated):
        raise InputError(f"{path}: {what} {repeated.iloc[0]!r} stands there more than once; keep one")


def whole_numbers(column: pd.Series) -> pd.Series:
    """The whole numbers of a column, as float64: 100, "100", "100.0" and "1e+02" are; NaN = all else.

    Beyond 2^53, where float64 skips some, there are none.
    """
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    return numbers.where((numbers % 1 == 0) & (numbers.abs() <= 2**53))


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
