"""BSLMM against enumeration of the whole posterior, and against the truth; its chains against each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from analysis_windows import effects, window

import analysis.bslmm as model
from analysis.baselines import enet
from analysis.blup import blup
from analysis.bslmm import bslmm, rhat, sample
from analysis.bslmm_chain import Chain, _draw_pairs, _draw_tau, _sweep, variances

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def enumerated(
    genotype: FloatArray, expression: FloatArray, hyper: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log evidence, mean effects and components of every set of large effects, at every (h, rho, log pi).

    Straight from the model: y ~ N(0, (I + X S X') / tau) for each set, tau and the mean integrated out.
    """
    n, p = genotype.shape
    sets = np.array(list(itertools.product([0, 1], repeat=p)), dtype=float)
    y, x = expression - expression.mean(), genotype - genotype.mean(axis=0)
    h, rho, log_pi = hyper.T
    s = (x**2).mean()
    sa = h * rho / ((1 - h) * p * np.exp(log_pi) * s)
    sb = h * (1 - rho) / ((1 - h) * s)
    prior = sa[:, None, None] * sets + sb[:, None, None] / p  # (hyper, set, variant)
    root = np.sqrt(prior)
    inner = np.eye(p) + root[..., :, None] * (x.T @ x) * root[..., None, :]
    seen = root * (x.T @ y)
    solved = np.linalg.solve(inner, seen[..., None])[..., 0]
    square = y @ y - (seen * solved).sum(axis=-1)
    n_large = sets.sum(axis=1)
    evidence = -0.5 * np.linalg.slogdet(inner)[1] - (n - 1) / 2 * np.log(square)
    evidence += n_large * log_pi[:, None] + (p - n_large) * np.log1p(-np.exp(log_pi))[:, None]
    return evidence, root * solved, sets


def small_gene(seed: int, n: int = 30, p: int = 4, h2: float = 0.3) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    genotype = window(rng, n, p)
    expression = genotype @ effects(rng, genotype, h2, 1) + rng.normal(size=n) * np.sqrt(1 - h2)
    return genotype, (expression - expression.mean()) / expression.std()


@pytest.mark.parametrize(("seed", "alike"), [(1, False), (2, False), (3, True)])
def test_posterior_is_that_of_all_sets_and_hyperparameters(seed: int, alike: bool) -> None:
    genotype, expression = small_gene(seed)
    if alike:  # two variants that differ in one person, whose expression stands out
        genotype[:, 1] = genotype[:, 0]
        genotype[5, 1] += 1.5
        expression[5] += 3
    nodes, weights = np.polynomial.legendre.leggauss(14)
    nodes, weights = (nodes + 1) / 2, weights / 2
    cube = np.array(list(itertools.product(nodes, repeat=3)))
    mass = np.array(list(itertools.product(weights, repeat=3))).prod(axis=1)
    hyper = cube * [1, 1, np.log(4)] - [0, 0, np.log(4)]  # log pi uniform from log 1/4 to 0
    evidence, means, _ = enumerated(genotype, expression, hyper)
    probability = mass[:, None] * np.exp(evidence - evidence.max())
    probability /= probability.sum()
    expected = np.einsum("hs,hsp->p", probability, means)
    posterior = sample(genotype, expression, seed=3, max_rounds=8, until=lambda _: False)
    assert posterior.trace.shape == (2, 8 * model.ROUND, 4)
    np.testing.assert_allclose(posterior.weights, expected, atol=0.005)
    found = posterior.trace.mean(axis=(0, 1))[:3]
    np.testing.assert_allclose(found, probability.sum(axis=1) @ hyper, atol=0.015)


