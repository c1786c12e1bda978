"""Positions in windows and positions in the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqstore.build import build
from seqstore.coordinates import NOWHERE, WindowCoordinates, positions_of, window_coordinates
from seqstore.errors import InputError
from seqstore.records import table_of
from tests.conftest import Call, write_cohort
from tests.oracle import consensus
from tests.random_cohorts import crowded_records

#: As in test_haplotypes: the window of the reference is 12 to 27 (1-based), the TSS is at 20.
CONTIG = "CCATGGTCAAGATTACGTTGCATGCCTAGATCCATTGACA"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ("", "12 13 14 15 16 17 18 19 | 20 21 22 23 24 25 26 27"),
        ("15 A G", "12 13 14 15 16 17 18 19 | 20 21 22 23 24 25 26 27"),
        ("17 GTT ACC", "12 13 14 15 16 17 18 19 | 20 21 22 23 24 25 26 27"),
        ("15 A ACC", "14 15 . . 16 17 18 19 | 20 21 22 23 24 25 26 27"),
        ("15 ACGT A", "9 10 11 12 13 14 15 19 | 20 21 22 23 24 25 26 27"),
        # What both alleles share at their ends is the same base: first at the right ...
        ("15 ACG ATTG", "13 14 15 16 . 17 18 19 | 20 21 22 23 24 25 26 27"),
        # ... of the rest, the first bases are substitutes of each other.
        ("15 ACG TT", "11 12 13 14 15 16 18 19 | 20 21 22 23 24 25 26 27"),
        ("15 ACG TTCA", "13 14 15 16 17 . 18 19 | 20 21 22 23 24 25 26 27"),
        # An indel in a repeat is at its left end, behind the first base if both alleles begin with it.
        ("18 TT T", "11 12 13 14 15 16 17 18 | 20 21 22 23 24 25 26 27"),
        ("18 TT TTT", "13 14 15 16 17 18 . 19 | 20 21 22 23 24 25 26 27"),
        ("15 A G; 15 A ACC", "14 15 . . 16 17 18 19 | 20 21 22 23 24 25 26 27"),
        ("15 ACGT A; 18 T TGG", "11 12 13 14 15 . . 19 | 20 21 22 23 24 25 26 27"),
        ("20 G GAA", "12 13 14 15 16 17 18 19 | 20 . . 21 22 23 24 25"),
        ("20 G AAG", "14 15 16 17 18 19 . . | 20 21 22 23 24 25 26 27"),
        ("19 TG T", "12 13 14 15 16 17 18 19 | 21 22 23 24 25 26 27 28"),
        ("19 TG T; 21 C A", "12 13 14 15 16 17 18 19 | 21 22 23 24 25 26 27 28"),
        ("2 CATGGTCAAGATTA C", "-1 0 1 2 16 17 18 19 | 20 21 22 23 24 25 26 27"),
        ("22 ATGCCTAGATCCATTGACA A", "12 13 14 15 16 17 18 19 | 20 21 22 41 42 43 44 45"),
    ],
)
def test_positions_of_literal_cases(records: str, expected: str) -> None:
    rows = [text.split() for text in records.split("; ") if text]
    texts = np.array([row[1:] for row in rows], dtype=object).reshape(-1, 2)
    table = table_of([int(row[0]) for row in rows], texts, "all")
    found = positions_of(table, np.ones(len(rows), dtype=np.int8), 19, 16)
    wanted = [NOWHERE if text == "." else int(text) - 1 for text in expected.replace("| ", "").split()]
    assert found.tolist() == wanted


def test_there_and_back() -> None:
    coordinates = WindowCoordinates(np.array([-1, 0, 1, NOWHERE, NOWHERE, 2, 5, 6]))
    assert coordinates.to_reference([2, 3, 6]).tolist() == [1, NOWHERE, 5]
    assert coordinates.to_reference(5) == 2
    assert coordinates.to_reference(np.array([[0, 7]])).tolist() == [[-1, 6]]
    assert coordinates.to_haplotype([-1, 2, 3, 5, 6, 7, -2]).tolist() == [
        0,
        5,
        NOWHERE,
        6,
        7,
        NOWHERE,
        NOWHERE,
    ]
    assert coordinates.to_haplotype(np.array([[1], [4]])).tolist() == [[2], [NOWHERE]]
    assert coordinates.to_haplotype([]).shape == (0,)
    for outside in ([8], [-1], [0, 100]):
        with pytest.raises(IndexError, match="of a window of 8 bases"):
            coordinates.to_reference(outside)
    nothing = WindowCoordinates(np.full(4, NOWHERE))
    assert nothing.to_haplotype([3]).tolist() == [NOWHERE]


def test_windows_of_a_store(tmp_path: Path) -> None:
    calls: list[Call] = [
        ("chr1", 15, "A", "ACC", "PASS", ["1|0", "0|0"]),
        ("chr1", 21, "CAT", "C", "PASS", ["1|0", "0|1"]),
    ]
    cohort = write_cohort(tmp_path, {"chr1": CONTIG}, ["P", "Q"], calls, [("chr1", 20), ("chr1", 38)])
    config = cohort.config(length=16, variants="all")
    build(config)
    found = window_coordinates(config.store, "G0", "P", 0)
    assert found.to_reference([1, 2, 8, 9, 10]).tolist() == [14, NOWHERE, 19, 20, 23]
    assert found.to_haplotype([14, 15, 19, 21, 22, 23]).tolist() == [1, 4, 8, NOWHERE, NOWHERE, 10]
    same = window_coordinates(config.store, "G0", "Q", 0).reference
    assert same.tolist() == list(range(11, 27))
    # A gene whose windows are made without any record.
    assert window_coordinates(config.store, "G1", "P", 0).reference.tolist() == list(range(29, 45))
    for arguments, expected in (
        (("G7", "P", 0), "no gene 'G7'"),
        (("G0", "R", 0), "no individual 'R'"),
        (("G0", "P", 2), "haplotype 2: give 0 or 1"),
    ):
        with pytest.raises(InputError, match=expected):
            window_coordinates(config.store, *arguments)


@pytest.mark.parametrize("seed", range(12))
def test_every_base_that_the_chain_of_bcftools_aligns(bcftools: str, tmp_path: Path, seed: int) -> None:
    """Over a whole contig; and what it does not align was changed by a record."""
    rng = np.random.default_rng(seed)
    contig = "".join(rng.choice(list("ACGT"), 300))
    calls: list[Call] = [
        (
            "chr1",
            position,
            ref,
            ",".join(alts),
            "PASS",
            ["|".join(map(str, rng.integers(0, len(alts) + 1, 2)))],
        )
        for position, ref, alts in crowded_records(rng, contig)
        if not set("".join(alts)) & set("*<")
    ]
    write_cohort(tmp_path, {"chr1": contig}, ["P"], calls, [("chr1", 1)])
    width = max((1 + len(call[3].split(",")) for call in calls), default=2)
    texts = np.full((len(calls), width), "", dtype=object)
    for row, (_, _, ref, alts, _, _) in zip(texts, calls, strict=True):
        row[: 1 + len(alts.split(","))] = [ref, *alts.split(",")]
    table = table_of([call[1] for call in calls], texts, "all")
    for haplotype in (0, 1):
        truth = consensus(bcftools, tmp_path, "P", str(haplotype + 1)).contigs["chr1"]
        applied = np.array([call[5][0].split("|")[haplotype] for call in calls], dtype=np.int8)
        first, at, _ = truth.blocks[0]  # a base left of all changes, or the contig's first one
        found = positions_of(table, applied, first, 2 * len(truth.sequence))
        start = len(truth.sequence) - at
        ours = found[start : start + len(truth.sequence)]
        for reference, sequence, n in truth.blocks:
            assert ours[sequence : sequence + n].tolist() == list(range(reference, reference + n))
        there = ours[ours != NOWHERE]
        assert (np.diff(there) > 0).all()
        assert 0 <= there.min()
        assert there.max() < 300
