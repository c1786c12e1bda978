from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
import zarr
import zstandard

from seqstore.codec import MAX_WINDOWS, WindowChunk, WindowCodec, encode_chunk, encode_windows
from seqstore.errors import CorruptChunkError


def windows_like(rng: np.random.Generator, n_individuals: int, window_bytes: int = 600) -> np.ndarray:
    """Windows (individual, 2, bytes) of a few haplotypes that differ at a few bytes."""
    haplotypes = np.repeat(rng.integers(1, 255, (1, window_bytes), dtype=np.uint8), 5, axis=0)
    for haplotype in haplotypes[1:]:
        haplotype[rng.integers(0, window_bytes, 4)] = rng.integers(1, 255, 4)
    return haplotypes[rng.integers(0, 5, (n_individuals, 2))]


def stored(folder: Path, windows: np.ndarray) -> zarr.Array:
    n = windows.shape[1]
    array = zarr.create_array(
        folder / "array.zarr",
        shape=windows.shape,
        chunks=(1, min(512, n), *windows.shape[2:]),
        dtype="uint8",
        serializer=WindowCodec(),
        compressors=None,
        filters=None,
    )
    array[:] = windows
    return zarr.open_array(folder / "array.zarr", mode="r")


@pytest.mark.parametrize("n_individuals", [1, 511, 512, 513, 520])
def test_ragged_blocks_of_individuals_round_trip(tmp_path: Path, n_individuals: int) -> None:
    rng = np.random.default_rng(n_individuals)
    windows = np.stack([windows_like(rng, n_individuals) for _ in range(2)])
    array = stored(tmp_path, windows)
    np.testing.assert_array_equal(array[:], windows)
    last = WindowChunk((tmp_path / f"array.zarr/c/1/{(n_individuals - 1) // 512}/0/0").read_bytes())
    in_last = (n_individuals - 1) % 512 + 1
    rows = last.decode(np.arange(min(n_individuals, 512)))
    assert rows[:in_last].any(axis=2).all()
    assert not rows[in_last:].any(), "padding"


def test_padding_is_not_taken_for_the_commonest_window() -> None:
    rows = np.zeros((512, 400), dtype=np.uint8)
    rows[0] = np.random.default_rng(0).integers(1, 255, 400)
    rows[0, 200:] = rows[0, :200]
    n_numbers = 2 * rows.shape[0] * 2
    assert len(encode_chunk(rows, 200)) < n_numbers + 300, "the template is the row's own window"


def test_windows_that_are_not_there_are_zeros() -> None:
    rng = np.random.default_rng(2)
    windows = rng.integers(1, 255, (3, 200), dtype=np.uint8)
    which = np.array([[0, -1], [-1, -1], [1, 2], [1, -1], [-1, 1]])
    encoded = encode_windows(windows, which)
    expected = np.vstack([windows, np.zeros((1, 200), np.uint8)])[which]
    np.testing.assert_array_equal(WindowChunk(encoded).decode(np.arange(5)), expected)
    np.testing.assert_array_equal(WindowChunk(encoded).decode([4, 0, 4]), expected[[4, 0, 4]])
    assert encode_chunk(expected.reshape(5, 400), 200) == encoded, "the same bytes as through zarr"


def test_a_chunk_of_nobody_is_zeros() -> None:
    for windows in (np.empty((0, 200), np.uint8), np.zeros((1, 200), np.uint8)):
        chunk = WindowChunk(encode_windows(windows, np.full((4, 2), -1)))
        assert (chunk.n_rows, chunk.windows_a_row, chunk.window_bytes) == (4, 2, 200)
        assert not chunk.decode(range(4)).any()


def test_equal_windows_are_stored_once() -> None:
    rng = np.random.default_rng(4)
    windows = rng.integers(1, 255, (2, 20_000), dtype=np.uint8)
    few, many = (encode_windows(windows, np.arange(2 * n).reshape(n, 2) % 2) for n in (1, 500))
    assert len(many) - len(few) == 2 * 2 * 499


def test_windows_are_numbered_in_16_bits() -> None:
    windows = np.arange(1, MAX_WINDOWS + 2, dtype="<u4").view(np.uint8).reshape(-1, 4)
    which = np.arange(len(windows) - 1)[:, None]
    np.testing.assert_array_equal(
        WindowChunk(encode_windows(windows[:-1], which)).decode([65_534])[0], windows[[-2]]
    )
    with pytest.raises(ValueError, match="65536 distinct windows"):
        encode_windows(windows, np.arange(len(windows))[:, None])


@pytest.mark.parametrize(
    "selection",
    [
        np.s_[0, 3],
        np.s_[1, -1, 0, 10],
        np.s_[0, 3:50:7, 1],
        np.s_[:, 510:, :, 5:9],
        np.s_[..., 7],
        np.s_[1, 4:4],
    ],
)
def test_basic_selections_decode_the_right_cells(tmp_path: Path, selection: object) -> None:
    windows = np.stack([windows_like(np.random.default_rng(i), 520) for i in range(2)])
    array = stored(tmp_path, windows)
    got = array[selection]  # type: ignore[index]
    assert np.shape(got) == np.shape(windows[selection])  # type: ignore[index]
    np.testing.assert_array_equal(got, windows[selection])  # type: ignore[index]


