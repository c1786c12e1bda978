"""Splits of a store: who trains, validates and tests which gene. Many stand side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from seqstore.claim import claimed
from seqstore.errors import InputError
from seqstore.layout import encoding_of
from seqstore.locations import failures_named, place_of, remove, rename_group
from seqstore.store import check_store, names_of_splits, open_group_of, open_store

UNUSED, TRAIN, VALIDATION, TEST = range(4)
GENE_CLASSES = ("random_split", "population_split", "unseen", "unused")


def open_split(path: str | Path, name: str) -> xr.Dataset:
    """Open a split: ``split`` (gene, individual) int8, 0 unused, 1 train, 2 validation, 3 test; ``gene_class`` (gene).

    Raises:
        InputError: the store has no split of that name.
    """
    names = split_names(path)
    if name not in names:
        known = f"it has: {', '.join(names)}" if names else "make one with: python -m analysis split"
        raise InputError(f"{path}: has no split {name!r}; {known}")
    return open_group_of(path, f"splits/{name}")


def split_names(path: str | Path) -> list[str]:
    """The names of a store's splits, sorted."""
    check_store(path)
    return names_of_splits(place_of(path))


def split_fingerprint(split: xr.Dataset) -> str:
    """SHA-256 of who has which role in a split (of `open_split`), with the labels of genes and individuals.

    Genes and individuals that are not used at all do not count: more of them may be appended to a store.
    """
    roles = split["split"].transpose("gene", "individual")
    used = roles.values != UNUSED
    roles = roles[used.any(axis=1), used.any(axis=0)]
    labels = [str(label) for name in ("gene", "individual") for label in roles[name].values]
    content = "\n".join(labels).encode() + np.ascontiguousarray(roles.values, dtype=np.int8).tobytes()
    return hashlib.sha256(content).hexdigest()


def write_split(
    path: str | Path,
    name: str,
    *,
    split: npt.ArrayLike,
    gene_class: Sequence[str],
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Add a split to a finished store; ``attrs`` say by which rule and seed it was made.

    Raises:
        InputError: the name is taken or cannot be a folder's, or a value or shape is not a split's.
    """
    if not name or name != Path(name).name or name.startswith(".") or name.endswith(".partial"):
        raise InputError(f"--name {name!r}: a split's name is a plain folder name")
    place = place_of(path)
    with failures_named(place), claimed(place):  # the store is not to be replaced meanwhile
        _write_new(path, name, split, gene_class, attrs or {})


def _write_new(
    path: str | Path, name: str, split: npt.ArrayLike, gene_class: Sequence[str], attrs: Mapping[str, Any]
) -> None:
    if name in split_names(path):
        raise InputError(f"{path}: has a split {name!r} already; choose another name")
    store = open_store(path)
    values = np.asarray(split, dtype=np.int8)
    if (
        values.shape != (store.sizes["gene"], store.sizes["individual"])
        or not np.isin(values, range(4)).all()
    ):
        raise InputError(f"split {name!r}: needs a value 0 to 3 for every gene and individual of {path}")
    unknown = set(gene_class) - set(GENE_CLASSES)
    if unknown or len(gene_class) != len(values):
        raise InputError(f"split {name!r}: gene classes are {', '.join(GENE_CLASSES)}; got {sorted(unknown)}")
    _write(place_of(path), name, values, gene_class, attrs)


def copy_splits(path: str | Path, larger: str | Path) -> None:
    """Give a store that is made from the one at ``path`` its splits; what was added behind the rest is unused."""
    place = place_of(larger)
    root: Any = zarr.open_group(place, mode="r+")
    n_genes, n_individuals = (root[name].shape[0] for name in ("gene", "individual"))
    remove(f"{place}/splits")  # those that a run that was stopped has copied
    root.require_group("splits")
    for name in split_names(path):
        split = open_split(path, name)
        values = np.full((n_genes, n_individuals), UNUSED, dtype=np.int8)
        values[: split.sizes["gene"], : split.sizes["individual"]] = split["split"].values
        classes = split["gene_class"].values.tolist()
        _write(place, name, values, classes + ["unused"] * (n_genes - len(classes)), split.attrs)


def _write(
    place: str,
    name: str,
    values: npt.NDArray[np.int8],
    gene_class: Sequence[str],
    attrs: Mapping[str, Any],
) -> None:
    """Write a split, whole or not at all."""
    flags = {"flag_values": list(range(4)), "flag_meanings": "unused train validation test"}
    dataset = xr.Dataset(
        {
            "split": (("gene", "individual"), values, flags),
            "gene_class": ("gene", np.array(gene_class, dtype=object)),
        },
        attrs=dict(attrs),
    )
    aside = f"splits/{name}.partial"
    with failures_named(place):
        remove(f"{place}/{aside}")
        with zarr.config.set({"array.write_empty_chunks": True}):
            dataset.to_zarr(
                place,
                group=aside,
                mode="a",
                zarr_format=3,
                consolidated=False,
                encoding=encoding_of(dataset),
            )
        rename_group(f"{place}/{aside}", f"{place}/splits/{name}")
