"""Genotype files whose records are numbered rows: no index is needed to find them, positions are in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from seqstore.genotypes import Record, check_alleles


@dataclass(frozen=True)
class Rows:
    """Consecutive records as arrays.

    ``position`` (row,) 1-based, ``id``, ``alleles`` and ``filters`` (row,) as in `Record`; ``genotype``
    (row, individual, 2) of any integer type, ``phased`` (row, individual), and ``phase_set`` (row, individual)
    if the file has phase sets.
    """

    position: Sequence[int]
    id: Sequence[str]
    alleles: Sequence[tuple[str, ...]]
    filters: Sequence[tuple[str, ...]]
    genotype: npt.NDArray[np.integer]
    phased: npt.NDArray[np.bool_]
    phase_set: npt.NDArray[np.integer] | None = None


class ContigRows:
    """The rows of one contig: ``first`` is the number of the first of them.

    ``position`` (row,) 1-based, must not fall (a ValueError says where it does); ``ref_lengths`` gives
    (row,) the bases of the REF alleles when they are first asked for.
    """

    def __init__(
        self,
        first: int,
        position: npt.NDArray[np.integer],
        ref_lengths: Callable[[], npt.NDArray[np.integer]],
    ) -> None:
        falls = np.flatnonzero(position[1:] < position[:-1])
        if len(falls):
            before = int(falls[0])
            raise ValueError(f"POS {position[before + 1]} comes after {position[before]}")
        self._first, self._position, self._ref_lengths = first, position, ref_lengths

    def rows(self, start: int, stop: int) -> range:
        """The rows whose POS lies in a 0-based, half-open region."""
        begin, end = np.searchsorted(self._position, [start + 1, stop + 1])
        return range(self._first + int(begin), self._first + int(end))

    def span(self) -> tuple[int, int]:
        """First and last POS."""
        return int(self._position[0]), int(self._position[-1])

    def first_reaching(self, position: int) -> int:
        """See `GenotypeSource.first_reaching`."""
        while True:
            row = int(np.searchsorted(self._reached, position, side="right"))  # the first that gets past it
            if row == len(self._position) or self._position[row] - 1 >= position:
                return position
            position = int(self._position[row]) - 1

    @cached_property
    def _reached(self) -> npt.NDArray[np.int64]:
        """The furthest end (0-based, excluded) of the REF alleles of each row and those before it."""
        return np.maximum.accumulate(self._position.astype(np.int64) - 1 + self._ref_lengths())


@dataclass(frozen=True, kw_only=True)
class RowSource(ABC):
    """One file of numbered records. See `seqstore.genotypes.GenotypeSource` for what it does.

    ``columns``: which individuals of the file, None = all.
    """

    path: str
    individuals: tuple[str, ...]
    contigs: tuple[str, ...]
    columns: tuple[int, ...] | None = None

    @property
    def paths(self) -> list[str]:
        """Every file that the records come from."""
        return [self.path]

    def path_of(self, contig: str) -> str:
        """The file that holds the calls."""
        return self.path

    def subset(self, labels: Sequence[str]) -> Self:
        """The same genotypes of some individuals only, in the order given."""
        columns = self.columns or range(len(self.individuals))
        column_of = dict(zip(self.individuals, columns, strict=True))
        return replace(self, individuals=tuple(labels), columns=tuple(column_of[label] for label in labels))

    def records(self, contig: str, start: int, stop: int) -> Iterator[Record]:
        """See `GenotypeSource.records`."""
        wanted, step = self._rows_of(contig).rows(start, stop), self._rows_at_once()
        if not wanted:
            return
        for begin in range(wanted.start // step * step, wanted.stop, step):
            rows = self._read(range(max(begin, wanted.start), min(begin + step, wanted.stop)))
            largest = rows.genotype.max(axis=(1, 2)).tolist()
            for position, alleles, allele in zip(rows.position, rows.alleles, largest, strict=True):
                check_alleles(len(alleles), allele, f"{self.path}: {contig}:{position}")
            phase_sets = [None] * len(rows.phased) if rows.phase_set is None else rows.phase_set
            calls = zip(rows.genotype.astype(np.int8), rows.phased, phase_sets, strict=True)
            fields = zip(rows.position, rows.id, rows.alleles, rows.filters, strict=True)
            for of_site, of_calls in zip(fields, calls, strict=True):
                yield Record(contig, *of_site, *of_calls)

    def span(self, contig: str) -> tuple[int, int]:
        """First and last POS of a contig's records (1-based, both included)."""
        return self._rows_of(contig).span()

    def first_reaching(self, contig: str, position: int) -> int:
        """See `GenotypeSource.first_reaching`."""
        return self._rows_of(contig).first_reaching(position)

    @abstractmethod
    def _rows_of(self, contig: str) -> ContigRows:
        """The rows of a contig."""

    @abstractmethod
    def _rows_at_once(self) -> int:
        """How many rows are best read together; reads do not cross multiples of it."""

    @abstractmethod
    def _read(self, rows: range) -> Rows:
        """Rows of the file, with the wanted individuals in the wanted order."""
