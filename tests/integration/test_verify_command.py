"""``seqstore verify``: sound stores of every policy pass, and whatever is done to one is found and named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import seqstore
from seqstore import cli
from seqstore.append import append
from seqstore.build import build
from seqstore.commands import run
from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.findings import Findings
from seqstore.layout import attributes_of
from seqstore.soundness import check_soundness
from seqstore.store_arrays import StoreArrays, check_arrays
from seqstore.verify import Report, verify_store
from tests.conftest import Call, Cohort, write_cohort
from tests.random_cohorts import nasty_cohort
from tests.unit.genotype_files import (
    PEOPLE,
    Line,
    to_bcf,
    to_vcf_zarr,
    write_tiny_pgen,
    write_tiny_vcf,
)

ALL_CELLS = 100_000
SEQUENCE = "haplotype_sequence"
MakeCohort = Callable[..., Cohort]


@dataclass(frozen=True)
class Built:
    """A sound store, and how it was built."""

    config: BuildConfig
    folder: Path


def verified(store: str | Path) -> Report:
    return verify_store(store, cells=ALL_CELLS)


def named(report: Report) -> set[str]:
    """The arrays and files that differ."""
    return set(report.findings.n_of)


def texts(report: Report) -> str:
    return "\n".join(map(str, report.findings.differences))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Stores of several policies, by name; two chunks of individuals each, and a split."""
    stores = {}
    with pytest.MonkeyPatch.context() as patch:
        for module in ("seqstore.layout", "seqstore.build", "seqstore.spool"):
            patch.setattr(f"{module}.INDIVIDUALS_IN_CHUNK", 4)
        for name, keys in POLICIES.items():
            folder = tmp_path_factory.mktemp(name) / "cohort"
            cohort = cohort_of(folder, haploid=name == "haploid", unphased=keys.get("unphased") == "iupac")
            people = "".join(f"{label}\t{'AB'[number % 2]}\n" for number, label in enumerate(cohort.people))
            (folder / "samples.tsv").write_text("sample\tpopulation\n" + people)
            config = cohort.config(length=40, reference_margin=8, **keys)
            build(config)
            split = np.tile([1, 1, 2, 3, 0, 0], (3, 1))
            seqstore.write_split(config.store, "fold", split=split, gene_class=["random_split"] * 3)
            stores[name] = Built(config, folder)
    return stores


POLICIES: dict[str, dict[str, Any]] = {
    "snps": {"variants": "snps"},
    "all": {"variants": "all", "missing": "n"},
    "iupac": {"variants": "snps", "unphased": "iupac"},
    "haploid": {"variants": "all"},
}


def cohort_of(folder: Path, *, haploid: bool, unphased: bool) -> Cohort:
    """Three genes on two contigs, six people; few enough variants that windows are shared."""
    rng = np.random.default_rng(3)
    contigs = {name: "".join(rng.choice(list("ACGTacgt"), 200)) for name in ("chr1", "chrX")}
    people = [f"P{number}" for number in range(6)]
    calls: list[Call] = []
    for contig, bases in contigs.items():
        for position in range(6, 190, 7):
            ref = bases[position - 1].upper()
            others = [base for base in "ACGT" if base != ref]
            alts = [others[0], f"{others[0]},*", f"{ref}TT,{others[1]}", others[2]][position % 4]
            if position % 5 == 0:
                ref, alts = bases[position - 1 : position + 2].upper(), ref
            texts = []
            for number in range(6):
                pair = [str(allele) for allele in rng.integers(0, 1 + len(alts.split(",")), 2)]
                pair = [allele if rng.random() < 0.4 else "0" for allele in pair]
                pair = ["." if rng.random() < 0.05 else allele for allele in pair]
                is_man = haploid and contig == "chrX" and number % 2
                mark = "/" if unphased and rng.random() < 0.5 else "|"
                texts.append(pair[0] if is_man else mark.join(pair))
            calls.append((contig, position, ref, alts, "q10" if position % 10 == 3 else "PASS", texts))
    return write_cohort(folder, contigs, people, calls, [("chr1", 60), ("chr1", 72), ("chrX", 100)])


