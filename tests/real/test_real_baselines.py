"""Baselines on real genes: what is known to be predictable is predicted, and what is not is not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.real.conftest import Analysis

PREDICTABLE = ("ITPA", "DNAAF9", "AP5S1")
NULL = ("SIRPB1", "PCED1A", "PTPRA", "MAVS", "SIRPG")  # annot/baseline_cis_eqtl.tsv: no signal by permutation


def five_folds(real_store: Path, folder: Path, analysis: Analysis, methods: list[str]) -> pd.DataFrame:
    """Per gene r of methods over five folds, by method and gene."""
    analysis("split", real_store, "--name", folder.name, "--folds", "5")
    folds = [f"{folder.name}-fold{fold}" for fold in range(5)]
    for fold in folds:
        options = ("--methods", ",".join(methods), "--output", folder / fold)
        analysis("baselines", real_store, "--split", fold, *options)
    predictions = [f"{method}={folder}/{{split}}/{method}.zarr" for method in methods]
    options = ("--predictions", *predictions, "--draws", "1000", "--output", folder / "out")
    analysis("evaluate", real_store, "--split", *folds, *options)
    table = pd.read_csv(folder / "out/per_gene.tsv", sep="\t")
    assert len(table) == 54 * len(methods)
    return table.set_index(["method", "gene"])


def check(per_gene: pd.DataFrame, method: str) -> None:
    """Intervals of predictable genes are above 0; those of the others are not, or they have no prediction."""
    rows = per_gene.loc[method]
    for gene in PREDICTABLE:
        assert rows.loc[gene, "ci_low"] > 0, (method, gene)
    for gene in NULL:
        row = rows.loc[gene]
        assert row["note"] == "constant" or row["ci_low"] <= 0, (method, gene)
    assert rows.loc["ITPA", "pearson_r"] >= (0.25 if method == "top1" else 0.35)
    assert rows.loc["PSMF1", "n"] == 0
    assert rows.loc["PSMF1", "note"] == "no test people"


def test_baselines_over_five_folds(real_store: Path, tmp_path: Path, analysis: Analysis) -> None:
    methods = ["top1", "lasso", "enet", "blup", "pcs"]
    per_gene = five_folds(real_store, tmp_path / "cv", analysis, methods)
    for method in methods[:-1]:
        check(per_gene, method)
    summary = pd.read_csv(tmp_path / "cv/out/summary.tsv", sep="\t")
    assert summary["n_genes"].tolist() == [8] * len(methods)
    # Ancestry alone does not do what variants do, within Europe.
    means = summary.set_index("method")["mean_pearson_r"]
    assert means["pcs"] < 0.05 < means[methods[:-1]].min()


@pytest.mark.slow
def test_bslmm_over_five_folds(real_store: Path, tmp_path: Path, analysis: Analysis) -> None:
    check(five_folds(real_store, tmp_path / "bslmm", analysis, ["bslmm"]), "bslmm")


def test_a_held_out_population(real_store: Path, tmp_path: Path, analysis: Analysis) -> None:
    analysis("split", real_store, "--name", "fin", "--test-population", "FIN")
    analysis("baselines", real_store, "--split", "fin", "--methods", "top1", "--output", tmp_path / "base")
    predictions = f"top1={tmp_path}/base/top1.zarr"
    analysis(
        "evaluate", real_store, "--split", "fin", "--predictions", predictions, "--output", tmp_path / "out"
    )
    per_gene = pd.read_csv(tmp_path / "out/per_gene.tsv", sep="\t").set_index("gene")
    assert per_gene.loc["ITPA", "n"] == 92
    assert set(per_gene["gene_class"]) == {"population_split"}
