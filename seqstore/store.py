"""Opening a store: labelled xarray datasets, read from disk as they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from seqstore.errors import InputError
from seqstore.layout import FORMAT_NAME, FORMAT_VERSION, attributes_of


def open_store(path: str | Path) -> xr.Dataset:
    """Open a finished store: the arrays of docs/format.md with gene and individual coordinates.

    Nothing but coordinates is read until it is used; selections of ``haplotype_sequence`` decode only the
    individuals they name.

    Raises:
        InputError: no store stands there, its build is unfinished, or its format is newer.
    """
    check_store(path)
    store: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    return store.drop_vars("built")


def open_variants(path: str | Path) -> xr.Dataset:
    """Open a store's variants and genotypes, with the gene and individual coordinates of the store.

    ``call_genotype`` (variant, individual, haplotype) int8 is the allele's index, -1 missing;
    ``gene_variant_start`` and ``gene_variant_stop`` (gene) are the records in each gene's window.
    """
    return open_group_of(path, "variants").drop_vars("built")


def open_group_of(path: str | Path, group: str) -> xr.Dataset:
    """Open a group of a finished store with the root's coordinates of the dimensions it has."""
    root = open_store(path)
    dataset: xr.Dataset = xr.open_zarr(path, group=group, chunks=None, consolidated=False)
    shared = {
        name: coordinate
        for name, coordinate in root.coords.items()
        if coordinate.dims and set(coordinate.dims) <= set(dataset.dims)
    }
    return dataset.assign_coords(shared)


def check_store(path: str | Path) -> dict[str, Any]:
    """Refuse what is not a finished store of a format this version reads; returns its attributes."""
    attributes = _format_checked(path)
    if attributes.get("status") != "complete":
        raise InputError(f"{path}: its build is unfinished; run the same seqstore build again to finish it")
    return attributes


def describe_store(path: str | Path) -> dict[str, Any]:
    """What a store holds: sizes, bytes a window, distinct windows, policies.

    An unfinished store is described too: ``built`` is the number of genes whose windows are written.
    """
    attributes = _format_checked(path)
    group: Any = zarr.open_group(path, mode="r")
    ids = group["haplotype_id"]
    built = np.asarray(group["built"][:], dtype=bool)
    distinct = [int(ids[gene].max()) + 1 for gene in np.flatnonzero(built)]
    n_windows = int(built.sum()) * ids.shape[1] * ids.shape[2]
    return {
        "store": str(path),
        "status": attributes["status"],
        "format_version": attributes["format_version"],
        "genes": ids.shape[0],
        "individuals": ids.shape[1],
        "assays": [str(assay) for assay in group["assay"][:]],
        "length": attributes["length"],
        "build": attributes["config"]["build"],
        "variants": group["variants/call_genotype"].shape[0],
        "built": int(built.sum()),
        "bytes_per_window": round(
            _bytes_below(Path(path) / "haplotype_sequence" / "c") / max(n_windows, 1), 1
        ),
        "distinct_windows": sum(distinct),
        "splits": sorted(name for name, _ in group["splits"].groups()),
        "policies": attributes["policies"],
        "reconciled": attributes["reconciled"],
        "fingerprint": attributes["fingerprint"],
    }


def _format_checked(path: str | Path) -> dict[str, Any]:
    attributes = attributes_of(path)
    if attributes is None:
        raise InputError(f"{path}: no store here; make one with: seqstore build")
    if attributes.get("format") != FORMAT_NAME:
        raise InputError(f"{path}: a Zarr group, but not a seqstore store")
    if attributes["format_version"] > FORMAT_VERSION:
        raise InputError(f"{path}: format version {attributes['format_version']} needs a newer seqstore")
    return attributes


def _bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
