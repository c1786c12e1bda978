"""Weights along a path of penalties, solved exactly: the numerical half of ``analysis.elastic_net``.

Variants of a window are so correlated that coordinate descent alone needs thousands of sweeps at small penalties. Here
a sweep only says which variants come in and with which sign; the weights of those that are in are then solved for,
by Cholesky. Those whose weight would change its sign leave, and the rest is solved again (Osborne, Presnell and Turlach
2000; Lee et al. 2006, 'feature-sign search'). Every step lowers the objective, and the search ends where the conditions
of optimality hold for every variant. What it needs of X' X it computes once, a row for each variant that was ever
in.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TOLERANCE = 1e-9  # of the conditions of optimality, in units of the largest covariance
DEPENDENT = 1e-10  # a column is a combination of others if less than this share of its variance is its own

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # sums in any order, as SIMD needs


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _dot(one: FloatArray, other: FloatArray) -> float:
    total = 0.0
    for i in range(len(one)):
        total += one[i] * other[i]
    return total


@numba.njit(cache=True, nogil=True)
def weights_of(
    columns: FloatArray, y: FloatArray, l1s: FloatArray, l2s: FloatArray, max_searches: int
) -> tuple[FloatArray, int]:
    """Weights (penalty, variant) at falling penalties, and at how many the search was stopped.

    ``columns`` (variant, individual) and ``y`` (individual,) are centred; ``l1s`` and ``l2s`` (penalty,) weigh |b|_1
    and |b|^2 / 2 beside |y - X b|^2 / (2 n). A search ends after ``max_searches`` sweeps at the latest.
    """
    p, n = columns.shape
    covariance, variance = np.empty(p), np.empty(p)
    for j in range(p):
        covariance[j] = _dot(columns[j], y) / n
        variance[j] = _dot(columns[j], columns[j]) / n
    tolerance = TOLERANCE * np.abs(covariance).max()
    gram, n_rows = np.empty((min(p, 64), p)), 0  # of the variants that were ever in: a row each
    row_of = np.full(p, -1)
    weight, gradient = np.zeros(p), covariance.copy()
    found, n_stopped = np.empty((len(l1s), p)), 0
    for number in range(len(l1s)):
        l1, l2 = l1s[number], l2s[number]
        for search in range(max_searches):
            for j in range(p):  # a sweep of coordinate descent over those that are in or ought to be
                if weight[j] == 0 and abs(gradient[j]) <= l1 + tolerance:
                    continue
                if row_of[j] < 0:
                    if n_rows == len(gram):
                        larger = np.empty((min(p, 2 * n_rows), p))
                        larger[:n_rows] = gram
                        gram = larger
                    for k in range(p):
                        gram[n_rows, k] = _dot(columns[j], columns[k]) / n
                    row_of[j] = n_rows
                    n_rows += 1
                pull = gradient[j] + variance[j] * weight[j]
                new = np.sign(pull) * max(abs(pull) - l1, 0.0) / (variance[j] + l2)
                gradient -= (new - weight[j]) * gram[row_of[j]]
                weight[j] = new
            _solve(gram, row_of, covariance, l1, l2, weight)
            gradient[:] = covariance
            for j in range(p):
                if weight[j] != 0:
                    gradient -= weight[j] * gram[row_of[j]]
            if ((np.abs(gradient) <= l1 + tolerance) | (weight != 0)).all():
                break
            if search == max_searches - 1:
                n_stopped += 1
        found[number] = weight
    return found, n_stopped


@numba.njit(cache=True, nogil=True)
def _solve(
    gram: FloatArray, row_of: IntArray, covariance: FloatArray, l1: float, l2: float, weight: FloatArray
) -> None:
    """Change the weights that are not 0 to the best ones of their signs, or to 0 where the sign would change."""
    support = np.flatnonzero(weight)
    # Those that may leave come last, so that little is factored anew.
    support = support[np.argsort(-np.abs(weight[support]))]
    lower = np.empty((len(support), len(support)))
    factored = 0
    while len(support):
        size = len(support)
        now = weight[support]
        depends = _factor(gram, row_of, support, l2, lower, factored)
        if depends < 0:
            best = np.empty(size)
            for i in range(size):
                best[i] = covariance[support[i]] - l1 * np.sign(now[i])
                best[i] = (best[i] - _dot(lower[i, :i], best[:i])) / lower[i, i]
            _back(lower, best, size)
            if (best * now > 0).all():
                weight[support] = best
                return
            new = np.where(best * now > 0, best, 0.0)
            if _objective(gram, row_of, covariance, l1, l2, support, new) > _objective(
                gram, row_of, covariance, l1, l2, support, now
            ):
                new = _until_zero(now, best - now)
        else:
            # Along a combination of columns that is 0 nothing changes but the size of the weights.
            step = np.zeros(size)
            step[:depends] = -lower[depends, :depends]
            _back(lower, step, depends)
            step[depends] = 1.0
            slope = (step * np.sign(now)).sum()
            if abs(slope) < 1e-6:
                slope = now[depends]
            new = _until_zero(now, -step if slope > 0 else step)
        weight[support] = new
        factored = int(np.argmin(new != 0))
        support = support[new != 0]


@numba.njit(cache=True, nogil=True)
def _until_zero(now: FloatArray, step: FloatArray) -> FloatArray:
    """Weights moved along the step until the first of them is 0."""
    first, share = 0, np.inf
    for i in range(len(now)):
        if now[i] * step[i] < 0 and -now[i] / step[i] < share:
            first, share = i, -now[i] / step[i]
    new = now + share * step
    new[first] = 0.0
    return new


@numba.njit(cache=True, nogil=True)
def _objective(
    gram: FloatArray,
    row_of: IntArray,
    covariance: FloatArray,
    l1: float,
    l2: float,
    support: IntArray,
    weight: FloatArray,
) -> float:
    """The objective at the weights of the support, less that at 0."""
    total = 0.0
    for i in range(len(support)):
        row, own = gram[row_of[support[i]]], weight[i]
        if own != 0:
            pull = covariance[support[i]] - l1 * np.sign(own) - l2 * own / 2
            for j in range(len(support)):
                pull -= row[support[j]] * weight[j] / 2
            total -= own * pull
    return total


@numba.njit(cache=True, nogil=True)
def _factor(
    gram: FloatArray, row_of: IntArray, support: IntArray, l2: float, lower: FloatArray, start: int
) -> int:
    """Cholesky factor of X' X / n + l2 of the support from row ``start`` on; the first dependent row, or -1."""
    for i in range(start, len(support)):
        row = gram[row_of[support[i]]]
        for j in range(i):
            lower[i, j] = (row[support[j]] - _dot(lower[i, :j], lower[j, :j])) / lower[j, j]
        whole = row[support[i]] + l2
        own = whole - _dot(lower[i, :i], lower[i, :i])
        if own <= DEPENDENT * whole:
            return i
        lower[i, i] = np.sqrt(own)
    return -1


@numba.njit(cache=True, nogil=True)
def _back(lower: FloatArray, step: FloatArray, size: int) -> None:
    """Solve lower' x = step for the first ``size``, in place."""
    for i in range(size - 1, -1, -1):
        step[i] /= lower[i, i]
        for j in range(i):
            step[j] -= lower[i, j] * step[i]
