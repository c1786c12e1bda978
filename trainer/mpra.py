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
from trainer.mpra_tables import FORMAT_NAME, FORMAT_VERSION, checksum
from trainer.shuffled import Numbers, Shuffled
from trainer.tiles import Packed

#: What zarr and its codecs raise where something cannot be decoded.
_DECODING = (OSError, ValueError, TypeError, KeyError, RuntimeError)


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

    def shuffled(self, split: str, *, per_step: int, seed: int) -> Shuffled:
        """The variants of a split in random order, ``per_step`` a step, each once an epoch.

        Raises:
            InputError: there are none.
        """
        return Shuffled(self.examples(split), per_step=per_step, seed=seed)

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
    except _DECODING as error:
        raise InputError(f"{path}: is damaged ({error}); convert the tables again") from error
    if checksum(loaded) != loaded.attrs["sha256"]:
        raise InputError(f"{path}: files of it are missing or changed; convert the tables again")
    return loaded


def _open(path: str | Path) -> xr.Dataset:
    try:
        group: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no variant effects here (a Zarr group that convert_mpra.py wrote)"
        ) from None
    except _DECODING as error:
        raise InputError(f"{path}: cannot be opened as a Zarr group of convert_mpra.py ({error})") from error
    if group.attrs.get("format") != FORMAT_NAME:
        raise InputError(f"{path}: is no group of variant effects; write one with trainer/convert_mpra.py")
    if group.attrs.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: has format version {group.attrs.get('format_version')}, this is {FORMAT_VERSION}; convert it "
            "again, or upgrade seqstore"
        )
    return group
