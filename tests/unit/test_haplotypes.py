"""Which records are applied, and where the window is then: literal cases, and what must hold for any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqstore.haplotypes import (
    START,
    STOP,
    HaplotypeBlock,
    Reach,
    WindowEncoder,
    reach_of,
    resolve,
    skipped_calls,
)
from seqstore.nucleotides import decode, encode, unpack
from seqstore.records import RecordTable, calls_to_apply, table_of
from tests.conftest import write_cohort
from tests.oracle import consensus
from tests.random_cohorts import crowded_records

#: 40 bases; the TSS is the G at 20, and the window 12 to 27 (1-based): ATTACGTT GCATGCCT.
CONTIG = "CCATGGTCAAGATTACGTTGCATGCCTAGATCCATTGACA"
TSS = 20
LENGTH = 16

#: (case, records on the haplotype as "POS REF ALT", their window, applied, skipped). The second half of the
#: window begins with the TSS base, or what stands in for it. docs/format.md shows this table.
CASES = [
    ("no record", "", "ATTACGTT GCATGCCT", 0, 0),
    ("SNP", "15 A G", "ATTGCGTT GCATGCCT", 1, 0),
    ("SNP in lower case", "15 a g", "ATTGCGTT GCATGCCT", 1, 0),
    ("SNP at the TSS", "20 G T", "ATTACGTT TCATGCCT", 1, 0),
    ("MNP", "17 GTT ACC", "ATTACACC GCATGCCT", 1, 0),
    ("MNP over the TSS", "19 TGC GAA", "ATTACGTG AAATGCCT", 1, 0),
    ("insertion", "15 A ACC", "TACCCGTT GCATGCCT", 1, 0),
    ("insertion right of the TSS", "22 A AGG", "ATTACGTT GCAGGTGC", 1, 0),
    ("deletion", "15 ACGT A", "AAGATTAT GCATGCCT", 1, 0),
    ("deletion right of the TSS", "21 CAT C", "ATTACGTT GCGCCTAG", 1, 0),
    ("delins", "15 ACG TT", "GATTTTTT GCATGCCT", 1, 0),
    ("REF is replaced by anything", "15 ACG TTCA", "TTTTCATT GCATGCCT", 1, 0),
    ("second ALT allele", "15 A C,G 2", "ATTGCGTT GCATGCCT", 1, 0),
    ("SNP 15, insertion 15", "15 A G; 15 A ACC", "TGCCCGTT GCATGCCT", 2, 0),
    ("insertion 15, SNP 15", "15 A ACC; 15 A G", "TACCCGTT GCATGCCT", 1, 1),
    ("SNP 15, deletion 16-18", "15 A G; 15 ACGT A", "AAGATTGT GCATGCCT", 2, 0),
    ("deletion 16-18, SNP 15", "15 ACGT A; 15 A G", "AAGATTAT GCATGCCT", 1, 1),
    ("deletion 16-18, insertion 18", "15 ACGT A; 18 T TGG", "GATTAGGT GCATGCCT", 2, 0),
    ("deletion 16-18, deletion 19", "15 ACGT A; 18 TT T", "CAAGATTA GCATGCCT", 2, 0),
    ("deletion 16-18, SNP 17", "15 ACGT A; 17 G A", "AAGATTAT GCATGCCT", 1, 1),
    ("deletion 16-18, SNP 18", "15 ACGT A; 18 T G", "AAGATTAT GCATGCCT", 1, 1),
    ("deletion 16-18, insertion 17", "15 ACGT A; 17 G GCC", "AAGATTAT GCATGCCT", 1, 1),
    ("deletion 16-18, SNP 19 next to it", "15 ACGT A; 19 T C", "AAGATTAC GCATGCCT", 2, 0),
    ("SNP 15, SNP 15", "15 A G; 15 A C", "ATTGCGTT GCATGCCT", 1, 1),
    ("insertion 15, insertion 15", "15 A ACC; 15 A AG", "TACCCGTT GCATGCCT", 1, 1),
    ("insertion 15, deletion 16-18", "15 A ACC; 15 ACGT A", "TACCCGTT GCATGCCT", 1, 1),
    ("MNP 15-16, SNP 16", "15 AC TG; 16 C A", "ATTTGGTT GCATGCCT", 1, 1),
    ("MNP 15-16, insertion 16", "15 AC TG; 16 C CAA", "TTGAAGTT GCATGCCT", 2, 0),
    ("SNP 15, MNP 15-16 with the same first base", "15 A G; 15 AC AT", "ATTGCGTT GCATGCCT", 1, 1),
    ("SNP 15, delins 15 with another first base", "15 A G; 15 ACG CT", "ATTGCGTT GCATGCCT", 1, 1),
    ("records next to each other", "14 T G; 15 A C; 16 C T", "ATGCTGTT GCATGCCT", 3, 0),
    ("a skipped record blocks nothing", "15 ACGT A; 17 GTT G; 19 T C", "AAGATTAC GCATGCCT", 2, 1),
    ("deletion from left of the window", "10 AGAT A", "AATACGTT GCATGCCT", 1, 0),
    ("deletion of all left of the window", "2 CATGGTCAAGATTA C", "NNCCCGTT GCATGCCT", 1, 0),
    ("deletion pulls a record in", "10 A C; 15 ACGT A", "ACGATTAT GCATGCCT", 2, 0),
    ("insertion pushes a record out", "12 A C; 15 A ACCCC", "CCCCCGTT GCATGCCT", 1, 0),
    ("insertion before the TSS", "19 T TAA", "TACGTTAA GCATGCCT", 1, 0),
    ("insertion behind the TSS", "20 G GAA", "ATTACGTT GAACATGC", 1, 0),
    ("insertion that ends with the TSS base", "20 G AAG", "TACGTTAA GCATGCCT", 1, 0),
    ("delins that holds the TSS base", "19 TGC CA", "ATTACGTC AATGCCTA", 1, 0),
    ("TSS base deleted", "19 TG T", "ATTACGTT CATGCCTA", 1, 0),
    ("TSS base and more deleted", "18 TTGCA T", "GATTACGT TGCCTAGA", 1, 0),
    ("TSS base deleted, SNP on its stand-in", "19 TG T; 21 C A", "ATTACGTT AATGCCTA", 2, 0),
    ("TSS base and the next deleted by two", "19 TG T; 20 GC G", "ATTACGTT ATGCCTAG", 2, 0),
    ("TSS base deleted up to the contig's end", "18 TTGCATGCCTAGATCCATTGACA T", "GATTACGT NNNNNNNN", 1, 0),
    ("symbolic allele", "15 A <DEL>; 15 A G", "ATTGCGTT GCATGCCT", 1, 1),
    ("breakend", "15 A A[chr2:9[; 16 C T", "ATTATGTT GCATGCCT", 1, 1),
    ("*", "15 ACGT A; 17 G *", "AAGATTAT GCATGCCT", 1, 1),
]


def parsed(records: str) -> tuple[RecordTable, np.ndarray]:
    """A table of records and the calls (record,) of one haplotype, from "POS REF ALT[,ALT] [CALL]; ..."."""
    rows = [text.split() for text in records.split("; ") if text]
    alleles = [[row[1], *row[2].split(",")] for row in rows]
    width = max(map(len, alleles), default=2)
    texts = np.array([[*row, *[""] * (width - len(row))] for row in alleles], dtype=object)
    calls = np.array([int(row[3]) if len(row) > 3 else 1 for row in rows], dtype=np.int8)
    return table_of([int(row[0]) for row in rows], texts.reshape(-1, width), "all"), calls


def encoded(
    records: RecordTable, calls: np.ndarray, *, tss: int = TSS, length: int = LENGTH, contig: str = CONTIG
) -> HaplotypeBlock:
    """The windows of calls (record, individual, 2), made of no more reference than their reach."""
    reach = reach_of(records, calls, tss - 1, length)
    codes = np.zeros(reach.stop - reach.start, dtype=np.uint8)
    first, stop = max(reach.start, 0), min(reach.stop, len(contig))
    if first < stop:
        codes[first - reach.start : stop - reach.start] = encode(contig[first:stop])
    return WindowEncoder(records, codes, reach.start, tss - 1, length).encode(calls)


def texts_of(block: HaplotypeBlock) -> list[str]:
    """The windows of haplotypes in order, as letters."""
    return [decode(unpack(block.windows[number])) for number in block.which.ravel()]


@pytest.mark.parametrize(
    ("records", "window", "applied", "skipped"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_cases(records: str, window: str, applied: int, skipped: int) -> None:
    table, calls = parsed(records)
    both = np.stack([calls, np.zeros_like(calls)], axis=-1)[:, None]
    block = encoded(table, both)
    assert texts_of(block) == [window.replace(" ", ""), "ATTACGTTGCATGCCT"]
    assert (block.applied[0, 0], block.skipped[0, 0], block.missing[0, 0]) == (applied, skipped, 0)
    assert skipped_calls(table, both)[:, 0, 0].sum() == skipped


def test_cases_are_those_of_bcftools(bcftools: str, tmp_path: Path) -> None:
    """One individual a case; those with alleles that bcftools writes or refuses are left out."""
    for name, records, window, *_ in CASES:
        if not records or any(sign in records for sign in "<[*"):
            continue
        rows = [text.split() for text in records.split("; ")]
        calls = [
            ("chr1", int(row[0]), row[1], row[2], "PASS", [f"{row[3] if len(row) > 3 else 1}|0"])
            for row in rows
        ]
        write_cohort(tmp_path, {"chr1": CONTIG}, ["P"], calls, [("chr1", TSS)])
        truth = consensus(bcftools, tmp_path, "P", "1").contigs["chr1"]
        expected = truth.window(TSS - 1, LENGTH)
        if expected is None:
            assert window.replace(" ", "") in truth.padded(LENGTH), name
        else:
            assert window.replace(" ", "") == expected.upper(), name


@pytest.mark.parametrize(
    ("tss", "records", "window"),
    [
        (2, "", "NNNNNNNCCATGGTCA"),
        (2, "1 C T", "NNNNNNNTCATGGTCA"),
        (2, "1 C CAA", "NNNNNCAACATGGTCA"),
        (2, "1 CC C", "NNNNNNNCATGGTCAA"),  # the TSS base is deleted
        (40, "", "CCATTGACANNNNNNN"),
        (40, "40 A AGG", "CCATTGACAGGNNNNN"),
        (40, "39 CA C", "CCATTGACNNNNNNNN"),
        (38, "38 ACA A", "ATCCATTGANNNNNNN"),
    ],
)
def test_past_the_ends_of_a_contig_stands_n(tss: int, records: str, window: str) -> None:
    table, calls = parsed(records)
    assert texts_of(encoded(table, np.stack([calls, calls], axis=-1)[:, None], tss=tss))[0] == window


def test_windows_are_packed_two_bases_a_byte() -> None:
    table, calls = parsed("3 T G")
    block = encoded(table, calls.reshape(1, 1, 1).repeat(2, 2) * [1, 0], tss=3, length=4, contig="ACTG")
    # A=1 C=2 G=4 T=8, the first base in the low nibble
    assert block.windows.tolist() == [[0x21, 0x44], [0x21, 0x48]]


def test_missing_alleles_are_reference_or_n() -> None:
    table, _ = parsed("15 A G; 17 GTT G; 18 T A; 20 G T; 20 G C")
    genotype = np.array([[-1, 1], [-1, -1], [1, 1], [-1, 1], [1, 1]], dtype=np.int8)[:, None]
    calls = {n: calls_to_apply(genotype, None, table, missing_is_n=n) for n in (False, True)}
    as_reference, as_n = encoded(table, calls[False]), encoded(table, calls[True])
    assert texts_of(as_reference) == ["ATTACGATCCATGCCT", "ATTGCGATTCATGCCT"]
    # Of the deletion only its first base is N; on the first haplotype N at 20 blocks the second record there.
    assert texts_of(as_n) == ["ATTNCNATNCATGCCT", "ATTGCNATTCATGCCT"]
    for block, applied, skipped in ((as_reference, [2, 3], [0, 1]), (as_n, [1, 3], [1, 1])):
        assert block.missing.tolist() == [[3, 1]]
        assert block.applied.tolist() == [applied]
        assert block.skipped.tolist() == [skipped]


def test_n_is_blocked_by_a_record_before_it() -> None:
    table, _ = parsed("15 ACGT A; 17 G T")
    calls = calls_to_apply(np.array([[[1, 0]], [[-1, -1]]], dtype=np.int8), None, table, missing_is_n=True)
    block = encoded(table, calls)
    assert texts_of(block) == ["AAGATTATGCATGCCT", "ATTACNTTGCATGCCT"]
    assert block.missing.tolist() == [[1, 1]]


def test_unphased_snps_are_iupac_codes_on_both_haplotypes() -> None:
    pairs = ["AC", "AG", "AT", "CG", "CT", "GT"]
    for pair, letter in zip(pairs, "MRWSYK", strict=True):
        ref = CONTIG[14]
        others = [base for base in pair if base != ref]
        table, _ = parsed(f"15 {ref} {','.join(others)}")
        call = (0, 1) if len(others) == 1 else (1, 2)
        for genotype in (call, call[::-1]):
            calls = calls_to_apply(
                np.array([[genotype]], dtype=np.int8), np.zeros((1, 1), bool), table, missing_is_n=False
            )
            block = encoded(table, calls)
            assert texts_of(block) == [f"ATT{letter}CGTTGCATGCCT"] * 2, (pair, genotype)
            assert block.applied.tolist() == [[1, 1]]


def test_a_haplotype_that_is_not_there_has_no_window() -> None:
    table, _ = parsed("15 A G")
    block_of = WindowEncoder(table, encode(CONTIG), 0, TSS - 1, LENGTH).encode
    genotype = np.array([[[1, 1], [0, 1], [1, 0]]], dtype=np.int8)
    present = np.array([[True, False], [False, False], [True, True]])
    block = block_of(genotype, present)
    assert block.haplotype_id.tolist() == [[0, -1], [-1, -1], [0, 1]]
    assert block.which.tolist() == [[0, -1], [-1, -1], [0, 1]]
    assert len(block.windows) == 2
    assert block.applied.tolist() == [[1, 0], [0, 0], [1, 0]]
    assert block_of(genotype, np.zeros((3, 2), bool)).windows.shape == (0, LENGTH // 2)


def test_no_records_are_the_reference() -> None:
    table, _ = parsed("")
    block = encoded(table, np.empty((0, 3, 2), dtype=np.int8))
    assert block.haplotype_id.tolist() == [[0, 0]] * 3
    assert texts_of(block)[0] == "ATTACGTTGCATGCCT"


def test_ids_run_on_over_blocks_of_individuals_and_equal_windows_share_one() -> None:
    # The second record is skipped behind the first, so (1, 0) and (1, 1) make one window.
    table, _ = parsed("15 A G; 15 A C")
    encoder = WindowEncoder(table, encode(CONTIG), 0, TSS - 1, LENGTH)
    first = encoder.encode(np.array([[[0, 1]], [[0, 1]]], dtype=np.int8))
    second = encoder.encode(np.array([[[1, 0]], [[0, 1]]], dtype=np.int8))
    assert first.haplotype_id.tolist() == [[0, 1]]
    assert second.haplotype_id.tolist() == [[1, 2]]
    assert encoder.n_distinct == 3
    np.testing.assert_array_equal(first.windows[1], second.windows[0])


def test_reach_is_what_windows_are_made_of() -> None:
    for records, reach in (
        ("", (11, 27, 0)),
        ("15 A G", (11, 27, 0)),
        ("15 ACGT A", (8, 27, 0)),
        ("15 A ACC", (11, 27, 0)),  # the other haplotype has all of the reference window
        ("21 CAT C", (11, 29, 0)),
        ("10 AGAT A", (8, 27, 0)),
        ("19 TG T", (11, 28, 1)),
        ("3 A G", (11, 27, 0)),
    ):
        table, calls = parsed(records)
        both = np.stack([calls, np.zeros_like(calls)], axis=-1)[:, None]
        assert reach_of(table, both, TSS - 1, LENGTH) == Reach(*reach), records


def test_two_haplotypes_with_the_tss_base_deleted_count_twice() -> None:
    table, calls = parsed("19 TG T")
    both = np.ones((1, 2, 2), dtype=np.int8) * calls[0]
    both[0, 0, 0] = 0
    assert reach_of(table, both, TSS - 1, LENGTH).n_tss_deleted == 3


@pytest.mark.parametrize("seed", range(30))
def test_random_records(seed: int) -> None:
    """A centre crop is a build of that length, reach is enough, edits do not overlap."""
    rng = np.random.default_rng(seed)
    contig = "".join(rng.choice(list("ACGT"), 300))
    rows = crowded_records(rng, contig)
    table, _ = parsed("; ".join(f"{position} {ref} {','.join(alts)}" for position, ref, alts in rows))
    n_alts = np.array([len(alts) for _, _, alts in rows])[:, None, None]
    genotype = (
        rng.integers(0, n_alts + 1, (len(rows), 6, 2)) * (rng.random((len(rows), 6, 2)) < 0.4)
    ).astype(np.int8)
    tss = int(rng.integers(1, 301))
    long = encoded(table, genotype, tss=tss, length=120, contig=contig)
    for length in (2, 30, 118):
        short = encoded(table, genotype, tss=tss, length=length, contig=contig)
        begin = 60 - length // 2
        assert texts_of(short) == [text[begin : begin + length] for text in texts_of(long)]
    wide = np.concatenate([np.zeros(900, np.uint8), encode(contig), np.zeros(900, np.uint8)])
    again = WindowEncoder(table, wide, -900, tss - 1, 120).encode(genotype)
    np.testing.assert_array_equal(again.windows, long.windows)
    edits = resolve(table, genotype[:, 0, 0])
    assert (edits[1:, START] >= edits[:-1, STOP]).all()
    n_called = np.count_nonzero(genotype[:, 0, 0])
    assert len(edits) + skipped_calls(table, genotype)[:, 0, 0].sum() == n_called


@pytest.mark.parametrize(("begin", "to", "n"), [(-8, 0, 4), (0, -5, 3), (17, 0, 4), (0, 18, 3), (0, 0, -1)])
def test_bases_that_are_not_there_are_not_copied(begin: int, to: int, n: int) -> None:
    from seqstore.haplotypes import _copy

    source, target = np.arange(20, dtype=np.uint8), np.zeros(20, dtype=np.uint8)
    with pytest.raises(IndexError, match="reaches past the bases"):
        _copy(source, begin, target, to, n)
    assert not target.any()
