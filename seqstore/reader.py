"""`HaplotypeReader`: windows straight out of memory-mapped chunk files, for training.

It reads what ``open_store(path).haplotype_sequence`` reads, without zarr's overhead a call: the files are
mapped, and only the frames of the individuals asked for are decoded.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seqstore.codec import ChunkDecoder, CorruptChunkError
from seqstore.errors import InputError
from seqstore.layout import identity_of, open_group
from seqstore.locations import LocalFiles, place_of
from seqstore.store import check_store

#: Chunks kept open. An open chunk costs its decoded dictionary (a window, twice) and a mapping.
OPEN_CHUNKS = 1024


class HaplotypeReader:
    """Reads windows of a finished store by integer position.

    ``length`` is the bases of a window, ``n_genes`` and ``n_individuals`` the store's sizes. A reader
    can be pickled; each process opens the files anew.
    """

    def __init__(self, path: str | Path, *, cache: str | Path | None = None) -> None:
        """Open a store.

        Args:
            path: its folder or URL
            cache: folder of this machine that keeps the chunk files read of a store at a URL, for other readers
                and later runs too. By default the one that the environment variable SEQSTORE_CACHE names, or
                else a temporary one of this reader. It takes up what the chunk files of the genes read do.

        Raises:
            InputError: as `seqstore.open_store`.
        """
        self.path = place_of(path)
        attributes = check_store(path)
        self.length = int(attributes["length"])
        self._files = LocalFiles(self.path, identity_of(attributes), cache)
        array = open_group(self.path)["haplotype_sequence"]
        self.n_genes, self.n_individuals = array.shape[:2]
        self._block = array.chunks[1]
        self._open: OrderedDict[tuple[int, int], tuple[ChunkDecoder, memoryview]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}

    def read(self, genes: npt.ArrayLike, individuals: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Packed windows (n, 2, length // 2) of n pairs of gene and individual.

        ``genes`` and ``individuals`` are integer arrays (n,) of positions in the store.

        Raises:
            IndexError: a position is outside the store.
            CorruptChunkError: a chunk file is damaged.
        """
        genes, individuals = np.asarray(genes), np.asarray(individuals)
        if genes.ndim != 1 or genes.shape != individuals.shape:
            raise ValueError(f"genes {genes.shape} and individuals {individuals.shape} must be (n,) both")
        if len(genes) and not (genes.dtype.kind in "iu" and individuals.dtype.kind in "iu"):
            raise TypeError("genes and individuals are integer positions; look labels up with get_indexer")
        for name, positions, n in (
            ("gene", genes, self.n_genes),
            ("individual", individuals, self.n_individuals),
        ):
            if len(positions) and not (0 <= positions.min() and positions.max() < n):
                raise IndexError(f"{name} {positions.min()} to {positions.max()} of a store with {n}")
        out = np.empty((len(genes), 2, self.length // 2), dtype=np.uint8)
        rows = out.reshape(len(genes), self.length)
        if self._files.are_copies:  # get them side by side, not one after the other
            wanted = set(zip(genes.tolist(), (individuals // self._block).tolist(), strict=True))
            self._files.fetch([_name_of_chunk(*key) for key in sorted(wanted - self._open.keys())])
        for row, gene, individual in zip(rows, genes.tolist(), individuals.tolist(), strict=True):
            block, place = divmod(individual, self._block)
            decoder, frames = self._chunk(gene, block)
            try:
                decoder.decode_into(place, frames[decoder.ends[place] : decoder.ends[place + 1]], row)
            except CorruptChunkError as error:
                raise CorruptChunkError(f"{self._chunk_path(gene, block)}: {error}") from error
        return out

    def haplotype_id(self, gene: int) -> npt.NDArray[np.int32]:
        """Which distinct window each haplotype of a gene is: (individual, 2), -1 = no such haplotype."""
        ids = open_group(self.path)["haplotype_id"]
        return np.asarray(ids[gene], dtype=np.int32)

    def distinct(self, gene: int) -> npt.NDArray[np.uint8]:
        """The distinct windows of a gene (n_distinct, length // 2), in the order of `haplotype_id`."""
        ids = self.haplotype_id(gene)
        distinct, first = np.unique(ids.ravel(), return_index=True)
        individual, haplotype = np.divmod(first[distinct >= 0], 2)
        windows = self.read(np.full(len(individual), gene), individual)
        return windows[np.arange(len(individual)), haplotype]

    def _chunk(self, gene: int, block: int) -> tuple[ChunkDecoder, memoryview]:
        """The decoder and the mapped frames of a chunk file."""
        key = (gene, block)
        if key not in self._open:
            path = self._chunk_path(gene, block)
            try:
                with path.open("rb") as file:
                    mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                decoder = ChunkDecoder(mapped)
            except (CorruptChunkError, ValueError) as error:
                raise CorruptChunkError(f"{path}: {error}") from error
            except FileNotFoundError:
                raise InputError(
                    f"{self.path}/{_name_of_chunk(*key)}: this chunk file of the store is missing; build it again"
                ) from None
            if len(mapped) != decoder.n_head + decoder.ends[-1]:
                raise CorruptChunkError(
                    f"{path}: {len(mapped)} bytes, not {decoder.n_head + decoder.ends[-1]}"
                )
            self._open[key] = decoder, mapped[decoder.n_head :]
            if len(self._open) > OPEN_CHUNKS:
                self._open.popitem(last=False)
        return self._open[key]

    def _chunk_path(self, gene: int, block: int) -> Path:
        return self._files.path(_name_of_chunk(gene, block))


def _name_of_chunk(gene: int, block: int) -> str:
    return f"haplotype_sequence/c/{gene}/{block}/0/0"
