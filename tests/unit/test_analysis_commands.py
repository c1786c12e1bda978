"""The command line of analysis, from a store on disk to tables and figures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analysis_datasets import random_cohort, save_store

from analysis.__main__ import COMMANDS
from analysis.leakage import overlapping_test_cells
from seqstore import open_split, open_store
from seqstore.commands import run
from seqstore.predictions import open_predictions, write_predictions


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Six genes on three contigs, 120 people of two populations."""
    dataset, variants, _ = random_cohort(6)
    contigs = np.array(["chr1", "chr1", "chr2", "chr2", "chr3", "chr3"], dtype=object)
    coords = {"contig": ("gene", contigs), "control": ("gene", [False, True, False, False, False, False])}
    return save_store(tmp_path / "store.zarr", dataset.assign_coords(coords), variants)


def call(*argv: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        run("python -m analysis", COMMANDS, [str(word) for word in argv])
    return int(stopped.value.code or 0)


def refused(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """The one line that a refused command says."""
    capsys.readouterr()
    assert call(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_from_split_to_figures(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contigs = ("--random-contigs", "chr1", "--population-contigs", "chr2", "--unseen-contigs", "chr3")
    assert call("split", store, "--name", "main", *contigs, "--test-population", "AFRI") == 0
    printed = capsys.readouterr().out.split("\n")
    assert [line.split() for line in printed[:5]] == [
        ["split", "main"],
        ["gene_class", "genes", "train", "validation", "test"],
        ["random_split", "2", "92", "4", "24"],
        ["population_split", "2", "57", "3", "60"],
        ["unseen", "2", "0", "0", "120"],
    ]
    split = open_split(store, "main")
    assert split.attrs["seed"] == 0
    assert split.attrs["test_population"] == "AFRI"
    assert split.attrs["gene_class_rule"] == "contigs chr1 | chr2 | chr3"

    folder = tmp_path / "baselines"
    assert call("baselines", store, "--split", "main", "--output", folder) == 0
    assert "top1: 4 of 6 genes trained, 0 of them constant" in capsys.readouterr().out
    prediction = open_predictions(folder / "enet.zarr")
    assert prediction.attrs["split"] == "main"
    assert prediction.attrs["store_fingerprint"] == "f" * 64
    assert np.isnan(prediction["prediction"].values).all(axis=1).tolist() == [False] * 4 + [True] * 2
    weights = pd.read_csv(folder / "top1.weights.tsv", sep="\t")
    assert list(weights) == ["gene", "variant_id", "contig", "position", "ref", "alt", "weight"]
    assert weights["gene"].tolist() == ["gene0", "gene1", "gene2", "gene3"]

    named = (f"top1={folder / 'top1.zarr'}", f"enet={folder / 'enet.zarr'}")
    results = tmp_path / "results"
    options = ("--output", results, "--negative-controls", "control", "--draws", "200")
    assert call("evaluate", store, "--split", "main", "--predictions", *named, *options) == 0
    assert "negative_control" in capsys.readouterr().out
    names = {path.name for path in results.iterdir()}
    figures = {f"{stem}.{kind}" for stem in ("by_class", "gene_wise") for kind in ("png", "pdf", "tsv")}
    assert names == {"per_gene.tsv", "summary.tsv", "comparison.tsv"} | figures
    compared = pd.read_csv(results / "comparison.tsv", sep="\t")
    assert compared["gene_class"].tolist() == ["random_split", "population_split", "negative_control"]
    summary = pd.read_csv(results / "summary.tsv", sep="\t").set_index(["method", "gene_class"])
    assert summary.loc[("enet", "unseen"), ["n_genes", "mean_pearson_r", "n_missing"]].tolist() == [2, 0, 2]
    assert summary.loc[("enet", "random_split"), "mean_pearson_r"] > 0.2
    per_gene = pd.read_csv(results / "per_gene.tsv", sep="\t")
    assert len(per_gene) == 12
    # The test people of a population split are of one population, the others of both.
    spanned = per_gene.set_index("gene_class")["populations"]
    assert spanned["population_split"].tolist() == [1] * 4
    assert spanned["random_split"].tolist() == [2] * 2

    assert "summary.tsv: exists already" in refused(
        capsys, "evaluate", store, "--split", "main", "--predictions", *named, "--output", results
    )
    assert "top1.zarr: exists already" in refused(
        capsys, "baselines", store, "--split", "main", "--output", folder
    )


def test_folds(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("split", store, "--name", "cv", "--folds", "3", "--random-contigs", "chr1", "chr2") == 0
    names = [f"cv-fold{k}" for k in range(3)]
    tested = xr.concat([open_split(store, name)["split"][0] == 3 for name in names], "fold")
    assert (tested.sum("fold") == 1).all()
    for name in names:
        options = ("--methods", "top1", "--output", tmp_path / name)
        assert call("baselines", store, "--split", name, *options) == 0
    template = tmp_path / "{split}" / "top1.zarr"
    results = tmp_path / "results"
    options = ("--predictions", f"top1={template}", "--output", results, "--draws", "50")
    assert call("evaluate", store, "--split", *names, *options) == 0
    per_gene = pd.read_csv(results / "per_gene.tsv", sep="\t")
    assert per_gene["n"].tolist() == [120] * 4
    assert not (results / "gene_wise.png").exists()  # nothing to compare

    # The predictions of one fold saw the test people of the others.
    one = f"top1={tmp_path / 'cv-fold0' / 'top1.zarr'}"
    message = refused(
        capsys, "evaluate", store, "--split", *names, "--predictions", one, "--output", tmp_path / "leak"
    )
    assert "trained on split 'cv-fold0', which saw 160 of the test cells of 'cv-fold1'" in message
    assert not (tmp_path / "leak").exists()

    # No fold is written if one of them stands there.
    message = refused(capsys, "split", store, "--name", "cv", "--folds", "4", "--random-contigs", "chr1")
    assert "has a split 'cv-fold0' already" in message
    assert not (store / "splits" / "cv-fold3").exists()


def test_import_subsets_and_check(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = [f"person{i:03d}" for i in range(120)]
    table = pd.DataFrame("train", ["gene0", "gene4", "elsewhere"], people)
    table.iloc[:, 100:], table.iloc[:, 90:100] = "test", "val"
    table.to_csv(tmp_path / "sample_splits.csv.gz")
    arguments = ("--import-split", tmp_path / "sample_splits.csv.gz", "--train-share", "0.25,0.5")
    assert call("split", store, "--name", "study", *arguments) == 0
    for name, n in (("study", 90), ("study-share25", 22), ("study-share50", 45)):
        roles = open_split(store, name)["split"].values
        assert [(roles[4] == role).sum() for role in (1, 2, 3)] == [n, 10, 20]
        assert (roles[1] == 0).all()
    kinship = tmp_path / "king.kin0"
    kinship.write_text("ID1\tID2\tKinship\nperson000\tperson110\t0.25\n")
    capsys.readouterr()
    assert call("split", store, "--check", "study", "--kinship", kinship) == 0
    lines = capsys.readouterr().out.split("\n")
    assert any(line.split()[-3:] == ["2", "40", "yes"] and "relative" in line for line in lines)
    assert call("split", store, "--check", "study") == 0
    assert "not assessable" in capsys.readouterr().out
    # Relatives are kept together.
    pairs = "".join(f"person{i:03d}\tperson{i + 60:03d}\t0.25\n" for i in range(60))
    kinship.write_text("ID1\tID2\tKinship\n" + pairs)
    assert call("split", store, "--name", "kin", "--random-contigs", "chr1", "--kinship", kinship) == 0
    roles = open_split(store, "kin")["split"].values[0]
    np.testing.assert_array_equal(roles[:60], roles[60:])
    assert call("split", store, "--name", "d", "--random-contigs", "chr1", "chr2", "--unseen-contigs", "chr3",
                "--genes-per-class", "3,0,1", "--rest-unseen") == 0  # fmt: skip
    classes = [open_split(store, name)["gene_class"].values.tolist() for name in ("d", "d-rest")]
    assert [[of.count(c) for c in ("random_split", "unseen", "unused")] for of in classes] == [
        [3, 1, 2],
        [0, 1, 5],
    ]


def test_predictions_of_no_split_serve_every_fold(store: Path, tmp_path: Path) -> None:
    assert call("split", store, "--name", "cv", "--folds", "2", "--random-contigs", "chr1") == 0
    values = np.random.default_rng(0).normal(size=(6, 120))
    genes, people = [f"gene{i}" for i in range(6)], [f"person{i:03d}" for i in range(120)]
    write_predictions(tmp_path / "fixed.zarr", values, gene=genes, individual=people, name="fixed")
    named = f"fixed={tmp_path / 'fixed.zarr'}"
    folds = ("--split", "cv-fold0", "cv-fold1")
    options = ("--predictions", named, "--output", tmp_path / "out", "--draws", "20")
    assert call("evaluate", store, *folds, *options) == 0


def test_evaluation_out_of_tables_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    genes, people = [f"g{i}" for i in range(8)], [f"p{i}" for i in range(40)]
    expression = pd.DataFrame(rng.normal(size=(8, 40)), genes, people)
    roles = pd.DataFrame("train", genes, people)
    roles.iloc[:, 30:] = "test"
    roles.to_csv(tmp_path / "splits.csv.gz")
    expression.iloc[:, 20:].to_csv(tmp_path / "expression.tsv", sep="\t")
    for name, noise in (("good", 1), ("bad", 3), ("less", 2)):
        (expression + noise * rng.normal(size=(8, 40))).T.to_csv(tmp_path / f"{name}.csv")
    h2 = pd.DataFrame({"gene": genes, "h2": 0.25, "se": 0.1, "p": 0.01})
    h2.to_csv(tmp_path / "h2.tsv", sep="\t", index=False)
    named = [f"{m}={tmp_path}/{m}.csv" for m in ("good", "bad")]
    named += [f"good@0.5={tmp_path}/less.csv,{tmp_path}/bad.csv"]
    tables = ("--split", tmp_path / "splits.csv.gz", "--expression", tmp_path / "expression.tsv")
    options = ("--draws", "100", "--heritability", tmp_path / "h2.tsv", "--output", tmp_path / "out")
    assert call("evaluate", *tables, "--predictions", *named, *options) == 0
    assert "the places of genes are not told" in capsys.readouterr().out
    read = {path.stem: pd.read_csv(path, sep="\t") for path in (tmp_path / "out").glob("*.tsv")}
    drawn = {"by_class", "gene_wise", "learning_curve", "against_heritability"}
    assert set(read) == {"per_gene", "summary", "comparison", "ceiling"} | drawn
    assert {path.stem for path in (tmp_path / "out").glob("*.png")} == drawn
    assert read["learning_curve"]["share"].tolist() == [0.5, 1]
    assert read["by_class"]["method"].unique().tolist() == ["good", "bad"]
    assert read["comparison"][["method_a", "method_b"]].to_numpy().tolist() == [
        ["good", "bad"],
        ["good", "good@0.5"],
        ["bad", "good@0.5"],
    ]
    r = np.corrcoef(
        pd.read_csv(tmp_path / "good.csv", index_col=0).loc[people[30:], "g3"], expression.loc["g3"][30:]
    )
    assert read["per_gene"].set_index(["method", "gene"]).loc[("good", "g3"), "pearson_r"] == pytest.approx(
        r[0, 1], abs=1e-5
    )
    assert read["ceiling"].loc[0, "r_over_h"] == pytest.approx(
        read["summary"].loc[0, "mean_pearson_r"] / 0.5, rel=1e-4
    )

    out = ("--output", tmp_path / "other")
    message = refused(capsys, "evaluate", "--split", "main", "--predictions", *named, *out)
    assert "give a store, or measured expression with --expression" in message
    roles.replace("test", "val").to_csv(tmp_path / "splits.csv")
    message = refused(
        capsys, "evaluate", "--split", tmp_path / "splits.csv", *tables[2:], "--predictions", named[0], *out
    )
    assert "the split has no test people" in message
    h2.assign(gene=[f"x{i}" for i in range(8)]).to_csv(tmp_path / "h2.tsv", sep="\t", index=False)
    message = refused(capsys, "evaluate", *tables, "--predictions", *named, *options[:-1], tmp_path / "other")
    assert "heritability table has no gene that is evaluated" in message
    assert not (tmp_path / "other").exists()


def test_a_store_with_the_expression_and_the_split_of_tables(store: Path, tmp_path: Path) -> None:
    people = [f"person{i:03d}" for i in range(120)]
    values = np.random.default_rng(0).normal(size=(2, 120))
    table = pd.DataFrame(values, ["gene0", "gene3"], people)
    table.to_csv(tmp_path / "expression.csv")
    roles = table.astype(str).assign(**dict.fromkeys(people, "train"))
    roles.iloc[:, 50:] = "test"
    roles.to_csv(tmp_path / "split.csv")
    (tmp_path / "classes.tsv").write_text("gene\tgene_class\ngene0\tunseen\ngene3\trandom_split\n")
    (table + 1).to_csv(tmp_path / "p.csv")
    argv = (
        "--expression",
        tmp_path / "expression.csv",
        "--predictions",
        f"same={tmp_path}/p.csv",
        "--draws",
        "5",
    )
    split = ("--split", tmp_path / "split.csv", "--gene-class", tmp_path / "classes.tsv")
    assert call("evaluate", store, *split, *argv, "--output", tmp_path / "out") == 0
    summary = pd.read_csv(tmp_path / "out/summary.tsv", sep="\t")
    assert summary["gene_class"].tolist() == ["random_split", "unseen"]
    assert summary["mean_pearson_r"].tolist() == pytest.approx([1, 1])
    assert summary["populations"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("split", "STORE", "--name", "x", "--test-population", "FIN"), "no population 'FIN'"),
        (("split", "STORE", "--name", "x", "--random-contigs", "chr9"), "no gene on contig 'chr9'"),
        (("split", "STORE", "--name", "x", "--folds", "1", "--random-contigs", "chr1"), "--folds 1"),
        (("split", "STORE", "--name", "x", "--gene-class", "none.tsv"), "none.tsv: no such gene class table"),
        (
            ("split", "STORE", "--name", "x", "--gene-class", "t", "--unseen-contigs", "chr1"),
            "either --gene-class or contigs",
        ),
        (("split", "STORE", "--name", "x", "--seed", "-1"), "--seed -1: give a number from 0 to 4294967295"),
        (("split", "ABSENT", "--name", "x"), "no store here"),
        (("split", "STORE"), "give either --name, for a new split, or --check"),
        (("split", "STORE", "--check", "x"), "no split 'x'"),
        (("split", "STORE", "--name", "x", "--import-split", "no.csv"), "no.csv: no such split table"),
        (("split", "STORE", "--name", "x", "--import-split", "no.csv", "--folds", "3"), "is a whole split"),
        (("split", "STORE", "--name", "x", "--train-share", "half"), "--train-share half: give shares"),
        (("split", "STORE", "--name", "x", "--genes-per-class", "5,5"), "--genes-per-class 5,5: give three"),
        (("split", "STORE", "--name", "x", "--test-people", "no.txt"), "no.txt: no such list of people"),
        (("split", "STORE", "--name", "x", "--family", "clan"), "no column of the sample table 'clan'"),
        (("split", "STORE", "--name", "x", "--kinship", "no.kin0"), "no.kin0: no such kinship table"),
        (("baselines", "STORE", "--split", "x", "--output", "OUT"), "no split 'x'"),
        (
            ("baselines", "STORE", "--split", "s", "--output", "OUT", "--methods", "enett"),
            "no method 'enett'",
        ),
        (("baselines", "STORE", "--split", "s", "--output", "OUT", "--maf", "0.5"), "--maf 0.5"),
        (("baselines", "STORE", "--split", "s", "--output", "OUT", "--jobs", "0"), "--jobs 0"),
        (("baselines", "STORE", "--split", "s", "--output", "OUT", "--length", "5000"), "length 5000"),
        (("baselines", "STORE", "--split", "s", "--output", "OUT", "--assay", "liver"), "no assay 'liver'"),
        (("evaluate", "STORE", "--split", "s", "--predictions", "enet", "--output", "OUT"), "give name=path"),
        (
            ("evaluate", "STORE", "--split", "s", "--predictions", "enet=no.zarr", "--output", "OUT"),
            "no.zarr: no predictions here",
        ),
        (("evaluate", "STORE", "--split", "s", "--output", "OUT"), "predictions"),
    ],
)
def test_refusals_are_one_line_and_write_nothing(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], message: str
) -> None:
    assert call("split", store, "--name", "s", "--random-contigs", "chr1") == 0
    paths = {"STORE": store, "OUT": tmp_path / "out", "ABSENT": tmp_path / "absent.zarr"}
    assert message in refused(capsys, *(paths.get(word, word) for word in argv))
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in (store / "splits").iterdir() if path.is_dir()) == ["s"]


def test_predictions_named_twice_or_trained_on_an_absent_split(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("split", store, "--name", "s", "--random-contigs", "chr1") == 0
    path = tmp_path / "p.zarr"
    write_predictions(
        path, [[1.0]], gene=["gene0"], individual=["person000"], name="p", attrs={"split": "gone"}
    )
    rest = ("--output", tmp_path / "out")
    command = ("evaluate", store, "--split", "s", "--predictions")
    assert "trained on split 'gone', which" in refused(capsys, *command, f"p={path}", *rest)
    write_predictions(path, [[1.0]], gene=["gene0"], individual=["person000"], name="p")
    assert "the name 'p' comes twice" in refused(capsys, *command, f"p={path}", f"p={path}", *rest)


def test_predictions_of_another_split_of_the_same_name_are_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("split", store, "--name", "main", "--random-contigs", "chr1", "--seed", "1") == 0
    assert (
        call("baselines", store, "--split", "main", "--methods", "top1", "--output", tmp_path / "base") == 0
    )
    shutil.rmtree(store / "splits" / "main")
    assert call("split", store, "--name", "main", "--random-contigs", "chr1", "--seed", "2") == 0
    predictions = f"top1={tmp_path / 'base' / 'top1.zarr'}"
    arguments = ("evaluate", store, "--split", "main", "--predictions", predictions, "--output")
    assert "another split that was named 'main' too" in refused(capsys, *arguments, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder" in refused(capsys, *arguments, tmp_path / "file" / "out")


def test_test_people_who_train_an_overlapping_gene_are_counted(store: Path) -> None:
    dataset = open_store(store)
    split = np.zeros((6, 120), dtype=np.int8)
    split[0], split[1, :7], split[2] = 1, 3, 3
    starts = np.array([0, dataset.attrs["length"] - 1, 0, 0, 0, 0])
    near = dataset.assign_coords(window_start=("gene", starts))
    assert overlapping_test_cells(near, split) == 7
    starts[1] += 1
    assert overlapping_test_cells(dataset.assign_coords(window_start=("gene", starts)), split) == 0
