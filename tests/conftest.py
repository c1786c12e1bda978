"""Small cohorts as files, and what every test may use."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import pytest

import seqstore.build
import seqstore.earlier
import seqstore.earlier_records
import seqstore.layout
import seqstore.spool
import seqstore.store
from seqstore.config import BuildConfig

Call = tuple[str, int, str, str, str, Sequence[str]]  # contig, POS, REF, ALT, FILTER, genotypes


@dataclass(frozen=True)
class Cohort:
    """Input files of a build, made for a test."""

    folder: Path
    contigs: dict[str, str]
    people: list[str]

    def config(self, **changes: Any) -> BuildConfig:
        samples = self.folder / "samples.tsv"
        keys: dict[str, Any] = {
            "genotypes": str(self.folder / "genotypes.vcf.gz"),
            "reference": str(self.folder / "reference.fa"),
            "genes": str(self.folder / "genes.tsv"),
            "expression": str(self.folder / "expression.tsv"),
            "samples": str(samples) if samples.exists() else None,
            "store": str(self.folder / "store.zarr"),
            "length": 200,
            "reference_margin": 32,
            "workers": 1,
        }
        return BuildConfig(**(keys | changes))


def hashes(store: str | Path) -> dict[str, str]:
    """The content of every file of a store by its path in it."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(store).rglob("*"))
        if path.is_file()
    }


def write_vcf(path: Path, contigs: dict[str, str], people: Sequence[str], calls: Sequence[Call]) -> None:
    lines = ["##fileformat=VCFv4.2", '##FILTER=<ID=q10,Description="low">']
    lines += [f"##contig=<ID={name},length={len(sequence)}>" for name, sequence in contigs.items()]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines += ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *people])]
    lines += [
        "\t".join([contig, str(position), f"v{position}", ref, alt, ".", flag, ".", "GT", *genotypes])
        for contig, position, ref, alt, flag, genotypes in calls
    ]
    plain = path.with_suffix("")
    plain.write_text("\n".join(lines) + "\n")
    pysam.tabix_compress(str(plain), str(path), force=True)
    pysam.tabix_index(str(path), preset="vcf", force=True)
    plain.unlink()


def write_cohort(
    folder: Path,
    contigs: dict[str, str],
    people: Sequence[str],
    calls: Sequence[Call],
    genes: Sequence[tuple[str, int]],
) -> Cohort:
    """The input files of a cohort: ``genes`` are the contig and the 1-based TSS of G0, G1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reference.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in contigs.items()))
    write_vcf(folder / "genotypes.vcf.gz", contigs, people, calls)
    rows = [f"G{number}\t{contig}\t{tss}\t+\n" for number, (contig, tss) in enumerate(genes)]
    (folder / "genes.tsv").write_text("gene\tcontig\ttss\tstrand\n" + "".join(rows))
    rows = [f"G{number}" + "\t1.5" * len(people) + "\n" for number in range(len(genes))]
    (folder / "expression.tsv").write_text("gene\t" + "\t".join(people) + "\n" + "".join(rows))
    return Cohort(folder, contigs, list(people))


def random_snps(
    rng: np.random.Generator, contigs: dict[str, str], n_people: int, every: int, missing: float = 0.0
) -> list[Call]:
    """SNP records, some multi-allelic and some twice at one position."""
    calls: list[Call] = []
    for contig, sequence in contigs.items():
        for position in np.sort(rng.choice(len(sequence), len(sequence) // every)) + 1:
            ref = sequence[position - 1].upper()
            alts = rng.permutation([base for base in "ACGT" if base != ref])[: rng.choice([1, 1, 1, 2, 3])]
            allele = rng.integers(0, len(alts) + 1, (n_people, 2)) * (rng.random((n_people, 2)) < 0.5)
            text = np.where(rng.random(allele.shape) < missing, ".", allele.astype(str))
            calls.append(
                (contig, int(position), ref, ",".join(alts), "PASS", ["|".join(pair) for pair in text])
            )
    return calls


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., Cohort]:
    """Write a cohort: two contigs, four genes, SNPs at random unless ``calls`` are given."""

    def make(
        *, n_people: int = 6, calls: Sequence[Call] | None = None, missing: float = 0.0, seed: int = 1
    ) -> Cohort:
        rng = np.random.default_rng(seed)
        contigs = {name: "".join(rng.choice(list("ACGTacgt"), 1000)) for name in ("chr1", "chr2")}
        people = [f"P{i}" for i in range(n_people)]
        folder = tmp_path / "cohort"
        folder.mkdir()
        (folder / "reference.fa").write_text("".join(f">{n}\n{s}\n" for n, s in contigs.items()))
        records = random_snps(rng, contigs, n_people, 12, missing) if calls is None else calls
        write_vcf(folder / "genotypes.vcf.gz", contigs, people, records)
        (folder / "genes.tsv").write_text(
            "gene\tgene_name\tcontig\ttss\tstrand\tnote\n"
            "G1\tONE\tchr1\t300\t+\tx\nG2\tTWO\tchr1\t350\t-\ty\nG3\tTHREE\tchr2\t500\t+\t\nG4\tFOUR\tchr2\t930\t-\tz\n"
        )
        values = rng.normal(size=(3, n_people)).round(3)
        rows = [f"G{i + 1}.7\t" + "\t".join(map(str, row)) for i, row in enumerate(values)]
        rows[0] = rows[0].replace("G1.7", "ONE")
        rows[1] = rows[1].replace("G2.7", "G2")
        rows[2] = rows[2].replace("G3.7", "THREE")
        (folder / "expression.tsv").write_text("gene\t" + "\t".join(people) + "\n" + "\n".join(rows) + "\n")
        populations = "".join(f"{person}\t{'AB'[i % 2]}\t{20 + i}\n" for i, person in enumerate(people))
        (folder / "samples.tsv").write_text("sample\tpopulation\tage\n" + populations)
        return Cohort(folder, contigs, people)

    return make


@pytest.fixture
def set_chunks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets sizes of chunks (individuals, variants, genes, sites) in every module that uses them."""

    def change(**sizes: int) -> None:
        for what, size in sizes.items():
            name = f"{what.upper()}_IN_CHUNK"
            for module in (
                *(seqstore.layout, seqstore.spool, seqstore.build, seqstore.store),
                *(seqstore.earlier, seqstore.earlier_records),
            ):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, size)

    return change


@pytest.fixture(scope="session")
def bcftools() -> str:
    """Path of bcftools; a test that needs it skips without it, except in CI."""
    found = shutil.which("bcftools")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("bcftools is not installed; CI needs it")
        pytest.skip("bcftools is not installed")
    return found
