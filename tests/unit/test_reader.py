"""`HaplotypeReader` reads what xarray reads, and what docs/format.md says, from any thread and process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import seqstore
import seqstore.reader
from seqstore.codec import WindowCodec
from seqstore.memory import MUCH
from seqstore.onehot import one_hot
from tests.unit.test_edits import relatives

Windows = npt.NDArray[np.uint8]


def write_store(folder: Path, windows: Windows, *, people_in_chunk: int | None = None) -> Path:
    """As much of a store with windows (gene, individual, 2, bytes) as readers look at."""
    group = zarr.create_group(
        folder / "s.zarr",
        attributes={
            "format": "seqstore",
            "format_version": 2,
            "status": "complete",
            "length": 2 * windows.shape[3],
            "fingerprint": "f",
            **{name: {} for name in ("config", "inputs", "policies", "reconciled", "expression_recipe")},
        },
        overwrite=True,
    )
    array = group.create_array(
        "haplotype_sequence",
        shape=windows.shape,
        chunks=(1, people_in_chunk or windows.shape[1], *windows.shape[2:]),
        dtype="uint8",
        serializer=WindowCodec(),
        compressors=None,
        filters=None,
        config={"write_empty_chunks": True},
    )
    array[:] = windows
    return folder / "s.zarr"


def decoded_by_the_book(encoded: bytes) -> list[list[bytes]]:
    """The windows of each row of a chunk, base by base, by nothing but docs/format.md."""

    def numbers(data: bytes, size: int) -> list[int]:
        return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]

    def nibbles(data: bytes) -> list[int]:
        return [code for byte in data for code in (byte & 15, byte >> 4)]

    def accumulated(data: bytes) -> list[int]:
        found, more, last = [], 0, -1
        for byte in data:
            more += byte
            if byte != 255:
                last += more + 1
                found.append(last)
                more = 0
        return found

    assert encoded[:4] == b"SQW2"
    rows, in_row, n_bytes, n_windows, n_sub, n_indel, n_inserted, n_tables, n_lists = numbers(
        encoded[12:48], 4
    )
    ends, at = numbers(encoded[48 : 48 + 4 * n_windows], 4), 48 + 4 * n_windows
    which, at = numbers(encoded[at : at + 2 * rows * in_row], 2), at + 2 * rows * in_row
    tables = zstandard.ZstdDecompressor().decompress(encoded[at : at + n_tables])
    lists = encoded[at + n_tables :]
    assert len(lists) == n_lists
    template, at = nibbles(tables[:n_bytes]), n_bytes
    columns = []
    for n in (n_sub, n_indel, n_indel, n_indel):
        columns.append(numbers(tables[at : at + 4 * n], 4))
        at += 4 * n
    base, start, deleted, inserted = columns
    codes, insertions = list(tables[at : at + n_sub]), nibbles(tables[at + n_sub :])[:n_inserted]
    windows = []
    for first, stop in pairwise([0, *ends]):
        one, n_of_indels = lists[first:stop], 0
        while one[0] == 255:
            n_of_indels, one = n_of_indels + 255, one[1:]
        n_of_indels, one = n_of_indels + one[0], one[1:]
        changed = dict(enumerate(template))
        for number in accumulated(one[n_of_indels:]):
            changed[base[number]] = codes[number]
        window, of = [], 0
        for number in accumulated(one[:n_of_indels]):
            window += [changed[place] for place in range(of, start[number])]
            before = sum(inserted[:number])
            window += insertions[before : before + inserted[number]]
            of = start[number] + deleted[number]
        window += [changed[place] for place in range(of, len(template))]
        packed = [low | high << 4 for low, high in zip(window[::2], window[1::2], strict=False)]
        windows.append(bytes(packed[:n_bytes]))
    in_order = [bytes(n_bytes) if number == 65535 else windows[number] for number in which]
    return [in_order[place : place + in_row] for place in range(0, len(in_order), in_row)]


@st.composite
def stores(draw: st.DrawFn) -> Windows:
    """Windows (gene, individual, 2, bytes): indels of any phase, runs of N, genes without a variant, one person."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_people = draw(st.integers(1, 7))
    first = draw(relatives())
    genes = [first, first[:1], np.zeros_like(first[:1])]
    return np.stack([windows[rng.integers(0, len(windows), (n_people, 2))] for windows in genes])


