"""The spool: records as the scan of the genotype files leaves them, until the build has put them into ``variants``.

It is the group ``spool`` of an unfinished store. Each task of the scan writes one part of it; `Spool` reads the
parts as one list of rows in file order.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from seqstore.genotypes import Record
from seqstore.layout import INDIVIDUALS_IN_CHUNK, SITES_IN_CHUNK, VARIANTS_IN_CHUNK, open_group

_DONE = "summary"
#: Chunks beside their array's metadata, not in folders of their own: all of it is removed before long.
_FLAT: Any = {"name": "default", "separator": "."}


@dataclass(frozen=True)
class Interval:
    """A piece of a genotyped contig, 0-based and half-open, whose records a part of the spool holds."""

    contig: str
    start: int
    stop: int


@dataclass(frozen=True)
class Segment:
    """The rows ``first`` to ``stop_row`` of a part's records, which are those of one interval."""

    part: str
    first: int
    stop_row: int
    contig: str
    start: int
    stop: int


class PartWriter:
    """Writes one part, block by block of records, so that memory does not grow with their number.

    Every writer has a group of its own for the records, and what it has finished becomes the part by one file:
    where a task runs twice, because a worker or the whole build was given up, they do not meet.
    """

    def __init__(self, store: str, name: str, n_individuals: int, *, with_phase: bool) -> None:
        self._part = f"{store}/spool/{name}"
        self._records = uuid.uuid4().hex
        self._group: Any = zarr.create_group(f"{self._part}/{self._records}")
        block = min(INDIVIDUALS_IN_CHUNK, n_individuals)
        self._calls = self._group.create_array(
            "call_genotype",
            shape=(0, n_individuals, 2),
            chunks=(VARIANTS_IN_CHUNK, block, 2),
            dtype="int8",
            chunk_key_encoding=_FLAT,
        )
        self._phased = (
            self._group.create_array(
                "call_genotype_phased",
                shape=(0, n_individuals),
                chunks=(VARIANTS_IN_CHUNK, block),
                dtype="bool",
                chunk_key_encoding=_FLAT,
            )
            if with_phase
            else None
        )
        self._position: list[int] = []
        self._id: list[str] = []
        self._alleles: list[tuple[str, ...]] = []
        self._waiting: list[tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]] = []

    def __len__(self) -> int:
        return len(self._position)

    def add(self, record: Record) -> None:
        """Append one record."""
        self._position.append(record.position)
        self._id.append(record.id)
        self._alleles.append(record.alleles)
        self._waiting.append((record.genotype, record.phased))
        if len(self._waiting) == VARIANTS_IN_CHUNK:
            self._flush()

    def finish(self, intervals: Sequence[tuple[Interval, int]], summary: dict[str, Any]) -> None:
        """Write what is left; ``intervals`` with the number of records of each, ``summary`` for the plan."""
        self._flush()
        n_alleles = max((len(alleles) for alleles in self._alleles), default=1)
        texts = np.full((len(self), n_alleles), "", dtype=object)
        for row, alleles in zip(texts, self._alleles, strict=True):
            row[: len(alleles)] = alleles
        columns: dict[str, Any] = {
            "position": np.array(self._position, dtype=np.int32),
            "ref_length": np.array([len(alleles[0]) for alleles in self._alleles], dtype=np.int32),
            "id": np.array(self._id, dtype=object),
            "allele": texts,
        }
        for name, values in columns.items():
            dtype = str if values.dtype == object else values.dtype
            self._group.create_array(
                name,
                shape=values.shape,
                chunks=(max(len(self), 1), *values.shape[1:]),
                dtype=dtype,
                chunk_key_encoding=_FLAT,
            )[...] = values
        zarr.open_group(
            self._part,
            mode="a",
            zarr_format=3,
            use_consolidated=False,
            attributes={
                "records": self._records,
                "intervals": [asdict(interval) | {"n": n} for interval, n in intervals],
                "n_alleles": n_alleles,
                _DONE: summary,
            },
        )

    def _flush(self) -> None:
        if not self._waiting:
            return
        self._calls.append(np.stack([genotype for genotype, _ in self._waiting]))
        if self._phased is not None:
            self._phased.append(np.stack([phased for _, phased in self._waiting]))
        self._waiting.clear()


def part_summary(store: str, name: str) -> dict[str, Any] | None:
    """The summary of a part that is finished, else None."""
    try:
        summary = open_group(f"{store}/spool/{name}").attrs.get(_DONE)
    except FileNotFoundError:
        return None
    return dict(summary) if isinstance(summary, dict) else None


def part_intervals(store: str, name: str) -> list[Interval]:
    """The intervals of a part that is finished."""
    attributes = open_group(f"{store}/spool/{name}").attrs
    return [
        Interval(interval["contig"], interval["start"], interval["stop"])
        for interval in attributes["intervals"]
    ]


