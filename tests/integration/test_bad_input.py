"""What a user gets for bad input: one line that says where and what to do, exit code 2, nothing written."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from seqstore.cli import build, info
from seqstore.commands import run
from tests.conftest import Cohort, write_vcf

MakeCohort = Callable[..., Cohort]


def refusal(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    """The line that a command prints as it refuses."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run("seqstore", {"build": build, "info": info}, [str(argument) for argument in arguments])
    lines = capsys.readouterr().err.strip().split("\n")
    assert stopped.value.code == 2, lines
    assert lines[-1].startswith("error: ")
    assert not any(line.startswith(("Traceback", "error")) for line in lines[:-1])
    return lines[-1]


class Build:
    """Runs `seqstore build` on a cohort after one thing was spoilt."""

    def __init__(self, cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.cohort, self.capsys = cohort.folder, cohort, capsys
        config = cohort.config()
        self.keys = {
            key: getattr(config, key)
            for key in (
                "genotypes",
                "reference",
                "genes",
                "expression",
                "samples",
                "store",
                "length",
                "workers",
            )
        }

    def refused(self, *options: str, **changes: object) -> str:
        path = self.folder / "build.yaml"
        path.write_text(yaml.safe_dump(self.keys | changes))
        before = sorted(self.folder.iterdir())
        line = refusal(self.capsys, ["build", "--config", str(path), *options])
        indexes = set(self.folder.glob("*.fai"))  # pyfaidx writes them
        assert set(self.folder.iterdir()) - indexes == set(before) - indexes, "nothing is written"
        return line


@pytest.fixture
def spoilt(make_cohort: MakeCohort, capsys: pytest.CaptureFixture[str]) -> Build:
    return Build(make_cohort(), capsys)


def test_genotype_files(spoilt: Build) -> None:
    assert "nope.vcf.gz: no such genotype file" in spoilt.refused(
        genotypes=str(spoilt.folder / "nope.vcf.gz")
    )
    assert "no genotype file matches" in spoilt.refused(genotypes=str(spoilt.folder / "*.bcf"))
    twice = [str(spoilt.folder / "genotypes.vcf.gz"), str(spoilt.folder / "again.vcf.gz")]
    for ending in ("", ".tbi"):
        shutil.copy(twice[0] + ending, twice[1] + ending)
    assert "contig chr1 stands in" in spoilt.refused(genotypes=twice)
    (spoilt.folder / "again.vcf.gz.tbi").unlink()
    line = spoilt.refused(genotypes=twice[1])
    assert "has no index" in line
    assert "bcftools index" in line
    with gzip.open(spoilt.folder / "text.vcf.gz", "wt") as file:
        file.write("hello\n")
    shutil.copy(twice[0] + ".tbi", spoilt.folder / "text.vcf.gz.tbi")
    assert "cannot be read as VCF or BCF" in spoilt.refused(genotypes=str(spoilt.folder / "text.vcf.gz"))


def test_damaged_genotypes(spoilt: Build) -> None:
    path = spoilt.folder / "genotypes.vcf.gz"
    intact = path.read_bytes()
    times = path.stat().st_mtime_ns
    for share in (0.3, 0.6, 0.8):
        damaged = bytearray(intact)
        damaged[int(len(intact) * share)] ^= 0xFF
        path.write_bytes(damaged)
        os.utime(path, ns=(times, times))
        for workers in (1, 2):
            line = spoilt.refused(workers=workers)
            assert "genotypes.vcf.gz: cannot be read" in line
    path.write_bytes(intact)
    os.utime(path, ns=(times + 10**10, times + 10**10))
    assert "is newer than its index genotypes.vcf.gz.tbi; remake that with" in spoilt.refused()


def test_a_lone_dot_is_a_missing_call(spoilt: Build) -> None:
    base = spoilt.cohort.contigs["chr1"][299].upper()
    call = ("chr1", 300, base, "A" if base != "A" else "C", "PASS", ["0|1", "."] * 3)
    write_vcf(spoilt.folder / "genotypes.vcf.gz", spoilt.cohort.contigs, spoilt.cohort.people, [call])
    assert "chr1:300: the call of P1 is missing" in spoilt.refused(missing="error")


def test_reference(spoilt: Build) -> None:
    assert "no such reference" in spoilt.refused(reference=str(spoilt.folder / "nope.fa"))
    (spoilt.folder / "other.fa").write_text(">scaffold\nACGT\n")
    line = spoilt.refused(reference=str(spoilt.folder / "other.fa"))
    assert "other.fa: has none of the genes' contigs (chr1, chr2)" in line


def test_a_reference_that_disagrees_with_ref_alleles(spoilt: Build) -> None:
    sequence = spoilt.cohort.contigs
    changed = {
        name: "".join("T" if base in "Aa" else base for base in bases) for name, bases in sequence.items()
    }
    (spoilt.folder / "reference.fa").write_text("".join(f">{n}\n{s}\n" for n, s in changed.items()))
    line = spoilt.refused()
    assert "genotypes.vcf.gz: chr1:" in line
    assert "REF is A but" in line
    assert "has T there" in line
    assert "wrong genome build?" in line


def test_genes(spoilt: Build) -> None:
    genes = spoilt.folder / "genes.tsv"
    table = genes.read_text()
    for old, new, expected in (
        ("\t930\t", "\t1001\t", "TSS of gene G4, chr2:1001, is off its contig (1000 bases"),
        ("\t930\t", "\t0\t", "gene G4 has TSS"),
        ("\t930\t", "\tmiddle\t", "gene G4 has TSS 'middle'"),
        ("930\t-", "930\t-1", "gene G4 has strand '-1'; use + or -"),
        ("G4", "G1", "gene 'G1' stands there more than once"),
        ("\ttss\t", "\tstart\t", "no column 'tss'"),
        ("chr", "scaffold", "has none of the genes' contigs"),
        ("\tnote", "\tcovered", "the column 'covered' has a name that the store uses"),
        ("\tnote", "\tpopulation", "the column 'population' has a name"),
    ):
        genes.write_text(table.replace(old, new))
        assert expected in spoilt.refused(), (old, new)
    genes.write_text(
        table.replace("note", "build")
        .replace("\tx\n", "\tGRCh37\n")
        .replace("y\n", "\n")
        .replace("z\n", "\n")
    )
    line = spoilt.refused(build="hg38")
    assert "in build GRCh37, but the config's build is hg38" in line
    gtf = spoilt.folder / "genes.gtf"
    gtf.write_text(
        "##description: evidence-based annotation of the human genome (GRCh37), version 19\n"
        'chr1\tHAVANA\tgene\t300\t600\t.\t+\t.\tgene_id "G1"; gene_name "ONE";\n'
    )
    assert "in build GRCh37, but" in spoilt.refused(genes=str(gtf), build="GRCh38")
    assert "no such gene table" in spoilt.refused(genes=str(spoilt.folder / "none.tsv"))


def test_people_and_expression(spoilt: Build) -> None:
    expression, samples = spoilt.folder / "expression.tsv", spoilt.folder / "samples.tsv"
    values, people = expression.read_text(), samples.read_text()
    expression.write_text(values.replace("\tP", "\tQ"))
    line = spoilt.refused()
    assert "expression.tsv: none of its individuals (Q0, Q1, Q2, …) is genotyped in" in line
    expression.write_text(values.replace("P1", "P0"))
    assert "column 'P0' stands there more than once" in spoilt.refused()
    expression.write_text(values.replace("ONE", "X1").replace("G2", "X2").replace("THREE", "X3"))
    assert "none of its genes (X1, X2, X3) is in" in spoilt.refused()
    expression.write_text(values.replace("\tP0\t", "\t").replace("gene\t", "", 1))
    assert "line 2 has 7 columns, but the header names 5" in spoilt.refused()
    first = values.split("\n")[1].split("\t")[1]
    expression.write_text(values.replace(first, "lots"))
    assert "is not a finite number" in spoilt.refused()
    expression.write_text(values)
    samples.write_text(people.replace("P", "Q"))
    assert "samples.tsv: none of its individuals (Q0, Q1, Q2, …) is genotyped" in spoilt.refused()
    samples.write_text(people.replace("sample", "who"))
    assert "no column 'individual' or 'sample'" in spoilt.refused()
    samples.write_text(people.replace("P1\tB", "P0\tB"))
    assert "individual 'P0' stands there more than once" in spoilt.refused()
    samples.write_text(people.replace("P5\tB\t25\n", ""))
    assert "require_all" in spoilt.refused(require_all=True)


def test_calls_that_a_policy_refuses(spoilt: Build) -> None:
    base = spoilt.cohort.contigs["chr1"][299].upper()
    snp = "A" if base != "A" else "C"
    everything = {"variants": "all"}
    iupac = {"unphased": "iupac"}
    no_code = "the call of P1 is not phased and no SNP, which has no IUPAC code"
    for alts, genotypes, changes, expected in (
        (snp, ["0|1", "0/1", "0|0"], {}, "the call of P1 is not phased; phase the genotypes"),
        (snp, ["0|1", "1/.", "0|0"], {}, "the call of P1 is not phased"),
        (snp, ["0|1", "0|1", ".|."], {"missing": "error"}, "the call of P2 is missing"),
        (snp, ["0|1", "0|.", "0|0"], {"missing": "error"}, "the call of P1 is missing"),
        (snp, ["0|1", ".", "0|0"], {"missing": "error"}, "the call of P1 is missing"),
        (f"{base}GG", ["0|1", "0/1", "0|0"], everything | iupac, no_code),
        (f"{snp},{base}GG", ["0|1", "1/2", "0/1"], everything | iupac, no_code),
        (f"{base}GG", ["0|1", "0/1", "0|0"], everything, "the call of P1 is not phased; phase"),
        (",".join([snp] * 112), ["0|1", "0|0", "0|0"], {}, "has 113 alleles; up to 112 are read"),
    ):
        calls = [("chr1", 300, base, alts, "PASS", genotypes * 2)]
        write_vcf(spoilt.folder / "genotypes.vcf.gz", spoilt.cohort.contigs, spoilt.cohort.people, calls)
        line = spoilt.refused(**changes)
        assert f"genotypes.vcf.gz: chr1:300: {expected}" in line
        assert "(" not in line, "one record only"


def test_calls_that_policies_let_pass(spoilt: Build) -> None:
    """What is refused above is read where it makes no difference."""
    from seqstore.build import build as build_store

    base = spoilt.cohort.contigs["chr1"][299].upper()
    snp = "A" if base != "A" else "C"
    for number, (alts, genotypes, changes) in enumerate(
        (
            (snp, ["0|1", "1", "1/1"], {"unphased": "error"}),
            (snp, ["0|1", "1", "."], {"missing": "reference"}),
            (f"{snp},{base}GG", ["0|2", "0/1", "2/2"], {"unphased": "iupac", "variants": "all"}),
            (f"{snp},{base}GG", ["0|2", "0/2", "1/2"], {"unphased": "iupac"}),
        )
    ):
        calls = [("chr1", 300, base, alts, "PASS", genotypes * 2)]
        write_vcf(spoilt.folder / "genotypes.vcf.gz", spoilt.cohort.contigs, spoilt.cohort.people, calls)
        build_store(spoilt.cohort.config(store=str(spoilt.folder / f"{number}.zarr"), **changes))


def test_several_refused_records_are_counted(spoilt: Build) -> None:
    calls = []
    for position in (290, 300, 310):
        base = spoilt.cohort.contigs["chr1"][position - 1].upper()
        calls.append(("chr1", position, base, "A" if base != "A" else "C", "PASS", ["0/1", "0|0"] * 3))
    write_vcf(spoilt.folder / "genotypes.vcf.gz", spoilt.cohort.contigs, spoilt.cohort.people, calls)
    assert "chr1:290: the call of P0 is not phased" in (line := spoilt.refused())
    assert line.endswith("(3 such records)")


def test_ref_alleles_longer_than_a_base(spoilt: Build) -> None:
    bases = spoilt.cohort.contigs["chr1"].upper()
    for position, ref, expected in (
        (300, bases[299:304] + ("A" if bases[304] != "A" else "C"), "REF is"),
        (900, bases[899:] + "A", "which reaches past the contig's end in"),
        (300, "A" * 30, "AAAAAAAAAAAAAAAAA… (30 bases) but"),
    ):
        calls = [("chr1", position, ref, ref[0], "PASS", ["0|1"] * 6)]
        write_vcf(spoilt.folder / "genotypes.vcf.gz", spoilt.cohort.contigs, spoilt.cohort.people, calls)
        line = spoilt.refused(variants="all")
        assert f"chr1:{position}: REF is" in line
        assert expected in line


def test_config(spoilt: Build) -> None:
    assert "does not accept option 'lenght'" in spoilt.refused(lenght=3)
    for key, value, expected in (
        ("length", 201, "length: 201 is not a positive even number"),
        ("length", 0, "length: 0 is not"),
        ("length", "long", "length"),
        ("missing", "guess", "missing"),
        ("variants", "indels", "variants"),
        ("unphased", "guess", "unphased"),
        ("workers", -1, "workers: -1 is negative"),
        ("min_covered", 2, "min_covered: 2.0 is not a share"),
        ("reference_margin", 3, "reference_margin: 3 is not an even number"),
        ("expression", {}, "expression: names no table"),
        ("genotypes", [], "genotypes: names no file"),
        ("filter", [], "filter: would leave out every record"),
        ("filter", ["q10"], "no variant is left in any window"),
        ("length", None, "length"),
        ("store", str(spoilt.folder / "genes.tsv" / "x.zarr"), "genes.tsv: is a file, not a folder"),
    ):
        assert expected in spoilt.refused(**{key: value})
    assert "less than min_covered 0.99" in spoilt.refused("--min_covered", "0.99")
    assert "less than min_covered 0.99" in spoilt.refused("--min-covered=0.99")
    assert "reference" in spoilt.refused(reference=None)
    (spoilt.folder / "build.yaml").write_text("a: [\n")
    assert "build.yaml" in refusal(spoilt.capsys, ["build", "--config", str(spoilt.folder / "build.yaml")])
    assert "does not exist" in refusal(spoilt.capsys, ["build", "--config", str(spoilt.folder / "no.yaml")])


def test_an_output_that_exists(spoilt: Build) -> None:
    store = Path(str(spoilt.keys["store"]))
    store.mkdir()
    (store / "notes.txt").write_text("mine")
    assert "something that is not a store stands there" in spoilt.refused()
    (store / "notes.txt").unlink()  # an empty folder is in nobody's way
    from seqstore.build import build as build_store

    build_store(spoilt.cohort.config(length=180))
    before = sorted(store.rglob("*"))
    assert "a finished store stands there already" in spoilt.refused()
    assert sorted(store.rglob("*")) == before


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no store here" in refusal(capsys, ["info", str(tmp_path)])
    assert "no store here" in refusal(capsys, ["info", str(tmp_path / "no")])
    import zarr

    zarr.create_group(tmp_path / "other.zarr")
    assert "not a seqstore store" in refusal(capsys, ["info", str(tmp_path / "other.zarr")])