@pytest.fixture(autouse=True)
def threads_for_little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqstore.threads.WORTH_A_THREAD", 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows=stores(), people_in_chunk=st.integers(1, 4), threads=st.integers(1, 3))
def test_reader_xarray_and_the_book_agree(
    tmp_path_factory: pytest.TempPathFactory, windows: Windows, people_in_chunk: int, threads: int
) -> None:
    people_in_chunk = min(people_in_chunk, windows.shape[1])
    path = write_store(tmp_path_factory.mktemp("store"), windows, people_in_chunk=people_in_chunk)
    reader = seqstore.HaplotypeReader(path, threads=threads)
    genes, people = np.divmod(np.arange(windows[..., 0, 0].size), windows.shape[1])
    np.testing.assert_array_equal(reader.read(genes, people).reshape(windows.shape), windows)
    np.testing.assert_array_equal(zarr.open_group(path)["haplotype_sequence"][:], windows)
    for gene, block in np.ndindex(len(windows), -(-windows.shape[1] // people_in_chunk)):
        rows = decoded_by_the_book((path / f"haplotype_sequence/c/{gene}/{block}/0/0").read_bytes())
        of_chunk = windows[gene, block * people_in_chunk : (block + 1) * people_in_chunk]
        assert rows[: len(of_chunk)] == [[window.tobytes() for window in pair] for pair in of_chunk]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), windows=stores())
def test_one_hot_is_of_the_windows_that_are_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, windows: Windows
) -> None:
    reader = seqstore.HaplotypeReader(
        write_store(tmp_path_factory.mktemp("onehot"), windows), threads=data.draw(st.integers(1, 3))
    )
    n = data.draw(st.integers(0, 9))
    pairs = [
        np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=n, max_size=n)), dtype=np.int64)
        for size in windows.shape[:2]
    ]
    haplotypes = data.draw(st.sampled_from([None, 0, 1]))
    shown: dict[str, Any] = {
        "start": data.draw(st.integers(-5, reader.length)),
        "length": data.draw(st.sampled_from([None, 2, 8, 40])),
        "reverse": data.draw(st.booleans()),
        "ambiguous": data.draw(st.sampled_from(["zero", "fraction", "multihot"])),
        "dtype": data.draw(st.sampled_from([np.float32, np.float16, np.uint8, np.float64, "bfloat16"])),
    }
    found = reader.one_hot(*pairs, haplotypes, **shown)
    expected = one_hot(reader.read(*pairs, haplotypes), **shown)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_one_hot_goes_straight_into_a_buffer(store: Path, windows: Windows) -> None:
    reader = seqstore.HaplotypeReader(store)
    out = np.full((3, 2, reader.length, 4), 9, dtype=np.float32)
    assert reader.one_hot([0, 1, 1], [1, 0, 2], out=out) is out
    bits = np.unpackbits(windows[[0, 1, 1], [1, 0, 2]], axis=-1, bitorder="little")
    np.testing.assert_array_equal(out, one_hot(windows[[0, 1, 1], [1, 0, 2]]))
    assert out.sum() == bits.sum()  # there are only A, C, G, T and N
    with pytest.raises(ValueError, match=r"out: float32 .* is not a writeable, C-contiguous float16 array"):
        reader.one_hot([0, 1, 1], [1, 0, 2], dtype=np.float16, out=out)
    with pytest.raises(IndexError, match="gene 0, individual 99"):
        reader.one_hot(0, [0, 99])


