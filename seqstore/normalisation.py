"""What is done to an expression matrix before a model sees it: the numerics of ``seqstore expression``.

Everything that is estimated (means, deviations, coefficients, components, ranks) is estimated from the values
that are passed as those of the fit individuals, and from nothing else: the others are projected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A gene of which covariates leave less than this share of its deviation has nothing left but rounding.
EXPLAINED = 1e-10


def tpm_of_rpkm(rpkm: Floats) -> Floats:
    """Transcripts per million (gene, individual): an individual's RPKM divided by their sum, times a million."""
    return np.asarray(rpkm / rpkm.sum(axis=0) * 1e6)


def share_of_zeros(values: Floats) -> Floats:
    """The share (gene,) of zeros among the measured values of a gene; 0 if none is measured."""
    measured = np.isfinite(values).sum(axis=1)
    return np.asarray((values == 0).sum(axis=1) / np.maximum(measured, 1))


def varies(values: Floats) -> Mask:
    """Which genes (gene,) have two different measured values."""
    known = np.isfinite(values)
    highest = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
    return np.asarray(highest > lowest)


def measured_alike(values: Floats) -> Iterator[tuple[npt.NDArray[np.intp], Mask]]:
    """Genes that are measured in the same individuals, together: their rows, and those individuals (individual,)."""
    patterns, group = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        yield np.flatnonzero(group.reshape(-1) == number), pattern


@dataclass(frozen=True)
class Correction:
    """What covariates and principal components explain of expression, as the fit individuals have it.

    From a gene's values its mean and what the covariates predict are taken away. What is left is brought to
    standard deviation 1, loses its projection on the components, and gets deviation and mean back. So a gene
    keeps its mean, and of its variance what covariates and components do not explain.
    """

    mean: Floats  # (gene,)
    intercept: Floats  # (gene,), of the covariates, which need not be centred
    coefficients: Floats  # (gene, covariate), a unit of the covariate
    deviation: Floats  # (gene,), ddof 0, of what the covariates leave
    components: Floats  # (component, gene), orthonormal rows
    variance_shares: Floats  # (component,), of what the covariates leave

    @classmethod
    def fit(cls, values: Floats, covariates: Floats, n_components: int) -> Correction:
        """Estimate the correction.

        ``values`` (gene, individual) are those of the fit individuals; every gene varies, NaN = not measured,
        which components do not allow. ``covariates`` (individual, covariate) are linearly independent of each
        other and of an intercept in the individuals in whom any gene is measured.
        """
        from sklearn.decomposition import PCA

        mean = np.nanmean(values, axis=1)
        left = values - mean[:, None]
        spread = np.nanstd(values, axis=1)
        coefficients, intercept = np.zeros((len(values), covariates.shape[1])), np.zeros(len(values))
        if covariates.shape[1]:
            for genes, measured in measured_alike(values):
                centre = covariates[measured].mean(axis=0)
                response = left[genes][:, measured].T
                estimated = np.linalg.lstsq(covariates[measured] - centre, response, rcond=None)[0].T
                coefficients[genes], intercept[genes] = estimated, -estimated @ centre
            left -= coefficients @ covariates.T + intercept[:, None]
        deviation = np.nanstd(left, axis=1)
        deviation = np.where(deviation > EXPLAINED * spread, deviation, spread)
        components, shares = np.zeros((0, len(values))), np.zeros(0)
        if n_components:
            pca = PCA(n_components=n_components, svd_solver="full").fit((left / deviation[:, None]).T)
            components, shares = pca.components_, pca.explained_variance_ratio_
        return cls(mean, intercept, coefficients, deviation, components, shares)

    def apply(self, values: Floats, covariates: Floats) -> Floats:
        """Corrected expression (gene, individual) of any individuals, each from their own values only."""
        predicted = self.coefficients @ covariates.T + self.intercept[:, None]
        left = (values - self.mean[:, None] - predicted) / self.deviation[:, None]
        left -= self.components.T @ (self.components @ left)
        return np.asarray(left * self.deviation[:, None] + self.mean[:, None])


def normal_quantiles(values: Floats, fit: Floats) -> Floats:
    """Normal quantiles (gene, individual) of the place that a value has among a gene's fit values.

    With n fit values, of which b are below a value and t equal to it, the quantile is that of
    (b + (t + 1) / 2) / (n + 1). For the fit individuals themselves this is rank / (n + 1) with the mean rank
    for ties, as in the pipelines of GTEx and tensorQTL; a value between two of them is placed halfway, one
    beyond them all half a rank further out. NaN = not measured.
    """
    from scipy.special import ndtri

    quantiles = np.full(values.shape, np.nan)
    for gene, (row, fitted) in enumerate(zip(values, fit, strict=True)):
        known = np.sort(fitted[np.isfinite(fitted)])
        measured = np.isfinite(row)
        below = np.searchsorted(known, row[measured], side="left")
        upto = np.searchsorted(known, row[measured], side="right")
        quantiles[gene, measured] = ndtri((below + upto + 1) / (2 * (len(known) + 1)))
    return quantiles
