"""The elastic net on real genes: what is known to be predictable is predicted, and what is not is not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.real.conftest import Analysis


def test_elastic_net_over_five_folds(real_store: Path, tmp_path: Path, analysis: Analysis) -> None:
    analysis("split", real_store, "--name", "cv", "--folds", "5")
    folds = [f"cv-fold{fold}" for fold in range(5)]
    for fold in folds:
        output = tmp_path / fold
        analysis(
            "baselines", real_store, "--split", fold, "--methods", "enet", "--output", output, "--jobs", "2"
        )
    predictions = f"enet={tmp_path}/{{split}}/enet.zarr"
    analysis(
        "evaluate", real_store, "--split", *folds, "--predictions", predictions, "--output", tmp_path / "out"
    )
    per_gene = pd.read_csv(tmp_path / "out/per_gene.tsv", sep="\t").set_index("gene")
    assert len(per_gene) == 54
    assert per_gene.loc["ITPA", "pearson_r"] >= 0.35
    assert per_gene.loc["ITPA", "ci_low"] > 0
    for gene in ("PTPRA", "MAVS"):
        row = per_gene.loc[gene]
        assert row["note"] == "constant" or row["ci_low"] <= 0 <= row["ci_high"]
    assert per_gene.loc["PSMF1", "n"] == 0
    assert per_gene.loc["PSMF1", "note"] == "no test people"
    summary = pd.read_csv(tmp_path / "out/summary.tsv", sep="\t")
    assert summary["n_genes"].tolist() == [8]


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
