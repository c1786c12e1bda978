"""Reference-genome tracks for training, as ``trainer/convert_tracks.py`` writes them: a Zarr v3 group.

================== ===================== ======= ================================================================
array              dimensions            dtype
================== ===================== ======= ================================================================
sequence           example, byte         uint8   packed as `seqstore.nucleotides.pack` does, 4 bits a base
target             example, bin, track   float16 the bins in the centre of the sequence
split              example               string  train, valid or test
contig, start, end example                       the bases of ``sequence``, 0-based, half-open; past a contig's end N
track              track                 string  identifier; ``track_description`` too
strand_pair        track                 int64   the track of the other strand, itself where that is the same
================== ===================== ======= ================================================================

Attributes are ``species``, ``length`` (bases in a sequence), ``bin_width`` (bases in a bin) and ``source`` (files).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from seqstore.errors import InputError
from seqstore.layout import open_group
from seqstore.nucleotides import stretch
from trainer.choices import chosen
from trainer.converted import DECODING, open_converted
from trainer.shuffled import Numbers
from trainer.tiles import Packed

FORMAT_NAME = "seqstore tracks"
FORMAT_VERSION = 1
#: What a lost chunk of sequence reads as: a byte that no packed sequence has. Of targets it is NaN.
MISSING_BYTE = 255


class Tracks:
    """Windows of the reference genome and their tracks, by the number of the example.

    ``length`` are the bases that the model reads of a window, ``bins`` the targets' and ``tracks`` the names of the
    chosen ones, ``columns`` their numbers among the ``n_stored``; ``bin_width`` in bases, ``species`` as given when
    converting ("" = not given).
    """

    def __init__(
        self,
        path: str | Path,
        *,
        length: int | None = None,
        bins: int | None = None,
        tracks: Sequence[str | int] | None = None,
        margin: int = 0,
    ) -> None:
        """Open a group.

        Args:
            path: the Zarr group
            length: bases of a window, a whole number of bins; by default those that are stored
            bins: at most so many, the ones in the centre; by default all that lie in ``length``
            tracks: names (identifiers, or else descriptions) or numbers; by default all
            margin: further bases on each side of a window, for shifts

        Raises:
            InputError: there are no tracks at ``path``, a track is not among them, or length, bins and margin do
                not go together with what is stored.
        """
        self.path = str(path)
        about = _open(path)
        stored, self.bin_width = int(about.attrs["length"]), int(about.attrs["bin_width"])
        self.species, self.stored_length = str(about.attrs["species"]), stored
        self.length = stored if length is None else length
        self.bins = self._bins(about.sizes["bin"], bins)
        if margin < 0 or margin % 2:
            raise InputError(f"margin: {margin} is not an even number of bases, 0 or more")
        self._span = (stored // 2 - self.length // 2 - margin, self.length + 2 * margin)
        names, descriptions = (about[name].values.tolist() for name in ("track", "track_description"))
        self.columns = chosen(tracks, names, descriptions, what="track", place=self.path)
        self.tracks = [str(names[column]) for column in self.columns]
        self.n_stored = len(names)
        self._pair = about["strand_pair"].values
        self._first_bin = (about.sizes["bin"] - self.bins) // 2
        self._split = about["split"].values.astype(object)
        group = open_group(self.path)
        self._sequence, self._target = group["sequence"], group["target"]

    def _bins(self, stored: int, wanted: int | None) -> int:
        """The number of bins in the centre that both the windows and the targets have."""
        of_window, odd = divmod(self.length, self.bin_width)
        if self.length % 2 or odd or of_window < 1:
            raise InputError(
                f"length: {self.length} bases are not a whole number of the bins of {self.bin_width} of {self.path}"
            )
        if wanted is not None and not 0 < wanted <= of_window:
            raise InputError(f"bins: {wanted}, but a window of {self.length} bases has {of_window}")
        bins = min(stored, of_window if wanted is None else wanted)
        if (stored - bins) % 2 or (of_window - bins) % 2:
            raise InputError(
                f"bins: {bins} have not the centre of the {stored} of {self.path} and the {of_window} of {self.length} "
                "bases; all three are to be even, or odd"
            )
        return bins

    def examples(self, split: str) -> Numbers:
        """The numbers of the examples of a split: train, valid or test.

        Raises:
            InputError: there are none.
        """
        numbers = np.flatnonzero(self._split == split)
        if not len(numbers):
            raise InputError(f"{self.path}: has no examples for {split!r}; it has {self._splits()}")
        return numbers

    def batch(
        self, numbers: npt.NDArray[np.integer], *, reverse: bool = False
    ) -> tuple[Packed, npt.NDArray[np.float32]]:
        """Packed windows (n, (length + 2 margin) // 2) and targets (n, bins, tracks) of some examples.

        Past the ends of what is stored, windows go on with N. With ``reverse`` the targets are those of the other
        strand: bins in the opposite order, and each track that of the other strand. The windows are those of the
        + strand always, as `trainer.onehot.OneHot` takes them.

        Raises:
            InputError: a chunk is missing or damaged.
        """
        columns = self._pair[self.columns] if reverse else self.columns
        last = self._first_bin + self.bins
        windows = np.empty((len(numbers), self._span[1] // 2), dtype=np.uint8)
        targets = np.empty((len(numbers), self.bins, len(columns)), dtype=np.float32)
        for row, number in enumerate(np.asarray(numbers).tolist()):
            packed = self._read(self._sequence, number)
            target = self._read(self._target, number, slice(self._first_bin, last))[:, columns]
            if packed[0] == MISSING_BYTE or np.isnan(target[0, 0]):
                raise InputError(f"{self.path}: chunks of example {number} are missing; convert it again")
            windows[row] = stretch(packed, *self._span)
            targets[row] = target[::-1] if reverse else target
        return windows, targets

    def _read(self, array: Any, *place: Any) -> npt.NDArray[Any]:
        try:
            return np.asarray(array[place])
        except DECODING as error:
            raise InputError(
                f"{self.path}: {array.basename} of example {place[0]} is damaged ({error}); convert it again"
            ) from error

    def _splits(self) -> str:
        names, counts = np.unique(self._split, return_counts=True)
        return ", ".join(f"{n} for {name}" for name, n in zip(names, counts, strict=True))


def _open(path: str | Path) -> xr.Dataset:
    return open_converted(
        path,
        what="tracks",
        format_name=FORMAT_NAME,
        version=FORMAT_VERSION,
        converter="convert_tracks.py",
    )
