"""Four-bit nucleotide codes: the encoding of every sequence in a store.

A base is a set of nucleotides in four bits, A=1 C=2 G=4 T=8. The unknown base N is the empty set, 0, and
an IUPAC code has several bits set. Two bases share a byte, the first in the low nibble. A packed window
is therefore its own one-hot matrix, and its reverse complement is the same string of bits read backwards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]

#: Letter of each code, 0 to 15. Code 15 (any base) is written N as well and never made by `encode`.
LETTERS = "NACMGRSVTWYHKDBN"
NOT_A_BASE = 255

_CODE_OF_BYTE = np.full(256, NOT_A_BASE, dtype=np.uint8)
for _code, _letter in enumerate(LETTERS[:15]):
    _CODE_OF_BYTE[[ord(_letter), ord(_letter.lower())]] = _code
_BYTE_OF_CODE = np.frombuffer(LETTERS.encode(), dtype=np.uint8)
_COMPLEMENT: Codes = np.array([int(f"{code:04b}"[::-1], 2) for code in range(16)], dtype=np.uint8)


def encode(sequence: str | bytes) -> Codes:
    """Codes (length,) of a sequence in IUPAC letters, upper or lower case; 255 for anything else."""
    raw = sequence.encode("latin-1", "replace") if isinstance(sequence, str) else sequence
    return _CODE_OF_BYTE[np.frombuffer(raw, dtype=np.uint8)]


def decode(codes: Codes) -> str:
    """The letters of one sequence of codes (length,)."""
    return _BYTE_OF_CODE[codes].tobytes().decode()


def pack(codes: Codes) -> Codes:
    """Pack codes (..., length), length even, two to a byte: (..., length // 2)."""
    return codes[..., 0::2] | (codes[..., 1::2] << np.uint8(4))


def unpack(packed: Codes) -> Codes:
    """Codes (..., 2 * bytes) of packed sequences (..., bytes)."""
    codes = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), dtype=np.uint8)
    codes[..., 0::2] = packed & 15
    codes[..., 1::2] = packed >> 4
    return codes


def stretch(packed: Codes, start: int, length: int) -> Codes:
    """Bases ``start`` to ``start + length`` (even length) of packed sequences (..., bytes): (..., length // 2).

    Beyond either end of the sequences stands N; ``start`` may be negative. Without need nothing is copied.
    """
    n_bytes, moved = packed.shape[-1], start % 2
    first, stop = start // 2, start // 2 + length // 2 + moved
    before, behind = (min(max(n, 0), stop - first) for n in (-first, stop - n_bytes))
    found = packed[..., max(first, 0) : max(stop, 0)]
    if before or behind:
        found = np.pad(found, [(0, 0)] * (packed.ndim - 1) + [(before, behind)])
    if moved:  # half a byte: every base changes its nibble
        return (found[..., :-1] >> np.uint8(4)) | (found[..., 1:] << np.uint8(4))
    return found


def reverse_complement(codes: Codes) -> Codes:
    """Codes (..., length) of the opposite strand."""
    return _COMPLEMENT[codes[..., ::-1]]
