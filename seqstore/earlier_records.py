"""The records of a finished store, for one that is built from it with more genes or more individuals.

With more genes, the store's records become parts of the new spool. With more individuals, all records are
scanned again, and have to say the same of the store's individuals as the store.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from seqstore.errors import InputError
from seqstore.genotypes import ABSENT, MISSING, GenotypeSource, Record
from seqstore.haplotypes import Reach
from seqstore.layout import INDIVIDUALS_IN_CHUNK, SITES_IN_CHUNK, VARIANTS_IN_CHUNK, attributes_of
from seqstore.reach import rows_by_contig
from seqstore.scan import COUNTS, Known, merged
from seqstore.spool import Interval, PartWriter, Spool, part_summary
from seqstore.tasks import Run

_FAR = 1 << 60


@dataclass(frozen=True)
class _Piece:
    """Rows first to stop of the store's variants, which are all the records of an interval."""

    interval: Interval
    first: int
    stop: int


@dataclass(frozen=True)
class _Stretch:
    """A stretch of a contig: its rows in the spool and in the store, and what of it the store knows all of."""

    contig: str
    spool: Spool
    spooled: tuple[int, int]
    stored: tuple[int, int]
    covered: tuple[Interval, ...]


@dataclass(frozen=True)
class _Matched:
    """Which row of the store each row of a stretch is, -1 = none; how much disagrees, and the first of it."""

    rows: npt.NDArray[np.int64]
    n_problems: int
    problem: str


