"""Embeddings of windows, computed once by a frozen trunk and kept in a Zarr group (`trainer/embed.py` writes it).

::

    embedding (window, strand, bin, channel)   of the centre bins of every distinct window, + strand first
    window_of (gene, individual, haplotype)    which of its gene's windows each haplotype is, -1 = no such haplotype
    first, stop (gene)                         the rows of a gene's windows
    done (gene)                                while it is being written: which genes are there

and beside them, in ``after.safetensors``, the weights of what the trunk does behind the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from seqstore.errors import InputError
from trainer.tiles import Packed, Span

AFTER = "after.safetensors"
#: Windows of one chunk, in which a gene begins.
WINDOWS_IN_CHUNK = 8


class Embeddings:
    """Embeddings of windows as if they were the windows: what `trainer.crops.Crops` offers, of other bytes.

    ``bins`` and ``channels`` are those of an embedding, ``attributes`` says what it was computed from.
    """

    def __init__(self, path: str | Path) -> None:
        """Open embeddings.

        Raises:
            InputError: there are none, or they are not finished.
        """
        self.path = Path(path)
        if not (self.path / "zarr.json").is_file():
            raise InputError(f"{path}: no embeddings here; make them with trainer/embed.py")
        group: Any = zarr.open_group(self.path, mode="r", use_consolidated=False)
        self.attributes: Mapping[str, Any] = dict(group.attrs)
        if self.attributes.get("status") != "complete":
            raise InputError(f"{path}: its embeddings are unfinished; run the same trainer/embed.py again")
        self._array = group["embedding"]
        self.bins, self.channels = (int(n) for n in self._array.shape[2:])
        self.dtype = np.dtype(self._array.dtype)
        self._window_of = group["window_of"]
        self._first = np.asarray(group["first"][:])
        self._stop = np.asarray(group["stop"][:])

    def check(self, *, store: str, fingerprint: str, context: int, ambiguous: str) -> None:
        """Refuse to stand in for windows of another store, context or rendering.

        Raises:
            InputError: these are others.
        """
        if self.attributes["store_fingerprint"] != fingerprint:
            raise InputError(
                f"{self.path}: was not computed for {store}, but another store; run trainer/embed.py for it"
            )
        for key, value in (("context", context), ("ambiguous", ambiguous)):
            if self.attributes[key] != value:
                raise InputError(f"{self.path}: was computed with {key} {self.attributes[key]}, not {value}")

    def check_genes(self, genes: npt.NDArray[np.integer], labels: npt.NDArray[np.object_]) -> None:
        """Refuse genes that have no embeddings.

        Raises:
            InputError: one has none.
        """
        lacking = [gene for gene in genes.tolist() if self._stop[gene] == 0]
        if lacking:
            raise InputError(
                f"{self.path}: has no embeddings of {len(lacking)} genes ({labels[lacking[0]]}, ...); run "
                "trainer/embed.py for all genes of the split"
            )

    def ids(self, gene: int) -> npt.NDArray[np.int32]:
        """Which of its gene's windows each haplotype is: (individual, 2), -1 = no such haplotype."""
        return np.asarray(self._window_of[gene], dtype=np.int32)

    def windows(self, gene: int, ids: npt.NDArray[np.integer]) -> Packed:
        """The embeddings (n, bytes) of both strands of a gene's windows with these ids (n,)."""
        first, stop = int(self._first[gene]), int(self._stop[gene])
        rows = self._array[first:stop] if 4 * len(ids) > stop - first else None
        chosen = self._array.oindex[first + np.asarray(ids)] if rows is None else rows[ids]
        row = int(np.prod(self._array.shape[1:]))
        return np.ascontiguousarray(chosen).reshape(len(ids), row).view(np.uint8)

    def span(self, shift: int = 0) -> Span:
        """All of it: embeddings cannot be shifted."""
        assert shift == 0
        return Span(0, 0)
