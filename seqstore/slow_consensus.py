"""Haplotypes the slow way, for comparison with a store: plain Python, a record and a letter at a time.

It says in its own words what `seqstore.records` and `seqstore.haplotypes` do, and shares no code with them.
VCF and BCF files are read with pysam, which the build does not read records with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pysam

from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.genotypes import ABSENT, GenotypeSource

#: What became of a record on a haplotype; "" = the haplotype has the reference allele.
Fate = Literal["", "applied", "skipped", "missing"]

#: The nucleotides that each IUPAC letter stands for.
IUPAC = {
    **{"N": "", "A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT"},
    **{"K": "GT", "M": "AC", "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG"},
}
_LETTER_OF = {frozenset(bases): letter for letter, bases in IUPAC.items()} | {frozenset("ACGT"): "N"}


@dataclass(frozen=True)
class Call:
    """A genotype: the allele of each haplotype, None = missing; a haploid one has one allele."""

    alleles: tuple[int | None, ...]
    phased: bool


@dataclass(frozen=True)
class SlowRecord:
    """A record; ``start`` is 0-based, ``alleles`` has REF first, ``filters`` is empty for "."."""

    start: int
    id: str
    alleles: tuple[str, ...]
    filters: tuple[str, ...]
    calls: dict[str, Call]

    @property
    def stop(self) -> int:
        """The end of the REF allele."""
        return self.start + len(self.alleles[0])


class RecordReader(Protocol):
    """Reads the records of one genotype file."""

    def overlapping(self, contig: str, start: int, stop: int, people: Sequence[str]) -> list[SlowRecord]:
        """The records with a REF base in a 0-based, half-open region, with the calls of some people."""


@dataclass(frozen=True)
class VcfRecords:
    """Records of an indexed VCF or BCF file, through pysam."""

    path: str

    def overlapping(self, contig: str, start: int, stop: int, people: Sequence[str]) -> list[SlowRecord]:
        """See `RecordReader`."""
        try:
            with pysam.VariantFile(self.path) as file:
                if all(label.isalnum() for label in people):  # pysam joins them with commas
                    file.subset_samples(list(people))
                found = [
                    _from_pysam(record, set(people)) for record in file.fetch(contig, max(start, 0), stop)
                ]
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path}: cannot be read at {contig}:{start + 1}-{stop} ({error})"
            ) from error
        return [record for record in found if record.start < stop and record.stop > start]


def _from_pysam(record: Any, people: set[str]) -> SlowRecord:
    return SlowRecord(
        start=record.start,
        id=record.id or "",
        alleles=(record.ref, *(record.alts or ())),
        filters=tuple(record.filter.keys()),
        calls={
            label: Call(sample.allele_indices, len(sample.allele_indices) < 2 or sample.phased)
            for label, sample in record.samples.items()
            if label in people
        },
    )


@dataclass(frozen=True)
class SourceRecords:
    """Records of a file that only its own reader reads (PGEN, VCF Zarr)."""

    source: GenotypeSource

    def overlapping(self, contig: str, start: int, stop: int, people: Sequence[str]) -> list[SlowRecord]:
        """See `RecordReader`."""
        begin = self.source.first_reaching(contig, max(start, 0))
        records = [
            SlowRecord(
                start=record.position - 1,
                id=record.id,
                alleles=record.alleles,
                filters=record.filters,
                calls={
                    label: Call(tuple(None if a < 0 else a for a in pair if a != ABSENT), phased)
                    for label, pair, phased in zip(
                        people, record.genotype.tolist(), record.phased.tolist(), strict=True
                    )
                },
            )
            for record in self.source.subset(people).records(contig, begin, stop)
        ]
        return [record for record in records if record.stop > start]


def is_put_in(ref: str, alt: str, config: BuildConfig) -> bool:
    """Whether an ALT allele may stand in sequences: of SNPs alone those, else what is written in letters."""
    if config.variants == "snps":
        return len(ref) == len(alt) == 1 and alt.upper() in "ACGT"
    return bool(alt) and all(letter in IUPAC for letter in alt.upper())


def is_of_store(record: SlowRecord, config: BuildConfig) -> bool:
    """Whether a record is in the store: it passes the filter, and one of its alleles may stand in sequences."""
    ref, *alts = record.alleles
    return all(name in config.filter for name in record.filters or (".",)) and any(
        is_put_in(ref, alt, config) for alt in alts
    )


def clean_region(
    records_of: Callable[[int, int], Iterable[SlowRecord]], start: int, stop: int
) -> tuple[int, int, list[SlowRecord]]:
    """Widen a region until no record reaches over its ends; returns it and its records.

    What records to the left of it do cannot matter inside then: the overlap rule compares a record with
    the one before it that was applied, and those have all ended.
    """
    while True:
        records = list(records_of(start, stop))
        first = min((record.start for record in records), default=start)
        last = max((record.stop for record in records), default=stop)
        if start <= first and last <= stop:
            return start, stop, records
        start, stop = min(start, first), max(stop, last)


def haplotypes_of(calls: Sequence[Call], others: Callable[[], Iterable[Sequence[Call]]]) -> tuple[bool, bool]:
    """Which of the two haplotypes someone with these ``calls`` of a window's records has.

    One known haploid call: only the first. Nothing but lone dots: none, if any of the ``others`` (the calls
    of each person) has a known haploid call; else both.
    """
    if _is_haploid(calls):
        return True, False
    if calls and all(len(call.alleles) == 1 for call in calls) and any(map(_is_haploid, others())):
        return False, False
    return True, True


def _is_haploid(calls: Sequence[Call]) -> bool:
    return any(len(call.alleles) == 1 and call.alleles[0] is not None for call in calls)


@dataclass(frozen=True)
class Edit:
    """Reference bases ``start`` to ``stop`` (0-based), ``ref``, become ``alt``; of a record that starts there
    or, where it shares its first base with the record before it, one base further left."""

    start: int
    stop: int
    ref: str
    alt: str
    record_start: int


def edits_of(
    records: Sequence[SlowRecord], calls: Sequence[Call], haplotype: int, config: BuildConfig
) -> tuple[list[Edit], list[Fate]]:
    """What to do to the reference, and the fate of each record.

    A record that starts on a reference base which an applied one has taken is skipped. It may still follow
    at the last of those bases, if it is an insertion or deletion behind that base and the other one was
    no insertion: the base that both name stays as the other one left it.
    """
    edits: list[Edit] = []
    fates: list[Fate] = []
    taken, was_insertion = -1, False
    for record, call in zip(records, calls, strict=True):
        change = _change(record, call, haplotype, config)
        if isinstance(change, str):
            fates.append(change)
            continue
        ref, alt, fate = change
        on_taken = record.start < taken
        if on_taken and (was_insertion or record.start < taken - 1 or not _is_behind_first_base(ref, alt)):
            fates.append("missing" if fate == "missing" else "skipped")
            continue
        shared = 1 if on_taken else 0
        stop = record.start + len(ref)
        edits.append(Edit(record.start + shared, stop, ref[shared:], alt[shared:], record.start))
        fates.append(fate)
        taken, was_insertion = stop, len(alt) > len(ref)
    return edits, fates


def _change(
    record: SlowRecord, call: Call, haplotype: int, config: BuildConfig
) -> Fate | tuple[str, str, Fate]:
    """What a call asks for: REF, what takes its place, and the fate then; or a fate with no change."""
    alleles = [allele.upper() for allele in record.alleles]
    mine = call.alleles[haplotype] if haplotype < len(call.alleles) else None
    if config.unphased == "iupac" and not call.phased and len(set(call.alleles)) == 2:
        if None in call.alleles:
            mine = None  # one of the two is missing, and nobody knows which
        else:  # an allele that is not put in leaves the reference there
            pair = [
                a if a and is_put_in(record.alleles[0], record.alleles[a], config) else 0
                for a in call.alleles
            ]
            if any(pair) and all(len(alleles[a]) == 1 for a in pair):
                bases = frozenset("".join(IUPAC[alleles[a]] for a in pair))
                return alleles[0], _LETTER_OF[bases], "applied"
    if mine is None:
        return (alleles[0][0], "N", "missing") if config.missing == "n" else "missing"
    if mine == 0:
        return ""
    if not is_put_in(record.alleles[0], record.alleles[mine], config):
        return "skipped"
    return alleles[0], alleles[mine], "applied"


def _is_behind_first_base(ref: str, alt: str) -> bool:
    """Whether an allele only inserts or only deletes, and does so behind its first base."""
    if ref[0] != alt[0] or len(ref) == len(alt):
        return False
    same = 0
    while same < min(len(ref), len(alt)) and ref[same] == alt[same]:
        same += 1
    shorter, longer = sorted((ref[same:], alt[same:]), key=len)
    return longer.endswith(shorter)


@dataclass(frozen=True)
class SlowWindow:
    """One haplotype's window: its letters, the 0-based reference bases it is made of, and whether its TSS base
    is deleted."""

    letters: str
    first: int
    last: int
    tss_deleted: bool


def window_of(
    reference: str, start: int, edits: Sequence[Edit], *, tss: int, length: int, at_ends: tuple[bool, bool]
) -> SlowWindow | None:
    """Cut the window round a TSS (0-based) out of a haplotype; None if the reference is too short for it.

    ``reference`` are the letters from base ``start`` on; ``at_ends`` says whether its left and right end are
    those of the contig, behind which stands N.
    """
    stop, half = start + len(reference), length // 2
    letters: list[str] = []
    pieces: list[tuple[int, int, int, Edit | None]] = []  # in the haplotype from, to; in the reference from
    n, position, base, anchor = 0, start, tss, -1

    def keep(until: int) -> None:
        nonlocal n, position, anchor
        if anchor < 0 and position <= base < until:
            anchor = n + base - position
        letters.append(reference[position - start : until - start])
        pieces.append((n, n + until - position, position, None))
        n, position = n + until - position, until

    for edit in edits:
        keep(edit.start)
        if anchor < 0 and edit.start <= base < edit.stop:
            place, base = _place_in(edit, base)
            anchor = -1 if place is None else n + place
        letters.append(edit.alt)
        pieces.append((n, n + len(edit.alt), edit.start, edit))
        n, position = n + len(edit.alt), edit.stop
    keep(stop)
    if anchor < 0:
        anchor = n + base - stop  # all of the contig's end is deleted
    low, high = anchor - half, anchor + half
    if (low < 0 and not at_ends[0]) or (high > n and not at_ends[1]):
        return None
    firsts, lasts = [], [tss + 1]
    for begin, end, at, of in pieces:
        if of is None and begin < high and end > low and begin < end:
            firsts.append(at + max(low - begin, 0))
            lasts.append(at + min(high, end) - begin)
        elif of is not None and begin < high and end > low:
            firsts.append(of.record_start)
            lasts.append(max(of.stop, of.record_start + 1))
    if low < 0:
        firsts.append(start + low)
    if high > n:
        lasts.append(stop + high - n)
    return SlowWindow(
        letters=cut("".join(letters), low, high),
        first=min(firsts),
        last=max(lasts),
        tss_deleted=base != tss,
    )


def cut(letters: str, low: int, high: int) -> str:
    """The letters from index ``low`` to ``high``, N outside of them."""
    inside = letters[max(low, 0) : max(high, 0)]
    before = "N" * min(max(-low, 0), high - low)
    return (before + inside).ljust(high - low, "N")


def _place_in(edit: Edit, base: int) -> tuple[int | None, int]:
    """Where a reference base stands in the allele that replaces it, and which base that is.

    The bases that both alleles end with are the same ones, the others stand in for each other from the left
    on. Of a base that has none the next one is taken: the first of the common end, or else, outside of the
    allele (place None), the base behind it.
    """
    n_ref, n_alt = len(edit.ref), len(edit.alt)
    shorter = min(n_ref, n_alt)
    common = 0
    if n_ref != n_alt:
        most = shorter - 1 if shorter and edit.ref[0] == edit.alt[0] else shorter
        while common < most and edit.ref[-1 - common] == edit.alt[-1 - common]:
            common += 1
    at = base - edit.start
    if at >= n_ref - common:
        return at - n_ref + n_alt, base
    if at < n_alt - common:
        return at, base
    base = edit.stop - common
    return (n_alt - common, base) if common else (None, base)


def fates_in(records: Iterable[SlowRecord], fates: Iterable[Fate], window: SlowWindow) -> Iterator[Fate]:
    """The fates of the records that start in a window."""
    for record, fate in zip(records, fates, strict=True):
        if window.first <= record.start < window.last:
            yield fate
