"""Random windows of a store, made again from genotypes and reference.

Each is made by `seqstore.slow_consensus`, with what happened to its records, and by ``bcftools consensus``
besides, where that is installed and can say what the build's policies ask for. Neither shares code with the build.
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
from tqdm import tqdm

from seqstore.bcftools import RULE_OF, Bcftools, ConsensusSlice, NotExpressible
from seqstore.errors import CorruptChunkError
from seqstore.slow_consensus import (
    Call,
    Fate,
    SlowRecord,
    SlowWindow,
    clean_region,
    edits_of,
    fates_in,
    haplotypes_of,
    window_of,
)
from seqstore.store_arrays import COUNTS, ROWS_OF_GENE, SEQUENCE
from seqstore.verify_records import CONTIG, GENOTYPE, POSITION, SITES, RecordCheck
from seqstore.verify_tables import Fasta, first_difference, letters_of

_FATES: dict[str, Fate] = dict(zip(COUNTS, ("applied", "skipped", "missing"), strict=True))
_SKIPPED = "variants/call_skipped"
_PLACES = ("reference_contig", "genotype_contig", "window_start", "reach_start", "reach_stop")
_SLOW = "the slow path"
#: Bases by which a piece of the reference reaches past a gene's window at first.
_MARGIN = 1000

Cell = tuple[int, int]  # the numbers of an individual and of a haplotype
Here = Mapping[str, Any]  # where a difference is, for `Findings.differ`


@dataclass(frozen=True)
class GenePlace:
    """Where a gene's window is: contigs by their names in the FASTA and the genotypes, the rest 0-based."""

    gene: int
    reference_contig: str
    genotype_contig: str
    tss: int
    reach_start: int
    reach_stop: int


@dataclass(frozen=True)
class Piece:
    """A piece of a contig that the windows of some cells lie in.

    ``letters`` are the reference from base ``start`` (0-based) on; ``at_ends``: whether its left and right end
    are those of the contig; no record of ``records`` reaches over them. ``cells``: the fates of these records
    and the window of each cell.
    """

    start: int
    letters: str
    at_ends: tuple[bool, bool]
    records: list[SlowRecord]
    cells: dict[Cell, tuple[list[Fate], SlowWindow]]


