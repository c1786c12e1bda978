"""Dosages of a gene's window."""

from __future__ import annotations

import numpy as np
import pytest
from analysis_datasets import store_of, variants_of

from analysis.dosage import check_length, fill_missing
from seqstore.dosage import dosage_of
from seqstore.errors import InputError

STORE = store_of(["chr1", "chr1"], 3, tss=[1000, 5000])
CALLS = np.array(
    [
        [[0, 0], [0, 1], [1, 1]],  # 900, A>G
        [[1, 2], [2, 2], [0, -1]],  # 1000, C>T,G
        [[1, 1], [1, 1], [1, 1]],  # 5000, of the other gene
    ],
    dtype=np.int8,
)
VARIANTS = variants_of(
    STORE, CALLS, [900, 1000, 5000], [("A", "G"), ("C", "T", "G"), ("G", "A")], [(0, 2), (2, 3)]
)


def test_dosage_counts_each_alt_allele() -> None:
    window = dosage_of(VARIANTS, "gene0")
    nan = np.nan
    np.testing.assert_array_equal(window["dosage"], [[0, 1, 1], [1, 0, 2], [2, nan, nan]])
    assert window["variant_id"].values.tolist() == ["rs0", "rs1", "rs1"]
    assert window["position"].values.tolist() == [900, 1000, 1000]
    assert window["ref"].values.tolist() == ["A", "C", "C"]
    assert window["alt"].values.tolist() == ["G", "T", "G"]
    assert dosage_of(VARIANTS, "gene1")["position"].values.tolist() == [5000]


def test_a_haploid_call_counts_twice_or_once() -> None:
    store = store_of(["chrX"], 4)
    calls = np.array(
        [[[1, -2], [0, -2], [-1, -2], [1, 1]], [[2, -2], [1, -2], [0, -2], [0, 2]]], dtype=np.int8
    )
    variants = variants_of(store, calls, [9990, 10000], [("A", "G"), ("C", "T", "CA")], [(0, 2)])
    nan = np.nan
    np.testing.assert_array_equal(
        dosage_of(variants, "gene0")["dosage"], [[2, 0, 2], [0, 2, 0], [nan, 0, 0], [2, 0, 1]]
    )
    np.testing.assert_array_equal(
        dosage_of(variants, "gene0", haploid=1)["dosage"], [[1, 0, 1], [0, 1, 0], [nan, 0, 0], [2, 0, 1]]
    )


def test_skipped_alleles_are_counted_for_each_allele() -> None:
    skipped = np.zeros(CALLS.shape, dtype=bool)
    skipped[1, 0] = [False, True]  # allele 2 of the first person
    skipped[1, 1] = True
    variants = variants_of(
        STORE, CALLS, [900, 1000, 5000], [("A", "G"), ("C", "T", "G"), ("G", "A")], [(0, 2), (2, 3)], skipped
    )
    window = dosage_of(variants, "gene0")
    assert window["n_skipped"].values.tolist() == [0, 0, 3]
    np.testing.assert_array_equal(window["dosage"], dosage_of(VARIANTS, "gene0")["dosage"])


@pytest.mark.parametrize(
    ("length", "positions"), [(200, [900, 1000, 1000]), (198, [1000, 1000]), (2, [1000, 1000])]
)
def test_a_narrower_window_is_centred_on_the_tss(length: int, positions: list[int]) -> None:
    # A window of 200 bases round TSS 1000 is 900 to 1099, one of 198 is 901 to 1098.
    assert dosage_of(VARIANTS, "gene0", length=length)["position"].values.tolist() == positions


def test_missing_calls_become_the_mean_of_the_fitted_people() -> None:
    dosage = np.array([[0, np.nan], [2, np.nan], [2, 2], [np.nan, 1]])
    filled = fill_missing(dosage, np.array([True, True, False, False]))
    np.testing.assert_array_equal(filled, [[0, 0], [2, 0], [2, 2], [1, 1]])


@pytest.mark.parametrize("length", [3, 0, -2, 1002])
def test_impossible_lengths_are_refused(length: int) -> None:
    with pytest.raises(
        InputError, match=f"length {length}: give an even number of bases up to the store's 1000"
    ):
        check_length(length, 1000)
    check_length(1000, 1000)
    check_length(None, 1000)
