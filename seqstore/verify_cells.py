"""Random cells of a store, made again from genotypes and reference.

Every cell is made by `seqstore.slow_consensus`, and its window by ``bcftools consensus`` besides, where that is
installed and can say what the build's policies ask for. Neither shares code with the build.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from seqstore.bcftools import RULE_OF, Bcftools, ConsensusSlice, NotExpressible
from seqstore.codec import CorruptChunkError
from seqstore.config import BuildConfig
from seqstore.findings import Findings
from seqstore.genotypes import ABSENT, MISSING, GenotypeSource
from seqstore.slow_consensus import (
    Call,
    Fate,
    RecordReader,
    SlowRecord,
    SlowWindow,
    clean_region,
    edits_of,
    fates_in,
    haplotypes_of,
    is_of_store,
    window_of,
)
from seqstore.store_arrays import COUNTS, ROWS_OF_GENE, SEQUENCE, StoreArrays
from seqstore.verify_tables import Fasta, first_difference, letters_of

_FATES: dict[str, Fate] = dict(zip(COUNTS, ("applied", "skipped", "missing"), strict=True))
_CONTIG, _POSITION, _ID, _ALLELE = _SITES = tuple(
    f"variants/variant_{name}" for name in ("contig", "position", "id", "allele")
)
_GENOTYPE, _PHASED, _SKIPPED = (
    f"variants/call_{name}" for name in ("genotype", "genotype_phased", "skipped")
)
_OF_GENE = ("reference_contig", "genotype_contig", "window_start", "reach_start", "reach_stop")
#: Bases by which a piece of the reference reaches past a gene's window at first.
_MARGIN = 1000

Cell = tuple[int, int]  # the numbers of an individual and of a haplotype


@dataclass(frozen=True)
class GenotypeFile:
    """A genotype file that is as it was: how its records are read here, the build's own reader, and the path
    by which bcftools reads it (None if it cannot)."""

    reader: RecordReader
    source: GenotypeSource
    path: str | None


@dataclass(frozen=True)
class Piece:
    """A piece of a contig that the windows of some cells lie in: ``letters`` of the reference from base ``start``
    (0-based) on, whether its two ends are the contig's, the records in it, none of which reaches over an end,
    and of each cell the fates of these records and the window."""

    start: int
    letters: str
    at_ends: tuple[bool, bool]
    records: list[SlowRecord]
    cells: dict[Cell, tuple[list[Fate], SlowWindow]]


class CellCheck:
    """Compares cells of a store with what its genotype files and its FASTA make of them.

    ``file_of`` are the genotype files by contig; ``bcftools`` None = not installed.
    """

    def __init__(
        self,
        arrays: StoreArrays,
        config: BuildConfig,
        file_of: Mapping[str, GenotypeFile],
        bcftools: Bcftools | None,
        findings: Findings,
    ) -> None:
        self._arrays, self._config, self._file_of = arrays, config, file_of
        self._bcftools, self._findings = bcftools, findings
        self._length = int(arrays.attributes["length"])

    def check_covered(self) -> None:
        """Compare the share of each window within the span of its contig's records."""
        arrays, n = self._arrays, 0
        if not arrays.can_read("covered", "window_start", "genotype_contig"):
            return
        spans = {contig: file.source.span(contig) for contig, file in self._file_of.items()}
        columns = (arrays.read(name).tolist() for name in ("genotype_contig", "window_start", "covered"))
        for label, contig, start, stored in zip(arrays.genes, *columns, strict=True):
            if contig not in spans:
                continue
            first, last = spans[contig]
            inside = range(max(start, first - 1), min(start + self._length, last))
            share = np.float32(len(inside) / self._length)
            if share != np.float32(stored):
                says = f"is {stored:g}, but {share:g} of the window are within the records' span"
                self._findings.differ("covered", says, gene=label)
            n += 1
        self._findings.compared("covered of genes", n, "the first and last record of their contigs")

    def check_records(self, n: int, rng: np.random.Generator) -> None:
        """Compare ``n`` random records, with the calls of everyone."""
        arrays, findings = self._arrays, self._findings
        if not arrays.can_read(*_SITES, _GENOTYPE, "individual"):
            findings.leave_out("random records: an array that they need cannot be read")
            return
        contig, position = arrays.read(_CONTIG), arrays.read(_POSITION)
        rows_of = {name: np.flatnonzero(contig == name) for name in self._file_of}
        rows = np.concatenate([np.empty(0, dtype=np.int64), *rows_of.values()])
        chosen = np.sort(rng.permutation(rows)[:n]).tolist()
        places = dict.fromkeys((str(contig[row]), int(position[row])) for row in chosen)
        everyone = range(len(arrays.individuals))
        n_records = 0
        for name, pos in tqdm(places, desc="random records", disable=None):
            at = rows_of[name][position[rows_of[name]] == pos]
            found = self._records_of(name, pos - 1, pos, arrays.individuals)
            self._same_records(
                slice(at[0], at[-1] + 1), [record for record in found if record.start == pos - 1], everyone
            )
            n_records += len(at)
        findings.compared("random records, with the calls of everyone", n_records, "the genotype files")

    def check_windows(self, n: int, rng: np.random.Generator, fasta: Fasta) -> None:
        """Compare ``n`` random windows, what happened to their records, and the calls of these."""
        arrays, findings = self._arrays, self._findings
        rows = tuple(f"variants/{name}" for name in ROWS_OF_GENE)
        needed = ("individual", "haplotype_id", *COUNTS, *_OF_GENE, *_SITES, *rows, _GENOTYPE, _SKIPPED)
        if SEQUENCE not in arrays.of or not arrays.can_read(*needed):
            findings.leave_out("random windows: an array that they need cannot be read")
            return
        genes = [g for g, contig in enumerate(arrays.read("genotype_contig")) if str(contig) in self._file_of]
        per_gene = 2 * len(arrays.individuals)
        n_cells = len(genes) * per_gene
        chosen = (
            rng.choice(n_cells, min(n, n_cells), replace=False) if n_cells else np.empty(0, dtype=np.int64)
        )
        cells_of: dict[int, list[Cell]] = {}
        for gene, cell in np.stack(np.divmod(np.sort(chosen), per_gene), axis=-1).tolist():
            cells_of.setdefault(genes[gene], []).append(divmod(cell, 2))
        routes: Counter[str] = Counter()
        for gene, cells in tqdm(cells_of.items(), desc="random windows", disable=None):
            routes += self._check_gene(gene, cells, fasta)
        for route, count in routes.items():
            findings.compared("random windows", count, route)

    def _check_gene(self, gene: int, cells: list[Cell], fasta: Fasta) -> Counter[str]:
        """Compare some cells of one gene; returns how many were made by which routes."""
        arrays, findings = self._arrays, self._findings
        label = arrays.genes[gene]
        of = {name: arrays.read(name)[gene] for name in _OF_GENE}
        tss = int(of["window_start"]) + self._length // 2
        piece = self._piece(of, tss, cells, fasta)
        used = _deciding(piece.records, int(of["reach_start"]), int(of["reach_stop"]))
        people = list(dict.fromkeys(individual for individual, _ in cells))
        is_same = self._same_records(arrays.rows(gene, "record"), piece.records[used], people, gene=label)
        telling = piece.records[used] or self._beside(gene, str(of["genotype_contig"]), people)
        routes: Counter[str] = Counter()
        n_deleted = 0
        with TemporaryDirectory(prefix="seqstore-verify-") as folder:
            consensus = self._consensus(Path(folder), str(of["genotype_contig"]), piece, people)
            for cell in cells:
                here: dict[str, Any] = {
                    "gene": label,
                    "individual": arrays.individuals[cell[0]],
                    "haplotype": cell[1],
                }
                if not self._is_there(telling, str(of["genotype_contig"]), cell):
                    self._check_absent(gene, cell, here)
                    routes["who has a second haplotype"] += 1
                    continue
                fates, window = piece.cells[cell]
                n_deleted += window.tss_deleted
                if not of["reach_start"] <= window.first < window.last <= of["reach_stop"]:
                    findings.differ(
                        "reach_start",
                        f"the reach is {of['reach_start']}-{of['reach_stop']}, but this window is made of "
                        f"{window.first}-{window.last}",
                        **here,
                    )
                self._check_counts(gene, cell, Counter(fates_in(piece.records, fates, window)), here)
                if is_same:
                    self._check_skipped(gene, cell, fates[used], piece.records[used], here)
                made = {"the slow path": window.letters}
                if consensus is not None and self._bcftools is not None:
                    with contextlib.suppress(NotExpressible):
                        made[f"bcftools consensus {self._bcftools.version}"] = consensus.window(
                            here["individual"], cell[1], tss=tss, length=self._length, at_ends=piece.at_ends
                        )
                routes[" and ".join(reversed(made))] += self._check_letters(gene, cell, made, here)
        if arrays.can_read("tss_deleted"):
            stored, is_whole = (
                int(arrays.read("tss_deleted")[gene]),
                len(cells) == 2 * len(arrays.individuals),
            )
            if n_deleted > stored or (is_whole and n_deleted < stored):
                says = f"is {stored}, but of {len(cells)} haplotypes made again {n_deleted} lack the TSS base"
                findings.differ("tss_deleted", says, gene=label)
        return routes

    def _piece(self, of: Mapping[str, Any], tss: int, cells: Sequence[Cell], fasta: Fasta) -> Piece:
        """A piece of the contig wide enough for the windows of all cells, and these."""
        contig, genotype_contig = str(of["reference_contig"]), str(of["genotype_contig"])
        contig_length, half = fasta.length(contig), self._length // 2
        labels = {individual: self._arrays.individuals[individual] for individual, _ in cells}
        margin = _MARGIN
        while True:
            # The store's reach is only where to begin: what is too short is widened.
            first = max(min(int(of["reach_start"]), tss - half) - margin, 0)
            last = min(max(int(of["reach_stop"]), tss + half) + margin, contig_length)
            start, stop, records = clean_region(
                lambda a, b: self._records_of(genotype_contig, a, b, list(labels.values())), first, last
            )
            at_ends = (start == 0, stop == contig_length)
            letters = fasta.letters(contig, start, stop)
            made = {}
            for individual, haplotype in cells:
                calls = [record.calls[labels[individual]] for record in records]
                edits, fates = edits_of(records, calls, haplotype, self._config)
                window = window_of(letters, start, edits, tss=tss, length=self._length, at_ends=at_ends)
                if window is None:
                    break
                made[individual, haplotype] = fates, window
            else:
                return Piece(start, letters, at_ends, records, made)
            margin *= 4

    def _records_of(self, contig: str, start: int, stop: int, people: Sequence[str]) -> list[SlowRecord]:
        """The records of the file that the store keeps and that have a REF base in a region."""
        found = self._file_of[contig].reader.overlapping(contig, start, stop, people)
        return [record for record in found if is_of_store(record, self._config)]

    def _consensus(
        self, folder: Path, contig: str, piece: Piece, people: Sequence[int]
    ) -> ConsensusSlice | None:
        """bcftools on a piece; None where it is not installed or cannot read these genotypes."""
        path = self._file_of[contig].path
        if self._bcftools is None or path is None:
            return None
        labels = [self._arrays.individuals[individual] for individual in people]
        try:
            return ConsensusSlice(
                self._bcftools,
                folder,
                genotypes=path,
                contig=contig,
                start=piece.start,
                letters=piece.letters,
                people=labels,
                config=self._config,
            )
        except NotExpressible:
            return None

    def _beside(self, gene: int, contig: str, people: Sequence[int]) -> list[SlowRecord]:
        """The records next to a window without any: they tell who is haploid there."""
        arrays = self._arrays
        row = arrays.rows(gene, "record").start
        rows = [row for row in (row - 1, row) if 0 <= row < len(arrays.read(_CONTIG))]
        rows = [row for row in rows if str(arrays.read(_CONTIG)[row]) == contig]
        labels = [arrays.individuals[individual] for individual in people]
        starts = [int(arrays.read(_POSITION)[row]) - 1 for row in rows]
        found = (self._records_of(contig, start, start + 1, labels) for start in dict.fromkeys(starts))
        return [record for records in found for record in records if record.start in starts]

    def _is_there(self, records: Sequence[SlowRecord], contig: str, cell: Cell) -> bool:
        """Whether there is a haplotype, by the calls of its window's ``records``."""
        label = self._arrays.individuals[cell[0]]

        def everyone() -> list[list[Call]]:
            region = records[0].start, records[-1].start + 1
            here = {record.start for record in records}
            found = [
                r for r in self._records_of(contig, *region, self._arrays.individuals) if r.start in here
            ]
            return [[record.calls[person] for record in found] for person in self._arrays.individuals]

        return haplotypes_of([record.calls[label] for record in records], everyone)[cell[1]]

    def _check_absent(self, gene: int, cell: Cell, here: Mapping[str, Any]) -> None:
        stored = int(self._arrays.of_gene("haplotype_id", gene)[cell])
        if stored != -1:
            self._findings.differ(
                "haplotype_id", f"is {stored}, but by the genotype file there is no such haplotype", **here
            )

    def _check_letters(self, gene: int, cell: Cell, made: Mapping[str, str], here: Mapping[str, Any]) -> int:
        """Compare a window with the letters it should have by each route; returns how many windows that were."""
        try:
            stored = letters_of(np.asarray(self._arrays.of[SEQUENCE][(gene, *cell)]))
        except CorruptChunkError:
            return 0  # named already
        if int(self._arrays.of_gene("haplotype_id", gene)[cell]) == -1:
            self._findings.differ(
                "haplotype_id", "is -1, but by the genotype file there is such a haplotype", **here
            )
        wrong: dict[str, list[str]] = {}
        for route, letters in made.items():
            if letters != stored:
                wrong.setdefault(letters, []).append(route)
        if (
            self._bcftools is not None
            and self._bcftools.version != RULE_OF
            and len(wrong) == 1
            and len(made) == 2
        ):
            (letters, routes), *_ = wrong.items()
            if routes != ["the slow path"] and len(routes) == 1:
                self._findings.leave_out(
                    f"some windows by {routes[0]}: it disagrees with the slow path, which goes by the rule of {RULE_OF}"
                )
                return 0
        for letters, routes in wrong.items():
            base = first_difference(stored, letters)
            n = sum(a != b for a, b in zip(stored, letters, strict=True))
            self._findings.differ(
                SEQUENCE,
                f"is {stored[base]}, but {letters[base]} by {' and '.join(reversed(routes))} ({n} bases differ)",
                base=base,
                **here,
            )
        return 1

    def _check_counts(self, gene: int, cell: Cell, counts: Counter[Fate], here: Mapping[str, Any]) -> None:
        for name, fate in _FATES.items():
            stored = int(self._arrays.of_gene(name, gene)[cell])
            if stored != counts[fate]:
                self._findings.differ(name, f"is {stored}, but {counts[fate]} by the slow path", **here)

    def _check_skipped(
        self, gene: int, cell: Cell, fates: list[Fate], records: list[SlowRecord], here: Mapping[str, Any]
    ) -> None:
        rows = self._arrays.rows(gene, "record")
        stored = np.asarray(self._arrays.of[_SKIPPED][(rows, *cell)])
        for number in np.flatnonzero(stored != [fate == "skipped" for fate in fates]).tolist():
            self._findings.differ(
                _SKIPPED,
                f"is {bool(stored[number])} at POS {records[number].start + 1}, but not so by the slow path",
                **here,
            )

    def _same_records(
        self, rows: slice, records: Sequence[SlowRecord], people: Sequence[int], gene: str | None = None
    ) -> bool:
        """Compare rows of ``variants`` with the records of the file, and the calls of some people.

        Returns whether they are the same records.
        """
        arrays, findings = self._arrays, self._findings
        stored = _sites(arrays, rows)
        expected = [(record.start + 1, record.id, record.alleles) for record in records]
        if stored != expected:
            both = [*zip(stored, expected, strict=False)]
            number = next((i for i, (a, b) in enumerate(both) if a != b), len(both))
            is_now, should_be = ([*sites, None][min(number, len(sites))] for sites in (stored, expected))
            name = _POSITION
            if is_now is not None and should_be is not None and is_now[0] == should_be[0]:
                name = _ID if is_now[2] == should_be[2] else _ALLELE
            findings.differ(
                name,
                f"row {rows.start + number} is {_text(is_now)}, but the genotype file has {_text(should_be)}",
                gene=gene,
            )
            return False
        if not records:
            return True
        labels = [arrays.individuals[individual] for individual in people]
        calls = [[record.calls[label] for label in labels] for record in records]
        genotype = np.asarray(arrays.of[_GENOTYPE][rows])[:, list(people)]
        self._report_calls(
            _GENOTYPE,
            genotype,
            np.array([[_as_stored(call) for call in row] for row in calls]),
            labels,
            records,
            gene,
        )
        if _PHASED in arrays.of and arrays.can_read(_PHASED):
            known = np.asarray(arrays.of[_PHASED][rows])[:, list(people)]
            # Two equal alleles have no order.
            equal = genotype[..., 0] == genotype[..., 1]
            expected_phase = np.array([[call.phased for call in row] for row in calls])
            self._report_calls(
                _PHASED, np.where(equal, expected_phase, known), expected_phase, labels, records, gene
            )
        return True

    def _report_calls(
        self,
        name: str,
        stored: npt.NDArray[Any],
        expected: npt.NDArray[Any],
        labels: Sequence[str],
        records: Sequence[SlowRecord],
        gene: str | None,
    ) -> None:
        differs = stored != expected
        for record, person in np.argwhere(differs.reshape(*differs.shape[:2], -1).any(axis=2)).tolist():
            self._findings.differ(
                name,
                f"is {stored[record, person].tolist()} at POS {records[record].start + 1}, but "
                f"{expected[record, person].tolist()} in the genotype file",
                gene=gene,
                individual=labels[person],
            )


def _deciding(records: Sequence[SlowRecord], start: int, stop: int) -> slice:
    """The records that decide what stands in a region: those in it, and those that they depend on by overlap."""
    first = next((i for i, record in enumerate(records) if record.stop > start), len(records))
    last = sum(record.start < stop for record in records)
    if first >= last:
        return slice(0, 0)
    while any(record.stop > records[first].start for record in records[:first]):
        first -= 1
    return slice(first, last)


def _sites(arrays: StoreArrays, rows: slice) -> list[tuple[int, str, tuple[str, ...]]]:
    position, labels, alleles = (arrays.read(name)[rows].tolist() for name in _SITES[1:])
    return [
        (pos, label, tuple(filter(None, texts)))
        for pos, label, texts in zip(position, labels, alleles, strict=True)
    ]


def _text(site: tuple[int, str, tuple[str, ...]] | None) -> str:
    return "nothing" if site is None else f"POS {site[0]}, ID {site[1] or '.'}, {' '.join(site[2])}"


def _as_stored(call: Call) -> tuple[int, int]:
    """A call as the store has it."""
    first, second = (*call.alleles, ABSENT)[:2]
    return MISSING if first is None else first, MISSING if second is None else second
