from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import seqstore
from seqstore.append import append
from seqstore.build import build
from seqstore.cli import append as append_command
from seqstore.commands import run
from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.layout import attributes_of, fingerprint
from seqstore.nucleotides import decode, unpack
from seqstore.splits import split_fingerprint
from seqstore.swap import finish_swap, swap
from tests.conftest import Call, Cohort, hashes, write_cohort, write_vcf
from tests.same_store import assert_same_store

MakeCohort = Callable[..., Cohort]


@pytest.fixture
def grown(make_cohort: MakeCohort) -> Grown:
    return Grown(make_cohort(n_people=7))


class Grown:
    """A cohort of four genes and seven people, and smaller ones that stores of it are begun with."""

    def __init__(self, cohort: Cohort) -> None:
        self.cohort, self.folder = cohort, cohort.folder
        self.store = str(cohort.folder / "store.zarr")

    def config(self, **changes: Any) -> BuildConfig:
        return self.cohort.config(**changes)

    def lines(self, name: str, keep: Callable[[str], bool]) -> str:
        """A table with the lines that are kept, and its header."""
        header, *rows = (self.folder / name).read_text().splitlines(keepends=True)
        path = self.folder / f"few{len(list(self.folder.iterdir()))}.{name}"
        path.write_text(header + "".join(row for row in rows if keep(row.split("\t")[0])))
        return str(path)

    def begin_with_genes(self, *genes: str) -> BuildConfig:
        config = self.config(genes=self.lines("genes.tsv", genes.__contains__))
        build(config)
        return config

    def begin_with_people(self, *people: str) -> BuildConfig:
        config = self.config(samples=self.lines("samples.tsv", people.__contains__))
        build(config)
        return config

    def anew(self, **changes: Any) -> str:
        store = str(self.folder / "anew.zarr")
        build(self.config(store=store, **changes))
        return store


def inodes(store: str, folder: str = "haplotype_sequence/c") -> dict[str, int]:
    return {
        str(path.relative_to(store)): path.stat().st_ino
        for path in sorted((Path(store) / folder).rglob("*"))
        if path.is_file()
    }


def leftovers(grown: Grown) -> list[str]:
    return [path.name for path in grown.folder.iterdir() if path.name.startswith("store.zarr.")]


def test_genes_are_appended_and_no_window_chunk_is_touched(grown: Grown) -> None:
    grown.begin_with_genes("G2", "G4")
    before = inodes(grown.store)
    assert len(before) == 2
    append(grown.config())
    store = seqstore.open_store(grown.store)
    assert store.gene.values.tolist() == ["G2", "G4", "G1", "G3"]
    assert store.note.values.tolist() == ["y", "z", "x", ""]
    after = inodes(grown.store)
    assert len(after) == 4
    assert before.items() <= after.items(), "the same files, not equal ones"
    assert_same_store(grown.store, grown.anew())
    assert leftovers(grown) == []


def test_a_table_of_only_new_genes_will_do(grown: Grown) -> None:
    grown.begin_with_genes("G1")
    few = {
        "genes": grown.lines("genes.tsv", ("G2", "G3", "G4").__contains__),
        "expression": grown.lines("expression.tsv", ("G2", "THREE").__contains__),
    }
    append(grown.config(**few))
    assert_same_store(grown.store, grown.anew())


def test_people_are_appended_behind_the_others(grown: Grown) -> None:
    grown.begin_with_people("P1", "P3", "P4")
    ids = seqstore.open_store(grown.store).haplotype_id.values
    append(grown.config())
    store = seqstore.open_store(grown.store)
    assert store.individual.values.tolist() == ["P1", "P3", "P4", "P0", "P2", "P5", "P6"]
    assert store.age.values.tolist() == [21, 23, 24, 20, 22, 25, 26]
    np.testing.assert_array_equal(store.haplotype_id.values[:, :3], ids)
    assert_same_store(grown.store, grown.anew())
    assert leftovers(grown) == []


def test_only_the_last_block_of_people_is_written_anew(grown: Grown, set_chunks: Callable[..., None]) -> None:
    set_chunks(individuals=2)
    grown.begin_with_people("P0", "P1", "P2")
    before = inodes(grown.store)
    append(grown.config())
    after = inodes(grown.store)
    kept = {name for name, inode in before.items() if after[name] == inode}
    assert kept == {f"haplotype_sequence/c/{gene}/0/0/0" for gene in range(4)}
    assert_same_store(grown.store, grown.anew())


