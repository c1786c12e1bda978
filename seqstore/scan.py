"""The scan: every record that windows may need is read once, checked, and put into the spool.

With insertions and deletions a window can be made of bases from outside the reference window, so the scan
goes some way past it; where that turns out too short for anyone, it goes on.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.genotypes import ABSENT, MISSING, GenotypeSource, Record
from seqstore.haplotypes import Reach
from seqstore.nucleotides import decode, encode
from seqstore.reach import GeneToMeasure, measure, placed, rows_by_contig
from seqstore.records import CODE_CALL, is_applicable, is_applied
from seqstore.reference import Reference
from seqstore.spool import Interval, PartWriter, Spool, part_intervals, part_summary
from seqstore.tasks import Run

logger = logging.getLogger(__name__)
_Item = TypeVar("_Item")

#: Bases of a contig that one task scans.
SCAN_BASES = 500_000
#: Bases beyond each end of a reference window that are scanned at first, where there are indels.
FIRST_GROWTH = 2048
#: Genes whose reach one task measures.
_GENES_IN_TASK = 16
#: Intervals in which one task looks for the first record.
_INTERVALS_IN_TASK = 64
#: What is counted of the records that are scanned.
COUNTS = ("records_left_out_by_filter", "records_left_out_by_kind", "alleles_missing", "calls_haploid")


@dataclass(frozen=True)
class Part:
    """What one task scans: intervals of one contig, in order."""

    name: str
    reference_contig: str
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class Known:
    """What needs no scan: parts that stand in the spool, and the reach of the genes whose records these hold."""

    parts: Sequence[str] = ()
    reaches: Mapping[int, Reach] = field(default_factory=dict)


def scan_windows(
    config: BuildConfig,
    genes: pd.DataFrame,
    genotypes: GenotypeSource,
    reconciled: dict[str, int],
    run: Run,
    known: Known | None = None,
) -> tuple[Spool, pd.DataFrame]:
    """Fill the spool of the store at ``config.store`` with the records that its windows need.

    Parts that an earlier, interrupted run has finished are kept, and ``known`` is not scanned. Returns the
    spool, and the genes with the columns of `seqstore.reach.placed`.

    Raises:
        InputError: a record disagrees with the reference, or with a policy of the config.
    """
    known = known or Known()
    contigs = list(genes["genotype_contig"].unique())
    reference_of = dict(zip(genes["genotype_contig"], genes["reference_contig"], strict=True))
    contig_length = genes["reference_contig"].map(Reference(config.reference).lengths).to_numpy()
    window_start = genes["window_start"].to_numpy()
    scan = partial(scan_part, config=config, genotypes=genotypes)
    with_indels = config.variants == "all"
    growth = np.full(len(genes), FIRST_GROWTH if with_indels else 0)
    pending = np.array([gene for gene in range(len(genes)) if gene not in known.reaches], dtype=np.int64)
    held = merged(interval for name in known.parts for interval in part_intervals(config.store, name))
    scanned = held
    summaries: dict[str, dict[str, Any]] = {
        name: part_summary(config.store, name) or {} for name in known.parts
    }
    reaches = dict(known.reaches)
    while len(pending):
        start = np.maximum(window_start - growth, 0)
        stop = np.minimum(window_start + config.length + growth, contig_length)
        windows = [
            Interval(genes["genotype_contig"].iloc[gene], int(start[gene]), int(stop[gene]))
            for gene in pending
        ]
        wanted = merged([*held, *windows])  # what is known may lack records that reach into it
        if with_indels:
            find = partial(_from_first_reaching, genotypes=genotypes)
            wanted = merged(itertools.chain(*run(find, _batches(wanted, _INTERVALS_IN_TASK), "find starts")))
        parts = _parts(_without(wanted, scanned), contigs, reference_of)
        summaries |= dict(zip([part.name for part in parts], run(scan, parts, "scan genotypes"), strict=True))
        _refuse(summaries.values())
        scanned = merged([*scanned, *wanted])
        spool = Spool.of_parts(config.store, summaries, contigs)
        rows = rows_by_contig(spool)
        if not with_indels:
            break
        tasks = []
        for gene in pending.tolist():
            edges = int(start[gene]), int(stop[gene])
            deciding = rows[genes["genotype_contig"].iloc[gene]].deciding(*edges)
            tss = int(window_start[gene]) + config.length // 2
            tasks.append(GeneToMeasure(gene, tss, *edges, rows=deciding, spool=spool.only(*deciding)))
        batches = _batches(tasks, _GENES_IN_TASK)
        measured = run(partial(measure, config=config), batches, "measure windows")
        reaches |= dict(zip(pending.tolist(), itertools.chain(*measured), strict=True))
        pending = np.array(
            [
                task.gene
                for task in tasks
                if 0 < task.start > reaches[task.gene].start
                or reaches[task.gene].stop > task.stop < contig_length[task.gene]
            ],
            dtype=np.int64,
        )
        growth[pending] *= 2
    _warn_of_phase_sets(summaries.values())
    for key in COUNTS:
        reconciled[key] = sum(summary["counts"][key] for summary in summaries.values())
    return spool, placed(genes, config.length, rows, reaches)


def scan_part(part: Part, *, config: BuildConfig, genotypes: GenotypeSource) -> dict[str, Any]:
    """Check the records of a part against the FASTA and the policies, and write those that are kept.

    Returns counts, and how many records disagree with the reference (``mismatches``) or with a policy
    (``refusals``), with a line about the first of them; ``phase_sets`` is empty, or the file and a line about
    the first call that is phased in another set than one before it.
    """
    done = part_summary(config.store, part.name)
    if done is not None:
        return done
    individuals = genotypes.individuals
    reference = Reference(config.reference)
    writer = PartWriter(config.store, part.name, len(individuals), with_phase=config.unphased == "iupac")
    counts = dict.fromkeys(COUNTS, 0)
    n_records, mismatches, refusals, sizes = 0, [], [], []
    phase_sets: list[str] = []
    for interval in part.intervals:
        n_before = len(writer)
        problem_of_ref = ReferenceCheck(reference, part.reference_contig, interval, config.reference_margin)
        other_phase_set = PhaseSets(len(individuals))
        for record in genotypes.records(interval.contig, interval.start, interval.stop):
            if not is_kept(record, config):
                counts["records_left_out_by_filter"] += 1
                continue
            applies = is_applicable(record.alleles, config.variants)
            if (
                not applies and record.alleles[0] == "N"
            ):  # as callers write <DEL>: says nothing of the reference
                counts["records_left_out_by_kind"] += 1
                continue
            n_records += 1
            if (problem := problem_of_ref(record.position, record.alleles[0])) is not None:
                mismatches.append(f"{_where(record, genotypes)}: {problem}")
            elif not applies:
                counts["records_left_out_by_kind"] += 1
            elif (problem := _refused(record, individuals, config)) is not None:
                refusals.append(f"{_where(record, genotypes)}: {problem}")
            else:
                counts["alleles_missing"] += int(np.count_nonzero(record.genotype == MISSING))
                counts["calls_haploid"] += int(np.count_nonzero(record.genotype[:, 1] == ABSENT))
                writer.add(record)
                if (who := other_phase_set(record)) is not None and not phase_sets:
                    where = f"{_where(record, genotypes)}: {individuals[who]}"
                    phase_sets = [genotypes.path_of(record.contig), where]
        sizes.append(len(writer) - n_before)
    summary = {
        "counts": counts,
        "n_records": n_records,
        "mismatches": [len(mismatches), *mismatches[:1]],
        "refusals": [len(refusals), *refusals[:1]],
        "phase_sets": phase_sets,
    }
    writer.finish(list(zip(part.intervals, sizes, strict=True)), summary)
    return summary


class ReferenceCheck:
    """Compares REF alleles with the FASTA in one interval of a contig.

    Raises:
        InputError: the FASTA holds something that is no IUPAC letter within ``margin`` of the interval.
    """

    #: Bases past the interval that are read with it; a REF that reaches further is looked up by itself.
    _PAST = 1000

    def __init__(self, reference: Reference, contig: str, interval: Interval, margin: int) -> None:
        self._reference, self._contig = reference, contig
        self._length = reference.lengths[contig]
        self._start = max(interval.start - margin, 0)
        stop = min(interval.stop + max(margin, self._PAST), self._length)
        self._letters = decode(reference.codes(contig, self._start, stop))

    def __call__(self, position: int, ref: str) -> str | None:
        """What is wrong with a record's REF at its 1-based position; None if it is the reference's."""
        first = position - 1 - self._start
        if self._letters[first : first + len(ref)] == ref:
            return None
        if position - 1 + len(ref) > self._length:
            return f"REF is {_short(ref)}, which reaches past the contig's end in {self._reference.path}"
        codes = self._reference.codes(self._contig, position - 1, position - 1 + len(ref))
        if np.array_equal(encode(ref), codes):  # lower case, or a long REF
            return None
        return f"REF is {_short(ref)} but {self._reference.path} has {_short(decode(codes))} there"


class PhaseSets:
    """Watches, record by record, whether individuals are phased in one set (FORMAT/PS) or in several."""

    _NONE_YET = np.iinfo(np.int64).min

    def __init__(self, n_individuals: int) -> None:
        self._last = np.full(n_individuals, self._NONE_YET)

    def __call__(self, record: Record) -> int | None:
        """The first individual whose phased heterozygous call is of another set than the one before it."""
        if record.phase_set is None:
            return None
        one, two = record.genotype.T
        is_phased = record.phased & (one != two) & (one >= 0) & (two >= 0)
        other = is_phased & (self._last != self._NONE_YET) & (self._last != record.phase_set)
        self._last[is_phased] = record.phase_set[is_phased]
        return int(np.argmax(other)) if other.any() else None


def is_kept(record: Record, config: BuildConfig) -> bool:
    """Whether a record passes the config's filter; "." is an empty FILTER."""
    return all(name in config.filter for name in record.filters or (".",))