def test_a_large_one_hot_batch_is_made_piece_by_piece(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    windows = np.tile(rng.choice(np.array([17, 34, 72, 129], dtype=np.uint8), 20_000), (1, 6, 2, 1))
    windows[0, np.arange(6), :, 3_000 * np.arange(6) + 7] = 0x84
    reader = seqstore.HaplotypeReader(write_store(tmp_path, windows), threads=2)
    people = rng.integers(0, 6, 70)  # 2.8 MB of packed windows, several at a time
    np.testing.assert_array_equal(reader.one_hot(0, people), one_hot(windows[0, people]))


@pytest.fixture
def windows() -> Windows:
    """Twelve genes of 40 people, 5 kB a window, whose windows differ by SNPs and indels."""
    rng = np.random.default_rng(0)
    genes = []
    for _ in range(12):
        template = (1 << rng.integers(0, 4, 10_100)).astype(np.uint8)
        kinds = []
        for _ in range(20):
            codes = template.copy()
            codes[rng.integers(0, 10_000, 30)] = 1
            for start in rng.integers(0, 9_000, 3):
                codes = np.delete(codes, slice(start, start + int(rng.integers(1, 5))))
            kinds.append(codes[:10_000:2] | codes[1:10_000:2] << 4)
        genes.append(np.array(kinds)[rng.integers(0, 20, (40, 2))])
    return np.stack(genes).astype(np.uint8)


@pytest.fixture
def store(tmp_path: Path, windows: Windows) -> Path:
    return write_store(tmp_path, windows, people_in_chunk=16)


def test_one_position_goes_with_many(store: Path, windows: Windows) -> None:
    reader = seqstore.HaplotypeReader(store)
    np.testing.assert_array_equal(reader.read(3, np.arange(40)), windows[3])
    np.testing.assert_array_equal(reader.read(np.arange(12), 5), windows[:, 5])
    np.testing.assert_array_equal(reader.read(3, 5), windows[None, 3, 5])
    np.testing.assert_array_equal(reader.read([1, 2], [3, 4], [0, 1]), windows[[1, 2], [3, 4], [0, 1]])
    np.testing.assert_array_equal(reader.read(7, [3, 4], 1), windows[7, [3, 4], 1])


def test_windows_go_straight_into_a_buffer(store: Path, windows: Windows) -> None:
    reader = seqstore.HaplotypeReader(store)
    buffer = np.full((4, 2, 5_000), 255, dtype=np.uint8)
    assert reader.read(2, [1, 2, 3], out=buffer[:3]) is not None
    np.testing.assert_array_equal(buffer[:3], windows[2, 1:4])
    assert (buffer[3] == 255).all()
    for bad in (buffer, buffer[:3, ::-1], buffer[:3].astype(np.int8), buffer[:3, 0]):
        with pytest.raises(
            ValueError, match=r"out: .* is not a writeable, C-contiguous uint8 array \(3, 2, 5000\)"
        ):
            reader.read(2, [1, 2, 3], out=bad)


@pytest.mark.parametrize(
    "places", [(12, 0), (-1, 0), (0, 40), (0, -1), ([0, 12], [0, 0]), (0, 0, 2), (0, 0, -1), (2**40, 0)]
)
def test_positions_outside_the_store_are_refused(store: Path, places: Any) -> None:
    with pytest.raises(
        IndexError, match=r"gene -?\d+, individual -?\d+, haplotype -?\d+ of a store with 12, 40, 2"
    ):
        seqstore.HaplotypeReader(store).read(*places)


def test_labels_are_no_positions(store: Path) -> None:
    for bad in (["G1"], [0.5], [True]):
        with pytest.raises(TypeError, match="genes: are integer positions"):
            seqstore.HaplotypeReader(store).read(bad, [0])


def test_no_more_chunks_than_fit_stay_open(
    store: Path, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seqstore.reader, "OPEN_BYTES", 40_000)
    reader = seqstore.HaplotypeReader(store)
    rng = np.random.default_rng(1)
    for _ in range(50):
        genes, people = rng.integers(0, 12, 8), rng.integers(0, 40, 8)
        np.testing.assert_array_equal(reader.read(genes, people), windows[genes, people])
        assert reader._open.n_bytes < 40_000


def _reads(reader: seqstore.HaplotypeReader, windows: Windows, seed: int) -> bool:
    rng = np.random.default_rng(seed)
    for _ in range(60):
        genes, people = rng.integers(0, 12, 9), rng.integers(0, 40, 9)
        if not np.array_equal(reader.read(genes, people), windows[genes, people]):
            return False
    return True


@pytest.mark.parametrize("threads", [1, 2])
def test_many_threads_read_at_once(
    store: Path, windows: Windows, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while chunks are opened and closed all the time."""
    monkeypatch.setattr(seqstore.reader, "OPEN_BYTES", 60_000)
    reader = seqstore.HaplotypeReader(store, threads=threads)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda seed: _reads(reader, windows, seed), range(16)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("threads", [1, 2])
def test_processes_read_at_once(store: Path, windows: Windows, method: str, threads: int) -> None:
    """Forked while other threads read, and pickled."""
    reader = seqstore.HaplotypeReader(store, threads=threads)
    assert _reads(reader, windows, 0)
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            _reads(reader, windows, 1)

    beside = threading.Thread(target=go_on)
    beside.start()
    try:
        with multiprocessing.get_context(method).Pool(3) as pool:
            assert all(pool.starmap(_reads, [(reader, windows, seed) for seed in range(6)]))
    finally:
        stop.set()
        beside.join()


def test_a_pickled_reader_reads_on(store: Path, windows: Windows) -> None:
    reader = seqstore.HaplotypeReader(store, threads=2)
    assert _reads(reader, windows, 0)
    assert _reads(pickle.loads(pickle.dumps(reader)), windows, 1)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "longer"])
def test_a_damaged_chunk_is_named(store: Path, windows: Windows, damage: str) -> None:
    path = store / "haplotype_sequence/c/4/1/0/0"
    intact = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(intact), 40 if damage == "flipped" else 3).tolist():
        path.write_bytes(
            {
                "flipped": intact[:place]
                + bytes([intact[place] ^ 1 << int(rng.integers(8))])
                + intact[place + 1 :],
                "cut": intact[:place],
                "empty": b"",
                "longer": intact + b"\0",
            }[damage]
        )
        reader = seqstore.HaplotypeReader(store)
        np.testing.assert_array_equal(reader.read(4, [0, 39]), windows[4, [0, 39]])
        with pytest.raises(seqstore.CorruptChunkError, match="haplotype_sequence/c/4/1/0/0"):
            reader.read(4, 20)
        with pytest.raises(seqstore.CorruptChunkError):
            _ = zarr.open_group(store)["haplotype_sequence"][4, 20]


def test_there_are_more_chunks_than_file_descriptors(
    store: Path, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seqstore.reader, "MOST_MAPPED", 3)
    before = len(os.listdir("/proc/self/fd"))
    reader = seqstore.HaplotypeReader(store)
    assert _reads(reader, windows, 0)
    assert len(reader._open) > 12
    assert len(os.listdir("/proc/self/fd")) - before <= 3


def test_a_reader_stays_with_its_store(
    store: Path, windows: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = seqstore.HaplotypeReader(store.name)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(reader.read(3, 5), windows[None, 3, 5])


def test_a_buffer_that_cannot_be_written_to_is_refused(store: Path) -> None:
    buffer = np.zeros((1, 2, 5_000), dtype=np.uint8)
    buffer.flags.writeable = False
    with pytest.raises(ValueError, match="is not a writeable"):
        seqstore.HaplotypeReader(store).read(0, 0, out=buffer)


@pytest.mark.parametrize("skipped", [0, 1, 16, 40, 64])
@pytest.mark.parametrize("with_indels", [False, True])
def test_a_large_batch_is_written_past_the_caches(tmp_path: Path, with_indels: bool, skipped: int) -> None:
    """Line by line of memory, wherever lines begin in a window; what is beside it stays."""
    rng = np.random.default_rng(skipped)
    kinds = []
    template = (1 << rng.integers(0, 4, 10_100)).astype(np.uint8)
    for n_changes in (*range(0, 40, 2), 300, 9_000):
        codes = template.copy()
        codes[rng.integers(0, 10_000, n_changes)] = 4
        codes[rng.integers(0, 10_000, 3)] ^= 15
        if with_indels and rng.random() < 0.7:
            codes = np.delete(codes, slice(700, 700 + int(rng.integers(1, 9))))
        kinds.append(codes[:10_000:2] | codes[1:10_000:2] << 4)
    kinds.append(np.zeros_like(kinds[0]))
    windows = np.array(kinds, dtype=np.uint8)[rng.integers(0, len(kinds), (1, 130, 2))]
    windows[:, :60] = kinds[0]
    reader = seqstore.HaplotypeReader(write_store(tmp_path, windows))
    room = np.full(windows.nbytes + skipped + 64, 9, dtype=np.uint8)
    out = room[skipped : skipped + windows.nbytes].reshape(windows[0].shape)
    assert out.nbytes > MUCH
    np.testing.assert_array_equal(reader.read(0, np.arange(130), out=out), windows[0])
    assert (room[:skipped] == 9).all()
    assert (room[skipped + windows.nbytes :] == 9).all()


def test_a_chunk_file_that_is_lost_is_named(store: Path) -> None:
    (store / "haplotype_sequence/c/4/1/0/0").unlink()
    reader = seqstore.HaplotypeReader(store)
    with pytest.raises(
        seqstore.CorruptChunkError, match=r"c/4/1/0/0: this chunk file of the store is missing"
    ):
        reader.read(4, 20)