def test_chain_at_fixed_hyperparameters_visits_every_set_as_often_as_it_should() -> None:
    genotype, expression = small_gene(4, p=3)
    hyper = np.array([[0.4, 0.7, np.log(0.4)]])
    evidence, means, sets = enumerated(genotype, expression, hyper)
    probability = np.exp(evidence[0] - evidence.max())
    probability /= probability.sum()
    data, _ = model.turned(genotype, expression)
    place = np.array([0.4, 0.7, 1 + np.log(0.4) / np.log(3), 1.0])
    chain = Chain(np.zeros(3), np.zeros(3, dtype=np.bool_), data.target.copy(), place)
    rng, squares = np.random.default_rng(0), (data.columns**2).sum(axis=1)
    visits, total, n = np.zeros(len(sets)), np.zeros(3), 20_000
    for _ in range(n):
        _sweep(data, chain, squares, total, rng)
        _draw_pairs(data, chain, squares, rng)
        _draw_tau(data, chain, rng)
        visits[int(chain.large @ [4, 2, 1])] += 1
    np.testing.assert_allclose(visits / n, probability, atol=0.015)
    np.testing.assert_allclose(total / n, probability @ means[0], atol=0.01)
    np.testing.assert_allclose(
        chain.residual, data.target - chain.effect @ data.columns, atol=1e-10
    )  # kept up to date


def test_variances_are_gemmas() -> None:
    p, h, rho, pi, s = 50, 0.3, 0.8, 0.1, 0.9
    large, small, log_pi = variances(np.array([h, rho, 1 + np.log(pi) / np.log(p), 1.0]), p, s)
    assert log_pi == pytest.approx(np.log(pi))
    sa = large - small
    explained = p * pi * sa * s + p * small * s  # by X beta and by u, in units of 1 / tau
    assert explained / (explained + 1) == pytest.approx(h)
    assert p * pi * sa * s / explained == pytest.approx(rho)


def test_more_variants_than_people_and_fewer_are_the_same_model() -> None:
    """A window of fewer variants is turned into fewer rows; that changes nothing."""
    genotype, expression = small_gene(1)
    turned, _ = model.turned(genotype, expression)
    assert turned.columns.shape == (4, 4)
    np.testing.assert_allclose(turned.columns @ turned.columns.T, genotype.T @ genotype, atol=1e-9)
    np.testing.assert_allclose(turned.columns @ turned.target, genotype.T @ expression, atol=1e-9)
    assert turned.target @ turned.target + turned.rest == pytest.approx(30)
    rng = np.random.default_rng(0)
    wide, expression = window(rng, 20, 40), rng.normal(size=20)
    data, turn = model.turned(wide, expression)
    np.testing.assert_allclose(turn @ data.columns.T, wide, atol=1e-12)
    posterior = sample(wide, expression, seed=0, max_rounds=1)
    assert posterior.weights.shape == (40,)
    assert np.isfinite(posterior.weights).all()


def test_one_variant() -> None:
    rng = np.random.default_rng(0)
    genotype = window(rng, 100, 1)
    expression = 0.5 * genotype[:, 0] + rng.normal(size=100)
    slope = genotype[:, 0] @ expression / 100
    assert 0.8 * slope < bslmm(genotype, expression, 0)[0] < slope


def test_seed() -> None:
    genotype, expression = small_gene(1)
    np.testing.assert_array_equal(bslmm(genotype, expression, 5), bslmm(genotype, expression, 5))
    assert (bslmm(genotype, expression, 5) != bslmm(genotype, expression, 6)).all()


def test_chains_that_differ_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.exceptions import ConvergenceWarning

    monkeypatch.setattr(model, "BURN_IN", 1)
    monkeypatch.setattr(model, "ROUND", 40)
    monkeypatch.setattr(model, "MAX_ROUNDS", 1)
    rng = np.random.default_rng(0)
    with pytest.warns(ConvergenceWarning, match="chains of BSLMM differ: R-hat"):
        bslmm(window(rng, 100, 80), rng.normal(size=100), 0)


def test_rhat_is_one_for_the_same_and_large_for_distant_chains() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2, 4000, 2))
    assert (np.abs(rhat(draws) - 1) < 0.003).all()
    draws[1, :, 1] += 1
    drift = draws.copy()
    drift[:, 2000:, 0] += 1  # the halves of both chains differ
    assert rhat(draws)[1] > 1.1
    assert rhat(drift)[0] > 1.1
    parts = np.stack([draws[0, :2000, 1], draws[0, 2000:, 1], draws[1, :2000, 1], draws[1, 2000:, 1]])
    within, between = parts.var(axis=1, ddof=1).mean(), 2000 * parts.mean(axis=1).var(ddof=1)
    expected = np.sqrt((1999 / 2000 * within + between / 2000) / within)  # BDA3, equation 11.4
    assert rhat(draws)[1] == pytest.approx(expected)


