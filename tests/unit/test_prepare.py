"""The command `seqstore expression`: files in, a table and its recipe out."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import seqstore.recipe
from seqstore.cli import main
from seqstore.commands import run
from seqstore.errors import InputError
from seqstore.expression import read_expression
from seqstore.prepare import prepare_expression
from seqstore.recipe import describe_fit, describe_recipe, fitted_on, recipe_of, recipe_path, relabelled

N_GENES, N_PEOPLE = 120, 40
PEOPLE = [f"P{number:02d}" for number in range(N_PEOPLE)]
TRAINING = PEOPLE[:28]


def rpkm_like(seed: int = 0) -> pd.DataFrame:
    """RPKM of genes with hidden factors; some genes are 0 in some people."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(N_GENES, 3)) @ rng.normal(size=(3, N_PEOPLE))
    values = np.exp(rng.normal(4, 3, size=(N_GENES, 1)) + 0.4 * hidden + 0.3 * rng.normal(size=hidden.shape))
    values *= 4e5 / values.sum(axis=0)
    values[rng.random(values.shape) < np.linspace(-0.5, 1, N_GENES)[:, None]] = 0
    genes = pd.Index([f"ENSG{number:011d}" for number in range(N_GENES)], name="gene")
    return pd.DataFrame(values.astype(np.float32), index=genes, columns=PEOPLE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with rpkm.tsv, train.txt and covariates.tsv."""
    monkeypatch.chdir(tmp_path)
    rpkm_like().to_csv("rpkm.tsv", sep="\t")
    Path("train.txt").write_text("\n".join(TRAINING) + "\n")
    rng = np.random.default_rng(1)
    covariates = pd.DataFrame({"PC1": rng.normal(size=N_PEOPLE), "sex": rng.choice(["f", "m"], N_PEOPLE)})
    covariates.set_axis(pd.Index(PEOPLE, name="individual")).to_csv("covariates.tsv", sep="\t")
    return tmp_path


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        run("seqstore", {"expression": prepare_expression}, ["expression", *map(str, arguments)])
    return int(stopped.value.code or 0)


def studys(rpkm: pd.DataFrame, n_components: int) -> pd.DataFrame:
    """The reference study's matrix, step by step as it is published."""
    tpm = rpkm.astype(float)
    tpm = tpm / tpm.sum(axis="index") * 1e6
    tpm = tpm[(tpm == 0).mean(axis="columns") < 0.5]
    logarithm = np.log(tpm + 0.01)
    scaler = StandardScaler()
    scaled = scaler.fit_transform(logarithm.T)
    pca = PCA(n_components=n_components, svd_solver="full")
    scores = pca.fit_transform(scaled)
    corrected = scaler.inverse_transform(scaled - scores @ pca.components_)
    return pd.DataFrame(corrected.T, index=tpm.index, columns=tpm.columns)


def test_fitted_on_all_it_is_the_studys_matrix(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    options = ("--unit", "rpkm", "--fit-on", "all", "--components", "5")
    assert command("rpkm.tsv", "out/expression.tsv", *options) == 0
    prepared = read_expression("out/expression.tsv")
    expected = studys(rpkm_like(), 5)
    assert 60 < len(expected) < 110
    pd.testing.assert_frame_equal(prepared.astype(float), expected, rtol=1e-6, atol=1e-6)
    assert "warning: rpkm.tsv has 120 genes, and TPM are shares of them" in caplog.text
    lines = capsys.readouterr().out.splitlines()
    n_zero = N_GENES - len(expected)
    assert lines[:4] == [
        f"{len(expected)} of 120 genes; {n_zero} were mostly zero, 0 did not vary",
        "- RPKM to TPM",
        "- genes with zero in a share of 0.5 or more dropped",
        "- ln(TPM + 0.01)",
    ]
    assert lines[4] == "- 5 principal components removed"
    assert lines[5].startswith("variance of the components: ")
    assert lines[6:] == ["fitted on all 40 people", "out/expression.tsv", "out/expression.tsv.json"]


def test_the_recipe_says_it_all(folder: Path) -> None:
    options = (
        "--unit",
        "rpkm",
        "--fit-on",
        "train.txt",
        "--components",
        "2",
        "--covariates",
        "covariates.tsv",
    )
    assert command("rpkm.tsv", "out.tsv.gz", *options) == 0
    recipe = json.loads(Path("out.tsv.gz.json").read_text())
    assert recipe == recipe_of("out.tsv.gz")
    versions, shares = recipe.pop("versions"), recipe.pop("variance_shares_of_components")
    assert set(versions) == {"python", "seqstore", "numpy", "scipy", "scikit-learn", "pandas"}
    assert len(shares) == 2
    assert 1 > shares[0] > shares[1] > 0
    genes = recipe.pop("genes")
    kept = (rpkm_like()[TRAINING] == 0).mean(axis="columns") < 0.5  # zeros of the fit people
    assert genes == {
        "given": 120,
        "dropped_mostly_zero": int((~kept).sum()),
        "dropped_without_variation": 0,
        "kept": int(kept.sum()),
    }
    assert read_expression("out.tsv.gz").index.tolist() == kept.index[kept].tolist()
    assert recipe == {
        "format": "seqstore expression recipe",
        "version": 1,
        "sha256": hashlib.sha256(Path("out.tsv.gz").read_bytes()).hexdigest(),
        "steps": [
            "RPKM to TPM",
            "genes with zero in a share of 0.5 or more dropped",
            "ln(TPM + 0.01)",
            "2 covariates removed",
            "2 principal components removed",
        ],
        "input": {
            "path": "rpkm.tsv",
            "sha256": hashlib.sha256(Path("rpkm.tsv").read_bytes()).hexdigest(),
            "recipe": None,
        },
        "options": {
            "unit": "rpkm",
            "drop_zeros": 0.5,
            "pseudocount": 0.01,
            "components": 2,
            "inverse_normal": False,
        },
        "covariates": {
            "path": "covariates.tsv",
            "sha256": hashlib.sha256(Path("covariates.tsv").read_bytes()).hexdigest(),
            "columns": ["PC1", "sex=m"],
        },
        "fit": {
            "on": "train.txt",
            "individuals": 28,
            "sha256": hashlib.sha256("\n".join(TRAINING).encode()).hexdigest(),
            "labels": TRAINING,
        },
        "individuals": {"given": 40, "listed_in": None, "dropped_without_covariates": [], "kept": 40},
    }
    assert describe_fit(recipe) == "28 of 40 people (train.txt)"
    assert describe_recipe(recipe) == (
        "RPKM to TPM; genes with zero in a share of 0.5 or more dropped; ln(TPM + 0.01); 2 covariates removed; "
        "2 principal components removed; fitted on 28 of 40 people (train.txt)"
    )
    assert fitted_on(recipe, ["P27", "P28", "P00", "elsewhere"]).tolist() == [True, False, True, False]


@pytest.mark.parametrize("options", [(), ("--inverse-normal",)])
def test_nothing_of_the_others_reaches_a_projected_person(folder: Path, options: tuple[str, ...]) -> None:
    """Change every projected person but one: she, and those who are fitted on, stay as they are."""
    full = (
        *("--unit", "rpkm", "--fit-on", "train.txt", "--components", "4"),
        *("--covariates", "covariates.tsv", *options),
    )
    assert command("rpkm.tsv", "before.tsv", *full) == 0
    changed = rpkm_like()
    others = PEOPLE[29:]
    changed[others] = rpkm_like(seed=9)[others].to_numpy() * 3
    changed.to_csv("rpkm.tsv", sep="\t")
    assert command("rpkm.tsv", "after.tsv", *full) == 0
    before, after = read_expression("before.tsv"), read_expression("after.tsv")
    pd.testing.assert_frame_equal(before[PEOPLE[:29]], after[PEOPLE[:29]], rtol=1e-6, atol=1e-6)
    assert (before[others] != after[others]).mean(axis=None) > 0.9

    # Without the others altogether, too.
    changed[PEOPLE[:29]].to_csv("rpkm.tsv", sep="\t")
    assert command("rpkm.tsv", "alone.tsv", *full) == 0
    pd.testing.assert_frame_equal(read_expression("alone.tsv"), before[PEOPLE[:29]], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("header", ["", "individual\n", "#IID\n"])
def test_everyone_in_a_file_is_all(folder: Path, header: str) -> None:
    Path("everyone.txt").write_text(header + "\n".join(PEOPLE[::-1]) + "\n\n")
    options = ("--unit", "rpkm", "--components", "3", "--inverse-normal")
    assert command("rpkm.tsv", "file.tsv", "--fit-on", "everyone.txt", *options) == 0
    assert command("rpkm.tsv", "all.tsv", "--fit-on", "all", *options) == 0
    assert Path("file.tsv").read_bytes() == Path("all.tsv").read_bytes()
    recipes = [json.loads(Path(name).read_text()) for name in ("file.tsv.json", "all.tsv.json")]
    assert recipes[0]["fit"]["sha256"] == recipes[1]["fit"]["sha256"]
    assert [recipe["fit"]["on"] for recipe in recipes] == ["everyone.txt", "all"]
    assert describe_fit(recipes[1]) == "all 40 people"
    assert fitted_on(recipes[1], PEOPLE).all()


def test_people_to_fit_on_may_be_a_table(folder: Path) -> None:
    Path("panel.tsv").write_text("sample\tpop\n" + "".join(f"{person}\tFIN\n" for person in TRAINING))
    for number, listed in enumerate(("panel.tsv", "train.txt")):
        options = ("--unit", "rpkm", "--components", "3", "--fit-on", listed)
        assert command("rpkm.tsv", f"{number}.tsv", *options) == 0
    assert Path("0.tsv").read_bytes() == Path("1.tsv").read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.psam", "##source=plink\n#IID\tSEX\n" + "".join(f"{p}\t1\n" for p in TRAINING)),
        ("train.fam", "".join(f"F {p} 0 0 1 -9\n" for p in TRAINING)),
        ("train.csv", "individual,age\n" + "".join(f"{p},30\n" for p in TRAINING)),
        ("plink.txt", "".join(f"{p}_{p}\n" for p in TRAINING)),
    ],
)
def test_people_to_fit_on_in_other_formats(folder: Path, name: str, content: str) -> None:
    Path(name).write_text(content)
    options = ("--unit", "rpkm", "--components", "3", "--fit-on")
    assert command("rpkm.tsv", "1.tsv", *options, name) == 0
    assert command("rpkm.tsv", "2.tsv", *options, "train.txt") == 0
    assert Path("1.tsv").read_bytes() == Path("2.tsv").read_bytes()


def test_labels_of_assays_are_the_people(folder: Path) -> None:
    """The columns of Geuvadis' table of RPKM are assays; lists and covariates name people."""
    table = rpkm_like().rename(columns=lambda person: f"{person}.1.M_111124_6")
    table.to_csv("assays.tsv", sep="\t")
    options = (
        "--unit",
        "rpkm",
        "--fit-on",
        "train.txt",
        "--covariates",
        "covariates.tsv",
        "--components",
        "2",
    )
    assert command("assays.tsv", "1.tsv", *options) == 0
    assert command("rpkm.tsv", "2.tsv", *options) == 0
    first, second = read_expression("1.tsv"), read_expression("2.tsv")
    assert first.columns.tolist() == table.columns.tolist()
    np.testing.assert_array_equal(first.to_numpy(), second.to_numpy())
    recipe = recipe_of("1.tsv")
    assert recipe is not None
    assert recipe["fit"]["labels"][0] == "P00.1.M_111124_6"
    assert fitted_on(recipe, ["P27", "P28"]).tolist() == [True, False]


def test_a_store_may_have_other_labels(folder: Path) -> None:
    assert command("rpkm.tsv", "1.tsv", "--unit", "rpkm", "--fit-on", "train.txt") == 0
    assert command("1.tsv", "2.tsv", "--unit", "other", "--fit-on", "all", "--components", "2") == 0
    recipe = recipe_of("2.tsv")
    assert recipe is not None
    renamed = relabelled(recipe, {"P01": "donor 1", "P39": "donor 39"})
    assert renamed["fit"]["labels"] is None
    first = renamed["input"]["recipe"]
    assert first["fit"]["labels"] == ["P00", "donor 1", *TRAINING[2:]]
    assert fitted_on(first, ["donor 1", "donor 39", "P02"]).tolist() == [True, False, True]
    assert fitted_on(renamed, ["donor 39"]).tolist() == [True]
    assert recipe == recipe_of("2.tsv")  # as it was


def test_some_individuals_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("keep.txt").write_text("\n".join(PEOPLE[5:][::-1]) + "\n")
    rpkm_like()[PEOPLE[5:]].to_csv("fewer.tsv", sep="\t")
    options = ("--unit", "rpkm", "--fit-on", "all", "--components", "3")
    assert command("rpkm.tsv", "1.tsv", "--individuals", "keep.txt", *options) == 0
    assert command("fewer.tsv", "2.tsv", *options) == 0
    assert Path("1.tsv").read_bytes() == Path("2.tsv").read_bytes()
    recipe = json.loads(Path("1.tsv.json").read_text())
    assert recipe["individuals"]["given"] == 40
    assert recipe["individuals"]["listed_in"] == "keep.txt"
    assert describe_fit(recipe) == "all 35 people"
    line = refused(capsys, *RPKM, "--individuals", "keep.txt", "--fit-on", "train.txt")
    assert line == "error: train.txt: 5 of the 28 people listed are not in keep.txt (P00, P01, P02, …)"


def test_tpm_are_filtered_and_logged_only(folder: Path) -> None:
    rpkm_like()[:30].to_csv("tpm.tsv", sep="\t")  # some genes are enough
    options = ("--unit", "tpm", "--fit-on", "all", "--pseudocount", "1", "--drop-zeros", "0.1")
    assert command("tpm.tsv", "out.tsv", *options) == 0
    given = rpkm_like()[:30]
    expected = np.log(given[(given == 0).mean(axis="columns") < 0.1].astype(float) + 1)
    pd.testing.assert_frame_equal(read_expression("out.tsv").astype(float), expected, rtol=1e-6)


def test_a_gene_that_is_zero_in_just_half_the_people_is_dropped(folder: Path) -> None:
    values = np.full((3, 4), [30.0, 40, 50, 60])
    values[0, :1], values[1, :2], values[2, :3] = 0, 0, 0
    table = pd.DataFrame(values, index=pd.Index(["A", "B", "C"], name="gene"), columns=list("wxyz"))
    table.to_csv("t.tsv", sep="\t")
    assert command("t.tsv", "half.tsv", "--unit", "tpm", "--fit-on", "all") == 0
    assert read_expression("half.tsv").index.tolist() == ["A"]
    assert command("t.tsv", "most.tsv", "--unit", "tpm", "--fit-on", "all", "--drop-zeros", "0.51") == 0
    assert read_expression("most.tsv").index.tolist() == ["A", "B"]
    assert command("t.tsv", "no.tsv", "--unit", "tpm", "--fit-on", "all", "--drop-zeros", "1") == 0
    assert read_expression("no.tsv").index.tolist() == ["A", "B", "C"]


def test_other_values_are_taken_as_they_are(folder: Path) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(5, N_PEOPLE)).astype(np.float32)
    values[1] = 7  # does not vary
    values[2, ::3] = np.nan
    genes = pd.Index([f"G{number}" for number in range(5)], name="gene")
    pd.DataFrame(values, index=genes, columns=PEOPLE).to_csv("z.tsv", sep="\t", na_rep="NA")
    assert command("z.tsv", "out.tsv", "--unit", "other", "--fit-on", "all", "--inverse-normal") == 0
    out = read_expression("out.tsv")
    assert out.index.tolist() == ["G0", "G2", "G3", "G4"]
    np.testing.assert_allclose(out.loc["G0"], norm.ppf(rankdata(values[0]) / 41), rtol=1e-6)
    known = np.isfinite(values[2])
    np.testing.assert_allclose(
        out.loc["G2"].to_numpy()[known], norm.ppf(rankdata(values[2][known]) / (known.sum() + 1)), rtol=1e-6
    )
    assert out.loc["G2"].isna().tolist() == (~known).tolist()
    recipe = json.loads(Path("out.tsv.json").read_text())
    assert recipe["steps"] == ["inverse-normal transform"]
    assert recipe["genes"]["dropped_without_variation"] == 1
    assert recipe["options"]["pseudocount"] is None


