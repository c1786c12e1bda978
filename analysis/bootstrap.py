"""Two-way bootstrap of correlations: genes and people are both samples, and genes share people."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student_t

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

LEVELS = (2.5, 97.5)  # percent


def weighted_pearson(
    weights: npt.ArrayLike,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    counted: npt.ArrayLike,
    within: npt.ArrayLike | None = None,
) -> FloatArray:
    """Pearson correlation of every gene under every set of weights of people.

    Args:
        weights: (draw, individual), how often each person counts.
        x: (gene, individual).
        y: (gene, individual).
        counted: (gene, individual) bool, the people of each gene; the others may be NaN in x and y.
        within: (individual,), the population of each person: x and y are centred on the mean of each under every
            set of weights, so that r is that of people of one population. None = all are of one.

    Returns:
        (draw, gene); 0 where x is constant (in every population), NaN where y is (or there is nobody).
    """
    w, mask = np.asarray(weights, dtype=np.float64), np.asarray(counted, dtype=bool)
    x, y = _standardised(np.asarray(x), mask, within), _standardised(np.asarray(y), mask, within)
    n, variance_x, variance_y, covariance = np.zeros((4, len(w), len(mask)))
    for people in _populations(mask.shape[1], within):
        of, x_of, y_of = w[:, people], x[:, people].T, y[:, people].T
        n_of = of @ mask[:, people].T.astype(np.float64)
        sum_x, sum_y = of @ x_of, of @ y_of
        share = 1 / np.maximum(n_of, 1)
        variance_x += of @ (x_of * x_of) - sum_x**2 * share
        variance_y += of @ (y_of * y_of) - sum_y**2 * share
        covariance += of @ (x_of * y_of) - sum_x * sum_y * share
        n += n_of
    smallest = 1e-9 * n  # x and y have unit variance: anything below is rounding
    varied = (variance_x > smallest) & (variance_y > smallest)
    r = np.zeros_like(covariance)
    r[varied] = covariance[varied] / np.sqrt(variance_x[varied] * variance_y[varied])
    r[~(variance_y > smallest)] = np.nan
    return r


def resampled(n: int, draws: int, rng: np.random.Generator) -> FloatArray:
    """How often each of ``n`` units is drawn in each bootstrap sample of n, (draw, unit)."""
    if n == 0:
        return np.zeros((draws, 0))
    return rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


def overlapping_blocks(contig: npt.ArrayLike, start: npt.ArrayLike, length: int) -> IntArray:
    """A number for each gene (gene,), the same for genes whose windows overlap, directly or in a chain."""
    contigs, starts = np.asarray(contig), np.asarray(start, dtype=np.int64)
    order = np.lexsort((starts, contigs))
    apart = (contigs[order][1:] != contigs[order][:-1]) | (np.diff(starts[order]) >= length)
    block = np.empty(len(order), dtype=np.int64)
    block[order] = np.concatenate([[0], np.cumsum(apart)]) if len(order) else order
    return block


def mean_interval(
    r: npt.ArrayLike, people_draws: npt.ArrayLike, block: npt.ArrayLike, rng: np.random.Generator
) -> tuple[float, float]:
    """95% interval of the mean r of a class's genes, over resampled genes and resampled people.

    Each draw is the mean r of resampled blocks of genes, plus the deviation of the mean r when people are
    resampled. Resampling genes already contains each gene's own noise, so the second term is shrunk to
    the part that genes share (shared test people, co-expression). Drawing both at once without that, the
    pigeonhole bootstrap (Owen 2007, Ann. Appl. Stat. 1:386), counts the noise three times: its
    intervals are up to sqrt(3) too wide on genes without signal. The variance is that of two-way clustering
    (Cameron, Gelbach & Miller 2011, J. Bus. Econ. Stat. 29:238). With one block only people vary.

    Args:
        r: (gene,), NaN = left out.
        people_draws: (draw, gene), r of each gene on resampled people (``weighted_pearson``).
        block: (gene,), numbers from ``overlapping_blocks``.
        rng: draws the blocks.

    Returns:
        The 2.5 and 97.5 percentiles; NaN without genes.
    """
    observed = np.asarray(r, dtype=np.float64)
    usable = np.isfinite(observed)
    if not usable.any():
        return np.nan, np.nan
    observed, draws = observed[usable], np.asarray(people_draws, dtype=np.float64)[:, usable]
    member = np.unique(np.asarray(block)[usable], return_inverse=True)[1]
    n_blocks = int(member.max()) + 1
    in_block = (member == np.arange(n_blocks)[:, None]).astype(np.float64)  # (block, gene)
    chosen = resampled(n_blocks, len(draws), rng)
    genes = (chosen @ (in_block @ observed)) / (chosen @ in_block.sum(axis=1)) - observed.mean()
    if n_blocks > 1:  # a resampled mean varies (n - 1)/n too little, and with few blocks its tails are a t's
        widen = student_t.ppf(LEVELS[1] / 100, n_blocks - 1) / norm.ppf(LEVELS[1] / 100)
        genes *= widen * np.sqrt(n_blocks / (n_blocks - 1))

    # In a draw where a gene's few people are all alike it has no r: it stands at its own mean.
    known = np.isfinite(draws)
    mean = np.where(known, draws, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    deviation = np.where(known, draws - mean, 0.0)
    people = deviation.mean(axis=1)
    alone = (deviation @ in_block.T).var(axis=0).sum() / len(observed) ** 2
    total = people.var()
    shared = max(0.0, 1 - (n_blocks - 1) / n_blocks * alone / total) if total > 0 else 0.0
    low, high = np.percentile(observed.mean() + genes + np.sqrt(shared) * people, LEVELS)
    return float(low), float(high)


def varies(values: npt.ArrayLike, counted: npt.ArrayLike, within: npt.ArrayLike | None = None) -> BoolArray:
    """Whether values (gene, individual) differ, beyond rounding, among the counted people of each gene.

    With ``within`` (individual,) they are to differ between people of one population. What is rounding depends on
    the type of the values: float32, as models and stores have it, or float64.
    """
    values = np.asarray(values)
    smallest = 1e-12 if values.dtype == np.float64 else 1e-7
    mask = np.asarray(counted, dtype=bool)
    centred = centred_within(values, mask, within)
    sd = np.sqrt((centred**2).sum(axis=1) / np.maximum(mask.sum(axis=1), 1))
    return np.asarray(sd > smallest * np.abs(np.where(mask, values, 0.0)).max(axis=1, initial=0.0))


def centred_within(
    values: npt.ArrayLike, counted: npt.ArrayLike, within: npt.ArrayLike | None = None
) -> FloatArray:
    """Values (gene, individual) less their mean over the counted people of each gene and population; 0 elsewhere."""
    values, mask = np.asarray(values), np.asarray(counted, dtype=bool)
    return np.where(mask, values - means_within(values, mask, within), 0.0)


def means_within(
    values: npt.ArrayLike, counted: npt.ArrayLike, within: npt.ArrayLike | None = None
) -> FloatArray:
    """The mean (gene, individual) over the counted people of each individual's population.

    Where none of a population is counted it is the mean over all who are, and 0 if nobody is.
    """
    values, mask = np.asarray(values), np.asarray(counted, dtype=bool)
    known = np.where(mask, values, 0.0).astype(np.float64)
    overall = known.sum(axis=1, keepdims=True) / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    means = np.broadcast_to(overall, mask.shape).copy()
    for people in _populations(mask.shape[1], within):
        n = mask[:, people].sum(axis=1, keepdims=True)
        mean = known[:, people].sum(axis=1, keepdims=True) / np.maximum(n, 1)
        means[:, people] = np.where(n > 0, mean, overall)
    return means


def _populations(n_people: int, within: npt.ArrayLike | None) -> list[npt.NDArray[np.intp]]:
    """The numbers of the people of each population."""
    if within is None:
        return [np.arange(n_people)]
    population = np.unique(np.asarray(within), return_inverse=True)[1]
    return [np.flatnonzero(population == number) for number in range(population.max(initial=-1) + 1)]


def _standardised(
    values: npt.NDArray[np.floating], mask: BoolArray, within: npt.ArrayLike | None
) -> FloatArray:
    """Centred (see ``centred_within``) and with deviation 1 over the masked people of each gene; 0 elsewhere."""
    centred = centred_within(values, mask, within)
    sd = np.sqrt((centred**2).sum(axis=1) / np.maximum(mask.sum(axis=1), 1))
    return centred / np.where(varies(values, mask, within), sd, np.inf)[:, None]
