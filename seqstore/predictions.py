"""The layout in which models and baselines hand over predictions: one Zarr group a method."""

from __future__ import annotations

import json
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
    by_haplotype: npt.ArrayLike | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Write predicted expression, replacing what is at ``path`` only once all is written.

    ``prediction`` is (gene, individual), NaN = not predicted; ``gene`` and ``individual`` are the
    store's labels; ``name`` is the method's name in tables and figures. ``by_haplotype`` is what each haplotype
    was predicted to have (gene, individual, haplotype).
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
    if by_haplotype is not None:
        values = np.asarray(by_haplotype, dtype=np.float32)
        dataset["prediction_by_haplotype"] = ("gene", "individual", "haplotype"), values
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


class UnfinishedPredictions:
    """Genes that are predicted already, for a command that is stopped and started again, or runs in many processes.

    They are kept beside the place where the predictions shall be, a file a gene, until `clear`.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        """Find what is there of the predictions of this ``identity``; of another, it is removed."""
        path = Path(path)
        self._folder = path.with_name(f"{path.name}.unfinished")
        note = self._folder / "identity.json"
        text = json.dumps(identity, sort_keys=True)
        if not note.exists() or note.read_text() != text:
            self.clear()
            self._folder.mkdir(parents=True)
            note.write_text(text)

    def has(self, gene: int) -> bool:
        """Whether a gene is predicted."""
        return self._file(gene).exists()

    def add(self, gene: int, values: npt.NDArray[np.float32], n_windows: int) -> None:
        """Keep the predictions of a gene, and how many windows were run for them."""
        aside = self._file(gene).with_suffix(".partial")
        with aside.open("wb") as file:
            np.savez(file, values=values, n_windows=n_windows)
        aside.rename(self._file(gene))

    def get(self, gene: int) -> tuple[npt.NDArray[np.float32], int]:
        """What was added for a gene."""
        with np.load(self._file(gene)) as kept:
            return kept["values"], int(kept["n_windows"])

    def clear(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, gene: int) -> Path:
        return self._folder / f"{gene}.npz"
