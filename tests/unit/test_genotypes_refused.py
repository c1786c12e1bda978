"""Genotype files that cannot be used, and what is said about them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pysam
import pysam.bcftools
import pytest
import zarr

from seqstore.errors import InputError
from seqstore.genotypes import open_genotypes
from tests.unit.genotype_files import (
    DIPLOID,
    DIPLOID_READ,
    HEADER,
    all_of,
    as_read,
    to_vcf_zarr,
    write_text_vcf,
    write_tiny_pgen,
    write_tiny_vcf,
)


def refused(path: str) -> str:
    """What is said when a file is opened and read."""
    with pytest.raises(InputError) as error:
        all_of(open_genotypes(path))
    message = str(error.value)
    assert path.rsplit(".", 1)[0] in message, message
    assert "\n" not in message
    return message


def test_indexes(tmp_path: Path) -> None:
    path = write_tiny_vcf(tmp_path / "g.vcf.gz")
    index = Path(path + ".tbi")
    time = os.stat(path).st_mtime
    os.utime(index, (time - 100, time - 100))
    assert "is newer than its index g.vcf.gz.tbi; remake that with: bcftools index -f --tbi" in refused(path)
    index.write_bytes(b"not an index")
    assert "its index cannot be read; remake it with: bcftools index -f" in refused(path)
    index.unlink()
    assert f"has no index; make one with: bcftools index {path}" in refused(path)


@pytest.mark.parametrize(("stale", "fresh"), [("csi", "tbi"), ("tbi", "csi")])
def test_one_of_two_indexes_is_stale(stale: str, fresh: str, tmp_path: Path) -> None:
    """htslib reads the csi: had it been made of a shorter file, records would be missing."""
    path = write_tiny_vcf(tmp_path / "g.vcf.gz")
    pysam.bcftools.index("-f", "--csi", path, catch_stdout=False)
    time = os.stat(path).st_mtime
    os.utime(f"{path}.{stale}", (time - 100, time - 100))
    message = (
        f"is newer than its index g.vcf.gz.{stale}; remove {path}.{stale}, or remake that with: bcftools"
    )
    assert f"{message} index -f --{stale} {path}" in refused(path)
    Path(f"{path}.{stale}").unlink()
    assert all_of(open_genotypes(path))


def test_vcf_without_individuals_or_of_other_content(tmp_path: Path) -> None:
    header = [*HEADER[:-1], HEADER[-1].split("\tFORMAT")[0]]
    path = write_text_vcf(tmp_path / "sites.vcf.gz", ["chr1\t5\t.\tA\tC\t.\t.\t."], header=header)
    assert "holds no individuals" in refused(path)
    shutil.copy(path + ".tbi", tmp_path / "text.vcf.gz.tbi")
    (tmp_path / "text.vcf.gz").write_text("hello\n")
    assert "cannot be read as VCF or BCF" in refused(str(tmp_path / "text.vcf.gz"))


GOOD = "chr1\t5\t.\tA\tC\t.\t.\t.\tGT\t0|1\t0|0\t1|1"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            "chr1\t9\t.\tA\tC\t.\t.\t.\tGT\t0|x\t0|0\t1|1",
            "cannot be read after chr1:5 (error in vcf_parse)",
        ),
        (
            "chr1\t9\t.\tA\tC\t.\t.\t.\tGT\t0|1\t0|0",
            "cannot be read after chr1:5 (error in vcf_parse)",
        ),
        (
            "chr1\t9\t.\tA\tC\t.\t.\t.\tGT\t\t0|1\t0|0",
            "cannot be read after chr1:5 (error in vcf_parse)",
        ),
        ("chr1\t9\t.\tA\tC\t.\t.\t.\tDP\t1\t2\t3", "chr1:9 has no genotypes (GT)"),
        ("chr1\t9\t.\tA\tC\t.\t.\t.\tGT\t0|1|1\t0|0\t1", "chr1:9 has calls of ploidy 3; haploid and diploid"),
        ("chr1\t9\t.\tA\tC\t.\t.\t.\tGT\t0|1\t0|7\t1", "chr1:9 has 2 alleles but a call of allele 7"),
        ("chr1\t9\t.\tA\t.\t.\t.\t.\tGT\t0\t1\t0", "chr1:9 has 1 alleles but a call of allele 1"),
        (
            "chr1\t9\t.\tA\t" + ",".join("A" * n for n in range(2, 130)) + "\t.\t.\t.\tGT\t0|1\t0|128\t1",
            "chr1:9 has 129 alleles; up to 128 are read",
        ),
    ],
)
def test_records_that_cannot_be_read(bad: str, message: str, tmp_path: Path) -> None:
    lines = [GOOD, bad, GOOD.replace("\t5\t", "\t12\t")]
    path = write_text_vcf(tmp_path / "g.vcf.gz", lines)
    assert message in refused(path)
    source = open_genotypes(path)
    assert [r.position for r in source.records("chr1", 0, 5)] == [5], "the others can be read"
    assert [r.position for r in source.records("chr1", 9, 12)] == [12]


def test_128_alleles_are_read(tmp_path: Path) -> None:
    alternatives = ",".join("A" * n for n in range(2, 129))
    path = write_text_vcf(
        tmp_path / "g.vcf.gz", [f"chr1\t9\t.\tA\t{alternatives}\t.\t.\t.\tGT\t0|1\t0|127\t1"]
    )
    (record,) = open_genotypes(path).records("chr1", 0, 10)
    assert record.genotype.tolist() == [[0, 1], [0, 127], [1, -2]]


def test_pgen_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_pgen(tmp_path / "g.pgen")
    monkeypatch.setitem(sys.modules, "pgenlib", None)
    assert refused(path).endswith('need one more package; install it with: pip install "seqstore[pgen]"')


def test_pgen_companions(tmp_path: Path) -> None:
    path = write_tiny_pgen(tmp_path / "g.pgen")
    pvar, psam = tmp_path / "g.pvar", tmp_path / "g.psam"
    shutil.copy(pvar, tmp_path / "g.pvar.zst")
    assert "g.pvar.zst; both stand there" in refused(path)
    pvar.unlink()
    assert "g.pvar.zst: cannot be read" in refused(path), "it is not compressed"
    (tmp_path / "g.pvar.zst").unlink()
    assert "g.pvar.zst; neither stands there" in refused(path)
    write_tiny_pgen(tmp_path / "g.pgen", zstd=True)
    whole = (tmp_path / "g.pvar.zst").read_bytes()
    (tmp_path / "g.pvar.zst").write_bytes(whole[: len(whole) // 2])
    assert "g.p" in refused(path)
    (tmp_path / "g.pvar.zst").unlink()
    write_tiny_pgen(tmp_path / "g.pgen")
    psam.write_text(psam.read_text() + "F\td\tNA\n")
    assert "cannot be read with its .pvar and .psam" in refused(path)
    psam.write_text(psam.read_text().replace("\td\t", "\ta\t"))
    psam.write_text("a b c d e f\n")
    assert "g.psam: has no header line that begins with #IID, or with #FID IID" in refused(path)
    psam.write_text("#FID\tIID\nF\ta\nF\n")
    assert "g.psam: individual 2 has no IID" in refused(path)
    psam.write_text("#IID\na\nb\na\n")
    assert "g.pgen: individual a is named 2 times" in refused(path)
    psam.write_bytes(b"#IID\na\nb\nZo\xe9\n")
    assert "g.psam: cannot be read as a .psam file ('utf-8' codec" in refused(path)
    psam.write_bytes("\ufeff#IID\r\na\r\nb\r\nZoé\r\n".encode())
    assert open_genotypes(path).individuals == ("a", "b", "Zoé")
    psam.unlink()
    assert "g.psam, which is not there" in refused(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "#CHROM\tPOS\tID\tREF",
            "chr1\t1\trs\tA",
            "has no header line that begins with #CHROM POS ID REF ALT",
        ),
        ("\t22\trs4", "\t9\trs4", "contig chr1 is not sorted (POS 9 comes after 22); sort them with: plink2"),
        ("chr1\t20", "chr2\t20", "the variants of contig chr1 stand apart"),
        ("chr1\t20", "chr1\tx", "variant 2 does not fit the header line"),
        ("\tT\t.\tPASS\tA=1 2;B", "", "variant 3 does not fit the header line"),
        ("chr2\t7", "##chr2\t7", "cannot be read with its .pvar and .psam"),
        ("A,C,G", "A,C", "variants 5-5 cannot be read"),
    ],
)
def test_pvar_content(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = write_tiny_pgen(tmp_path / "g.pgen")
    pvar = tmp_path / "g.pvar"
    text = pvar.read_text()
    assert old in text
    pvar.write_text(text.replace(old, new, 1))
    assert message in refused(path)


@pytest.mark.parametrize(("old", "new"), [("chr2", "chr\xe9"), ("rs5", "rs\xe9")])
def test_pvar_is_utf_8(old: str, new: str, tmp_path: Path) -> None:
    path = write_tiny_pgen(tmp_path / "g.pgen")
    pvar = tmp_path / "g.pvar"
    text = pvar.read_text().replace(old, new)
    pvar.write_text(text, encoding="latin1")
    assert "g.pvar: variant 5 is no UTF-8 text; convert the file with: iconv" in refused(path)
    pvar.write_text(text, encoding="utf-8")
    assert new in all_of(open_genotypes(path))[-1]
    pvar.write_text(text.replace(new, old).replace("A=1", "A=\xe9"), encoding="latin1")
    assert all_of(open_genotypes(path)) == DIPLOID_READ, "INFO is not read"


def test_pvar_without_filter_is_pass(tmp_path: Path) -> None:
    path = write_tiny_pgen(tmp_path / "g.pgen")
    pvar, psam = tmp_path / "g.pvar", tmp_path / "g.psam"
    rows = [line.split("\t") for line in pvar.read_text().splitlines() if not line.startswith("##")]
    pvar.write_text("\n".join(" ".join(row[:5]) for row in rows) + "\n")
    psam.write_text("## a comment\n#IID SID\na 1\nb 1\nc 1\n")
    source = open_genotypes(path)
    assert source.individuals == ("a", "b", "c")
    assert all_of(source) == [(*record[:4], ("PASS",), *record[5:]) for record in DIPLOID_READ]


@pytest.mark.parametrize("contig", ["X", "chrY", "MT", "chrM"])
def test_pgen_does_not_say_who_is_haploid(contig: str, tmp_path: Path) -> None:
    """PLINK 2 stores a man's call on X as a homozygous one, and a woman's on Y as missing."""
    lines = [(name, 5, "x", "A", "C", "PASS", "0|1 1|1 .|.") for name in ("1", contig)]
    source = open_genotypes(write_tiny_pgen(tmp_path / "g.pgen", lines))
    assert (source.contigs, source.span("1")) == (("1", contig), (5, 5))
    assert len(as_read(source.records("1", 0, 9))) == 1
    reads = (source.span, lambda c: list(source.records(c, 0, 9)), lambda c: source.first_reaching(c, 5))
    for read in reads:
        with pytest.raises(
            InputError, match=rf"g\.pgen: contig {contig}: .* haploid; give VCF, BCF or VCF Zarr"
        ):
            read(contig)


def test_a_pgen_that_is_cut_off(tmp_path: Path) -> None:
    lines = [("chr1", 5 + i, "x", "A", "C", "PASS", "0|1 1|0 0|0") for i in range(500)]
    path = Path(write_tiny_pgen(tmp_path / "g.pgen", lines))
    whole = path.read_bytes()
    source = open_genotypes(str(path))
    for size in (5, 12, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "cannot be read" in refused(str(path))
        with pytest.raises(InputError, match="cannot be read"):
            all_of(source)


@pytest.fixture
def group(tmp_path: Path) -> tuple[str, zarr.Group]:
    path = to_vcf_zarr(write_tiny_vcf(tmp_path / "v.vcf.gz"), tmp_path / "g.vcz")
    return path, zarr.open_group(path, mode="r+")


@pytest.mark.parametrize("name", ["call_genotype", "sample_id", "variant_position", "variant_allele"])
def test_vcf_zarr_without_an_array(name: str, group: tuple[str, zarr.Group]) -> None:
    del group[1][name]
    assert f"g.vcz: is no VCF Zarr group (has no {name})" in refused(group[0])


def test_folders_that_are_no_vcf_zarr(tmp_path: Path) -> None:
    assert "is no VCF Zarr group" in refused(str(tmp_path))
    (tmp_path / "a.vcz").write_text("a file")
    assert "no such folder" in refused(str(tmp_path / "a.vcz"))
    zarr.create_array(str(tmp_path / "array.zarr"), shape=(1,), dtype="int8")
    assert "is no VCF Zarr group" in refused(str(tmp_path / "array.zarr"))


def spoil_sorting(arrays: zarr.Group) -> None:
    arrays["variant_position"][1] = 99


def spoil_contigs(arrays: zarr.Group) -> None:
    arrays["variant_contig"][0] = 1


def spoil_contig_index(arrays: zarr.Group) -> None:
    arrays["variant_contig"][4] = 3


def spoil_contig_below(arrays: zarr.Group) -> None:
    arrays["variant_contig"][4] = -1


def spoil_calls(arrays: zarr.Group) -> None:
    arrays["call_genotype"][2, 1] = [0, 5]


def spoil_shape(arrays: zarr.Group) -> None:
    arrays["sample_id"].resize((2,))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_sorting, "contig chr1 is not sorted (POS 22 comes after 99); sort the VCF"),
        (spoil_contigs, "the records of contig chr2 stand apart"),
        (spoil_contig_index, "g.vcz: row 4 has variant_contig 3, which is none of the 3 of contig_id"),
        (spoil_contig_below, "g.vcz: row 4 has variant_contig -1, which is none of the 3 of contig_id"),
        (spoil_calls, "g.vcz: chr1:22 has 2 alleles but a call of allele 5"),
        (spoil_shape, "call_genotype has shape (8, 3, 2), not (8, 2) and a ploidy"),
    ],
)
def test_vcf_zarr_content(
    spoil: Callable[[zarr.Group], None], message: str, group: tuple[str, zarr.Group]
) -> None:
    spoil(group[1])
    assert message in refused(group[0])


def test_vcf_zarr_of_higher_ploidy(tmp_path: Path) -> None:
    lines = [DIPLOID[0], ("chr1", 50, ".", "A", "C", ".", "0|0|1 0|1 1")]
    path = to_vcf_zarr(write_tiny_vcf(tmp_path / "v.vcf.gz", lines), tmp_path / "g.vcz")
    assert "POS 50 (row 1) has calls of ploidy 3 or more" in refused(path)
    assert [r.position for r in open_genotypes(path).records("chr1", 0, 49)] == [10]


def test_a_damaged_vcf_zarr(group: tuple[str, zarr.Group]) -> None:
    chunk = Path(group[0]) / "call_genotype" / "0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:10])
    assert "g.vcz: rows 0-1 cannot be read" in refused(group[0])


def test_a_vcf_zarr_that_lost_positions(group: tuple[str, zarr.Group]) -> None:
    (Path(group[0]) / "variant_position" / "1").unlink()
    assert "g.vcz/variant_position/1: this chunk file is missing" in refused(group[0])


def test_vcf_zarr_with_little_in_it(tmp_path: Path) -> None:
    """Haploid, text as fixed-width bytes, contigs and people with numbers for names, nothing that may be left out."""
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w", zarr_format=2)
    columns = {
        "contig_id": np.array([1]),
        "sample_id": np.array([7, 8]),
        "variant_contig": np.array([0, 0]),
        "variant_position": np.array([5, 9]),
        "variant_allele": np.array([[b"A", b"C"], [b"GT", b""]]),
        "call_genotype": np.array([[[0], [1]], [[-1], [0]]], dtype=np.int8),
    }
    for name, values in columns.items():
        group.create_array(name, data=values)
    assert all_of(open_genotypes(str(tmp_path / "g.zarr"))) == [
        ("1", 5, "", ("A", "C"), ("PASS",), [[0, -2], [1, -2]], [True, True]),
        ("1", 9, "", ("GT",), ("PASS",), [[-1, -2], [0, -2]], [True, True]),
    ]
    assert open_genotypes(str(tmp_path / "g.zarr")).individuals == ("7", "8")
    del group["call_genotype"]
    group.create_array("call_genotype", data=np.array([[[0, 1], [-2, -2]], [[0, -2], [0, 0]]], dtype=np.int8))
    records = all_of(open_genotypes(str(tmp_path / "g.zarr")))
    assert [record[5:] for record in records] == [
        ([[0, 1], [-1, -2]], [False, True]),
        ([[0, -2], [0, 0]], [True, False]),
    ]
