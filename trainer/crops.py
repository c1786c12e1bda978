"""The distinct centre crops of a store's windows: what a model has to run on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seqstore.nucleotides import stretch
from seqstore.reader import HaplotypeReader
from trainer.tiles import Packed, Span, distinct


class Windows(Protocol):
    """What of a store's windows the loop reads, gene by gene: bytes that a model takes, numbered."""

    def ids(self, gene: int) -> npt.NDArray[np.int32]:
        """Which distinct window each haplotype of a gene is: (individual, 2), -1 = no such haplotype."""
        ...

    def windows(self, gene: int, ids: npt.NDArray[np.integer]) -> Packed:
        """The windows (n, bytes) of a gene with these ids (n,)."""
        ...

    def span(self, shift: int = 0) -> Span:
        """What of a window the model reads, if that is moved right by some bases."""
        ...


class Crops:
    """Centre crops to ``context`` bases, with ``margin`` more on each side, of the windows of some genes.

    Where the store's windows end, a crop goes on with N. A crop has fewer distinct windows than the store: they are
    counted anew from the cropped bytes. Windows are read from the store when asked for; what is kept is which crop
    each haplotype is.
    """

    def __init__(self, reader: HaplotypeReader, context: int, genes: Iterable[int], margin: int = 0) -> None:
        self.context = context
        self.margin = margin
        self._reader = reader
        self._span = (reader.length // 2 - context // 2 - margin, context + 2 * margin)
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
        """The packed crops (n, context // 2 + margin) of a gene with these ids (n,)."""
        return self._crop(self._reader.read(gene, *np.divmod(self._homes[gene][ids], 2)))

    def span(self, shift: int = 0) -> Span:
        """Where in a crop the model's window is, if that is moved right by some bases."""
        return Span(self.margin - shift, self.context)

    def _crop(self, windows: Packed) -> Packed:
        return stretch(windows, *self._span)
