"""Haplotype windows: the bases round a TSS, with an individual's alleles put in.

Which records are applied equals ``bcftools consensus -H 1`` and ``-H 2`` run on the whole contig (checked in
the tests). A window is grown from the TSS base outwards, so that base is at index length / 2 for everyone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt
import xxhash

from seqstore.genotypes import MISSING
from seqstore.nucleotides import Codes
from seqstore.records import CODE_CALL, N_CALL, RecordTable

_Ints = npt.NDArray[np.int64]
#: Columns of an edit: the reference bases start to stop (0-based) become ``bases[origin:origin + size]``.
START, STOP, ORIGIN, SIZE, RECORD = range(5)
#: What became of a record on a haplotype.
_NOTHING, _APPLIED, _SKIPPED, _MISSING = range(4)
_FAR = np.int64(1 << 60)


@dataclass(frozen=True)
class HaplotypeBlock:
    """The windows of a block of individuals.

    ``windows`` (window, bytes) uint8, packed, are the distinct ones in first-seen order; ``which``
    (individual, 2) says which of them each haplotype is and ``haplotype_id`` (individual, 2) which of the
    gene's, -1 = no such haplotype; ``applied``, ``skipped`` and ``missing`` (individual, 2) int32: what
    happened to the records of the window.
    """

    windows: Codes
    which: npt.NDArray[np.intp]
    haplotype_id: npt.NDArray[np.int32]
    applied: npt.NDArray[np.int32]
    skipped: npt.NDArray[np.int32]
    missing: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Reach:
    """The reference bases that windows are made of: 0-based, half-open, over all haplotypes.

    ``n_tss_deleted`` counts the haplotypes on which the TSS base is deleted.
    """

    start: int
    stop: int
    n_tss_deleted: int


@dataclass
class WindowEncoder:
    """Encodes the haplotypes of one gene, block by block of individuals.

    ``records`` are applied to ``reference``, the codes from the 0-based position ``reference_start`` on, which
    cover the gene's `Reach`; ``tss`` is 0-based; ``length`` is in bases, even.
    """

    records: RecordTable
    reference: Codes
    reference_start: int
    tss: int
    length: int
    _id_of_window: dict[bytes, int] = field(default_factory=dict)

    @property
    def n_distinct(self) -> int:
        """Number of distinct windows met so far."""
        return len(self._id_of_window)

    def know(self, windows: Codes) -> None:
        """Give windows (window, bytes), packed, their numbers as ids, before any other is met."""
        self._id_of_window = {xxhash.xxh3_128_digest(window): number for number, window in enumerate(windows)}

    def encode(
        self, calls: npt.NDArray[np.int8], present: npt.NDArray[np.bool_] | None = None
    ) -> HaplotypeBlock:
        """Windows of a block of individuals.

        ``calls`` (record, individual, 2) from `seqstore.records.calls_to_apply`; ``present``
        (individual, 2), None = all: which haplotypes there are. One that is not has zeros and id -1.
        """
        n_individuals = calls.shape[1]
        distinct, inverse = _distinct_columns(calls)
        packed = np.empty((len(distinct), self.length // 2), dtype=np.uint8)
        counts = np.zeros((len(distinct), 4), dtype=np.int32)
        _render(
            self.records,
            distinct,
            self.tss,
            self.reference,
            self.reference_start,
            packed,
            counts,
        )
        # Different alleles can still make equal windows (a missing call, a skipped record).
        there = np.ones(2 * n_individuals, dtype=bool) if present is None else present.ravel()
        first_seen = list(dict.fromkeys(inverse[there].tolist()))
        digests = [xxhash.xxh3_128_digest(packed[row]) for row in first_seen]
        number_of = {digest: number for number, digest in enumerate(dict.fromkeys(digests))}
        number = np.full(len(distinct), -1, dtype=np.intp)
        number[first_seen] = [number_of[digest] for digest in digests]
        which = np.where(there, number[inverse], -1)
        ids = [self._id_of_window.setdefault(digest, len(self._id_of_window)) for digest in number_of]
        counts = np.where(there[:, None], counts[inverse], 0)
        shape = (n_individuals, 2)
        row_of = dict(zip(digests, first_seen, strict=True))
        rows = [row_of[digest] for digest in number_of]
        return HaplotypeBlock(
            windows=packed if rows == list(range(len(packed))) else packed[rows],
            which=which.reshape(shape),
            haplotype_id=np.append(ids, -1).astype(np.int32)[which].reshape(shape),
            applied=counts[:, _APPLIED].reshape(shape),
            skipped=counts[:, _SKIPPED].reshape(shape),
            missing=counts[:, _MISSING].reshape(shape),
        )


def reach_of(records: RecordTable, calls: npt.NDArray[np.int8], tss: int, length: int) -> Reach:
    """The reference bases that the windows of ``calls`` (record, individual, 2) are made of."""
    distinct, inverse = _distinct_columns(calls)
    reach = np.empty((len(distinct), 3), dtype=np.int64)
    _measure(records, distinct, tss, length, reach)
    n_deleted = np.bincount(inverse, minlength=len(distinct)) @ reach[:, 2]
    return Reach(int(reach[:, 0].min()), int(reach[:, 1].max()), int(n_deleted))


def skipped_calls(records: RecordTable, calls: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Calls (record, individual, 2) of an ALT allele that is not in the sequence.

    The overlap rule skips it, or it is of a kind that is not put in. ``records`` begin where no record
    before them reaches.
    """
    haplotypes = np.ascontiguousarray(calls.reshape(calls.shape[0], 2 * calls.shape[1]).T)
    status = np.zeros(haplotypes.shape, dtype=np.uint8)
    _resolve_all(records, haplotypes, status)
    return np.ascontiguousarray((status == _SKIPPED).T).reshape(calls.shape)


