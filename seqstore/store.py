"""Opening a store: labelled xarray datasets, read from disk as they are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from seqstore.errors import InputError
from seqstore.layout import FORMAT_NAME, FORMAT_VERSION, GENES_IN_CHUNK, attributes_of, open_group
from seqstore.locations import files_below, is_url, place_of
from seqstore.lost_chunks import refuse_lost_chunks
from seqstore.recipe import describe_recipe
from seqstore.swap import finish_swap

#: What every store says of itself.
_ATTRIBUTES = {
    "status",
    "length",
    "config",
    "inputs",
    "policies",
    "reconciled",
    "expression_recipe",
    "fingerprint",
}


def open_store(path: str | Path) -> xr.Dataset:
    """Open a finished store: the arrays of docs/format.md with gene and individual coordinates.

    Nothing but coordinates is read until it is used; selections of ``haplotype_sequence`` decode only the
    individuals they name. Sequences, one-hot matrices and dosages by label: ``store.seq`` (`seqstore.accessor`).

    Raises:
        InputError: no store stands there, its build is unfinished, its format is newer, or a chunk file of
            another array than the windows is missing (which is not looked for at a URL).
    """
    attributes = check_store(path)
    place = place_of(path)
    if not is_url(place):
        refuse_lost_chunks(place, str(attributes.get("coordinates", "")))
    store: xr.Dataset = xr.open_zarr(place, chunks=None, consolidated=False)
    store.encoding["source"] = place
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
    dataset: xr.Dataset = xr.open_zarr(place_of(path), group=group, chunks=None, consolidated=False)
    shared = {
        name: coordinate
        for name, coordinate in root.coords.items()
        if coordinate.dims and set(coordinate.dims) <= set(dataset.dims)
    }
    return dataset.assign_coords(shared)


def check_store(path: str | Path) -> dict[str, Any]:
    """Refuse what is not a finished store of a format this version reads; returns its attributes.

    Raises:
        InputError: as `open_store`.
    """
    attributes = _format_checked(path)
    if attributes.get("status") != "complete":
        raise InputError(
            f"{path}: its build is unfinished: {_missing(path, attributes)}; run the same seqstore build again to go on"
        )
    return attributes


def describe_store(path: str | Path) -> dict[str, Any]:
    """What a store holds: sizes, bytes a window, distinct windows, policies.

    An unfinished store is described too: ``missing`` says what of it is not there yet, and ``built`` is the number
    of genes whose windows are written.
    """
    attributes = _format_checked(path)
    described = {"store": str(path), "status": attributes["status"]}
    if attributes["status"] != "complete":
        described["missing"] = _missing(path, attributes)
    described |= {
        "format_version": attributes["format_version"],
        "length": attributes["length"],
        "build": attributes["config"]["build"],
    }
    if attributes["status"] != "scanning":
        described |= _contents(place_of(path), attributes["expression_recipe"])
    return described | {name: attributes[name] for name in ("policies", "reconciled", "fingerprint")}


def _contents(place: str, recipes: Mapping[str, Any]) -> dict[str, Any]:
    """What the arrays of a store hold; ``recipes`` of its expression by assay."""
    group = open_group(place)
    ids = group["haplotype_id"]
    n_genes, n_individuals, n_haplotypes = ids.shape
    built = _genes_built(place)
    size = sum(files_below(f"{place}/haplotype_sequence/c").values())
    return {
        "genes": n_genes,
        "individuals": n_individuals,
        "expression": {
            str(assay): describe_recipe(recipes[assay]) if assay in recipes else "as given"
            for assay in group["assay"][:]
        },
        "variants": group["variants/call_genotype"].shape[0],
        "built": int(built.sum()),
        "bytes_per_window": round(size / max(int(built.sum()) * n_individuals * n_haplotypes, 1), 1),
        "distinct_windows": sum(int(ids[gene].max()) + 1 for gene in np.flatnonzero(built)),
        "splits": names_of_splits(place),
    }


def names_of_splits(place: str) -> list[str]:
    """The names of the splits of a store, sorted."""
    files = [name.split("/") for name in files_below(f"{place}/splits")]
    names = {parts[0] for parts in files if parts[1:] == ["zarr.json"]}
    return sorted(name for name in names if not name.endswith(".partial"))


def _missing(path: str | Path, attributes: dict[str, Any]) -> str:
    """What is not there yet of an unfinished store."""
    if attributes.get("status") == "scanning":
        return "the genotypes are not all read yet"
    built = _genes_built(place_of(path))
    if built.all():
        return "all windows are there, but it is not closed"
    return f"{np.count_nonzero(~built)} of {len(built)} genes have no windows yet"


def _genes_built(place: str) -> np.ndarray:
    """Whether the windows of each gene are written."""
    group = open_group(place)
    by_block = np.asarray(group["built"][:], dtype=bool)
    return np.repeat(by_block, GENES_IN_CHUNK)[: group["gene"].shape[0]]


def _format_checked(path: str | Path) -> dict[str, Any]:
    attributes = attributes_of(path)
    if attributes is None and not is_url(place_of(path)):
        finish_swap(place_of(path))
        attributes = attributes_of(path)
    if attributes is None:
        raise InputError(f"{path}: no store here; make one with: seqstore build")
    if attributes.get("format") != FORMAT_NAME:
        raise InputError(f"{path}: a Zarr group, but not a seqstore store")
    version = attributes.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(f"{path}: format version {attributes['format_version']} needs a newer seqstore")
    if not isinstance(version, int) or not attributes.keys() >= _ATTRIBUTES:
        raise InputError(f"{path}/zarr.json: is damaged; take this file from a copy of the store")
    return attributes
