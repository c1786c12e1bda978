"""Correlations on held-out people, gene by gene and by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from analysis_datasets import store_of
from scipy import stats

from analysis.correlations import CONSTANT, NOT_PREDICTED
from analysis.evaluation import PER_GENE_COLUMNS, SUMMARY_COLUMNS, evaluate
from seqstore.errors import InputError

N = 40


def split_of(store: xr.Dataset, test: npt.NDArray[np.bool_], classes: Sequence[str]) -> xr.Dataset:
    labels = np.where(test, 3, 1).astype(np.int8)
    return xr.Dataset(
        {"split": (("gene", "individual"), labels), "gene_class": ("gene", np.array(classes, dtype=object))},
        coords={"gene": store["gene"], "individual": store["individual"]},
    )


def prediction_of(store: xr.Dataset, values: npt.NDArray[np.floating]) -> xr.DataArray:
    coords = {"gene": store["gene"].values, "individual": store["individual"].values}
    return xr.DataArray(values.astype(np.float32), dims=("gene", "individual"), coords=coords)


def case(classes: Sequence[str], seed: int = 0) -> tuple[xr.Dataset, xr.Dataset, npt.NDArray[np.float64]]:
    """A store with random expression, a split whose last 15 people test, and predictions that follow it.

    Everybody is of one population.
    """
    rng = np.random.default_rng(seed)
    expression = rng.normal(5, 1, size=(len(classes), N))
    store = store_of(["chr1"] * len(classes), N, expression=expression, populations=["EURO"])
    test = np.tile(np.arange(N) >= N - 15, (len(classes), 1))
    return store, split_of(store, test, classes), expression + rng.normal(0, 1, size=expression.shape)


def test_r_is_scipys_over_measured_test_people() -> None:
    store, split, predicted = case(["random_split"] * 2)
    store["expression"][0, 0, -3:] = np.nan
    result = evaluate(store, [split], {"m": [prediction_of(store, predicted)]}, draws=50)
    assert list(result.per_gene.columns) == PER_GENE_COLUMNS
    assert list(result.summary.columns) == SUMMARY_COLUMNS
    assert result.per_gene["n"].tolist() == [12, 15]
    measured = store["expression"].values[0]
    for gene, people in enumerate([slice(-15, -3), slice(-15, None)]):
        expected = stats.pearsonr(predicted[gene, people], measured[gene, people]).statistic
        assert result.per_gene["pearson_r"][gene] == pytest.approx(expected, abs=1e-6)
    assert result.summary["mean_pearson_r"].item() == pytest.approx(result.per_gene["pearson_r"].mean())
    assert result.summary["n_genes"].item() == 2


def test_genes_and_people_are_matched_by_label() -> None:
    store, split, predicted = case(["random_split"] * 3)
    straight = evaluate(store, [split], {"m": [prediction_of(store, predicted)]}, draws=50)
    shuffled = prediction_of(store, predicted).isel(gene=[2, 0, 1], individual=slice(None, None, -1))
    again = evaluate(store, [split], {"m": [shuffled]}, draws=50)
    assert straight.per_gene.equals(again.per_gene)
    assert straight.summary.equals(again.summary)


def test_constant_and_missing_count_zero_and_are_counted() -> None:
    store, split, predicted = case(["random_split"] * 4)
    predicted[0] = 4.2
    predicted[1] = np.nan
    predicted[2, -2:] = np.nan
    result = evaluate(store, [split], {"m": [prediction_of(store, predicted)]}, draws=50)
    per_gene = result.per_gene
    assert per_gene["note"].tolist() == [CONSTANT, NOT_PREDICTED, "2 test people not predicted", ""]
    assert per_gene["pearson_r"][:2].tolist() == [0, 0]
    assert per_gene[["ci_low", "ci_high"]][:2].isna().all(axis=None)
    filled = predicted[2, -15:].copy()
    filled[-2:] = filled[:-2].mean()
    expected = stats.pearsonr(filled, store["expression"].values[0, 2, -15:]).statistic
    assert per_gene["pearson_r"][2] == pytest.approx(expected, abs=1e-6)
    row = result.summary.iloc[0]
    assert (row["n_genes"], row["n_constant"], row["n_missing"]) == (4, 1, 1)
    assert row["mean_pearson_r"] == pytest.approx(per_gene["pearson_r"].sum() / 4)


def test_genes_without_test_people_are_listed_and_left_out() -> None:
    store, split, predicted = case(["random_split"] * 4)
    store["expression"][0, 0, -15:] = np.nan  # nobody measured
    store["expression"][0, 1, -13:] = np.nan  # two left
    store["expression"][0, 2] = 1  # does not vary
    result = evaluate(store, [split], {"m": [prediction_of(store, predicted)]}, draws=50)
    assert result.per_gene["n"].tolist() == [0, 2, 15, 15]
    assert result.per_gene["pearson_r"].isna().tolist() == [True, True, True, False]
    few = "fewer than 3 test people, or their expression does not vary"
    assert result.per_gene["note"].tolist() == ["no test people", few, few, ""]
    assert result.summary["n_genes"].item() == 1
    assert result.summary["mean_pearson_r"].item() == pytest.approx(result.per_gene["pearson_r"][3])


def test_a_class_without_any_r_has_no_mean() -> None:
    store, split, predicted = case(["random_split", "unseen"])
    store["expression"][0, 1] = np.nan
    result = evaluate(store, [split], {"m": [prediction_of(store, predicted)]}, draws=50)
    row = result.summary.set_index("gene_class").loc["unseen"]
    assert row["n_genes"] == 0
    assert row[["mean_pearson_r", "ci_low", "ci_high"]].isna().all()


def test_r_of_folds_is_the_mean_of_within_fold_r() -> None:
    store, _, predicted = case(["random_split"] * 2)
    fold_of = np.arange(N) % 4
    splits = [split_of(store, np.tile(fold_of == k, (2, 1)), ["random_split"] * 2) for k in range(4)]
    # Each fold's predictions have their own offset, which pooling would take for a failure.
    folds = [prediction_of(store, predicted + 10 * k) for k in range(4)]
    folds[3][1] = 3.0
    result = evaluate(store, splits, {"m": folds}, draws=50)
    measured = store["expression"].values[0]
    for gene in range(2):
        within = [
            stats.pearsonr(predicted[gene, fold_of == k], measured[gene, fold_of == k]).statistic
            for k in range(4)
        ]
        within[3] *= gene == 0
        assert result.per_gene["pearson_r"][gene] == pytest.approx(np.mean(within), abs=1e-6)
    assert result.per_gene["n"].tolist() == [N, N]
    assert result.per_gene["note"].tolist() == ["", "constant in 1 of 4 folds"]
    assert result.summary["n_constant"].item() == 0


def test_classes_methods_and_negative_controls_in_order() -> None:
    classes = ["unseen", "unused", "random_split", "population_split", "random_split"]
    store, split, predicted = case(classes)
    store = store.assign_coords(null=("gene", [False, True, False, False, True]))
    predictions = {name: [prediction_of(store, predicted)] for name in ("zeta", "alpha")}
    result = evaluate(store, [split], predictions, negative_controls="null", draws=50)
    order = ["random_split", "population_split", "unseen", "negative_control"]
    assert result.summary["gene_class"].tolist() == [name for name in order for _ in range(2)]
    assert result.summary["method"].tolist() == ["zeta", "alpha"] * 4
    assert result.summary["n_genes"].tolist() == [1] * 8
    assert result.per_gene["method"].tolist() == ["zeta"] * 4 + ["alpha"] * 4
    assert result.per_gene["gene"].tolist() == ["gene2", "gene3", "gene0", "gene4"] * 2
    # The same prediction has the same interval, whatever its name.
    zeta, alpha = (result.summary[result.summary["method"] == name] for name in ("zeta", "alpha"))
    np.testing.assert_array_equal(zeta[["ci_low", "ci_high"]], alpha[["ci_low", "ci_high"]])


def test_negative_controls_written_as_text_or_numbers() -> None:
    store, split, predicted = case(["random_split"] * 3)
    for values in (np.array(["True", "false", ""], dtype=object), [1, 0, 0], [1.0, 0.0, 0.0]):
        marked = store.assign_coords(null=("gene", values))
        result = evaluate(
            marked, [split], {"m": [prediction_of(store, predicted)]}, negative_controls="null", draws=5
        )
        assert result.summary["n_genes"].tolist() == [2, 1]


def test_the_interval_of_a_gene_is_that_of_its_people() -> None:
    rng = np.random.default_rng(3)
    n = 300
    expression = rng.normal(size=(1, n))
    predicted = expression + 2 * rng.normal(size=(1, n))
    store = store_of(["chr1"], n, expression=expression, populations=["EURO"])
    split = split_of(store, np.ones((1, n), dtype=bool), ["unseen"])
    result = evaluate(store, [split], {"m": [prediction_of(store, predicted)]})
    row = result.per_gene.iloc[0]
    fisher = np.tanh(np.arctanh(row["pearson_r"]) + np.array([-1, 1]) * 1.96 / np.sqrt(n - 3))
    np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), fisher, atol=0.02)
    # A class of one gene has the interval of its people.
    summary = result.summary[["ci_low", "ci_high"]].iloc[0]
    np.testing.assert_allclose(summary, row[["ci_low", "ci_high"]].astype(float), atol=0.01)


def test_seeded() -> None:
    store, split, predicted = case(["random_split"] * 3)
    predictions = {"m": [prediction_of(store, predicted)]}
    first, again, other = (evaluate(store, [split], predictions, draws=50, seed=s) for s in (0, 0, 1))
    assert first.summary.equals(again.summary)
    assert not first.summary.equals(other.summary)


def test_refusals() -> None:
    store, split, predicted = case(["random_split"] * 2)
    predictions = {"m": [prediction_of(store, predicted)]}
    other = split.assign(gene_class=("gene", np.array(["unseen", "random_split"], dtype=object)))
    with pytest.raises(InputError, match="evaluate only folds of one split together"):
        evaluate(store, [split, other], {"m": predictions["m"] * 2})
    with pytest.raises(InputError, match="no gene column 'null': there is contig, gene, tss, window_start"):
        evaluate(store, [split], predictions, negative_controls="null")
    with pytest.raises(InputError, match="'tss' holds '10000': it must be true or false"):
        evaluate(store, [split], predictions, negative_controls="tss")
    foreign = prediction_of(store, predicted).assign_coords(gene=["a", "b"])
    with pytest.raises(InputError, match="predictions 'm' share no gene with the store"):
        evaluate(store, [split], {"m": [foreign]})
    with pytest.raises(InputError, match="no column of the sample table 'ancestry'"):
        evaluate(store, [split], predictions, within="ancestry")
    untested = split.assign(split=split["split"] * 0 + 1)
    with pytest.raises(InputError, match="the split has no test people"):
        evaluate(store, [untested], predictions)


def two_populations(seed: int = 0) -> tuple[xr.Dataset, xr.Dataset, npt.NDArray[np.float64]]:
    """A class whose test people are of two populations that differ in expression, and a prediction of ancestry."""
    rng = np.random.default_rng(seed)
    population = np.tile([0.0, 1.0], N // 2)
    expression = 3 * population + rng.normal(size=(4, N))
    store = store_of(["chr1"] * 4, N, expression=expression)
    return store, split_of(store, np.ones((4, N), dtype=bool), ["unseen"] * 4), population


def test_ancestry_alone_predicts_nothing_within_populations() -> None:
    store, split, population = two_populations()
    values = np.tile(population, (4, 1))
    rng = np.random.default_rng(1)
    values[1] += 1e-3 * rng.normal(size=N)  # hardly more than ancestry
    values[2:] = store["expression"].values[0, 2:] + rng.normal(size=(2, N))
    predictions = {"m": [prediction_of(store, values)]}
    result = evaluate(store, [split], predictions, draws=50)
    per_gene, measured = result.per_gene, store["expression"].values[0]
    assert per_gene["populations"].tolist() == [2] * 4
    assert per_gene["note"].tolist() == [CONSTANT, "", "", ""]
    assert per_gene["pearson_r"][0] == 0
    assert per_gene["pooled_r"][0] == pytest.approx(np.corrcoef(population, measured[0])[0, 1], abs=1e-6)
    assert per_gene["pooled_r"][0] > 0.7
    assert np.isnan(per_gene["p"][0])
    # Frisch and Waugh: a correlation of centred values is the partial one, given the population.
    for gene in (1, 2):
        design = np.column_stack([np.ones(N), population])
        left = [
            v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (values[gene], measured[gene])
        ]
        expected = np.corrcoef(*left)[0, 1]
        assert per_gene["pearson_r"][gene] == pytest.approx(expected, abs=1e-5)
        t = expected * np.sqrt((N - 3) / (1 - expected**2))
        assert per_gene["p"][gene] == pytest.approx(2 * stats.t.sf(abs(t), N - 3), rel=1e-3)
    row = result.summary.iloc[0]
    assert (row["populations"], row["n_constant"]) == (2, 1)
    assert row["mean_pooled_r"] > row["mean_pearson_r"] + 0.2

    pooled = evaluate(store, [split], predictions, within="none", draws=50)
    np.testing.assert_allclose(pooled.per_gene["pearson_r"], per_gene["pooled_r"])
    assert pooled.per_gene["populations"].tolist() == [1] * 4


def test_a_class_tested_by_one_population_has_the_r_of_all() -> None:
    store, split, _ = two_populations()
    held_out = split.assign(split=split["split"].where(store["population"] == "AFRI", 1).astype(np.int8))
    values = store["expression"].values[0] + np.random.default_rng(1).normal(size=(4, N))
    result = evaluate(store, [held_out], {"m": [prediction_of(store, values)]}, draws=50)
    assert result.per_gene["populations"].tolist() == [1] * 4
    np.testing.assert_array_equal(result.per_gene["pearson_r"], result.per_gene["pooled_r"])


def test_missing_predictions_within_populations_are_the_mean_of_their_population() -> None:
    store, split, population = two_populations()
    values = store["expression"].values[0] + np.random.default_rng(1).normal(size=(4, N))
    values[0, :4] = np.nan
    result = evaluate(store, [split], {"m": [prediction_of(store, values)]}, draws=50)
    filled = values[0].copy()
    for of in (0, 1):
        filled[:4][population[:4] == of] = np.nanmean(values[0, population == of])
    both = np.stack([filled, store["expression"].values[0, 0]])
    for of in (0, 1):
        both[:, population == of] -= both[:, population == of].mean(axis=1, keepdims=True)
    assert result.per_gene["pearson_r"][0] == pytest.approx(np.corrcoef(both)[0, 1], abs=1e-6)


def test_replicates_are_averaged_and_their_spread_is_kept() -> None:
    store, split, _ = case(["random_split"] * 3)
    measured = store["expression"].values[0]
    rng = np.random.default_rng(5)
    runs = [prediction_of(store, measured + s * rng.normal(size=measured.shape)) for s in (1, 2, 4)]
    runs[2][0] = -runs[2][0]
    joined = xr.concat(runs, "replicate")
    result = evaluate(store, [split], {"m": [joined], "one": [runs[0]]}, draws=200)
    r = np.array([[np.corrcoef(run[g, -15:], measured[g, -15:])[0, 1] for g in range(3)] for run in runs])
    of_m = result.per_gene[result.per_gene["method"] == "m"]
    np.testing.assert_allclose(of_m["pearson_r"], r.mean(axis=0), atol=1e-6)
    row = result.summary.set_index("method").loc["m"]
    assert row["replicates"] == 3
    assert row["replicate_sd"] == pytest.approx(r.mean(axis=1).std(ddof=1), abs=1e-6)
    assert row["mean_abs_r"] == pytest.approx(np.abs(r).mean(), abs=1e-6)
    assert row["median_r"] == pytest.approx(np.median(r.mean(axis=0)), abs=1e-6)
    assert np.isnan(result.summary.set_index("method").loc["one", "replicate_sd"])


def test_covariates_are_taken_from_expression_as_training_people_show_them(tmp_path: Path) -> None:
    store, split, predicted = case(["random_split", "unseen"])
    split["split"][1] = 3  # nobody trains it
    rng = np.random.default_rng(2)
    age, sex = rng.normal(50, 10, size=N), np.where(rng.random(N) < 0.5, "male", "female")
    people = store["individual"].values.tolist()
    rows = [f"{p}\t{a!r}\t{s}" for p, a, s in zip(people, age.tolist(), sex, strict=True)]
    rows[-1] = f"{people[-1]}\t\tmale"  # without age: not tested
    (tmp_path / "covariates.tsv").write_text("\n".join(["individual\tage\tsex", *rows]) + "\n")
    result = evaluate(
        store,
        [split],
        {"m": [prediction_of(store, predicted)]},
        covariates=tmp_path / "covariates.tsv",
        draws=5,
    )
    design = np.column_stack([np.ones(N), age, sex == "male"])
    train = slice(0, N - 15)
    for gene, test in ((0, slice(-15, -1)), (1, slice(0, -1))):
        values = store["expression"].values[0, gene]
        left = values - design @ np.linalg.lstsq(design[train], values[train], rcond=None)[0]
        expected = np.corrcoef(left[test], predicted[gene, test])[0, 1]
        assert result.per_gene["pearson_r"][gene] == pytest.approx(expected, abs=1e-6)
    assert result.per_gene["n"].tolist() == [14, N - 1]