def test_a_gene_that_varies_in_projected_people_only_is_dropped(folder: Path) -> None:
    table = rpkm_like()
    table.loc["ENSG00000000004", TRAINING] = 30
    table.loc["ENSG00000000005", TRAINING] = np.nan
    table.to_csv("tpm.tsv", sep="\t", na_rep="NA")
    assert command("tpm.tsv", "out.tsv", "--unit", "tpm", "--fit-on", "train.txt", "--components", "2") == 0
    genes = read_expression("out.tsv").index
    assert not {"ENSG00000000004", "ENSG00000000005"} & set(genes)
    assert json.loads(Path("out.tsv.json").read_text())["genes"]["dropped_without_variation"] == 2


def test_people_without_covariates_are_left_out_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path("covariates.tsv").read_text().splitlines()
    lines[3] = "P02\tNA\tf"
    del lines[40]  # P39
    Path("covariates.tsv").write_text("\n".join(lines) + "\n")
    options = ("--unit", "rpkm", "--fit-on", "train.txt", "--covariates", "covariates.tsv")
    line = refused(capsys, "rpkm.tsv", "out.tsv", *options)
    assert line == (
        "error: covariates.tsv: 2 of the 40 individuals of rpkm.tsv are not there or have a covariate missing "
        "(P02, P39); complete it, or leave them out with --drop-without-covariates"
    )
    assert command("rpkm.tsv", "out.tsv", *options, "--drop-without-covariates") == 0
    assert "left out without covariates: 2 individuals (P02, P39)\n" in capsys.readouterr().out
    left = [person for person in PEOPLE if person not in ("P02", "P39")]
    assert read_expression("out.tsv").columns.tolist() == left
    recipe = json.loads(Path("out.tsv.json").read_text())
    assert recipe["individuals"] == {
        "given": 40,
        "listed_in": None,
        "dropped_without_covariates": ["P02", "P39"],
        "kept": 38,
    }
    assert recipe["fit"]["individuals"] == 27


