"""Leakage and the variant census of real neighbouring genes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.leakage import leakage_of, overlaps_of
from seqstore import open_split, open_store, open_variants
from seqstore.dosage import dosage_of
from tests.real.conftest import Analysis


def test_neighbouring_windows_overlap(real_store: Path) -> None:
    dataset = open_store(real_store)
    order = np.argsort(dataset["window_start"].values).tolist()
    neighbours = {frozenset(pair) for pair in itertools.pairwise(order)}
    assert len(neighbours) == 53
    assert len(neighbours & {frozenset(pair) for pair in overlaps_of(dataset)}) == 33


def test_check_and_census(
    real_store: Path, tmp_path: Path, analysis: Analysis, capsys: pytest.CaptureFixture[str]
) -> None:
    analysis("split", real_store, "--name", "study", "--per-gene", "--train-share", "0.5", "--seed", "3")
    capsys.readouterr()
    analysis("split", real_store, "--check", "study")
    assert "not assessable" in capsys.readouterr().out
    dataset, split = open_store(real_store), open_split(real_store, "study")
    report = leakage_of(dataset, split).set_index("check")
    found = report.loc["test cells whose person trains an overlapping gene"]
    assert found["of"] == 54 * 101  # a fifth of 503 people
    assert 0.3 < found["found"] / found["of"] < 0.9
    # With the same people for every gene nobody who tests has trained a neighbour.
    analysis("split", real_store, "--name", "shared", "--seed", "3")
    shared = leakage_of(dataset, open_split(real_store, "shared")).set_index("check")["found"]
    assert shared["test cells whose person trains an overlapping gene"] == 0

    analysis("split", real_store, "--name", "held-out", "--test-population", "FIN")
    shares = {}
    for name in ("shared", "held-out"):
        output = tmp_path / f"{name}.tsv"
        analysis("census", real_store, "--split", name, "--output", output)
        table = pd.read_csv(output, sep="\t")
        assert len(table) == 54
        shares[name] = table["percent_only_in_test"].mean()
        gene = table.iloc[7]
        dosage = dosage_of(open_variants(real_store), gene["gene"])["dosage"].values
        roles = open_split(real_store, name)["split"].sel(gene=gene["gene"]).values
        carried = {role: (dosage[roles == role] > 0).any(axis=0) for role in (1, 2, 3)}
        assert gene["n_variants"] == (carried[1] | carried[2] | carried[3]).sum()
        assert gene["seen_in_train"] == carried[1].sum()
        assert gene["only_in_test"] == (carried[3] & ~carried[1] & ~carried[2]).sum()
    assert shares["held-out"] > 0
    assert shares["shared"] > 0
