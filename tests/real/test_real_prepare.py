"""`seqstore expression` on Geuvadis expression and its published covariates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from seqstore.covariates import read_covariates
from seqstore.errors import InputError
from seqstore.expression import read_expression
from seqstore.prepare import prepare_expression
from seqstore.recipe import recipe_of

COVARIATES = "expr/tensorqtl_GEUVADIS.445_samples.covariates.txt"


@pytest.fixture
def table(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """3,000 genes x 360 people (RPKM, corrected with PEER), as peer.tsv and, negative values set to 0, rpkm.tsv."""
    monkeypatch.chdir(tmp_path)
    with np.load(real / "expr/geuvadis_findr_3000genes_360samples.npz") as file:
        genes, people = (file[name].astype(str) for name in ("genes", "samples"))
        values = pd.DataFrame(file["expr"], index=pd.Index(genes, name="gene"), columns=people)
    values.to_csv("peer.tsv", sep="\t")
    values.clip(lower=0).to_csv("rpkm.tsv", sep="\t")
    drawn = np.random.default_rng(0).permutation(360) < 283
    Path("train.txt").write_text("\n".join(people[drawn]) + "\n")
    return values


def listed() -> list[str]:
    return Path("train.txt").read_text().split()


def studys(rpkm: pd.DataFrame, fit: list[str], n_components: int) -> pd.DataFrame:
    """The reference study's matrix; with ``fit`` everyone it is what was published, step by step."""
    tpm = rpkm.astype(float) / rpkm.astype(float).sum(axis="index") * 1e6
    tpm = tpm[(tpm[fit] == 0).mean(axis="columns") < 0.5]
    logarithm = np.log(tpm + 0.01)
    scaler = StandardScaler().fit(logarithm[fit].T.to_numpy())
    scaled = scaler.transform(logarithm.T.to_numpy())
    pca = PCA(n_components=n_components, svd_solver="full").fit(scaled[np.isin(tpm.columns, fit)])
    corrected = scaler.inverse_transform(scaled - pca.transform(scaled) @ pca.components_)
    return pd.DataFrame(corrected.T, index=tpm.index, columns=tpm.columns)


def test_the_studys_formula_on_all_and_on_training_people(table: pd.DataFrame) -> None:
    rpkm = table.clip(lower=0)
    prepared = {}
    for fit_on, fit in (("all", table.columns.to_list()), ("train.txt", listed())):
        output = f"{fit_on}.tsv"
        prepare_expression("rpkm.tsv", output, unit="rpkm", fit_on=fit_on, components=10)
        prepared[fit_on] = read_expression(output).astype(float)
        expected = studys(rpkm, fit, 10)
        pd.testing.assert_frame_equal(prepared[fit_on], expected, rtol=1e-5, atol=1e-5)

    # The fit people keep their means; what is gone is what the components explain.
    before = np.log(rpkm.astype(float) / rpkm.astype(float).sum(axis="index") * 1e6 + 0.01)
    after, fit = prepared["train.txt"], listed()
    np.testing.assert_allclose(after[fit].mean(axis="columns"), before[fit].mean(axis="columns"), atol=1e-5)
    share = after[fit].var(axis="columns").to_numpy() / before[fit].var(axis="columns").to_numpy()
    assert share.max() <= 1 + 1e-5
    recipe = recipe_of("train.txt.tsv")
    assert recipe is not None
    assert 1 - share.mean() == pytest.approx(sum(recipe["variance_shares_of_components"]), abs=1e-4)

    # Held-out people look much the same either way, but not quite: theirs were among those that "all" fitted.
    held_out = [person for person in table.columns if person not in fit]
    first, second = (prepared[name][held_out].T.to_numpy() for name in ("all", "train.txt"))
    scaled = [(values - values.mean(axis=0)) / values.std(axis=0) for values in (first, second)]
    r = (scaled[0] * scaled[1]).mean(axis=0)
    assert 0.95 < np.median(r) < 0.999