@pytest.mark.parametrize("ending", [".tsv", ".tsv.gz", ".csv", ".csv.gz", ".parquet"])
def test_every_ending(folder: Path, ending: str) -> None:
    if ending == ".parquet" and not os.environ.get("CI"):
        pytest.importorskip("pyarrow")
    options = ("--unit", "rpkm", "--fit-on", "all", "--components", "2")
    assert command("rpkm.tsv", f"out{ending}", *options) == 0
    assert command("rpkm.tsv", "plain.tsv", *options) == 0
    assert sorted(path.name for path in folder.glob("out*")) == [f"out{ending}", f"out{ending}.json"]
    pd.testing.assert_frame_equal(read_expression(f"out{ending}"), read_expression("plain.tsv"))
    again = f"again{ending}"
    assert command("rpkm.tsv", again, *options) == 0
    assert Path(again).read_bytes() == Path(f"out{ending}").read_bytes()


def test_text_holds_float32_to_the_last_bit(folder: Path) -> None:
    rng = np.random.default_rng(3)
    values = (rng.normal(size=(50, N_PEOPLE)) * 10.0 ** rng.integers(-20, 20, size=(50, 1))).astype(
        np.float32
    )
    genes = pd.Index([f"G{number}" for number in range(50)], name="gene")
    table = pd.DataFrame(values, index=genes, columns=PEOPLE)
    seqstore.recipe.write_with_recipe(table, "out.tsv.gz", {})
    np.testing.assert_array_equal(read_expression("out.tsv.gz").to_numpy(), values)
    assert gzip.decompress(Path("out.tsv.gz").read_bytes()).startswith(b"gene\tP00\tP01")


