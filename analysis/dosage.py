"""Dosages (`seqstore.dosage`) as linear models take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from analysis.labels import labels_of, unknown
from seqstore.dosage import dosage_of
from seqstore.errors import InputError

BYTES_AT_ONCE = 2**26  # of calls that are read together


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


def dosages_of(
    variants: xr.Dataset, genes: Sequence[str], *, length: int | None = None
) -> Iterator[tuple[str, xr.Dataset]]:
    """Each gene with its dosages (``seqstore.dosage.dosage_of``), in the order of their variants.

    Windows share chunks of the store, and neighbours share variants: variants are read once, about
    ``BYTES_AT_ONCE`` of calls at a time, which takes a fraction of the time of a window at a time.

    Args:
        variants: the store's variants (``open_variants``).
        genes: labels of genes.
        length: bases of a narrower window round the TSS; default the window as built.

    Raises:
        InputError: the variants are not those of a gene.
    """
    sides = ("gene_variant_start", "gene_variant_stop")
    starts, stops = (variants[side].values.astype(np.int64) for side in sides)
    names = labels_of(variants, "gene")
    number_of = {name: number for number, name in enumerate(names)}
    absent = [gene for gene in genes if gene not in number_of]
    if absent:
        raise unknown("gene", absent[0], names)
    numbers = np.array([number_of[gene] for gene in genes], dtype=np.int64)
    numbers = numbers[np.lexsort((stops[numbers], starts[numbers]))]
    at_once = BYTES_AT_ONCE // (4 * max(1, variants.sizes["individual"]))  # two alleles: called, skipped
    variants.coords.to_dataset().load()  # once, not with every block
    first, last = 0, -1
    for place, number in enumerate(numbers):
        if stops[number] > last:
            first, last = starts[number], stops[number]
            for stop in stops[numbers[place:]]:
                if stop - first > at_once:
                    break
                last = max(last, stop)
            block = variants.isel(variant=slice(first, last)).load()
            block = block.assign({side: block[side] - first for side in sides})
        yield names[number], dosage_of(block, names[number], length=length)
