"""Measured expression without what covariates explain, as training people show it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.bootstrap import FloatArray
from analysis.labels import labels_of
from seqstore.covariates import design_of, read_covariates, too_few, without_covariates
from seqstore.errors import InputError
from seqstore.splits import TRAIN


def design_from_table(dataset: xr.Dataset, splits: Sequence[xr.Dataset], path: str | Path) -> FloatArray:
    """The covariates of a table (``seqstore.covariates.read_covariates``) as columns of numbers.

    Returns:
        (individual, column), mean 0 and deviation 1 over the people who train any gene in any of the splits; NaN
        for people who lack a covariate.

    Raises:
        InputError: as ``read_covariates`` and ``design_of``; or nobody trains.
    """
    people = labels_of(dataset, "individual")
    table = read_covariates(path, people)
    absent = set(without_covariates(table, people))
    complete = np.array([person not in absent for person in people])
    trains = np.any([(s["split"] == TRAIN).any("gene").values for s in splits], axis=0)
    if not (complete & trains).any():
        raise InputError(
            f"{path}: nobody who trains a gene has all covariates: there is nothing to fit them on"
        )
    known = table.loc[[person for person, has in zip(people, complete, strict=True) if has]]
    columns, _ = design_of(known, trains[complete], path)
    design = np.full((len(people), columns.shape[1]), np.nan)
    design[complete] = columns
    return design


def residuals(expression: FloatArray, design: FloatArray, split: npt.NDArray[np.int8]) -> FloatArray:
    """Expression less what covariates predict, with coefficients estimated on each gene's training people only.

    For a gene that nobody trains they are estimated on the people who train any other gene.

    Args:
        expression: (gene, individual), NaN = not measured.
        design: (individual, column), NaN for a person without covariates.
        split: (gene, individual), 1 = train.

    Returns:
        (gene, individual); NaN for people without covariates, and for a gene whose training people are too few.
    """
    complete = np.isfinite(design).all(axis=1)
    trains = split == TRAIN
    anywhere = trains.any(axis=0)
    left = np.full(expression.shape, np.nan)
    with_intercept = np.column_stack([np.ones(len(design)), design])
    for gene, values in enumerate(expression):
        on = trains[gene] if trains[gene].any() else anywhere
        fit = on & complete & np.isfinite(values)
        if too_few(design[fit]):
            continue
        coefficients = np.linalg.lstsq(with_intercept[fit], values[fit], rcond=None)[0]
        left[gene, complete] = values[complete] - with_intercept[complete] @ coefficients
    return left
