"""Packed windows to one-hot matrices on a CPU, bit by bit or byte by byte.

A packed window is its own one-hot matrix, a bit an entry (`seqstore.nucleotides`): a byte is two bases of four
bits, the first base and the letter A lowest. A table with a row of 8 numbers for each of the 256 bytes unpacks it.
Where the numbers are 0 and 1, and of two or four bytes, 16 bases at once are taken as a mask over a vector of ones,
which is as fast as memory can be written.
"""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
import numpy.typing as npt

from seqstore.memory import (
    LINE,
    MUCH,
    fence,
    reversed_bits,
    spread_16,
    spread_16_past_caches,
    spread_32,
    spread_32_past_caches,
    word_at,
)

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.unsignedinteger]
Ambiguous = Literal["zero", "fraction", "multihot"]


def byte_table(
    ambiguous: str = "zero", dtype: npt.DTypeLike | Literal["bfloat16"] = np.float32
) -> npt.NDArray[Any]:
    """What each of the 256 bytes is as two one-hot bases: (256, 8) numbers.

    ``ambiguous`` says what a base with several bits (an IUPAC code) becomes: ``zero`` nothing, as in the
    study; ``fraction`` a share of 1 for each nucleotide; ``multihot`` 1 for each. The numbers of ``"bfloat16"``,
    which numpy does not know, are given as uint16 with their bits: `torch.from_numpy(...).view(torch.bfloat16)`.
    """
    bits = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1, bitorder="little")[:, :4]
    codes = bits.astype(np.float32)
    n_bits = codes.sum(axis=1, keepdims=True)
    if ambiguous == "zero":
        codes = np.where(n_bits == 1, codes, np.float32(0))
    elif ambiguous == "fraction":
        codes = codes / np.maximum(n_bits, 1)
    elif ambiguous != "multihot":
        raise ValueError(f"ambiguous: {ambiguous!r} is none of zero, fraction, multihot")
    byte = np.arange(256)
    table = np.concatenate([codes[byte % 16], codes[byte // 16]], axis=1)
    if isinstance(dtype, str) and dtype == "bfloat16":
        bits = table.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)  # rounded to the nearest
    return table.astype(dtype)


def one_hot(
    packed: Bytes,
    *,
    start: int = 0,
    length: int | None = None,
    reverse: bool = False,
    ambiguous: Ambiguous = "zero",
    dtype: npt.DTypeLike | Literal["bfloat16"] = np.float32,
) -> npt.NDArray[Any]:
    """One-hot matrices (..., length, 4), A C G T, of packed windows (..., bytes).

    Args:
        packed: windows, two bases to a byte
        start: first base to show; where that or the end is beyond a window stand zeros
        length: bases to show, even; by default up to the end
        reverse: show the opposite strand of these bases
        ambiguous: as of `byte_table`
        dtype: of the numbers, as of `byte_table`
    """
    length = 2 * packed.shape[-1] - start if length is None else length
    table = byte_table(ambiguous, dtype)
    out = np.empty((*packed.shape[:-1], length, 4), dtype=table.dtype)
    windows = np.ascontiguousarray(packed).reshape(-1, packed.shape[-1])
    numbers = as_integers(out).reshape(len(windows), 4 * length)
    unpack_into(windows, as_integers(table), numbers, start=start, reverse=reverse, ambiguous=ambiguous)
    return out


def as_integers(numbers: npt.NDArray[Any]) -> Integers:
    """A view of numbers as unsigned integers: what a number is does not matter to who copies it."""
    return numbers.view(f"u{numbers.itemsize}")


def unpack_into(
    packed: Bytes,
    table: Integers,
    out: Integers,
    *,
    start: int,
    reverse: bool,
    ambiguous: str,
) -> None:
    """Unpack bases of windows (n, bytes), from ``start`` on, into ``out`` (n, 4 x bases), for many windows at once.

    ``table`` is that of `byte_table`, and it and ``out`` are `as_integers`.
    """
    byte_by_byte = is_by_bytes(table, ambiguous) or not out.flags.c_contiguous
    unpack(packed, start, reverse, ambiguous == "zero", byte_by_byte, table, out)


def is_by_bytes(table: Integers, ambiguous: str) -> bool:
    """Whether windows are unpacked byte by byte, as numbers that are not all one or nothing are."""
    return ambiguous == "fraction" or table.itemsize not in (2, 4)


@numba.njit(cache=True, nogil=True)
def unpack(
    packed: Bytes,
    start: int,
    reverse: bool,
    only_single: bool,
    byte_by_byte: bool,
    table: Integers,
    out: Integers,
) -> None:  # pragma: no cover  (compiled)
    """`unpack_into`, for compiled code: ``only_single`` if bases with several bits are nothing."""
    if byte_by_byte:
        _look_up(packed, start, reverse, table, out)
    else:
        _spread(packed, start, reverse, only_single, table[1, 0], out)


@numba.njit(cache=True, nogil=True)
def _look_up(
    packed: Bytes, start: int, reverse: bool, table: Integers, out: Integers
) -> None:  # pragma: no cover  (compiled)
    """Unpack bases byte by byte: what becomes of those with several bits stands in the table."""
    n_bases, length = 2 * packed.shape[1], out.shape[1] // 4
    rows = table.copy()
    if reverse:
        rows = table[:, ::-1].copy()
    of_byte = rows.reshape(-1)
    first = min(max(-start, 0), length)
    stop = max(min(n_bases - start, length), first)
    for number in range(len(packed)):
        window, flat = packed[number], out[number]
        _clear_beyond(flat, first, stop, reverse)
        at = (start + first) >> 1
        half = (start + first) & 1
        n_pairs = (stop - first) >> 1
        source = window[at : at + n_pairs + half]
        step, to = (-8, 4 * (length - first) - 8) if reverse else (8, 4 * first)
        if half:
            for pair in range(n_pairs):
                byte = (source[pair] >> 4) | (source[pair + 1] << 4) & 255  # numba's shifts are of 64 bits
                row, place = 8 * np.int64(byte), to + step * pair
                for k in range(8):
                    flat[place + k] = of_byte[row + k]
        else:
            for pair in range(n_pairs):
                row, place = 8 * np.int64(source[pair]), to + step * pair
                for k in range(8):
                    flat[place + k] = of_byte[row + k]
        if (stop - first) & 1:  # the last base has no other half
            base = start + stop - 1
            row = 8 * np.int64((window[base >> 1] >> np.uint8(4 * (base & 1))) & np.uint8(15))
            place = 4 * (length - stop) if reverse else 4 * (stop - 1)
            for k in range(4):
                flat[place + k] = of_byte[row + k + (4 if reverse else 0)]


@numba.njit(cache=True, nogil=True)
def _clear_beyond(
    flat: Integers, first: int, stop: int, reverse: bool
) -> None:  # pragma: no cover  (compiled)
    """Zeros for the bases shown before ``first`` and from ``stop`` on, which are beyond the window."""
    if reverse:
        first, stop = len(flat) // 4 - stop, len(flat) // 4 - first
    flat[: 4 * first] = 0
    flat[4 * stop :] = 0


@numba.njit(cache=True, nogil=True)
def _single(word: np.uint64) -> np.uint64:  # pragma: no cover  (compiled)
    """A number of 16 bases, without those that have several bits."""
    several = word & (word >> np.uint64(1)) & np.uint64(0x7777777777777777)
    several |= word & (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    several |= word & (word >> np.uint64(3)) & np.uint64(0x1111111111111111)
    several |= several >> np.uint64(1)
    several |= several >> np.uint64(2)
    return word & ~((several & np.uint64(0x1111111111111111)) * np.uint64(15))


@numba.njit(cache=True, nogil=True)
def _spread(
    packed: Bytes, start: int, reverse: bool, only_single: bool, one: int, out: Integers
) -> None:  # pragma: no cover  (compiled)
    """Unpack bases 16 by 16, to numbers of two or four bytes that are ``one`` or 0."""
    n_bytes, length, size = packed.shape[1], out.shape[1] // 4, out.itemsize
    first = min(max(-start, 0), length)
    stop = max(min(2 * n_bytes - start, length), first)
    past_caches = out.nbytes >= MUCH
    for number in range(len(packed)):
        window, flat = packed[number], out[number]
        _clear_beyond(flat, first, stop, reverse)
        source, target = window.ctypes.data, flat.ctypes.data
        to, half = first, (start + first) & 1
        at = (start + first) >> 1
        while to + 16 <= stop and at + 8 + half <= n_bytes:
            word = word_at(source + at)
            if half:
                word = (word >> np.uint64(4)) | (np.uint64(window[at + 8]) << np.uint64(60))
            if only_single:
                word = _single(word)
            if reverse:
                word, place = reversed_bits(word), target + 4 * size * (length - to - 16)
            else:
                place = target + 4 * size * to
            if past_caches and place % LINE == 0:
                if size == 2:  # known when this is compiled
                    spread_16_past_caches(place, word, one)
                else:
                    spread_32_past_caches(place, word, one)
            elif size == 2:
                spread_16(place, word, one)
            else:
                spread_32(place, word, one)
            to, at = to + 16, at + 8
        while to < stop:
            base = start + to
            code = (window[base >> 1] >> np.uint8(4 * (base & 1))) & np.uint8(15)
            if only_single and code & (code - 1):
                code = np.uint8(0)
            for k in range(4):
                place = 4 * (length - to) - 1 - k if reverse else 4 * to + k
                flat[place] = one if code >> np.uint8(k) & np.uint8(1) else 0
            to += 1
    fence()
