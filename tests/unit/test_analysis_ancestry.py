"""Genotype principal components: what they see, whom they are fitted on, and what they predict."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from analysis_datasets import store_of, variants_of

from analysis.ancestry import genotype_components, predict_by_components, predict_from_ancestry
from analysis.splits import split_people
from seqstore.errors import InputError


def cohort(
    n_people: int = 200, n_variants: int = 400, *, difference: float = 0.5, seed: int = 0
) -> tuple[xr.Dataset, xr.Dataset]:
    """Four genes of one population and another, whose people alternate; half of the variants differ in frequency."""
    rng = np.random.default_rng(seed)
    frequency = np.repeat(rng.uniform(0.2, 0.8, (n_variants, 1)), 2, axis=1)
    frequency[::2, 1] = np.clip(
        frequency[::2, 1] + rng.choice([-difference, difference], n_variants // 2), 0.05, 0.95
    )
    of_person = frequency[:, np.arange(n_people) % 2]
    calls = (rng.random((n_variants, n_people, 2)) < of_person[:, :, None]).astype(np.int8)
    calls[0, 3] = -1
    expression = rng.normal(size=(4, n_people)) + 2 * (np.arange(n_people) % 2)
    store = store_of(["chr1", "chr1", "chr2", "chr2"], n_people, expression=expression)
    n = n_variants // 4
    spans = [(g * n, (g + 1) * n) for g in range(4)]
    return store, variants_of(store, calls, list(range(1, n_variants + 1)), [("A", "G")] * n_variants, spans)


def test_first_component_is_the_population() -> None:
    _, variants = cohort()
    fit = np.arange(200) < 120
    components = genotype_components(variants, fit)
    assert components.sizes == {"individual": 200, "component": 10}
    first = components.values[:, 0]
    other = np.arange(200) % 2 == 1
    assert abs(np.corrcoef(first, other)[0, 1]) > 0.95
    assert abs(np.corrcoef(first[~fit], other[~fit])[0, 1]) > 0.95  # projected
    fitted = components.values[fit]
    np.testing.assert_allclose(fitted.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(fitted.T @ fitted / 120, np.eye(10), atol=1e-10)


def test_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    _, variants = cohort(60, 30)
    fit = np.arange(60) < 40
    calls = variants["call_genotype"].values
    dosage = (calls == 1).sum(axis=-1).T.astype(float)
    dosage[3, 0] = dosage[fit & (np.arange(60) != 3), 0].mean()  # the missing call
    standardised = (dosage - dosage[fit].mean(axis=0)) / dosage[fit].std(axis=0)
    kept: list[int] = []
    for variant in range(30):
        r = [standardised[fit, variant] @ standardised[fit, other] / 40 for other in kept]
        if all(value**2 <= 0.2 for value in r):
            kept.append(variant)
    assert len(kept) < 30
    expected = (
        PCA(5, whiten=True, svd_solver="full")
        .fit(standardised[fit][:, kept])
        .transform(standardised[:, kept])
    )
    found = genotype_components(variants, fit, n_components=5, maf=0).values
    for number in range(5):
        assert abs(np.corrcoef(found[:, number], expected[:, number])[0, 1]) == pytest.approx(1, abs=1e-9)


def test_of_a_block_in_disequilibrium_one_variant_counts() -> None:
    _, variants = cohort(50, 12, difference=0)
    same = variants["call_genotype"].values.copy()
    same[:] = same[5]
    repeated = variants.assign(call_genotype=(variants["call_genotype"].dims, same))
    assert genotype_components(repeated, np.ones(50, dtype=bool)).sizes["component"] == 1
    contigs = np.array(["chr1"] * 6 + ["chr2"] * 6, dtype=object)
    repeated["variant_contig"] = ("variant", contigs)  # each contig by itself: 2 columns of rank 1
    assert genotype_components(repeated, np.ones(50, dtype=bool)).sizes["component"] == 1


def test_only_training_people_define_components() -> None:
    _, variants = cohort(80, 60)
    fit = np.arange(80) < 50
    components = genotype_components(variants, fit)
    calls = variants["call_genotype"]
    swapped = xr.where(xr.DataArray(fit, dims="individual"), calls, 1 - np.maximum(calls, 0)).transpose(
        *calls.dims
    )
    other = genotype_components(variants.assign(call_genotype=swapped.astype(np.int8)), fit)
    np.testing.assert_array_equal(components.values[fit], other.values[fit])
    assert not np.allclose(components.values[~fit], other.values[~fit])


def test_rare_variants_do_not_count() -> None:
    _, variants = cohort(100, 8)
    calls = np.zeros((8, 100, 2), dtype=np.int8)
    calls[0, :9, 0] = 1  # 0.045
    calls[1, 50:61, 0] = 1
    few = variants.assign(call_genotype=(variants["call_genotype"].dims, calls))
    everyone = np.ones(100, dtype=bool)
    assert genotype_components(few, everyone).sizes["component"] == 1
    assert genotype_components(few, everyone, maf=0.04).sizes["component"] == 2
    with pytest.raises(InputError, match=r"need variants with MAF >= 0.2 among training people"):
        genotype_components(few, everyone, maf=0.2)
    with pytest.raises(InputError, match="at least 2 training people; there are 1"):
        genotype_components(few, np.arange(100) == 3)


def test_prediction_is_least_squares_on_training_people() -> None:
    rng = np.random.default_rng(0)
    components, expression = rng.normal(size=(90, 10)), rng.normal(size=90)
    train = np.arange(90) < 66
    expression[2] = np.nan  # 65 people: 6 components
    fit = train & np.isfinite(expression)
    centre, mean = components[fit, :6].mean(axis=0), expression[fit].mean()
    x = components[:, :6] - centre
    slope = np.linalg.solve(x[fit].T @ x[fit], x[fit].T @ (expression[fit] - mean))
    np.testing.assert_allclose(
        predict_by_components(components, expression, train), mean + x @ slope, rtol=1e-9
    )
    few = np.arange(90) < 9
    np.testing.assert_allclose(predict_by_components(components, expression, few), np.nanmean(expression[:9]))
    assert np.isnan(predict_by_components(components, expression, np.zeros(90, dtype=bool))).all()


def test_ancestry_predicts_differences_between_populations_only() -> None:
    store, variants = cohort()
    expression = store["expression"][0].astype(float)
    split = split_people(store, ["random_split", "random_split", "unseen", "unused"], seed=1)
    predicted = predict_from_ancestry(expression, variants, split)
    assert predicted.dims == ("gene", "individual")
    assert np.isnan(predicted.values).all(axis=1).tolist() == [False, False, True, True]
    test = split["split"].values[0] == 3
    for gene in range(2):
        r = np.corrcoef(predicted.values[gene, test], expression.values[gene, test])[0, 1]
        assert r > 0.5
        one = test & (np.arange(200) % 2 == 0)
        assert abs(np.corrcoef(predicted.values[gene, one], expression.values[gene, one])[0, 1]) < 0.5


def test_components_are_those_of_the_training_people_of_the_class() -> None:
    store, variants = cohort()
    expression = store["expression"][0].astype(float)
    classes = ["random_split", "population_split", "random_split", "population_split"]
    split = split_people(store, classes, test_population="AFRI", per_gene=True, seed=1)
    predicted = predict_from_ancestry(expression, variants, split, n_components=3)
    train = split["split"].values == 1
    for gene, members in ((0, [0, 2]), (3, [1, 3])):
        components = genotype_components(variants, train[members].any(axis=0), n_components=3).values
        expected = predict_by_components(components, expression.values[gene], train[gene])
        np.testing.assert_allclose(predicted.values[gene], expected, rtol=1e-5)
