"""MPRA variant effects for training, as ``trainer/convert_mpra.py`` writes them (`trainer.mpra_tables.as_dataset`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from seqstore.errors import InputError
from seqstore.nucleotides import stretch
from trainer.choices import chosen
from trainer.converted import DECODING, open_converted
from trainer.mpra_tables import FORMAT_NAME, FORMAT_VERSION, checksum
from trainer.shuffled import Numbers
from trainer.tiles import Packed


class VariantEffects:
    """Pairs of short sequences, and how much the second one is more active, by the number of the variant.

    ``length`` are the bases that the model reads of a sequence: those of the assay with as many N on each side as
    make them a whole number of bins, which are ``bins``; ``cells`` the names of the chosen cell types. All of it is
    kept in memory: some 250 bytes a variant.
    """

    def __init__(
        self, path: str | Path, *, bin_width: int, cells: Sequence[str | int] | None = None, margin: int = 0
    ) -> None:
        """Read a group.

        Args:
            path: the Zarr group
            bin_width: bases in a bin of the model, an even number (Enformer: 128)
            cells: names or numbers of cell types; by default all
            margin: further N on each side, for shifts

        Raises:
            InputError: there are no variant effects at ``path``, or a cell type is not among them.
        """
        self.path = str(path)
        if bin_width < 2 or bin_width % 2 or margin < 0 or margin % 2:
            raise InputError(
                f"bin_width, margin: {bin_width} and {margin} bases are to be even numbers, the first above 0"
            )
        with _open(path) as unread:
            group = _loaded(unread, self.path)
            names = group["cell"].values.tolist()
            columns = chosen(cells, names, what="cell type", place=self.path)
            self.cells = [str(names[column]) for column in columns]
            stored = int(group.attrs["length"])
            self._split = group["split"].values.astype(object)
            self._ref, self._alt = group["ref_sequence"].values, group["alt_sequence"].values
            self._effect = group["effect"].values[:, columns]
        self.bins = -(-stored // bin_width)
        self.length = self.bins * bin_width
        self._span = (stored // 2 - self.length // 2 - margin, self.length + 2 * margin)

    def examples(self, split: str) -> Numbers:
        """The numbers of the variants of a split (train, valid, test) with an effect in a chosen cell type.

        Raises:
            InputError: there are none.
        """
        numbers = np.flatnonzero((self._split == split) & ~np.isnan(self._effect).all(axis=1))
        if not len(numbers):
            known = ", ".join(np.unique(self._split).tolist())
            raise InputError(
                f"{self.path}: has no variants with effects in {', '.join(self.cells)} for {split!r}; its splits are "
                f"{known}"
            )
        return numbers

    def n_known(self, numbers: npt.NDArray[np.integer]) -> int:
        """How many effects of some variants are measured."""
        return int(np.isfinite(self._effect[numbers]).sum())

    def batch(self, numbers: npt.NDArray[np.integer]) -> tuple[Packed, Packed, npt.NDArray[np.float32]]:
        """Packed reference and alternative sequences (n, (length + 2 margin) // 2), and effects (n, cells).

        An effect is that of the alternative sequence over the reference one, NaN = not measured. It is the same on
        both strands.
        """
        return (
            stretch(self._ref[numbers], *self._span),
            stretch(self._alt[numbers], *self._span),
            self._effect[numbers],
        )


def _loaded(group: xr.Dataset, path: str) -> xr.Dataset:
    """All of a group in memory."""
    try:
        loaded = group.load()
    except DECODING as error:
        raise InputError(f"{path}: is damaged ({error}); convert the tables again") from error
    if checksum(loaded) != loaded.attrs["sha256"]:
        raise InputError(f"{path}: files of it are missing or changed; convert the tables again")
    return loaded


def _open(path: str | Path) -> xr.Dataset:
    return open_converted(
        path,
        what="variant effects",
        format_name=FORMAT_NAME,
        version=FORMAT_VERSION,
        converter="convert_mpra.py",
    )