def test_published_covariates_are_regressed_out(real: Path, table: pd.DataFrame) -> None:
    """15 of the people have no covariates; the 26 others explain nothing any more of those fitted on."""
    covariates = str(real / COVARIATES)
    options = {"unit": "other", "fit_on": "train.txt", "covariates": covariates}
    with pytest.raises(
        InputError, match=r"15 of the 360 individuals of peer.tsv are not there .* \(HG00104, "
    ):
        prepare_expression("peer.tsv", "out.tsv", **options)
    prepare_expression("peer.tsv", "out.tsv", drop_without_covariates=True, components=5, **options)
    after = read_expression("out.tsv").astype(float)
    assert after.shape == (3000, 345)
    recipe = json.loads(Path("out.tsv.json").read_text())
    assert recipe["covariates"]["columns"] == [
        *(f"PC{number}" for number in range(1, 6)),
        *(f"InferredCov{number}" for number in range(1, 21)),
        "sex",
    ]
    fit = [person for person in listed() if person in after.columns]
    assert len(fit) == recipe["fit"]["individuals"] == 271
    design = read_covariates(covariates, fit).astype(float)
    before, left = table[fit].T.astype(float), after[fit].T
    explained = LinearRegression().fit(design, before).predict(design).var(axis=0) / before.var().to_numpy()
    remaining = LinearRegression().fit(design, left).predict(design).var(axis=0) / left.var().to_numpy()
    assert explained.mean() > 0.05
    assert remaining.max() < 1e-9


def test_genes_that_not_everyone_has_are_regressed_in_those_who_have_them(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 genes out of two tables: 360 people, 445, or the 89 of one population."""
    monkeypatch.chdir(tmp_path)
    source, covariates = str(real / "expr/expression.chr20.tsv"), str(real / COVARIATES)
    options = {"unit": "other", "fit_on": "all", "covariates": covariates, "drop_without_covariates": True}
    prepare_expression(source, "out.tsv", **options)
    prepare_expression(source, "normal.tsv", inverse_normal=True, **options)
    before, after, normal = (read_expression(path) for path in (source, "out.tsv", "normal.tsv"))
    assert after.shape == (8, 445)
    design = read_covariates(covariates, after.columns.to_list()).astype(float)
    measured = {}
    for gene, row in before[after.columns].iterrows():
        known = row.notna().to_numpy()
        measured[str(gene)] = int(known.sum())
        values = row[known].to_numpy(dtype=float)
        model = LinearRegression().fit(design[known], values)
        expected = values - model.predict(design[known]) + values.mean()
        np.testing.assert_allclose(
            after.loc[gene][known], expected, rtol=1e-5, atol=1e-5 * np.abs(values).max()
        )
        assert after.loc[gene][~known].isna().all()
        quantiles = norm.ppf(rankdata(after.loc[gene][known]) / (known.sum() + 1))
        np.testing.assert_allclose(normal.loc[gene][known], quantiles, atol=1e-5)
    assert measured == {
        **dict.fromkeys(("SIRPB1", "DNAAF9", "AP5S1"), 345),
        **dict.fromkeys(("ITPA", "MAVS", "PCED1A", "PTPRA"), 445),
        "SIRPG": 89,
    }
    with pytest.raises(
        InputError, match=r"8 of 8 genes are not measured in everyone .* components need every"
    ):
        prepare_expression(source, "c.tsv", unit="other", fit_on="all", components=1)


def test_one_chromosome_is_no_transcriptome(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = str(real / "expr/geuvadis_qtltools_chr22.bed.gz")  # 608 genes
    with pytest.raises(
        InputError, match=r"RPKM of a person sum to \d+ \(median\).* is this a part of the genes\?"
    ):
        prepare_expression(source, "out.tsv", unit="rpkm", fit_on="all")
    assert list(tmp_path.iterdir()) == []
    prepare_expression(source, "out.tsv", unit="tpm", fit_on="all", components=3)
    assert read_expression("out.tsv").shape == (608, 358)


def test_corrected_values_are_no_rpkm(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"is negative, so no RPKM; .*--unit other"):
        prepare_expression("peer.tsv", "out.tsv", unit="rpkm", fit_on="all")
