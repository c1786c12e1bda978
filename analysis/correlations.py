"""Per-gene statistics of one method on held-out people: Pearson r, Spearman r, R², p, and r on resampled people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.bootstrap import (
    LEVELS,
    BoolArray,
    FloatArray,
    centred_within,
    means_within,
    varies,
    weighted_pearson,
)

MIN_PEOPLE = 3  # fewer test people than this have no correlation worth the name
CONSTANT = "constant"
NOT_PREDICTED = "not predicted"
NOT_TESTED = "no test people"
WITHOUT_R = f"fewer than {MIN_PEOPLE} test people, or their expression does not vary"
COLUMNS = [
    "n", "pearson_r", "ci_low", "ci_high", "spearman_r", "r_squared", "p", "q", "pooled_r", "populations", "note",
]  # fmt: skip


@dataclass(frozen=True)
class Correlations:
    """What one method's predictions of a class's genes are worth."""

    table: pd.DataFrame  # COLUMNS, a row a gene
    draws: npt.NDArray[np.float32]  # (draw, gene), r on resampled people
    by_replicate: FloatArray  # (replicate, gene), r

    @property
    def mean_abs_r(self) -> float:
        """The mean of |r| over genes, and over replicates."""
        return (
            float(np.nanmean(np.abs(self.by_replicate))) if np.isfinite(self.by_replicate).any() else np.nan
        )

    @property
    def replicate_sd(self) -> float:
        """The standard deviation (ddof 1) over replicates of the mean r; NaN with one replicate."""
        if len(self.by_replicate) < 2 or not np.isfinite(self.by_replicate).any():
            return np.nan
        return float(np.nanmean(self.by_replicate, axis=1).std(ddof=1))


def correlate(
    predicted: npt.NDArray[np.floating],
    measured: FloatArray,
    test: BoolArray,
    weights: FloatArray,
    *,
    within: npt.ArrayLike | None = None,
) -> Correlations:
    """Correlate one method's predictions with measured expression, gene by gene.

    r is the mean over replicates and folds of the r within each. A prediction that is constant over the test
    people, or missing for all of them, has r = 0; one missing for some is taken as the mean of the others.

    Args:
        predicted: (replicate, fold, gene, individual), NaN = not predicted; float32 if that is its precision.
        measured: (fold, gene, individual), NaN = not measured.
        test: (fold, gene, individual), the measured test people.
        weights: (draw, individual), how often each person counts in each bootstrap sample.
        within: (individual,), populations: r is then that of people of one population (both sides centred on
            the mean of each population's test people); ``pooled_r`` is always that of all people.

    Returns:
        ``spearman_r`` is Pearson's of the ranks of the (centred) values, ``r_squared`` is r², the share of
        variance that the best rescaled prediction explains (PrediXcan's measure; predictions need not be
        calibrated). ``p`` is Pearson's, two-sided, from Student's t with n - 1 - populations degrees of freedom;
        of several folds it is Stouffer's, each fold weighing the root of its n, with twice the variance of
        independent folds (see ``_p_values``), which is near but not exact; that of replicates is the p of
        their mean r, which varies less than a single one's, so that it is conservative. It is NaN for a constant
        or missing prediction. ``q`` is Benjamini and Hochberg's, over the genes with a p.
    """
    n_replicates, n_folds, n_genes, n_people = predicted.shape
    r, spearman, pooled = np.full((3, n_replicates, n_folds, n_genes), np.nan)
    draws = np.full((n_folds, len(weights), n_genes), np.nan)
    constant = np.zeros((n_replicates, n_folds, n_genes), dtype=bool)
    missing = np.zeros((n_replicates, n_folds, n_genes), dtype=np.int64)
    freedom = np.zeros((n_folds, n_genes))
    once = np.ones((1, n_people))
    for fold in range(n_folds):
        n = test[fold].sum(axis=1)
        populations = _n_populations(test[fold], within)
        freedom[fold] = n - 1 - populations
        usable = test[fold] & (freedom[fold] >= MIN_PEOPLE - 2)[:, None]
        observed = measured[fold]
        ranks = _ranks(observed, usable, within)
        of_draws = np.zeros((len(weights), n_genes))
        for replicate, values in enumerate(predicted[:, fold]):
            known = usable & np.isfinite(values)
            filled = np.where(known, values, means_within(values, known, within))
            changes = varies(filled.astype(predicted.dtype), usable, within)
            filled[~changes] = 0.0
            constant[replicate, fold], missing[replicate, fold] = ~changes, (usable & ~known).sum(axis=1)
            r[replicate, fold] = weighted_pearson(once, filled, observed, usable, within)[0]
            of_draws += weighted_pearson(weights, filled, observed, usable, within)
            of_ranks = weighted_pearson(once, _ranks(filled, usable, within), ranks, usable)[0]
            spearman[replicate, fold] = np.where(changes, of_ranks, 0.0 * of_ranks)
            pooled[replicate, fold] = r[replicate, fold]
            if within is not None:
                filled = np.where(known, values, means_within(values, known))
                filled[~varies(filled.astype(predicted.dtype), usable)] = 0.0
                pooled[replicate, fold] = weighted_pearson(once, filled, observed, usable)[0]
        draws[fold] = of_draws / n_replicates
    mean_draws = mean_of_known(draws)
    headline = mean_of_known(r.reshape(-1, n_genes))
    low, high = _percentiles(mean_draws)
    notes, empty = _notes(r, constant, missing, test)
    p = np.where(empty, np.nan, _p_values(r.mean(axis=0), freedom))
    low[empty], high[empty] = np.nan, np.nan
    counted = np.asarray(test.any(axis=0))
    table = pd.DataFrame(
        {
            "n": counted.sum(axis=1),
            "pearson_r": headline,
            "ci_low": low,
            "ci_high": high,
            "spearman_r": mean_of_known(spearman.reshape(-1, n_genes)),
            "r_squared": headline**2,
            "p": p,
            "q": q_values(p),
            "pooled_r": mean_of_known(pooled.reshape(-1, n_genes)),
            "populations": _n_populations(counted, within),
            "note": notes,
        }
    )
    by_replicate = np.stack([mean_of_known(of_one) for of_one in r])
    return Correlations(table[COLUMNS], mean_draws.astype(np.float32), by_replicate)


def q_values(p: FloatArray) -> FloatArray:
    """Benjamini and Hochberg's false discovery rate (gene,) at which each p becomes significant; NaN stays NaN."""
    from scipy.stats import false_discovery_control

    q, known = np.full(len(p), np.nan), np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q


def mean_of_known(values: FloatArray) -> FloatArray:
    """The mean over the first axis of the values that are numbers; NaN where none is."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    return np.where(n > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)


def _p_values(r: FloatArray, freedom: FloatArray) -> FloatArray:
    """Two-sided p (gene,) of r (fold, gene): Student's t in each fold, Stouffer's combination of several.

    Folds are not independent: whoever tests one trains the others. A prediction that is a weighted sum of the
    training people's expression, with weights by how alike two genomes are (ridge, BLUP), counts each pair of people
    of different folds twice, in the fold of either, so that the sum over folds has twice the variance of as many
    independent ones. On noise, z without that is below 0.05 for one gene in six.
    """
    from scipy.special import ndtr, ndtri, stdtr

    known = np.isfinite(r)
    df = np.where(known, freedom, 1.0)
    squared = np.minimum(np.where(known, r, 0.0) ** 2, 1 - 1e-15)
    one_sided = stdtr(df, -np.sqrt(df * squared / (1 - squared)))
    if len(r) == 1:
        return np.where(known[0], 2 * one_sided[0], np.nan)
    z = -np.sign(r) * ndtri(np.maximum(one_sided, 1e-300))
    weight = np.where(known, np.sqrt(freedom + 2), 0.0)
    total = np.sqrt((weight**2).sum(axis=0))
    combined = np.where(known, weight * z, 0.0).sum(axis=0) / (np.sqrt(2) * np.maximum(total, 1))
    return np.where(total > 0, 2 * ndtr(-np.abs(combined)), np.nan)


def _percentiles(draws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The ends (gene,) of the 95% interval of the draws (draw, gene) that are numbers; NaN where none is."""
    low, high = np.full((2, draws.shape[1]), np.nan)
    some = np.isfinite(draws).any(axis=0)
    if some.any():
        low[some], high[some] = np.nanpercentile(draws[:, some], LEVELS, axis=0)
    return low, high


def _notes(
    r: FloatArray, constant: BoolArray, missing: npt.NDArray[np.int64], test: BoolArray
) -> tuple[list[str], BoolArray]:
    """What is to be known of each gene's r, and which genes (gene,) have no prediction that varies."""
    tested = test.sum(axis=-1)
    notes, empty = [], np.ones(r.shape[-1], dtype=bool)
    for gene in range(r.shape[-1]):
        folds = np.isfinite(r[0, :, gene])
        runs = len(r) * int(folds.sum())
        n_constant = int(constant[:, folds, gene].sum())
        n_missing = int(missing[:, folds, gene].sum(axis=1).max(initial=0))
        if not runs:
            notes.append(WITHOUT_R if tested[:, gene].any() else NOT_TESTED)
        elif n_constant == runs:
            n_tested = len(r) * int(tested[folds, gene].sum())
            notes.append(NOT_PREDICTED if missing[:, folds, gene].sum() == n_tested else CONSTANT)
        else:
            empty[gene] = False
            of = "folds" if len(r) == 1 else "replicates" if folds.sum() == 1 else "folds of replicates"
            parts = {
                f"constant in {n_constant} of {runs} {of}": n_constant,
                f"{n_missing} test people not predicted": n_missing,
            }
            notes.append("; ".join(text for text, count in parts.items() if count))
    return notes, empty


def _ranks(values: FloatArray, usable: BoolArray, within: npt.ArrayLike | None) -> FloatArray:
    """Ranks (gene, individual) of the values, centred within populations, among the usable people; 0 elsewhere."""
    centred = values if within is None else centred_within(values, usable, within)
    return pd.DataFrame(np.where(usable, centred, np.nan)).rank(axis=1).fillna(0.0).to_numpy()


def _n_populations(test: BoolArray, within: npt.ArrayLike | None) -> npt.NDArray[np.int64]:
    """How many populations the test people (gene, individual) of each gene are of."""
    if within is None:
        return np.asarray(test.any(axis=1), dtype=np.int64)
    population = np.asarray(within)
    of_each = [test[:, population == name].any(axis=1) for name in np.unique(population)]
    return np.asarray(np.sum(of_each, axis=0), dtype=np.int64)
