"""Dosages (`seqstore.dosage`) as linear models take them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seqstore.errors import InputError


def fill_missing(dosage: npt.NDArray[np.floating], fit: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Dosage (individual, variant) with every missing call replaced by the mean of the ``fit`` individuals.

    A variant that is missing in all of them becomes 0.
    """
    filled = dosage.astype(np.float64)
    known = np.isfinite(filled)
    n = known[fit].sum(axis=0)
    mean = np.where(known, filled, 0.0)[fit].sum(axis=0) / np.maximum(n, 1)
    return np.where(known, filled, mean)


def check_length(length: int | None, stored: int) -> None:
    """Raise an InputError unless ``length`` is an even number of bases within the stored window."""
    if length is not None and (length % 2 or not 0 < length <= stored):
        raise InputError(f"length {length}: give an even number of bases up to the store's {stored}")