def test_a_store_knows_what_it_was_before(grown: Grown) -> None:
    first = grown.begin_with_genes("G1", "G2")
    was = attributes_of(grown.store) or {}
    append(grown.config())
    now = attributes_of(grown.store) or {}
    assert now["status"] == "complete"
    assert now["fingerprint"] == fingerprint(now) != was["fingerprint"]
    assert now["config"]["genes"] == grown.config().genes
    assert [state["fingerprint"] for state in now["earlier"]] == [was["fingerprint"]]
    state = now["earlier"][0]
    assert (state["n_genes"], state["n_individuals"]) == (2, 7)
    assert state["config"]["genes"] == first.genes
    assert {file["path"] for file in state["inputs"]} >= {first.genes, first.genotypes}
    anew = attributes_of(grown.anew()) or {}
    assert anew["fingerprint"] != now["fingerprint"]
    for key in ("individuals", "variants", "genes_in_expression"):
        assert now["reconciled"][key] == anew["reconciled"][key]


def test_genes_then_people_then_genes(grown: Grown) -> None:
    everyone, few = grown.config().samples, grown.lines("samples.tsv", ("P0", "P2").__contains__)
    one, two = (grown.lines("genes.tsv", genes.__contains__) for genes in (("G3",), ("G3", "G2")))
    build(grown.config(genes=one, samples=few))
    append(grown.config(genes=two, samples=few))
    append(grown.config(genes=two, samples=everyone))
    append(grown.config())
    assert len((attributes_of(grown.store) or {})["earlier"]) == 3
    assert_same_store(grown.store, grown.anew())


def test_splits_are_extended_and_keep_their_fingerprint(grown: Grown) -> None:
    grown.begin_with_people("P0", "P1", "P2")
    roles = np.array([[1, 2, 3], [1, 1, 3], [0, 0, 0], [2, 1, 0]])
    classes = ["random_split", "random_split", "unused", "unseen"]
    seqstore.write_split(grown.store, "main", split=roles, gene_class=classes, attrs={"seed": 3})
    was = split_fingerprint(seqstore.open_split(grown.store, "main"))
    append(grown.config())
    split = seqstore.open_split(grown.store, "main")
    np.testing.assert_array_equal(split.split.values, np.pad(roles, ((0, 0), (0, 4))))
    assert split.gene_class.values.tolist() == classes
    assert split.attrs["seed"] == 3
    assert split.split.attrs["flag_meanings"] == "unused train validation test"
    assert split_fingerprint(split) == was
    seqstore.write_split(grown.store, "other", split=split.split.values + 0, gene_class=classes)
    assert split_fingerprint(seqstore.open_split(grown.store, "other")) == was


def test_genes_that_are_added_are_unused_in_splits(grown: Grown) -> None:
    grown.begin_with_genes("G3")
    seqstore.write_split(grown.store, "main", split=[[1, 1, 2, 3, 3, 1, 0]], gene_class=["unseen"])
    append(grown.config())
    split = seqstore.open_split(grown.store, "main")
    assert split.gene_class.values.tolist() == ["unseen", "unused", "unused", "unused"]
    assert split.split.values[0].tolist() == [1, 1, 2, 3, 3, 1, 0]
    assert not split.split.values[1:].any()


def test_nothing_new_changes_nothing(grown: Grown, capsys: pytest.CaptureFixture[str]) -> None:
    build(grown.config())
    before = hashes(grown.store)
    append(grown.config())
    assert hashes(grown.store) == before
    append(grown.config(genes=grown.lines("genes.tsv", ("G1",).__contains__)))
    assert hashes(grown.store) == before
    assert leftovers(grown) == []


