"""The sample table: who the individuals are."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from seqstore.errors import InputError
from seqstore.tables import first_column_of, read_table, refuse_repeats

_LABELS = ("individual", "sample", "sample_id", "iid", "id", "name")


def read_individuals(path: str | Path) -> pd.DataFrame:
    """Read a sample table: one row an individual, indexed by ``individual``, its other columns as they are.

    The label column is ``individual``, ``sample``, ``sample_id``, ``IID``, ``id`` or ``name``.

    Raises:
        InputError: there is no such column, or an individual stands twice.
    """
    table = read_table(path, "sample table")
    label = first_column_of(table, _LABELS)
    if label is None:
        raise InputError(f"{path}: no column 'individual' or 'sample' (columns: {', '.join(table.columns)})")
    labels = table[label].astype(str)
    refuse_repeats(labels, path, "individual")
    return pd.DataFrame(table.drop(columns=label)).set_index(pd.Index(labels, name="individual"))