def test_a_prepared_table_may_be_prepared_further(folder: Path) -> None:
    """And says so: what was fitted on all stays fitted on all."""
    assert command("rpkm.tsv", "log.tsv", "--unit", "rpkm", "--fit-on", "all") == 0
    options = ("--unit", "other", "--fit-on", "train.txt", "--components", "3")
    assert command("log.tsv", "out.tsv", *options) == 0
    recipe = recipe_of("out.tsv")
    assert recipe is not None
    assert recipe["input"]["recipe"] == recipe_of("log.tsv")
    assert describe_fit(recipe) == "all 40 people; then 28 of 40 people (train.txt)"
    assert describe_recipe(recipe).endswith(
        "ln(TPM + 0.01); fitted on all 40 people; then 3 principal components removed; fitted on 28 of 40 people "
        "(train.txt)"
    )
    assert fitted_on(recipe, PEOPLE).all()


def test_a_recipe_belongs_to_its_table(folder: Path) -> None:
    assert recipe_of("rpkm.tsv") is None
    assert recipe_of("nothing.tsv") is None
    assert command("rpkm.tsv", "out.tsv", "--unit", "rpkm", "--fit-on", "all") == 0
    recipe_path("out.tsv").rename(recipe_path("rpkm.tsv"))
    for call in (
        lambda: recipe_of("rpkm.tsv"),
        lambda: prepare_expression("rpkm.tsv", "two.tsv", unit="rpkm", fit_on="all"),
    ):
        with pytest.raises(
            InputError,
            match=r"rpkm.tsv.json: is not the recipe of rpkm.tsv, which has changed since; prepare the table again,",
        ):
            call()
    recipe_path("rpkm.tsv").write_text("{")
    with pytest.raises(InputError, match=r"rpkm.tsv.json: cannot be read as the recipe of rpkm.tsv"):
        recipe_of("rpkm.tsv")
    recipe_path("rpkm.tsv").write_text('{"format": "seqstore expression recipe", "version": 99}')
    with pytest.raises(InputError, match="recipe version 99 needs a newer seqstore"):
        recipe_of("rpkm.tsv")
    recipe_path("rpkm.tsv").write_text('{"notes": "mine"}')
    assert recipe_of("rpkm.tsv") is None


