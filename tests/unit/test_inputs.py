from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest

from seqstore.contigs import canonical_build, pseudoautosomal_regions, reconcile
from seqstore.errors import InputError
from seqstore.expression import match_genes, read_expression
from seqstore.genes import read_genes, strip_version
from seqstore.genotypes import ABSENT, open_genotypes
from seqstore.individuals import read_individuals
from seqstore.nucleotides import decode
from seqstore.reference import Reference
from seqstore.scales import z_scores
from seqstore.tables import as_coordinate
from tests.conftest import Cohort, write_vcf

CONTIGS = {"chr1": "ACGTNacgtnRYACGTACGT", "chr2": "TTTTTTTTTT"}


def test_contigs_and_builds_have_several_names() -> None:
    assert reconcile("20", ["chr20", "chr2"]) == "chr20"
    assert reconcile("chr20", ["20"]) == "20"
    assert reconcile("chrM", ["MT"]) == "MT"
    assert reconcile("MT", ["chrM"]) == "chrM"
    assert reconcile("chr20", ["chr2"]) is None
    assert canonical_build("hg38") == canonical_build("GRCh38.p14") == "GRCh38"
    for name in ("hg19", "b37", "hs37d5", "GRCh37.p13", "human_g1k_v37"):
        assert canonical_build(name) == "GRCh37"
    for name in ("NCBI38", "hs38DH", "Homo_sapiens_assembly38"):
        assert canonical_build(name) == "GRCh38"
    for name in ("T2T-CHM13v2.0", "CHM13v2.0", "hs1"):
        assert canonical_build(name) == "T2T-CHM13"
        assert set(pseudoautosomal_regions("chrX", name)) == {"PAR1", "PAR2"}
    assert canonical_build("mm10") == "mm10"


def test_a_gtf_gives_genes_with_the_tss_of_their_strand(tmp_path: Path) -> None:
    path = tmp_path / "genes.gtf.gz"
    with gzip.open(path, "wt") as file:
        file.write(
            "##description: annotation of the human genome (GRCh38), version 45\n"
            'chr1\tX\tgene\t100\t900\t.\t+\t.\tgene_id "ENSG00000000001.5"; gene_type "coding"; gene_name "A";\n'
            'chr1\tX\ttranscript\t100\t900\t.\t+\t.\tgene_id "ENSG00000000001.5"; transcript_id "T";\n'
            'chr2\tX\tgene\t100\t900\t.\t-\t.\tgene_id "ENSG00000000002.1"; gene_type "lncRNA";\n'
        )
    genes = read_genes(path, build="hg38")
    assert genes["gene"].tolist() == ["ENSG00000000001", "ENSG00000000002"]
    assert genes["gene_name"].tolist() == ["A", "ENSG00000000002"]
    assert genes["tss"].tolist() == [100, 900]
    assert genes["gene_type"].tolist() == ["coding", "lncRNA"]


def test_a_gff3_names_genes_by_id(tmp_path: Path) -> None:
    path = tmp_path / "genes.gff3"
    path.write_text(
        "##gff-version 3\n1\te\tgene\t10\t20\t.\t-\t.\tID=gene:ENSG00000000003;Name=C;biotype=x\n"
    )
    genes = read_genes(path)
    assert genes[["gene", "gene_name", "contig", "tss"]].values.tolist() == [
        ["ENSG00000000003", "C", "1", 20]
    ]


def test_versions_are_stripped_from_ensembl_ids_only() -> None:
    assert strip_version("ENSG00000125818.17") == "ENSG00000125818"
    assert strip_version("ENSG00000182378.15_PAR_Y") == "ENSG00000182378_PAR_Y"
    assert strip_version("RP11-34P13.7") == "RP11-34P13.7"


def test_a_gene_table_keeps_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "genes.csv"
    path.write_text("gene_id,chrom,TSS,strand,h2\nG1,1,12,+,0.5\nG2,1,13,-,\n")
    genes = read_genes(path)
    assert genes.columns.tolist() == ["gene", "contig", "tss", "strand", "h2", "gene_name"]
    assert genes["contig"].tolist() == ["1", "1"]
    np.testing.assert_array_equal(as_coordinate(genes["h2"]), [0.5, np.nan])