def test_the_command_line(grown: Grown, capsys: pytest.CaptureFixture[str]) -> None:
    grown.begin_with_genes("G3")
    options = [
        f"--{key}={value}" for key, value in vars(grown.config()).items() if isinstance(value, str | int)
    ]
    with pytest.raises(SystemExit) as stopped:
        run("seqstore", {"append": append_command}, ["append", *options])
    assert stopped.value.code == 0
    assert seqstore.open_store(grown.store).sizes["gene"] == 4
    with pytest.raises(SystemExit) as stopped:
        run("seqstore", {"append": append_command}, ["append", *options, "--length=100"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: length: 100, but the store was built with 200")


# What is new in the added people


def literal_cohort(folder: Path, calls: Sequence[Call], people: Sequence[str]) -> Cohort:
    contigs = {"chr1": "ACGTACGTACGTACGTACGTACGTACGTACGTACGTACGT"}
    return write_cohort(folder, contigs, people, calls, [("chr1", 20)])


def test_a_deletion_of_an_added_person_reaches_further_out(tmp_path: Path) -> None:
    # The window of 8 bases round chr1:20 is 16-23. P1 lacks 21-23, so that 24-26 and its record are pulled in.
    calls: list[Call] = [
        ("chr1", 18, "C", "A", "PASS", ["0|1", "0|0"]),
        ("chr1", 20, "TACG", "T", "PASS", ["0|0", "1|1"]),
        ("chr1", 25, "A", "C", "PASS", ["1|1", "0|1"]),
    ]
    keys = {"variants": "all", "length": 8, "reference_margin": 2}
    of_p0 = [(*call[:5], call[5][:1]) for call in calls if "1" in call[5][0]]
    small = literal_cohort(tmp_path / "small", of_p0, ["P0"])
    whole = literal_cohort(tmp_path / "whole", calls, ["P0", "P1"])
    store = str(tmp_path / "store.zarr")
    build(small.config(store=store, **keys))
    assert seqstore.open_variants(store).variant_position.values.tolist() == [18]
    append(whole.config(store=store, **keys))
    opened, variants = seqstore.open_store(store), seqstore.open_variants(store)
    windows = [decode(unpack(window)) for window in opened.haplotype_sequence.values.reshape(4, -1)]
    assert windows == ["TACGTACG", "TAAGTACG", "TACGTTAC", "TACGTTCC"]
    assert opened.haplotype_id.values.ravel().tolist() == [0, 1, 2, 3]
    assert (int(opened.reach_start[0]), int(opened.reach_stop[0])) == (15, 26)
    assert variants.variant_position.values.tolist() == [18, 20, 25]
    assert variants.call_genotype.values[2].tolist() == [[1, 1], [0, 1]], "of everyone"
    build(whole.config(**keys))
    assert_same_store(store, whole.config().store)


def test_a_call_that_was_missing_is_counted_at_a_new_record(tmp_path: Path) -> None:
    calls: list[Call] = [
        ("chr1", 18, "C", "A", "PASS", ["0|1", "0|0"]),
        ("chr1", 20, "T", "C", "PASS", [".|0", "1|0"]),
    ]
    small = literal_cohort(tmp_path / "small", [(*calls[0][:5], ["0|1"])], ["P0"])
    whole = literal_cohort(tmp_path / "whole", calls, ["P0", "P1"])
    keys: dict[str, Any] = {"length": 8, "reference_margin": 2, "store": str(tmp_path / "store.zarr")}
    build(small.config(**keys))
    append(whole.config(**keys))
    assert seqstore.open_store(keys["store"]).genotypes_missing.values.tolist() == [[[1, 0], [0, 0]]]
    keys |= {"missing": "n", "store": str(tmp_path / "n.zarr")}
    build(small.config(**keys))
    with pytest.raises(InputError, match=r"chr1:20: the call of P0 is \.\|0, but the store does not know"):
        append(whole.config(**keys))


def test_a_second_haplotype_that_would_go_is_refused(tmp_path: Path) -> None:
    calls: list[Call] = [
        ("chrX", 18, "C", "A", "PASS", ["0|1", "0|0"]),
        ("chrX", 20, "T", "C", "PASS", ["0", "1|0"]),
    ]
    contigs = {"chrX": "ACGTACGTACGTACGTACGTACGTACGTACGTACGTACGT"}
    small = write_cohort(tmp_path / "small", contigs, ["P0"], [(*calls[0][:5], ["0|1"])], [("chrX", 20)])
    whole = write_cohort(tmp_path / "whole", contigs, ["P0", "P1"], calls, [("chrX", 20)])
    keys: dict[str, Any] = {"length": 8, "reference_margin": 2, "store": str(tmp_path / "store.zarr")}
    build(small.config(**keys))
    before = hashes(keys["store"])
    with pytest.raises(
        InputError, match=r"window of P0 at gene G0 would change; .* remove .*store.zarr.appending"
    ):
        append(whole.config(**keys))
    assert hashes(keys["store"]) == before


# Refusals


def refuse(config: BuildConfig, match: str) -> None:
    """Appending is refused, the store is as it was, and nothing lies about."""
    before = hashes(config.store)
    with pytest.raises(InputError, match=match) as refused:
        append(config)
    assert "\n" not in str(refused.value)
    assert hashes(config.store) == before
    assert not list(Path(config.store).parent.glob("store.zarr.*"))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("variants", "all", r"variants: 'all', but the store was built with 'snps'"),
        ("missing", "n", r"missing: 'n', but .* 'reference'"),
        ("unphased", "as_phased", r"unphased: 'as_phased', but .* 'error'"),
        ("filter", ["PASS"], r"filter: \['PASS'\], but .* \['PASS', '\.'\]"),
        ("length", 300, r"length: 300, but .* 200"),
        ("reference_margin", 64, r"reference_margin: 64, but .* 32"),
        ("build", "GRCh37", r"build: 'GRCh37', but .* None"),
    ],
)
def test_another_policy_is_refused_by_name(grown: Grown, key: str, value: object, said: str) -> None:
    grown.begin_with_genes("G1")
    refuse(grown.config(**{key: value}), said)


