from __future__ import annotations

import numpy as np
import pytest

from seqstore.nucleotides import decode, encode, pack, reverse_complement, stretch, unpack


def test_codes_are_bit_sets_and_first_base_is_in_the_low_nibble() -> None:
    assert encode("ACGTNacgtn").tolist() == [1, 2, 4, 8, 0, 1, 2, 4, 8, 0]
    assert encode("RYMKSWBDHV").tolist() == [5, 10, 3, 12, 6, 9, 14, 13, 11, 7]
    assert encode("-*").tolist() == [255, 255]
    assert pack(encode("ACGTNR")).tolist() == [0x21, 0x84, 0x50]


@pytest.mark.parametrize("sequence", ["", "AC", "ACGTNRYMKSWBDHVN"])
def test_pack_and_decode_are_inverse(sequence: str) -> None:
    codes = encode(sequence)
    assert decode(unpack(pack(codes))) == sequence
    np.testing.assert_array_equal(unpack(pack(codes)), codes)


def test_packed_windows_are_one_hot() -> None:
    packed = pack(encode("ACGTNA"))
    one_hot = np.unpackbits(packed, bitorder="little").reshape(-1, 4)
    expected = np.zeros((6, 4), dtype=np.uint8)
    expected[[0, 1, 2, 3, 5], [0, 1, 2, 3, 0]] = 1
    np.testing.assert_array_equal(one_hot, expected)


def test_reverse_complement_is_the_bit_string_backwards() -> None:
    codes = encode("ACGTNRAC")
    assert decode(reverse_complement(codes)) == "GTYNACGT"
    backwards = np.packbits(np.unpackbits(pack(codes), bitorder="little")[::-1], bitorder="little")
    np.testing.assert_array_equal(pack(reverse_complement(codes)), backwards)


@pytest.mark.parametrize("start", range(-12, 13))
@pytest.mark.parametrize("length", [2, 4, 8, 14])
def test_a_stretch_goes_on_with_n(start: int, length: int) -> None:
    sequence = "ACGTTGCA"
    padded = "N" * 12 + sequence + "N" * 30
    found = stretch(np.stack([pack(encode(sequence))] * 2), start, length)
    assert [decode(unpack(row)) for row in found] == [padded[12 + start : 12 + start + length]] * 2
