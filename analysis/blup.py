"""Best linear unbiased prediction: every variant counts, its weight drawn towards zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.reml import reml

FloatArray = npt.NDArray[np.float64]

SMALLEST_H2 = 1e-3  # where REML finds none, the direction of the prediction is still defined


def blup(genotype: FloatArray, expression: FloatArray, seed: int) -> FloatArray:
    """Weights of BLUP: ridge regression whose penalty is the variance ratio that REML finds.

    ``genotype`` (individual, variant) and ``expression`` (individual,) are standardised. h2 is that of the
    same people, constrained, and at least ``SMALLEST_H2``: as in GEMMA, whose ratio is bounded below,
    a gene without heritability gets weights near zero, not zero. Nothing is drawn at random; zeros if
    REML has no maximum. Source: Henderson 1975; ``blup`` of FUSION (Gusev et al. 2016), GEMMA ``-bslmm 2``.
    """
    fitted = reml(genotype, expression, constrained=True)
    if not fitted.converged:
        return np.zeros(genotype.shape[1])
    h2 = max(fitted.h2, SMALLEST_H2)
    return posterior_mean(genotype, expression, genetic=h2, residual=1 - h2)


def posterior_mean(
    genotype: FloatArray, expression: FloatArray, *, genetic: float, residual: float
) -> FloatArray:
    """Posterior mean (variant,) of effects b ~ N(0, genetic / p) in expression = X b + e, e ~ N(0, residual).

    Expression and the columns of X have mean 0. Of the two equal forms, X' (X X' + k I)^-1 y and
    (X' X + k I)^-1 X' y with k = p residual / genetic, the one with the smaller matrix is solved.
    """
    from scipy.linalg import solve

    n, p = genotype.shape
    penalty = p * residual / genetic
    if p < n:
        gram = genotype.T @ genotype
        gram.flat[:: p + 1] += penalty
        weights = solve(gram, genotype.T @ expression, assume_a="pos")
    else:
        gram = genotype @ genotype.T
        gram.flat[:: n + 1] += penalty
        weights = genotype.T @ solve(gram, expression, assume_a="pos")
    return np.asarray(weights, dtype=np.float64)
