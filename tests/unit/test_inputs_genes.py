"""Every format that genes come in, as its makers write it, and every refusal."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from seqstore.errors import InputError
from seqstore.genes import GIVEN, is_copy_on_y, read_genes, strip_version

SHOWN = ["gene", "gene_name", "contig", "tss", "strand"]

# GENCODE 45: gene, transcript and exon rows; PLCXD1 on chrX and its copy on chrY.
GENCODE = """\
##description: evidence-based annotation of the human genome (GRCh38), version 45 (Ensembl 111)
##provider: GENCODE
##format: gtf
chr1\tHAVANA\tgene\t169849631\t169894267\t.\t-\t.\tgene_id "ENSG00000000457.14"; gene_type "protein_coding"; \
gene_name "SCYL3"; level 2; hgnc_id "HGNC:19285"; tag "overlapping_locus"; havana_gene "OTTHUMG00000035941.6";
chr1\tHAVANA\ttranscript\t169849631\t169894267\t.\t-\t.\tgene_id "ENSG00000000457.14"; \
transcript_id "ENST00000367771.11"; gene_type "protein_coding"; gene_name "SCYL3"; transcript_type "protein_coding";
chr1\tHAVANA\texon\t169894007\t169894267\t.\t-\t.\tgene_id "ENSG00000000457.14"; exon_number 1; level 2;
chr1\tHAVANA\tgene\t11869\t14409\t.\t+\t.\tgene_id "ENSG00000290825.1"; gene_type "lncRNA"; gene_name "DDX11L2";
chrX\tHAVANA\tgene\t276322\t303353\t.\t+\t.\tgene_id "ENSG00000182378.15"; gene_type "protein_coding"; \
gene_name "PLCXD1"; tag "PAR";
chrY\tHAVANA\tgene\t276322\t303353\t.\t+\t.\tgene_id "ENSG00000182378.15_PAR_Y"; gene_type "protein_coding"; \
gene_name "PLCXD1"; tag "PAR";
"""
# In GENCODE's GFF3 the copy's gene_id is that of the gene.
GENCODE_GFF3 = """\
##gff-version 3
#description: evidence-based annotation of the human genome (GRCh38), version 45 (Ensembl 111)
##sequence-region chrX 1 156040895
chrX\tHAVANA\tgene\t276322\t303353\t.\t+\t.\tID=ENSG00000182378.15;gene_id=ENSG00000182378.15;\
gene_type=protein_coding;gene_name=PLCXD1;level=2;tag=PAR
chrX\tHAVANA\ttranscript\t276322\t303353\t.\t+\t.\tID=ENST00000381657.8;Parent=ENSG00000182378.15;\
gene_id=ENSG00000182378.15;gene_type=protein_coding;gene_name=PLCXD1
chrY\tHAVANA\tgene\t276322\t303353\t.\t+\t.\tID=ENSG00000182378.15_PAR_Y;gene_id=ENSG00000182378.15;\
gene_type=protein_coding;gene_name=PLCXD1;level=2;tag=PAR
"""
# Ensembl 110: three types of gene rows, ids with "gene:", the version apart, escaped descriptions.
ENSEMBL_GFF3 = """\
##gff-version 3
##sequence-region   1 1 248956422
#!genome-build Genome Reference Consortium GRCh38.p14
#!genebuild-last-updated 2023-03
1\tGRCh38\tchromosome\t1\t248956422\t.\t.\t.\tID=chromosome:1;Alias=CM000663.2,chr1,NC_000001.11
###
1\thavana\tncRNA_gene\t11121\t24894\t.\t+\t.\tID=gene:ENSG00000290825;Name=DDX11L16;biotype=lncRNA;\
description=DEAD/H-box helicase 11 like 16 (pseudogene) [Source:NCBI%3BAcc:727856];gene_id=ENSG00000290825;version=2
1\thavana\tlnc_RNA\t11121\t14413\t.\t+\t.\tID=transcript:ENST00000832824;Parent=gene:ENSG00000290825;biotype=lncRNA
1\thavana\tpseudogene\t12010\t13670\t.\t+\t.\tID=gene:ENSG00000223972;Name=DDX11L1;\
biotype=transcribed_unprocessed_pseudogene;gene_id=ENSG00000223972;version=6
1\thavana\tpseudogenic_transcript\t12010\t13670\t.\t+\t.\tID=transcript:ENST00000450305;Parent=gene:ENSG00000223972
1\tensembl_havana\tgene\t169849631\t169894267\t.\t-\t.\tID=gene:ENSG00000000457;Name=SCYL3;biotype=protein_coding;\
gene_id=ENSG00000000457;logic_name=ensembl_havana_gene_homo_sapiens;version=14
1\tensembl_havana\tmRNA\t169849631\t169894267\t.\t-\t.\tID=transcript:ENST00000367771;Parent=gene:ENSG00000000457
1\thavana\tncRNA_gene\t17369\t17436\t.\t-\t.\tID=gene:ENSG00000278267;biotype=miRNA;gene_id=ENSG00000278267;version=1
"""
LIFTED = """\
##description: evidence-based annotation of the human genome (GRCh38), version 45 (Ensembl 111), \
mapped to GRCh37 with gencode-backmap
chr1\tHAVANA\tgene\t169818772\t169863408\t.\t-\t.\tgene_id "ENSG00000000457.14_9"; gene_type "protein_coding"; \
gene_name "SCYL3"; level 2; remap_status "full_contig"; remap_num_mappings 1; remap_target_status "overlap";
"""


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["gencode.v45.annotation.gtf", "gencode.v45.annotation.gtf.gz", "G.GTF.gz"])
def test_gencode_gtf(tmp_path: Path, name: str) -> None:
    genes = read_genes(written(tmp_path / name, GENCODE), build="GRCh38.p14")
    assert genes[SHOWN].to_numpy().tolist() == [
        ["ENSG00000000457", "SCYL3", "chr1", 169894267, "-"],
        ["ENSG00000290825", "DDX11L2", "chr1", 11869, "+"],
        ["ENSG00000182378", "PLCXD1", "chrX", 276322, "+"],
        ["ENSG00000182378_PAR_Y", "PLCXD1", "chrY", 276322, "+"],
    ]
    assert genes.columns.tolist() == [*SHOWN, "gene_type", "build"]
    assert genes["gene_type"].tolist() == ["protein_coding", "lncRNA", "protein_coding", "protein_coding"]
    assert genes.attrs[GIVEN]["ENSG00000182378_PAR_Y"] == "ENSG00000182378.15_PAR_Y"


def test_gencode_gff3_keeps_the_copies_on_y_apart(tmp_path: Path) -> None:
    genes = read_genes(written(tmp_path / "gencode.gff3.gz", GENCODE_GFF3))
    assert genes[["gene", "contig", "gene_name"]].to_numpy().tolist() == [
        ["ENSG00000182378", "chrX", "PLCXD1"],
        ["ENSG00000182378_PAR_Y", "chrY", "PLCXD1"],
    ]
    older = GENCODE_GFF3.replace("ID=ENSG00000182378.15_PAR_Y", "ID=ENSGR0000182378.10")
    assert read_genes(written(tmp_path / "older.gff3", older))["gene"].tolist()[1] == "ENSGR0000182378"
    assert [is_copy_on_y(label) for label in ("ENSGR0000182378", "ENSG00000182378_PAR_Y")] == [True, True]
    assert not is_copy_on_y("ENSG00000182378")


def test_ensembl_gff3_has_three_kinds_of_gene_rows(tmp_path: Path) -> None:
    genes = read_genes(written(tmp_path / "Homo_sapiens.GRCh38.110.gff3", ENSEMBL_GFF3), build="hg38")
    assert genes[[*SHOWN, "gene_type"]].to_numpy().tolist() == [
        ["ENSG00000290825", "DDX11L16", "1", 11121, "+", "lncRNA"],
        ["ENSG00000223972", "DDX11L1", "1", 12010, "+", "transcribed_unprocessed_pseudogene"],
        ["ENSG00000000457", "SCYL3", "1", 169894267, "-", "protein_coding"],
        ["ENSG00000278267", "ENSG00000278267", "1", 17436, "-", "miRNA"],
    ]
    with pytest.raises(InputError, match="in build GRCh38, but the config's build is GRCh37"):
        read_genes(tmp_path / "Homo_sapiens.GRCh38.110.gff3", build="GRCh37")


def test_refseq_gff3_names_genes_by_symbol(tmp_path: Path) -> None:
    text = (
        "##gff-version 3\n#!genome-build GRCh38.p14\n"
        "NC_000001.11\tBestRefSeq\tpseudogene\t11874\t14409\t.\t+\t.\tID=gene-DDX11L1;Dbxref=GeneID:100287102,"
        "HGNC:HGNC:37102;Name=DDX11L1;gbkey=Gene;gene=DDX11L1;gene_biotype=transcribed_pseudogene;pseudo=true\n"
    )
    genes = read_genes(written(tmp_path / "refseq.gff", text))
    assert genes[["gene", "gene_name", "gene_type"]].to_numpy().tolist() == [
        ["DDX11L1", "DDX11L1", "transcribed_pseudogene"]
    ]


def test_an_annotation_lifted_to_grch37_is_in_grch37(tmp_path: Path) -> None:
    path = written(tmp_path / "gencode.v45lift37.annotation.gtf", LIFTED)
    genes = read_genes(path, build="hg19")
    assert genes[["gene", "tss", "build"]].to_numpy().tolist() == [["ENSG00000000457", 169863408, "GRCh37"]]
    with pytest.raises(InputError, match="in build GRCh37, but the config's build is GRCh38"):
        read_genes(path, build="GRCh38")


@pytest.mark.parametrize(
    ("label", "stripped"),
    [
        ("ENSG00000000457.13_2", "ENSG00000000457"),
        ("ENSG00000000457.13", "ENSG00000000457"),
        ("ENSG00000182378.15_5_PAR_Y", "ENSG00000182378_PAR_Y"),
        ("ENSMUSG00000064336.1", "ENSMUSG00000064336"),
        ("ENSGR0000182378.10", "ENSGR0000182378"),
        ("AC012345.1", "AC012345.1"),
        ("ENSG00000000457_2", "ENSG00000000457_2"),
    ],
)
def test_versions(label: str, stripped: str) -> None:
    assert strip_version(label) == stripped


def test_gene_types_choose_genes(tmp_path: Path) -> None:
    path = written(tmp_path / "genes.gtf", GENCODE)
    genes = read_genes(path, gene_types=["lncRNA"])
    assert genes["gene"].tolist() == ["ENSG00000290825"]
    assert len(read_genes(path, gene_types=["lncRNA", "protein_coding"])) == 4
    with pytest.raises(InputError, match=r"no gene of type 'coding' \(it has: lncRNA, protein_coding\)"):
        read_genes(path, gene_types=["lncRNA", "coding"])
    with pytest.raises(InputError, match=r"gene_types names no type \(it has: lncRNA, protein_coding\)"):
        read_genes(path, gene_types=[])
    table = "gene\tcontig\ttss\tstrand\tbiotype\nA\t1\t5\t+\tx\nA\t1\t6\t+\ty\n"
    chosen = read_genes(written(tmp_path / "genes.tsv", table), gene_types=["y"])
    assert chosen[["gene", "tss"]].to_numpy().tolist() == [["A", 6]], "what is left out may stand twice"
    bed = written(tmp_path / "genes.bed", "chr1\t9\t10\tA\t.\t+\n")
    with pytest.raises(InputError, match=r"genes\.bed: does not tell the genes' types"):
        read_genes(bed, gene_types=["y"])
    untold = written(tmp_path / "untold.gtf", 'chr1\tX\tgene\t1\t9\t.\t+\t.\tgene_id "A";\n')
    with pytest.raises(InputError, match="does not tell the genes' types"):
        read_genes(untold, gene_types=["y"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows of type 'gene'"),
        ('chr1\tX\texon\t1\t9\t.\t+\t.\tgene_id "A";\n', "holds no rows of type 'gene'"),
        ('chr1\tX\tgene\t1\t9\t.\t.\t.\tgene_id "A";\n', "gene A has strand '.'; without"),
        ('chr1\tX\tgene\t1\t9\t.\t+\t.\tgene_name "A";\n', "line 1 is a gene without gene_id or ID"),
        ('chr1\tX\tgene\tone\t9\t.\t+\t.\tgene_id "A";\n', "gene A has TSS 'one'; it is a 1-based position"),
        ('chr1\tX\tgene\t0\t9\t.\t+\t.\tgene_id "A";\n', "gene A has TSS '0'"),
        (
            'chr1\tX\tgene\t1\t9\t.\t+\t.\tgene_id "ENSG00000000457.1";\n'
            'chr1\tX\tgene\t5\t9\t.\t+\t.\tgene_id "ENSG00000000457.2";\n',
            "gene 'ENSG00000000457' stands there more than once",
        ),
    ],
)
def test_annotations_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "genes.gtf", text)
    with pytest.raises(InputError) as refused:
        read_genes(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_annotations_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.gtf: no such gene annotation"):
        read_genes(tmp_path / "none.gtf")
    cut = tmp_path / "cut.gtf.gz"
    cut.write_bytes(gzip.compress(GENCODE.encode())[:200])
    with pytest.raises(InputError, match=r"cut\.gtf\.gz: cannot be read as a gene annotation"):
        read_genes(cut)
    (tmp_path / "plain.gtf.gz").write_text(GENCODE)
    with pytest.raises(InputError, match="cannot be read as a gene annotation"):
        read_genes(tmp_path / "plain.gtf.gz")
    (tmp_path / "binary.gff3").write_bytes(b"\xff\xfe\x00gene\t")
    with pytest.raises(InputError, match="cannot be read as a gene annotation"):
        read_genes(tmp_path / "binary.gff3")


# The form of the UCSC table browser; LEFT and RIGHT are genes, POINT and BARE one base each.
BED6 = """\
browser position chr7:127471196-127495720
track name="genes" description="an example"
#chrom\tchromStart\tchromEnd\tname\tscore\tstrand
chr7\t127471196\t127472363\tRIGHT\t0\t+
chr7\t127475864\t127477031\tLEFT\t500\t-

