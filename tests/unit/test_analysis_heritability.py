"""Heritability of a store's genes: whose expression, whose variants, and what is written where there is no estimate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analysis_datasets import random_cohort, save_store

from analysis.__main__ import COMMANDS
from analysis.expression import expression_of
from analysis.heritability import COLUMNS, heritability, mean_by_class
from analysis.reml import reml
from analysis.splits import split_people
from seqstore import open_split
from seqstore.commands import run
from seqstore.dosage import dosage_of


def cohort(n_genes: int = 4, **options: int) -> tuple[xr.DataArray, xr.Dataset, xr.Dataset]:
    store, variants, _ = random_cohort(n_genes, **options)  # type: ignore[arg-type]
    classes = ["random_split"] * (n_genes - 1) + ["unseen"]
    return expression_of(store), variants, split_people(store, classes, seed=1)


def direct(
    expression: xr.DataArray, variants: xr.Dataset, gene: int, who: np.ndarray, common: np.ndarray
) -> float:
    dosage = dosage_of(variants, f"gene{gene}")["dosage"].values.astype(float)
    frequency = dosage[common].mean(axis=0) / 2
    kept = (np.minimum(frequency, 1 - frequency) >= 0.05) & (dosage[who].std(axis=0) > 0)
    chosen = dosage[who][:, kept]
    return reml((chosen - chosen.mean(axis=0)) / chosen.std(axis=0), expression.values[gene, who]).h2


def test_the_studys_three_settings() -> None:
    expression, variants, split = cohort(n_people=200)
    expression[0, 7] = np.nan
    roles, everyone = split["split"].values, np.ones(200, dtype=bool)
    everyone[7] = False
    tables = {
        "all": heritability(expression, variants, split),
        "test": heritability(expression, variants, split, people="test"),
        "train": heritability(expression, variants, split, people="test", variants_of="train"),
    }
    test, train = (roles[0] == 3) & everyone, (roles[0] == 1) & everyone
    for name, who, common in (("all", everyone, everyone), ("test", test, test), ("train", test, train)):
        table = tables[name]
        assert list(table) == COLUMNS
        assert table["n_people"][0] == who.sum()
        assert table["h2"][0] == pytest.approx(direct(expression, variants, 0, who, common), rel=1e-6)
    assert tables["all"]["converged"].all()
    assert (tables["test"]["n_variants"] != tables["train"]["n_variants"]).any()
    assert tables["all"]["gene_class"].tolist() == ["random_split"] * 3 + ["unseen"]
    assert tables["train"]["note"][3] == "no training people whose variants to take"
    assert (tables["all"]["p"] < 0.01).all()
    pd.testing.assert_frame_equal(
        tables["all"], heritability(expression, variants, split, constrained=True), rtol=1e-4
    )


def test_genes_without_an_estimate() -> None:
    expression, variants, split = cohort()
    expression[0] = np.nan
    expression[1] = 2.5
    nothing = variants.assign(
        gene_variant_start=variants["gene_variant_stop"].where(variants["gene"] == "gene2", 0)
    )
    nothing["gene_variant_stop"] = variants["gene_variant_stop"]
    nothing["gene_variant_start"][3] = int(variants["gene_variant_start"][3])
    table = heritability(expression, nothing, split)
    notes = ["only 0 people", "expression does not vary", "no variant with MAF >= 0.05", ""]
    assert table["note"].tolist() == notes
    assert table["converged"].tolist() == [False, False, False, True]
    assert table[["h2", "se", "p"]].isna().all(axis=1).tolist() == [True, True, True, False]
    study = heritability(expression, nothing, split, study=True)
    assert (study.loc[:2, ["h2", "se", "p"]] == 0).all(axis=None)
    assert study.loc[3].equals(table.loc[3])
    assert study["converged"].tolist() == table["converged"].tolist()
    means = mean_by_class(table).set_index("gene_class")
    assert means.loc["random_split", ["genes", "failed", "significant"]].tolist() == [3, 3, 0]
    assert np.isnan(means.loc["random_split", "mean_h"])
    assert mean_by_class(study)["mean_h"].tolist() == [0, pytest.approx(np.sqrt(table["h2"][3]))]


def test_narrower_window_and_maf() -> None:
    expression, variants, split = cohort()
    whole = heritability(expression, variants, split)
    narrow = heritability(expression, variants, split, length=100)
    assert (narrow["n_variants"] < whole["n_variants"]).all()
    assert (heritability(expression, variants, split, maf=0.3)["n_variants"] < whole["n_variants"]).all()


def test_mean_of_h_takes_negative_estimates_as_0() -> None:
    table = pd.DataFrame(
        {
            "gene_class": ["random_split"] * 3 + ["population_split"] * 2,
            "h2": [0.25, -0.04, np.nan, 0.09, 0.49],
            "p": [0.01, 1.0, np.nan, 0.2, 0.001],
            "converged": [True, True, False, True, True],
        }
    )
    means = mean_by_class(table)
    assert means.values.tolist() == [
        ["random_split", 3, 1, 0.25, pytest.approx(0.105), 1],
        ["population_split", 2, 0, pytest.approx(0.5), pytest.approx(0.29), 1],
    ]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    dataset, variants, _ = random_cohort(3)
    return save_store(tmp_path / "store.zarr", dataset, variants)


def call(*argv: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        run("python -m analysis", COMMANDS, [str(word) for word in argv])
    return int(stopped.value.code or 0)


def test_command(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("split", store, "--name", "main") == 0
    capsys.readouterr()
    path = tmp_path / "made" / "h2.tsv"
    options = ("--people", "test", "--variants-of", "train", "--maf", "0.1", "--length", "120")
    assert call("heritability", store, "--split", "main", "--output", path, *options) == 0
    printed = capsys.readouterr().out
    assert "random_split" in printed
    assert str(path) in printed
    table = pd.read_csv(path, sep="\t")
    assert list(table) == COLUMNS
    assert table["n_people"].tolist() == [int((open_split(store, "main")["split"][0] == 3).sum())] * 3
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "other"), "has no split 'other'"),
        (("--split", "main", "--people", "some"), "people: expected one of"),
        (("--split", "main", "--maf", "0.5"), "--maf 0.5: give a frequency from 0 up to 0.5"),
        (("--split", "main", "--length", "99"), "length 99: give an even number of bases"),
        (("--split", "main", "--assay", "liver"), "no assay 'liver'"),
    ],
)
def test_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert call("split", store, "--name", "main") == 0
    capsys.readouterr()
    assert call("heritability", store, "--output", tmp_path / "h2.tsv", *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "h2.tsv").exists()


def test_a_table_is_not_written_over(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "h2.tsv").write_text("mine")
    assert call("heritability", store, "--split", "main", "--output", tmp_path / "h2.tsv") == 2
    assert "h2.tsv: exists already" in capsys.readouterr().err
