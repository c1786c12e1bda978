"""Borzoi's own training examples: 65 of GRCh38 with 74 tracks, in 18 TFRecord files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from seqstore.errors import InputError
from seqstore.nucleotides import unpack
from trainer.convert_tracks import convert_tracks
from trainer.shuffled import Shuffled
from trainer.track_data import Tracks


@pytest.fixture(scope="module")
def folder(real: Path) -> Path:
    return real / "basenji_tiny_hg38"


@pytest.fixture(scope="module")
def converted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tracks") / "tiny.zarr"
    convert_tracks(str(folder), str(path), species="human")
    return path


def test_all_of_it_is_there(converted: Path, folder: Path) -> None:
    group = xr.open_zarr(converted, chunks=None, consolidated=False)
    assert dict(group.sizes) == {"example": 65, "byte": 65_536, "bin": 2048, "track": 74}
    split = group["split"].values.astype(object)
    assert [int((split == name).sum()) for name in ("train", "valid", "test")] == [45, 10, 10]
    assert (group.attrs["length"], group.attrs["bin_width"], group.attrs["species"]) == (131_072, 32, "human")
    # Numbers by a parser of a few lines that looks for the bytes of both features.
    codes = unpack(group["sequence"].values)
    assert [int((codes == code).sum()) for code in (1, 2, 4, 8, 0)] == [
        *(2_506_258, 1_770_960, 1_767_762, 2_473_700, 1000)
    ]
    target = group["target"].values.astype(np.float64)
    assert target.sum() == pytest.approx(416_904.3979110718)
    assert target[split == "train"].sum() == pytest.approx(295_066.7212982178)
    assert target[split == "test"].sum() == pytest.approx(69_007.09358978271)
    assert target.max() == 58.9375
    assert target.min() == 0
    by_name = dict(zip(group["track"].values.tolist(), target.sum(axis=(0, 1)), strict=True))
    assert by_name["CNhs10752-"] == pytest.approx(802.18877411)
    assert by_name["ENCFF782HFV+"] == pytest.approx(4932.451301574707)
    assert sum(file["size"] for file in group.attrs["source"] if file["path"].endswith(".tfr")) == sum(
        path.stat().st_size for path in folder.glob("*.tfr")
    )


def test_sequences_are_where_they_are_said_to_be(converted: Path) -> None:
    """The only N of all are the gap at chr12:7,083,650-7,084,650 of GRCh38, just before a region of sequences.bed."""
    group = xr.open_zarr(converted, chunks=None, consolidated=False)
    unknown = np.argwhere(unpack(group["sequence"].values) == 0)
    assert np.unique(unknown[:, 0]).tolist() == [39]
    example = group.isel(example=39)
    assert str(example["contig"].values) == "chr12"
    place = int(example["start"].values) + unknown[:, 1]
    assert place.tolist() == list(range(7_083_650, 7_084_650))
    assert (group["end"] - group["start"] == 131_072).all()
    first = group.isel(example=0)
    assert (str(first["contig"].values), int(first["start"].values)) == ("chrX", 132_332_645 - 32_768)


def test_a_batch_for_a_model_of_a_49152_base_window(converted: Path) -> None:
    group = xr.open_zarr(converted, chunks=None, consolidated=False)
    tracks = Tracks(converted, length=49_152, tracks=["ENCFF782HFV+", "ENCFF782HFV-", "DNASE:HepG2"])
    numbers = Shuffled(tracks.examples("train"), per_step=2, seed=0).numbers(3)
    windows, targets = tracks.batch(numbers)
    assert windows.shape == (2, 24_576)
    assert targets.shape == (2, 1536, 3)
    expected = group["target"].isel(example=numbers, track=[38, 39, 25], bin=slice(256, 1792))
    np.testing.assert_array_equal(targets, expected.values.astype(np.float32))
    start = (131_072 - 49_152) // 4
    np.testing.assert_array_equal(
        windows, group["sequence"].isel(example=numbers, byte=slice(start, start + 24_576)).values
    )
    _, reverse = tracks.batch(numbers, reverse=True)
    np.testing.assert_array_equal(reverse[:, :, [1, 0, 2]], targets[:, ::-1])


def test_both_strands_have_one_description(converted: Path) -> None:
    with pytest.raises(
        InputError, match=r"'RNA:GM12878': is the name of 2 of .*; choose by number \(38, 39\)"
    ):
        Tracks(converted, tracks=["RNA:GM12878"])


def test_another_reference_is_told_apart(folder: Path, real: Path, tmp_path: Path) -> None:
    """The shared FASTA has another contig only, and what is widened from it would be wrong."""
    fasta = str(real / "ref/chr20_1-10Mb.GRCh38.fa.gz")
    with pytest.raises(
        InputError, match=r"chr20_1-10Mb\.GRCh38\.fa\.gz: has no contig chr\w+, of .*sequences"
    ):
        convert_tracks(str(folder), str(tmp_path / "a.zarr"), reference=fasta)
