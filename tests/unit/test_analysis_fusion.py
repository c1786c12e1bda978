"""Weights that FUSION wrote: read in every form, matched to the store's variants, and predicted with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analysis_datasets import random_cohort, save_store, store_of, variants_of
from r_workspace import save_weights
from test_analysis_commands import call, refused

from analysis.baselines import fit_baselines
from analysis.expression import expression_of
from analysis.fusion import matched, predict_from_fusion
from analysis.fusion_files import read_exports, read_weight_table, sources_of
from analysis.splits import split_people
from seqstore.dosage import dosage_of
from seqstore.errors import InputError
from seqstore.predictions import open_predictions

POSITIONS = [9_800, 9_900, 10_000, 10_100, 10_200, 10_300]
ALLELES = [("A", "G"), ("C", "T"), ("A", "T"), ("G", "A"), ("T", "C"), ("C", "A")]


def cohort() -> tuple[xr.DataArray, xr.Dataset, xr.DataArray]:
    """One gene, 40 people of whom 30 train, and six variants; the last does not vary among those who train."""
    rng = np.random.default_rng(0)
    calls = rng.integers(0, 2, size=(6, 40, 2)).astype(np.int8)
    calls[5, :30] = 0
    calls[0, 3] = -1
    store = store_of(["chr1"], 40, expression=rng.normal(5, 2, size=(1, 40)))
    variants = variants_of(store, calls, POSITIONS, ALLELES, [(0, 6)])
    split = xr.zeros_like(store["expression"][0], dtype=np.int8) + np.where(np.arange(40) < 30, 1, 3)
    return expression_of(store), variants, split.drop_vars("assay")


def by_hand(weights: dict[int, float]) -> np.ndarray:
    """The study's prediction: the training mean, and weights times dosages standardised on training people."""
    expression, variants, _ = cohort()
    dosage = dosage_of(variants, "gene0")["dosage"].values.astype(float)
    dosage = np.where(np.isnan(dosage), np.nanmean(dosage[:30], axis=0), dosage)
    train = dosage[:30]
    prediction = np.full(40, expression.values[0, :30].mean())
    for variant, weight in weights.items():
        prediction += weight * (dosage[:, variant] - train[:, variant].mean()) / train[:, variant].std()
    return prediction