# a remark
chr7\t127480531\t127480532\tPOINT\t0\t-
chr7\t9\t10\tENSG00000000457.13_2\t0\t.
"""


@pytest.mark.parametrize("name", ["genes.bed", "genes.bed.gz"])
def test_bed6(tmp_path: Path, name: str) -> None:
    genes = read_genes(written(tmp_path / name, BED6))
    assert genes.columns.tolist() == SHOWN
    assert genes.to_numpy().tolist() == [
        ["RIGHT", "RIGHT", "chr7", 127471197, "+"],
        ["LEFT", "LEFT", "chr7", 127477031, "-"],
        ["POINT", "POINT", "chr7", 127480532, "-"],
        ["ENSG00000000457", "ENSG00000000457", "chr7", 10, "."],
    ]
    assert genes["tss"].dtype == "int64"


def test_narrow_wide_and_blank_separated_bed(tmp_path: Path) -> None:
    genes = read_genes(written(tmp_path / "a.bed", "chr1 4 5 A\nchr2 4 9 B 0 - 4 9 0 1 5, 0,\n"))
    assert genes.to_numpy().tolist() == [["A", "A", "chr1", 5, "."], ["B", "B", "chr2", 9, "-"]]


QTLTOOLS = """\
#Chr\tstart\tend\tpid\tgid\tstrand\tUNR1\tUNR2
chr1\t99999\t100000\tENSG00000000457.13\tSCYL3\t+\t-0.50\t0.82
chr1\t199999\t201000\tpheno2\t.\t+\t1.18\t-2.84
chr1\t299999\t301000\texon1\tgene1\t-\t-1.13\tNA
"""
FASTQTL = """\
#Chr\tstart\tend\tID\tUNR1\tUNR2
chr1\t173863\t173864\tENSG123\t-0.50\t0.82
chr1\t685395\t685396\tENSG456\t-1.13\t1.18
"""


def test_phenotype_bed_of_qtltools(tmp_path: Path) -> None:
    genes = read_genes(written(tmp_path / "phenotypes.bed.gz", QTLTOOLS))
    assert genes.columns.tolist() == SHOWN
    assert genes.to_numpy().tolist() == [
        ["ENSG00000000457", "SCYL3", "chr1", 100000, "+"],
        ["pheno2", "pheno2", "chr1", 200000, "+"],
        ["exon1", "gene1", "chr1", 301000, "-"],
    ]
    with_length = QTLTOOLS.replace("pid\tgid", "gene\tlength").replace("SCYL3", "1049")
    genes = read_genes(written(tmp_path / "quan.bed", "## made by quan\n" + with_length))
    assert genes.columns.tolist() == [*SHOWN, "length"]
    assert genes.iloc[0].tolist() == ["ENSG00000000457", "ENSG00000000457", "chr1", 100000, "+", "1049"]


def test_phenotype_bed_of_fastqtl_and_tensorqtl(tmp_path: Path) -> None:
    path = written(tmp_path / "expression.bed.gz", FASTQTL)
    expected = [["ENSG123", "ENSG123", "chr1", 173864, "."], ["ENSG456", "ENSG456", "chr1", 685396, "."]]
    assert read_genes(path).to_numpy().tolist() == expected
    table = pd.read_csv(path, sep="\t").rename(columns={"#Chr": "chr", "ID": "phenotype_id"})
    table.to_parquet(tmp_path / "columns.bed.parquet")
    table.set_index("phenotype_id").to_parquet(tmp_path / "index.bed.parquet")
    for name in ("columns.bed.parquet", "index.bed.parquet"):
        assert read_genes(tmp_path / name).to_numpy().tolist() == expected
    table.drop(columns="start").to_parquet(tmp_path / "wrong.bed.parquet")
    with pytest.raises(InputError, match=r"wrong\.bed\.parquet: its columns are not chr, start, end, id"):
        read_genes(tmp_path / "wrong.bed.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("track name=x\n", "holds no features"),
        ("chr1\t1\t2\n", "line 1 has 3 columns; genes in BED have contig, start, end, gene"),
        ("chr1\t1\t1\tA\t0\t+\n", "feature 1 (A) is at 1-1; BED has 0-based, half-open positions"),
        ("chr1\t-1\t1\tA\t0\t+\n", "feature 1 (A) is at -1-1"),
        ("chr1\tone\t2\tA\t0\t+\n", "feature 1 (A) is at one-2"),
        ("chr1\t1.5\t2\tA\t0\t+\n", "feature 1 (A) is at 1.5-2"),
        (f"chr1\t5\t{'9' * 20}\tA\t0\t+\n", f"feature 1 (A) is at 5-{'9' * 20}; BED has"),
        ("chr1\t5\tinf\tA\t0\t+\n", "feature 1 (A) is at 5-inf"),
        ("chr1\t1\t2\tA\t0\t+\nchr1\t1\t2\t.\t0\t+\n", "feature 2 (.) has no name in column 4"),
        ("chr1\t1\t2\t\t0\t+\n", "feature 1 (unnamed) has no name in column 4"),
        ("\t1\t2\tA\t0\t+\n", "feature 1 (A) has no contig"),
        ("chr1\t1\t2\tA\t0\t*\n", "feature 1 (A) has strand '*'; use +, - or ."),
        ("chr1\t1\t3\tA\t0\t.\n", "feature 1 (A) is at 1-3 without a strand, so that its TSS cannot be told"),
        ("chr1\t1\t2\tA\nchr1\t5\t6\tA\n", "gene 'A' stands there more than once"),
        (FASTQTL.replace("173864", "173869"), "feature 1 (ENSG123) is at 173863-173869 without a strand"),
        (FASTQTL.replace("-1.13\t", ""), "line 3 has 5 columns, but the header names 6"),
    ],
)
def test_beds_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "genes.bed", text)
    with pytest.raises(InputError) as refused:
        read_genes(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_positions_are_whole_numbers_however_they_are_written(tmp_path: Path) -> None:
    bed = "chr1\t1e+05\t100001\tA\t0\t+\nchr1\t100.0\t101.0\tB \t0\t-\n"
    genes = read_genes(written(tmp_path / "genes.bed", bed))
    assert genes[["gene", "tss"]].to_numpy().tolist() == [["A", 100_001], ["B", 101]]
    columns = {"#chr": ["chr1"], "start": [99.0], "end": [100.0], "phenotype_id": ["A"], "HG1": [1.0]}
    pd.DataFrame(columns).to_parquet(tmp_path / "genes.bed.parquet")
    assert read_genes(tmp_path / "genes.bed.parquet")["tss"].tolist() == [100]
    pd.DataFrame(columns | {"end": [99.5]}).to_parquet(tmp_path / "half.bed.parquet")
    with pytest.raises(InputError, match=r"feature 1 \(A\) is at 99\.0-99\.5; BED has 0-based"):
        read_genes(tmp_path / "half.bed.parquet")
    table = "gene\tcontig\ttss\tstrand\nA\t1\t1e+05\t+\nB\t1\t100.0\t-\n"
    assert read_genes(written(tmp_path / "genes.tsv", table))["tss"].tolist() == [100_000, 100]


def test_an_unknown_build_is_said_where_it_matters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = "gene\tcontig\ttss\tstrand\nA\tchrX\t5\t+\n"
    path = written(tmp_path / "genes.tsv", table)
    autosomes = written(tmp_path / "autosomes.tsv", table.replace("chrX", "chr1"))
    for genes, build in ((path, None), (path, "T2T-CHM13v2.0"), (autosomes, "mm10")):
        read_genes(genes, build=build)
        assert not caplog.messages
    read_genes(path, build="mm10")
    assert [message.partition("(")[0] for message in caplog.messages] == [
        f"warning: {path}: the pseudoautosomal regions of build mm10 are not known "
    ]


def test_a_plink_bed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "genotypes.bed"
    path.write_bytes(b"\x6c\x1b\x01\xdc\x0f\xe7")
    with pytest.raises(InputError, match=r"genotypes\.bed: cannot be read as a BED file"):
        read_genes(path)
    with pytest.raises(InputError, match="no such BED file"):
        read_genes(tmp_path / "none.bed")


TABLE = (
    "gene_id\tgene_name\tchrom\tTSS\tstrand\tbiotype\tbuild\n"
    "ENSG00000000457.14\tSCYL3\t1\t12\t-\tx\tGRCh38\nB\t\t1\t5\t+\ty\t\n"
)


def test_gene_tables_as_tsv_csv_and_parquet(tmp_path: Path) -> None:
    expected = [
        ["ENSG00000000457", "SCYL3", "1", 12, "-", "x", "GRCh38"],
        ["B", "B", "1", 5, "+", "y", ""],
    ]
    columns = ["gene", "gene_name", "contig", "tss", "strand", "biotype", "build"]
    tsv = written(tmp_path / "genes.tsv", TABLE)
    written(tmp_path / "genes.csv.gz", "\ufeff" + TABLE.replace("\t", ",").replace("\n", "\r\n"))
    pd.read_csv(tsv, sep="\t").to_parquet(tmp_path / "genes.parquet")
    pd.read_csv(tsv, sep="\t", index_col="gene_id").to_parquet(tmp_path / "indexed.parquet")
    for name in ("genes.tsv", "genes.csv.gz", "genes.parquet", "indexed.parquet"):
        genes = read_genes(tmp_path / name, build="hg38")
        assert genes.columns.tolist() == columns, name
        assert genes.to_numpy().tolist() == expected, name


@pytest.mark.parametrize("name", ["genes.tsv", "genes.parquet"])
def test_cells_have_no_blanks_around_them(tmp_path: Path, name: str) -> None:
    columns = {"gene": ["A ", " B"], "contig": ["chrX ", "chrX"], "tss": [" 5", "6"], "strand": ["+ ", "-"]}
    table = pd.DataFrame(columns | {"note": ["x y ", " "]})
    if name.endswith(".parquet"):
        table.to_parquet(tmp_path / name)
    else:
        table.to_csv(tmp_path / name, sep="\t", index=False)
    genes = read_genes(tmp_path / name)
    assert genes.to_numpy().tolist() == [["A", "chrX", 5, "+", "x y", "A"], ["B", "chrX", 6, "-", "", "B"]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("TSS", "start", "no column 'tss' (columns: gene_id, gene_name, chrom, start, strand"),
        ("\t5\t", "\tfive\t", "gene B has TSS 'five'; it is a 1-based position"),
        ("\t5\t", "\t1e30\t", "gene B has TSS '1e30'"),
        ("\t5\t", "\tinf\t", "gene B has TSS 'inf'"),
        ("\t5\t+", "\t5\t.", "gene B has strand '.'; use + or -"),
        ("\nB\t", "\n\t", "row 2 has no gene"),
        ("\t1\t5", "\t\t5", "row 2 has no contig"),
        ("\nB\t", "\nENSG00000000457.2\t", "gene 'ENSG00000000457' stands there more than once"),
        ("biotype", "strand", "column 'strand' stands there more than once"),
        ("\t+\ty\t\n", "\t+\ty\n", "line 3 has 6 columns, but the header names 7"),
        ("\ty\t\n", "\ty\t\tmore\n", "line 3 has 8 columns, but the header names 7"),
        ("SCYL3", '"SCYL3', 'line 2 has a quote (") that is not closed on it'),
        ("\tx\tGRCh38", '\tx\t"GRCh38', "cannot be read as a gene table (Error tokenizing data"),
        (
            "GRCh38\nB\t\t1\t5\t+\ty\t\n",
            '"GRCh38\nB\t\t1\t5\t+\ty\t"\n',
            'cannot be read as a gene table (a quote, ", is not closed)',
        ),
        ("\t", " ", "a gene table needs several columns, separated by tabs"),
        (TABLE, "", "cannot be read as a gene table (it is empty)"),
        ("gene_id\t", "\n\ngene_id\t", "cannot be read as a gene table (line 1 is to be its header)"),
    ],
)
def test_gene_tables_that_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = written(tmp_path / "genes.tsv", TABLE.replace(old, new))
    with pytest.raises(InputError) as refused:
        read_genes(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


def test_a_parquet_that_is_none_or_has_one_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genes.parquet").write_text(TABLE)
    with pytest.raises(InputError, match=r"genes\.parquet: cannot be read as a gene table"):
        read_genes(tmp_path / "genes.parquet")
    with pytest.raises(InputError, match="no such gene table"):
        read_genes(tmp_path / "none.parquet")
    pd.DataFrame({"gene": ["A"]}).to_parquet(tmp_path / "one.parquet")
    with pytest.raises(InputError, match="a gene table needs several columns"):
        read_genes(tmp_path / "one.parquet")
