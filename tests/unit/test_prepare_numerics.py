"""The numerics of `seqstore expression`: against literal values, the study's formula and independent routes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from seqstore.normalisation import (
    Correction,
    measured_alike,
    normal_quantiles,
    share_of_zeros,
    tpm_of_rpkm,
    varies,
)

Floats = npt.NDArray[np.float64]


def expression_like(n_genes: int, n_people: int, rank: int = 4, seed: int = 0) -> Floats:
    """Genes x people with a few strong hidden factors, and genes on different scales."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n_genes, rank)) @ rng.normal(size=(rank, n_people))
    scale = rng.uniform(0.1, 5, size=(n_genes, 1))
    return 3 + rng.normal(size=(n_genes, 1)) + scale * (hidden + rng.normal(size=(n_genes, n_people)))


def nothing(n_people: int) -> Floats:
    return np.zeros((n_people, 0))


def standardised(values: Floats) -> Floats:
    return (values - values.mean(axis=-1, keepdims=True)) / values.std(axis=-1, keepdims=True)


def test_tpm_are_shares_of_a_persons_rpkm() -> None:
    tpm = tpm_of_rpkm(np.array([[1.0, 0.0], [3.0, 5.0]]))
    assert tpm.tolist() == [[250_000, 0], [750_000, 1_000_000]]


def test_zeros_are_counted_among_the_measured() -> None:
    values = np.array([[0, 0, 1, 2], [0, np.nan, 0, 3], [np.nan] * 4, [1, 1, 1, 1]])
    assert share_of_zeros(values).tolist() == [0.5, 2 / 3, 0, 0]
    assert varies(values).tolist() == [True, True, False, False]
    assert varies(np.array([[2.0, np.nan], [2.0, np.nan]])).tolist() == [False, False]


def test_genes_are_grouped_by_who_is_measured() -> None:
    values = np.array([[1, 2, 3], [1, np.nan, 3], [4, 5, 6], [np.nan, np.nan, 3]])
    groups = {tuple(measured): rows.tolist() for rows, measured in measured_alike(values)}
    assert groups == {
        (True, True, True): [0, 2],
        (True, False, True): [1],
        (False, False, True): [3],
    }


@pytest.mark.parametrize("n_components", [1, 3, 10])
@pytest.mark.parametrize("shape", [(200, 40), (15, 60)])
def test_fitted_on_all_it_is_the_studys_formula(n_components: int, shape: tuple[int, int]) -> None:
    """StandardScaler over people; PCA; minus scores times loadings; inverse transform."""
    values = expression_like(*shape)
    scaler = StandardScaler()
    scaled = scaler.fit_transform(values.T)
    pca = PCA(n_components, svd_solver="full")
    scores = pca.fit_transform(scaled)
    expected = scaler.inverse_transform(scaled - scores @ pca.components_).T
    correction = Correction.fit(values, nothing(shape[1]), n_components)
    np.testing.assert_allclose(correction.apply(values, nothing(shape[1])), expected, rtol=0, atol=1e-10)


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    values = expression_like(50, 30)
    left, lengths, right = np.linalg.svd(standardised(values), full_matrices=False)
    lengths_left = np.where(np.arange(30) < 4, 0, lengths)
    expected = (left * lengths_left) @ right
    correction = Correction.fit(values, nothing(30), 4)
    corrected = correction.apply(values, nothing(30))
    restored = expected * values.std(axis=1, keepdims=True) + values.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(corrected, restored, atol=1e-10)
    np.testing.assert_allclose(correction.variance_shares, (lengths**2 / (lengths**2).sum())[:4])
    np.testing.assert_allclose(correction.components @ correction.components.T, np.eye(4), atol=1e-12)


