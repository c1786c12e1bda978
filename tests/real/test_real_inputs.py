"""The tables of real cohorts, read by every reader that has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from seqstore.expression import count_matches, match_genes, read_expression
from seqstore.genes import read_genes
from seqstore.individuals import read_individuals
from seqstore.labels import reconcile_individuals

PHENOTYPES = "expr/geuvadis_qtltools_chr22.bed.gz"


def test_expression_of_a_qtltools_bed(real: Path) -> None:
    table = read_expression(real / PHENOTYPES)
    assert table.shape == (608, 358)
    assert set(table.dtypes) == {np.dtype(np.float32)}
    plain = pd.read_csv(real / PHENOTYPES, sep="\t").set_index("gene").iloc[:, 5:]
    assert table.columns.tolist() == plain.columns.tolist()
    assert table.index.tolist() == [gene.split(".")[0] for gene in plain.index]
    np.testing.assert_array_equal(table.to_numpy(), plain.to_numpy(np.float32))
    assert table.loc["ENSG00000215270", "HG00096"] == np.float32(0.7878783927)


def test_genes_of_a_qtltools_bed(real: Path) -> None:
    genes = read_genes(real / PHENOTYPES)
    assert genes.columns.tolist() == ["gene", "gene_name", "contig", "tss", "strand", "length"]
    assert len(genes) == 608
    # CECR6 (ENSG00000183307) begins at 17,602,257 of GRCh37's chr22, on the - strand.
    cecr6 = genes[genes["gene"] == "ENSG00000183307"].iloc[0]
    assert (cecr6["contig"], cecr6["tss"], cecr6["strand"], cecr6["length"]) == (
        "chr22",
        17_602_257,
        "-",
        "5069",
    )
    assert genes["strand"].value_counts().to_dict() == {"+": 333, "-": 275}
    table = read_expression(real / PHENOTYPES)
    rows = match_genes(genes["gene"].tolist(), genes["gene_name"].tolist(), table.index, real / PHENOTYPES)
    assert rows == list(range(608))
    assert count_matches(genes, table, rows) == {"id": 608}
    bare = table.copy()
    bare.attrs = {}
    assert count_matches(genes, bare, rows) == {"id_without_version": 608}


def test_the_people_of_a_psam_and_of_igsr(real: Path) -> None:
    psam = read_individuals(real / "geno/eur503.chr20_1-4Mb.GRCh38.psam")
    assert psam.shape == (503, 1)
    assert set(psam["sex"]) == {""}, "NA in the file"
    igsr = read_individuals(real / "annot/igsr_samples.min.tsv")
    assert igsr.columns.tolist() == ["sex", "population", "superpopulation"]
    assert set(igsr["sex"]) <= {"male", "female", ""}
    samples = read_individuals(real / "annot/samples.tsv")
    common = samples.index.intersection(igsr.index)
    assert len(common) == 605
    assert (samples.loc[common, "superpopulation"] == igsr.loc[common, "superpopulation"]).all()
    differ = common[samples.loc[common, "population"] != igsr.loc[common, "population"]]
    assert igsr.loc[differ, "population"].to_dict() == {"HG01783": "IBS,MSL"}, "as IGSR has it"
    assert (samples.loc[common, "sex"] == igsr.loc[common, "sex"].str[0].str.upper()).all()


def test_people_are_found_under_decorated_labels(real: Path) -> None:
    known = read_individuals(real / "geno/eur503.chr20_1-4Mb.GRCh38.psam").index.tolist()
    measured = read_expression(real / "expr/geuvadis_junction_rpm_chr20.tsv").columns.tolist()
    plain = reconcile_individuals(measured, known, path="e")
    assert plain.by_rule == {"exact": 358, "unmatched": 87}, "the 87 Yoruba have no genotypes here"
    assays = reconcile_individuals([f"{label}.1.M_111124_6" for label in measured], known, path="e")
    assert assays.by_rule == {"assay": 358, "unmatched": 87}
    doubled = reconcile_individuals(measured, [f"{label}_{label}" for label in known], path="e")
    assert doubled.by_rule == {"family_and_individual": 358, "unmatched": 87}
    assert [label.split("_")[0] for label in doubled.known.values()] == list(plain.known.values())


def test_the_tables_of_the_study(real: Path) -> None:
    """Comma-separated, gzipped, the genes' column without a name, missing values empty."""
    table = read_expression(real / "paper/observed_expression.random_split.csv.gz")
    assert table.loc["a1bg", "HG00096"] == np.float32(0.740234375)
    assert np.isnan(table.loc["a1bg", "HG00097"])
    assert table.index.is_unique
    for name, n_genes, n_people in (
        ("expression.chr20.tsv", 8, 460),
        ("geuvadis_findr_chr20.tsv", 3, 360),
        ("geuvadis_junction_rpm_chr20.tsv", 5, 445),
    ):
        assert read_expression(real / "expr" / name).shape == (n_genes, n_people)


def test_gene_tables_of_two_builds(real: Path) -> None:
    for build, contig in (("GRCh38", "chr20"), ("GRCh37", "20")):
        genes = read_genes(real / f"annot/genes.{build}.tsv")
        assert len(genes) == 54
        assert set(genes["contig"]) == {contig}
        assert genes["strand"].isin(["+", "-"]).all()
