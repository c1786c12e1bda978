"""`HaplotypeReader`: windows straight out of memory-mapped chunk files into a batch buffer, for training.

It reads what ``open_store(path).haplotype_sequence`` reads, without what zarr does for each call: the files stay
mapped, and all windows of a batch are made in one call of compiled code, which holds no lock of Python's.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from seqstore.codec import WindowChunk, WindowCodec
from seqstore.errors import CorruptChunkError, InputError
from seqstore.layout import identity_of, open_group
from seqstore.locations import LocalFiles, is_url, place_of
from seqstore.onehot import Ambiguous, as_integers, byte_table, is_by_bytes
from seqstore.rendering import CLOSED, N_ADDRESSES, OUTSIDE, RENDERED, render
from seqstore.rendering_onehot import render_onehot
from seqstore.store import check_store
from seqstore.threads import Threads

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

PLOIDY = 2
#: Bytes of memory that open chunks may take; then all are closed.
OPEN_BYTES = 256 << 20
#: Of the open chunks so many are mapped, the others read: each map holds a file descriptor, of which a process
#: often has 1,024.
MOST_MAPPED = 128


class HaplotypeReader:
    """Reads windows of a finished store by integer position.

    ``length`` is the bases of a window, ``n_genes`` and ``n_individuals`` the store's sizes. Chunk files are opened
    when they are first needed. A reader may be used by many threads at once, pickled, and carried over a fork.
    """

    def __init__(self, path: str | Path, *, threads: int = 1, cache: str | Path | None = None) -> None:
        """Open a store.

        Args:
            path: its folder or URL
            threads: threads that make the windows of one batch
            cache: folder of this machine that keeps the chunk files read of a store at a URL, for other readers
                and later runs too. By default the one that the environment variable SEQSTORE_CACHE names, or
                else a temporary one of this reader. It takes up what the chunk files of the genes read do.

        Raises:
            InputError: as `seqstore.open_store`.
        """
        self.path = place_of(path)
        if not is_url(self.path):
            self.path = os.path.abspath(self.path)  # wherever the process goes
        attributes = check_store(path)
        self.length = int(attributes["length"])
        self._threads = Threads(threads)
        self._files = LocalFiles(self.path, identity_of(attributes), cache)
        array = open_group(self.path)["haplotype_sequence"]
        if not isinstance(array.serializer, WindowCodec):
            raise InputError(
                f"{path}: was exported with stock codecs; read it with xarray, or read the store itself"
            )
        self.n_genes, self.n_individuals = array.shape[:2]
        self._shape = np.array([self.n_individuals, array.chunks[1], PLOIDY])
        self._open = self._nothing_open()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._open = self._nothing_open()

    def read(
        self,
        genes: npt.ArrayLike,
        individuals: npt.ArrayLike,
        haplotypes: npt.ArrayLike | None = None,
        *,
        out: Bytes | None = None,
    ) -> Bytes:
        """Packed windows (n, 2, length // 2) of n pairs of gene and individual.

        ``genes`` and ``individuals`` are integer arrays (n,) of positions in the store, or one position for all.
        With ``haplotypes`` too, each 0 or 1, they are the windows (n, length // 2) of single haplotypes. One that does
        not exist is all N. They are written to ``out`` if that is given, a C-contiguous array of their shape.

        Raises:
            IndexError: a position is outside the store.
            CorruptChunkError: a chunk file is damaged.
        """
        where, n_windows = _where(genes, individuals, haplotypes)
        n, size = len(where.genes), self.length // 2
        shape = (n, size) if haplotypes is not None else (n, PLOIDY, size)
        if out is None:
            out = np.empty(shape, dtype=np.uint8)
        elif out.shape != shape or out.dtype != np.uint8 or not out.flags.carray:
            raise ValueError(
                f"out: {out.dtype} {out.shape} is not a writeable, C-contiguous uint8 array {shape}"
            )
        windows = out.reshape(n, n_windows, size)

        def make(part: slice) -> None:
            pairs = where.of(part)
            self._render(pairs, lambda chunks: render(chunks, self._shape, *pairs, windows[part]))

        self._threads.run(make, n, windows.nbytes)
        return out

    def one_hot(
        self,
        genes: npt.ArrayLike,
        individuals: npt.ArrayLike,
        haplotypes: npt.ArrayLike | None = None,
        *,
        start: int = 0,
        length: int | None = None,
        reverse: bool = False,
        ambiguous: Ambiguous = "zero",
        dtype: npt.DTypeLike | Literal["bfloat16"] = np.float32,
        out: npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[Any]:
        """One-hot matrices (n, 2, length, 4), A C G T, of n pairs of gene and individual, for work on a CPU.

        Which windows, and what is raised, is as for `read`; which of their bases and how, as for
        `seqstore.onehot.one_hot`. They are written to ``out`` if that is given, a C-contiguous array of their shape
        and of ``dtype``.
        """
        where, n_windows = _where(genes, individuals, haplotypes)
        n = len(where.genes)
        length = self.length - start if length is None else length
        shape = (n, length, 4) if haplotypes is not None else (n, PLOIDY, length, 4)
        table = byte_table(ambiguous, dtype)
        if out is None:
            out = np.empty(shape, dtype=table.dtype)
        elif out.shape != shape or out.dtype != table.dtype or not out.flags.carray:
            raise ValueError(
                f"out: {out.dtype} {out.shape} is not a writeable, C-contiguous {table.dtype} array {shape}"
            )
        rows, numbers = as_integers(table), as_integers(out).reshape(n * n_windows, 4 * length)
        span = self.length // 2, start, reverse, ambiguous == "zero", is_by_bytes(rows, ambiguous)

        def make(part: slice) -> None:
            pairs = where.of(part)
            mine = numbers[n_windows * part.start : n_windows * part.stop]
            self._render(pairs, lambda chunks: render_onehot(chunks, self._shape, *pairs, span, rows, mine))

        self._threads.run(make, n, numbers.nbytes)
        return out

    def haplotype_id(self, gene: int) -> npt.NDArray[np.int32]:
        """Which distinct window each haplotype of a gene is: (individual, 2), -1 = no such haplotype."""
        ids = open_group(self.path)["haplotype_id"]
        return np.asarray(ids[gene], dtype=np.int32)

    def distinct(self, gene: int) -> Bytes:
        """The distinct windows of a gene (n_distinct, length // 2), in the order of `haplotype_id`."""
        distinct, first = np.unique(self.haplotype_id(gene).ravel(), return_index=True)
        return self.read(gene, *np.divmod(first[distinct >= 0], PLOIDY))

    def _render(self, where: _Pairs, make: Callable[[Ints], tuple[int, int]]) -> None:
        """Have ``make`` make windows out of chunks by their addresses, and open those that are not open yet."""
        opened = self._open
        genes, individuals, haplotypes = where
        while (result := make(opened.addresses))[0] == CLOSED:
            blocks = individuals // self._shape[1]
            wanted = np.unique(np.stack([genes, blocks])[:, opened.addresses[genes, blocks, 0] == 0], axis=1)
            keys = list(zip(*wanted.tolist(), strict=True))
            self._files.fetch([_name_of_chunk(*key) for key in keys])  # side by side, if from afar
            for key in keys:
                opened.add(key, self._chunk(*key, mapped=len(opened) < MOST_MAPPED))
        if opened.n_bytes > OPEN_BYTES:  # whoever uses them still has them
            self._open = self._nothing_open()
        what, number = result
        if what != RENDERED:
            gene, individual, haplotype = (int(at[number]) for at in (genes, individuals, haplotypes))
            if what == OUTSIDE:
                raise IndexError(
                    f"gene {gene}, individual {individual}, haplotype {haplotype} of a store with {self.n_genes}, "
                    f"{self.n_individuals}, {PLOIDY}"
                )
            path = self._files.path(_name_of_chunk(gene, individual // int(self._shape[1])))
            raise CorruptChunkError(f"{path}: the edits of individual {individual} make no window")

    def _chunk(self, gene: int, block: int, *, mapped: bool) -> WindowChunk:
        """A chunk, with what `render` needs of it; in its mapped file or in memory."""
        name = _name_of_chunk(gene, block)
        try:
            return self._chunk_of(name, mapped)
        except CorruptChunkError:
            if not self._files.are_copies:
                raise
        self._files.fetch([name], anew=True)  # the copy may be what is damaged
        return self._chunk_of(name, mapped)

    def _chunk_of(self, name: str, mapped: bool) -> WindowChunk:
        path = self._files.path(name)
        try:
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else file.read()
        except FileNotFoundError:
            raise CorruptChunkError(
                f"{self.path}/{name}: this chunk file of the store is missing; take it from a copy, or "
                "remove the store and build it again"
            ) from None
        except ValueError:  # an empty file has no map
            content = b""
        try:
            chunk = WindowChunk(memoryview(content))
            _ = chunk.rendering
        except CorruptChunkError as error:
            raise CorruptChunkError(f"{path}: {error}") from error
        if (chunk.windows_a_row, chunk.window_bytes) != (
            PLOIDY,
            self.length // 2,
        ) or chunk.n_rows < self._shape[1]:
            raise CorruptChunkError(f"{path}: is no chunk of this store")
        return chunk

    def _nothing_open(self) -> _OpenChunks:
        return _OpenChunks(self.n_genes, -(-self.n_individuals // int(self._shape[1])))


class _Pairs(NamedTuple):
    """Pairs of gene and individual, and the first of the haplotypes wanted of each: (n,) each."""

    genes: Ints
    individuals: Ints
    haplotypes: Ints

    def of(self, part: slice) -> _Pairs:
        """Some of them."""
        return _Pairs(self.genes[part], self.individuals[part], self.haplotypes[part])


class _OpenChunks:
    """Chunks in memory.

    Threads add to it without a lock: at worst a chunk is opened twice, and both stay.
    """

    def __init__(self, n_genes: int, n_blocks: int) -> None:
        self.addresses = np.zeros((n_genes, n_blocks, N_ADDRESSES), dtype=np.int64)
        self.n_bytes = 0
        self._chunks: list[WindowChunk] = []

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, key: tuple[int, int], chunk: WindowChunk) -> None:
        """Keep a chunk, under its gene and block."""
        rendering = chunk.rendering
        self._chunks.append(chunk)
        self.n_bytes += rendering.n_bytes
        self.addresses[key][1:] = rendering.addresses[1:]
        self.addresses[key][0] = rendering.addresses[0]  # last: this one says that it is there


def _where(
    genes: npt.ArrayLike, individuals: npt.ArrayLike, haplotypes: npt.ArrayLike | None
) -> tuple[_Pairs, int]:
    """The pairs that positions, as of `HaplotypeReader.read`, stand for, and how many windows each of them is."""
    at = {"genes": genes, "individuals": individuals, "haplotypes": 0 if haplotypes is None else haplotypes}
    given = [_positions(name, positions) for name, positions in at.items()]
    n = max((len(positions) for positions in given if positions.ndim), default=1)
    if any(positions.ndim and len(positions) != n for positions in given):
        lengths = ", ".join(str(len(positions)) for positions in given if positions.ndim)
        raise ValueError(f"{lengths} positions do not go together")
    where = _Pairs(*(positions if positions.ndim else np.full(n, positions) for positions in given))
    return where, PLOIDY if haplotypes is None else 1


def _positions(name: str, at: npt.ArrayLike) -> Ints:
    positions = np.asarray(at)
    if positions.ndim > 1:
        raise ValueError(f"{name}: {positions.shape} is not (n,)")
    if positions.dtype.kind not in "iu" and positions.size:
        raise TypeError(
            f"{name}: are integer positions; look labels up with store.get_index({name.removesuffix('s')!r})"
            ".get_indexer(...)"
        )
    return positions.astype(np.int64, copy=False)


def _name_of_chunk(gene: int, block: int) -> str:
    return f"haplotype_sequence/c/{gene}/{block}/0/0"