def test_a_failed_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(folder.iterdir())
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(
        InputError, match=r"out.tsv: cannot be written \(\[Errno 28\] No space left on device\)"
    ):
        prepare_expression("rpkm.tsv", "out.tsv", unit="rpkm", fit_on="all")
    assert sorted(folder.iterdir()) == before


def test_a_run_that_was_killed_is_run_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two renames a recipe stands alone; the table never does."""
    replace, replaced = os.replace, list[str]()

    def killed(source: Path, target: Path) -> None:
        if replaced:
            raise KeyboardInterrupt
        replaced.append(target.name)
        replace(source, target)

    monkeypatch.setattr(seqstore.recipe.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_expression("rpkm.tsv", "out.tsv", unit="rpkm", fit_on="all")
    assert replaced == ["out.tsv.json"]
    assert not Path("out.tsv").exists()
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    prepare_expression("rpkm.tsv", "out.tsv", unit="rpkm", fit_on="train.txt")
    recipe = recipe_of("out.tsv")
    assert recipe is not None
    assert recipe["fit"]["on"] == "train.txt"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a refused command says; nothing is written."""
    capsys.readouterr()
    before = sorted(Path().rglob("*"))
    assert command(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before
    return err.strip()


RPKM = ("rpkm.tsv", "out.tsv", "--unit", "rpkm")


def test_there_is_no_default_of_whom_to_fit_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *RPKM) == (
        "error: --fit-on: say on whom means, components and the rest are fitted: a file that lists people (the "
        "others are projected), or all (the study's way, which sees the people of a later test)"
    )
    assert "required: unit" in refused(capsys, "rpkm.tsv", "out.tsv", "--fit-on", "all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unit", "counts"], "unit: expected one of 'rpkm', 'tpm', 'other'; got counts"),
        (["--components", "-1"], "--components -1: give 0 or more"),
        (["--components", "39"], "--components 39: 40 people to fit on and"),
        (["--components", "40"], "40 people to fit on and 82 genes allow at most 38"),
        (["--drop-zeros", "0"], "--drop-zeros 0.0: give a share above 0, up to 1"),
        (["--drop-zeros", "1.5"], "--drop-zeros 1.5: give a share above 0, up to 1"),
        (["--drop-zeros", ".nan"], "--drop-zeros nan: give a share above 0, up to 1"),
        (["--pseudocount", "0"], "--pseudocount 0.0: give a number above 0"),
        (["--pseudocount", ".inf"], "--pseudocount inf: give a number above 0"),
        (["--unit", "other"], "--unit other: nothing to do; give --covariates, --components or --inverse"),
        (["--unit", "other", "--pseudocount", "1"], "--pseudocount: has no effect with --unit other"),
        (["--unit", "other", "--drop-zeros", ".5"], "--drop-zeros: has no effect with --unit other"),
        (["--drop-without-covariates"], "--drop-without-covariates: give --covariates too"),
        (["--covariates", "none.tsv"], "none.tsv: no such covariate table"),
    ],
)
def test_options_that_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert message in refused(capsys, *RPKM, "--fit-on", "all", *options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "who.txt: lists nobody"),
        ("\n \n", "who.txt: lists nobody"),
        ("individual\n", "who.txt: lists nobody"),
        (
            "P01\nHG1\nP03\nHG2\nHG3\nHG4\n",
            "who.txt: 4 of the 6 people listed are not in rpkm.tsv (HG1, HG2, HG3, …)",
        ),
        ("P01\nP02\nP03\nP01\n", "who.txt: individual 'P01' stands there more than once; keep one"),
        ("P01\nP02\n", "rpkm.tsv: 2 people to fit on are too few; give at least 3"),
        ("P01\tFIN\nP02\tFIN\n", "who.txt: no column 'individual' or 'sample'"),
    ],
)
def test_lists_of_people_that_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    Path("who.txt").write_text(content)
    assert message in refused(capsys, *RPKM, "--fit-on", "who.txt")