def test_text_exports_predict_as_the_study_did(tmp_path: Path) -> None:
    (tmp_path / "gene0.enet.weights.txt").write_text(
        "snp_1_9800\tG\tA\t 0.500\n"
        "snp_1_9900\tC\tT\t-0.250\n"  # A1 is REF: the sign turns
        "snp_1_10100\tT\tC\t 0.125\n"  # of the other strand: A is T there
        "snp_1_10000\tTRUE\tA\t 1.000\n"  # T, as R has it; the same on both strands
        "snp_1_10300\tA\tC\t 2.000\n"  # does not vary
        "snp_1_11111\tA\tC\t 3.000\n"  # absent
        "snp_1_10200\tG\tT\t 4.000\n"  # other alleles
        "snp_1_10200\tC\tT\t    NA\n"
    )
    (tmp_path / "gene0.lasso.weights.txt").write_text("")
    fitted = predict_from_fusion(tmp_path, *cohort())
    assert fitted.prediction["method"].values.tolist() == ["fusion_enet", "fusion_lasso"]
    expected = by_hand({0: 0.5, 1: 0.25, 3: 0.125, 2: 1.0})
    np.testing.assert_allclose(fitted.prediction.values[0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(fitted.prediction.values[1, 0], by_hand({}), rtol=1e-6)
    rows = fitted.genes.set_index("method")
    assert rows.loc["fusion_enet", ["n_people", "n_variants", "n_weights"]].tolist() == [30, 7, 4]
    note = rows.loc["fusion_enet", "note"]
    assert note.startswith("of 7 variants ")
    assert set(note.removeprefix("of 7 variants ").split(", ")) == {
        "2 absent",
        "1 with swapped alleles",
        "1 on the other strand",
        "1 strand-ambiguous",
        "1 the same in all training people",
    }
    assert rows.loc["fusion_lasso", "note"] == "no weights"
    # The tables say how to predict elsewhere.
    dosage = dosage_of(cohort()[1], "gene0")["dosage"].values
    row, weights = rows.loc["fusion_enet"], fitted.weights
    assert weights["position"].tolist() == [9_800, 9_900, 10_000, 10_100]
    people = np.arange(40) != 3
    by_table = row["intercept"] + dosage[:, :4] @ weights["weight"].to_numpy()
    np.testing.assert_allclose(by_table[people], expected[people], rtol=1e-6)


def test_workspaces_predict_the_same(tmp_path: Path) -> None:
    pytest.importorskip("rdata", reason="R workspaces need the package rdata")
    bim = [
        (1, "snp_1_9800", 0, 9_800, "G", "A"),
        (1, "snp_1_9900", 0, 9_900, "C", "T"),
        (1, "x", 0, 7, "C", "T"),
    ]
    weights = np.array([[3.0, 0.5, np.nan], [-4.0, -0.25, np.nan], [1.0, 0.0, np.nan]])
    save_weights(tmp_path / "panel.7.wgt.RDat", bim, ["top1", "enet", "bslmm"], weights)
    (tmp_path / "panel.pos").write_text("WGT ID CHR P0 P1\nWEIGHTS/panel.7.wgt.RDat gene0 1 1 2\n")
    fitted = predict_from_fusion(tmp_path, *cohort())
    # top1 holds the z of every variant: the largest counts
    for number, expected in enumerate((by_hand({1: 4.0}), by_hand({0: 0.5, 1: 0.25}), by_hand({}))):
        np.testing.assert_allclose(fitted.prediction.values[number, 0], expected, rtol=1e-6)
    assert fitted.genes["n_variants"].tolist() == [1, 2, 0]
    only = predict_from_fusion(tmp_path, *cohort(), models=["enet"])
    np.testing.assert_array_equal(only.prediction.values[0], fitted.prediction.values[1])


def test_a_column_of_nothing_but_t_is_not_logical(tmp_path: Path) -> None:
    pytest.importorskip("rdata", reason="R workspaces need the package rdata")
    bim = [(1, "snp_1_9900", 0, 9_900, "T", "C"), (1, "snp_1_10000", 0, 10_000, "T", "A")]
    path = tmp_path / "gene0.wgt.RDat"
    save_weights(path, bim, ["blup"], np.array([[0.5], [1.0]]), logical_a1=True)
    fitted = predict_from_fusion(tmp_path, *cohort())
    np.testing.assert_allclose(fitted.prediction.values[0, 0], by_hand({1: 0.5, 2: 1.0}), rtol=1e-6)


def test_weights_per_allele_of_a_table(tmp_path: Path) -> None:
    header = "gene\tSNP\tCHR\tpos\tA2\tA1\tsparse\tdense\n"
    rows = [
        "gene0\trs0\t1\t9800\tA\tG\t1\t0.5\n",
        "gene0\trs4\tchr1\t10200\tT\tC\tNA\t0.25\n",
        "other\tx\t1\t5\tA\tC\t1\t1\n",
    ]
    (tmp_path / "mine.weights.tsv").write_text(header + "".join(rows))
    expression, variants, split = cohort()
    fitted = predict_from_fusion(tmp_path, expression, variants, split, per="allele")
    assert fitted.prediction["method"].values.tolist() == ["fusion_sparse", "fusion_dense"]
    dosage = dosage_of(variants, "gene0")["dosage"].values.astype(float)
    mean = expression.values[0, :30].mean()
    people = np.arange(40) != 3
    centre = np.nanmean(dosage[:30], axis=0)
    np.testing.assert_allclose(
        fitted.prediction.values[0, 0, people], (mean + dosage[:, 0] - centre[0])[people], rtol=1e-6
    )
    expected = mean + (dosage - centre)[:, [0, 4]] @ [0.5, 0.25]
    np.testing.assert_allclose(fitted.prediction.values[1, 0, people], expected[people], rtol=1e-6)


def test_variants_without_a_position_match_by_id() -> None:
    _, variants, _ = cohort()
    window = dosage_of(variants, "gene0")
    table = pd.DataFrame(
        [("rs1", "", -1, "T", "C"), ("rs9", "", -1, "T", "C"), ("rs0", "chr2", 9_800, "G", "A")],
        columns=["variant_id", "contig", "position", "effect", "other"],
    )
    assert matched(table, window)["variant"].tolist() == [1, -1, -1]


def test_what_was_written_here_predicts_the_same_when_it_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, variants, _ = random_cohort(3)
    store = save_store(tmp_path / "store.zarr", dataset, variants)
    assert call("split", store, "--name", "s", "--random-contigs", "chr1") == 0
    ours, imported = tmp_path / "ours", tmp_path / "imported"
    assert call("baselines", store, "--split", "s", "--methods", "enet,blup", "--output", ours) == 0
    options = ("--import-fusion", ours, "--weights-per", "allele")
    assert call("baselines", store, "--split", "s", *options, "--output", imported) == 0
    assert "fusion_blup: 3 of 3 genes trained, 0 of them constant" in capsys.readouterr().out
    for method in ("enet", "blup"):
        theirs = open_predictions(imported / f"fusion_{method}.zarr")
        assert theirs.attrs["split"] == "s"
        expected = open_predictions(ours / f"{method}.zarr")["prediction"]
        np.testing.assert_allclose(theirs["prediction"].values, expected.values, rtol=1e-5)
        tables = [
            pd.read_csv(f / f"{n}.weights.tsv", sep="\t")
            for f, n in ((ours, method), (imported, f"fusion_{method}"))
        ]
        pd.testing.assert_frame_equal(*tables, rtol=1e-7)

    again = ("baselines", store, "--split", "s", "--output", imported, *options)
    assert "fusion_blup.zarr: exists already" in refused(capsys, *again)
    elsewhere = ("baselines", store, "--split", "s", "--output", tmp_path / "no", *options)
    assert "no model 'bslmm': there is blup, enet" in refused(capsys, *elsewhere, "--methods", "bslmm")
    assert "--length" in refused(capsys, *elsewhere, "--length", "100")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (None, "", "has no weights (GENE.wgt.RDat, GENE.MODEL.weights.txt or NAME.weights.tsv)"),
        (
            "other.enet.weights.txt",
            "snp_1_9800\tG\tA\t1\n",
            "none of its 1 genes (other, ...) is one of the store's",
        ),
        ("gene0.enet.weights.txt", "snp_1_9800\tG\tA\n", "line 1 is not an id, two alleles and a weight"),
        ("gene0.enet.weights.txt", "snp_1_9800\tG\tA\tmuch\n", "'much' in enet is no weight"),
        (
            "x.weights.tsv",
            "gene\tposition\tweight\ngene0\t1\t1\n",
            "needs columns gene, variant_id or contig",
        ),
        (
            "x.weights.tsv",
            "gene\tpos\tref\talt\tw\ngene0\tone\tA\tG\t1\n",
            "line 2 has no number as its position",
        ),
        ("x.weights.tsv", "gene\tpos\tref\talt\tw\ngene0\t1\tA\tG\tx\n", "'x' in w is no weight"),
        ("x.pos", "FILE GENE\n", "needs columns WGT and ID"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str | None, text: str, message: str) -> None:
    if name:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as refusal:
        predict_from_fusion(tmp_path, *cohort())
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_folder_or_workspace_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder of FUSION weights"):
        sources_of(tmp_path / "absent")
    (tmp_path / "gene0.wgt.RDat").write_bytes(b"no workspace")
    with pytest.raises(InputError, match=r"gene0.wgt.RDat: (not a file of FUSION weights|R workspaces need)"):
        predict_from_fusion(tmp_path, *cohort())


def test_genes_without_weights_are_their_mean(tmp_path: Path) -> None:
    dataset, variants, _ = random_cohort(2)
    split = split_people(dataset, ["random_split"] * 2, seed=1)["split"]
    expression = expression_of(dataset)
    fitted = fit_baselines(expression[:1], variants, split[:1], methods=["top1"])
    fitted.weights.drop(columns="method").to_csv(tmp_path / "top1.weights.tsv", sep="\t", index=False)
    imported = predict_from_fusion(tmp_path, expression, variants, split, per="allele")
    np.testing.assert_allclose(imported.prediction.values[0, 0], fitted.prediction.values[0, 0], rtol=1e-5)
    train = split.values[1] == 1
    np.testing.assert_allclose(
        imported.prediction.values[0, 1], expression.values[1, train].mean(), rtol=1e-6
    )


def test_forms_read_alike(tmp_path: Path) -> None:
    """The same weights as text exports and as a table."""
    export = tmp_path / "gene0.enet.weights.txt"
    export.write_text("snp_1_9800\tG\tA\t0.5\nchr1:9900:T:C\tC\tT\t1e-3\nrs5\tA\tC\t0\n")
    table = tmp_path / "enet.weights.tsv"
    table.write_text(
        "gene\tid\tchrom\tpos\ta2\ta1\tweight\n"
        "gene0\tsnp_1_9800\t1\t9800\tA\tG\t0.5\ngene0\tchr1:9900:T:C\tchr1\t9900\tT\tC\t1e-3\n"
        "gene0\trs5\t\t\tC\tA\t0\n"
    )
    pd.testing.assert_frame_equal(
        read_exports({"enet": export}), read_weight_table(table).drop(columns="gene"), check_dtype=False
    )
