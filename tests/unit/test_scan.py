"""What the scan reads, checks and keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import seqstore
from seqstore.build import build
from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.genotypes import Record
from seqstore.nucleotides import decode, unpack
from seqstore.reference import Reference
from seqstore.scan import PhaseSets, ReferenceCheck, _parts, _without, is_kept, merged
from seqstore.spool import Interval
from tests.conftest import Call, Cohort, hashes, write_cohort
from tests.random_cohorts import crowded_records
from tests.unit.genotype_files import HEADER, PEOPLE, write_text_vcf


def a(start: int, stop: int) -> Interval:
    return Interval("a", start, stop)


def b(start: int, stop: int) -> Interval:
    return Interval("b", start, stop)


def test_union_and_difference_of_intervals() -> None:
    assert merged([a(5, 9), b(0, 3), a(0, 2), a(8, 12), a(2, 3), a(6, 7)]) == [a(0, 3), a(5, 12), b(0, 3)]
    assert merged([]) == []
    assert _without([a(0, 10), b(0, 10)], [a(2, 3), a(5, 6), b(0, 4)]) == [
        a(0, 2),
        a(3, 5),
        a(6, 10),
        b(4, 10),
    ]
    assert _without([a(3, 6)], [a(0, 10)]) == []
    assert _without([a(3, 6)], [a(6, 8), b(3, 6)]) == [a(3, 6)]


def test_parts_hold_so_many_bases_of_one_contig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqstore.scan.SCAN_BASES", 100)
    parts = _parts(
        [a(0, 30), a(50, 110), a(200, 220), a(300, 550), b(0, 5)], ["b", "a"], {"a": "chrA", "b": "B"}
    )
    assert [(part.name, part.reference_contig, list(part.intervals)) for part in parts] == [
        ("1-0-110", "chrA", [a(0, 30), a(50, 110)]),
        ("1-200-220", "chrA", [a(200, 220)]),
        ("1-300-400", "chrA", [a(300, 400)]),
        ("1-400-500", "chrA", [a(400, 500)]),
        ("1-500-550", "chrA", [a(500, 550)]),
        ("0-0-5", "B", [b(0, 5)]),
    ]


def test_ref_is_compared_with_the_fasta(tmp_path: Path) -> None:
    bases = "ACGTNRacgt" * 300
    (tmp_path / "r.fa").write_text(f">chr1\n{bases}\n")
    reference = Reference(tmp_path / "r.fa")
    check = ReferenceCheck(reference, "chr1", Interval("chr1", 100, 200), margin=4)
    for position, ref in (
        (101, "A"),
        (101, "acgt"),
        (107, "A"),
        (105, "N"),
        (106, "r"),
        (200, bases[199:]),
        (101, bases[100:1500]),
    ):
        assert check(position, ref) is None
    for position, ref, expected in (
        (101, "C", "REF is C but {} has A there"),
        (101, "ACT", "REF is ACT but {} has ACG there"),
        (105, "A", "REF is A but {} has N there"),
        (2999, "GTA", "REF is GTA, which reaches past the contig's end in {}"),
        (
            101,
            "A" * 40,
            "REF is AAAAAAAAAAAAAAAAA… (40 bases) but {} has ACGTNRACGTACGTNRA… (40 bases) there",
        ),
    ):
        assert check(position, ref) == expected.format(tmp_path / "r.fa")
    (tmp_path / "bad.fa").write_text(">chr1\nACGT!CGT\n")
    with pytest.raises(InputError, match=r"bad.fa: chr1:5 is no IUPAC nucleotide letter"):
        ReferenceCheck(Reference(tmp_path / "bad.fa"), "chr1", Interval("chr1", 0, 3), margin=4)


def test_every_filter_of_a_record_must_be_allowed() -> None:
    def kept(filters: tuple[str, ...], allowed: list[str]) -> bool:
        record = Record("1", 1, "", ("A", "C"), filters, np.zeros((1, 2), np.int8), np.ones(1, bool))
        config = BuildConfig("g", "r", "t", "e", "s", filter=allowed)
        return is_kept(record, config)

    assert kept(("PASS",), ["PASS", "."])
    assert kept((), ["PASS", "."])
    assert not kept((), ["PASS"])
    assert not kept(("PASS",), ["."])
    assert kept(("q10", "s50"), ["s50", "q10"])
    assert not kept(("q10", "s50"), ["q10"])


def test_a_record_that_is_not_put_in_may_have_any_ref(tmp_path: Path) -> None:
    """Callers write N as the REF of symbolic alleles. Next to an allele that is put in, REF has to be the FASTA's."""
    calls: list[Call] = [
        ("chr1", 20, "T", "C", "PASS", ["0|1"]),
        ("chr1", 21, "N", "<DEL>", "PASS", ["0|1"]),
        ("chr1", 22, "N", "N[chr1:30[", "PASS", ["0|1"]),
    ]
    cohort = write_cohort(tmp_path / "a", {"chr1": "ACGT" * 10}, ["P"], calls, [("chr1", 20)])
    config = cohort.config(length=8, variants="all")
    build(config)
    assert seqstore.open_store(config.store).attrs["reconciled"]["records_left_out_by_kind"] == 2
    calls[1] = ("chr1", 21, "N", "<DEL>,C", "PASS", ["0|1"])
    cohort = write_cohort(tmp_path / "b", {"chr1": "ACGT" * 10}, ["P"], calls, [("chr1", 20)])
    with pytest.raises(
        InputError, match=r"chr1:21: REF is N but .* has A there \(1 of 2 records in the windows"
    ):
        build(cohort.config(length=8, variants="all"))