def test_a_label_that_may_be_two_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = rpkm_like()
    table.assign(**{f"P00.{n}.M_111124_{n}": table["P00"] for n in (1, 2)}).drop(columns="P00").to_csv(
        "rpkm.tsv", sep="\t"
    )
    assert "P00 can be individual P00.1.M_111124_1 or P00.2.M_111124_2" in refused(
        capsys, *RPKM, "--fit-on", "train.txt"
    )


def test_a_list_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, *RPKM, "--fit-on", "nobody.txt")
    assert line == "error: nobody.txt: no such list of people to fit on (a file, or all)"
    Path("who.bin").write_bytes(b"\xff\xfe\x00")
    assert "who.bin: cannot be read as a list of people" in refused(capsys, *RPKM, "--fit-on", "who.bin")


@pytest.mark.parametrize(
    ("unit", "cell", "message"),
    [
        (
            "rpkm",
            "-0.5",
            "gene ENSG00000000000, individual P01 (-0.5) is negative, so no RPKM; take what is correct",
        ),
        ("tpm", "-0.5", "gene ENSG00000000000, individual P01 (-0.5) is negative, so no TPM"),
        ("rpkm", "NA", "individual P01 (nan) is not measured, and TPM need every gene of a person"),
        ("rpkm", "inf", "is not a finite number"),
        ("rpkm", "high", "'high' of gene ENSG00000000000, individual P01 is not a finite number"),
    ],
)
def test_values_that_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], unit: str, cell: str, message: str
) -> None:
    table = rpkm_like().astype(object)
    table.iloc[0, 1] = cell
    table.to_csv("rpkm.tsv", sep="\t")
    assert message in refused(capsys, "rpkm.tsv", "out.tsv", "--fit-on", "all", "--unit", unit)


