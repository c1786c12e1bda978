"""The independent path by itself, on literal cases, and against bcftools without a store between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqstore.bcftools import Bcftools, ConsensusSlice, NotExpressible, _lifted, find_bcftools
from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.findings import LISTED, Findings
from seqstore.slow_consensus import (
    Call,
    SlowRecord,
    VcfRecords,
    clean_region,
    cut,
    edits_of,
    fates_in,
    haplotypes_of,
    is_of_store,
    window_of,
)
from seqstore.verify_tables import Fasta, UnchangedInputs, letters_of
from tests.conftest import write_vcf
from tests.random_cohorts import nasty_cohort

REFERENCE = "ACGTACGTAC"


def config(**keys: Any) -> BuildConfig:
    needed = dict.fromkeys(("genotypes", "reference", "genes", "expression", "store"), "x")
    return BuildConfig(**(needed | {"variants": "all"} | keys))


def called(*records: tuple[int, str, str, str]) -> tuple[list[SlowRecord], list[Call]]:
    """Records of POS, REF, ALT and one person's call, and these calls."""
    rows, calls = [], []
    for position, ref, alt, text in records:
        alleles = tuple(None if a == "." else int(a) for a in text.replace("|", "/").split("/"))
        calls.append(Call(alleles, "/" not in text))
        rows.append(SlowRecord(position - 1, "", (ref, *alt.split(",")), ("PASS",), {"me": calls[-1]}))
    return rows, calls


def made(
    *records: tuple[int, str, str, str],
    haplotype: int = 0,
    tss: int = 5,
    length: int = 10,
    reference: str = REFERENCE,
    **keys: Any,
) -> tuple[str, str]:
    """A window, and the fates of the records as first letters ("." = reference)."""
    rows, calls = called(*records)
    edits, fates = edits_of(rows, calls, haplotype, config(**keys))
    window = window_of(reference, 0, edits, tss=tss - 1, length=length, at_ends=(True, True))
    assert window is not None
    return window.letters, "".join(fate[:1] or "." for fate in fates)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], ("NACGTACGTA", "")),
        ([(5, "A", "G", "1|0")], ("NACGTGCGTA", "a")),
        ([(5, "A", "G", "0|1")], ("NACGTACGTA", ".")),
        # An insertion left of the TSS base moves what is left of it, and the other way round.
        ([(2, "C", "CTT", "1|1")], ("CTTGTACGTA", "a")),
        ([(7, "G", "GTT", "1|1")], ("NACGTACGTT", "a")),
        ([(2, "CG", "C", "1|1")], ("NNACTACGTA", "a")),
        ([(7, "GT", "G", "1|1")], ("NACGTACGAC", "a")),
        # Of two SNPs at one base the first is applied; one after an insertion is not, before one it is.
        ([(5, "A", "G", "1|0"), (5, "A", "T", "1|0")], ("NACGTGCGTA", "as")),
        ([(5, "A", "G", "1|0"), (5, "A", "AT", "1|0")], ("NACGTGTCGT", "aa")),
        ([(5, "A", "AT", "1|0"), (5, "A", "G", "1|0")], ("NACGTATCGT", "as")),
        ([(5, "A", "AT", "1|0"), (5, "A", "AC", "1|0")], ("NACGTATCGT", "as")),
        # Behind the last base of a deletion there may be an insertion, but no SNP.
        ([(6, "CGT", "C", "1|0"), (8, "T", "TGG", "1|0")], ("NACGTACGGA", "aa")),
        ([(6, "CGT", "C", "1|0"), (8, "T", "G", "1|0")], ("NACGTACACN", "as")),
        ([(6, "CGT", "C", "1|0"), (7, "G", "GA", "1|0")], ("NACGTACACN", "as")),
        # Symbolic alleles and * are skipped, and in nobody's way.
        ([(5, "A", "*,G", "1|0"), (5, "A", "T", "1|0")], ("NACGTTCGTA", "sa")),
        ([(5, "A", "<DEL>,G", "2|1")], ("NACGTGCGTA", "a")),
        ([(5, "A", "G]2:4]", "1|0")], ("NACGTACGTA", "s")),
        ([(5, "ACG", "TTT", "1|0")], ("NACGTTTTTA", "a")),
        ([(5, "A", "G", ".|1")], ("NACGTACGTA", "m")),
    ],
)
def test_records_become_letters(records: list[tuple[int, str, str, str]], expected: tuple[str, str]) -> None:
    assert made(*records) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        # The TSS base is 5, an A; index 5 of the window.
        ((4, "TA", "T", "1|1"), "NACGTCGTAC"),
        ((3, "GTACG", "G", "1|1"), "NNACGTACNN"),
        ((1, "ACGTACGTAC", "A", "1|1"), "NNNNANNNNN"),
        # What both alleles end with stays; the first other bases stand in for each other.
        ((4, "TAC", "GAC", "1|1"), "NACGGACGTA"),
        ((4, "TACG", "GG", "1|1"), "NACGGGTACN"),
        ((5, "AC", "GGG", "1|1"), "NACGTGGGGT"),
    ],
)
def test_the_anchor_is_the_tss_base_or_the_next_that_is_left(
    record: tuple[int, str, str, str], expected: str
) -> None:
    assert made(record)[0] == expected


