"""The elastic net and the lasso of one gene, exactly, along a path of penalties that cross-validation chooses from.

For n individuals with centred genotypes X and expression y, the weights b at a penalty minimise, as in glmnet and
scikit-learn,

    |y - X b|^2 / (2 n) + penalty (l1_ratio |b|_1 + (1 - l1_ratio) |b|^2 / 2).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CV_FOLDS = 5
N_PENALTIES = 100
SMALLEST = 1e-3  # penalty, of the one at which the first variant comes in
MAX_SEARCHES = 1000  # sweeps at one penalty before it counts as not converged


@dataclass(frozen=True)
class CrossValidated:
    """Weights at the penalty with the smallest mean squared error of held-out folds."""

    weights: FloatArray  # (variant,)
    penalty: float
    penalties: FloatArray  # (penalty,) from the largest to the smallest
    errors: FloatArray  # (penalty, fold) mean squared errors
    n_stopped: int  # fits that stopped before they converged


def enet(genotype: FloatArray, expression: FloatArray, seed: int) -> FloatArray:
    """Weights of the elastic net with mixing 0.5, its penalty chosen by 5-fold cross-validation.

    ``genotype`` (individual, variant) and ``expression`` (individual,) are standardised. The penalty is the
    best of 100 in the cross-validation (``lambda.min``); ``seed`` deals people to folds. Source: PrediXcan
    (Gamazon et al. 2015) and FUSION ``enet``: ``cv.glmnet(alpha = .5, nfold = 5)``, whose smallest penalty is 1e-4
    of the largest (1e-2 with more variants than people) instead of 1e-3. Fits that stop early give a
    ConvergenceWarning.
    """
    return _penalised(genotype, expression, seed, l1_ratio=0.5)


def lasso(genotype: FloatArray, expression: FloatArray, seed: int) -> FloatArray:
    """Weights of the lasso, its penalty chosen by 5-fold cross-validation as in ``enet``.

    Shapes as in ``enet``. Source: Tibshirani 1996. FUSION's ``lasso`` differs: PLINK's ``--lasso`` takes one
    penalty, from the gene's heritability, without cross-validation (Vattikuti et al. 2014).
    """
    return _penalised(genotype, expression, seed, l1_ratio=1.0)


def cross_validated(
    genotype: FloatArray, expression: FloatArray, folds: IntArray, *, l1_ratio: float
) -> CrossValidated:
    """The elastic net at the best of 100 penalties (``lambda.min`` of ``cv.glmnet``; ``ElasticNetCV``).

    Penalties fall geometrically from the one at which the first variant comes in to a thousandth of it
    (``penalties_of``), and are the same for every fold.

    Args:
        genotype: (individual, variant); columns need not be centred, and the intercept is not penalised.
        expression: (individual,).
        folds: (individual,) the fold that holds each individual out.
        l1_ratio: 1 for the lasso, towards 0 for ridge regression; above 0.
    """
    penalties = penalties_of(genotype, expression, l1_ratio=l1_ratio)
    numbers = np.unique(folds)
    errors, n_stopped = np.empty((len(penalties), len(numbers))), 0
    for column, number in enumerate(numbers):
        train = folds != number
        weights, stopped = path(genotype[train], expression[train], penalties, l1_ratio=l1_ratio)
        held_out = (genotype[~train] - genotype[train].mean(axis=0)) @ weights.T
        residual = (expression[~train] - expression[train].mean())[:, None] - held_out
        errors[:, column] = (residual**2).mean(axis=0)
        n_stopped += stopped
    best = int(errors.mean(axis=1).argmin())
    weights, stopped = path(genotype, expression, penalties[: best + 1], l1_ratio=l1_ratio)
    return CrossValidated(weights[-1], float(penalties[best]), penalties, errors, n_stopped + stopped)


def penalties_of(genotype: FloatArray, expression: FloatArray, *, l1_ratio: float) -> FloatArray:
    """``N_PENALTIES`` penalties from the smallest at which every weight is 0, down to ``SMALLEST`` of it."""
    covariance = (genotype - genotype.mean(axis=0)).T @ (expression - expression.mean()) / len(expression)
    largest = max(float(np.abs(covariance).max()) / l1_ratio, np.finfo(float).tiny)
    return np.geomspace(largest, largest * SMALLEST, N_PENALTIES)


def path(
    genotype: FloatArray, expression: FloatArray, penalties: FloatArray, *, l1_ratio: float
) -> tuple[FloatArray, int]:
    """Weights (penalty, variant) at each of falling penalties, and at how many of them the search was stopped."""
    from analysis.elastic_net_path import weights_of

    columns = np.ascontiguousarray((genotype - genotype.mean(axis=0)).T)
    centred = expression - expression.mean()
    found: tuple[FloatArray, int] = weights_of(
        columns, centred, penalties * l1_ratio, penalties * (1 - l1_ratio), MAX_SEARCHES
    )
    return found


def _penalised(genotype: FloatArray, expression: FloatArray, seed: int, *, l1_ratio: float) -> FloatArray:
    folds = np.random.default_rng(seed).permutation(np.arange(len(expression)) % CV_FOLDS)
    fitted = cross_validated(genotype, expression, folds, l1_ratio=l1_ratio)
    if fitted.n_stopped:
        from sklearn.exceptions import ConvergenceWarning

        warnings.warn(f"{fitted.n_stopped} fits stopped early", ConvergenceWarning, stacklevel=3)
    return fitted.weights
