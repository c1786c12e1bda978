"""Linear baselines: what they find, what they must not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analysis_datasets import random_cohort, save_store
from scipy import stats
from sklearn.linear_model import ElasticNetCV, Ridge
from sklearn.model_selection import PredefinedSplit
from test_analysis_commands import call, refused

from analysis.baselines import METHODS, fit_baselines, fit_gene
from analysis.dosage import dosages_of
from analysis.expression import expression_of
from analysis.linear_models import Baselines
from analysis.reml import reml
from analysis.splits import split_people
from seqstore import write_split
from seqstore.dosage import dosage_of
from seqstore.errors import InputError
from seqstore.predictions import open_predictions


def cohort(**options: float) -> tuple[xr.DataArray, xr.Dataset, xr.DataArray, np.ndarray]:
    store, variants, causal = random_cohort(**options)  # type: ignore[arg-type]
    split = split_people(store, ["random_split"] * store.sizes["gene"], seed=1)["split"]
    return expression_of(store), variants, split, causal


def test_every_method_finds_the_planted_variant() -> None:
    expression, variants, split, causal = cohort(n_people=400)
    fitted = fit_baselines(expression, variants, split, methods=list(METHODS))
    for number, gene in enumerate(expression["gene"].values):
        planted = f"rs{number * 20 + causal[number]}"
        for method in METHODS:
            weights = fitted.weights[(fitted.weights["method"] == method) & (fitted.weights["gene"] == gene)]
            assert weights.loc[weights["weight"].abs().idxmax(), "variant_id"] == planted
            test = split.sel(gene=gene).values == 3
            predicted = fitted.prediction.sel({"method": method, "gene": gene}).values[test]
            assert stats.pearsonr(predicted, expression.sel(gene=gene).values[test]).statistic > 0.3
    assert (fitted.weights["method"] == "top1").sum() == 3


def test_top1_is_the_least_squares_line_of_the_best_variant() -> None:
    expression, variants, split, causal = cohort(n_genes=1)
    dosage = dosage_of(variants, "gene0")["dosage"].values
    train = split.values[0] == 1
    y = expression.values[0]
    models, predicted = fit_gene(dosage, y, train, methods=["top1"])
    line = stats.linregress(dosage[train, causal[0]], y[train])
    assert models["top1"].weights[causal[0]] == pytest.approx(line.slope, rel=1e-10)
    assert models["top1"].intercept == pytest.approx(line.intercept, rel=1e-10)
    np.testing.assert_allclose(predicted[0], line.intercept + line.slope * dosage[:, causal[0]], rtol=1e-10)


@pytest.mark.parametrize(("method", "l1_ratio"), [("enet", 0.5), ("lasso", 1.0)])
def test_penalised_weights_are_scikit_learns_on_standardised_training_people(
    method: str, l1_ratio: float
) -> None:
    expression, variants, split, _ = cohort(n_genes=1)
    dosage = dosage_of(variants, "gene0")["dosage"].values.astype(float)
    train = split.values[0] == 1
    y = expression.values[0]
    models, predicted = fit_gene(dosage, y, train, methods=[method], seed=7)
    centre, scale = dosage[train].mean(axis=0), dosage[train].std(axis=0)
    mean, sd = y[train].mean(), y[train].std()
    folds = np.random.default_rng(7).permutation(np.arange(train.sum()) % 5)
    direct = ElasticNetCV(l1_ratio=l1_ratio, cv=PredefinedSplit(folds), max_iter=100_000, tol=1e-10)
    direct.fit((dosage[train] - centre) / scale, (y[train] - mean) / sd)
    expected = mean + sd * direct.predict((dosage - centre) / scale)
    np.testing.assert_allclose(predicted[0], expected, rtol=1e-5)
    np.testing.assert_allclose(models[method].weights, direct.coef_ * sd / scale, atol=1e-5)


def test_blup_is_ridge_regression_with_the_ratio_of_reml() -> None:
    expression, variants, split, _ = cohort(n_genes=1)
    dosage = dosage_of(variants, "gene0")["dosage"].values.astype(float)
    train = split.values[0] == 1
    y = expression.values[0]
    _, predicted = fit_gene(dosage, y, train, methods=["blup"])
    centre, scale = dosage[train].mean(axis=0), dosage[train].std(axis=0)
    mean, sd = y[train].mean(), y[train].std()
    genotype = (dosage - centre) / scale
    h2 = reml(genotype[train], (y[train] - mean) / sd, constrained=True).h2
    ridge = Ridge(alpha=genotype.shape[1] * (1 - h2) / h2, fit_intercept=False)
    ridge.fit(genotype[train], (y[train] - mean) / sd)
    assert 0.1 < h2 < 0.9
    np.testing.assert_allclose(predicted[0], mean + sd * ridge.predict(genotype), rtol=1e-8)


def test_prediction_is_intercept_plus_weights_of_the_tables() -> None:
    expression, variants, split, _ = cohort(n_genes=2)
    fitted = fit_baselines(expression, variants, split, methods=["enet"])
    for row in fitted.genes.itertuples():
        window = dosage_of(variants, row.gene)
        weights = fitted.weights[fitted.weights["gene"] == row.gene].set_index("variant_id")["weight"]
        dosage = window["dosage"].values[:, np.isin(window["variant_id"].values, weights.index)]
        expected = row.intercept + dosage @ weights.to_numpy()
        np.testing.assert_allclose(fitted.prediction.sel(gene=row.gene).values[0], expected, rtol=1e-6)


def same(first: Baselines, second: Baselines) -> bool:
    return first.weights.equals(second.weights) and first.genes.equals(second.genes)


def test_only_training_people_are_seen() -> None:
    expression, variants, split, _ = cohort(n_genes=2)
    fitted = fit_baselines(expression, variants, split)
    rng = np.random.default_rng(5)
    other = expression.where(split == 1, rng.normal(size=expression.shape))
    calls = variants["call_genotype"]
    swapped = calls.where((split[0] == 1).drop_vars("gene"), 1 - calls)
    assert same(fitted, fit_baselines(other, variants.assign(call_genotype=swapped), split))
    train = expression.where(split != 1, expression + rng.normal(size=expression.shape))
    assert not same(fitted, fit_baselines(train, variants, split))


def test_maf_is_that_of_measured_training_people() -> None:
    rng = np.random.default_rng(0)
    train = np.arange(60) < 40
    dosage = rng.integers(0, 3, size=(60, 3)).astype(float)
    dosage[:, 0] = ~train * 2.0  # common, but not in training people
    dosage[:, 1] = 0
    dosage[[0, 1, 2, 3], 1] = 1  # 4 of 80 alleles: exactly 0.05
    y = rng.normal(size=60)
    models, _ = fit_gene(dosage, y, train, methods=["top1"], maf=0.05)
    assert models["top1"].n_variants == 2
    y[0] = np.nan  # 3 of 78 alleles
    models, _ = fit_gene(dosage, y, train, methods=["top1"], maf=0.05)
    assert (models["top1"].n_variants, models["top1"].n_people) == (1, 39)


def test_genes_that_cannot_be_fitted_are_constant_or_absent() -> None:
    expression, variants, split, _ = cohort(n_genes=4)
    values = expression.values.copy()
    values[0] = np.nan  # nobody measured: not predicted
    train = np.flatnonzero(split.values[1] == 1)
    values[1, train[5:]] = np.nan  # five training people
    values[2] = 3.25  # does not vary
    nothing = variants.assign(
        gene_variant_start=variants["gene_variant_stop"].where(variants["gene"] == "gene3", 0)
    )
    nothing["gene_variant_stop"] = variants["gene_variant_stop"]
    fitted = fit_baselines(expression.copy(data=values), nothing, split, methods=["top1", "enet"])
    prediction = fitted.prediction.sel({"method": "enet"}).values
    assert np.isnan(prediction[0]).all()
    np.testing.assert_allclose(prediction[1], values[1, train[:5]].mean(), rtol=1e-6)
    np.testing.assert_array_equal(prediction[2], 3.25)
    assert (prediction[3] == prediction[3, 0]).all()
    notes = fitted.genes[fitted.genes["method"] == "enet"].set_index("gene")["note"]
    assert notes.to_dict() == {
        "gene0": "not measured in training people",
        "gene1": "only 5 training people",
        "gene2": "expression does not vary",
        "gene3": "no variant with MAF >= 0.05",
    }
    assert fitted.weights.empty


def test_genes_that_nobody_trains_are_left_out() -> None:
    expression, variants, split, _ = cohort(n_genes=2)
    unseen = split.copy(data=np.where(np.arange(2)[:, None] == 1, 3, split.values))
    fitted = fit_baselines(expression, variants, unseen)
    assert np.isnan(fitted.prediction.values[:, 1]).all()
    assert set(fitted.genes["gene"]) == set(fitted.weights["gene"]) == {"gene0"}


def test_what_does_not_fit_together_is_refused() -> None:
    expression, variants, split, _ = cohort(n_genes=2, n_people=30)
    with pytest.raises(InputError, match="the split has no training people for any gene"):
        fit_baselines(expression, variants, xr.full_like(split, 3))
    with pytest.raises(InputError, match="no gene's expression is measured in its training people"):
        fit_baselines(expression.where(split != 1), variants, split)
    backwards = split.isel(individual=slice(None, None, -1))
    with pytest.raises(
        InputError, match="individual 0 of split is 'person029', that of expression 'person000'"
    ):
        fit_baselines(expression, variants, backwards)
    with pytest.raises(InputError, match="individual 29 of variants is None, that of expression 'person029'"):
        fit_baselines(expression, variants.isel(individual=slice(29)), split)
    with pytest.raises(InputError, match="gene 1 of split is None, that of expression 'gene1'"):
        fit_baselines(expression, variants, split[:1])
    with pytest.raises(InputError, match="no gene 'gene1': there is gene0"):
        fit_baselines(expression, variants.isel(gene=slice(1)), split)


def test_fits_that_stop_early_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.elastic_net.MAX_SEARCHES", 1)
    expression, variants, split, _ = cohort(n_genes=1)
    fitted = fit_baselines(expression, variants, split, methods=["enet"])
    assert "did not converge: " in fitted.genes["note"].item()
    assert "fits stopped early" in fitted.genes["note"].item()


def test_without_a_frequency_threshold_every_variant_counts_that_varies() -> None:
    rng = np.random.default_rng(0)
    dosage = rng.binomial(2, np.repeat([0.005, 0.4], 30), size=(80, 60)).astype(float)
    y = dosage[:, 40] + rng.normal(size=80)
    train = np.arange(80) < 60
    models, predicted = fit_gene(dosage, y, train, methods=["top1", "lasso", "enet", "blup"], maf=0.0)
    n_varying = int((dosage[train].std(axis=0) > 0).sum())
    assert 30 < n_varying < 60
    assert {model.n_variants for model in models.values()} == {n_varying}
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("bytes_at_once", [1, 20_000, 2**30])
@pytest.mark.parametrize("length", [None, 100])
def test_dosages_that_are_read_together_are_those_of_each_gene(
    monkeypatch: pytest.MonkeyPatch, bytes_at_once: int, length: int | None
) -> None:
    monkeypatch.setattr("analysis.dosage.BYTES_AT_ONCE", bytes_at_once)
    _, variants, _ = random_cohort(n_genes=5)
    # Windows share variants, are not in the order of the genes, and one has none.
    variants["gene_variant_start"] = "gene", np.array([50, 0, 30, 70, 10])
    variants["gene_variant_stop"] = "gene", np.array([80, 40, 60, 70, 20])
    read = dict(dosages_of(variants, ["gene0", "gene1", "gene3", "gene4"], length=length))
    assert list(read) == ["gene1", "gene4", "gene0", "gene3"]
    for gene, window in read.items():
        xr.testing.assert_identical(window, dosage_of(variants, gene, length=length))


def test_processes_give_the_same() -> None:
    expression, variants, split, _ = cohort()
    one, two = (fit_baselines(expression, variants, split, jobs=jobs) for jobs in (1, 2))
    assert same(one, two)
    np.testing.assert_array_equal(one.prediction.values, two.prediction.values)


def test_method_names() -> None:
    assert list(METHODS) == ["top1", "lasso", "enet", "blup", "bslmm"]


def test_one_of_several_assays_must_be_named() -> None:
    store, _, _ = random_cohort(n_genes=1, n_people=4)
    both = xr.concat([store, store.assign_coords(assay=["blood"])], "assay", data_vars="minimal")
    both["expression"][1] += 1
    with pytest.raises(InputError, match="2 assays: choose one with --assay"):
        expression_of(both)
    with pytest.raises(InputError, match="no assay 'liver': there is LCL, blood"):
        expression_of(both, assay="liver")
    np.testing.assert_array_equal(expression_of(both, assay="blood"), expression_of(store) + 1)


def test_command_writes_what_each_method_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset, variants, _ = random_cohort(4)
    dataset["expression"][0, 3] = np.nan
    contigs = np.array(["chr1", "chr1", "chr2", "chr1"], dtype=object)
    store = save_store(tmp_path / "store.zarr", dataset.assign_coords(contig=("gene", contigs)), variants)
    classes = ("--random-contigs", "chr1", "--unseen-contigs", "chr2")
    assert call("split", store, "--name", "s", *classes) == 0
    out = tmp_path / "out"
    options = ("--methods", "lasso,pcs,blup", "--maf", "0", "--jobs", "2", "--output", out)
    assert call("baselines", store, "--split", "s", *options) == 0
    printed = capsys.readouterr().out
    assert "lasso: 2 of 4 genes trained, 0 of them constant" in printed
    assert "pcs: 2 of 4 genes trained" in printed
    assert sorted(path.name for path in out.iterdir()) == [
        *("blup.genes.tsv", "blup.weights.tsv", "blup.zarr"),
        *("lasso.genes.tsv", "lasso.weights.tsv", "lasso.zarr", "pcs.zarr"),
    ]
    for method in ("lasso", "pcs", "blup"):
        predicted = open_predictions(out / f"{method}.zarr")
        assert predicted.attrs["split"] == "s"
        assert np.isnan(predicted["prediction"].values).all(axis=1).tolist() == [False, False, True, True]
    rows = pd.read_csv(out / "blup.genes.tsv", sep="\t").set_index("gene")
    assert rows.loc["gene3", "note"] == "not measured in training people"
    assert list(rows.index) == ["gene0", "gene1", "gene3"]


def test_command_refuses_a_split_without_training_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, variants, _ = random_cohort(2, 30)
    store = save_store(tmp_path / "store.zarr", dataset, variants)
    write_split(store, "test", split=np.full((2, 30), 3), gene_class=["unseen"] * 2)
    for methods in ("top1", "pcs", "top1,pcs"):
        options = ("--split", "test", "--output", tmp_path / "out", "--methods", methods)
        assert "no training people for any gene" in refused(capsys, "baselines", store, *options)
    options = ("--split", "test", "--output", tmp_path / "out", "--methods", "top2")
    message = refused(capsys, "baselines", store, *options)
    assert "no method 'top2': there is blup, bslmm, enet, lasso, pcs, top1" in message
    assert not (tmp_path / "out").exists()
