"""Heritability of real genes, and the study's own mean of h."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.heritability import mean_by_class
from tests.real.conftest import Analysis


def test_mean_of_h_is_the_published_one(real: Path) -> None:
    columns = ["gene", "h2", "se", "p"]
    table = pd.read_csv(real / "paper/heritability.all_samples.tsv", sep=r"\s+", names=columns)
    classes = pd.read_csv(real / "paper/gene_class.csv").set_index("gene")["class"]
    table["gene_class"] = table["gene"].map(classes).replace({"yri_split": "population_split"})
    table["converged"] = (table[["h2", "se", "p"]] != 0).any(axis=1)
    means = mean_by_class(table)
    assert means["genes"].tolist() == [200, 200]
    assert means["failed"].tolist() == [1, 1]
    assert means["mean_h"].tolist() == [pytest.approx(0.337, abs=5e-4), pytest.approx(0.308, abs=5e-4)]


def test_genes_that_are_known_to_be_heritable(real_store: Path, tmp_path: Path, analysis: Analysis) -> None:
    analysis("split", real_store, "--name", "h2", "--random-contigs", "chr20")
    analysis("heritability", real_store, "--split", "h2", "--output", tmp_path / "h2.tsv")
    table = pd.read_csv(tmp_path / "h2.tsv", sep="\t").set_index("gene")
    assert len(table) == 54
    assert table["converged"].sum() == 8
    assert (table.loc[["ITPA", "DNAAF9", "AP5S1"], "p"] < 0.001).all()
    assert (table.loc[["ITPA", "DNAAF9", "AP5S1"], "h2"] > 0.02).all()
    assert (table.loc[["PTPRA", "MAVS"], "h2"] < 0.02).all()
    assert table.loc["PSMF1", "note"] == "only 0 people"
