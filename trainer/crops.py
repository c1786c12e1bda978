"""The distinct centre crops of a store's windows: what a model has to run on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from seqstore.reader import HaplotypeReader
from trainer.tiles import Packed, distinct, shift


class Crops:
    """Centre crops to ``context`` bases of the windows of some genes.

    A crop has fewer distinct windows than the store: they are counted anew from the cropped bytes.
    Windows are read from the store when asked for; what is kept is which crop each haplotype is.
    """

    def __init__(self, reader: HaplotypeReader, context: int, genes: Iterable[int]) -> None:
        self._reader = reader
        self._start = reader.length // 2 - context // 2
        self._n_bytes = context // 2
        self._ids: dict[int, npt.NDArray[np.int32]] = {}
        self._homes: dict[int, npt.NDArray[np.int64]] = {}
        for gene in genes:
            stored = reader.haplotype_id(gene)
            first, crop_of_window = distinct(self._crop(reader.distinct(gene)))
            # The last entry is for id -1, a haplotype that does not exist.
            self._ids[gene] = np.append(crop_of_window, -1).astype(np.int32)[stored]
            window, place = np.unique(stored.ravel(), return_index=True)
            self._homes[gene] = place[window >= 0][first]

    def ids(self, gene: int) -> npt.NDArray[np.int32]:
        """Which distinct crop each haplotype of a gene is: (individual, 2), -1 = no such haplotype."""
        return self._ids[gene]

    def windows(self, gene: int, ids: npt.NDArray[np.integer]) -> Packed:
        """The packed crops (n, context // 2) of a gene with these ids (n,)."""
        individual, haplotype = np.divmod(self._homes[gene][ids], 2)
        pairs = self._reader.read(np.full(len(individual), gene), individual)
        return self._crop(pairs[np.arange(len(individual)), haplotype])

    def _crop(self, windows: Packed) -> Packed:
        first = self._start // 2
        return shift(windows, -(self._start % 2))[:, first : first + self._n_bytes]
