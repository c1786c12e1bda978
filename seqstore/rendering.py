"""Making windows out of a template and lists of edits (`seqstore.edits`), as fast as memory is copied.

A window is the template, copied stretch by stretch between its indels, with its substitutions put in. What that
reads, the tables of a chunk and the lists in its mapped file, is given by address, so that one call of compiled code
makes the windows of many chunks, without any lock of Python's.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from seqstore.edits import MORE, Edits, both_phases
from seqstore.memory import (
    LINE,
    MUCH,
    ON_STACK,
    array_at,
    copy_bytes,
    copy_line,
    fence,
    numbers_on_stack,
    prefetch,
)

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

#: Of the addresses of a chunk: where its phases, its tables (see `Edits`), the windows of its rows and the lists lie.
(
    _PHASES, _N_SUBSTITUTIONS, _BASE, _CHANGE, _N_INDELS, _START, _DELETED, _INSERTED, _ORIGIN, _INSERTION, _CELLS,
    _ENDS, _LISTS, N_ADDRESSES,
) = range(14)  # fmt: skip
#: The number of a window that is all N.
NO_WINDOW = 0xFFFF
#: What `render` returns besides the number of a row.
RENDERED, OUTSIDE, CLOSED, NO_SENSE = range(4)


class Rendering:
    """What `render` needs of a chunk, in memory: its addresses stay good as long as this object is there.

    ``cells`` (rows x windows a row,) uint16 says which window each is, `NO_WINDOW` = none, all N.
    """

    def __init__(self, template: Bytes, edits: Edits, cells: npt.NDArray[np.uint16]) -> None:
        phases = both_phases(template)
        codes = phases[0, edits.base >> 1] >> (4 * (edits.base & 1)).astype(np.uint8) & 15
        change = codes ^ edits.code
        origin = np.cumsum(edits.inserted, dtype=np.uint32) - edits.inserted
        tables = (edits.start, edits.deleted, edits.inserted, origin, edits.insertion)
        kept = [phases, edits.base, change, *tables, cells, edits.ends, edits.lists]
        self._kept = [np.ascontiguousarray(array) for array in kept]
        places = [array.ctypes.data for array in self._kept]
        self.addresses = np.array(
            [places[0], len(change), *places[1:3], len(origin), *places[3:]], dtype=np.int64
        )
        self.n_bytes = sum(array.nbytes for array in self._kept)


#: In compiled code int() leaves unsigned numbers unsigned, and those and signed ones add up to floats.
_signed: Any = np.int64


@numba.njit(cache=True, nogil=True)
def render(
    chunks: Ints, shape: Ints, genes: Ints, individuals: Ints, haplotypes: Ints, out: Bytes
) -> tuple[int, int]:  # pragma: no cover  (compiled)
    """Make windows (n, windows, bytes): of n pairs of gene and individual, from haplotype ``haplotypes`` (n,) on.

    ``chunks`` (gene, chunk, `N_ADDRESSES`) are the addresses of the chunks, 0 = it is not there yet; ``shape`` says
    how many individuals there are, how many a chunk has, and how many haplotypes each. Returns `RENDERED`; or for
    the first pair for which it is so, `OUTSIDE` the store, `CLOSED`: its chunk is not there, or `NO_SENSE`: edits
    make no window; and the number of that pair.
    """
    n_individuals, block, ploidy = shape
    for i in range(len(genes)):
        inside = 0 <= genes[i] < len(chunks) and 0 <= individuals[i] < n_individuals
        if not (inside and 0 <= haplotypes[i] and haplotypes[i] + out.shape[1] <= ploidy):
            return OUTSIDE, i
    for i in range(len(genes)):
        if chunks[genes[i], individuals[i] // block, _PHASES] == 0:
            return CLOSED, i
    # Arrays by address, which nobody counts references to: to count is to wait until all that was written is written.
    per_gene, size, n_windows = chunks.shape[1] * N_ADDRESSES, out.shape[2], out.shape[1]
    changes = array_at(numbers_on_stack(), ON_STACK, np.int64)
    tables, to = array_at(chunks.ctypes.data, chunks.size, np.int64), out.ctypes.data
    # All lists are looked up first: one by one, each window would wait for memory.
    lists = np.empty((len(genes), n_windows, 2), dtype=np.int64)
    for i in range(len(genes)):
        first = genes[i] * per_gene + individuals[i] // block * N_ADDRESSES
        chunk = tables[first : first + N_ADDRESSES]
        cell = ploidy * (individuals[i] % block) + haplotypes[i]
        numbers = array_at(chunk[_CELLS], cell + n_windows, np.uint16)
        for place in range(n_windows):
            number = _signed(numbers[cell + place])
            if number == NO_WINDOW:
                lists[i, place] = -1
                continue
            ends = array_at(chunk[_ENDS], number + 1, np.uint32)
            lists[i, place, 0] = _signed(ends[number - 1]) if number else 0
            lists[i, place, 1] = _signed(ends[number])
            prefetch(chunk[_LISTS] + lists[i, place, 0])
    for i in range(len(genes)):
        first = genes[i] * per_gene + individuals[i] // block * N_ADDRESSES
        chunk = tables[first : first + N_ADDRESSES]
        for place in range(n_windows):
            window = array_at(to, size, np.uint8)
            begin, end = lists[i, place, 0], lists[i, place, 1]
            if begin < 0:
                window[:] = 0
            elif not _render_window(chunk, begin, end, window, changes, out.nbytes >= MUCH):
                return NO_SENSE, i
            to += size
    fence()
    return RENDERED, 0


@numba.njit(cache=True, nogil=True)
def _render_window(
    chunk: Ints, begin: int, end: int, window: Bytes, changes: Ints, past_caches: bool
) -> bool:  # pragma: no cover  (compiled)
    """Make a window out of its list, from ``begin`` to ``end`` among the lists; whether that made sense.

    First what is between the indels, then the substitutions, each moved by the indels before it: in one pass over
    both, this takes half as long again. Where there are no indels, all is written once, past the caches if wanted (then
    ``changes`` is as of `_substitute`).
    """
    length = 2 * len(window)
    lists = array_at(chunk[_LISTS], end, np.uint8)
    n_bytes, at_indel = _take(lists, begin)
    at = first = at_indel + n_bytes
    base = array_at(chunk[_BASE], chunk[_N_SUBSTITUTIONS], np.uint32)
    change = array_at(chunk[_CHANGE], chunk[_N_SUBSTITUTIONS], np.uint8)
    if n_bytes == 0:
        if past_caches:
            return _substitute(chunk[_PHASES], lists, at, base, change, window, changes)
        copy_bytes(window.ctypes.data, chunk[_PHASES], len(window))
    elif not _apply_indels(chunk, lists[:first], at_indel, window):
        return False
    start = array_at(chunk[_START], chunk[_N_INDELS], np.uint32)
    deleted = array_at(chunk[_DELETED], chunk[_N_INDELS], np.uint32)
    inserted = array_at(chunk[_INSERTED], chunk[_N_INDELS], np.uint32)
    substitution, indel, moved, moves_at = -1, -1, 0, -1
    while at < len(lists):
        more, at = _take(lists, at)
        substitution += more + 1
        if substitution >= len(base):
            return False
        place = _signed(base[substitution])
        while moves_at <= place:
            if moves_at >= 0:
                moved += _signed(inserted[indel]) - _signed(deleted[indel])
            moves_at = length
            if at_indel < first:
                more, at_indel = _take(lists[:first], at_indel)
                indel += more + 1
                if indel >= len(start):
                    return False
                moves_at = _signed(start[indel])
        place += moved
        if place < 0 or place >= length:
            return False
        window[place >> 1] ^= change[substitution] << np.uint8(4 * (place & 1))
    return True


@numba.njit(cache=True, nogil=True)
def _substitute(
    template: int,
    lists: Bytes,
    at: int,
    base: npt.NDArray[np.uint32],
    change: Bytes,
    window: Bytes,
    changes: Ints,
) -> bool:  # pragma: no cover  (compiled)
    """Copy the template past the caches, line by line of memory, with substitutions; whether these made sense.

    ``changes`` has room for as many as a line has bases.
    """
    to, n = window.ctypes.data, len(window)
    first = -to % LINE
    last = n - (to + n) % LINE  # between these are whole lines
    if first >= last:
        first = last = n
    copy_bytes(to, template, first)
    copy_bytes(to + last, template + last, n - last)
    done, n_changes, substitution = first, 0, -1
    while at < len(lists):
        more, at = _take(lists, at)
        substitution += more + 1
        if substitution >= len(base):
            return False
        place = _signed(base[substitution])
        byte = place >> 1
        if byte >= n or first <= byte < done:
            return False
        changed = change[substitution] << np.uint8(4 * (place & 1))
        if byte < first or byte >= last:
            window[byte] ^= changed
            continue
        if byte - done >= LINE:
            done = _copy_lines(to, template, done, byte, changes, n_changes)
            n_changes = 0
        if n_changes == len(changes):
            return False
        changes[n_changes] = (byte - done) << 8 | _signed(changed)
        n_changes += 1
    _copy_lines(to, template, done, last, changes, n_changes)
    return True


@numba.njit(cache=True, nogil=True)
def _copy_lines(
    to: int, template: int, done: int, end: int, changes: Ints, n_changes: int
) -> int:  # pragma: no cover  (compiled)
    """Copy whole lines that end before or at ``end``, the first with its changes; returns where the last one ends."""
    while end - done >= LINE:
        copy_line(to + done, template + done, changes.ctypes.data, n_changes)
        done, n_changes = done + LINE, 0
    return done


@numba.njit(cache=True, nogil=True)
def _apply_indels(chunk: Ints, lists: Bytes, at: int, window: Bytes) -> bool:  # pragma: no cover  (compiled)
    """Put together the stretches between the indels of a list and what these insert; whether that made sense."""
    length = 2 * len(window)
    start = array_at(chunk[_START], chunk[_N_INDELS], np.uint32)
    deleted = array_at(chunk[_DELETED], chunk[_N_INDELS], np.uint32)
    inserted = array_at(chunk[_INSERTED], chunk[_N_INDELS], np.uint32)
    origin = array_at(chunk[_ORIGIN], chunk[_N_INDELS], np.uint32)
    to, of, indel = 0, 0, -1
    while at < len(lists):
        more, at = _take(lists, at)
        indel += more + 1
        if indel >= len(start):
            return False
        n, size = _signed(start[indel]) - of, _signed(inserted[indel])
        if n < 0 or of + n > length or to + n + size > length:
            return False
        _copy_bases(chunk[_PHASES], of, window, to, n)
        to += n
        for code in array_at(chunk[_INSERTION] + _signed(origin[indel]), size, np.uint8):
            if to & 1:
                window[to >> 1] = window[to >> 1] & np.uint8(15) | code << np.uint8(4)
            else:
                window[to >> 1] = code
            to += 1
        of += n + _signed(deleted[indel])
    if of > to:
        return False  # the template is at its end before the window
    _copy_bases(chunk[_PHASES], of, window, to, length - to)
    return True


@numba.njit(cache=True, nogil=True)
def _copy_bases(phases: int, of: int, window: Bytes, to: int, n: int) -> None:  # pragma: no cover  (compiled)
    """Copy n bases of the template to a window; behind them half a byte may be anything."""
    if n == 0:
        return
    moved = (to - of) & 1
    source = phases + moved * (len(window) + 1) + ((of + moved) >> 1)
    if to & 1:
        byte = array_at(source, 1, np.uint8)[0]
        window[to >> 1] = window[to >> 1] & np.uint8(15) | byte & np.uint8(240)
        source, to, n = source + 1, to + 1, n - 1
    copy_bytes(window.ctypes.data + (to >> 1), source, (n + 1) >> 1)


@numba.njit(cache=True, nogil=True, inline="always")
def _take(lists: Bytes, at: int) -> tuple[int, int]:  # pragma: no cover  (compiled)
    """The number that stands in a list, and where the next one does."""
    number = 0
    while at < len(lists):
        byte = lists[at]
        number, at = number + _signed(byte), at + 1
        if byte != MORE:
            break
    return number, at
