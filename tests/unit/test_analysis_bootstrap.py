"""Weighted correlations and the two-way bootstrap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from analysis.bootstrap import mean_interval, overlapping_blocks, resampled, varies, weighted_pearson


def test_pearson_is_scipys_for_weights_of_one_and_for_repeated_people() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(100, 1e-3, size=(2, 3, 50))
    y += 0.5 * x
    counted = rng.random((3, 50)) < 0.7
    weights = np.stack([np.ones(50), rng.integers(0, 4, size=50)])
    r = weighted_pearson(weights, x, y, counted)
    for draw in range(2):
        for gene in range(3):
            people = np.repeat(np.arange(50), (weights[draw] * counted[gene]).astype(int))
            expected = stats.pearsonr(x[gene, people], y[gene, people]).statistic
            assert r[draw, gene] == pytest.approx(expected, abs=1e-9)


def test_constant_predictions_give_0_and_constant_expression_nan() -> None:
    y = np.arange(5.0)
    x = np.stack([np.full(5, 0.1, dtype=np.float32), y, y, y])
    measured = np.stack([y, np.full(5, 2.5), -y, y])
    counted = np.ones((4, 5), dtype=bool)
    counted[3] = False
    r = weighted_pearson(np.ones((1, 5)), x, measured, counted)[0]
    np.testing.assert_array_equal(r, [0, np.nan, -1, np.nan])
    np.testing.assert_array_equal(varies(x, counted), [False, True, True, False])


def test_float32_rounding_is_not_variation() -> None:
    x = np.float32(6.3) + np.array([[0, 4.8e-7, 0, -4.8e-7]])
    assert not varies(x.astype(np.float32), np.ones((1, 4), dtype=bool))[0]
    assert varies(np.array([[0, 1e-9, 0, 2e-9]]), np.ones((1, 4), dtype=bool))[0]


def test_blocks_are_chains_of_overlapping_windows() -> None:
    contig = ["chr2", "chr1", "chr1", "chr1", "chr1", "chr2"]
    start = [0, 190, 0, 100, 1000, 99]
    block = overlapping_blocks(contig, start, 100)
    groups = {frozenset(np.flatnonzero(block == b)) for b in block}
    assert groups == {frozenset({0, 5}), frozenset({1, 3}), frozenset({2}), frozenset({4})}
    assert overlapping_blocks([], [], 100).shape == (0,)


def test_resampling_draws_n_of_n() -> None:
    drawn = resampled(7, 500, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.sum(axis=1), 7)
    assert drawn.var(axis=0).mean() == pytest.approx(6 / 7, rel=0.1)


def coverage(
    *,
    genes: int,
    people: int,
    mean: float,
    spread: float,
    shared: float,
    copies: int = 1,
    better: float | None = None,
    runs: int = 300,
) -> tuple[float, float]:
    """How often the 95% interval holds the true mean r, and its width over its true one (3.92 SD).

    ``shared`` is the share of the variance of predictions and of expression that is common to all genes;
    each gene stands there ``copies`` times, in one block. With ``better`` it is the interval of the difference
    of a second method, whose r is higher by that much, whose errors are half those of the first.
    """
    rng = np.random.default_rng(11)
    hits, widths, means = [], [], []
    block = np.repeat(np.arange(genes), copies)

    def noise() -> npt.NDArray[np.float64]:
        common, own = rng.normal(size=(1, people)), rng.normal(size=(genes, people))
        return np.asarray(np.sqrt(shared) * common + np.sqrt(1 - shared) * own)

    for _ in range(runs):
        rho = np.clip(rng.normal(mean, spread, size=(genes, 1)), -0.85, 0.85)
        measured, error = noise(), noise()
        weights = resampled(people, 400, rng)
        r, draws = [], []
        for extra in (0.0,) if better is None else (0.0, better):
            x = (rho + extra) * measured + np.sqrt((1 - (rho + extra) ** 2) / 2) * (error + noise())
            x, y = np.repeat(x, copies, axis=0), np.repeat(measured, copies, axis=0)
            counted = np.ones(x.shape, dtype=bool)
            r.append(weighted_pearson(np.ones((1, people)), x, y, counted)[0])
            draws.append(weighted_pearson(weights, x, y, counted))
        of_r, of_draws = (r[0], draws[0]) if better is None else (r[1] - r[0], draws[1] - draws[0])
        low, high = mean_interval(of_r, of_draws, block, rng)
        hits.append(low <= (mean if better is None else better) <= high)
        widths.append(high - low)
        means.append(of_r.mean())
    return float(np.mean(hits)), float(np.mean(widths) / (3.92 * np.std(means)))


@pytest.mark.parametrize(
    "case",
    [
        {"genes": 20, "people": 60, "mean": 0.0, "spread": 0.0, "shared": 0.0},
        {"genes": 20, "people": 60, "mean": 0.0, "spread": 0.0, "shared": 0.0, "copies": 3},
        {"genes": 20, "people": 60, "mean": 0.3, "spread": 0.2, "shared": 0.0},
        {"genes": 20, "people": 60, "mean": 0.3, "spread": 0.2, "shared": 0.4},
        {"genes": 1, "people": 80, "mean": 0.4, "spread": 0.0, "shared": 0.0},
        {"genes": 20, "people": 60, "mean": 0.2, "spread": 0.1, "shared": 0.0, "better": 0.1},
        {"genes": 20, "people": 60, "mean": 0.2, "spread": 0.1, "shared": 0.4, "better": 0.0},
    ],
    ids=[
        "noise",
        "noise in blocks",
        "signal",
        "signal, co-expressed",
        "one gene",
        "difference",
        "difference, co-expressed",
    ],
)
def test_intervals_cover_at_about_their_nominal_rate(case: dict[str, float]) -> None:
    hit, width = coverage(**case)  # type: ignore[arg-type]
    assert 0.90 <= hit <= 0.985
    assert 0.85 <= width <= 1.2


@pytest.mark.slow
@pytest.mark.parametrize("better", [None, 0.05], ids=["mean", "difference"])
@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_intervals_cover_with_many_co_expressed_genes(better: float | None, shared: float) -> None:
    hit, width = coverage(
        genes=100, people=80, mean=0.25, spread=0.15, shared=shared, better=better, copies=2, runs=1000
    )
    assert 0.92 <= hit <= 0.975  # 1,000 runs: the rate is known to 0.014
    assert 0.9 <= width <= 1.15


def test_an_interval_of_genes_that_share_nothing_is_that_of_the_genes() -> None:
    r: npt.NDArray[np.float64] = np.random.default_rng(0).normal(0.2, 0.1, size=200)
    draws = np.tile(r, (2000, 1))  # people do not matter
    low, high = mean_interval(r, draws, np.arange(200), np.random.default_rng(1))
    assert high - low == pytest.approx(3.92 * r.std(ddof=1) / np.sqrt(200), rel=0.05)


def test_genes_without_r_are_left_out() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(0.2, 0.1, size=(500, 3))
    r = np.array([0.2, np.nan, 0.3])
    with_nan = mean_interval(r, draws, np.arange(3), np.random.default_rng(1))
    without = mean_interval(r[[0, 2]], draws[:, [0, 2]], np.arange(2), np.random.default_rng(1))
    assert with_nan == without
    assert np.isnan(mean_interval([np.nan], draws[:, :1], [0], rng)).all()
