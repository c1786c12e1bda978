"""Spearman, p and q of predictions, against scipy's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from analysis_datasets import random_cohort
from scipy import stats

from analysis.baselines import fit_baselines
from analysis.comparison import compare
from analysis.correlations import NOT_PREDICTED, correlate, q_values
from analysis.evaluation import evaluate
from analysis.expression import expression_of
from analysis.splits import split_people

Floats = npt.NDArray[np.float64]


def of(predicted: Floats, measured: Floats, *, folds: int = 1, draws: int = 20) -> Floats:
    """Arguments of ``correlate``: everybody tests, once in each of ``folds`` parts."""
    n = measured.shape[1]
    part = np.arange(n) % folds
    test = np.stack([np.tile(part == fold, (len(measured), 1)) for fold in range(folds)])
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
    stacked = np.broadcast_to(predicted, (1, folds, *predicted.shape))
    return stacked, np.broadcast_to(measured, (folds, *measured.shape)), test, weights  # type: ignore[return-value]


def test_p_spearman_and_q_are_scipys() -> None:
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(6, 30))
    predicted = 0.3 * measured + rng.normal(size=(6, 30))
    predicted[4] = 1.0
    predicted[5] = np.round(predicted[5])  # ties
    table = correlate(*of(predicted, measured)).table
    known = [0, 1, 2, 3, 5]
    for gene in known:
        expected = stats.pearsonr(predicted[gene], measured[gene])
        assert table["p"][gene] == pytest.approx(expected.pvalue, rel=1e-9)
        assert table["r_squared"][gene] == pytest.approx(expected.statistic**2)
        rank = stats.spearmanr(predicted[gene], measured[gene]).statistic
        assert table["spearman_r"][gene] == pytest.approx(rank)
    assert table.loc[4, ["pearson_r", "spearman_r"]].tolist() == [0, 0]
    assert table.loc[4, ["p", "q"]].isna().all()  # set aside
    np.testing.assert_allclose(table["q"][known], stats.false_discovery_control(table["p"][known]))


def test_p_of_folds_is_stouffers_with_twice_the_variance() -> None:
    rng = np.random.default_rng(1)
    measured = rng.normal(size=(3, 61))
    predicted = 0.4 * measured + rng.normal(size=(3, 61))
    table = correlate(*of(predicted, measured, folds=3)).table
    part = np.arange(61) % 3
    for gene in range(3):
        z, weight = [], []
        for fold in range(3):
            r = stats.pearsonr(predicted[gene, part == fold], measured[gene, part == fold])
            greater = stats.pearsonr(
                predicted[gene, part == fold], measured[gene, part == fold], alternative="greater"
            )
            z.append(stats.norm.isf(greater.pvalue))
            weight.append(np.sqrt((part == fold).sum()))
            assert np.sign(r.statistic) == np.sign(z[-1])
        combined = stats.combine_pvalues(stats.norm.sf(z), method="stouffer", weights=weight).statistic
        assert table["p"][gene] == pytest.approx(2 * stats.norm.sf(abs(combined) / np.sqrt(2)), rel=1e-6)


def test_p_of_null_genes_is_uniform_on_one_split() -> None:
    rng = np.random.default_rng(2)
    measured, predicted = rng.normal(size=(2, 2000, 40))
    populations = np.arange(40) % 3
    measured += rng.normal(size=(2000, 3))[:, populations]
    predicted += rng.normal(size=(2000, 3))[:, populations]
    predicted[:100] = 2.5
    arguments = of(predicted, measured, draws=1)
    within = correlate(*arguments, within=populations).table["p"]
    assert within.isna().sum() == 100
    assert stats.kstest(within.dropna(), "uniform").pvalue > 0.01
    shared = correlate(*arguments).table["p"].dropna()
    assert (shared < 0.05).mean() > 0.1  # populations differ: people of one are alike


def test_p_of_folds_on_noise() -> None:
    """Ridge trained on the other folds, where there is nothing to learn: each gene's r is 0 but for chance."""
    rng = np.random.default_rng(4)
    n, folds, genes = 120, 5, 1500
    measured = rng.normal(size=(genes, n))
    part = np.arange(n) % folds
    predicted = np.zeros((1, folds, genes, n))
    test = np.zeros((folds, genes, n), dtype=bool)
    for gene in range(genes):
        genotype = rng.binomial(2, rng.uniform(0.1, 0.9, size=8), size=(n, 8)).astype(float)
        for fold in range(folds):
            train = part != fold
            x, y = genotype - genotype[train].mean(axis=0), measured[gene] - measured[gene, train].mean()
            weights = np.linalg.solve(x[train].T @ x[train] + 20 * np.eye(8), x[train].T @ y[train])
            predicted[0, fold, gene], test[fold, gene] = x @ weights, ~train
    table = correlate(predicted, np.broadcast_to(measured, (folds, genes, n)), test, np.ones((1, n))).table
    assert abs(table["pearson_r"].mean()) < 0.012  # pooled over folds it would be below -0.05
    for level in (0.05, 0.2, 0.5):
        assert (table["p"] < level).mean() == pytest.approx(
            level, abs=3.5 * np.sqrt(level * (1 - level) / genes)
        )