def resolve(records: RecordTable, calls: npt.NDArray[np.int8]) -> _Ints:
    """The edits (edit, START | STOP | ORIGIN | SIZE | RECORD) of one haplotype, from its ``calls`` (record,).

    They are ordered and do not overlap.
    """
    edits = np.empty((len(calls) + 1, 5), dtype=np.int64)
    status = np.zeros(len(calls), dtype=np.uint8)
    return edits[: _resolve(records, np.ascontiguousarray(calls), edits, status)]


def _distinct_columns(calls: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.intp]]:
    """The distinct haplotypes (distinct, record) among ``calls``, and which one each is (haplotype,).

    Most haplotypes are shared; each distinct one is encoded once.
    """
    haplotypes = np.ascontiguousarray(calls.reshape(calls.shape[0], 2 * calls.shape[1]).T)
    row_of: dict[bytes, int] = {}
    inverse = np.array([row_of.setdefault(row.tobytes(), len(row_of)) for row in haplotypes], dtype=np.intp)
    return haplotypes[np.unique(inverse, return_index=True)[1]], inverse


@numba.njit(cache=True, nogil=True)
def _resolve(
    records: RecordTable,
    calls: npt.NDArray[np.int8],
    edits: _Ints,
    status: Codes,
) -> int:  # pragma: no cover  (compiled)
    """Fill the edits of one haplotype, ordered and disjoint, and each record's status; returns their number.

    bcftools' overlap rule: in file order, a record that starts at or before the last reference base of the
    last applied one is skipped, unless it starts at that very base, is an insertion or deletion behind it
    (``anchored``), and the last one was no insertion. Then both are applied.
    """
    n = 0
    last = np.int64(-1)  # the last reference base that is taken
    last_is_insertion = False
    for record in range(len(calls)):
        call = calls[record]
        status[record] = _NOTHING
        if call == 0:
            continue
        if call == MISSING:
            status[record] = _MISSING
            continue
        begin = records.start[record]
        first = np.int64(0)  # bases of the alleles that an earlier record has taken
        if call >= CODE_CALL:
            origin, size, end = np.int64(call - CODE_CALL), np.int64(1), begin + 1
            status[record] = _MISSING if call == N_CALL else _APPLIED
            if begin <= last:
                status[record] = _MISSING if call == N_CALL else _SKIPPED
                continue
        else:
            origin, size = records.allele_start[record, call], records.allele_length[record, call]
            end = begin + records.allele_length[record, 0]
            if begin <= last:
                if begin == last and records.anchored[record, call] and not last_is_insertion:
                    first = np.int64(1)
                else:
                    size = np.int64(-1)
            if size < 0:
                status[record] = _SKIPPED
                continue
            status[record] = _APPLIED
        edits[n, START] = begin + first
        edits[n, STOP] = end
        edits[n, ORIGIN] = origin + first
        edits[n, SIZE] = size - first
        edits[n, RECORD] = record
        last = end - 1
        last_is_insertion = size > end - begin
        n += 1
    return n


