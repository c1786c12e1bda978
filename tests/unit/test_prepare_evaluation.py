"""What an evaluation says about how its expression was prepared, and on whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analysis_datasets import random_cohort, save_store

from analysis.__main__ import COMMANDS
from analysis.expression import recipe_in
from seqstore import open_store
from seqstore.commands import run
from seqstore.errors import InputError
from seqstore.predictions import write_predictions

TESTED = 24  # of 120 people


def recipe(labels: list[str] | None, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """As `seqstore expression` writes it, as far as it is shown."""
    return {
        "steps": ["ln(TPM + 0.01)", "10 principal components removed"],
        "fit": {
            "on": "all" if labels is None else "lists/train.txt",
            "individuals": 120 if labels is None else len(labels),
            "labels": labels,
        },
        "individuals": {"kept": 120},
        "input": {"recipe": given},
    }


def call(*argv: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        run("python -m analysis", COMMANDS, [str(word) for word in argv])
    return int(stopped.value.code or 0)


def evaluated(tmp_path: Path, recipes: dict[str, Any] | None) -> Path:
    """A store with recipes, split and evaluated: the folder of the evaluation."""
    dataset, variants, _ = random_cohort(4)
    contigs = pd.array(["chr1", "chr1", "chr3", "chr3"], dtype=object)
    dataset = dataset.assign_coords(contig=("gene", contigs))
    if recipes is not None:
        dataset.attrs["expression_recipe"] = recipes
    store = save_store(tmp_path / "store.zarr", dataset, variants)
    assert call("split", store, "--name", "main", "--random-contigs", "chr1", "--unseen-contigs", "chr3") == 0
    results, predictions = tmp_path / "results", tmp_path / "predictions.zarr"
    values = np.random.default_rng(0).normal(size=(4, 120))
    labels = {name: dataset[name].values for name in ("gene", "individual")}
    write_predictions(predictions, values, name="noise", **labels)
    options = ("--predictions", f"noise={predictions}", "--output", results, "--draws", "50")
    assert call("evaluate", store, "--split", "main", *options) == 0
    return results


def test_fitted_on_all_means_the_test_people_were_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = evaluated(tmp_path, {"LCL": recipe(None)})
    assert (
        "expression: ln(TPM + 0.01); 10 principal components removed; fitted on all 120 people; test people among "
        "them: 24 of 24 (random_split), 120 of 120 (unseen)\n"
    ) in capsys.readouterr().out
    summary = pd.read_csv(results / "summary.tsv", sep="\t")
    assert dict(zip(summary["gene_class"], summary["expression_fitted_on"], strict=True)) == {
        "random_split": "all 120 people, 24 of 24 test people among them",
        "unseen": "all 120 people, 120 of 120 test people among them",
    }
    assert json.loads((results / "expression.json").read_text()) == recipe(None)


def test_fitted_on_a_list_it_is_counted_who_of_it_tests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [f"person{number:03d}" for number in range(120)]
    results = evaluated(tmp_path, {"LCL": recipe(people[:90])})
    split = xr.open_zarr(tmp_path / "store.zarr", group="splits/main", consolidated=False)["split"].values[0]
    seen = int((split[:90] == 3).sum())
    assert 0 < seen < TESTED
    said = f"90 of 120 people (train.txt), {seen} of 24 test people among them"
    assert pd.read_csv(results / "summary.tsv", sep="\t")["expression_fitted_on"][0] == said
    assert f"{seen} of 24 (random_split), 90 of 120 (unseen)\n" in capsys.readouterr().out


def test_an_earlier_fit_on_all_is_not_forgotten(tmp_path: Path) -> None:
    chained = recipe(["person000"], given=recipe(None))
    results = evaluated(tmp_path, {"LCL": chained})
    assert pd.read_csv(results / "summary.tsv", sep="\t")["expression_fitted_on"][0] == (
        "all 120 people; then 1 of 120 people (train.txt), 24 of 24 test people among them"
    )


@pytest.mark.parametrize("recipes", [None, {"blood": recipe(None)}])
def test_without_a_recipe_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recipes: dict[str, Any] | None
) -> None:
    results = evaluated(tmp_path, recipes)
    assert "expression" not in capsys.readouterr().out
    assert not (results / "expression.json").exists()
    assert "expression_fitted_on" not in pd.read_csv(results / "summary.tsv", sep="\t")


def test_the_recipe_of_an_assay(tmp_path: Path) -> None:
    dataset, variants, _ = random_cohort(2)
    both = xr.concat([dataset, dataset.assign_coords(assay=["blood"])], "assay", data_vars="minimal")
    both.attrs = dataset.attrs | {"expression_recipe": {"blood": recipe(None)}}
    store = open_store(save_store(tmp_path / "store.zarr", both, variants))
    assert recipe_in(store, assay="blood") == recipe(None)
    assert recipe_in(store, assay="LCL") is None
    with pytest.raises(InputError, match="the store has 2 assays: choose one with --assay"):
        recipe_in(store)
    with pytest.raises(InputError, match="no assay 'skin'"):
        recipe_in(store, assay="skin")