@dataclass(frozen=True)
class Spool:
    """The finished parts of a spool as one list of rows: contigs in the order given, records in file order.

    ``begin`` is the number of its first row: 0, unless it is `only` a piece of another.
    """

    store: str
    segments: tuple[Segment, ...]
    begin: int = 0

    @classmethod
    def of_parts(cls, store: str, names: Iterable[str], contigs: Sequence[str]) -> Spool:
        """Put the parts together."""
        segments = []
        for name in names:
            first, about = 0, dict(open_group(f"{store}/spool/{name}").attrs)
            for interval in about["intervals"]:
                n = interval.pop("n")
                segments.append(
                    Segment(part=f"{name}/{about['records']}", first=first, stop_row=first + n, **interval)
                )
                first += n
        order = {contig: number for number, contig in enumerate(contigs)}
        segments.sort(key=lambda segment: (order[segment.contig], segment.start))
        return cls(store, tuple(segments))

    def only(self, first: int, stop: int) -> Spool:
        """The piece that holds the rows first to stop, under the same numbers: a task is sent no more than it needs."""
        low = int(np.searchsorted(self.offsets, first, side="right")) - 1
        high = max(int(np.searchsorted(self.offsets, stop)), low)
        return Spool(self.store, self.segments[low:high], int(self.offsets[low]))

    def save(
        self,
        rows: npt.NDArray[np.int64],
        block_starts: npt.NDArray[np.int64],
        earlier_rows: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Note which rows become the store's variants, and from which row on each block can be resolved.

        ``earlier_rows`` says which rows these are in an earlier store, -1 = none.
        """
        group = open_group(f"{self.store}/spool", "a")
        ends = rows[np.minimum(np.arange(1, len(block_starts) + 1) * SITES_IN_CHUNK, len(rows)) - 1] + 1
        pieces = [self.only(*edges) for edges in zip(block_starts.tolist(), ends.tolist(), strict=True)]
        columns: dict[str, tuple[npt.NDArray[Any] | None, int]] = {
            "row": (rows, SITES_IN_CHUNK),
            "earlier_row": (earlier_rows, SITES_IN_CHUNK),
            "block_start": (block_starts, len(block_starts)),
            "block_spool": (np.array([_text_of(piece) for piece in pieces], dtype=object), 1),
        }
        for name, (values, chunk) in columns.items():
            if values is None:
                continue
            group.create_array(
                name,
                shape=values.shape,
                chunks=(min(chunk, len(values)),),
                dtype=str if values.dtype == object else "int64",
                chunk_key_encoding=_FLAT,
                overwrite=True,
            )[...] = values

    @classmethod
    def load(cls, store: str, block: int) -> tuple[Spool, npt.NDArray[np.int64], int]:
        """Of a saved spool what one block of variants needs; its rows; the row from which on they can be resolved."""
        group: Any = open_group(f"{store}/spool")
        segments, begin = json.loads(str(group["block_spool"][block]))
        spool = cls(store, tuple(Segment(*segment) for segment in segments), begin)
        rows = np.asarray(group["row"][block * SITES_IN_CHUNK : (block + 1) * SITES_IN_CHUNK])
        return spool, rows, int(group["block_start"][block])

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """The row at which each segment begins, and the one after the last."""
        sizes = [segment.stop_row - segment.first for segment in self.segments]
        return self.begin + np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.offsets[-1]) - self.begin

    @property
    def n_alleles(self) -> int:
        """The largest number of alleles, REF included, of any record."""
        parts = dict.fromkeys(segment.part.partition("/")[0] for segment in self.segments)
        return max(
            (int(open_group(f"{self.store}/spool/{part}").attrs["n_alleles"]) for part in parts), default=2
        )

    def column(self, name: str, first: int | None = None, stop: int | None = None) -> npt.NDArray[Any]:
        """A column (position, ref_length, id or allele) of the rows first to stop."""
        begin, end = self.offsets[[0, -1]].tolist()
        pieces = [
            _column(self.store, segment.part, name)[rows]
            for segment, rows in self._pieces(
                begin if first is None else first, end if stop is None else stop
            )
        ]
        if name == "allele":
            return _padded(pieces)
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int32 if name != "id" else object)

    def contig(self, first: int, stop: int) -> npt.NDArray[np.object_]:
        """The contig of the rows first to stop."""
        names = [
            np.full(rows.stop - rows.start, segment.contig, dtype=object)
            for segment, rows in self._pieces(first, stop)
        ]
        return np.concatenate(names) if names else np.empty(0, dtype=object)

    def calls(self, name: str, first: int, stop: int, people: slice) -> npt.NDArray[Any]:
        """``call_genotype`` or ``call_genotype_phased`` of the rows first to stop and some individuals."""
        pieces = [
            np.asarray(_array(self.store, segment.part, name)[rows, people])
            for segment, rows in self._pieces(first, stop)
        ]
        return np.concatenate(pieces)

    def _pieces(self, first: int, stop: int) -> Iterator[tuple[Segment, slice]]:
        begin = int(np.searchsorted(self.offsets, first, side="right")) - 1
        for number in range(begin, len(self.segments)):
            offset = int(self.offsets[number])
            if offset >= stop:
                return
            segment = self.segments[number]
            low, high = max(first - offset, 0), min(stop, int(self.offsets[number + 1])) - offset
            if low < high:
                yield segment, slice(segment.first + low, segment.first + high)


@lru_cache(maxsize=64)
def _array(store: str, part: str, name: str) -> Any:
    """An array of a part; it stays open, for what is in a finished part does not change."""
    return open_group(f"{store}/spool/{part}")[name]


@lru_cache(maxsize=32)
def _column(store: str, part: str, name: str) -> npt.NDArray[Any]:
    """A column of a part, whole: it is one chunk, and neighbouring genes want rows of the same one."""
    column = np.asarray(_array(store, part, name)[...])
    column.flags.writeable = False
    return column


def _text_of(spool: Spool) -> str:
    return json.dumps([[astuple(segment) for segment in spool.segments], spool.begin])


def _padded(pieces: list[npt.NDArray[Any]]) -> npt.NDArray[np.object_]:
    """Allele texts (row, allele) of several pieces, as wide as the widest."""
    width = max((piece.shape[1] for piece in pieces), default=2)
    padded = np.full((sum(map(len, pieces)), width), "", dtype=object)
    first = 0
    for piece in pieces:
        padded[first : first + len(piece), : piece.shape[1]] = piece
        first += len(piece)
    return padded