def test_p_of_null_genes_of_trained_models_is_uniform_on_one_split() -> None:
    store, variants, _ = random_cohort(400, 100, 10, effect=0.0, seed=3)
    split = split_people(store, ["random_split"] * 400, test_share=0.3)
    fitted = fit_baselines(expression_of(store), variants, split["split"], methods=["top1"])
    predictions = {"top1": [fitted.prediction.sel({"method": "top1"})]}
    result = evaluate(store, [split], predictions, draws=1)
    p = result.per_gene["p"]
    assert stats.kstest(p.dropna(), "uniform").pvalue > 0.01
    assert p.isna().sum() == (result.per_gene["note"] == "constant").sum()
    assert result.summary["n_significant"].item() == 0


def test_r_of_one_certain_gene_has_a_p() -> None:
    x = np.arange(20.0)[None]
    assert 0 <= correlate(*of(x, 3 * x + 1)).table["p"][0] < 1e-20
    assert np.isnan(q_values(np.array([np.nan, 0.2]))[0])


def test_methods_are_compared_on_the_genes_that_both_predict() -> None:
    rng = np.random.default_rng(3)
    measured = rng.normal(size=(12, 50))
    good, bad = measured + rng.normal(size=(12, 50)), measured + 3 * rng.normal(size=(12, 50))
    bad[0] = np.nan
    bad[1] = good[1] * 2 + 1  # the same r
    arguments = {name: of(values, measured, draws=500) for name, values in (("good", good), ("bad", bad))}
    methods = {name: correlate(*given) for name, given in arguments.items()}
    assert methods["bad"].table["note"][0] == NOT_PREDICTED
    row = compare(methods, "unseen", np.arange(12), [0, 1]).iloc[0]
    r = {name: methods[name].table["pearson_r"].to_numpy()[1:] for name in methods}
    difference = r["good"] - r["bad"]
    difference[0] = 0.0
    assert (row["method_a"], row["method_b"], row["n_genes"], row["ties"]) == ("good", "bad", 11, 1)
    assert row["mean_difference"] == pytest.approx(difference.mean())
    assert (row["a_higher"], row["b_higher"]) == ((difference > 0).sum(), (difference < 0).sum())
    assert row["ci_low"] < difference.mean() < row["ci_high"]
    expected = stats.wilcoxon(difference[1:]).pvalue
    assert row["wilcoxon_p_genes_independent"] == pytest.approx(expected)

    same = compare({"a": methods["good"], "b": methods["good"]}, "unseen", np.arange(12), [0, 1]).iloc[0]
    assert same[["mean_difference", "ci_low", "ci_high", "a_higher", "b_higher"]].tolist() == [0] * 5
    assert same["wilcoxon_p_genes_independent"] == 1
    nothing = {"a": methods["good"], "b": correlate(*of(np.full((12, 50), np.nan), measured))}
    assert compare(nothing, "unseen", np.arange(12), [0, 1]).empty