def test_labels_stay_text_and_numbers_become_numbers() -> None:
    assert as_coordinate(pd.Series(["0010", "0020"])).tolist() == ["0010", "0020"]
    assert as_coordinate(pd.Series(["NA", "YRI", ""])).tolist() == ["NA", "YRI", ""]
    assert as_coordinate(pd.Series(["1", "20"])).dtype == np.int64
    np.testing.assert_array_equal(as_coordinate(pd.Series(["1", "NA", "2.5"])), [1, np.nan, 2.5])
    assert as_coordinate(pd.Series(["", ""])).tolist() == ["", ""]


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (["G1", "G2"], ["A", "B"], [0, 1]),
        (["G9", "G2"], ["A", "X"], [2, 1]),
        (["G8"], ["Z"], [-1]),
    ],
)
def test_expression_rows_match_label_then_name(
    labels: list[str], names: list[str], expected: list[int]
) -> None:
    assert (
        match_genes(labels, names, pd.Index(["G1", "G2", "A"][: 2 + ("G9" in labels)]), "e.tsv") == expected
    )


def test_an_ambiguous_match_is_an_error() -> None:
    rows = pd.Index(["G1", "A"])
    with pytest.raises(InputError, match="matches two rows, A and G1"):
        match_genes(["A"], ["A"], rows, "e.tsv", ["G1"])
    with pytest.raises(InputError, match="row G1 matches two genes, B and C"):
        match_genes(["B", "C"], ["B", "C"], rows, "e.tsv", ["G1", "G1"])
    with pytest.raises(InputError, match="matches two rows, G1 and A"):
        match_genes(["G1"], ["A"], rows, "e.tsv")
    with pytest.raises(InputError, match="row A matches two genes, G2 and G3"):
        match_genes(["G2", "G3"], ["A", "A"], rows, "e.tsv")


def test_expression_reads_missing_values_and_versions(tmp_path: Path) -> None:
    path = tmp_path / "e.tsv.gz"
    with gzip.open(path, "wt") as file:
        file.write("id\tHG1\tHG2\nENSG00000000001.3\t1.5\tNA\nB\t\t-2\n")
    table = read_expression(path)
    assert table.index.tolist() == ["ENSG00000000001", "B"]
    np.testing.assert_array_equal(table.to_numpy(), np.array([[1.5, np.nan], [np.nan, -2]], np.float32))


def test_z_scores_use_the_fitted_people_only() -> None:
    expression = np.array([[1.0, 3.0, 100.0, np.nan], [2.0, 2.0, 5.0, 1.0], [np.nan, 4.0, 1.0, 2.0]])
    fit = np.array([True, True, False, True])
    z = z_scores(expression, np.broadcast_to(fit, expression.shape))
    np.testing.assert_allclose(z[0], [-1, 1, 98, np.nan])
    np.testing.assert_allclose(z[1, :3], (expression[1, :3] - 5 / 3) / np.std([2, 2, 1]), rtol=1e-6)
    assert np.isnan(z[2, 0])
    constant = z_scores(np.array([[7.1, 7.1, 3.0]]), np.array([[True, True, False]]))
    assert np.isnan(constant).all()


def test_individuals_by_several_label_columns(tmp_path: Path) -> None:
    path = tmp_path / "s.tsv"
    path.write_text("#IID\tpopulation\n7\tYRI\n8\t\n")
    table = read_individuals(path)
    assert table.index.tolist() == ["7", "8"]
    assert table["population"].tolist()[0] == "YRI"


@pytest.mark.parametrize("bgzipped", [False, True])
def test_reference_windows_are_padded_and_keep_iupac(tmp_path: Path, bgzipped: bool) -> None:
    path = tmp_path / "r.fa"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in CONTIGS.items()))
    if bgzipped:
        pysam.tabix_compress(str(path), str(path) + ".gz")
        path = Path(str(path) + ".gz")
        pysam.faidx(str(path))
    reference = Reference(path)
    assert reference.lengths == {"chr1": 20, "chr2": 10}
    assert decode(reference.codes("chr1", 0, 12)) == "ACGTNACGTNRY"
    assert decode(reference.codes("chr2", -3, 13)) == "NNN" + "T" * 10 + "NNN"
    assert decode(reference.codes("chr2", 20, 22)) == "NN"
    path.write_text(">chr1\nAC-T\n") if not bgzipped else None
    if not bgzipped:
        os.utime(path, ns=(0, 10**18 * 2))
        with pytest.raises(InputError, match="chr1:3 is no IUPAC"):
            Reference(path).codes("chr1", 0, 4)