@numba.njit(cache=True, nogil=True)
def _resolve_all(
    records: RecordTable,
    calls: npt.NDArray[np.int8],
    status: Codes,
) -> None:  # pragma: no cover  (compiled)
    edits = np.empty((calls.shape[1] + 1, 5), dtype=np.int64)
    for haplotype in range(calls.shape[0]):
        _resolve(records, calls[haplotype], edits, status[haplotype])


@numba.njit(cache=True, nogil=True)
def locate(
    position: int, edits: _Ints, n: int, records: RecordTable
) -> tuple[int, int, int]:  # pragma: no cover  (compiled)
    """Where a reference base is on a haplotype: (edit, index in its allele, base).

    Index -1: the base is unchanged, before that edit (n = behind the last). Of a deleted base, the next base
    to the right that is not deleted; that is the ``base`` returned.
    Within an allele, what REF and ALT share at their ends is the same base (the ends are compared from the
    right first, as indels are left-aligned), of the rest the first bases are each other's substitutes.
    """
    edit = 0
    while True:
        while edit < n and edits[edit, STOP] <= position:
            edit += 1
        if edit == n or position < edits[edit, START]:
            return edit, -1, position
        begin, stop, size = edits[edit, START], edits[edit, STOP], edits[edit, SIZE]
        origin, record = edits[edit, ORIGIN], edits[edit, RECORD]
        n_ref, at = stop - begin, position - begin
        if n_ref == size:
            return edit, at, position
        ref = records.allele_start[record, 0] + begin - records.start[record]
        shorter = min(n_ref, size)
        suffix_limit = shorter - 1 if shorter and records.bases[ref] == records.bases[origin] else shorter
        suffix = 0
        while (
            suffix < suffix_limit
            and records.bases[ref + n_ref - 1 - suffix] == records.bases[origin + size - 1 - suffix]
        ):
            suffix += 1
        prefix = 0
        while prefix < shorter - suffix and records.bases[ref + prefix] == records.bases[origin + prefix]:
            prefix += 1
        if at >= n_ref - suffix:
            return edit, at - n_ref + size, position
        if at < size - suffix:
            return edit, at, position
        position = stop - suffix


@numba.njit(cache=True, nogil=True)
def _copy(source: Codes, begin: int, target: Codes, to: int, n: int) -> None:  # pragma: no cover  (compiled)
    """Copy n bases. Assigned as slices, which numba does not make vectors of, they take 20 times as long."""
    if n < 0 or begin < 0 or to < 0 or begin + n > len(source) or to + n > len(target):
        raise IndexError("a window reaches past the bases that it is made of")
    here, there = source[begin : begin + n], target[to : to + n]
    for base in range(n):
        there[base] = here[base]