def test_another_reference_is_refused_and_the_same_elsewhere_is_not(grown: Grown) -> None:
    grown.begin_with_genes("G1")
    text = (grown.folder / "reference.fa").read_text()
    (grown.folder / "other.fa").write_text(text + ">chr3\nACGT\n")
    refuse(
        grown.config(reference=str(grown.folder / "other.fa")),
        r"other.fa: is not the FASTA that the store was built with",
    )
    (grown.folder / "copy.fa").write_text(text)
    append(grown.config(reference=str(grown.folder / "copy.fa")))
    assert_same_store(grown.store, grown.anew())


def test_genes_and_people_at_once_are_refused(grown: Grown) -> None:
    build(
        grown.config(
            genes=grown.lines("genes.tsv", ("G1",).__contains__),
            samples=grown.lines("samples.tsv", ("P1",).__contains__),
        )
    )
    refuse(
        grown.config(),
        r"lacks both 3 genes \(G2, …\) and 6 individuals \(P0, …\) of these inputs; append one after the",
    )


def test_genotypes_may_not_change_where_there_is_nobody_new(grown: Grown) -> None:
    grown.begin_with_genes("G1")
    calls = read_calls(grown)
    write_vcf(grown.folder / "genotypes.vcf.gz", grown.cohort.contigs, grown.cohort.people, calls[1:])
    refuse(grown.config(), r"genotypes.vcf.gz: changed since the store was built")
    few = grown.lines("genes.tsv", ("G1",).__contains__)
    refuse(grown.config(genes=few), r"genotypes.vcf.gz: changed since the store was built")


def read_calls(grown: Grown) -> list[Call]:
    from cyvcf2 import VCF

    return [
        (v.CHROM, v.POS, v.REF, ",".join(v.ALT), "PASS", ["|".join(map(str, g[:2])) for g in v.genotypes])
        for v in VCF(str(grown.folder / "genotypes.vcf.gz"))
    ]


def test_a_file_of_another_contig_may_join(grown: Grown) -> None:
    calls = read_calls(grown)
    for contig in ("chr1", "chr2"):
        of_contig = [call for call in calls if call[0] == contig]
        write_vcf(grown.folder / f"{contig}.vcf.gz", grown.cohort.contigs, grown.cohort.people, of_contig)
    build(grown.config(genotypes=str(grown.folder / "chr1.vcf.gz")))
    append(grown.config(genotypes=str(grown.folder / "chr?.vcf.gz")))
    assert seqstore.open_store(grown.store).gene.values.tolist() == ["G1", "G2", "G3", "G4"]
    assert_same_store(grown.store, grown.anew())


def people_appended_from(grown: Grown, calls: Sequence[Call], people: Sequence[str], said: str) -> None:
    """A store of the first four people, to which others cannot be appended from files of these calls."""
    grown.begin_with_people("P0", "P1", "P2", "P3")
    write_vcf(grown.folder / "new.vcf.gz", grown.cohort.contigs, people, calls)
    refuse(grown.config(genotypes=str(grown.folder / "new.vcf.gz")), said)