def _refused(record: Record, individuals: Sequence[str], config: BuildConfig) -> str | None:
    """What of a record cannot be used under the policies."""
    if len(record.alleles) > CODE_CALL:
        return f"has {len(record.alleles)} alleles; up to {CODE_CALL} are read"
    genotype, phased = record.genotype, record.phased
    if config.missing == "error" and (genotype[:, 0] == MISSING).any() | (genotype[:, 1] == MISSING).any():
        who = individuals[int(np.flatnonzero((genotype == MISSING).any(axis=1))[0])]
        return f"the call of {who} is missing; set missing: reference or missing: n to go on"
    if config.unphased == "as_phased" or phased.all():
        return None
    unknown = ~phased & (genotype[:, 0] != genotype[:, 1]) & (genotype[:, 1] != ABSENT)
    if config.unphased == "error" and unknown.any():
        who = individuals[int(np.flatnonzero(unknown)[0])]
        return f"the call of {who} is not phased; phase the genotypes, or set unphased: as_phased or unphased: iupac"
    longer = [
        number
        for number, allele in enumerate(record.alleles)
        if number
        and len(allele) + len(record.alleles[0]) > 2
        and is_applied(record.alleles[0], allele, config.variants)
    ]
    if longer and (of := unknown & np.isin(genotype, longer).any(axis=1)).any():
        who = individuals[int(np.flatnonzero(of)[0])]
        return (
            f"the call of {who} is not phased and no SNP, which has no IUPAC code; phase the genotypes, or set "
            "unphased: as_phased or variants: snps"
        )
    return None


