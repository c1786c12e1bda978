from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from seqstore.codec import ChunkDecoder, CorruptChunkError, WindowCodec, encode_chunk, encode_windows


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
    last = ChunkDecoder((tmp_path / f"array.zarr/c/1/{(n_individuals - 1) // 512}/0/0").read_bytes())
    in_last = (n_individuals - 1) % 512 + 1
    assert np.diff(last.ends)[:in_last].min() > 0
    assert set(np.diff(last.ends)[in_last:]) <= {0}, "padding rows are empty frames"


def test_padding_is_not_taken_for_the_commonest_window() -> None:
    rows = np.zeros((512, 400), dtype=np.uint8)
    rows[0] = np.random.default_rng(0).integers(1, 255, 400)
    encoded = encode_chunk(rows, 200)
    assert ChunkDecoder(encoded).ends[1] < 230, "the dictionary is one of the row's own windows"


def test_windows_that_are_not_there_are_zeros() -> None:
    rng = np.random.default_rng(2)
    windows = rng.integers(1, 255, (3, 200), dtype=np.uint8)
    which = np.array([[0, -1], [-1, -1], [2, 1], [2, -1], [-1, 2]])
    decoder = ChunkDecoder(encoded := encode_windows(windows, which))
    assert decoder.ends[2] == decoder.ends[1], "nobody there is an empty frame"
    expected = np.vstack([windows, np.zeros((1, 200), np.uint8)])[which].reshape(5, 400)
    for row in range(5):
        out = np.full(400, 7, dtype=np.uint8)
        start, stop = (decoder.n_head + end for end in decoder.ends[row : row + 2])
        decoder.decode_into(row, encoded[start:stop], out)
        np.testing.assert_array_equal(out, expected[row])
    assert encode_chunk(expected, 200) == encode_windows(windows, which), "the same bytes as through zarr"
    # The commonest window that is there is the dictionary: its rows are short.
    assert decoder.ends[4] - decoder.ends[3] < 40


def test_a_chunk_of_nobody_is_all_empty_frames() -> None:
    for windows in (np.empty((0, 200), np.uint8), np.zeros((1, 200), np.uint8)):
        decoder = ChunkDecoder(encode_windows(windows, np.full((4, 2), -1)))
        assert (decoder.n_rows, decoder.row_bytes, decoder.ends) == (4, 400, [0] * 5)


def test_an_odd_indel_shift_still_matches_the_dictionary() -> None:
    from seqstore.nucleotides import pack

    rng = np.random.default_rng(3)
    codes = (1 << rng.integers(0, 4, 20_001)).astype(np.uint8)
    plain, shifted = pack(codes[:-1]), pack(codes[1:])
    rows = np.stack([plain] * 4 + [shifted])
    decoder = ChunkDecoder(encode_chunk(rows, 10_000))
    assert decoder.ends[5] - decoder.ends[4] < 60


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
        out = np.empty(rows.shape[1], dtype=np.uint8)
        try:
            decoder = ChunkDecoder(bytes(damaged))
            for row in range(20):
                start, stop = (decoder.n_head + end for end in decoder.ends[row : row + 2])
                decoder.decode_into(row, bytes(damaged[start:stop]), out)
                np.testing.assert_array_equal(out, rows[row])
        except CorruptChunkError:
            n_caught += 1
    assert n_caught == 300
    for length in (0, 3, 19, 40, len(encoded) // 2):
        with pytest.raises(CorruptChunkError):
            last_row_of(encoded[:length])


def last_row_of(encoded: bytes) -> np.ndarray:
    decoder = ChunkDecoder(encoded)
    out = np.empty(decoder.row_bytes, dtype=np.uint8)
    decoder.decode_into(decoder.n_rows - 1, encoded[decoder.n_head + decoder.ends[-2] :], out)
    return out


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