def in_a_window(grown: Grown) -> tuple[list[Call], int]:
    """All calls, and which of them is the first in the window of G1."""
    calls = read_calls(grown)
    return calls, next(number for number, call in enumerate(calls) if call[0] == "chr1" and call[1] > 200)


def test_another_call_of_somebody_in_the_store_is_refused(grown: Grown) -> None:
    calls, first = in_a_window(grown)
    *record, genotypes = calls[first]
    was, now = genotypes[2], "1|1" if genotypes[2] != "1|1" else "0|0"
    calls[first] = (*record, [*genotypes[:2], now, *genotypes[3:]])  # type: ignore[assignment]
    people_appended_from(
        grown,
        calls,
        grown.cohort.people,
        rf"new.vcf.gz: chr1:{record[1]}: the call of P2 is {now}, but {was} in the store; append".replace(
            "|", r"\|"
        ),
    )


def test_a_record_that_is_gone_or_has_other_alleles_is_refused(grown: Grown) -> None:
    calls, first = in_a_window(grown)
    contig, position, ref, alts, *_ = calls[first]
    said = rf"chr1:{position}: {ref}>{alts} is in the store, but not there any more, or with other alleles"
    people_appended_from(grown, calls[:first] + calls[first + 1 :], grown.cohort.people, said)
    more = ",".join([*alts.split(","), f"{ref}A"])
    calls[first] = (contig, position, ref, more, *calls[first][4:])
    write_vcf(grown.folder / "new.vcf.gz", grown.cohort.contigs, grown.cohort.people, calls)
    refuse(grown.config(genotypes=str(grown.folder / "new.vcf.gz")), said)


def test_a_new_record_that_somebody_in_the_store_carries_is_refused(grown: Grown) -> None:
    calls = read_calls(grown)
    taken = {call[1] for call in calls if call[0] == "chr1"}
    position = next(place for place in range(260, 300) if place not in taken)
    ref = grown.cohort.contigs["chr1"][position - 1].upper()
    alt = "A" if ref != "A" else "C"
    added: Call = ("chr1", position, ref, alt, "PASS", ["0|0", "0|0", "0|0", "0|1", "1|1", "0|0", "0|0"])
    said = rf"chr1:{position}: the call of P3 is 0\|1, but the store does not know this record"
    people_appended_from(grown, sorted([*calls, added], key=lambda call: call[:2]), grown.cohort.people, said)


def test_records_in_another_order_are_refused(tmp_path: Path) -> None:
    """Of two records at one position the first decides."""
    contigs = {"chr1": "".join(np.random.default_rng(3).choice(list("ACGT"), 400))}
    base = contigs["chr1"][199]
    other = "A" if base != "A" else "C"
    snp: Call = ("chr1", 200, base, other, "PASS", ["1|0", "0|0"])
    insertion: Call = ("chr1", 200, base, base + "TT", "PASS", ["1|0", "0|0"])
    cohort = write_cohort(tmp_path, contigs, ["P0", "P1"], [snp, insertion], [("chr1", 200)])
    (tmp_path / "samples.tsv").write_text("sample\tsex\nP0\tF\n")
    build(cohort.config(variants="all"))
    write_vcf(tmp_path / "new.vcf.gz", contigs, ["P0", "P1"], [insertion, snp])
    (tmp_path / "samples.tsv").write_text("sample\tsex\nP0\tF\nP1\tM\n")
    refuse(
        cohort.config(variants="all", genotypes=str(tmp_path / "new.vcf.gz")),
        "chr1:200: its records are in another order than in the store",
    )


def test_who_is_haploid_may_not_change_where_there_are_no_records(tmp_path: Path) -> None:
    """P0 turns out to be a man by the call in the window of the added gene."""
    contigs = {
        name: "".join(np.random.default_rng(2).choice(list("ACGT"), 3000)) for name in ("chr1", "chrX")
    }
    calls: list[Call] = [
        (contig, position, contigs[contig][position - 1], alt, "PASS", texts)
        for contig, position, texts in (("chr1", 500, ["0|1", "1|0"]), ("chrX", 2000, ["1", "0|1"]))
        for alt in ["A" if contigs[contig][position - 1] != "A" else "C"]
    ]
    cohort = write_cohort(
        tmp_path, contigs, ["P0", "P1"], calls, [("chr1", 500), ("chrX", 500), ("chrX", 2000)]
    )
    whole = (tmp_path / "genes.tsv").read_text()
    (tmp_path / "genes.tsv").write_text("".join(whole.splitlines(keepends=True)[:-1]))
    build(cohort.config())
    (tmp_path / "genes.tsv").write_text(whole)
    before = hashes(cohort.config().store)
    with pytest.raises(InputError, match="the window of P0 at gene G1 would change"):
        append(cohort.config())
    assert hashes(cohort.config().store) == before


