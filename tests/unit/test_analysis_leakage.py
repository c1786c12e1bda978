"""Relatives, and what training has seen of what tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from analysis_datasets import store_of

from analysis.leakage import COLUMNS, leakage_of, overlaps_of
from analysis.relatives import families_of, pairs_of_families, pairs_of_kinship, related_pairs
from analysis.split_tables import split_dataset
from seqstore.errors import InputError


@pytest.fixture
def store() -> xr.Dataset:
    """Three genes, of which the first two overlap, and six people."""
    return store_of(["chr1"] * 3, 6, tss=[10_000, 10_400, 20_000])


KING = "FID1\tID1\tFID2\tID2\tN_SNP\tHetHet\tIBS0\tKinship\n"


@pytest.mark.parametrize(
    "text",
    [
        KING + "0\tperson000\t0\tperson004\t9\t.1\t0\t0.25\n0\tperson001\t0\tperson002\t9\t.1\t0\t0.04\n",
        "FID\tID1\tID2\tN_SNP\tZ0\tPhi\tHetHet\tIBS0\tHetConc\tHomIBS0\tKinship\tError\n"
        "f\tperson004\tperson000\t9\t0\t.25\t.1\t0\t1\t0\t0.2451\t0\n",
        "#IID1\tIID2\tNSNP\tHETHET\tIBS0\tKINSHIP\n0_person000\tperson004\t9\t.1\t0\t.25\nx\tperson001\t9\t.1\t0\t.25\n",
    ],
    ids=["KING .kin0", "KING .kin", "PLINK 2"],
)
def test_kinship_tables(tmp_path: Path, store: xr.Dataset, text: str) -> None:
    (tmp_path / "cohort.kin0").write_text(text)
    assert pairs_of_kinship(store, tmp_path / "cohort.kin0").tolist() == [[0, 4]]


def test_bad_kinship_tables(tmp_path: Path, store: xr.Dataset) -> None:
    path = tmp_path / "cohort.kin0"
    for text, message in (
        ("a\tb\nperson000\tperson001\n", "needs columns ID1, ID2 and Kinship"),
        (KING + "0\tx\t0\ty\t9\t.1\t0\t0.2\n", "names nobody of the store"),
        (KING + "0\tperson000\t0\tperson001\t9\t.1\t0\thigh\n", "row 1 has no number as kinship"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            pairs_of_kinship(store, path)
    with pytest.raises(InputError, match="no column of the sample table 'fid'"):
        pairs_of_families(store, "fid")


def test_families_are_chains_of_relatives(store: xr.Dataset) -> None:
    families = families_of(np.array([[0, 4], [4, 5]]), 6)
    assert len({*families[[0, 4, 5]]}) == 1
    assert len(set(families)) == 4
    labels = np.array(["a", "0", "0", "", "b", "a"], dtype=object)
    told = store.assign_coords(family=("individual", labels))
    assert related_pairs(told) is not None
    assert pairs_of_families(told, "family").tolist() == [[0, 5]]
    assert related_pairs(told, family="none") is None
    assert related_pairs(store) is None


def test_the_report(store: xr.Dataset) -> None:
    assert overlaps_of(store) == [(0, 1)]
    #         trains the first    tests all three       trains nothing
    roles = np.array([[1, 1, 2, 3, 3, 0], [3, 1, 1, 1, 3, 3], [3, 3, 3, 3, 3, 3]], dtype=np.int8)
    people = store["individual"].values.tolist()
    split = split_dataset(roles, ["random_split", "random_split", "unseen"], store["gene"].values, people)
    report = leakage_of(store, split)
    assert list(report) == COLUMNS
    found = report.set_index(["gene_class", "check"])["found"]
    assert found["random_split"].to_dict() == {
        "test people who train another gene": 2,  # 0 and 3 train a gene and test the other
        "test cells whose person trains an overlapping gene": 2,
        "test cells with a relative who trains the gene": "not assessable",
    }
    assert found["unseen"].to_dict() == {
        "test people who train another gene": 4,
        "unseen genes that somebody trains": 0,
        "unseen genes that overlap a trained gene": 0,
        "test cells whose person trains an overlapping gene": 0,
        "test cells with a relative who trains the gene": "not assessable",
    }
    pairs = np.array(
        [[2, 4], [0, 5]]
    )  # 2 is seen by both genes, which 4 tests; 5 tests the second, 0 only the first
    known = leakage_of(store, split, pairs=pairs).set_index(["gene_class", "check"])
    row = known.loc[("random_split", "test cells with a relative who trains the gene")]
    assert (row["found"], row["of"], row["leak"]) == (2, 5, "yes")
    assert known.loc[("unseen", "test cells with a relative who trains the gene"), "leak"] == "no"


def test_an_unseen_gene_that_is_not(store: xr.Dataset) -> None:
    roles = np.array([[1, 1, 2, 3, 3, 3], [3] * 6, [3, 3, 3, 3, 1, 3]], dtype=np.int8)
    people = store["individual"].values.tolist()
    split = split_dataset(roles, ["random_split", "unseen", "unseen"], store["gene"].values, people)
    found = leakage_of(store, split).set_index(["gene_class", "check"])["found"]["unseen"]
    assert found["unseen genes that somebody trains"] == 1
    assert found["unseen genes that overlap a trained gene"] == 1
    assert found["test cells whose person trains an overlapping gene"] == 3
