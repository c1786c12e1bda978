"""From a folder of TFRecord files to batches of windows and tracks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from track_files import Example, indices, one_hot, random_example, write_folder, write_records

from seqstore.errors import InputError
from seqstore.nucleotides import decode, unpack
from trainer.convert_tracks import convert_tracks
from trainer.shuffled import Shuffled
from trainer.track_data import Tracks

#: 64 bases, 4 bins of 8 in their centre, 6 tracks.
LENGTH, BINS, TRACKS = 64, 4, 6
Split = dict[str, list[list[Example]]]


@pytest.fixture(scope="module")
def examples() -> Split:
    """Twelve files to train, of one example each but the last, so that names sort otherwise than numbers."""
    rng = np.random.default_rng(7)

    def some(n: int) -> list[Example]:
        return [random_example(rng, LENGTH, BINS, TRACKS) for _ in range(n)]

    return {"train": [*(some(1) for _ in range(11)), some(3)], "valid": [some(2)], "test": [some(1), some(2)]}


@pytest.fixture
def folder(tmp_path: Path, examples: Split) -> Path:
    write_folder(tmp_path / "data", examples)
    return tmp_path / "data"


@pytest.fixture
def converted(folder: Path, tmp_path: Path) -> str:
    convert_tracks(str(folder), str(tmp_path / "tracks.zarr"), species="human")
    return str(tmp_path / "tracks.zarr")


def flat(examples: Split) -> list[Example]:
    return [example for files in examples.values() for file in files for example in file]


def letters(example: Example) -> str:
    return "".join("ACGTN"[base] for base in example[0])


@pytest.mark.parametrize(
    ("name", "coded", "extend"),
    [
        (lambda split, number: f"tfrecords/{split}-0-{number}.tfr", one_hot, 0),  # Basenji2
        (lambda split, number: f"tfrecords/{split}-{number}.tfr", indices, 16),  # Borzoi
        (lambda split, number: f"tfrecords_{split}-{number}.tfr", indices, 16),  # beside the tables
    ],
)
def test_all_examples_come_back(
    tmp_path: Path, examples: Split, name: Callable[[str, int], str], coded: Any, extend: int
) -> None:
    write_folder(tmp_path / "data", examples, name=name, coded=coded, extend=extend)
    convert_tracks(str(tmp_path / "data"), str(tmp_path / "tracks.zarr"), species="human")
    group = xr.open_zarr(tmp_path / "tracks.zarr", consolidated=False).load()
    all_examples = flat(examples)
    assert dict(group.sizes) == {"example": 19, "byte": 32, "bin": 4, "track": 6}
    assert group["split"].values.tolist() == ["train"] * 14 + ["valid"] * 2 + ["test"] * 3
    for number, example in enumerate(all_examples):
        assert decode(unpack(group["sequence"].values[number])) == letters(example)
        np.testing.assert_array_equal(group["target"].values[number], example[1])
    assert group["target"].dtype == np.float16
    assert group["contig"].values.tolist() == [f"chr{n % 2 + 1}" for n in range(19)]
    assert group["start"].values.tolist() == [1000 * n + 100 for n in range(19)]
    assert (group["end"] - group["start"] == 64).all()
    assert group["track"].values.tolist() == [f"id{n}" for n in range(6)]
    assert group["track_description"].values[2] == "RNA:cell 2"
    assert group["strand_pair"].values.tolist() == [1, 0, 3, 2, 5, 4]
    assert group.attrs["species"] == "human"
    assert (group.attrs["length"], group.attrs["bin_width"]) == (64, 8)
    sizes = {source["path"]: source["size"] for source in group.attrs["source"]}
    assert len(sizes) == 3 + 15
    assert all((tmp_path / "data" / path).stat().st_size == size for path, size in sizes.items())


def test_the_arrays_have_one_example_a_chunk_and_checksums(converted: str) -> None:
    group: Any = zarr.open_group(converted, mode="r")
    for name in ("sequence", "target"):
        assert group[name].chunks == (1, *group[name].shape[1:])
        assert len(list((Path(converted) / name / "c").iterdir())) == 19
        assert [codec.to_dict()["configuration"]["checksum"] for codec in group[name].compressors] == [True]
    assert not list(Path(converted).parent.glob("*.partial"))


def test_only_the_records_are_needed(tmp_path: Path, examples: Split) -> None:
    write_folder(tmp_path / "data", examples, statistics={"num_targets": 6, "pool_width": 8})
    for name in ("sequences.bed", "targets.txt"):
        (tmp_path / "data" / name).unlink()
    convert_tracks(str(tmp_path / "data"), str(tmp_path / "one.zarr"))
    tracks = Tracks(tmp_path / "one.zarr", tracks=["3"])
    example = flat(examples)[5]
    windows, targets = tracks.batch(np.array([5]))
    assert decode(unpack(windows[0])) == letters(example)
    np.testing.assert_array_equal(targets[0], example[1][:, [3]].astype(np.float32))
    assert "contig" not in xr.open_zarr(tmp_path / "one.zarr", consolidated=False)
    (tmp_path / "data/statistics.json").unlink()
    with pytest.raises(InputError, match="give --bin-width"):
        convert_tracks(str(tmp_path / "data"), str(tmp_path / "two.zarr"))
    with pytest.raises(InputError, match="whose bins and tracks are not known"):
        convert_tracks(str(tmp_path / "data"), str(tmp_path / "two.zarr"), bin_width=8)
    assert not list(tmp_path.glob("two*"))


def test_the_command(folder: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "trainer/convert_tracks.py"
    command = [sys.executable, str(script), str(folder), str(tmp_path / "tracks.zarr"), "--species", "mouse"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=script.parents[1])
    assert done.stderr.splitlines()[-1].endswith("tracks.zarr: 19 examples of train, valid, test")
    assert Tracks(tmp_path / "tracks.zarr").species == "mouse"
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=script.parents[1])
    assert again.returncode == 2
    assert again.stderr.startswith("error: ")
    assert again.stderr.count("\n") == 1


def spoil_statistics(folder: Path, **changes: Any) -> None:
    path = folder / "statistics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: cut(f / "tfrecords/valid-0-0.tfr"), r"valid-0-0\.tfr: its compressed data ends"),
        (lambda f: (f / "sequences.bed").write_text("chr1\t1\t65\ttrain\n"), "has 1 rows of train, but"),
        (lambda f: (f / "sequences.bed").write_text("chr1\t1\t65\n"), "line 1 is not contig, start, end and one"),
        (lambda f: (f / "sequences.bed").write_text("chr1\t65\t1\ttrain\n"), "line 1 has the positions 65-1"),
        (lambda f: (f / "tfrecords/test-0-1.tfr").unlink(), "has 3 rows of test, but the TFRecord files have 1 rec"),
        (lambda f: (f / "tfrecords/fold0-0.tfr").touch(), "does not say its split"),
        (lambda f: (f / "tfrecords_train-0-3.tfr").touch(), "two files of one number for train"),
        (lambda f: (f / "targets.txt").write_text("\tidentifier\n0\tx\n"), "has 1 tracks, but num_targets .* is 6"),
        (lambda f: (f / "targets.txt").write_text("\tname\n0\tx\n"), "has no column identifier"),
        (lambda f: (f / "statistics.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: spoil_statistics(f, seq_length=0), "seq_length is 0; it is to be a whole number"),
        (lambda f: spoil_statistics(f, seq_length=72), "record 1 has a sequence of 64 bytes, which is neither 72"),
        (lambda f: spoil_statistics(f, pool_width=20), "4 bins of 20 bases have no place in the centre of 64"),
        (lambda f: spoil_statistics(f, target_length=5), "which are not 5 bins x 6 tracks"),
        (lambda f: write_records(f / "tfrecords/train-0-4.tfr", [indices(random_example(
            np.random.default_rng(0), 64, 4, 5))]), r"train-0-4\.tfr: record 1 has a target of 40 bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=message) as refused:
        convert_tracks(str(folder), str(tmp_path / "tracks.zarr"))
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)
    assert not list(tmp_path.glob("tracks*")), "nothing half-made stays"


def test_other_places_are_refused(folder: Path, tmp_path: Path, converted: str) -> None:
    with pytest.raises(InputError, match=r"tracks\.zarr: exists"):
        convert_tracks(str(folder), converted)
    with pytest.raises(InputError, match="no such folder"):
        convert_tracks(str(tmp_path / "nothing"), str(tmp_path / "a.zarr"))
    with pytest.raises(InputError, match="has no TFRecord files"):
        convert_tracks(str(tmp_path), str(tmp_path / "a.zarr"))
    with pytest.raises(InputError, match="no tracks here"):
        Tracks(tmp_path / "nothing")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="is no group of tracks"):
        Tracks(tmp_path / "other.zarr")
    zarr.open_group(converted, mode="r+").attrs["format_version"] = 99
    with pytest.raises(InputError, match="has format version 99"):
        Tracks(converted)


# The reference


def genome_of(examples: Split, extend: int = 0) -> dict[str, np.ndarray]:
    """Two contigs with the sequences where `write_folder` says they are; N of the data are A here."""
    rng = np.random.default_rng(3)
    genome = {name: rng.integers(0, 4, 18_170) for name in ("chr1", "chr2")}
    for number, (bases, _) in enumerate(flat(examples)):
        start = 1000 * number + 100
        genome[f"chr{number % 2 + 1}"][start : start + LENGTH] = np.where(bases == 4, 0, bases)
    return genome


def write_fasta(path: Path, genome: dict[str, np.ndarray]) -> str:
    lines = [f">{name}\n{''.join('ACGTN'[base] for base in bases)}\n" for name, bases in genome.items()]
    path.write_text("".join(lines))
    return str(path)


@pytest.mark.parametrize("extend", [0, 16])
def test_sequences_are_widened_from_the_reference(tmp_path: Path, examples: Split, extend: int) -> None:
    write_folder(tmp_path / "data", examples, extend=extend)
    genome = genome_of(examples)
    fasta = write_fasta(tmp_path / "genome.fa", genome)
    convert_tracks(str(tmp_path / "data"), str(tmp_path / "wide.zarr"), reference=fasta, length=320)
    wide = xr.open_zarr(tmp_path / "wide.zarr", consolidated=False).load()
    assert wide.attrs["length"] == 320
    for number, (bases, target) in enumerate(flat(examples)):
        start = 1000 * number + 100 - 128
        assert wide["start"].values[number] == start
        contig = np.concatenate([np.full(400, 4), genome[f"chr{number % 2 + 1}"], np.full(400, 4)])
        expected = contig[start + 400 : start + 720].copy()
        expected[128:192] = bases  # an N of the data stays one
        assert decode(unpack(wide["sequence"].values[number])) == letters((expected, target))
        np.testing.assert_array_equal(wide["target"].values[number], target)
    assert wide["start"].values[0] < 0
    assert wide["end"].values[18] > len(genome["chr1"])


def test_another_reference_is_refused(tmp_path: Path, examples: Split, folder: Path) -> None:
    genome = genome_of(examples)
    genome["chr2"][1000 + 100 + 9 : 1000 + 100 + 12] ^= 1
    known = flat(examples)[1][0][9:12] != 4
    fasta = write_fasta(tmp_path / "genome.fa", genome)
    place = 1000 + 100 + 9 + int(known.argmax()) + 1
    message = (
        rf"genome\.fa: chr2:{place} is . but . in example 2 of train; {known.sum()} of its 64 bases differ"
    )
    with pytest.raises(InputError, match=message.replace(" is . ", " is ., ")):
        convert_tracks(str(folder), str(tmp_path / "a.zarr"), reference=fasta)
    other = write_fasta(tmp_path / "other.fa", {"chr1": genome["chr1"]})
    with pytest.raises(InputError, match="has no contig chr2"):
        convert_tracks(str(folder), str(tmp_path / "a.zarr"), reference=other)
    good = write_fasta(
        tmp_path / "good.fa", {"1": genome_of(examples)["chr1"], "2": genome_of(examples)["chr2"]}
    )
    with pytest.raises(InputError, match="length: 32 bases, but the sequences have 64"):
        convert_tracks(str(folder), str(tmp_path / "a.zarr"), reference=good, length=32)
    with pytest.raises(InputError, match="length: 128 goes with --reference"):
        convert_tracks(str(folder), str(tmp_path / "a.zarr"), length=128)
    convert_tracks(str(folder), str(tmp_path / "a.zarr"), reference=good)
    (folder / "sequences.bed").unlink()
    with pytest.raises(InputError, match=r"has no sequences\.bed"):
        convert_tracks(str(folder), str(tmp_path / "b.zarr"), reference=good)


# Batches


@pytest.mark.parametrize(
    ("length", "bins", "n_bins"),
    [(None, None, 4), (96, None, 4), (16, None, 2), (32, None, 4), (64, 2, 2), (320, 4, 4), (48, 6, 4)],
)
@pytest.mark.parametrize("margin", [0, 6])
def test_windows_and_targets_share_their_centre(
    converted: str, examples: Split, length: int | None, bins: int | None, n_bins: int, margin: int
) -> None:
    tracks = Tracks(converted, length=length, bins=bins, margin=margin)
    numbers = np.array([13, 0, 18, 13])
    windows, targets = tracks.batch(numbers)
    wanted = (length or LENGTH) + 2 * margin
    assert windows.shape == (4, wanted // 2)
    assert targets.shape == (4, n_bins, TRACKS)
    assert targets.dtype == np.float32
    assert tracks.bins == n_bins
    for row, number in enumerate(numbers.tolist()):
        example = flat(examples)[number]
        around = "N" * 400 + letters(example) + "N" * 400
        centre = 400 + LENGTH // 2
        assert decode(unpack(windows[row])) == around[centre - wanted // 2 : centre + wanted // 2]
        first = (BINS - n_bins) // 2
        np.testing.assert_array_equal(targets[row], example[1][first : first + n_bins].astype(np.float32))


@pytest.mark.parametrize(
    ("length", "bins", "message"),
    [
        (60, None, "length: 60 bases are not a whole number of the bins of 8"),
        (24, None, "bins: 3 have not the centre of the 4 .* and the 3 of 24"),
        (40, None, "bins: 4 have not the centre of the 4 .* and the 5 of 40"),
        (64, 3, "bins: 3 have not the centre"),
        (16, 4, "bins: 4, but a window of 16 bases has 2"),
        (0, None, "length: 0"),
    ],
)
def test_bins_that_would_be_elsewhere_are_refused(
    converted: str, length: int, bins: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Tracks(converted, length=length, bins=bins)


def test_tracks_are_chosen_by_name_description_or_number(converted: str, examples: Split) -> None:
    tracks = Tracks(converted, tracks=["id4", 0, "RNA:cell 3"])
    assert tracks.tracks == ["id4", "id0", "id3"]
    _, targets = tracks.batch(np.array([2]))
    np.testing.assert_array_equal(targets[0], flat(examples)[2][1][:, [4, 0, 3]].astype(np.float32))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["id9"], r"track 'id9': .* has id0, id1, id2, id3, id4, id5$"),
        ([6], "track 6: .* has 6, numbered from 0 to 5"),
        ([-1], "track -1"),
        (["id1", 1], "track 1: is chosen twice"),
        ([], "no track is chosen"),
    ],
)
def test_unknown_tracks_are_refused(converted: str, names: list[str | int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tracks(converted, tracks=names)


def test_of_many_tracks_the_nearest_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_folder(tmp_path / "data", {"train": [[random_example(rng, tracks=40)]]})
    table = (tmp_path / "data/targets.txt").read_text().replace("RNA:cell 31", "CAGE:GM12878")
    (tmp_path / "data/targets.txt").write_text(table.replace("RNA:cell 7\n", "RNA:cell 8\n"))
    convert_tracks(str(tmp_path / "data"), str(tmp_path / "tracks.zarr"))
    with pytest.raises(InputError, match=r"track 'CAGE:GM12787': .*; the nearest of 40 are CAGE:GM12878"):
        Tracks(tmp_path / "tracks.zarr", tracks=["CAGE:GM12787"])
    with pytest.raises(InputError, match=r"is the name of 2 of .*; choose by number \(7, 8\)"):
        Tracks(tmp_path / "tracks.zarr", tracks=["RNA:cell 8"])


def test_the_other_strand_has_its_own_tracks(converted: str, examples: Split) -> None:
    tracks = Tracks(converted, tracks=[0, 3], length=16)
    numbers = np.array([4, 5])
    windows, targets = tracks.batch(numbers, reverse=True)
    np.testing.assert_array_equal(windows, tracks.batch(numbers)[0])
    expected = np.stack([flat(examples)[n][1][[2, 1]][:, [1, 2]] for n in (4, 5)])
    np.testing.assert_array_equal(targets, expected.astype(np.float32))


def test_lost_and_damaged_chunks_are_found(converted: str) -> None:
    tracks = Tracks(converted)
    path = Path(converted) / "sequence/c/3/0"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match="chunks of example 3 are missing"):
        tracks.batch(np.array([2, 3]))
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="sequence of example 3 is damaged"):
        tracks.batch(np.array([3]))
    path.write_bytes(content)
    tracks.batch(np.array([3]))
    (Path(converted) / "target/c/3/0/0").unlink()
    with pytest.raises(InputError, match="chunks of example 3 are missing"):
        tracks.batch(np.array([3]))


def test_the_examples_of_a_split(converted: str) -> None:
    tracks = Tracks(converted)
    assert tracks.examples("valid").tolist() == [14, 15]
    assert set(Shuffled(tracks.examples("test"), per_step=3, seed=0).numbers(0).tolist()) == {16, 17, 18}
    with pytest.raises(InputError, match="has no examples for 'validation'; it has 3 for test, 14 for train"):
        tracks.examples("validation")


# The order


@pytest.mark.parametrize("per_step", [1, 4, 10, 25])
def test_every_example_once_an_epoch(per_step: int) -> None:
    examples = np.arange(100, 110)
    order = Shuffled(examples, per_step=per_step, seed=1)
    drawn = np.concatenate([order.numbers(step) for step in range(100)])
    assert len(drawn) == 100 * per_step
    epochs = drawn[: len(drawn) // 10 * 10].reshape(-1, 10)
    assert (np.sort(epochs) == examples).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == len(epochs), "each in its own order"
    assert order.epoch(3) == pytest.approx(0.3 * per_step)


def test_the_order_depends_on_seed_and_step_only() -> None:
    examples = np.arange(50)
    numbers = [Shuffled(examples, per_step=8, seed=2).numbers(step).tolist() for step in range(20)]
    order = Shuffled(examples, per_step=8, seed=2)
    assert [order.numbers(step).tolist() for step in reversed(range(20))] == numbers[::-1]
    assert Shuffled(examples, per_step=8, seed=3).numbers(0).tolist() != numbers[0]


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 8, 11])
def test_processes_share_a_step(n_ranks: int) -> None:
    order = Shuffled(np.arange(50), per_step=8, seed=2)
    for step in (0, 6, 7):
        of_ranks = [order.numbers(step, rank, n_ranks).tolist() for rank in range(n_ranks)]
        assert of_ranks == [order.numbers(step).tolist()[rank::n_ranks] for rank in range(n_ranks)]


def test_nothing_has_no_order() -> None:
    with pytest.raises(ValueError, match="0 examples"):
        Shuffled(np.arange(0), per_step=1, seed=0)