@pytest.mark.parametrize(
    "array", ["variants/call_genotype", "variants/variant_position", "haplotype_id", "assay"]
)
@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_a_store_that_is_not_whole_is_refused(grown: Grown, array: str, how: str) -> None:
    grown.begin_with_genes("G1")
    chunk = next(path for path in sorted(Path(grown.store, array, "c").rglob("*")) if path.is_file())
    content = chunk.read_bytes()
    if how == "lost":
        chunk.unlink()
    else:
        chunk.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refuse(grown.config(), rf"store.zarr/{array}: .*seqstore verify")
    chunk.write_bytes(content)
    append(grown.config())


def test_files_without_somebody_in_the_store_are_refused(grown: Grown) -> None:
    calls = [(*call[:5], call[5][1:]) for call in read_calls(grown)]
    people_appended_from(
        grown, calls, grown.cohort.people[1:], r"new.vcf.gz: has no individual P0, who is in the store"
    )


def test_other_expression_of_what_is_there_is_refused(grown: Grown) -> None:
    grown.begin_with_genes("G2")
    table = grown.folder / "expression.tsv"
    text = table.read_text()
    value = next(line for line in text.splitlines() if line.startswith("G2")).split("\t")[3]
    table.write_text(text.replace(f"\t{value}\t", "\t77\t"))
    refuse(
        grown.config(),
        rf"expression.tsv: expression of gene G2 and individual P2 is 77, but {float(value):g} in the store; .*"
        r"\(1 such values\)",
    )
    table.write_text(text.replace(f"\t{value}\t", "\tNA\t"))
    refuse(grown.config(), rf"gene G2 and individual P2 is nan, but {float(value):g} in the store")
    table.write_text(text)
    append(grown.config())
    assert_same_store(grown.store, grown.anew())


def test_a_measurement_that_the_store_lacks_is_refused(grown: Grown) -> None:
    table = grown.folder / "expression.tsv"
    text = table.read_text()
    value = next(line for line in text.splitlines() if line.startswith("G2")).split("\t")[3]
    table.write_text(text.replace(f"\t{value}\t", "\tNA\t"))
    grown.begin_with_genes("G2")
    table.write_text(text)
    refuse(grown.config(), rf"gene G2 and individual P2 is {float(value):g}, but nan in the store")


def test_other_genes_or_people_under_the_same_labels_are_refused(grown: Grown) -> None:
    grown.begin_with_genes("G1", "G2")
    genes, samples = grown.folder / "genes.tsv", grown.folder / "samples.tsv"
    texts = genes.read_text(), samples.read_text()
    genes.write_text(texts[0].replace("chr1\t350", "chr1\t351"))
    refuse(
        grown.config(), r"genes.tsv: tss of gene G2 is 351, but 350 in the store; what stands there cannot"
    )
    genes.write_text(texts[0].replace("\tnote\n", "\tremark\n"))
    refuse(grown.config(), r"genes.tsv: the store has a column 'note' of each gene, and the table has none")
    genes.write_text(texts[0])
    samples.write_text(texts[1].replace("P3\tB", "P3\tA"))
    refuse(grown.config(), r"samples.tsv: population of individual P3 is A, but B in the store")
    samples.write_text(
        "\n".join(f"{line}\t1" for line in texts[1].splitlines()).replace("age\t1", "age\tbatch")
    )
    refuse(grown.config(), r"the table has a column 'batch' of each individual, and the store has none")
    samples.write_text(texts[1])
    refuse(grown.config(samples=None), r"genotypes.vcf.gz: the store has a column 'age' of each individual")
    refuse(
        grown.config(expression={"blood": grown.config().assays["expression"]}), r"expression: the config has"
    )


