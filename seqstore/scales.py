"""Scales of a gene's expression among some people: z-scores and percentiles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def z_scores(expression: Floats, fit: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Expression (gene, individual) less the mean, over the deviation (ddof 0), of the ``fit`` people of each gene.

    ``fit`` is (gene, individual); NaN = not measured. A gene that does not vary among them has no z: NaN.
    """
    chosen = fit & np.isfinite(expression)
    n = np.maximum(chosen.sum(axis=1, keepdims=True), 1)
    mean = np.where(chosen, expression, 0.0).sum(axis=1, keepdims=True, dtype=np.float64) / n
    sd = np.sqrt(np.where(chosen, (expression - mean) ** 2, 0.0).sum(axis=1, keepdims=True) / n)
    varies = sd > 1e-9 * np.abs(mean)
    return np.asarray((expression - mean) / np.where(varies, sd, np.nan))


def percentiles(expression: Floats, fit: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The percentile of each value (gene, individual) among those of the ``fit`` people of its gene, 0 to 100.

    As scipy's ``percentileofscore``: half of equal values count as lower. ``fit`` is (gene, individual); NaN = not
    measured, or a gene that does not vary among them.
    """
    found = np.full(expression.shape, np.nan)
    for values, chosen, of_gene in zip(expression, fit, found, strict=True):
        known = np.isfinite(values)
        among = np.sort(values[chosen & known])
        if len(among) and among[0] < among[-1]:
            lower, not_higher = (np.searchsorted(among, values[known], side) for side in ("left", "right"))
            of_gene[known] = 50 / len(among) * (lower + not_higher + (lower < not_higher))
    return found
