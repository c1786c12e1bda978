"""Predictions of methods that are to be compared, from Zarr or tables, and whether they saw who tests them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from analysis.gene_tables import TABLE_ENDINGS, read_gene_table
from seqstore.errors import InputError
from seqstore.predictions import open_predictions
from seqstore.splits import TEST, TRAIN, VALIDATION, open_split, split_fingerprint, split_names
from seqstore.tables import bare_name

log = logging.getLogger(__name__)


def read_predictions(
    named: Sequence[str],
    dataset: xr.Dataset,
    splits: Mapping[str, xr.Dataset],
    *,
    store: str | Path | None = None,
) -> dict[str, list[xr.DataArray]]:
    """Open predictions given as ``name=path``, by method: one array for each split.

    ``name=path,path`` are several runs of one method (replicates): an array (replicate, gene, individual).
    ``{split}`` in a path stands for the split's name. A path is Zarr (``seqstore.predictions``) or a table of
    genes and people (``gene_tables.read_gene_table``).

    Predictions that say which split they were trained on (attribute ``split``) are refused if that split of the
    ``store`` trained or validated a cell that is tested here. Tables do not say it.

    Raises:
        InputError: an entry is not ``name=path``, a name comes twice, nothing stands at a path, or the
            predictions were trained on test cells.
    """
    predictions: dict[str, list[xr.DataArray]] = {}
    for entry in named:
        name, equals, paths = entry.partition("=")
        if not (name and equals and all(paths.split(","))):
            raise InputError(f"--predictions {entry}: give name=path")
        if name in predictions:
            raise InputError(f"--predictions {entry}: the name {name!r} comes twice")
        predictions[name] = []
        for split_name, split in splits.items():
            runs = [
                _read(path.replace("{split}", split_name), dataset, split_name, split, store)
                for path in paths.split(",")
            ]
            joined = runs[0] if len(runs) == 1 else xr.concat(runs, "replicate", join="outer")
            predictions[name].append(joined)
    return predictions


def _read(
    path: str, dataset: xr.Dataset, split_name: str, split: xr.Dataset, store: str | Path | None
) -> xr.DataArray:
    if bare_name(path).endswith(TABLE_ENDINGS):
        values = read_gene_table(path, "prediction table", dataset)
        coords = {name: dataset[name].values for name in ("gene", "individual")}
        return xr.DataArray(values, dims=("gene", "individual"), coords=coords)
    opened = open_predictions(path)
    if store is not None:
        _refuse_leak(store, opened.attrs, split_name, split, path)
    elif opened.attrs.get("split_fingerprint", split_fingerprint(split)) != split_fingerprint(split):
        log.warning(
            "warning: %s: was trained on split %r, which is not the one evaluated: without its store nobody can "
            "tell whether it saw test people",
            path,
            opened.attrs.get("split"),
        )
    return opened["prediction"]


def _refuse_leak(
    store: str | Path, attrs: Mapping[str, object], name: str, tested: xr.Dataset, path: str
) -> None:
    """Raise an InputError if people who trained or validated a gene for predictions test it in split ``name``.

    ``attrs`` are those of the predictions: the name and the fingerprint of the split they were trained on.
    Predictions that do not name a split are taken on trust.
    """
    trained = attrs.get("split")
    if trained is None:
        return
    if trained not in split_names(store):
        raise InputError(f"{path}: was trained on split {trained!r}, which {store} does not have")
    opened = open_split(store, str(trained))
    if attrs.get("split_fingerprint", split_fingerprint(opened)) != split_fingerprint(opened):
        raise InputError(
            f"{path}: was trained on another split that was named {trained!r} too; train it again"
        )
    seen, test = (s["split"].transpose("gene", "individual").values for s in (opened, tested))
    n = int((np.isin(seen, (TRAIN, VALIDATION)) & (test == TEST)).sum())
    if n:
        raise InputError(
            f"{path}: was trained on split {trained!r}, which saw {n} of the test cells of {name!r}: "
            "give the predictions of that split (with several, write {split} in the path)"
        )
