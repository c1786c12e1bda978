"""Simulated cis windows with known truth, for the tests of variance components and Bayesian models."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def window(rng: np.random.Generator, n_people: int, n_variants: int, correlation: float = 0.9) -> FloatArray:
    """Standardised dosages (individual, variant) of a window in linkage disequilibrium, MAF >= 0.05."""
    columns: list[FloatArray] = []
    while sum(column.shape[1] for column in columns) < n_variants:
        latent = rng.normal(size=(n_variants, n_people, 2))
        for number in range(1, n_variants):
            latent[number] = correlation * latent[number - 1] + np.sqrt(1 - correlation**2) * latent[number]
        dosage = (latent > rng.uniform(-1.4, 1.4, size=(n_variants, 1, 1))).sum(axis=-1).T
        frequency = dosage.mean(axis=0) / 2
        columns.append(dosage[:, np.minimum(frequency, 1 - frequency) >= 0.05].astype(float))
    dosages = np.concatenate(columns, axis=1)[:, :n_variants]
    return (dosages - dosages.mean(axis=0)) / dosages.std(axis=0)


def effects(rng: np.random.Generator, genotype: FloatArray, h2: float, n_causal: int | None) -> FloatArray:
    """Effects (variant,) of ``n_causal`` variants drawn at random, scaled to explain ``h2``; None = of all.

    All variants have independent effects of variance h2 / p, as the random effect of REML has: then h2 is
    the expected share.
    """
    p = genotype.shape[1]
    if n_causal is None:
        return rng.normal(size=p) * np.sqrt(h2 / p)
    chosen = np.zeros(p)
    chosen[rng.choice(p, n_causal, replace=False)] = rng.normal(size=n_causal)
    return chosen * np.sqrt(h2) / (genotype @ chosen).std()
