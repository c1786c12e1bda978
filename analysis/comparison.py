"""Methods compared in pairs, on the same genes and the same resampled people."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.bootstrap import mean_interval
from analysis.correlations import NOT_PREDICTED, Correlations

COLUMNS = [
    "method_a", "method_b", "gene_class", "n_genes", "mean_difference", "ci_low", "ci_high",
    "a_higher", "b_higher", "ties", "wilcoxon_p_genes_independent",
]  # fmt: skip
TIE = 1e-9  # r that differ by less are equal


def compare(
    methods: Mapping[str, Correlations], gene_class: str, block: npt.ArrayLike, seed: list[int]
) -> pd.DataFrame:
    """Compare every pair of methods on the genes of one class.

    The interval is that of ``bootstrap.mean_interval`` for the difference of r, gene by gene: in each draw both
    methods have the same people and the same genes. Genes share test people and are co-expressed; the signed-rank
    test of Wilcoxon takes them as independent, and its p is too small where they are not.

    Args:
        methods: by name, correlations of the same genes on the same draws of people.
        gene_class: the name of the class.
        block: (gene,), numbers from ``overlapping_blocks``.
        seed: of the draws of genes, the same as for the means of the class.

    Returns:
        ``COLUMNS``, a row a pair (a before b, in the order of ``methods``). ``mean_difference`` is r of a less
        r of b. A gene that one of the two does not predict at all is left out; a constant prediction counts 0.
    """
    blocks = np.asarray(block)
    rows = []
    for (name_a, a), (name_b, b) in combinations(methods.items(), 2):
        both = np.ones(len(blocks), dtype=bool)
        for side in (a, b):
            both &= (side.table["note"] != NOT_PREDICTED) & np.isfinite(side.table["pearson_r"])
        if not both.any():
            continue
        r_a, r_b = (side.table["pearson_r"].to_numpy()[both] for side in (a, b))
        difference = r_a - r_b
        draws = a.draws[:, both].astype(np.float64) - b.draws[:, both]
        low, high = mean_interval(difference, draws, blocks[both], np.random.default_rng(seed))
        tied = np.abs(difference) < TIE
        rows.append(
            (
                name_a, name_b, gene_class, len(difference), difference.mean(), low, high,
                int((difference[~tied] > 0).sum()), int((difference[~tied] < 0).sum()), int(tied.sum()),
                signed_rank_p(np.where(tied, 0.0, difference)),
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def signed_rank_p(difference: npt.NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, ties left out; 1 where all are ties."""
    from scipy.stats import wilcoxon

    if not difference.any():
        return 1.0
    return float(wilcoxon(difference, zero_method="wilcox").pvalue)