def genotype_file(tmp_path: Path) -> Path:
    calls = [
        ("chr1", 3, "G", "A", "PASS", ["0|1", "1/1", "."]),
        ("chr1", 7, "C", "T,G", "q10", ["2|1", "1", ".|0"]),
        ("chr2", 9, "T", "A", ".", ["0|0", "0/1", "1|1"]),
    ]
    path = tmp_path / "g.vcf.gz"
    write_vcf(path, CONTIGS, ["a", "b", "c"], calls)
    return path


def test_genotypes_phase_missing_and_haploid_calls(tmp_path: Path) -> None:
    files = open_genotypes(str(genotype_file(tmp_path)))
    assert files.individuals == ("a", "b", "c")
    first, second = files.records("chr1", 0, 20)
    assert (first.position, first.alleles, first.filters) == (3, ("G", "A"), ("PASS",))
    assert first.genotype[:2].tolist() == [[0, 1], [1, 1]]
    assert (first.genotype[2] < 0).all()
    assert first.phased[:2].tolist() == [True, False]
    assert second.genotype.tolist() == [[2, 1], [1, ABSENT], [-1, 0]]
    assert second.filters == ("q10",)
    assert [r.position for r in files.records("chr1", 3, 7)] == [7], "0-based, half-open"
    assert list(files.records("chr1", 10, 20)) == []
    assert files.span("chr1") == (3, 7)
    assert files.span("chr2") == (9, 9)


def test_bcf_and_several_files_give_the_same(tmp_path: Path, bcftools: str) -> None:
    import subprocess

    whole = genotype_file(tmp_path)
    for contig in CONTIGS:
        part = tmp_path / f"part.{contig}.bcf"
        subprocess.run([bcftools, "view", "-Ob", "-o", part, "-r", contig, whole], check=True)
        subprocess.run([bcftools, "index", part], check=True)
    one, several = open_genotypes(str(whole)), open_genotypes(str(tmp_path / "part.*.bcf"))
    assert set(several.contigs) == {"chr1", "chr2"}
    for contig in CONTIGS:
        for here, there in zip(one.records(contig, 0, 99), several.records(contig, 0, 99), strict=True):
            assert (here.position, here.alleles, here.id) == (there.position, there.alleles, there.id)
            np.testing.assert_array_equal(here.genotype, there.genotype)


def test_handles_are_not_shared_between_threads_and_files(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(n_people=3)
    files = open_genotypes(cohort.config().genotypes)
    expected = [record.position for record in files.records("chr1", 0, 1000)]
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append([r.position for r in files.records("chr1", 0, 1000)]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8
    base = cohort.contigs["chr1"][4].upper()
    call = ("chr1", 5, base, "A" if base != "A" else "C", "PASS", ["0|1"] * 3)
    write_vcf(cohort.folder / "genotypes.vcf.gz", cohort.contigs, cohort.people, [call])
    assert [record.position for record in files.records("chr1", 0, 1000)] == [5], (
        "a new file, not the old handle"
    )


@pytest.mark.parametrize("bgzip", [False, True])
def test_an_index_of_another_fasta_is_refused(tmp_path: Path, bgzip: bool) -> None:
    """Whatever the dates of the two."""
    import os

    import pysam

    path = tmp_path / ("r.fa.gz" if bgzip else "r.fa")
    bases = "ACGT" * 60

    def write(width: int) -> None:
        lines = "\n".join(bases[i : i + width] for i in range(0, len(bases), width))
        text = f">chr1\n{lines}\n>chr2\n{lines}\n".encode()
        if bgzip:
            with pysam.BGZFile(str(path), "wb") as file:
                file.write(text)
        else:
            path.write_bytes(text)

    write(60)
    assert Reference(path).codes("chr2", 0, 240).any()
    write(30)
    os.utime(path, (0, 0))
    with pytest.raises(InputError, match=r"r\.fa(\.gz)?: its index .*\.fai is of another file; make it anew"):
        Reference(path).codes("chr2", 0, 240)