def test_both_haplotypes_have_their_own_alleles() -> None:
    records = [(4, "T", "C,G", "1|2"), (6, "C", "T", "0|1")]
    assert made(*records) == ("NACGCACGTA", "a.")
    assert made(*records, haplotype=1) == ("NACGGATGTA", "aa")


def test_a_missing_allele_is_reference_or_n() -> None:
    records = [(5, "A", "G", ".|0"), (5, "A", "T", "1|0"), (7, "GT", "G", ".|.")]
    assert made(*records) == ("NACGTTCGTA", "mam")
    assert made(*records, missing="n") == ("NACGTNCNTA", "msm")


def test_calls_without_phase_are_iupac_codes_or_as_phased() -> None:
    records = [
        (4, "T", "C,G", "1/2"),  # S
        (5, "A", "G", "0|1"),  # phased
        (6, "C", "T,*", "1/2"),  # * leaves REF there: Y
        (7, "G", "T", "0/."),  # nobody knows who lacks the call
        (8, "T", "A", "1/1"),
        (9, "A", "*", "0/1"),
    ]
    assert made(*records, unphased="iupac") == ("NACGSAYGAA", "a.ama.")
    assert made(*records, unphased="iupac", haplotype=1) == ("NACGSGYGAA", "aaamas")
    assert made(*records, unphased="as_phased") == ("NACGCATGAA", "a.a.a.")
    assert made(*records, unphased="as_phased", haplotype=1) == ("NACGGGCGAA", "aasmas")


def test_of_snps_alone_other_alleles_are_skipped() -> None:
    records = [(5, "A", "AT,G", "1|2"), (7, "GT", "G,AT", "1|2"), (9, "A", "r", "1|1")]
    assert made(*records, variants="snps") == ("NACGTACGTA", "sss")
    assert made(*records, variants="snps", haplotype=1) == ("NACGTGCGTA", "ass")
    rows, _ = called(*records)
    assert [is_of_store(row, config(variants="snps")) for row in rows] == [True, False, False]
    assert [is_of_store(row, config()) for row in rows] == [True, True, True]
    assert [is_of_store(row, config(filter=["."])) for row in rows] == [False, False, False]


def test_a_window_says_what_it_is_made_of_and_counts_the_records_there() -> None:
    records = [(1, "A", "C", "1|1"), (3, "GT", "G", "1|1"), (4, "T", "C", "1|1"), (9, "A", "C", "1|1")]
    rows, calls = called(*records)
    edits, fates = edits_of(rows, calls, 0, config())
    window = window_of(REFERENCE, 0, edits, tss=4, length=4, at_ends=(True, True))
    assert window is not None
    assert (window.letters, window.first, window.last, window.tss_deleted) == ("CGAC", 1, 6, False)
    assert Counter(fates_in(rows, fates, window)) == {"applied": 1, "skipped": 1}
    window = window_of(REFERENCE, 0, edits, tss=3, length=4, at_ends=(True, True))
    assert window is not None
    assert window.tss_deleted
    assert window.letters == "CGAC"


def test_a_window_that_does_not_fit_is_none_but_at_the_ends_of_a_contig() -> None:
    for ends, fits in (((True, True), True), ((False, True), False), ((True, False), True)):
        assert (window_of(REFERENCE, 20, [], tss=24, length=10, at_ends=ends) is not None) is fits
    assert window_of(REFERENCE, 20, [], tss=26, length=10, at_ends=(True, False)) is None
    assert cut("ACGT", -2, 2) == "NNAC"
    assert cut("ACGT", 2, 6) == "GTNN"
    assert cut("ACGT", 5, 7) == cut("ACGT", -3, -1) == "NN"