def _refuse(summaries: Iterable[dict[str, Any]]) -> None:
    """Raise an InputError if any record disagrees with the reference or with a policy."""
    summaries = list(summaries)
    n_mismatches, n_refusals = (sum(s[key][0] for s in summaries) for key in ("mismatches", "refusals"))
    if n_mismatches:
        n_records = sum(summary["n_records"] for summary in summaries)
        first = next(summary["mismatches"][1] for summary in summaries if summary["mismatches"][0])
        hint = "; wrong genome build?" if n_mismatches > 0.01 * n_records else ""
        raise InputError(
            f"{first} ({n_mismatches} of {n_records} records in the windows disagree with the FASTA{hint})"
        )
    if n_refusals:
        first = next(summary["refusals"][1] for summary in summaries if summary["refusals"][0])
        raise InputError(first + (f" ({n_refusals} such records)" if n_refusals > 1 else ""))


def _warn_of_phase_sets(summaries: Iterable[dict[str, Any]]) -> None:
    """Warn, once a file, of phase that does not hold from one record to another."""
    first_of: dict[str, str] = {}
    for summary in summaries:
        if found := summary.get("phase_sets"):  # what an earlier store has, that build has warned of
            path, where = found
            first_of.setdefault(path, where)
    for where in first_of.values():
        logger.warning(
            "warning: %s is phased in another set (FORMAT/PS) than before; phase holds only within a set, and "
            "windows that span several join them at random: phase whole chromosomes",
            where,
        )


