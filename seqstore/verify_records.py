"""The records of a store, compared with those of its genotype files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from seqstore.config import BuildConfig
from seqstore.findings import Findings
from seqstore.genotypes import ABSENT, MISSING, GenotypeSource
from seqstore.slow_consensus import Call, RecordReader, SlowRecord, is_of_store
from seqstore.store_arrays import StoreArrays

CONTIG, POSITION, ID, ALLELE = SITES = tuple(
    f"variants/variant_{name}" for name in ("contig", "position", "id", "allele")
)
GENOTYPE, _PHASED = "variants/call_genotype", "variants/call_genotype_phased"

_Site = tuple[int, str, tuple[str, ...]]  # POS, ID and alleles


@dataclass(frozen=True)
class GenotypeFile:
    """A genotype file that is as it was: how its records are read here, the build's own reader, and the path
    by which bcftools reads it (None if it cannot)."""

    reader: RecordReader
    source: GenotypeSource
    path: str | None


@dataclass(frozen=True)
class RecordCheck:
    """Compares records of a store with its genotype files ``file_of``, by contig."""

    arrays: StoreArrays
    config: BuildConfig
    file_of: Mapping[str, GenotypeFile]
    findings: Findings

    def check_covered(self) -> None:
        """Compare the share of each window within the span of its contig's records."""
        arrays, n = self.arrays, 0
        if not arrays.can_read("covered", "window_start", "genotype_contig"):
            self.findings.leave_out("covered: it or an array that it follows from cannot be relied on")
            return
        length = int(arrays.attributes["length"])
        spans = {contig: file.source.span(contig) for contig, file in self.file_of.items()}
        columns = (arrays.read(name).tolist() for name in ("genotype_contig", "window_start", "covered"))
        for label, contig, start, stored in zip(arrays.genes, *columns, strict=True):
            if contig not in spans:
                continue
            first, last = spans[contig]
            inside = range(max(start, first - 1), min(start + length, last))
            share = np.float32(len(inside) / length)
            if share != np.float32(stored):
                says = f"is {stored:g}, but {share:g} of the window are within the records' span"
                self.findings.differ("covered", says, gene=label)
            n += 1
        self.findings.compared("covered of genes", n, "the first and last record of their contigs")

    def check_random(self, n: int, rng: np.random.Generator) -> None:
        """Compare ``n`` random records, with the calls of everyone."""
        arrays = self.arrays
        if not arrays.can_read(*SITES, GENOTYPE, "individual"):
            self.findings.leave_out("random records: an array that they need cannot be relied on")
            return
        contig, position = arrays.read(CONTIG), arrays.read(POSITION)
        rows_of = {name: np.flatnonzero(contig == name) for name in self.file_of}
        rows = np.concatenate([np.empty(0, dtype=np.int64), *rows_of.values()])
        chosen = np.sort(rng.permutation(rows)[:n]).tolist()
        places = dict.fromkeys((str(contig[row]), int(position[row])) for row in chosen)
        n_records = 0
        for name, pos in tqdm(places, desc="random records", disable=None):
            here = rows_of[name][position[rows_of[name]] == pos]
            found = self.records_of(name, pos - 1, pos, arrays.individuals)
            found = [record for record in found if record.start == pos - 1]
            self.are_same(slice(here[0], here[-1] + 1), found, range(len(arrays.individuals)))
            n_records += len(here)
        self.findings.compared("random records, with the calls of everyone", n_records, "the genotype files")

    def records_of(self, contig: str, start: int, stop: int, people: Sequence[str]) -> list[SlowRecord]:
        """The records of the file that belong in the store and have a REF base in a region."""
        found = self.file_of[contig].reader.overlapping(contig, start, stop, people)
        return [record for record in found if is_of_store(record, self.config)]

    def are_same(
        self, rows: slice, records: Sequence[SlowRecord], people: Sequence[int], gene: str | None = None
    ) -> bool:
        """Compare rows of ``variants`` with the records of the file, and the calls of some people.

        Returns whether they are the same records.
        """
        stored = self._sites(rows)
        expected = [(record.start + 1, record.id, record.alleles) for record in records]
        if stored != expected:
            self._report_sites(rows.start, stored, expected, gene)
            return False
        if not records:
            return True
        labels = [self.arrays.individuals[individual] for individual in people]
        calls = [[record.calls[label] for label in labels] for record in records]
        genotype = np.asarray(self.arrays.of[GENOTYPE][rows])[:, list(people)]
        should_be = np.array([[_as_stored(call) for call in row] for row in calls])
        self._report_calls(GENOTYPE, genotype, should_be, labels, records, gene)
        if self.arrays.can_read(_PHASED):
            phased = np.asarray(self.arrays.of[_PHASED][rows])[:, list(people)]
            should_be = np.array([[call.phased for call in row] for row in calls])
            has_order = genotype[..., 0] != genotype[..., 1]
            phased = np.where(has_order, phased, should_be)
            self._report_calls(_PHASED, phased, should_be, labels, records, gene)
        return True

    def _sites(self, rows: slice) -> list[_Site]:
        position, labels, alleles = (self.arrays.read(name)[rows].tolist() for name in (POSITION, ID, ALLELE))
        return [
            (pos, label, tuple(filter(None, texts)))
            for pos, label, texts in zip(position, labels, alleles, strict=True)
        ]

    def _report_sites(
        self, first: int, stored: Sequence[_Site], expected: Sequence[_Site], gene: str | None
    ) -> None:
        """Name the first row in which records differ."""
        both = [*zip(stored, expected, strict=False)]
        number = next((i for i, (a, b) in enumerate(both) if a != b), len(both))
        is_now, should_be = ([*sites, None][min(number, len(sites))] for sites in (stored, expected))
        name = POSITION
        if is_now is not None and should_be is not None and is_now[0] == should_be[0]:
            name = ID if is_now[2] == should_be[2] else ALLELE
        says = f"row {first + number} is {_text(is_now)}, but the genotype file has {_text(should_be)}"
        self.findings.differ(name, says, gene=gene)

    def _report_calls(
        self,
        name: str,
        stored: npt.NDArray[Any],
        expected: npt.NDArray[Any],
        labels: Sequence[str],
        records: Sequence[SlowRecord],
        gene: str | None,
    ) -> None:
        """Name every call (record, individual, ...) that differs."""
        differs = stored != expected
        for record, person in np.argwhere(differs.reshape(*differs.shape[:2], -1).any(axis=2)).tolist():
            says = (
                f"is {stored[record, person].tolist()} at POS {records[record].start + 1}, but "
                f"{expected[record, person].tolist()} in the genotype file"
            )
            self.findings.differ(name, says, gene=gene, individual=labels[person])


def _text(site: _Site | None) -> str:
    return "nothing" if site is None else f"POS {site[0]}, ID {site[1] or '.'}, {' '.join(site[2])}"


def _as_stored(call: Call) -> tuple[int, int]:
    """A call as the store has it."""
    first, second = (*call.alleles, ABSENT)[:2]
    return MISSING if first is None else first, MISSING if second is None else second
