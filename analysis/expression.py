"""Measured expression of one assay, as every analysis reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.labels import labels_of, unknown
from seqstore.errors import InputError
from seqstore.scales import percentiles, z_scores
from seqstore.splits import TRAIN


def expression_of(dataset: xr.Dataset, *, assay: str | None = None) -> xr.DataArray:
    """Expression (gene, individual) float64 of one assay of a store, loaded; NaN = not measured.

    ``assay`` may be left out where the store has only one.

    Raises:
        InputError: the store has no such assay, or several and none was named.
    """
    number = labels_of(dataset, "assay").index(_assay_of(dataset, assay))
    expression = dataset["expression"].isel(assay=number).transpose("gene", "individual")
    return expression.astype("float64").load()


def recipe_in(dataset: xr.Dataset, *, assay: str | None = None) -> dict[str, Any] | None:
    """The recipe by which one assay's expression was prepared (``seqstore.recipe``); None if the store has none.

    Raises:
        InputError: as for ``expression_of``.
    """
    recipe: dict[str, Any] | None = dataset.attrs.get("expression_recipe", {}).get(_assay_of(dataset, assay))
    return recipe


def expression_scales(expression: xr.DataArray, split: xr.DataArray | None = None) -> xr.Dataset:
    """z-scores and percentiles of expression among the people who train each gene.

    Args:
        expression: (gene, individual), NaN = not measured (``expression_of``).
        split: (gene, individual) of a split; None = among everyone, test people too, as in the study.

    Returns:
        ``z`` and ``percentile`` (gene, individual) of everyone (``seqstore.scales``); NaN for a gene that nobody
        trains, or that does not vary among those who do.
    """
    values = expression.transpose("gene", "individual").values
    fit = np.ones(values.shape, dtype=bool)
    if split is not None:
        fit = split.transpose("gene", "individual").values == TRAIN
    dims = ("gene", "individual")
    return xr.Dataset(
        {"z": (dims, z_scores(values, fit)), "percentile": (dims, percentiles(values, fit))},
        coords={name: expression[name] for name in dims},
    )


def _assay_of(dataset: xr.Dataset, assay: str | None) -> str:
    assays = labels_of(dataset, "assay")
    if assay is None and len(assays) > 1:
        raise InputError(f"the store has {len(assays)} assays: choose one with --assay ({', '.join(assays)})")
    if assay is not None and assay not in assays:
        raise unknown("assay", assay, assays)
    return assays[0] if assay is None else assay
