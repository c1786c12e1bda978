"""The published numbers of the study, out of its own tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analysis.__main__ import COMMANDS
from analysis.gene_classes import classes_by_share
from analysis.split_tables import read_split_table
from seqstore.commands import run

SHARES = (20, 40, 60, 80)
BLUP = {"random_split": 0.2827, "population_split": 0.1624}
PUBLISHED = {
    "blup": BLUP,
    "enet": {"random_split": 0.2826, "population_split": 0.1600},
    "top1": {"random_split": 0.2586, "population_split": 0.1478},
}


@pytest.fixture(scope="module")
def paper(real: Path) -> Path:
    return real / "paper"


@pytest.fixture(scope="module")
def evaluated(paper: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The tables of the command of docs/results.md, with fewer draws."""
    output = tmp_path_factory.mktemp("paper") / "published"
    curve = "fusion_scaling_predictions.blup.subset_{}.replicate_1.csv.gz"
    arguments = [
        *("evaluate", "--split", paper / "sample_splits.csv.gz", "--gene-class", paper / "gene_class.csv"),
        "--expression",
        *(paper / f"observed_expression.{name}_split.csv.gz" for name in ("random", "population")),
        "--predictions",
        *(f"{method}={paper}/fusion_predictions.{method}.csv.gz" for method in PUBLISHED),
        *(f"blup@0.{share // 10}={paper / curve.format(share)}" for share in SHARES),
        *("--heritability", paper / "heritability.all_samples.tsv", "--draws", "20", "--output", output),
    ]
    with pytest.raises(SystemExit) as stopped:
        run("python -m analysis", COMMANDS, [str(argument) for argument in arguments])
    assert stopped.value.code == 0
    return {path.stem: pd.read_csv(path, sep="\t") for path in output.glob("*.tsv")}


def test_mean_r_of_the_baselines(evaluated: dict[str, pd.DataFrame], paper: Path) -> None:
    summary = evaluated["summary"].set_index(["method", "gene_class"])
    for method, published in PUBLISHED.items():
        for gene_class, r in published.items():
            assert summary.loc[(method, gene_class), "n_genes"] == 200
            assert summary.loc[(method, gene_class), "mean_pearson_r"] == pytest.approx(r, abs=2e-4)
    # |r| too, which is in the published table with all its digits.
    table = pd.read_csv(paper / "perf_summary.csv").set_index("Model")
    for method, model in (("blup", "BLUP"), ("enet", "Elastic net/\nPrediXcan"), ("top1", "Top SNP")):
        for gene_class, name in (("random_split", "random_split"), ("population_split", "yri_split")):
            expected = table.loc[model, f"{name} Genes Avg |PearsonR|"]
            assert summary.loc[(method, gene_class), "mean_abs_r"] == pytest.approx(expected, abs=2e-4)
    # The population split is tested by the Yoruba alone, and populations are not told: r is that of all.
    assert (evaluated["summary"]["populations"] == 1).all()


def test_learning_curve_of_blup(evaluated: dict[str, pd.DataFrame], paper: Path) -> None:
    published = pd.read_csv(paper / "fusion_scaling.csv")
    published = published[published["Replicate"] == 1].set_index("Subsample Ratio")
    curve = evaluated["learning_curve"].set_index(["gene_class", "share"])
    for share in (*SHARES, 100):
        for gene_class, name in (("random_split", "random_split"), ("population_split", "yri_split")):
            expected = published.loc[share, f"{name} Genes Avg PearsonR"]
            assert curve.loc[(gene_class, share / 100), "mean_pearson_r"] == pytest.approx(expected, abs=2e-4)


def test_heritability_of_the_classes(evaluated: dict[str, pd.DataFrame]) -> None:
    ceiling = evaluated["ceiling"].set_index(["method", "gene_class"])
    for gene_class, h in (("random_split", 0.337), ("population_split", 0.308)):
        assert ceiling.loc[("blup", gene_class), "mean_h"] == pytest.approx(h, abs=5e-4)
        assert ceiling.loc[("blup", gene_class), "n_genes"] == 200
        ratio = BLUP[gene_class] / h
        assert ceiling.loc[("blup", gene_class), "r_over_h"] == pytest.approx(ratio, abs=2e-3)


def test_constant_predictions_are_counted(evaluated: dict[str, pd.DataFrame]) -> None:
    constant = evaluated["summary"].set_index(["method", "gene_class"])["n_constant"]
    assert constant[("enet", "random_split")] == 15
    assert constant[("enet", "population_split")] == 14
    assert constant[("top1", "population_split")] == 12
    aside = evaluated["per_gene"][evaluated["per_gene"]["note"] == "constant"]
    assert (aside["pearson_r"] == 0).all()
    assert aside[["p", "q"]].isna().all(axis=None)


def test_who_trains_and_tests(paper: Path) -> None:
    split = read_split_table(paper / "sample_splits.csv.gz")
    roles = split["split"].values
    counts = Counter(tuple(int((gene == role).sum()) for role in (1, 2, 3)) for gene in roles)
    assert counts == {(327, 17, 77): 400, (0, 0, 421): 100}
    assert Counter(split["gene_class"].values) == {"random_split": 400, "unseen": 100}


def test_classes_of_the_study(paper: Path) -> None:
    contigs = pd.read_csv(paper / "gene_list.csv.gz", header=None, dtype=str)[1].to_numpy(dtype=object)
    classes = classes_by_share(xr.Dataset(coords={"contig": ("gene", contigs)}), population=True)
    chromosomes = {
        gene_class: sorted(int(c) for c in set(contigs[np.array(classes) == gene_class]))
        for gene_class in ("random_split", "population_split", "unseen")
    }
    assert chromosomes == {
        "random_split": [1, 6, 11, 17, 19, 21],
        "population_split": [2, 3, 4, 5, 7, 9, 10, 12, 13],
        "unseen": [8, 14, 15, 16, 18, 20, 22],
    }
    assert Counter(classes) == {"random_split": 1302, "population_split": 1287, "unseen": 670}