def test_a_part_of_the_transcriptome_is_no_tpm(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rpkm_like() / 100).to_csv("rpkm.tsv", sep="\t")
    line = refused(capsys, *RPKM, "--fit-on", "all")
    assert "rpkm.tsv: the RPKM of a person sum to " in line
    assert "those of a whole transcriptome to over 50000: is this a part of the genes?" in line
    table = rpkm_like()
    table["P03"] = 0.0
    table.to_csv("rpkm.tsv", sep="\t")
    assert "every gene of P03 is 0: no TPM" in refused(capsys, *RPKM, "--fit-on", "all")


def test_logarithms_that_pass_for_tpm_are_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.log2(rpkm_like() + 1).to_csv("rpkm.tsv", sep="\t")
    assert command("rpkm.tsv", "out.tsv", "--unit", "tpm", "--fit-on", "all") == 0
    assert "no value of rpkm.tsv is above 25; if these are logarithms already, use --unit other" in (
        caplog.text
    )


def test_more_components_than_the_fitted_people_differ_in_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = rpkm_like()
    table[TRAINING[10:]] = table[[person for person in TRAINING[:9] for _ in range(2)]].to_numpy()
    table.to_csv("copies.tsv", sep="\t")
    options = ("--unit", "rpkm", "--fit-on", "train.txt", "--components")
    assert command("copies.tsv", "9.tsv", *options, "9") == 0
    line = refused(capsys, "copies.tsv", "10.tsv", *options, "10")
    assert line.endswith(
        "--components 10: the 28 people fitted on differ in 9 ways only (some are copies of others?); give at most 9"
    )


