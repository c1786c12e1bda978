"""``ds.seq``: what a person at a prompt asks of a store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import seqstore
from seqstore.build import build
from seqstore.dosage import dosage_of
from seqstore.nucleotides import decode, unpack
from tests.conftest import Cohort


@pytest.fixture
def store(make_cohort: Callable[..., Cohort]) -> xr.Dataset:
    config = make_cohort().config(variants="all")
    build(config)
    return seqstore.open_store(config.store)


def test_dna_is_the_stored_window_in_letters(store: xr.Dataset) -> None:
    packed = store.haplotype_sequence.sel(gene="G2", individual="P1").values
    assert store.seq.dna(gene="G2", individual="P1", haplotype=1) == decode(unpack(packed[1]))
    both = store.seq.dna(gene="G2", individual="P1")
    assert both.dims == ("haplotype",)
    assert both.values.tolist() == [decode(unpack(window)) for window in packed]
    everyone = store.seq.dna(gene="G2", haplotype=0)
    assert everyone.dims == ("individual",)
    assert everyone.sel(individual="P1").item() == both.values[0]


def test_onehot_has_the_letters_of_dna(store: xr.Dataset) -> None:
    found = store.seq.onehot(gene=["G3", "G1"], individual=["P2", "P0"])
    assert found.dims == ("gene", "individual", "haplotype", "position", "nucleotide")
    assert found.gene.values.tolist() == ["G3", "G1"]
    assert found.individual.values.tolist() == ["P2", "P0"]
    assert found.dtype == np.float32
    of_one = found.sel(gene="G1", individual="P0")
    letters = store.seq.dna(gene="G1", individual="P0", haplotype=1)
    shown = of_one.isel(haplotype=1)
    assert (
        "".join(shown.nucleotide.values[row.argmax()] if row.any() else "N" for row in shown.values)
        == letters
    )
    tss = int(store.tss.sel(gene="G1")) - 1 - int(store.window_start.sel(gene="G1"))
    assert shown.position.values[tss] == 0
    assert store.seq.onehot(gene="G1", individual="P0", haplotype=0, dtype=np.int8).dtype == np.int8


def test_dimensions_take_masks_slices_and_nothing(store: xr.Dataset) -> None:
    people = store.individual.values
    whole = store.seq.dna(gene="G1", haplotype=0)
    mask = np.arange(len(people)) % 2 == 1
    assert (
        store.seq.dna(gene="G1", individual=mask, haplotype=0).values.tolist() == whole.values[mask].tolist()
    )
    array = xr.DataArray(mask, dims="individual")
    assert (
        store.seq.dna(gene="G1", individual=array, haplotype=0).individual.values.tolist()
        == people[mask].tolist()
    )
    part = store.seq.dna(gene="G1", individual=slice(people[1], people[3]), haplotype=0)
    assert part.individual.values.tolist() == people[1:4].tolist()
    assert store.seq.dna(individual="P1", haplotype=0).dims == ("gene",)
    with pytest.raises(ValueError, match=r"individual: a mask of shape \(2,\) for"):
        store.seq.dna(individual=[True, False])


def test_genes_go_by_their_name_too(store: xr.Dataset) -> None:
    name = str(store.gene_name.sel(gene="G2").item())
    assert name != "G2"
    assert store.seq.dna(gene=name, individual="P1", haplotype=0) == store.seq.dna(
        gene="G2", individual="P1", haplotype=0
    )
    twice = store.assign_coords(gene_name=("gene", ["TWO"] * store.sizes["gene"]))
    with pytest.raises(KeyError, match=r"genes are named TWO: G1, G2.*give the id of one"):
        twice.seq.dna(gene="TWO")


def test_labels_that_are_not_there_name_the_nearest(store: xr.Dataset) -> None:
    with pytest.raises(KeyError, match=r"individual: there is no P10 among .*; the nearest are P1"):
        store.seq.onehot(individual="P10")
    for use in (store.seq.dosage, store.seq.variants, lambda gene: store.seq.dna(gene=["G1", gene])):
        with pytest.raises(KeyError, match=r"gene: there is no G22 among .*; the nearest are G2"):
            use("G22")


def test_dosage_and_variants_are_those_of_the_gene(store: xr.Dataset) -> None:
    variants = seqstore.open_variants(store.encoding["source"])
    expected = dosage_of(variants, "G1")["dosage"]
    xr.testing.assert_identical(store.seq.dosage("G1"), expected)
    part = store.isel(individual=[3, 1])
    np.testing.assert_array_equal(part.seq.dosage("G1").values, expected.values[[3, 1]])
    np.testing.assert_array_equal(
        store.seq.dosage("G1", individual="P1").values, expected.sel(individual="P1")
    )
    records = part.seq.variants("G1")
    first, stop = (int(variants[f"gene_variant_{end}"].sel(gene="G1")) for end in ("start", "stop"))
    assert records.sizes["variant"] == stop - first > 0
    np.testing.assert_array_equal(
        records.call_genotype.values, variants.call_genotype.values[first:stop][:, [3, 1]]
    )


def test_haplotypes_that_do_not_exist(store: xr.Dataset) -> None:
    ids = store.haplotype_id.copy(deep=True)
    ids[0, 0, 1] = -1
    haploid = store.assign(haplotype_id=ids)
    assert haploid.seq.dna(gene="G1", individual="P0").values[1] == ""
    assert np.isnan(haploid.seq.onehot(gene="G1", individual="P0").values[1]).all()


def test_other_datasets_are_told_what_is_missing(store: xr.Dataset) -> None:
    with pytest.raises(TypeError, match=r"only datasets of seqstore\.open_store"):
        _ = xr.Dataset({"x": 1}).seq
    bare = store.copy()
    bare.encoding.pop("source", None)
    with pytest.raises(ValueError, match=r"open it with seqstore\.open_store"):
        bare.seq.dosage("G1")
    with pytest.raises(ValueError, match="gene: this dataset has G1 only"):
        store.sel(gene="G1").seq.dna(gene="G1")
    assert (
        store.sel(gene="G1").seq.dna(individual="P1").values.tolist()
        == store.seq.dna(gene="G1", individual="P1").values.tolist()
    )


def test_the_order_of_dimensions_and_people_is_the_datasets(store: xr.Dataset) -> None:
    expected = store.seq.dna(gene=["G1", "G3"], haplotype=0)
    turned = store.transpose("byte", ...).seq.dna(gene=["G1", "G3"], haplotype=0)
    xr.testing.assert_identical(turned, expected)
    shown = store.transpose("byte", ...).seq.onehot(gene="G1", individual="P1")
    xr.testing.assert_identical(shown, store.seq.onehot(gene="G1", individual="P1"))
    back = store.isel(individual=slice(None, None, -1))
    of_b = back.seq.dna(gene="G1", haplotype=0, individual=back.population == "B")
    assert set(of_b.population.values) == {"B"}
    with pytest.raises(ValueError, match="individual: the mask is of another selection or order"):
        back.seq.dna(gene="G1", haplotype=0, individual=store.population == "B")


def test_a_slice_of_labels_may_have_a_step(store: xr.Dataset) -> None:
    found = store.seq.dna(gene="G1", haplotype=0, individual=slice("P0", "P4", 2))
    assert found.individual.values.tolist() == ["P0", "P2", "P4"]


def test_a_part_of_the_windows_is_refused(store: xr.Dataset) -> None:
    for of_part in (store.isel(byte=slice(0, 10)).seq.onehot, store.isel(byte=slice(0, 10)).seq.dna):
        with pytest.raises(ValueError, match="byte: this dataset has a part of the windows only"):
            of_part(gene="G1")


def test_a_dataset_of_one_gene_knows_it(store: xr.Dataset) -> None:
    alone = store.sel(gene="G2")
    xr.testing.assert_identical(alone.seq.dosage("G2"), store.seq.dosage("G2"))
    xr.testing.assert_identical(alone.seq.dosage("TWO"), store.seq.dosage("G2"))
    xr.testing.assert_identical(alone.seq.variants("G2"), store.seq.variants("G2"))
    with pytest.raises(KeyError, match="this dataset has G2 only, not G1"):
        alone.seq.dosage("G1")


def test_what_is_no_haplotype_or_length_is_refused(store: xr.Dataset) -> None:
    for haplotype in (-1, 2):
        with pytest.raises(KeyError, match="haplotype: there is no"):
            store.seq.dna(gene="G1", haplotype=haplotype)
    for length in (3, 0, -4):
        with pytest.raises(ValueError, match="is not a positive even number of bases"):
            store.seq.dosage("G1", length=length)


def test_any_order_of_dimensions_can_be_indexed(store: xr.Dataset) -> None:
    turned = store.transpose("individual", ...)
    assert turned.seq.dna("G1", "P3", 0) == store.seq.dna("G1", "P3", 0)
    assert turned.seq.dna(gene="G1", haplotype=1).dims == ("individual",)
    with pytest.raises(TypeError, match=r"with haplotype_sequence and haplotype_id, have \.seq"):
        _ = store[["haplotype_sequence", "expression"]].seq


def test_genes_go_by_id_too(store: xr.Dataset) -> None:
    named = store.assign_coords(gene_id=("gene", ["E1", "E2", "E3", "E1"]))
    assert named.seq.dna("E2", "P0", 0) == store.seq.dna("G2", "P0", 0)
    with pytest.raises(KeyError, match="2 genes are named E1: G1, G4"):
        named.seq.dna("E1", "P0", 0)
    with pytest.raises(KeyError, match="there is no three among 4; the nearest are THREE"):
        named.seq.dna("three", "P0", 0)