class WindowCheck:
    """Compares windows of a store with what its genotype files and its FASTA make of them.

    ``bcftools`` None = not installed.
    """

    def __init__(self, records: RecordCheck, fasta: Fasta, bcftools: Bcftools | None) -> None:
        self._records, self._fasta, self._bcftools = records, fasta, bcftools
        self._arrays, self._config, self._findings = records.arrays, records.config, records.findings
        self._length = int(self._arrays.attributes["length"])

    def check_random(self, n: int, rng: np.random.Generator) -> None:
        """Compare ``n`` random windows, what happened to their records, and the calls of these."""
        arrays = self._arrays
        rows = tuple(f"variants/{name}" for name in ROWS_OF_GENE)
        needed = ("individual", "haplotype_id", *COUNTS, *_PLACES, *SITES, *rows, GENOTYPE, _SKIPPED)
        if SEQUENCE not in arrays.of or not arrays.can_read(*needed):
            self._findings.leave_out("random windows: an array that they need cannot be relied on")
            return
        contigs = arrays.read("genotype_contig").tolist()
        genes = [gene for gene, contig in enumerate(contigs) if contig in self._records.file_of]
        per_gene = 2 * len(arrays.individuals)
        n_cells = len(genes) * per_gene
        chosen = np.sort(rng.choice(n_cells, min(n, n_cells), replace=False)).tolist() if n_cells else []
        cells_of: dict[int, list[Cell]] = {}
        for number in chosen:
            gene, cell = divmod(number, per_gene)
            cells_of.setdefault(genes[gene], []).append(divmod(cell, 2))
        routes: Counter[str] = Counter()
        for gene, cells in tqdm(cells_of.items(), desc="random windows", disable=None):
            routes += self._check_gene(gene, cells)
        for route, count in routes.items():
            self._findings.compared("random windows", count, route)

    def _check_gene(self, gene: int, cells: Sequence[Cell]) -> Counter[str]:
        """Compare some cells of one gene; returns how many were made by which routes."""
        arrays, place = self._arrays, self._place(gene)
        label = arrays.genes[gene]
        people = list(dict.fromkeys(individual for individual, _ in cells))
        piece = self._piece(place, cells)
        used = _deciding(piece.records, place.reach_start, place.reach_stop)
        is_same = self._records.are_same(arrays.rows(gene, "record"), piece.records[used], people, gene=label)
        telling = piece.records[used] or self._beside(place, people)
        routes: Counter[str] = Counter()
        n_deleted = 0
        with TemporaryDirectory(prefix="seqstore-verify-") as folder:
            consensus = self._consensus(Path(folder), place, piece, people)
            for cell in cells:
                individual = arrays.individuals[cell[0]]
                here: dict[str, Any] = {"gene": label, "individual": individual, "haplotype": cell[1]}
                is_there = self._is_there(telling, place, cell)
                self._check_id(gene, cell, is_there, here)
                if not is_there:
                    routes["who has a second haplotype"] += 1
                    continue
                fates, window = piece.cells[cell]
                n_deleted += window.tss_deleted
                if not place.reach_start <= window.first < window.last <= place.reach_stop:
                    reach, made_of = (
                        f"{place.reach_start}-{place.reach_stop}",
                        f"{window.first}-{window.last}",
                    )
                    says = f"the reach is {reach}, but this window is made of {made_of}"
                    self._findings.differ("reach_start", says, **here)
                self._check_counts(gene, cell, Counter(fates_in(piece.records, fates, window)), here)
                if is_same:
                    self._check_skipped(gene, cell, fates[used], piece.records[used], here)
                made = {_SLOW: window.letters}
                if consensus is not None and self._bcftools is not None:
                    where: dict[str, Any] = {
                        "tss": place.tss,
                        "length": self._length,
                        "at_ends": piece.at_ends,
                    }
                    with contextlib.suppress(NotExpressible):
                        letters = consensus.window(individual, cell[1], **where)
                        made = {f"bcftools consensus {self._bcftools.version}": letters, **made}
                routes[" and ".join(made)] += self._check_letters(gene, cell, made, here)
        self._check_deleted(gene, n_deleted, is_whole=len(cells) == 2 * len(arrays.individuals))
        return routes

    def _place(self, gene: int) -> GenePlace:
        of = [self._arrays.read(name)[gene] for name in _PLACES]
        half = self._length // 2
        return GenePlace(gene, str(of[0]), str(of[1]), int(of[2]) + half, int(of[3]), int(of[4]))

    def _piece(self, place: GenePlace, cells: Sequence[Cell]) -> Piece:
        """A piece of the contig wide enough for the windows of all cells, and these."""
        contig_length, half = self._fasta.length(place.reference_contig), self._length // 2
        labels = {individual: self._arrays.individuals[individual] for individual, _ in cells}
        margin = _MARGIN
        while True:
            # The store's reach is only where to begin: what is too short is widened.
            first = max(min(place.reach_start, place.tss - half) - margin, 0)
            last = min(max(place.reach_stop, place.tss + half) + margin, contig_length)
            start, stop, records = clean_region(
                lambda a, b: self._records.records_of(place.genotype_contig, a, b, list(labels.values())),
                first,
                last,
            )
            at_ends = (start == 0, stop == contig_length)
            letters = self._fasta.letters(place.reference_contig, start, stop)
            made = {}
            for individual, haplotype in cells:
                calls = [record.calls[labels[individual]] for record in records]
                edits, fates = edits_of(records, calls, haplotype, self._config)
                window = window_of(letters, start, edits, tss=place.tss, length=self._length, at_ends=at_ends)
                if window is None:
                    break
                made[individual, haplotype] = fates, window
            else:
                return Piece(start, letters, at_ends, records, made)
            margin *= 4

    def _consensus(
        self, folder: Path, place: GenePlace, piece: Piece, people: Sequence[int]
    ) -> ConsensusSlice | None:
        """bcftools on a piece; None where it is not installed or cannot read these genotypes."""
        path = self._records.file_of[place.genotype_contig].path
        if self._bcftools is None or path is None:
            return None
        with contextlib.suppress(NotExpressible):
            return ConsensusSlice(
                self._bcftools,
                folder,
                genotypes=path,
                contig=place.genotype_contig,
                start=piece.start,
                letters=piece.letters,
                people=[self._arrays.individuals[individual] for individual in people],
                config=self._config,
            )
        return None

    def _beside(self, place: GenePlace, people: Sequence[int]) -> list[SlowRecord]:
        """The records next to a window without any: they tell who is haploid there."""
        arrays, contigs = self._arrays, self._arrays.read(CONTIG)
        row = arrays.rows(place.gene, "record").start
        near = [r for r in (row - 1, row) if 0 <= r < len(contigs) and contigs[r] == place.genotype_contig]
        labels = [arrays.individuals[individual] for individual in people]
        starts = list(dict.fromkeys(int(arrays.read(POSITION)[row]) - 1 for row in near))
        found = (self._records.records_of(place.genotype_contig, at, at + 1, labels) for at in starts)
        return [record for records in found for record in records if record.start in starts]

    def _is_there(self, records: Sequence[SlowRecord], place: GenePlace, cell: Cell) -> bool:
        """Whether there is a haplotype, by the calls of its window's ``records``."""
        everyone = self._arrays.individuals

        def others() -> list[list[Call]]:
            region, starts = (records[0].start, records[-1].start + 1), {record.start for record in records}
            found = self._records.records_of(place.genotype_contig, *region, everyone)
            return [[r.calls[person] for r in found if r.start in starts] for person in everyone]

        return haplotypes_of([record.calls[everyone[cell[0]]] for record in records], others)[cell[1]]

    def _check_id(self, gene: int, cell: Cell, is_there: bool, here: Here) -> None:
        stored = int(self._arrays.of_gene("haplotype_id", gene)[cell])
        if (stored != -1) != is_there:
            says = f"is {stored}, but by the genotype file there is {'such a' if is_there else 'no such'} haplotype"
            self._findings.differ("haplotype_id", says, **here)

    def _check_counts(self, gene: int, cell: Cell, counts: Counter[Fate], here: Here) -> None:
        for name, fate in _FATES.items():
            stored = int(self._arrays.of_gene(name, gene)[cell])
            if stored != counts[fate]:
                self._findings.differ(name, f"is {stored}, but {counts[fate]} by {_SLOW}", **here)

    def _check_skipped(
        self, gene: int, cell: Cell, fates: Sequence[Fate], records: Sequence[SlowRecord], here: Here
    ) -> None:
        stored = np.asarray(self._arrays.of[_SKIPPED][(self._arrays.rows(gene, "record"), *cell)])
        for number in np.flatnonzero(stored != [fate == "skipped" for fate in fates]).tolist():
            says = f"is {bool(stored[number])} at POS {records[number].start + 1}, but not so by {_SLOW}"
            self._findings.differ(_SKIPPED, says, **here)

    def _check_letters(self, gene: int, cell: Cell, made: Mapping[str, str], here: Here) -> int:
        """Compare a window with what each route makes of it; returns how many windows that were."""
        try:
            stored = letters_of(np.asarray(self._arrays.of[SEQUENCE][(gene, *cell)]))
        except CorruptChunkError:
            return 0  # named already
        wrong: dict[str, list[str]] = {}
        for route, letters in made.items():
            if letters != stored:
                wrong.setdefault(letters, []).append(route)
        if made[_SLOW] == stored and wrong and self._bcftools and self._bcftools.version != RULE_OF:
            [[route]] = wrong.values()
            self._findings.leave_out(
                f"some windows by {route}: it disagrees with {_SLOW}, which goes by the rule of {RULE_OF}"
            )
            return 0
        for letters, routes in wrong.items():
            base = first_difference(stored, letters)
            n = sum(a != b for a, b in zip(stored, letters, strict=True))
            says = f"is {stored[base]}, but {letters[base]} by {' and '.join(routes)} ({n} bases differ)"
            self._findings.differ(SEQUENCE, says, base=base, **here)
        return 1

    def _check_deleted(self, gene: int, n_deleted: int, *, is_whole: bool) -> None:
        """Compare the haplotypes without a TSS base with how many there are among some, or among all, of them."""
        if not self._arrays.can_read("tss_deleted"):
            return
        stored = int(self._arrays.read("tss_deleted")[gene])
        if n_deleted > stored or (is_whole and n_deleted < stored):
            says = f"is {stored}, but {n_deleted} of the haplotypes made again lack the TSS base"
            self._findings.differ("tss_deleted", says, gene=self._arrays.genes[gene])


def _deciding(records: Sequence[SlowRecord], start: int, stop: int) -> slice:
    """The records that decide what stands in a region: those in it, and those that they depend on by overlap."""
    first = next((i for i, record in enumerate(records) if record.stop > start), len(records))
    last = sum(record.start < stop for record in records)
    if first >= last:
        return slice(0, 0)
    while any(record.stop > records[first].start for record in records[:first]):
        first -= 1
    return slice(first, last)