def test_individuals_phased_in_several_sets() -> None:
    def record(calls: list[list[int]], sets: list[int] | None, phased: list[bool] | None = None) -> Record:
        genotype = np.array(calls, np.int8)
        is_phased = np.ones(2, bool) if phased is None else np.array(phased)
        return Record(
            "1", 1, "", ("A", "C"), (), genotype, is_phased, None if sets is None else np.array(sets)
        )

    watch = PhaseSets(2)
    het = [[0, 1], [1, 0]]
    assert watch(record(het, None)) is None
    assert watch(record(het, [5, 6])) is None, "each has a first set"
    assert watch(record(het, [5, 6])) is None
    assert watch(record([[1, 1], [0, -2]], [9, 9])) is None, "phase says nothing of these"
    assert watch(record(het, [9, 9], [False, False])) is None
    assert watch(record([[0, -1], [-1, -1]], [9, 9])) is None
    assert watch(record(het, [5, 7])) == 1
    assert watch(record(het, [5, 7])) is None
    assert watch(record(het, [-1, 7])) == 0, "calls without a set are phased with each other"


def test_phase_that_does_not_hold_is_warned_of_once_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = write_cohort(tmp_path, {"chr1": "ACGT" * 100}, list(PEOPLE), [], [("chr1", 100), ("chr1", 300)])
    header = [*HEADER[:-1], '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="set">', HEADER[-1]]

    def built(name: str, sets: dict[int, str]) -> list[str]:
        lines = [
            f"chr1\t{position}\t.\tG\tA\t.\t.\t.\tGT:PS\t0|0:1\t0|1:{of}\t1|1:{of}"
            for position, of in sets.items()
        ]
        genotypes = write_text_vcf(tmp_path / f"{name}.vcf.gz", lines, header=header)
        caplog.clear()
        build(cohort.config(store=f"{tmp_path}/{name}.zarr", genotypes=genotypes, length=40))
        return [text for text in caplog.messages if "is phased in" in text]

    assert built("one", {95: "95", 107: "95", 295: "295", 307: "295"}) == [], "windows do not share phase"
    (warning,) = built("two", {95: "95", 107: "107", 295: "295", 307: "307"})
    assert warning.startswith(
        f"warning: {tmp_path}/two.vcf.gz: chr1:107: b is phased in another set (FORMAT/PS) than before;"
    )


