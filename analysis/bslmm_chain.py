"""The Markov chain of `analysis.bslmm`, compiled: sweeps over the variants, and steps of h, rho and pi.

One iteration is
1. a sweep: each variant's component and effect are drawn together given all other effects (Gibbs);
2. pairs of variants in linkage disequilibrium: components and effects of both are drawn together (Gibbs), because
   one by one they would neither change places nor part from large effects that cancel each other;
3. tau given the effects (Gibbs);
4. steps of (h, rho, log pi) with the effects held in units of their standard deviation, so that they move along:
   the likelihood is then a quadratic form in two scales, and a step costs nothing;
5. steps of (h, rho, log pi) with the effects held as they are, their components summed out.
Steps 4 and 5 are interwoven (Yu and Meng 2011): where one is slow, the other is fast. Prior and proposals of the three
are uniform, so a step is accepted by the ratio of likelihoods.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

VARIANTS_PER_PAIR = 4  # a sweep draws one pair for so many variants,
MAX_PAIRS = 100  # and at most so many
SCALED_STEPS = 10
FIXED_STEPS = 3
_FAST = {"reassoc", "contract", "nsz"}  # sums in any order


class Data(NamedTuple):
    """Genotypes and expression of one gene, turned so that there are no more rows than variants."""

    columns: FloatArray  # (variant, row)
    target: FloatArray  # (row,) expression
    rest: float  # squared length of expression outside of the rows
    freedom: float  # dimensions of expression, the mean taken out
    scale: float  # mean variance of the variants
    partners: npt.NDArray[np.int64]  # (variant, partner) the variants most correlated with each


class Chain(NamedTuple):
    """Where a chain stands; changed in place."""

    effect: FloatArray  # (variant,) b
    large: npt.NDArray[np.bool_]  # (variant,) of which component it is
    residual: FloatArray  # (row,) expression less X b
    place: FloatArray  # (4,) h, rho, 1 + log pi / log p, tau


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _dot(a: FloatArray, b: FloatArray) -> float:  # pragma: no cover  (compiled)
    total = 0.0
    for number in range(len(a)):
        total += a[number] * b[number]
    return total


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _add(a: FloatArray, factor: float, b: FloatArray) -> None:  # pragma: no cover  (compiled)
    """``a`` += factor x ``b``."""
    for number in range(len(a)):
        a[number] += factor * b[number]


@numba.njit(cache=True, nogil=True)
def variances(
    place: FloatArray, n_variants: int, scale: float
) -> tuple[float, float, float]:  # pragma: no cover  (compiled)
    """Variances tau Var(b) of the large and the small component, and log pi."""
    h, rho = place[0], place[1]
    log_pi = min((place[2] - 1) * math.log(n_variants), -1e-12)  # with one variant, pi is 1
    total = h / ((1 - h) * scale * n_variants)
    small = total * (1 - rho)
    return small + total * rho / math.exp(log_pi), small, log_pi


@numba.njit(cache=True, nogil=True)
def _log_odds(log_pi: float) -> float:  # pragma: no cover  (compiled)
    return log_pi - math.log(-math.expm1(log_pi))


@numba.njit(cache=True, nogil=True)
def _step(place: FloatArray, proposed: FloatArray, rng: np.random.Generator) -> None:  # pragma: no cover
    """A proposal near ``place``: each of the three moves up to 0.001 to 1, reflected at 0 and 1."""
    for number in range(3):
        width = 10 ** (-3 * rng.random())
        x = place[number] + width * (2 * rng.random() - 1)
        x = abs(x)
        proposed[number] = 2 - x if x > 1 else x


@numba.njit(cache=True, nogil=True)
def _sweep(
    data: Data, chain: Chain, squares: FloatArray, means: FloatArray, rng: np.random.Generator
) -> None:  # pragma: no cover  (compiled)
    """Step 1; the mean of each effect given all others is added to ``means``."""
    n_variants = len(chain.effect)
    large, small, log_pi = variances(chain.place, n_variants, data.scale)
    odds, tau = _log_odds(log_pi), chain.place[3]
    for j in range(n_variants):
        column, square = data.columns[j], squares[j]
        seen = _dot(column, chain.residual) + square * chain.effect[j]
        spread_large, spread_small = large / (1 + square * large), small / (1 + square * small)
        log_odds = odds + 0.5 * (
            math.log((1 + square * small) / (1 + square * large))
            + tau * seen * seen * (spread_large - spread_small)
        )
        share = 1 / (1 + math.exp(-log_odds))
        means[j] += seen * (share * spread_large + (1 - share) * spread_small)
        chain.large[j] = rng.random() < share
        spread = spread_large if chain.large[j] else spread_small
        drawn = spread * seen + math.sqrt(spread / tau) * rng.standard_normal()
        _add(chain.residual, chain.effect[j] - drawn, column)
        chain.effect[j] = drawn


@numba.njit(cache=True, nogil=True)
def _evidence(
    first: float, second: float, seen: tuple[float, float], gram: tuple[float, float, float], tau: float
) -> float:  # pragma: no cover  (compiled)
    """Log-likelihood, up to a constant, if two effects have prior variances ``first`` and ``second``."""
    a, b, c = 1 + first * gram[0], 1 + second * gram[1], math.sqrt(first * second) * gram[2]
    determinant = a * b - c * c
    x, y = math.sqrt(first) * seen[0], math.sqrt(second) * seen[1]
    return 0.5 * (tau * (b * x * x - 2 * c * x * y + a * y * y) / determinant - math.log(determinant))


@numba.njit(cache=True, nogil=True)
def _draw_pairs(
    data: Data, chain: Chain, squares: FloatArray, rng: np.random.Generator
) -> None:  # pragma: no cover  (compiled)
    """Step 2."""
    n_variants, n_partners = data.partners.shape
    if not n_partners:
        return
    large, small, log_pi = variances(chain.place, n_variants, data.scale)
    odds, tau = _log_odds(log_pi), chain.place[3]
    choices, weight = (small, large), np.empty(4)
    for _ in range(min(MAX_PAIRS, 1 + n_variants // VARIANTS_PER_PAIR)):
        i = rng.integers(0, n_variants)
        j = data.partners[i, rng.integers(0, n_partners)]
        x, y = data.columns[i], data.columns[j]
        gram = squares[i], squares[j], _dot(x, y)
        seen = (
            _dot(x, chain.residual) + gram[0] * chain.effect[i] + gram[2] * chain.effect[j],
            _dot(y, chain.residual) + gram[2] * chain.effect[i] + gram[1] * chain.effect[j],
        )
        for case in range(4):
            one, other = case // 2, case % 2
            weight[case] = (one + other) * odds + _evidence(choices[one], choices[other], seen, gram, tau)
        weight[:] = np.exp(weight - weight.max())
        left, case = rng.random() * weight.sum(), 0
        while case < 3 and left >= weight[case]:
            left -= weight[case]
            case += 1
        chain.large[i], chain.large[j] = case // 2 == 1, case % 2 == 1
        # The first effect given neither, then the second given the first.
        spread = choices[case % 2] / (1 + gram[1] * choices[case % 2])
        square_alone = gram[0] - gram[2] * spread * gram[2]
        first_spread = choices[case // 2] / (1 + square_alone * choices[case // 2])
        first = first_spread * (seen[0] - gram[2] * spread * seen[1])
        first += math.sqrt(first_spread / tau) * rng.standard_normal()
        second = spread * (seen[1] - gram[2] * first) + math.sqrt(spread / tau) * rng.standard_normal()
        _add(chain.residual, chain.effect[i] - first, x)
        _add(chain.residual, chain.effect[j] - second, y)
        chain.effect[i], chain.effect[j] = first, second


@numba.njit(cache=True, nogil=True)
def _draw_tau(data: Data, chain: Chain, rng: np.random.Generator) -> None:  # pragma: no cover  (compiled)
    """Step 3."""
    n_variants = len(chain.effect)
    large, small, _ = variances(chain.place, n_variants, data.scale)
    total = data.rest + _dot(chain.residual, chain.residual)
    for j in range(n_variants):
        total += chain.effect[j] ** 2 / (large if chain.large[j] else small)
    chain.place[3] = rng.gamma(0.5 * (data.freedom + n_variants), 2 / total)


@numba.njit(cache=True, nogil=True)
def _move_scaled(data: Data, chain: Chain, rng: np.random.Generator) -> None:  # pragma: no cover  (compiled)
    """Step 4."""
    n_variants, tau = len(chain.effect), chain.place[3]
    n_large = int(chain.large.sum())
    by_large, by_small = np.zeros_like(chain.residual), np.zeros_like(chain.residual)
    for j in range(n_variants):  # anew: rounding errors would be scaled up
        _add(by_large if chain.large[j] else by_small, chain.effect[j], data.columns[j])
    u1, u0 = _dot(data.target, by_large), _dot(data.target, by_small)
    e11, e01, e00 = _dot(by_large, by_large), _dot(by_large, by_small), _dot(by_small, by_small)
    large, small, log_pi = variances(chain.place, n_variants, data.scale)

    scale_1 = scale_0 = 1.0
    fit = u1 + u0 - 0.5 * (e11 + 2 * e01 + e00)
    value = tau * fit + n_large * log_pi + (n_variants - n_large) * math.log(-math.expm1(log_pi))
    proposed = np.empty(3)
    for _ in range(SCALED_STEPS):
        _step(chain.place, proposed, rng)
        new_large, new_small, log_pi = variances(proposed, n_variants, data.scale)
        c1, c0 = math.sqrt(new_large / large), math.sqrt(new_small / small)
        fit = c1 * u1 + c0 * u0 - 0.5 * (c1 * c1 * e11 + 2 * c1 * c0 * e01 + c0 * c0 * e00)
        new = tau * fit + n_large * log_pi + (n_variants - n_large) * math.log(-math.expm1(log_pi))
        if math.log(rng.random()) < new - value:
            value, scale_1, scale_0 = new, c1, c0
            chain.place[:3] = proposed
    for j in range(n_variants):
        chain.effect[j] *= scale_1 if chain.large[j] else scale_0
    for row in range(len(chain.residual)):
        chain.residual[row] = data.target[row] - scale_1 * by_large[row] - scale_0 * by_small[row]


@numba.njit(cache=True, nogil=True)
def _density(
    place: FloatArray, effect: FloatArray, tau: float, scale: float
) -> float:  # pragma: no cover  (compiled)
    """Log density of the effects, whichever component each is of, up to a constant."""
    n_variants = len(effect)
    large, small, log_pi = variances(place, n_variants, scale)
    base = math.log(-math.expm1(log_pi)) - 0.5 * math.log(small)
    ratio = log_pi - 0.5 * math.log(large) - base
    steep = 0.5 * tau * (1 / small - 1 / large)
    total = 0.0
    for j in range(n_variants):
        square = effect[j] ** 2
        more = ratio + steep * square
        total += -0.5 * tau * square / small
        total += more + math.log1p(math.exp(-more)) if more > 0 else math.log1p(math.exp(more))
    return total + n_variants * base


@numba.njit(cache=True, nogil=True)
def _move_fixed(data: Data, chain: Chain, rng: np.random.Generator) -> None:  # pragma: no cover  (compiled)
    """Step 5. The components are out of date afterwards; a sweep draws them anew."""
    tau = chain.place[3]
    value = _density(chain.place, chain.effect, tau, data.scale)
    proposed = np.empty(3)
    for _ in range(FIXED_STEPS):
        _step(chain.place, proposed, rng)
        new = _density(proposed, chain.effect, tau, data.scale)
        if math.log(rng.random()) < new - value:
            value = new
            chain.place[:3] = proposed


@numba.njit(cache=True, nogil=True)
def advance(
    data: Data, chain: Chain, n_sweeps: int, thin: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:  # pragma: no cover  (compiled)
    """Move a chain on by ``n_sweeps`` iterations.

    Returns:
        Mean over them of each effect (variant,) given all others; h, rho, log pi and the proportion of
        variance explained (sweep, 4); X b (sweep / thin, row) of every ``thin``-th.
    """
    n_variants, n_rows = data.columns.shape
    squares = np.empty(n_variants)
    for j in range(n_variants):
        squares[j] = _dot(data.columns[j], data.columns[j])
    means = np.zeros(n_variants)
    trace = np.empty((n_sweeps, 4))
    predicted = np.empty((n_sweeps // thin, n_rows))
    for sweep in range(n_sweeps):
        _sweep(data, chain, squares, means, rng)
        _draw_pairs(data, chain, squares, rng)
        _draw_tau(data, chain, rng)
        _move_scaled(data, chain, rng)
        fitted = data.target - chain.residual
        variance = _dot(fitted, fitted) / data.freedom
        trace[sweep, 0], trace[sweep, 1] = chain.place[0], chain.place[1]
        trace[sweep, 2] = variances(chain.place, n_variants, data.scale)[2]
        trace[sweep, 3] = variance / (variance + 1 / chain.place[3])
        if (sweep + 1) % thin == 0:
            predicted[sweep // thin] = fitted
        _move_fixed(data, chain, rng)
    return means / n_sweeps, trace, predicted
