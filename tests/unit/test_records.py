"""What alleles and calls mean."""

from __future__ import annotations

import numpy as np
import pytest

from seqstore.genotypes import ABSENT, MISSING
from seqstore.nucleotides import decode
from seqstore.records import (
    CODE_CALL,
    N_CALL,
    Kinds,
    RecordTable,
    calls_to_apply,
    haplotypes_present,
    is_applicable,
    is_applied,
    table_of,
)

NOT_LETTERS = ["*", "<DEL>", "<*>", "A[chr2:9[", "]chr2:9]A", ".", "", "A.", "AXC"]


def table(*alleles: tuple[str, ...], kinds: Kinds = "all") -> RecordTable:
    width = max(map(len, alleles))
    texts = np.array([[*row, *[""] * (width - len(row))] for row in alleles], dtype=object)
    return table_of(10 * np.arange(1, len(alleles) + 1), texts, kinds)


@pytest.mark.parametrize(
    ("ref", "alt", "snps", "everything"),
    [
        ("A", "C", True, True),
        ("a", "t", True, True),
        ("N", "T", True, True),
        ("A", "N", False, True),
        ("A", "R", False, True),
        ("A", "AC", False, True),
        ("AC", "A", False, True),
        ("AC", "GT", False, True),
        ("ACG", "T", False, True),
        *(("A", alt, False, False) for alt in NOT_LETTERS),
    ],
)
def test_which_alleles_are_put_in(ref: str, alt: str, snps: bool, everything: bool) -> None:
    for kinds, expected in (("snps", snps), ("all", everything)):
        assert is_applied(ref, alt, kinds) is expected
        assert (table((ref, alt), kinds=kinds).allele_length[0, 1] >= 0) == expected
        assert is_applicable((ref, alt, "*"), kinds) is expected
        assert is_applicable((ref, "*", alt), kinds) is expected


def test_alleles_stand_in_one_text() -> None:
    records = table(("A", "C", "AGT"), ("ctg", "c"), ("G", "<DEL>", "T"))
    assert records.start.tolist() == [9, 19, 29]
    assert records.allele_length.tolist() == [[1, 1, 3], [3, 1, -1], [1, -1, 1]]
    texts = [
        [decode(records.bases[start : start + max(length, 0)]) for start, length in zip(*row, strict=True)]
        for row in zip(records.allele_start.tolist(), records.allele_length.tolist(), strict=True)
    ]
    assert texts == [["A", "C", "AGT"], ["CTG", "C", ""], ["G", "", "T"]]
    assert records.bases[:16].tolist() == list(range(16))


@pytest.mark.parametrize(
    ("ref", "alt", "anchored"),
    [
        ("A", "ACC", True),
        ("ACC", "A", True),
        ("ACGT", "AGT", True),
        ("ACGT", "AT", True),
        ("ACT", "AGGT", False),  # a delins
        ("AC", "CAC", False),  # does not begin with REF's first base
        ("A", "CA", False),
        ("A", "C", False),
        ("AC", "AT", False),  # an MNP
        ("a", "Acc", True),
        ("A", "<INS>", False),
    ],
)
def test_which_alleles_may_follow_a_record_that_ends_at_their_first_base(
    ref: str, alt: str, anchored: bool
) -> None:
    assert table((ref, alt)).anchored.tolist() == [[False, anchored]]


def test_calls_without_policies_are_the_genotype() -> None:
    genotype = np.array([[[0, 1], [2, MISSING], [1, ABSENT]]], dtype=np.int8)
    records = table(("A", "C", "G"))
    calls = calls_to_apply(genotype, None, records, missing_is_n=False)
    assert calls.tolist() == [[[0, 1], [2, MISSING], [1, MISSING]]]
    calls = calls_to_apply(genotype, None, records, missing_is_n=True)
    assert calls.tolist() == [[[0, 1], [2, N_CALL], [1, N_CALL]]]
    assert genotype[0, 2, 1] == ABSENT, "the genotype is left as it is"


@pytest.mark.parametrize(
    ("pair", "phased", "expected"),
    [
        ((0, 1), True, (0, 1)),
        ((0, 1), False, (CODE_CALL + 3, CODE_CALL + 3)),  # A or C: M
        ((1, 0), False, (CODE_CALL + 3, CODE_CALL + 3)),
        ((1, 2), False, (CODE_CALL + 6, CODE_CALL + 6)),  # C or G: S
        ((1, 1), False, (1, 1)),
        ((0, 0), False, (0, 0)),
        ((0, MISSING), False, (MISSING, MISSING)),
        ((MISSING, 1), False, (MISSING, MISSING)),
        ((MISSING, 1), True, (MISSING, 1)),
        ((MISSING, MISSING), False, (MISSING, MISSING)),
        ((1, ABSENT), False, (1, MISSING)),
    ],
)
def test_unphased_calls_become_iupac_codes(
    pair: tuple[int, int], phased: bool, expected: tuple[int, int]
) -> None:
    for records in (table(("A", "C", "G")), table(("a", "c", "g"), kinds="snps")):
        calls = calls_to_apply(
            np.array([[pair]], dtype=np.int8), np.array([[phased]]), records, missing_is_n=False
        )
        assert tuple(calls[0, 0].tolist()) == expected


def test_an_unphased_call_of_a_snp_and_an_allele_that_is_not_put_in_is_the_snp_or_ref() -> None:
    genotype, unphased = np.array([[[1, 2], [2, 0], [2, 2]]], dtype=np.int8), np.zeros((1, 3), dtype=bool)
    calls = calls_to_apply(genotype, unphased, table(("A", "G", "*")), missing_is_n=False)
    # Which haplotype has the G is not known; * leaves REF, so that either has A or G.
    assert calls[0, 0].tolist() == [CODE_CALL + 5, CODE_CALL + 5]
    # Not put in on either haplotype.
    assert calls[0, 1:].tolist() == [[2, 0], [2, 2]]


@pytest.mark.parametrize(
    ("calls", "present"),
    [
        ([[0, 0], [0, 1]], [True, True]),
        ([[1, ABSENT], [0, ABSENT]], [True, False]),
        ([[MISSING, ABSENT], [0, ABSENT]], [True, False]),  # a man with a missing call
        ([[MISSING, ABSENT], [0, 1]], [True, True]),  # a woman with a lone dot
        ([[MISSING, ABSENT], [MISSING, ABSENT]], [False, False]),  # a woman on Y
        ([[0, 1], [1, ABSENT]], [True, False]),  # a man across the end of a pseudo-autosomal region
        ([[MISSING, MISSING], [MISSING, MISSING]], [True, True]),
    ],
)
def test_who_has_which_haplotype_beside_a_haploid_man(calls: list[list[int]], present: list[bool]) -> None:
    man = [[0, ABSENT], [0, ABSENT]]
    genotype = np.array([calls, man], dtype=np.int8).swapaxes(0, 1)
    assert haplotypes_present(genotype).tolist() == [present, [True, False]]


def test_lone_dots_are_missing_calls_where_nobody_is_haploid() -> None:
    genotype = np.array([[[MISSING, ABSENT], [0, 1]]], dtype=np.int8)
    assert haplotypes_present(genotype).all()
    assert haplotypes_present(np.empty((0, 3, 2), dtype=np.int8)).tolist() == [[True, True]] * 3