Weigh = Callable[[FloatArray, FloatArray, int], FloatArray]


def held_out(
    methods: dict[str, Weigh], n_genes: int, n_causal: int | None, h2: float, seed: int, n_variants: int = 60
) -> dict[str, tuple[float, float]]:
    """Of each method: the slope of true on predicted genetic value over genes, and the mean r with expression."""
    rng = np.random.default_rng(seed)
    n_train, n = 300, 600
    sums = {name: np.zeros(3) for name in methods}
    for number in range(n_genes):
        everyone = window(rng, n, n_variants)
        true = everyone @ effects(rng, everyone, h2, n_causal)
        expression = true + rng.normal(size=n) * np.sqrt(1 - h2)
        train = np.arange(n) < n_train
        centre, scale = everyone[train].mean(axis=0), everyone[train].std(axis=0)
        mean, sd = expression[train].mean(), expression[train].std()
        standardised = (everyone - centre) / scale
        for name, method in methods.items():
            weights = method(standardised[train], (expression[train] - mean) / sd, number) * sd
            predicted = standardised[~train] @ weights
            r = np.corrcoef(predicted, expression[~train])[0, 1] if predicted.std() > 0 else 0.0
            sums[name] += [predicted @ (true[~train] - true[train].mean()), predicted @ predicted, r]
    result = {name: (xy / xx, r / n_genes) for name, (xy, xx, r) in sums.items()}
    print(
        f"{n_causal or 'all'} causal, h2 {h2}:",
        {k: (round(s, 3), round(r, 4)) for k, (s, r) in result.items()},
    )
    return result


def test_slope_is_one_and_sparse_genes_are_predicted_better_than_by_blup() -> None:
    found = held_out({"bslmm": bslmm, "blup": blup}, 40, 1, 0.2, seed=1)
    assert found["bslmm"][0] == pytest.approx(1, abs=0.05)
    assert found["bslmm"][1] > found["blup"][1] + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("n_causal", "h2"), [(1, 0.1), (1, 0.3), (4, 0.3), (None, 0.3), (None, 0.6)])
def test_slope_is_one_and_prediction_is_as_good_as_the_better_of_enet_and_blup(
    n_causal: int | None, h2: float
) -> None:
    found = held_out({"bslmm": bslmm, "blup": blup, "enet": enet}, 200, n_causal, h2, seed=2)
    assert found["bslmm"][0] == pytest.approx(1, abs=0.05)
    better = max(found["enet"][1], found["blup"][1])
    assert found["bslmm"][1] > better - 0.005


def check_chains(n_genes: int, n_people: int, n_variants: int, seed: int) -> None:
    """Chains of genes of every architecture agree."""
    rng = np.random.default_rng(seed)
    for number in range(n_genes):
        h2, n_causal = (0.0, 0.05, 0.2, 0.5)[number % 4], (1, 5, None)[number % 3]
        genotype = window(rng, n_people, n_variants)
        noise = rng.normal(size=n_people) * np.sqrt(1 - h2)
        posterior = sample(genotype, genotype @ effects(rng, genotype, h2, n_causal) + noise, seed=number)
        first, second = posterior.of_chain @ genotype.T
        assert np.corrcoef(first, second)[0, 1] > 0.99
        assert rhat(posterior.trace[:, :, [0, 3]]).max() < 1.05
        assert posterior.rhat < 1.05
        assert posterior.converged


def test_chains_agree() -> None:
    check_chains(12, 200, 50, seed=0)


@pytest.mark.slow
def test_chains_agree_at_the_studys_size() -> None:
    check_chains(96, 327, 120, seed=1)
    check_chains(4, 327, 1500, seed=2)