def test_a_region_is_widened_until_nothing_reaches_over_its_ends() -> None:
    rows, _ = called(
        (2, "CGTA", "C", "0|0"), (5, "ACG", "A", "0|0"), (7, "GT", "G", "0|0"), (9, "A", "C", "0|0")
    )

    def overlapping(start: int, stop: int) -> list[SlowRecord]:
        return [row for row in rows if row.start < stop and row.stop > start]

    assert clean_region(overlapping, 5, 6) == (1, 8, rows[:3])
    assert clean_region(overlapping, 8, 9) == (8, 9, rows[3:])
    assert clean_region(overlapping, 0, 1) == (0, 1, [])


def test_who_has_which_haplotype() -> None:
    def of(*texts: str) -> list[Call]:
        return called(*((5, "A", "G", text) for text in texts))[1]

    def everyone() -> list[Sequence[Call]]:
        return [of("0|0", "1"), of("0|1", "1|1")]

    def nobody() -> list[Sequence[Call]]:
        pytest.fail("the others do not matter")

    assert haplotypes_of(of("0|0", "1|."), nobody) == (True, True)
    assert haplotypes_of(of(".", "0|1"), nobody) == (True, True)
    assert haplotypes_of(of("0|0", "1"), nobody) == (True, False)
    assert haplotypes_of(of(".", "."), everyone) == (False, False)
    assert haplotypes_of(of(".", "."), lambda: [of("0|0", ".")]) == (True, True)
    assert haplotypes_of([], nobody) == (True, True)


def test_a_chain_says_where_a_base_is() -> None:
    chain = "chain 80 slice 20 + 0 20 slice 21 + 0 21 1\n5 2 0\n3 0 4\n4 2 1\n4\n\n"
    lifted = [_lifted(chain, base) for base in range(20)]
    assert lifted[:5] == [0, 1, 2, 3, 4]
    assert lifted[5:7] == [5, 5], "deleted: the next one"
    assert lifted[7:10] == [5, 6, 7]
    assert lifted[10:14] == [12, 13, 14, 15]
    assert lifted[14:16] == [None, None], "some bases became others"
    assert lifted[16:] == [17, 18, 19, 20]
    assert _lifted("", 7) == 7


def test_records_are_read_with_their_calls(tmp_path: Path) -> None:
    path = tmp_path / "calls.vcf.gz"
    calls = [
        ("chr1", 10, "ACG", "A", ".", ["0|1", "./.", "1"]),
        ("chr1", 12, "G", "T,<DEL>", "q10", ["0/1", ".|2", "."]),
        ("chr1", 13, "T", "C", "PASS", ["0|0", "0|0", "0|0"]),
    ]
    write_vcf(path, {"chr1": "A" * 50}, ["a", "b,c", "d"], calls)
    for people in (["a"], ["d", "a"], ["b,c", "a", "d"]):
        found = VcfRecords(str(path)).overlapping("chr1", 11, 12, people)
        assert [record.start for record in found] == [9, 11]
        assert [set(record.calls) for record in found] == [set(people)] * 2
    assert [(r.id, r.alleles, r.filters) for r in found] == [
        ("v10", ("ACG", "A"), ()),
        ("v12", ("G", "T", "<DEL>"), ("q10",)),
    ]
    assert [call.alleles for call in found[0].calls.values()] == [(0, 1), (None, None), (1,)]
    assert {who: (c.alleles, c.phased) for who, c in found[1].calls.items()} == {
        "a": ((0, 1), False),
        "b,c": ((None, 2), True),
        "d": ((None,), True),
    }
    with pytest.raises(InputError, match=r"calls.vcf.gz: cannot be read at chr9:1-5"):
        VcfRecords(str(path)).overlapping("chr9", 0, 5, ["a"])


def test_the_slow_path_and_bcftools_make_the_same_windows(bcftools: str, tmp_path: Path) -> None:
    """No store between them: every window of random cohorts, in all policies."""
    found = find_bcftools()
    assert found is not None
    compared = Counter[str]()
    for seed in range(15):
        folder = tmp_path / str(seed)
        folder.mkdir()
        compared += compare(found, folder, nasty_cohort(np.random.default_rng(seed)))
    assert compared["same"] > 150
    assert compared["not expressible"] < compared["same"] / 5


