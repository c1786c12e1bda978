"""Variants that training people show, and expression on their scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_datasets import random_cohort, save_store, store_of, variants_of
from scipy import stats

from analysis.__main__ import COMMANDS
from analysis.census import census, variant_census
from analysis.expression import expression_of, expression_scales
from analysis.split_tables import split_dataset
from seqstore import write_split
from seqstore.commands import run

ROLES = np.array([[1, 1, 2, 3, 3, 0]], dtype=np.int8)


def test_who_carries_which_allele() -> None:
    store = store_of(["chr1"], 6)
    dosages = np.array(
        [
            [1, 0, 0, 1, 0, 0],  # train and test
            [0, 0, 0, 2, 1, 0],  # test only
            [0, 0, 1, 1, 0, 0],  # validation and test
            [0, 0, 1, 0, 0, 0],  # validation only
            [0, 0, 0, 0, 0, 2],  # nobody of the split
            [2, 2, 2, 1, 2, 0],  # every training person has ALT twice, a test person REF
            [2, 0, 0, 0, 0, 0],  # train only
        ]
    )
    calls = np.stack([(dosages > 0), (dosages > 1)], axis=-1).astype(np.int8)
    calls[0, 1] = -1  # missing
    variants = variants_of(store, calls, range(10_000, 10_007), [("A", "C")] * 7, [(0, 7)])
    people = store["individual"].values.tolist()
    split = split_dataset(ROLES, ["random_split"], ["gene0"], people)
    table = variant_census(variants, split["split"], "gene0")
    assert table["variant_id"].tolist() == ["rs0", "rs1", "rs2", "rs3", "rs5", "rs6"]
    assert table["seen_in"].tolist() == [
        "train+test", "test", "validation+test", "validation", "train+validation+test", "train",
    ]  # fmt: skip
    assert table["unseen_alleles"].tolist() == [0, 1, 1, 0, 1, 0]
    assert table["alt_frequency_train"].tolist() == [0.5, 0, 0, 0, 1, 0.5]
    assert table["maf_train"].tolist() == [0.5, 0, 0, 0, 0, 0.5]
    assert table["alt_frequency_test"].tolist() == [0.25, 0.75, 0.25, 0, 0.75, 0]
    genes, listed = census(variants, split)
    pd.testing.assert_frame_equal(listed, table, check_dtype=False)
    row = genes.iloc[0]
    assert row[["n_train", "n_validation", "n_test", "n_variants"]].tolist() == [2, 1, 2, 6]
    assert row[["seen_in_train", "only_in_validation", "only_in_test"]].tolist() == [3, 1, 1]
    assert row["percent_only_in_test"] == pytest.approx(100 / 6)
    assert row[["unseen_alleles", "common_in_train"]].tolist() == [3, 2]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, variants, _ = random_cohort(3)
    store = save_store(tmp_path / "store.zarr", dataset, variants)
    roles = np.ones((3, 120), dtype=np.int8)
    roles[0, 60:], roles[1], roles[2] = 3, 3, 0
    write_split(store, "s", split=roles, gene_class=["random_split", "unseen", "unused"])
    out, listed = tmp_path / "census.tsv", tmp_path / "variants.tsv.gz"
    argv = ["census", str(store), "--split", "s", "--output", str(out), "--variants", str(listed)]
    with pytest.raises(SystemExit) as stopped:
        run("python -m analysis", COMMANDS, argv)
    assert stopped.value.code == 0
    genes, table = pd.read_csv(out, sep="\t"), pd.read_csv(listed, sep="\t")
    assert genes["gene"].tolist() == ["gene0", "gene1"]
    assert genes["n_variants"].tolist() == table.groupby("gene").size().tolist()
    assert genes["seen_in_train"].tolist()[1] == 0
    assert genes["percent_only_in_test"].tolist()[1] == 100
    assert table["maf_train"].isna().tolist() == (table["gene"] == "gene1").tolist()
    assert "means over the genes of a class" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        run("python -m analysis", COMMANDS, argv)
    assert stopped.value.code == 2
    assert "exists already" in capsys.readouterr().err


def test_scales_are_those_of_training_people() -> None:
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(3, 2, size=(3, 30)), 1)
    store = store_of(["chr1"] * 3, 30, expression=values)
    store["expression"][0, 0, 4] = np.nan
    roles = np.where(np.arange(30) < 20, 1, 3).astype(np.int8) * np.ones((3, 1), dtype=np.int8)
    roles[2] = 3
    split = split_dataset(
        roles, ["random_split"] * 2 + ["unseen"], store["gene"].values, store["individual"].values
    )
    expression = expression_of(store)
    scales = expression_scales(expression, split["split"])
    known = expression.values[:, :20]
    for gene in range(2):
        among = known[gene][np.isfinite(known[gene])]
        expected = (expression.values[gene] - among.mean()) / among.std()
        np.testing.assert_allclose(scales["z"][gene], expected)
        ranks = [
            np.nan if np.isnan(v) else stats.percentileofscore(among, v) for v in expression.values[gene]
        ]
        np.testing.assert_allclose(scales["percentile"][gene], ranks)
    assert np.isnan(scales["z"][2]).all()
    assert np.isnan(scales["percentile"][2]).all()
    everyone = expression_scales(expression)
    np.testing.assert_allclose(everyone["z"][1], stats.zscore(expression.values[1]))
