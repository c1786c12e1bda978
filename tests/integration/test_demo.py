"""`make demo` is what it says it is: the study's pattern, from files, on a laptop."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_shows_the_pattern_of_the_study(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "trainer").symlink_to(ROOT / "trainer")
    # `setup` stands for this environment: the recipe runs as it is, in a folder of its own.
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    subprocess.run(["make", "--assume-old=setup", "demo"], cwd=tmp_path, check=True)
    summary = pd.read_csv(tmp_path / "demo/summary.tsv", sep="\t").set_index(["method", "gene_class"])
    assert summary["n_genes"].min() >= 10
    for gene_class in ("random_split", "population_split"):
        enet = summary.loc[("enet", gene_class), "mean_pearson_r"]
        assert enet > 0.3, "the baseline itself works"
        model = summary.loc[("pairwise_regression", gene_class), "mean_pearson_r"]
        assert model >= 0.8 * enet
    for method in ("pairwise_regression", "enet"):
        for gene_class in ("unseen", "negative_control"):
            row = summary.loc[(method, gene_class)]
            assert row["ci_low"] <= 0 <= row["ci_high"] or abs(row["mean_pearson_r"]) < 0.05
    for figure in ("by_class.png", "gene_wise.png"):
        assert (tmp_path / "demo/evaluation" / figure).stat().st_size > 10_000