def compare(found: Bcftools, folder: Path, cohort: Any) -> Counter[str]:
    compared = Counter[str]()
    keys = config(**cohort.keys)
    path = str(folder / "calls.vcf.gz")
    write_vcf(Path(path), cohort.contigs, cohort.people, cohort.calls)
    for contig, bases in cohort.contigs.items():
        letters = bases.upper()
        records = VcfRecords(path).overlapping(contig, 0, len(bases), cohort.people)
        records = [record for record in records if is_of_store(record, keys)]
        consensus = ConsensusSlice(
            found,
            folder,
            genotypes=path,
            contig=contig,
            start=0,
            letters=letters,
            people=cohort.people,
            config=keys,
        )
        for person in cohort.people:
            calls = [record.calls[person] for record in records]
            for haplotype in range(1 + all(haplotypes_of(calls, list))):
                edits, _ = edits_of(records, calls, haplotype, keys)
                for tss in {0, len(bases) // 3, len(bases) - 1}:
                    cell: dict[str, Any] = {"tss": tss, "length": keys.length, "at_ends": (True, True)}
                    slow = window_of(letters, 0, edits, **cell)
                    assert slow is not None
                    try:
                        window = consensus.window(person, haplotype, **cell)
                    except NotExpressible:
                        compared["not expressible"] += 1
                        continue
                    assert window == slow.letters, (cohort.keys, person, haplotype, tss)
                    compared["same"] += 1
    return compared


def test_people_that_bcftools_cannot_be_asked_for(bcftools: str, tmp_path: Path) -> None:
    found = find_bcftools()
    assert found is not None
    with pytest.raises(NotExpressible, match="a b"):
        ConsensusSlice(
            found, tmp_path, genotypes="x", contig="c", start=0, letters="A", people=["a b"], config=config()
        )


def test_a_bcftools_that_does_not_run_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_bcftools() is None
    broken = tmp_path / "bcftools"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    assert find_bcftools() is None


def test_letters_of_a_fasta_and_of_packed_sequences(tmp_path: Path) -> None:
    path = tmp_path / "reference.fa"
    path.write_text(">c\nACgtR\n")
    fasta = Fasta(str(path))
    assert fasta.length("c") == 5
    assert fasta.letters("c", -2, 7) == "NNACGTRNN"
    assert fasta.letters("c", 1, 3) == "CG"
    assert fasta.letters("c", 6, 8) == fasta.letters("c", -3, -1) == "NN"
    assert letters_of(np.array([0x21, 0x84, 0x05], dtype=np.uint8)) == "ACGTRN"
    (tmp_path / "no.fa").write_text("no fasta")
    with pytest.raises(InputError, match=r"no.fa: cannot be read"):
        Fasta(str(tmp_path / "no.fa"))


def test_changed_and_missing_inputs(tmp_path: Path) -> None:
    from seqstore.plan import _describe_file

    names = ("same", "longer", "other", "gone")
    for name in names:
        (tmp_path / name).write_text("abc")
    was = [_describe_file(tmp_path / name) for name in names]
    (tmp_path / "longer").write_text("abcd")
    (tmp_path / "other").write_text("abd")
    (tmp_path / "gone").unlink()
    inputs = UnchangedInputs(was)
    same, longer, other, gone = (str(tmp_path / name) for name in names)
    assert inputs.have(same, None)
    assert inputs.have(f"{tmp_path}/./same")
    assert not any(inputs.have(same, path) for path in (longer, other, gone))
    findings = Findings()
    inputs.report(findings)
    assert dict(findings.n_of) == {longer: 1, other: 1}
    assert str(findings.differences[0]) == f"{longer}: it was changed after the build (3 bytes then, 4 now)"
    assert "of the same size" in str(findings.differences[1])
    assert findings.left_out[2] == f"what is made of {gone}: there is no such file any more"


def test_findings_are_listed_up_to_a_number_and_counted() -> None:
    findings = Findings()
    for number in range(LISTED + 5):
        findings.differ("expression", "is 1, not 2", gene="G", individual=f"P{number}", haplotype=0, base=7)
    findings.differ("tss", "is wrong")
    findings.leave_out("this")
    findings.leave_out("this")
    assert findings.n_of == {"expression": LISTED + 5, "tss": 1}
    assert len(findings.differences) == LISTED + 1
    assert findings.left_out == ["this"]
    assert str(findings.differences[0]) == (
        "expression: gene G, individual P0, haplotype 0, base 7: is 1, not 2"
    )
    assert str(findings.differences[-1]) == "tss: is wrong"
