"""The expression table: genes x individuals, and its standardisation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from seqstore.errors import InputError
from seqstore.genes import strip_version
from seqstore.tables import read_table, refuse_repeats


def read_expression(path: str | Path) -> pd.DataFrame:
    """Read an expression table: first column the gene, then one column an individual; NaN = not measured.

    Raises:
        InputError: a gene or an individual stands twice, or a value is not a number.
    """
    table = read_table(path, "expression table", numbers=True)
    labels = table.iloc[:, 0].astype(str).map(strip_version)
    refuse_repeats(labels, path, "gene")
    values = table.iloc[:, 1:]
    numbers = values.apply(pd.to_numeric, errors="coerce")
    bad = (numbers.isna() & values.notna()).to_numpy() | np.isinf(numbers.to_numpy(dtype=np.float64))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{path}: {values.iloc[row, column]!r} of gene {labels.iloc[row]}, individual "
            f"{values.columns[column]} is not a finite number (write NA for not measured)"
        )
    return pd.DataFrame(numbers.astype(np.float32)).set_index(pd.Index(labels, name="gene"))


def match_genes(labels: Sequence[str], names: Sequence[str], rows: pd.Index, path: str | Path) -> list[int]:
    """The row of an expression table of each gene, -1 = none: by label, else by name.

    Raises:
        InputError: two genes match one row, or a gene's label and name match different rows.
    """
    position = {row: number for number, row in enumerate(rows)}
    matched = []
    taken: dict[int, str] = {}
    for label, name in zip(labels, names, strict=True):
        found = {position[key] for key in (label, name) if key in position}
        if len(found) > 1:
            raise InputError(f"{path}: gene {label} ({name}) matches two rows, {label} and {name}; keep one")
        row = found.pop() if found else -1
        if row in taken:
            raise InputError(f"{path}: row {rows[row]} matches two genes, {taken[row]} and {label}")
        if row >= 0:
            taken[row] = label
        matched.append(row)
    return matched


def standardise(expression: npt.NDArray[np.floating], fit: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """z-scores of expression with the mean and standard deviation (ddof 0) of some individuals only.

    ``expression`` (..., individual), NaN = not measured; ``fit`` (..., individual), who the mean and
    the deviation come from. A gene that does not vary among those, or has none, is NaN.
    """
    values = np.asarray(expression, dtype=np.float64)
    used = fit & np.isfinite(values)
    n = used.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(used, values, 0.0).sum(axis=-1, keepdims=True) / n
        sd = np.sqrt(np.where(used, (values - mean) ** 2, 0.0).sum(axis=-1, keepdims=True) / n)
        return np.where(sd > 1e-12 * np.abs(mean), (values - mean) / sd, np.nan).astype(np.float32)
