"""Relatives in a cohort: of a kinship table, or of a column with families."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis.labels import labels_of, unknown
from seqstore.errors import InputError
from seqstore.labels import reconcile_individuals
from seqstore.tables import first_column_of, read_table

THIRD_DEGREE = 0.0442  # kinship of third-degree relatives and nearer (Manichaikul et al. 2010)
NO_FAMILY = ("", "0", "NA", "nan")
FAMILY = "family"  # the column of PLINK's and 1000 Genomes' pedigrees, as a store has it
NONE = "none"


def pairs_of_kinship(
    dataset: xr.Dataset, path: str | Path, *, threshold: float = THIRD_DEGREE
) -> npt.NDArray[np.int64]:
    """The pairs (pair, 2) of individuals, by number, whose kinship is at least ``threshold``.

    The table is KING's ``.kin0`` or ``.kin`` (columns ID1, ID2 and Kinship) or PLINK 2's ``.kin0`` (IID1, IID2,
    KINSHIP). Pairs that it does not list are unrelated; people who are not in the store are ignored.

    Raises:
        InputError: it cannot be read, lacks a column, has a kinship that is no number, or names nobody of the store.
    """
    table = read_table(path, "kinship table")
    spellings = [("iid1", "id1"), ("iid2", "id2"), ("kinship",)]
    one, other, kinship = (first_column_of(table, names) for names in spellings)
    if one is None or other is None or kinship is None:
        raise InputError(
            f"{path}: needs columns ID1, ID2 and Kinship, as KING and PLINK 2 write them (has "
            f"{', '.join(table.columns)})"
        )
    values = pd.to_numeric(table[kinship], errors="coerce")
    if values.isna().any():
        raise InputError(f"{path}: row {int(values.isna().to_numpy().argmax()) + 1} has no number as kinship")
    people = labels_of(dataset, "individual")
    labels = list(dict.fromkeys([*table[one], *table[other]]))
    known = reconcile_individuals(labels, people, path=path, remedy="give the labels of the store").known
    if labels and not known:
        raise InputError(f"{path}: names nobody of the store ({people[0]}, …): are its labels others?")
    number = {label: people.index(person) for label, person in known.items()}
    near = table[(values >= threshold) & table[one].isin(known.keys()) & table[other].isin(known.keys())]
    pairs = np.column_stack([near[one].map(number), near[other].map(number)]).astype(np.int64)
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0).reshape(-1, 2)


def pairs_of_families(dataset: xr.Dataset, column: str) -> npt.NDArray[np.int64]:
    """The pairs (pair, 2) of individuals, by number, who are of one family.

    Raises:
        InputError: the sample table has no such column.
    """
    columns = [str(name) for name, values in dataset.coords.items() if values.dims == ("individual",)]
    if column not in columns:
        raise unknown("column of the sample table", column, columns)
    family = pd.Series(labels_of(dataset, column))
    pairs = [
        (first, second)
        for name, members in family.groupby(family).groups.items()
        if str(name) not in NO_FAMILY
        for place, first in enumerate(members)
        for second in members[place + 1 :]
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def related_pairs(
    dataset: xr.Dataset,
    *,
    kinship: str | Path | None = None,
    threshold: float = THIRD_DEGREE,
    family: str | None = None,
) -> npt.NDArray[np.int64] | None:
    """The related pairs (pair, 2) by a kinship table and a family column; None if neither tells.

    ``family`` defaults to the column ``family`` of the sample table, if it has one; ``none`` is no column.

    Raises:
        InputError: as ``pairs_of_kinship`` and ``pairs_of_families``.
    """
    told = []
    if kinship is not None:
        told.append(pairs_of_kinship(dataset, kinship, threshold=threshold))
    if family is None and FAMILY in dataset.coords:
        family = FAMILY
    if family is not None and family != NONE:
        told.append(pairs_of_families(dataset, family))
    return np.concatenate(told) if told else None


def families_of(pairs: npt.NDArray[np.int64], n_people: int) -> npt.NDArray[np.int64]:
    """A number for each individual (individual,), the same for those who are related, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n_people, n_people))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