def test_one_persons_replicates_are_chosen_by_an_option_that_there_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assays = [f"HG{number // 2:05d}.{number % 2 + 1}.M_111124_6" for number in range(N_PEOPLE)]
    rpkm_like().set_axis(assays, axis="columns").to_csv("assays.tsv", sep="\t")
    people = [f"HG{number:05d}" for number in range(N_PEOPLE // 2)]
    rows = [f"{person}\t{number % 3}\n" for number, person in enumerate(people)]
    Path("batch.tsv").write_text("individual\tbatch\n" + "".join(rows))
    options = ("assays.tsv", "out.tsv", "--unit", "rpkm", "--fit-on", "all", "--covariates", "batch.tsv")
    both = "HG00000 can be individual HG00000.1.M_111124_6 or HG00000.2.M_111124_6"
    assert refused(capsys, *options).endswith(
        f"batch.tsv: {both}; give labels as the expression table has them, or choose among these with --individuals"
    )
    Path("people.txt").write_text("\n".join(people) + "\n")
    line = refused(capsys, *options, "--individuals", "people.txt")
    assert line.endswith(f"people.txt: {both}; give labels as assays.tsv has them")
    Path("people.txt").write_text("\n".join(assays[::2]) + "\n")
    assert command(*options, "--individuals", "people.txt") == 0


def test_components_need_every_value(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = rpkm_like()
    table.iloc[1, 5] = table.iloc[4, 38] = np.nan
    table.to_csv("tpm.tsv", sep="\t", na_rep="NA")
    options = ("tpm.tsv", "out.tsv", "--unit", "tpm", "--fit-on", "train.txt")
    line = refused(capsys, *options, "--components", "2")
    assert "tpm.tsv: 2 of 82 genes are not measured in everyone (for example gene ENSG00000000001, " in line
    assert "individual P05 (nan)), and components need every value; leave out those genes, or impute" in line
    assert command(*options, "--covariates", "covariates.tsv") == 0  # covariates do not
    assert read_expression("out.tsv").isna().sum(axis=None) == 2


def test_no_gene_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["gene\t" + "\t".join("abcde"), "G1\t0\t0\t0\t0\t30", "G2\t40\t40\t40\t40\t40"]
    Path("t.tsv").write_text("\n".join(lines) + "\n")
    assert (
        "t.tsv: no gene is left: of 2, 1 are mostly zero among the people fitted on, the others do"
        in refused(capsys, "t.tsv", "out.tsv", "--unit", "tpm", "--fit-on", "all")
    )


def test_covariates_that_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv("covariates.tsv", sep="\t")
    table.assign(again=table["PC1"]).to_csv("twice.tsv", sep="\t", index=False)
    options = (*RPKM, "--fit-on", "train.txt", "--covariates")
    assert refused(capsys, *options, "twice.tsv") == (
        "error: twice.tsv: covariate 'again' is a combination of those before it for the 28 people fitted on; "
        "remove one"
    )
    assert (
        "--components 25: 28 people to fit on and 82 genes allow at most 24 beside 2 covariates"
        in refused(capsys, *options, "covariates.tsv", "--components", "25")
    )
    table[30:].to_csv("few.tsv", sep="\t", index=False)
    assert "few.tsv: 0 of the people to fit on have covariates; give at least 3" in refused(
        capsys, *options, "few.tsv", "--drop-without-covariates"
    )


def test_a_gene_of_too_few_people_for_its_covariates(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = rpkm_like()[:10].copy()
    values.iloc[3, 4:] = np.nan
    values.to_csv("tpm.tsv", sep="\t", na_rep="NA")
    options = ("tpm.tsv", "out.tsv", "--unit", "tpm", "--fit-on", "all", "--covariates")
    assert "4 people to fit on have gene ENSG00000000003: too few for 2 covariates; leave out" in refused(
        capsys, *options, "covariates.tsv"
    )
    table = pd.read_csv("covariates.tsv", sep="\t")
    men = table["individual"][table["sex"] == "m"]
    values = rpkm_like()[:10].copy()
    values.loc["ENSG00000000003", men] = np.nan
    values.to_csv("tpm.tsv", sep="\t", na_rep="NA")
    assert (
        f"covariate 'sex=m' cannot be told from those before it in the {40 - len(men)} people to fit on who have "
        "gene ENSG00000000003"
    ) in refused(capsys, *options, "covariates.tsv")


def test_outputs_that_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rest = ("--unit", "rpkm", "--fit-on", "all")
    assert "rpkm.tsv: exists already; remove it or give another output" in refused(
        capsys, "rpkm.tsv", "rpkm.tsv", *rest
    )
    assert "out.xlsx: give an output that ends in .tsv, .tsv.gz, .csv, .csv.gz or .parquet" in refused(
        capsys, "rpkm.tsv", "out.xlsx", *rest
    )
    assert "is a file, not a folder; choose another output" in refused(
        capsys, "rpkm.tsv", "train.txt/out.tsv", *rest
    )
    Path("out.tsv.json").write_text("{}")
    assert "out.tsv.json: is where the recipe goes; remove it or give another output" in refused(
        capsys, "rpkm.tsv", "out.tsv", *rest
    )
    assert "none.tsv: no such expression table" in refused(capsys, "none.tsv", "o.tsv", *rest)


def test_parquet_without_pyarrow_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seqstore.recipe, "find_spec", lambda name: None)
    assert "out.parquet: parquet needs pyarrow, which is not installed; or give .tsv.gz" in refused(
        capsys, "rpkm.tsv", "out.parquet", "--unit", "rpkm", "--fit-on", "all"
    )


def test_the_command_is_one_of_seqstore(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["seqstore", "expression", "--help"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert "--fit-on" in capsys.readouterr().out