def test_expression_that_was_prepared_otherwise_is_refused(grown: Grown) -> None:
    from seqstore.recipe import FORMAT, sha256_of

    table = grown.folder / "expression.tsv"

    def write_recipe(steps: list[str], labels: list[str] | None) -> None:
        recipe = {"format": FORMAT, "version": 1, "sha256": sha256_of(table), "steps": steps}
        fit = {"on": "all", "labels": labels, "individuals": 7}
        recipe |= {"fit": fit, "individuals": {"kept": 7}, "input": {"recipe": None}}
        (grown.folder / "expression.tsv.json").write_text(json.dumps(recipe))

    write_recipe(["ln(value + 1)"], ["P1", "P0"])
    grown.begin_with_genes("G2")
    for steps, labels in ((["ln(value + 2)"], ["P0", "P1"]), (["ln(value + 1)"], None)):
        write_recipe(steps, labels)
        refuse(grown.config(), r"expression.tsv: was not prepared as the store's expression was")
    (grown.folder / "expression.tsv.json").unlink()
    refuse(grown.config(), r"expression.tsv: was not prepared as the store's expression was")
    write_recipe(["ln(value + 1)"], ["P0", "P1"])
    append(grown.config())


def test_what_is_no_store_or_has_more_in_it_is_refused(grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"store.zarr: no store here"):
        append(grown.config())
    grown.begin_with_genes("G1")
    with pytest.raises(
        InputError, match=r"s3://bucket/store.zarr: is at a URL, where a store cannot be replaced"
    ):
        append(grown.config(store="s3://bucket/store.zarr"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_mount", lambda path: path.name == "store.zarr")
        refuse(grown.config(), r"store.zarr: is where a file system is mounted, and so cannot be replaced")
    zarr.open_group(grown.store, mode="r+").create_array("mine", shape=(1,), dtype="int8")
    refuse(grown.config(), r"store.zarr/mine: is nothing that seqstore knows, and would be lost")


# Interruptions


@pytest.mark.parametrize("kind", ["genes", "people"])
def test_an_append_that_is_stopped_leaves_the_old_store_and_goes_on(
    grown: Grown, kind: str, monkeypatch: pytest.MonkeyPatch, set_chunks: Callable[..., None]
) -> None:
    set_chunks(individuals=4, genes=2, sites=32, variants=16)
    if kind == "genes":
        grown.begin_with_genes("G1", "G3")
    else:
        grown.begin_with_people("P0", "P1", "P2")
    begun = shutil.copytree(grown.store, grown.folder / "begun.zarr")
    before = hashes(begun)
    append(grown.config())
    expected = hashes(grown.store)
    real = zarr.Array.__setitem__
    for fail_at in (0, 8, 30, 45):
        shutil.rmtree(grown.store)
        shutil.copytree(begun, grown.store)
        writes = 0

        def failing(self: Any, *arguments: Any, fail_at: int = fail_at) -> None:
            nonlocal writes
            writes += 1
            if writes > fail_at:
                raise KeyboardInterrupt
            real(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(zarr.Array, "__setitem__", failing)
            with pytest.raises(KeyboardInterrupt):
                append(grown.config())
        assert hashes(grown.store) == before
        seqstore.open_store(grown.store)
        append(grown.config())
        assert leftovers(grown) == []
        assert hashes(grown.store) == expected


@pytest.mark.parametrize("n_renames", [0, 1, 2])
def test_a_swap_that_was_cut_off_is_finished_by_whoever_comes_next(
    grown: Grown, monkeypatch: pytest.MonkeyPatch, n_renames: int
) -> None:
    grown.begin_with_genes("G1")
    real = os.rename
    done = 0

    def cut_off(source: Any, target: Any) -> None:
        nonlocal done
        if done == n_renames:
            raise KeyboardInterrupt
        done += 1
        real(source, target)

    def cut_off_at_the_end(place: str) -> None:
        real(place, f"{place}.replaced")
        finish_swap(place)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("seqstore.swap.os.rename", cut_off)
        if n_renames == 2:
            patch.setattr("seqstore.append.swap", cut_off_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            append(grown.config())
    assert Path(grown.store).exists() == (n_renames != 1)
    assert seqstore.HaplotypeReader(grown.store).n_genes == (1 if n_renames == 0 else 4)
    append(grown.config())
    assert leftovers(grown) == []
    assert seqstore.open_store(grown.store).gene.values.tolist() == ["G1", "G2", "G3", "G4"]


def test_an_append_that_was_killed_before_the_swap_does_what_is_left(
    grown: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown.begin_with_genes("G1")

    def killed(place: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("seqstore.append.swap", killed)
        with pytest.raises(KeyboardInterrupt):
            append(grown.config())
    (grown.folder / "store.zarr.appending.building").write_text("{}")  # of a process that is dead
    seqstore.write_split(grown.store, "late", split=[[1, 1, 2, 3, 3, 1, 0]], gene_class=["unseen"])
    append(grown.config())
    assert leftovers(grown) == []
    assert seqstore.open_store(grown.store).sizes["gene"] == 4
    assert seqstore.open_split(grown.store, "late").gene_class.values.tolist() == ["unseen"] + 3 * ["unused"]


def test_a_build_finishes_a_swap_that_was_cut_off(grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
    grown.begin_with_genes("G1")
    seqstore.write_split(grown.store, "mine", split=[[1] * 7], gene_class=["unseen"])

    def cut_off(place: str) -> None:
        os.rename(place, f"{place}.replaced")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("seqstore.append.swap", cut_off)
        with pytest.raises(KeyboardInterrupt):
            append(grown.config())
    build(grown.config())
    assert seqstore.open_store(grown.store).sizes["gene"] == 4
    assert seqstore.open_split(grown.store, "mine").sizes["gene"] == 4


def test_what_was_put_aside_comes_back_if_there_is_nothing_else(grown: Grown) -> None:
    grown.begin_with_genes("G1")
    os.rename(grown.store, f"{grown.store}.replaced")
    assert seqstore.open_store(grown.store).sizes["gene"] == 1


def test_nobody_else_writes_to_a_store_that_is_appended_to(
    grown: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown.begin_with_genes("G1")
    n_refused = 0

    def meanwhile(place: str) -> None:
        nonlocal n_refused
        for write in (
            lambda: append(grown.config()),
            lambda: seqstore.write_split(grown.store, "late", split=[[1] * 7], gene_class=["unseen"]),
        ):
            with pytest.raises(InputError, match="is building it"):
                write()
            n_refused += 1
        swap(place)

    monkeypatch.setattr("seqstore.append.swap", meanwhile)
    append(grown.config())
    assert n_refused == 2
    assert seqstore.open_store(grown.store).sizes["gene"] == 4


def test_what_another_append_has_begun_is_refused(grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
    grown.begin_with_genes("G1")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("seqstore.build._fill", stopped)
        with pytest.raises(KeyboardInterrupt):
            append(grown.config())
    before = hashes(grown.store)
    aside = f"{grown.store}.appending"
    few = grown.lines("genes.tsv", ("G1", "G2").__contains__)
    with pytest.raises(InputError, match=rf"{aside}: an unfinished build stands there with genes"):
        append(grown.config(genes=few))
    shutil.move(aside, f"{grown.store}.kept")
    append(grown.config(genes=few))
    shutil.move(f"{grown.store}.kept", aside)
    with pytest.raises(InputError, match=rf"{aside}: .* was not begun on the store as it is; remove it"):
        append(grown.config())
    assert before != hashes(grown.store)


def test_a_reader_that_is_open_reads_on(grown: Grown) -> None:
    grown.begin_with_people("P0", "P1", "P2")
    reader = seqstore.HaplotypeReader(grown.store)
    first = reader.read([0], [1])
    before = [seqstore.HaplotypeReader(grown.store).read([gene] * 3, range(3)) for gene in range(4)]  # type: ignore[arg-type]
    append(grown.config())
    np.testing.assert_array_equal(reader.read([0], [1]), first)
    for gene in range(4):
        np.testing.assert_array_equal(reader.read([gene] * 3, [0, 1, 2]), before[gene])


def test_a_store_behind_a_link_is_replaced_where_it_is(grown: Grown) -> None:
    elsewhere = grown.folder / "disk"
    elsewhere.mkdir()
    grown.begin_with_genes("G1")
    shutil.move(grown.store, elsewhere / "real.zarr")
    Path(grown.store).symlink_to(elsewhere / "real.zarr")
    append(grown.config())
    assert Path(grown.store).is_symlink()
    assert seqstore.open_store(elsewhere / "real.zarr").sizes["gene"] == 4