def _from_first_reaching(intervals: list[Interval], *, genotypes: GenotypeSource) -> list[Interval]:
    """Intervals from where the first record starts that reaches into them."""
    return [replace(i, start=genotypes.first_reaching(i.contig, i.start)) for i in intervals]


def _batches(items: Sequence[_Item], size: int) -> list[list[_Item]]:
    return [list(items[first : first + size]) for first in range(0, len(items), size)]


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The union of intervals as disjoint ones, by contig and start."""
    union: list[Interval] = []
    for interval in sorted(intervals, key=lambda i: (i.contig, i.start)):
        if union and union[-1].contig == interval.contig and interval.start <= union[-1].stop:
            union[-1] = replace(union[-1], stop=max(union[-1].stop, interval.stop))
        else:
            union.append(interval)
    return union


def _without(intervals: Iterable[Interval], taken: Iterable[Interval]) -> list[Interval]:
    """What of disjoint intervals lies in none of those taken."""
    left = list(intervals)
    for cut in taken:
        pieces = []
        for interval in left:
            if interval.contig != cut.contig or cut.stop <= interval.start or interval.stop <= cut.start:
                pieces.append(interval)
                continue
            pieces += [replace(interval, stop=cut.start), replace(interval, start=cut.stop)]
        left = [piece for piece in pieces if piece.start < piece.stop]
    return left


def _parts(intervals: Iterable[Interval], contigs: Sequence[str], reference_of: dict[str, str]) -> list[Part]:
    """Intervals cut and grouped into parts of at most `SCAN_BASES` of one contig."""
    parts: list[Part] = []
    for contig, group in itertools.groupby(intervals, key=lambda interval: interval.contig):
        room, chosen = SCAN_BASES, []
        pieces = [
            replace(interval, start=start, stop=min(start + SCAN_BASES, interval.stop))
            for interval in group
            for start in range(interval.start, interval.stop, SCAN_BASES)
        ]
        for number, piece in enumerate(pieces):
            chosen.append(piece)
            room -= piece.stop - piece.start
            following = pieces[number + 1] if number + 1 < len(pieces) else None
            if following is None or following.stop - following.start > room:
                name = f"{contigs.index(contig)}-{chosen[0].start}-{chosen[-1].stop}"
                parts.append(Part(name, reference_of[contig], tuple(chosen)))
                room, chosen = SCAN_BASES, []
    return parts


def _where(record: Record, genotypes: GenotypeSource) -> str:
    return f"{genotypes.path_of(record.contig)}: {record.contig}:{record.position}"


def _short(allele: str) -> str:
    """An allele for a message."""
    return allele if len(allele) <= 20 else f"{allele[:17]}… ({len(allele)} bases)"
