"""Windows as edits of another: what an edit is, and finding those that make one window of another.

The windows of one gene differ from their commonest one, the template, at a few places. There are two kinds of
edits: a substitution puts another base in the place of one, an indel puts some bases (or none) in the place of
some (or none) and moves what follows. A window is a list of numbers of edits, in two sorted tables that all
windows of a chunk share.

Everything here is on packed bases, two to a byte (`seqstore.nucleotides`). An indel of an odd length moves what
follows by half a byte; so a template is kept in two phases, as it is and moved by one base, and every stretch of
a window has the bytes of one of them. `seqstore.rendering` makes the windows again.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from seqstore.memory import word_at

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]

#: Behind an edit so many bases are the template's again, or all that are left.
_MATCH = 16
#: The same behind an edit that moves the window by thousands of bases.
_FAR_MATCH = 200
#: Edits of up to so many bases are looked for before any other.
_SMALL = 64
#: Of the places of the template that a stretch of a window could come from, so many are looked at.
_TRIED = 256
#: In a list, this byte stands for itself and what the next byte adds.
MORE = 255


class Edits(NamedTuple):
    """The edits that make windows of a template, both kinds sorted by their place.

    ``base`` (S,) and ``code`` (S,) are the substitutions; ``start``, ``deleted`` and ``inserted`` (I,) the
    indels, in bases of the template, and ``insertion`` the inserted codes of all of them, back to back.
    ``lists`` is what each window is made of, ``ends`` (windows,) where its list ends.
    """

    base: npt.NDArray[np.uint32]
    code: Bytes
    start: npt.NDArray[np.uint32]
    deleted: npt.NDArray[np.uint32]
    inserted: npt.NDArray[np.uint32]
    insertion: Bytes
    lists: Bytes
    ends: npt.NDArray[np.uint32]


def both_phases(template: Bytes) -> Bytes:
    """A packed template (bytes,) as it is, and moved right by one base: (2, bytes + 1)."""
    phases = np.zeros((2, len(template) + 1), dtype=np.uint8)
    phases[0, :-1] = template
    phases[1] = phases[0] << 4
    phases[1, 1:] |= template >> 4
    return phases


@numba.njit(cache=True, nogil=True)
def all_n(windows: Bytes) -> npt.NDArray[np.bool_]:  # pragma: no cover  (compiled)
    """Which of packed windows (n, bytes) are nothing but N; looks no further than to their first other base."""
    found = np.ones(len(windows), dtype=np.bool_)
    for number in range(len(windows)):
        for byte in windows[number]:
            if byte:
                found[number] = False
                break
    return found


def find_edits(template: Bytes, windows: Bytes) -> Edits:
    """The edits that make packed windows (n, bytes) of a packed template (bytes,)."""
    windows = np.ascontiguousarray(windows)
    phases = both_phases(template)
    substitutions, indels, ends = _align_all(windows, phases, *_index(phases))
    table, substitution = _number_substitutions(substitutions, 2 * len(template))
    order = np.lexsort((_hashes(windows, indels), *indels[:, [3, 2, 1]].T))
    first, indel = _number_indels(windows, indels, order)
    kept = indels[first]
    lists, list_ends = _write_lists(substitution, indel, ends)
    return Edits(
        base=(table >> 4).astype(np.uint32),
        code=(table & 15).astype(np.uint8),
        start=kept[:, 1].astype(np.uint32),
        deleted=kept[:, 2].astype(np.uint32),
        inserted=kept[:, 3].astype(np.uint32),
        insertion=_insertions(windows, kept),
        lists=lists,
        ends=list_ends.astype(np.uint32),
    )


@numba.njit(cache=True, nogil=True)
def _code_at(packed: Bytes, base: int) -> int:  # pragma: no cover  (compiled)
    code: int = (packed[base >> 1] >> np.uint8(4 * (base & 1))) & np.uint8(15)
    return code


@numba.njit(cache=True, nogil=True)
def _n_equal(window: Bytes, at: int, phases: Bytes, of: int) -> int:  # pragma: no cover  (compiled)
    """How many bases of a window from ``at`` on are those of the template from ``of`` on."""
    length = 2 * len(window)
    most = min(length - at, length - of)
    if most <= 0:
        return 0
    moved = (at - of) & 1
    here, there, n = at >> 1, (of + moved) >> 1, 0
    if at & 1:
        if (window[here] ^ phases[moved, there]) >> np.uint8(4):
            return 0
        here, there, n = here + 1, there + 1, 1
    mine, others = window.ctypes.data + here, phases[moved].ctypes.data + there
    while n + 16 <= most:
        differ = word_at(mine) ^ word_at(others)
        if differ:
            while not differ & np.uint64(15):
                differ, n = differ >> np.uint64(4), n + 1
            return n
        mine, others, n = mine + 8, others + 8, n + 16
    while n < most and _code_at(window, at + n) == _code_at(phases[moved], of + moved + n):
        n += 1
    return n


@numba.njit(cache=True, nogil=True)
def _slot(key: np.uint64, n_bits: int) -> np.int64:  # pragma: no cover  (compiled)
    return np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - n_bits))


@numba.njit(cache=True, nogil=True)
def _index(phases: Bytes) -> tuple[Places, Places]:  # pragma: no cover  (compiled)
    """Where the template has which 16 bases: the first place by their hash, and the next place with that hash."""
    length = 2 * (phases.shape[1] - 1)
    n_bits = 8
    while (1 << n_bits) < length:
        n_bits += 1
    first = np.full(1 << n_bits, -1, dtype=np.int32)
    following = np.full(max(length, 1), -1, dtype=np.int32)
    key = np.uint64(0)
    for base in range(length - 1, -1, -1):
        key = (key << np.uint64(4)) | np.uint64(_code_at(phases[0], base))
        if base + 16 <= length:
            slot = _slot(key, n_bits)
            following[base] = first[slot]
            first[slot] = base
    return first, following


@numba.njit(cache=True, nogil=True)
def _next_edit(
    window: Bytes, at: int, phases: Bytes, of: int, first: Places, following: Places
) -> tuple[int, int]:  # pragma: no cover  (compiled)
    """How many bases of the window, and how many of the template, lie before they are the same again."""
    length = 2 * len(window)
    for n in range(1, _SMALL + 1):
        if at + n > length or of + n > length:
            break
        if _goes_on(window, at + n, phases, of + n):
            return n, n
        if _goes_on(window, at, phases, of + n):
            return 0, n
        if _goes_on(window, at + n, phases, of):
            return n, 0
    n_bits = 0
    while (1 << n_bits) < len(first):
        n_bits += 1
    key = np.uint64(0)
    for base in range(at, length):
        key = (key >> np.uint64(4)) | (np.uint64(_code_at(window, base)) << np.uint64(60))
        here = base - 15
        if here < at:
            continue
        place, best, least, tried = first[_slot(key, n_bits)], -1, length, 0
        while place >= 0 and tried < _TRIED:
            moved = abs((place - of) - (here - at))
            # What comes from far is likely a repeat, unless it goes on for long.
            enough = min(_MATCH + moved // 8, _FAR_MATCH)
            if place >= of and moved < least and _n_equal(window, here, phases, place) >= enough:
                best, least = place, moved
            place, tried = following[place], tried + 1
        if best >= 0:
            return here - at, best - of
    return length - at, 0


@numba.njit(cache=True, nogil=True)
def _goes_on(window: Bytes, at: int, phases: Bytes, of: int) -> bool:  # pragma: no cover  (compiled)
    """Whether enough bases are equal from here on, or all that are left of either."""
    length = 2 * len(window)
    return _n_equal(window, at, phases, of) >= min(_MATCH, length - at, length - of)


@numba.njit(cache=True, nogil=True)
def _longer(rows: Ints) -> Ints:  # pragma: no cover  (compiled)
    longer = np.empty((2 * len(rows), rows.shape[1]), dtype=rows.dtype)
    longer[: len(rows)] = rows
    return longer


@numba.njit(cache=True, nogil=True)
def _align_all(
    windows: Bytes, phases: Bytes, first: Places, following: Places
) -> tuple[Ints, Ints, Ints]:  # pragma: no cover  (compiled)
    """The edits of each window, in order.

    Returns substitutions (16 base + code), indels (window, start, deleted, inserted, and where in the window the
    inserted bases are), and for each window how many of either there are up to it.
    """
    length = 2 * windows.shape[1]
    substitutions, n_substitutions = np.empty((1024, 1), dtype=np.int64), 0
    indels, n_indels = np.empty((64, 5), dtype=np.int64), 0
    ends = np.empty((len(windows), 2), dtype=np.int64)
    for number in range(len(windows)):
        window = windows[number]
        at = of = 0
        while True:
            n = _n_equal(window, at, phases, of)
            at, of = at + n, of + n
            if at == length:
                break
            inserted, deleted = _next_edit(window, at, phases, of, first, following)
            if inserted == deleted:
                for place in range(inserted):
                    code = _code_at(window, at + place)
                    if code == _code_at(phases[0], of + place):
                        continue
                    if n_substitutions == len(substitutions):
                        substitutions = _longer(substitutions)
                    substitutions[n_substitutions, 0] = 16 * (of + place) + code
                    n_substitutions += 1
            else:
                if n_indels == len(indels):
                    indels = _longer(indels)
                indels[n_indels, 0], indels[n_indels, 1], indels[n_indels, 2] = number, of, deleted
                indels[n_indels, 3], indels[n_indels, 4] = inserted, at
                n_indels += 1
            at, of = at + inserted, of + deleted
        ends[number, 0], ends[number, 1] = n_substitutions, n_indels
    return substitutions[:n_substitutions, 0].copy(), indels[:n_indels], ends


@numba.njit(cache=True, nogil=True)
def _number_substitutions(keys: Ints, length: int) -> tuple[Ints, Ints]:  # pragma: no cover  (compiled)
    """The kinds of substitutions, sorted, and which of them each is."""
    kinds_at = np.zeros(length, dtype=np.uint16)
    for key in keys:
        kinds_at[key >> 4] |= np.uint16(1 << (key & 15))
    before, n = np.empty(length, dtype=np.int64), 0
    table = np.empty(len(keys), dtype=np.int64)
    for base in range(length):
        before[base] = n
        for code in range(16 if kinds_at[base] else 0):
            if kinds_at[base] >> np.uint16(code) & np.uint16(1):
                table[n] = 16 * base + code
                n += 1
    number = np.empty(len(keys), dtype=np.int64)
    for i in range(len(keys)):
        place = before[keys[i] >> 4]
        while table[place] != keys[i]:
            place += 1
        number[i] = place
    return table[:n].copy(), number


@numba.njit(cache=True, nogil=True)
def _hashes(windows: Bytes, indels: Ints) -> npt.NDArray[np.uint64]:  # pragma: no cover  (compiled)
    """A number for the inserted bases of each indel."""
    hashes = np.zeros(len(indels), dtype=np.uint64)
    for number in range(len(indels)):
        key = np.uint64(0)
        for place in range(indels[number, 3]):
            code = _code_at(windows[indels[number, 0]], indels[number, 4] + place)
            key = (key ^ np.uint64(code)) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        hashes[number] = key
    return hashes


@numba.njit(cache=True, nogil=True)
def _number_indels(
    windows: Bytes, indels: Ints, order: Ints
) -> tuple[Ints, Ints]:  # pragma: no cover  (compiled)
    """The first of each kind of indel, in sorted order, and which kind each is."""
    kinds, n = np.empty(len(order), dtype=np.int64), 0
    number = np.empty(len(order), dtype=np.int64)
    for i in order:
        same = n > 0
        if same:
            other = kinds[n - 1]
            same = (
                indels[i, 1] == indels[other, 1]
                and indels[i, 2] == indels[other, 2]
                and indels[i, 3] == indels[other, 3]
            )
            place = 0
            while same and place < indels[i, 3]:
                mine = _code_at(windows[indels[i, 0]], indels[i, 4] + place)
                same = mine == _code_at(windows[indels[other, 0]], indels[other, 4] + place)
                place += 1
        if not same:
            kinds[n] = i
            n += 1
        number[i] = n - 1
    return kinds[:n].copy(), number


@numba.njit(cache=True, nogil=True)
def _insertions(windows: Bytes, indels: Ints) -> Bytes:  # pragma: no cover  (compiled)
    """The inserted codes of indels, back to back."""
    codes, n = np.empty(indels[:, 3].sum(), dtype=np.uint8), 0
    for number in range(len(indels)):
        for place in range(indels[number, 3]):
            codes[n] = _code_at(windows[indels[number, 0]], indels[number, 4] + place)
            n += 1
    return codes


@numba.njit(cache=True, nogil=True)
def _write_lists(
    substitution: Ints, indel: Ints, ends: Ints
) -> tuple[Bytes, Ints]:  # pragma: no cover  (compiled)
    """The list of each window, back to back: bytes of the list of its indels, this, and that of its substitutions.

    Of a number, what it is more than the one before it, less 1, is written: 255 for each time that 255 is in
    it, then the rest. Returns the lists and where they end.
    """
    most = 2 * len(ends) + 16
    for numbers in (substitution, indel):
        for number in numbers:
            most += 2 + number // 128
    lists, n = np.empty(most, dtype=np.uint8), 0
    list_ends = np.empty(len(ends), dtype=np.int64)
    substitutions_done = indels_done = 0
    for window in range(len(ends)):
        n_bytes = _put_all(lists, n, indel[indels_done : ends[window, 1]]) - n
        n = _put_all(lists, _put(lists, n, n_bytes), indel[indels_done : ends[window, 1]])
        n = _put_all(lists, n, substitution[substitutions_done : ends[window, 0]])
        substitutions_done, indels_done = ends[window]
        list_ends[window] = n
    return lists[:n].copy(), list_ends


@numba.njit(cache=True, nogil=True)
def _put_all(lists: Bytes, n: int, numbers: Ints) -> int:  # pragma: no cover  (compiled)
    last = -1
    for number in numbers:
        n = _put(lists, n, number - last - 1)
        last = number
    return n


@numba.njit(cache=True, nogil=True)
def _put(lists: Bytes, n: int, number: int) -> int:  # pragma: no cover  (compiled)
    while number >= MORE:
        lists[n] = MORE
        n, number = n + 1, number - MORE
    lists[n] = number
    return n + 1
