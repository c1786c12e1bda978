"""Whether two stores hold the same, label by label, in whatever order and under whatever ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

import seqstore

_ROWS = tuple(f"gene_{what}_{end}" for what in ("record", "variant") for end in ("start", "stop"))


def assert_same_store(store: str | Path, other: str | Path) -> None:
    """Compare everything but chunks, ids and attributes."""
    one, two = seqstore.open_store(store).load(), seqstore.open_store(other).load()
    assert set(one.variables) == set(two.variables)
    assert one.sizes == two.sizes
    two = two.sel(gene=one.gene.values, individual=one.individual.values)
    for name in one.variables:
        if name != "haplotype_id":
            np.testing.assert_array_equal(one[name].values, two[name].values, err_msg=str(name))
            assert one[name].dtype == two[name].dtype, name
    for gene in range(one.sizes["gene"]):
        assert_same_partition(one.haplotype_id.values[gene], two.haplotype_id.values[gene])
    assert_same_variants(seqstore.open_variants(store).load(), seqstore.open_variants(other).load())
    reader = seqstore.HaplotypeReader(store)
    genes, people = (place.ravel() for place in np.indices((one.sizes["gene"], one.sizes["individual"])))
    np.testing.assert_array_equal(
        reader.read(genes, people).reshape(one.haplotype_sequence.shape), one.haplotype_sequence.values
    )


def assert_same_partition(ids: np.ndarray, others: np.ndarray) -> None:
    """Equal ids are equal ids in both, and -1 is -1; ids are numbered without gaps."""
    pairs = set(zip(ids.ravel().tolist(), others.ravel().tolist(), strict=True))
    assert len({one for one, _ in pairs}) == len({two for _, two in pairs}) == len(pairs)
    assert all((one == -1) == (two == -1) for one, two in pairs)
    assert {one for one, _ in pairs} - {-1} == set(range(len({one for one, _ in pairs} - {-1})))


def assert_same_variants(one: xr.Dataset, two: xr.Dataset) -> None:
    """The same records in the same order on each contig, with the same calls, and the same ones of each gene."""
    two = two.sel(gene=one.gene.values, individual=one.individual.values)
    assert one.sizes["variant"] == two.sizes["variant"]
    texts = [ds.variant_contig.values.astype(object) for ds in (one, two)]
    orders = [np.argsort(contig, kind="stable") for contig in texts]
    sorted_one, sorted_two = (
        ds.drop_vars(_ROWS).isel(variant=order) for ds, order in zip((one, two), orders, strict=True)
    )
    width = max(ds.sizes["allele"] for ds in (one, two))  # as wide as the widest record that was read
    sorted_one, sorted_two = (
        ds.pad(allele=(0, width - ds.sizes["allele"]), constant_values="") for ds in (sorted_one, sorted_two)
    )
    for name in sorted_one.variables:
        np.testing.assert_array_equal(sorted_one[name].values, sorted_two[name].values, err_msg=str(name))
    place_of = [np.argsort(order) for order in orders]
    for gene in range(one.sizes["gene"]):
        for what in ("record", "variant"):
            rows = [
                place[int(ds[f"gene_{what}_start"][gene]) : int(ds[f"gene_{what}_stop"][gene])].tolist()
                for ds, place in zip((one, two), place_of, strict=True)
            ]
            assert rows[0] == rows[1], (what, gene)