def test_fancy_selections_decode_the_right_cells(tmp_path: Path) -> None:
    windows = np.stack([windows_like(np.random.default_rng(i), 520) for i in range(2)])
    array = stored(tmp_path, windows)
    people = [513, 1, 5, 511, 5]
    np.testing.assert_array_equal(array.oindex[1, people], windows[1][people])
    np.testing.assert_array_equal(array.oindex[[0, 1], people, [1], 2:5], windows[:, people][:, :, [1], 2:5])
    points = ([1, 0], [3, 519], [0, 1], [7, 8])
    np.testing.assert_array_equal(array.vindex[points], windows[points])
    mask = np.arange(520) % 100 == 3
    np.testing.assert_array_equal(array.oindex[0, mask], windows[0][mask])


def test_damage_raises_a_named_error_and_never_wrong_bytes() -> None:
    windows = windows_like(np.random.default_rng(0), 20)
    rows = windows.reshape(20, -1)
    encoded = encode_chunk(rows, windows.shape[2])
    rng = np.random.default_rng(1)
    n_caught = 0
    for position in rng.choice(len(encoded), 300, replace=False):
        damaged = bytearray(encoded)
        damaged[position] ^= 1 << rng.integers(0, 8)
        try:
            np.testing.assert_array_equal(WindowChunk(bytes(damaged)).decode(np.arange(20)), windows)
        except CorruptChunkError:
            n_caught += 1
    assert n_caught == 300
    for length in (0, 3, 19, 40, len(encoded) // 2, len(encoded) - 1):
        with pytest.raises(CorruptChunkError):
            WindowChunk(encoded[:length])


def test_lists_that_make_no_window_are_refused() -> None:
    """Whoever writes a sound checksum over nonsense cannot make the reader leave its buffer."""
    windows = windows_like(np.random.default_rng(0), 20)
    windows[3, 0, 100:] = windows[3, 0, 96:-4]  # an insertion
    encoded = encode_chunk(windows.reshape(20, -1), windows.shape[2])
    n_lists = int.from_bytes(encoded[44:48], "little")
    rng, n_refused = np.random.default_rng(1), 0
    for _ in range(300):
        damaged = bytearray(encoded)
        damaged[-int(rng.integers(1, n_lists + 1))] = rng.integers(0, 256)
        damaged[4:12] = xxhash.xxh3_64_intdigest(bytes(damaged[12:])).to_bytes(8, "little")
        try:
            WindowChunk(bytes(damaged)).decode(np.arange(20))
        except CorruptChunkError:
            n_refused += 1
    assert n_refused > 100


def test_the_codec_refuses_other_arrays(tmp_path: Path) -> None:
    for dtype, chunks in (("int32", (1, 5, 2, 8)), ("uint8", (2, 5, 2, 8))):
        with pytest.raises(ValueError, match=r"seqstore\.windows"):
            zarr.create_array(
                tmp_path / "bad.zarr",
                shape=(2, 5, 2, 8),
                chunks=chunks,
                dtype=dtype,
                serializer=WindowCodec(),
                compressors=None,
                filters=None,
            )


def chunk_by_hand(
    lists: bytes,
    *,
    substitutions: Sequence[tuple[int, int]] = (),
    indels: Sequence[tuple[int, int, int]] = (),
    insertion: bytes = b"",
) -> bytes:
    """A chunk of one window of 100 bases, whatever its edits; its checksum is right."""
    tables = np.full(50, 0x11, np.uint8).tobytes() + np.array([b for b, _ in substitutions], "<u4").tobytes()
    tables += np.array(indels, "<u4").reshape(-1, 3).T.tobytes()
    packed = zstandard.compress(tables + bytes(code for _, code in substitutions) + insertion)
    sizes = [1, 1, 50, 1, len(substitutions), len(indels), 2 * len(insertion), len(packed), len(lists)]
    body = np.array([*sizes, len(lists)], "<u4").tobytes() + b"\0\0" + packed + lists
    return b"SQW2" + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little") + body


def test_a_chunk_by_hand_is_one() -> None:
    encoded = chunk_by_hand(
        b"\1\0\0\0", substitutions=[(0, 2), (7, 4)], indels=[(20, 1, 2)], insertion=b"\x48"
    )
    bases = WindowChunk(encoded).decode([0])[0, 0]
    codes = np.stack([bases & 15, bases >> 4], axis=1).ravel()
    expected = np.ones(100, np.uint8)
    expected[[0, 7, 20, 21]] = 2, 4, 8, 4
    assert codes.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("lists", "parts"),
    [
        (b"\1\2", {"indels": [(10, 0, 2**31), (10, 0, 2**31 - 1), (20, 0, 8)], "insertion": b"\x11"}),
        (b"\1\0", {"indels": [(20, 0, 8)], "insertion": b"\x11"}),  # more than is there to insert
        (b"\0\0", {"substitutions": [(100, 2)]}),
        (b"\0\0", {"substitutions": [(1000, 2)]}),
        (b"\0\0", {"substitutions": [(4, 200)]}),
        (b"\0\1", {"substitutions": [(4, 2)]}),  # there is one
        (
            b"\1\xff\5\1",
            {
                "substitutions": [(base, 2) for base in range(90)],
                "indels": [(0, 0, 2)],
                "insertion": b"\x11",
            },
        ),
        (b"\1\0", {"indels": [(101, 0, 2)], "insertion": b"\x11"}),
        (b"\1\0", {"indels": [(0, 101, 2)], "insertion": b"\x11"}),
    ],
)
def test_numbers_that_make_no_sense_are_refused(lists: bytes, parts: dict[str, Any]) -> None:
    with pytest.raises(CorruptChunkError):
        WindowChunk(chunk_by_hand(lists, **parts)).decode([0])
