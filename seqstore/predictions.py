"""The layout in which models and baselines hand over predictions: one Zarr group a method."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from seqstore.errors import InputError


def write_predictions(
    path: str | Path,
    prediction: npt.ArrayLike,
    *,
    gene: npt.ArrayLike,
    individual: npt.ArrayLike,
    name: str,
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Write predicted expression, replacing what is at ``path`` only once all is written.

    ``prediction`` is (gene, individual), NaN = not predicted; ``gene`` and ``individual`` are the
    store's labels; ``name`` is the method's name in tables and figures.
    """
    path = Path(path)
    values = np.asarray(prediction, dtype=np.float32)
    dataset = xr.Dataset(
        {"prediction": (("gene", "individual"), values, {"long_name": "predicted expression"})},
        coords={
            "gene": np.asarray(gene, dtype=object),
            "individual": np.asarray(individual, dtype=object),
        },
        attrs={**(attrs or {}), "name": name},
    )
    aside = path.with_name(path.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    dataset.to_zarr(aside, mode="w", consolidated=False, zarr_format=3)
    if path.exists():
        shutil.rmtree(path)
    aside.rename(path)


def open_predictions(path: str | Path) -> xr.Dataset:
    """Open predictions: ``prediction`` (gene, individual) float32, NaN = not predicted.

    Raises:
        InputError: no predictions stand at ``path``.
    """
    if not (Path(path) / "zarr.json").exists():
        raise InputError(f"{path}: no predictions here (a folder that predict.py or baselines wrote)")
    dataset: xr.Dataset = xr.open_zarr(path, consolidated=False)
    if "prediction" not in dataset or set(dataset["prediction"].dims) != {"gene", "individual"}:
        raise InputError(f"{path}: has no array 'prediction' over gene and individual")
    return dataset