def test_without_components_and_covariates_nothing_changes() -> None:
    values = expression_like(20, 10)
    correction = Correction.fit(values, nothing(10), 0)
    np.testing.assert_allclose(correction.apply(values, nothing(10)), values, rtol=1e-13)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    n_genes=st.integers(8, 60),
    n_fit=st.integers(12, 40),
    n_others=st.integers(1, 20),
    n_covariates=st.integers(0, 3),
    n_components=st.integers(0, 5),
    seed=st.integers(0, 2**16),
)
def test_what_holds_for_every_correction(
    n_genes: int, n_fit: int, n_others: int, n_covariates: int, n_components: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n_people = n_fit + n_others
    values = expression_like(n_genes, n_people, seed=seed)
    covariates = rng.normal(size=(n_people, n_covariates))
    values += rng.normal(size=(n_genes, n_covariates)) @ covariates.T
    fit = rng.permutation(n_people) < n_fit
    correction = Correction.fit(values[:, fit], covariates[fit], n_components)
    corrected = correction.apply(values, covariates)
    mean, deviation = values[:, fit].mean(axis=1), values[:, fit].std(axis=1)

    # The mean is back, and no gene has gained variance: its deviation is its own times what was not explained.
    np.testing.assert_allclose(corrected[:, fit].mean(axis=1), mean, atol=1e-9)
    assert (corrected[:, fit].std(axis=1) <= deviation * (1 + 1e-9)).all()

    # Nobody has anything left along a component; fit people have nothing left that covariates or scores predict.
    left = (corrected - mean[:, None]) / correction.deviation[:, None]
    np.testing.assert_allclose(correction.components @ left, 0, atol=1e-9)
    np.testing.assert_allclose(left[:, fit] @ covariates[fit], 0, atol=1e-8)
    predicted = correction.coefficients @ covariates.T + correction.intercept[:, None]
    before = (values - mean[:, None] - predicted) / correction.deviation[:, None]
    np.testing.assert_allclose(before[:, fit].std(axis=1), 1)
    np.testing.assert_allclose(left[:, fit] @ (correction.components @ before[:, fit]).T, 0, atol=1e-7)
    assert (np.diff(correction.variance_shares) <= 1e-12).all()

    # A projected person does not depend on the other projected people.
    other = np.flatnonzero(~fit)[0]
    alone = correction.apply(values[:, [other]], covariates[[other]])
    np.testing.assert_allclose(alone[:, 0], corrected[:, other], atol=1e-10)

    # Nor does the order of people or genes matter.
    people, genes = rng.permutation(n_people), rng.permutation(n_genes)
    shuffled = values[genes][:, people]
    again = Correction.fit(shuffled[:, fit[people]], covariates[people][fit[people]], n_components)
    np.testing.assert_allclose(
        again.apply(shuffled, covariates[people]), corrected[genes][:, people], atol=1e-7
    )


def test_a_projected_person_is_the_study_formula_with_the_fit_peoples_numbers() -> None:
    values = expression_like(80, 50)
    fit = np.arange(50) < 35
    scaler = StandardScaler().fit(values[:, fit].T)
    pca = PCA(5, svd_solver="full").fit(scaler.transform(values[:, fit].T))
    scaled = scaler.transform(values.T)
    expected = scaler.inverse_transform(scaled - pca.transform(scaled) @ pca.components_).T
    correction = Correction.fit(values[:, fit], nothing(35), 5)
    np.testing.assert_allclose(correction.apply(values, nothing(50)), expected, atol=1e-10)


def test_covariates_are_least_squares_of_the_fit_people() -> None:
    rng = np.random.default_rng(3)
    values, covariates = expression_like(30, 40), rng.normal(size=(40, 3))
    fit = np.arange(40) % 4 > 0
    model = LinearRegression().fit(covariates[fit], values[:, fit].T)
    expected = (
        values - model.predict(covariates).T + model.predict(covariates[fit]).mean(axis=0)[:, None]
    )  # the mean is put back
    corrected = Correction.fit(values[:, fit], covariates[fit], 0).apply(values, covariates)
    np.testing.assert_allclose(corrected, expected, atol=1e-10)


def test_covariates_of_genes_that_not_everyone_has() -> None:
    """Each gene is the regression over those in whom it is measured; who is not stays so."""
    rng = np.random.default_rng(4)
    values, covariates = expression_like(12, 40), rng.normal(size=(40, 2))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[5] = values[6] = expression_like(2, 40)[0]  # two genes that everyone has
    fit = np.arange(40) < 30
    corrected = Correction.fit(values[:, fit], covariates[fit], 0).apply(values, covariates)
    for gene, row in enumerate(values):
        known = np.isfinite(row)
        model = LinearRegression().fit(covariates[fit & known], row[fit & known])
        expected = row - model.predict(covariates) + row[fit & known].mean()
        np.testing.assert_allclose(corrected[gene], expected, atol=1e-10)
    assert (np.isnan(corrected) == np.isnan(values)).all()


def test_covariates_and_components_are_the_one_after_the_other() -> None:
    rng = np.random.default_rng(5)
    values, covariates = expression_like(40, 60), rng.normal(size=(60, 2))
    values += rng.normal(size=(40, 2)) @ covariates.T * 5
    fit = np.arange(60) < 45
    regressed = Correction.fit(values[:, fit], covariates[fit], 0).apply(values, covariates)
    expected = Correction.fit(regressed[:, fit], nothing(45), 3).apply(regressed, nothing(60))
    both = Correction.fit(values[:, fit], covariates[fit], 3)
    np.testing.assert_allclose(both.apply(values, covariates), expected, atol=1e-10)
    # The covariates' part of the variance is none of the components'.
    assert both.variance_shares[0] < Correction.fit(values[:, fit], nothing(45), 3).variance_shares[0]


def test_a_gene_that_covariates_explain_whole_gives_no_component() -> None:
    rng = np.random.default_rng(8)
    values, covariates = expression_like(30, 25), rng.normal(size=(25, 1))
    values[7] = 2 + 3 * covariates[:, 0]
    correction = Correction.fit(values, covariates, 2)
    np.testing.assert_allclose(correction.components[:, 7], 0, atol=1e-12)
    np.testing.assert_allclose(correction.apply(values, covariates)[7], values[7].mean(), atol=1e-12)


def test_normal_quantiles_of_fit_people_are_rank_over_n_plus_one() -> None:
    values = np.array([[3.0, 1.0, 2.0, 2.0]])
    quantiles = normal_quantiles(values, values)
    np.testing.assert_allclose(quantiles, norm.ppf(np.array([[4, 1, 2.5, 2.5]]) / 5))
    rng = np.random.default_rng(6)
    values = rng.integers(0, 9, size=(20, 50)).astype(float)
    np.testing.assert_allclose(
        normal_quantiles(values, values), norm.ppf(rankdata(values, axis=1) / 51), atol=1e-14
    )


def test_normal_quantiles_of_projected_people() -> None:
    """Between two fit values: halfway; equal to one: its quantile; beyond all: half a rank further out."""
    fit = np.array([[1.0, 2.0, 2.0, 3.0]])
    values = np.array([[0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 9.0, np.nan]])
    ranks = np.array([[0.5, 1, 1.5, 2.5, 3.5, 4, 4.5, np.nan]])
    np.testing.assert_allclose(normal_quantiles(values, fit), norm.ppf(ranks / 5))


def test_normal_quantiles_use_the_measured_and_keep_order() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(5, 40))
    values[rng.random(values.shape) < 0.3] = np.nan
    fit = np.arange(40) < 25
    quantiles = normal_quantiles(values, values[:, fit])
    assert (np.isnan(quantiles) == np.isnan(values)).all()
    for row, result in zip(values, quantiles, strict=True):
        order = np.argsort(row[np.isfinite(row)])
        assert (np.diff(result[np.isfinite(row)][order]) >= 0).all()
        known = row[fit][np.isfinite(row[fit])]
        np.testing.assert_allclose(
            result[fit][np.isfinite(row[fit])], norm.ppf(rankdata(known) / (len(known) + 1))
        )
    # Any increasing function of a gene has the same quantiles.
    np.testing.assert_array_equal(normal_quantiles(np.exp(values), np.exp(values[:, fit])), quantiles)