def crowded(folder: Path, seed: int, n_people: int = 4) -> Cohort:
    rng = np.random.default_rng(seed)
    contigs = {name: "".join(rng.choice(list("ACGT"), 400)) for name in ("chr1", "chr2")}
    calls: list[Call] = []
    for contig, bases in contigs.items():
        for position, ref, alts in crowded_records(rng, bases):
            texts = ["|".join(map(str, rng.integers(0, len(alts) + 1, 2))) for _ in range(n_people)]
            calls.append((contig, position, ref, ",".join(alts), "PASS", texts))
    genes = [(str(rng.choice(list(contigs))), int(rng.integers(1, 401))) for _ in range(6)]
    return write_cohort(folder, contigs, [f"P{n}" for n in range(n_people)], calls, genes)


@pytest.mark.parametrize(("variants", "seed"), [("snps", 1), ("all", 1), ("all", 2)])
def test_a_store_does_not_depend_on_how_it_was_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variants: str, seed: int
) -> None:
    cohort = crowded(tmp_path, seed)
    expected = None
    for bases, growth in ((500_000, 2048), (500_000, 1), (60, 3)):
        monkeypatch.setattr("seqstore.scan.SCAN_BASES", bases)
        monkeypatch.setattr("seqstore.scan.FIRST_GROWTH", growth)
        monkeypatch.setattr("seqstore.scan._GENES_IN_TASK", growth)
        config = cohort.config(store=str(tmp_path / f"{bases}-{growth}.zarr"), variants=variants, length=40)
        build(config)
        found = hashes(config.store)
        counts = seqstore.open_store(config.store).attrs["reconciled"]
        # Only what was scanned beyond the windows is counted besides.
        del found["zarr.json"]
        expected = expected or found
        assert found == expected
        assert counts["variants"] == seqstore.open_variants(config.store).sizes["variant"]


def test_the_scan_goes_on_where_a_deletion_needs_bases_from_further_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion of 300 bases beside a TSS: its window of 40 is made of bases that no first scan has read."""
    monkeypatch.setattr("seqstore.scan.FIRST_GROWTH", 8)
    rng = np.random.default_rng(0)
    bases = "".join(rng.choice(list("ACGT"), 1000))

    def snp(position: int) -> str:
        return "A" if bases[position - 1] != "A" else "C"

    calls: list[Call] = [
        ("chr1", 190, bases[189], snp(190), "PASS", ["1|1"]),
        ("chr1", 195, bases[194:495], bases[194], "PASS", ["0|1"]),
        ("chr1", 300, bases[299], snp(300), "PASS", ["1|1"]),
        ("chr1", 700, bases[699], snp(700), "PASS", ["1|1"]),
        # 490 is left of the window but inside the deletion, which decides on it.
        ("chr1", 490, bases[489], snp(490), "PASS", ["1|1"]),
    ]
    calls.sort(key=lambda call: call[1])
    cohort = write_cohort(tmp_path, {"chr1": bases}, ["P"], calls, [("chr1", 500)])
    config = cohort.config(length=40, variants="all")
    build(config)
    store, variants = seqstore.open_store(config.store), seqstore.open_variants(config.store)
    one, two = (decode(unpack(window)) for window in store.haplotype_sequence.values[0, 0])
    assert one == bases[479:489] + snp(490) + bases[490:519]
    assert two == bases[179:189] + snp(190) + bases[190:195] + bases[495:519]
    assert (int(store.reach_start[0]), int(store.reach_stop[0])) == (179, 519)
    assert variants.variant_position.values.tolist() == [190, 195, 300, 490]
    assert (int(variants.gene_variant_start[0]), int(variants.gene_variant_stop[0])) == (3, 4)
    assert (int(variants.gene_record_start[0]), int(variants.gene_record_stop[0])) == (0, 4)
    assert variants.call_skipped.values[:, 0].tolist() == [[False, False]] * 2 + [[False, True]] * 2
    assert store.variants_applied.values[0].tolist() == [[1, 2]]
    assert store.variants_skipped.values[0].tolist() == [[0, 2]]