@numba.njit(cache=True, nogil=True)
def _grow(
    edits: _Ints,
    n: int,
    records: RecordTable,
    tss: int,
    length: int,
    reference: Codes,
    reference_start: int,
    window: Codes,
) -> tuple[int, int, bool]:  # pragma: no cover  (compiled)
    """Fill a window (length,) from the TSS outwards; with no ``reference``, only measure.

    Returns the reference bases it is made of, start and stop, and whether the TSS base is deleted.
    """
    write = len(reference) > 0
    anchor, at, base = locate(tss, edits, n, records)
    # To the right.
    filled, edit = length // 2, anchor
    if at >= 0:
        take = min(edits[edit, SIZE] - at, length - filled)
        if write:
            _copy(records.bases, edits[edit, ORIGIN] + at, window, filled, take)
        filled += take
        position = edits[edit, STOP]
        edit += 1
    else:
        position = base
    last = position
    while filled < length:
        take = min((edits[edit, START] if edit < n else _FAR) - position, length - filled)
        if write:
            _copy(reference, position - reference_start, window, filled, take)
        filled += take
        position += take
        last = position
        if filled < length:
            take = min(edits[edit, SIZE], length - filled)
            if write:
                _copy(records.bases, edits[edit, ORIGIN], window, filled, take)
            filled += take
            position = edits[edit, STOP]
            last = max(position, records.start[edits[edit, RECORD]] + 1)
            edit += 1
    # To the left: from the base before the TSS.
    left, edit = length // 2, anchor
    if at >= 0:
        take = min(at, left)
        if write:
            _copy(records.bases, edits[edit, ORIGIN] + at - take, window, left - take, take)
        left -= take
        position = edits[edit, START]
    else:
        position = base
    first = min(position, records.start[edits[edit, RECORD]]) if at >= 0 else position
    edit -= 1
    while left > 0:
        take = min(position - (edits[edit, STOP] if edit >= 0 else -_FAR), left)
        if write:
            _copy(reference, position - reference_start - take, window, left - take, take)
        left -= take
        position -= take
        first = min(first, position)
        if left > 0:
            take = min(edits[edit, SIZE], left)
            if write:
                origin = edits[edit, ORIGIN] + edits[edit, SIZE] - take
                _copy(records.bases, origin, window, left - take, take)
            left -= take
            position = edits[edit, START]
            first = min(first, records.start[edits[edit, RECORD]])
            edit -= 1
    return first, max(last, tss + 1), base != tss


@numba.njit(cache=True, nogil=True)
def _measure(
    records: RecordTable,
    calls: npt.NDArray[np.int8],
    tss: int,
    length: int,
    reach: _Ints,
) -> None:  # pragma: no cover  (compiled)
    """Fill reach (haplotype, start | stop | TSS deleted)."""
    edits = np.empty((calls.shape[1] + 1, 5), dtype=np.int64)
    status = np.empty(calls.shape[1], dtype=np.uint8)
    nothing = np.empty(0, dtype=np.uint8)
    for haplotype in range(calls.shape[0]):
        n = _resolve(records, calls[haplotype], edits, status)
        first, last, deleted = _grow(edits, n, records, tss, length, nothing, 0, nothing)
        reach[haplotype, 0] = first
        reach[haplotype, 1] = last
        reach[haplotype, 2] = deleted


@numba.njit(cache=True, nogil=True)
def _render(
    records: RecordTable,
    calls: npt.NDArray[np.int8],
    tss: int,
    reference: Codes,
    reference_start: int,
    windows: Codes,
    counts: npt.NDArray[np.int32],
) -> None:  # pragma: no cover  (compiled)
    """Fill packed windows (haplotype, bytes) and counts (haplotype, status) of the records that start in them."""
    length = 2 * windows.shape[1]
    window = np.empty(length, dtype=np.uint8)
    edits = np.empty((calls.shape[1] + 1, 5), dtype=np.int64)
    status = np.empty(calls.shape[1], dtype=np.uint8)
    for haplotype in range(calls.shape[0]):
        n = _resolve(records, calls[haplotype], edits, status)
        first, last, _ = _grow(edits, n, records, tss, length, reference, reference_start, window)
        for byte in range(length // 2):
            windows[haplotype, byte] = window[2 * byte] | (window[2 * byte + 1] << 4)
        for record in range(calls.shape[1]):
            if first <= records.start[record] < last:
                counts[haplotype, status[record]] += 1