def copy_records(earlier: str, store: str, run: Run) -> Known:
    """Put the records of the store ``earlier`` into the spool of ``store``; its genes come first there, too."""
    parts: dict[int, list[_Piece]] = defaultdict(list)
    for piece in _pieces(earlier):
        parts[piece.first // SITES_IN_CHUNK].append(piece)
    numbers = sorted(parts)
    names = [f"earlier-{number}" for number in numbers]
    tasks = [(name, parts[number]) for name, number in zip(names, numbers, strict=True)]
    run(partial(_copy_part, earlier=earlier, store=store), tasks, "copy variants")
    return Known(parts=names, reaches=_reaches(earlier))


def match_records(
    earlier: str, spool: Spool, genotypes: GenotypeSource, missing: str, run: Run
) -> npt.NDArray[np.int64]:
    """Which row of the store ``earlier`` each row of a spool is, -1 = none.

    The store's individuals are the first of ``genotypes``.

    Raises:
        InputError: a record of the store is not in the spool, its calls of the store's individuals differ, or
            one of them carries an allele of a record that the store would have, if it had known of it.
    """
    match = partial(_match, earlier=earlier, genotypes=genotypes, missing_is_n=missing == "n")
    matched: list[_Matched] = run(match, list(_stretches(earlier, spool)), "compare calls")
    if n := sum(stretch.n_problems for stretch in matched):
        first = next(stretch.problem for stretch in matched if stretch.n_problems)
        raise InputError(first + (f" ({n} such records)" if n > 1 else ""))
    return np.concatenate([stretch.rows for stretch in matched])


def _genes(earlier: str) -> dict[str, Any]:
    """What a store says of its genes, by array: where each window is, and of what it is made."""
    group: Any = zarr.open_group(earlier, mode="r")
    names = ("genotype_contig", "window_start", "reach_start", "reach_stop", "tss_deleted")
    rows = tuple(f"gene_{what}_{end}" for what in ("record", "variant") for end in ("start", "stop"))
    return {name: group[name][...].tolist() for name in names} | {
        name: group[f"variants/{name}"][...].tolist() for name in rows
    }


def _positions(earlier: str) -> npt.NDArray[np.int32]:
    """The 1-based positions of a store's variants."""
    variants: Any = zarr.open_group(f"{earlier}/variants", mode="r")
    return np.asarray(variants["variant_position"][...])


def _reaches(earlier: str) -> dict[int, Reach]:
    genes = _genes(earlier)
    measured = zip(genes["reach_start"], genes["reach_stop"], genes["tss_deleted"], strict=True)
    return {gene: Reach(*reach) for gene, reach in enumerate(measured)}


def _rows_of_contigs(genes: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """The rows of each contig in a store's variants, contigs in their order there."""
    rows: dict[str, tuple[int, int]] = {}
    for number, contig in enumerate(genes["genotype_contig"]):
        for what in ("record", "variant"):
            start, stop = (genes[f"gene_{what}_{end}"][number] for end in ("start", "stop"))
            if start < stop:
                first, last = rows.get(contig, (start, stop))
                rows[contig] = min(first, start), max(last, stop)
    return rows


def _covered(earlier: str) -> list[Interval]:
    """The regions of which a store has every record: merged, by contig and start."""
    genes = _genes(earlier)
    length = (attributes_of(earlier) or {})["length"]
    position = _positions(earlier)
    intervals = []
    for number, contig in enumerate(genes["genotype_contig"]):
        window, record = genes["window_start"][number], genes["gene_record_start"][number]
        start = min(window, genes["reach_start"][number])
        if record < genes["gene_record_stop"][number]:
            start = min(start, int(position[record]) - 1)
        intervals.append(Interval(contig, start, max(window + length, genes["reach_stop"][number])))
    return merged(intervals)


def _pieces(earlier: str) -> Iterator[_Piece]:
    """The regions of which a store has every record, in pieces of at most one block of variants."""
    position = _positions(earlier)
    rows = _rows_of_contigs(_genes(earlier))
    for interval in _covered(earlier):
        low, high = rows.get(interval.contig, (0, 0))
        first, stop = low + np.searchsorted(position[low:high] - 1, (interval.start, interval.stop))
        cuts = [int(first), *range((first // SITES_IN_CHUNK + 1) * SITES_IN_CHUNK, stop, SITES_IN_CHUNK)]
        edges = [interval.start, *(int(position[cut]) - 1 for cut in cuts[1:]), interval.stop]
        for (begin, end), rows_of in zip(
            itertools.pairwise(edges), itertools.pairwise([*cuts, int(stop)]), strict=True
        ):
            yield _Piece(Interval(interval.contig, begin, end), *rows_of)


def _copy_part(part: tuple[str, list[_Piece]], *, earlier: str, store: str) -> None:
    """Copy some pieces into a part of a spool. What was left out of them was counted when they were scanned."""
    name, pieces = part
    if part_summary(store, name) is not None:
        return
    variants: Any = zarr.open_group(earlier, mode="r")["variants"]
    n_individuals = variants["call_genotype"].shape[1]
    with_phase = "call_genotype_phased" in variants
    writer = PartWriter(store, name, n_individuals, with_phase=with_phase)
    for piece in pieces:
        for begin in range(piece.first, piece.stop, VARIANTS_IN_CHUNK):
            rows = slice(begin, min(begin + VARIANTS_IN_CHUNK, piece.stop))
            calls = variants["call_genotype"][rows]
            phased = variants["call_genotype_phased"][rows] if with_phase else np.ones(calls.shape[:2], bool)
            for position, label, alleles, genotype, known in zip(
                variants["variant_position"][rows].tolist(),
                variants["variant_id"][rows],
                variants["variant_allele"][rows],
                calls,
                phased,
                strict=True,
            ):
                texts = tuple(filter(None, alleles))
                writer.add(Record(piece.interval.contig, position, label, texts, (), genotype, known))
    summary = {
        "counts": dict.fromkeys(COUNTS, 0),
        **{"n_records": 0, "mismatches": [0], "refusals": [0]},
    }
    writer.finish([(piece.interval, piece.stop - piece.first) for piece in pieces], summary)


def _stretches(earlier: str, spool: Spool) -> Iterator[_Stretch]:
    """All rows of a spool and of a store's variants, cut where records of one position stay together."""
    position = _positions(earlier)
    stored = _rows_of_contigs(_genes(earlier))
    covered = _covered(earlier)
    for contig, rows in rows_by_contig(spool).items():
        low, high = stored.get(contig, (0, 0))
        starts = position[low:high] - 1
        edges = [-_FAR, *np.unique(rows.start[SITES_IN_CHUNK::SITES_IN_CHUNK]).tolist(), _FAR]
        for begin, end in itertools.pairwise(edges):
            first, stop = np.searchsorted(starts, (begin, end)).tolist()
            if not len(rows.start) and first == stop:
                continue
            spooled = rows.starting_in(begin, end)
            yield _Stretch(
                contig,
                spool.only(*spooled),
                spooled,
                (low + first, low + stop),
                tuple(i for i in covered if i.contig == contig and i.start < end and begin < i.stop),
            )


def _match(stretch: _Stretch, *, earlier: str, genotypes: GenotypeSource, missing_is_n: bool) -> _Matched:
    """Compare the records of a stretch, and the calls of the store's individuals in them."""
    variants: Any = zarr.open_group(earlier, mode="r")["variants"]
    spool, (first, stop) = stretch.spool, stretch.spooled
    stored = slice(*stretch.stored)
    position = spool.column("position", first, stop)
    row_of = {key: row for row, key in enumerate(_keys(position, spool.column("allele", first, stop)))}
    keys = list(_keys(variants["variant_position"][stored], variants["variant_allele"][stored]))
    problems = {
        at: f"{_change(alleles)} is in the store, but not there any more, or with other alleles; append people from "
        "files that have all records of the store"
        for at, alleles, number in keys
        if (at, alleles, number) not in row_of
    }
    same = [(row_of[key], number) for number, key in enumerate(keys) if key in row_of]
    here, there = np.array(same, dtype=np.int64).reshape(-1, 2).T
    rows = np.full(stop - first, -1, dtype=np.int64)
    rows[here] = there + stored.start
    added = (rows < 0) & _is_in(position - 1, stretch.covered)
    for row in here[1:][np.diff(here) < 0].tolist():
        problems.setdefault(
            int(position[row]),
            "its records are in another order than in the store; append people from files with the records in the "
            "same order",
        )
    n_individuals = variants["call_genotype"].shape[1]
    for begin in range(0, n_individuals if first < stop else 0, INDIVIDUALS_IN_CHUNK):
        people = slice(begin, min(begin + INDIVIDUALS_IN_CHUNK, n_individuals))
        now = spool.calls("call_genotype", first, stop, people)
        was = np.zeros_like(now)  # what the store does not have is the reference
        was[here] = variants["call_genotype"][stored, people][there]
        known_now, known_was = np.ones(now.shape[:2], bool), np.ones(now.shape[:2], bool)
        if "call_genotype_phased" in variants:
            known_now = spool.calls("call_genotype_phased", first, stop, people)
            known_was[here] = variants["call_genotype_phased"][stored, people][there]
        changed = (was != now).any(axis=-1) | ((known_was != known_now) & (now[..., 0] != now[..., 1]))
        carried = ((now > 0) | ((now == MISSING) & missing_is_n)).any(axis=-1)
        differs = np.where((rows >= 0)[:, None], changed, carried & added[:, None])
        for row in np.flatnonzero(differs.any(axis=1)):
            who = int(np.flatnonzero(differs[row])[0])
            calls = _call(now[row, who], known_now[row, who]), _call(was[row, who], known_was[row, who])
            problems.setdefault(
                int(position[row]),
                f"the call of {genotypes.individuals[begin + who]} is {calls[0]}, but "
                + (f"{calls[1]} in the store" if rows[row] >= 0 else "the store does not know this record")
                + "; append people from files that say the same of those in the store",
            )
    where = f"{genotypes.path_of(stretch.contig)}: {stretch.contig}"
    text = f"{where}:{min(problems)}: {problems[min(problems)]}" if problems else ""
    return _Matched(rows, len(problems), text)


def _keys(
    positions: npt.NDArray[np.integer], alleles: npt.NDArray[np.object_]
) -> Iterator[tuple[int, tuple[str, ...], int]]:
    """What tells records of a contig apart: position, alleles, and the how many-th of these it is."""
    seen: Counter[Hashable] = Counter()
    for position, texts in zip(positions.tolist(), alleles, strict=True):
        key = position, tuple(text.upper() for text in texts if text)
        yield *key, seen[key]
        seen[key] += 1


def _is_in(starts: npt.NDArray[np.integer], intervals: Sequence[Interval]) -> npt.NDArray[np.bool_]:
    """Which 0-based positions lie in any of some disjoint, ordered intervals."""
    edges = np.array([edge for interval in intervals for edge in (interval.start, interval.stop)], np.int64)
    inside: npt.NDArray[np.bool_] = np.searchsorted(edges, starts, side="right") % 2 == 1
    return inside


def _change(alleles: tuple[str, ...]) -> str:
    text = f"{alleles[0]}>{','.join(alleles[1:])}"
    return text if len(text) <= 40 else f"{text[:37]}…"


def _call(pair: npt.NDArray[np.int8], phased: bool) -> str:
    """A call as VCF spells it."""
    texts = ["." if allele == MISSING else str(allele) for allele in pair.tolist() if allele != ABSENT]
    return ("|" if phased else "/").join(texts)