@pytest.fixture
def copy_of(built: dict[str, Built], tmp_path: Path) -> Callable[..., Path]:
    """A copy of one of the stores, to be damaged."""

    def copy(name: str = "snps") -> Path:
        return Path(shutil.copytree(built[name].config.store, tmp_path / f"{name}.zarr"))

    return copy


@pytest.mark.parametrize("name", list(POLICIES))
def test_a_sound_store_passes(built: dict[str, Built], name: str, bcftools: str) -> None:
    report = verified(built[name].config.store)
    assert report.is_sound, texts(report)
    assert report.findings.left_out == []
    n_of = {check.against: check.n for check in report.findings.checks if check.what == "random windows"}
    assert sum(n_of.values()) == 3 * 6 * 2
    assert n_of["bcftools consensus 1.16 and the slow path"] > 20
    assert ("who has a second haplotype" in n_of) == (name == "haploid")
    assert "random records, with the calls of everyone" in {check.what for check in report.findings.checks}


@pytest.mark.parametrize("name", list(POLICIES))
def test_a_sound_store_passes_without_bcftools(
    built: dict[str, Built], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    report = verified(built[name].config.store)
    assert report.is_sound, texts(report)
    against = {check.against for check in report.findings.checks if check.what == "random windows"}
    assert against - {"who has a second haplotype"} == {"the slow path"}


def test_stores_of_nasty_records_pass(tmp_path: Path) -> None:
    n_built = 0
    for seed in range(100, 110):
        cohort = nasty_cohort(np.random.default_rng(seed))
        files = write_cohort(tmp_path / str(seed), cohort.contigs, cohort.people, cohort.calls, cohort.genes)
        config = files.config(samples=None, **cohort.keys)
        try:
            build(config)
        except InputError:  # no variant is in any window
            continue
        report = verified(config.store)
        assert report.is_sound, (seed, texts(report))
        n_built += 1
        if n_built == 3:
            return
    pytest.fail("hardly any cohort could be built")


def test_a_store_with_tables_of_all_kinds_passes(make_cohort: MakeCohort) -> None:
    """Names for ids, versions, people in other files only, a sample map, two assays."""
    cohort = make_cohort(missing=0.1)
    (cohort.folder / "liver.csv").write_text("gene,P3,P1_P1,ZZ,you\nFOUR,1.5,NA,3,7\nG1.2,2,4,5,8\n")
    (cohort.folder / "map.tsv").write_text("from\tto\nyou\tP0\nP1_P1\tP1\n")
    tables = {"blood": str(cohort.folder / "expression.tsv"), "liver": str(cohort.folder / "liver.csv")}
    config = cohort.config(expression=tables, sample_map=str(cohort.folder / "map.tsv"))
    build(config)
    report = verified(config.store)
    assert report.is_sound, texts(report)
    assert {check.what for check in report.findings.checks} >= {
        "values of expression, assay blood",
        "values of expression, assay liver",
    }


@pytest.mark.parametrize("ending", ["vcf.gz", "bcf", "pgen", "vcz"])
def test_genotypes_of_every_format(tmp_path: Path, ending: str) -> None:
    """Two files of a contig each; what bcftools cannot read is read in another way than by pysam."""
    rng = np.random.default_rng(8)
    contigs = {name: "".join(rng.choice(list("ACGT"), 90)) for name in ("chr1", "chr2")}
    folder = tmp_path / "cohort"
    write_cohort(folder, contigs, PEOPLE, [], [("chr1", 40), ("chr2", 50)])
    paths = []
    for contig, bases in contigs.items():
        lines: list[Line] = [
            (contig, pos, f"v{pos}", bases[pos - 1], alt, "PASS", calls)
            for pos, alt, calls in (
                (30, "C,G" if bases[29] not in "CG" else "A,T", "0|1 2|1 0|0"),
                (38, bases[37] + "TTA", "0|1 0|0 1|1"),
                (39, "A" if bases[38] != "A" else "C", "1|0 .|. 0|1"),
                (60, "T" if bases[59] != "T" else "C", "1|1 0|0 1|0"),
            )
        ]
        vcf = write_tiny_vcf(tmp_path / f"{contig}.vcf.gz", lines)
        paths.append(
            {
                "vcf.gz": lambda vcf=vcf: vcf,
                "bcf": lambda vcf=vcf: to_bcf(vcf),
                "pgen": lambda c=contig, ls=lines: write_tiny_pgen(tmp_path / f"{c}.pgen", ls),
                "vcz": lambda c=contig, vcf=vcf: to_vcf_zarr(vcf, tmp_path / f"{c}.vcz"),
            }[ending]()  # type: ignore[no-untyped-call]
        )
    cohort = Cohort(folder, contigs, list(PEOPLE))
    config = cohort.config(genotypes=paths, samples=None, variants="all", length=30, reference_margin=4)
    build(config)
    report = verified(config.store)
    assert report.is_sound, texts(report)
    route = "bcftools consensus 1.16 and the slow path" if ending in ("vcf.gz", "bcf") else "the slow path"
    assert {check.against: check.n for check in report.findings.checks}[route] == 2 * 3 * 2
    n_inputs = {"pgen": 9}.get(ending, 5)
    assert report.findings.checks[5].n == n_inputs
    group: Any = zarr.open_group(config.store, mode="r+")
    group["variants/call_genotype"][1, 0, 0] = 1
    assert "variants/call_genotype: gene G0, individual a: is [1, 1] at POS 38, but [0, 1] in the" in texts(
        verified(config.store)
    )
    beside = Path(paths[1] if ending != "pgen" else paths[1].replace(".pgen", ".psam"))
    with (beside / "new" if ending == "vcz" else beside).open("ab") as file:
        file.write(b"\n")
    report = verified(config.store)
    assert str(beside) in named(report)
    assert {check.n for check in report.findings.checks if check.what == "random windows"} == {1 * 3 * 2}


def test_an_appended_store_passes(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(n_people=5)
    lines = (cohort.folder / "genes.tsv").read_text().splitlines(keepends=True)
    for name, chosen in (("few", lines[:3]), ("more", [lines[0], *lines[3:]])):
        (cohort.folder / f"{name}.tsv").write_text("".join(chosen))
    build(cohort.config(genes=str(cohort.folder / "few.tsv")))
    append(cohort.config(genes=str(cohort.folder / "more.tsv")))
    store = cohort.config().store
    report = verified(store)
    assert report.is_sound, texts(report)
    assert report.findings.left_out == []
    (cohort.folder / "few.tsv").write_text("gene\n")
    assert verified(store).is_sound, "what was there before the append may be another by now"
    group: Any = zarr.open_group(store, mode="r+")
    group["tss"][3] = 7
    assert "tss: gene G4: is 7" in texts(verified(store))


def chunks_of(store: Path) -> list[str]:
    files = (str(path.relative_to(store)) for path in store.rglob("*") if path.is_file())
    return sorted(file for file in files if "/c/" in file)


def test_a_flipped_byte_in_any_chunk_is_found(copy_of: Callable[..., Path]) -> None:
    """At the start, in the middle and at the end of the file."""
    store = copy_of("iupac")
    group: Any = zarr.open_group(store, mode="r")
    chunks = chunks_of(store)
    arrays = {chunk.split("/c/")[0] for chunk in chunks}
    assert len(arrays) == sum(isinstance(node, zarr.Array) for _, node in group.members(max_depth=None))
    for number, chunk in enumerate(chunks):
        path = store / chunk
        intact = path.read_bytes()
        at = [0, len(intact) // 2, len(intact) - 1][number % 3]
        path.write_bytes(intact[:at] + bytes([intact[at] ^ 255]) + intact[at + 1 :])
        found = self_compared(store)
        assert chunk.split("/c/")[0] in found.n_of, (chunk, at)
        assert f"chunk {chunk}" in "".join(map(str, found.differences)), (chunk, at)
        path.write_bytes(intact)
    assert not self_compared(store).differences


def test_a_missing_chunk_is_found_in_any_array(copy_of: Callable[..., Path]) -> None:
    store = copy_of("iupac")
    for chunk in chunks_of(store):
        (store / chunk).rename(store.parent / "aside")
        found = self_compared(store)
        assert found.n_of[chunk.split("/c/")[0]] == 1
        assert f"{chunk.split('/c/')[0]}: chunk {chunk} is missing" in map(str, found.differences)
        (store.parent / "aside").rename(store / chunk)
    assert not self_compared(store).differences


def self_compared(store: Path) -> Findings:
    """What is found without the inputs."""
    arrays, findings = StoreArrays(store, attributes_of(store) or {}), Findings()
    check_arrays(arrays, findings)
    check_soundness(arrays, findings)
    return findings


def test_a_missing_array_and_broken_metadata_are_found(copy_of: Callable[..., Path]) -> None:
    store = copy_of()
    shutil.rmtree(store / "tss_deleted")
    shutil.rmtree(store / "variants" / "call_skipped")
    (store / "expression" / "zarr.json").write_text("{")
    report = verified(store)
    assert {"tss_deleted", "variants/call_skipped", "expression"} == named(report)
    assert "tss_deleted: is missing" in texts(report)
    assert "expression: its zarr.json cannot be read" in texts(report)
    assert {text.split(":")[0] for text in report.findings.left_out} == {
        "counts",
        "expression",
        "random windows",
    }


def test_what_a_build_left_behind_is_found(copy_of: Callable[..., Path]) -> None:
    store = copy_of()
    (store / "tss" / "c" / "0.1234.partial").write_bytes(b"x")
    (store / "spool" / "0-0-500").mkdir(parents=True)
    (store / "spool" / "0-0-500" / "zarr.json").write_text("{}")
    (store / "tss" / "c" / "7").write_bytes(b"x")
    (store / "README").write_text("mine")
    assert texts(verified(store)).splitlines() == [
        "spool: spool/0-0-500/zarr.json was left behind by a build; remove it",
        "tss: tss/c/0.1234.partial was left behind by a build; remove it",
        "tss: tss/c/7 is no chunk of it; remove it",
    ]


def test_chunks_of_two_genes_that_are_swapped_are_found(copy_of: Callable[..., Path]) -> None:
    store = copy_of("all")
    one, other = (store / SEQUENCE / "c" / gene / "0" / "0" / "0" for gene in "02")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    report = verify_store(store, cells=0)
    assert {difference.gene for difference in report.findings.differences} == {"G0", "G2"}
    assert SEQUENCE in named(report)


def test_two_people_whose_windows_are_swapped_are_found(copy_of: Callable[..., Path]) -> None:
    store = copy_of("all")
    group: Any = zarr.open_group(store, mode="r+")
    ids = group["haplotype_id"][1]
    one, other = 0, next(i for i in range(1, 4) if (ids[i] != ids[0]).any())
    for name in (SEQUENCE, "haplotype_id", "variants_applied", "variants_skipped", "genotypes_missing"):
        values = group[name][1]
        values[[one, other]] = values[[other, one]]
        group[name][1] = values
    found = verified(store).findings.differences
    windows = {(d.gene, d.individual) for d in found if d.array == SEQUENCE}
    assert windows <= {("G1", "P0"), ("G1", f"P{other}")}
    assert windows


@pytest.mark.parametrize("is_shared", [True, False])
def test_one_changed_base_with_valid_checksums_is_found(
    copy_of: Callable[..., Path], is_shared: bool
) -> None:
    store = copy_of("all")
    group: Any = zarr.open_group(store, mode="r+")
    ids = group["haplotype_id"][0]
    numbers, counts = np.unique(ids, return_counts=True)
    number = numbers[(counts > 1) == is_shared][0]
    person, haplotype = np.argwhere(ids == number)[-1]
    windows = group[SEQUENCE][0, person, haplotype]
    windows[13] ^= 0x30  # the high nibble: the second base of the byte
    group[SEQUENCE][0, person, haplotype] = windows
    here = f"{SEQUENCE}: gene G0, individual P{person}, haplotype {haplotype}, base 27: "
    assert (here + f"has haplotype_id {number}" in texts(verify_store(store, cells=0))) == is_shared
    report = verified(store)
    assert here + "is " in texts(report)
    assert "by bcftools consensus 1.16 and the slow path (1 bases differ)" in texts(report)
    assert report.as_dict()["differences"][-1] | {"message": ""} == {
        "array": SEQUENCE,
        "message": "",
        "gene": "G0",
        "individual": f"P{person}",
        "haplotype": haplotype,
        "base": 27,
    }


def test_a_changed_base_of_snps_is_found_in_every_window(copy_of: Callable[..., Path]) -> None:
    """No cell has to be drawn for that: a window differs from the reference at no more bases than variants."""
    store = copy_of("snps")
    group: Any = zarr.open_group(store, mode="r+")
    windows = group[SEQUENCE][:]
    same = (windows[2] == windows[2, :1, :1]).all(axis=(0, 1))
    at = int(np.flatnonzero(same)[0])
    windows[2, :, :, at] ^= 0x03
    group[SEQUENCE][:] = windows
    report = verify_store(store, cells=0)
    assert named(report) == {SEQUENCE}
    assert {difference.gene for difference in report.findings.differences} == {"G2"}
    assert "bases are not the reference's" in texts(report)


CHANGES: list[tuple[str, str, tuple[Any, ...], Any, str]] = [
    ("snps", "expression", (0, 1, 2), 9.5, "expression: gene G1, individual P2: is 9.5, but "),
    ("snps", "expression", (0, 2, 5), np.nan, "expression: gene G2, individual P5: is nan, but "),
    ("snps", "reference_sequence", (1, 3), 0, "reference_sequence: gene G1, base 6: is N, but "),
    ("snps", "haplotype_id", (0, 1, 0), 99, "haplotype_id: gene G0: is not in first-seen order"),
    (
        "snps",
        "haplotype_id",
        (0, 1, 0),
        -1,
        "haplotype_id: gene G0, individual P1, haplotype 0: is -1, no such",
    ),
    (
        "all",
        "variants_applied",
        (0, 3, 1),
        77,
        "variants_applied: gene G0, individual P3, haplotype 1: is 77, but",
    ),
    (
        "snps",
        "variants_skipped",
        (2, 3, 1),
        7,
        "variants_skipped: gene G2, individual P3, haplotype 1: is 7, but",
    ),
    (
        "snps",
        "genotypes_missing",
        (2, 3, 1),
        7,
        "genotypes_missing: gene G2, individual P3, haplotype 1: is 7",
    ),
    ("snps", "gene_name", (1,), "X", "gene_name: gene G1: is 'X', but "),
    ("snps", "gene", (1,), "X", "gene: gene X: is not in "),
    ("snps", "gene", (1,), "G0", "gene: a label stands there twice"),
    (
        "snps",
        "individual",
        (1,),
        "X",
        "individual: are not those of the genotype files and the sample table: X is in",
    ),
    ("snps", "population", (1,), "A", "population: individual P1: is 'A', but "),
    ("snps", "tss", (2,), 101, "tss: gene G2: is 101, but "),
    ("snps", "strand", (2,), "-", "strand: gene G2: is '-', but "),
    ("snps", "window_start", (2,), 5, "window_start: gene G2: is 5, which is not 20 before the TSS"),
    ("snps", "covered", (0,), 0.25, "covered: gene G0: is 0.25, but 1 of the window are within"),
    ("all", "reach_start", (0,), 45, "reach_start: gene G0, individual P0, haplotype 0: the reach is 45-"),
    ("all", "reference_contig", (0,), "chr9", "reference_contig: gene G0: chr9 is not in "),
    ("all", "tss_deleted", (0,), 12, "tss_deleted: gene G0: is 12, but 0 of the haplotypes made again lack"),
    ("snps", "built", (0,), False, "built: "),
    (
        "snps",
        "variants/variant_position",
        (2,),
        3,
        "variants/variant_position: row 2 comes before the row above it",
    ),
    (
        "snps",
        "variants/variant_contig",
        (1,),
        "chrX",
        "variants/variant_contig: the records of chr1 stand apart",
    ),
    ("snps", "variants/variant_id", (2,), "rs1", "variants/variant_id: row 2 is POS "),
    ("snps", "variants/variant_allele", (2, 1), "N", "variants/variant_allele: row 2 is POS "),
    ("snps", "variants/gene_variant_start", (1,), 0, "variants/gene_variant_start: gene G1: the rows are 0-"),
    ("all", "variants/gene_record_stop", (1,), 3, "variants/gene_record_stop: gene G1: the rows are "),
    ("all", "variants/call_genotype", (3, 4, 1), 1, "variants/call_genotype: individual P4: is ["),
    (
        "haploid",
        "variants/call_genotype",
        (-1, 0, 1),
        -2,
        "haplotype_id: gene G2, individual P0, haplotype 1: is ",
    ),
    ("all", "variants/call_skipped", (3, 4, 1), True, "variants/call_skipped: gene G"),
    ("iupac", "variants/call_genotype_phased", (3,), False, "variants/call_genotype_phased: individual P"),
    ("snps", "assay", (0,), "liver", "assay: is liver, but the config has expression"),
]


@pytest.mark.parametrize(("name", "array", "where", "value", "expected"), CHANGES)
def test_a_changed_value_is_found(
    copy_of: Callable[..., Path],
    name: str,
    array: str,
    where: tuple[Any, ...],
    value: Any,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    store = copy_of(name)
    group: Any = zarr.open_group(store, mode="r+")
    if where[0] == -1:
        where = (group[array].shape[0] - 1, *where[1:])
    assert (np.asarray(group[array][where]) != value).any()
    group[array][where] = value
    report = verified(store)
    assert expected in texts(report)


def test_changed_attributes_are_found(copy_of: Callable[..., Path]) -> None:
    store = copy_of()
    group: Any = zarr.open_group(store, mode="r+")
    config = dict(group.attrs["config"])
    group.attrs["config"] = config | {"filter": ["PASS", ".", "q10"]}
    report = verified(store)
    assert {"zarr.json", "variants/variant_position"} <= named(report)
    assert "are not those that the fingerprint was made of" in texts(report)
    assert "filter is ['PASS', '.'] in policies, but ['PASS', '.', 'q10'] in config" in texts(report)


def test_roles_and_classes_that_there_are_not_are_found(copy_of: Callable[..., Path]) -> None:
    store = copy_of()
    shape = seqstore.open_store(store).haplotype_id.shape[:2]
    seqstore.write_split(store, "main", split=np.ones(shape), gene_class=["unseen"] * shape[0])
    assert verified(store).is_sound
    group: Any = zarr.open_group(store, mode="r+")
    group["splits/main/split"][0, 0] = 9
    group["splits/main/gene_class"][1] = "nonsense"
    said = texts(verified(store))
    assert "splits/main/split: 9 is none of 0, 1, 2, 3" in said
    assert "splits/main/gene_class: nonsense is none of" in said


@pytest.mark.parametrize(
    ("name", "not_made"),
    [
        (
            "genotypes.vcf.gz",
            {
                *("random windows", "random records, with the calls of everyone", "covered of genes"),
                *("values of the individuals' coordinates", "labels of individuals"),
            },
        ),
        ("reference.fa", {"random windows", "reference_sequence of genes"}),
        ("genes.tsv", {"values of the genes' coordinates"}),
        ("expression.tsv", {"values of expression, assay expression"}),
        ("samples.tsv", {"values of the individuals' coordinates", "labels of individuals"}),
    ],
)
def test_changed_and_missing_inputs_are_named_and_not_compared(
    built: dict[str, Built], name: str, not_made: set[str]
) -> None:
    store, path = built["snps"].config.store, built["snps"].folder / name
    checks = {check.what for check in verify_store(store, cells=3).findings.checks}
    assert not_made <= checks
    intact = path.read_bytes()
    os.utime(path, (0, 0))
    assert verify_store(store, cells=3).is_sound, "only the date is another"
    try:
        path.write_bytes(intact + b"\n")
        report = verify_store(store, cells=3)
        assert named(report) == {str(path)}
        assert f"{path}: it was changed after the build" in texts(report)
        assert f"what is made of {path}: it was changed" in report.findings.left_out[0]
        assert checks - {check.what for check in report.findings.checks} == not_made
        path.unlink()
        report = verify_store(store, cells=3)
        assert report.is_sound
        assert report.findings.left_out == [f"what is made of {path}: there is no such file any more"]
        assert checks - {check.what for check in report.findings.checks} == not_made
    finally:
        path.write_bytes(intact)
        os.utime(path, (0, 0))


def test_without_any_input_a_store_is_compared_with_itself(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    config = cohort.config(store=str(cohort.folder.parent / "store.zarr"))
    build(config)
    shutil.rmtree(cohort.folder)
    report = verified(config.store)
    assert report.is_sound
    assert len(report.findings.left_out) == 5
    (Path(config.store) / "variants/call_genotype/c/0/0/0").unlink()
    assert named(verified(config.store)) == {"variants/call_genotype"}


def test_another_bcftools_that_disagrees_is_no_difference(
    built: dict[str, Built], tmp_path: Path, bcftools: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The overlap rule is that of one version; of another one only the slow path counts."""
    fake = tmp_path / "bcftools"
    fake.write_text(
        f"#!/bin/sh\nif [ $1 = --version ]; then echo bcftools 9.9; exit; fi\n"
        f'if [ $1 = consensus ]; then {bcftools} "$@" | tr A C; else exec {bcftools} "$@"; fi\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    report = verified(built["snps"].config.store)
    assert report.is_sound
    assert [text.split(":")[0] for text in report.findings.left_out] == [
        "some windows by bcftools consensus 9.9"
    ]
    fake.write_text(fake.read_text().replace("9.9", "1.16"))
    report = verified(built["snps"].config.store)
    assert "is A, but C by bcftools consensus 1.16 (" in texts(report)


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        run("seqstore", {"verify": cli.verify, "info": cli.info}, list(arguments))
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_the_command_line(copy_of: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    store = copy_of()
    assert status_of("verify", str(store), "--cells", "3", "--seed", "5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{store}: sound"
    assert any(line.startswith("random windows: 3 compared with ") for line in lines)
    assert status_of("verify", str(store), "--cells", "3", "--seed", "5", "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described["sound"]
    assert (described["cells"], described["seed"], described["differences"]) == (3, 5, [])
    group: Any = zarr.open_group(store, mode="r+")
    group["tss"][:] = 5
    assert status_of("verify", str(store), "--cells", "0") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{store}: 6 differences"
    assert sum(line.startswith("differs: tss: gene G") for line in lines) == 3
    assert status_of("verify", str(store), "--cells", "0", "--json") == 1
    described = json.loads(capsys.readouterr().out)
    assert described["n_differences"] == {"tss": 3, "window_start": 3}
    assert status_of("verify", str(store), "--cells", "-1") == 2
    assert "--cells -1: is negative" in capsys.readouterr().err
    assert status_of("verify", str(store / "nowhere")) == 2


def test_the_same_seed_draws_the_same_cells(copy_of: Callable[..., Path]) -> None:
    store = copy_of("all")
    group: Any = zarr.open_group(store, mode="r+")
    group["variants_applied"][:] += 1
    found = [texts(verify_store(store, cells=4, seed=seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert found[0].count("variants_applied") == 4


def test_more_differences_than_are_listed_are_counted(copy_of: Callable[..., Path]) -> None:
    store = copy_of("snps")
    group: Any = zarr.open_group(store, mode="r+")
    group["genotypes_missing"][:] += 1
    report = verified(store)
    assert report.findings.n_of["genotypes_missing"] == 72
    lines = report.lines()
    assert lines[-1] == f"{store}: 72 differences"


def test_an_unfinished_store_is_refused(copy_of: Callable[..., Path]) -> None:
    store = copy_of()
    zarr.open_group(store, mode="r+").attrs["status"] = "building"
    with pytest.raises(InputError, match="unfinished"):
        verified(store)
