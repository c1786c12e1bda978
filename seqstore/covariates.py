"""Covariates of individuals (genotype components, PEER factors, sex, batch) as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from seqstore.errors import InputError
from seqstore.labels import reconcile_individuals
from seqstore.tables import MISSING_NUMBERS, as_coordinate, first_column_of, read_table, refuse_repeats

#: A covariate is a combination of others if this share of it, or less, lies outside their span.
COLLINEAR = 1e-7


def read_covariates(path: str | Path, individuals: Sequence[str]) -> pd.DataFrame:
    """Read those of ``individuals`` that a covariate table has: individuals x covariates, all of it text.

    The table is individuals x covariates (first column, or ``individual``, ``sample``, ``IID``, the label) or,
    as tensorQTL and FastQTL have it, covariates x individuals: whichever way the labels are found
    (``labels.reconcile_individuals``).

    Raises:
        InputError: it names none of the individuals or no covariate, or one of them twice.
    """
    table = read_table(path, "covariate table")
    label = first_column_of(table, ("individual", "sample", "sample_id", "iid")) or table.columns[0]

    def matched(labels: list[str]) -> dict[str, str]:
        remedy = "give labels as the expression table has them, or choose among these with --individuals"
        return reconcile_individuals(labels, individuals, path=path, remedy=remedy).known

    across, down = matched(table.columns[1:].to_list()), matched(table[label].unique().tolist())
    if not across and not down:
        raise InputError(
            f"{path}: neither the header nor column {label!r} names an individual of the expression table"
        )
    if len(across) > len(down):
        names = table.iloc[:, 0]
        refuse_repeats(names, path, "covariate")
        table = table[list(across)].T.set_axis(names.to_list(), axis="columns").rename(index=across)
    else:
        refuse_repeats(table[label], path, "individual")
        family = first_column_of(table, ("fid",))  # of PLINK: a label, no covariate
        table = table.set_index(label).drop(columns=[] if family is None else [family])
        table = table.loc[list(down)].rename(index=down)
    if not table.shape[1]:
        raise InputError(f"{path}: holds no covariates")
    return pd.DataFrame(table.loc[[individual for individual in individuals if individual in table.index]])


def without_covariates(table: pd.DataFrame, individuals: Sequence[str]) -> list[str]:
    """The individuals who are not in a covariate table, or have a covariate missing."""
    complete = set(table.index[~table.isin(MISSING_NUMBERS).any(axis=1)])
    return [individual for individual in individuals if individual not in complete]


def design_of(
    table: pd.DataFrame, fit: npt.NDArray[np.bool_], path: str | Path
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Covariates as numbers (individual, column), and the columns' names.

    A covariate of text becomes a column of 0 and 1 for each level but the first (``sex=male``). Columns are
    brought to mean 0 and standard deviation 1 over the ``fit`` individuals (individual,).

    Raises:
        InputError: a covariate is the same for all fit individuals, is a combination of others, holds an
            infinite number, or has a level that no fit individual has; or there are too many.
    """
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for name in map(str, table.columns):
        values = as_coordinate(table[name])
        if len(set(values[fit])) < 2:
            raise InputError(
                f"{path}: covariate {name!r} is {values[fit][0]!s} for everyone fitted on: it explains nothing; "
                "remove it"
            )
        if values.dtype != object:
            columns[name] = values.astype(np.float64)
            if not np.isfinite(columns[name]).all():
                raise InputError(f"{path}: covariate {name!r} holds a number that is not finite")
            continue
        first, *levels = sorted(set(values[fit]))
        strange = ~np.isin(values, [first, *levels])
        if strange.any():
            raise InputError(
                f"{path}: covariate {name!r} of {table.index[strange][0]} is {values[strange][0]!r}, which nobody "
                "fitted on has: its effect is unknown"
            )
        columns |= {f"{name}={level}": (values == level).astype(np.float64) for level in levels}
    design = np.column_stack(list(columns.values()))
    design = (design - design[fit].mean(axis=0)) / design[fit].std(axis=0)
    if too_few(design[fit]):
        raise InputError(
            f"{path}: {design.shape[1]} covariates (with those for levels) are too many for {int(fit.sum())} people "
            "fitted on; give fewer"
        )
    dependent = first_dependent(design[fit])
    if dependent is not None:
        raise InputError(
            f"{path}: covariate {list(columns)[dependent]!r} is a combination of those before it for the "
            f"{int(fit.sum())} people fitted on; remove one"
        )
    return design, list(columns)


def too_few(design: npt.NDArray[np.float64]) -> bool:
    """Whether the individuals of ``design`` (individual, column) leave less than two degrees of freedom."""
    return bool(len(design) < design.shape[1] + 3)


def first_dependent(design: npt.NDArray[np.float64]) -> int | None:
    """The first column of ``design`` (individual, column) that those before it and an intercept make up, if any."""
    centred = design - design.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    # Column j's part outside the span of the columns before it has the length |R[j, j]|.
    outside = np.abs(np.diagonal(np.linalg.qr(centred, mode="r")))
    dependent = np.flatnonzero(outside <= COLLINEAR * np.maximum(length, 1.0))
    return int(dependent[0]) if len(dependent) else None
