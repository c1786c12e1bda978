"""Make reference-genome tracks ready for training: ``python trainer/convert_tracks.py FOLDER OUTPUT.zarr``.

The folder is as Basenji, Enformer and Borzoi publish their training data. It is read once, without TensorFlow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
import zarr
from tqdm import tqdm

from seqstore.commands import run as run_command
from seqstore.contigs import reconcile
from seqstore.errors import InputError
from seqstore.layout import COMPRESSORS, encoding_of
from seqstore.nucleotides import Codes, decode, pack
from seqstore.outputs import check_folder, written_aside
from seqstore.reference import Reference
from trainer.tfrecords import ExampleShape, Targets, read_examples
from trainer.track_data import FORMAT_NAME, FORMAT_VERSION, MISSING_BYTE
from trainer.track_folder import TrackFolder, open_track_folder

logger = logging.getLogger("trainer.convert_tracks")

#: Examples by which the arrays grow, as their number need not be known before.
_STEP = 1024


def convert_tracks(
    folder: str,
    output: str,
    *,
    species: str | None = None,
    bin_width: int | None = None,
    reference: str | None = None,
    length: int | None = None,
) -> None:
    """Convert TFRecord files of tracks into a Zarr group that training reads (see trainer/track_data.py).

    Args:
        folder: has TFRecord files, statistics.json, targets.txt and sequences.bed
        output: Zarr group to write
        species: whose genome it is, for the name of the head (human, mouse)
        bin_width: bases in a bin, where there is no statistics.json
        reference: FASTA to compare the sequences with, by sequences.bed
        length: with --reference: widen the sequences to so many bases of it (Enformer: 196608); N past its ends

    Raises:
        InputError: something in the folder cannot be used, the sequences are not the reference's, or something
            stands at ``output``.
    """
    target = Path(output)
    if target.exists():
        raise InputError(f"{output}: exists; choose another output or remove it")
    check_folder(target.parent)
    if length is not None and (reference is None or length % 2 or length < 2):
        raise InputError(f"length: {length} goes with --reference, and is an even number of bases")
    source = open_track_folder(folder)
    width = source.bin_width if bin_width is None else bin_width
    if width is None or width < 1:
        raise InputError(
            f"{folder}: has no statistics.json with pool_width, the bases in a bin; give --bin-width"
        )
    genome = None if reference is None else _Genome(source, Reference(reference), length)
    with written_aside(target) as aside:
        n = _write(aside, source, width, genome, species)
    logger.info("%s: %d examples of %s", output, n, ", ".join(source.files))


@dataclass(frozen=True)
class _Example:
    """An example; ``row`` is its place among those of its split, ``start`` (0-based) that of its first base."""

    split: str
    row: int
    codes: Codes
    target: Targets
    contig: str = ""
    start: int = 0


class _Genome:
    """The reference that the sequences are compared with and widened from."""

    def __init__(self, source: TrackFolder, reference: Reference, length: int | None) -> None:
        if source.regions is None:
            raise InputError(
                f"{source.path}: has no sequences.bed, which says where in the reference its sequences are"
            )
        self._reference = reference
        self._length = length
        self._contig = {
            name: reconcile(name, reference.lengths) for name in source.regions["contig"].unique()
        }
        for name, contig in self._contig.items():
            if contig is None:
                raise InputError(
                    f"{reference.path}: has no contig {name}, of {source.path / 'sequences.bed'}"
                )

    def widened(self, example: _Example) -> _Example:
        """The example with as many bases as are wanted, compared with the reference."""
        contig = self._contig[example.contig]
        n = len(example.codes)
        margin = 0 if self._length is None else (self._length - n) // 2
        if margin < 0:
            raise InputError(f"length: {self._length} bases, but the sequences have {n}; training crops them")
        codes = self._reference.codes(str(contig), example.start - margin, example.start + n + margin)
        within = codes[margin : margin + n]
        # Where the reference has other letters than ACGT, the data may have any.
        is_one = np.isin(within, (1, 2, 4, 8))
        differ = np.flatnonzero(is_one & (example.codes != 0) & (within != example.codes))
        if len(differ):
            at = int(differ[0])
            raise InputError(
                f"{self._reference.path}: {contig}:{example.start + at + 1} is {decode(within[at : at + 1])}, but "
                f"{decode(example.codes[at : at + 1])} in example {example.row + 1} of {example.split}; "
                f"{len(differ)} of its {n} bases differ: another genome build, or another sequences.bed?"
            )
        codes[margin : margin + n] = example.codes
        return _Example(
            example.split, example.row, codes, example.target, example.contig, example.start - margin
        )


def _write(
    place: Path, source: TrackFolder, bin_width: int, genome: _Genome | None, species: str | None
) -> int:
    """Write the group; returns the number of examples."""
    group: Any = zarr.create_group(place, zarr_format=3)
    rows: list[tuple[str, str, int, int]] = []
    length = n_tracks = 0
    progress = tqdm(_examples(source), "converting", total=source.n_examples, unit="example", disable=None)
    # A chunk of zeros is written like any other: one that is not there is one that was lost.
    with progress, zarr.config.set({"array.write_empty_chunks": True}):
        for number, example in enumerate(progress):
            wide = example if genome is None else genome.widened(example)
            if number == 0:
                length, (bins, n_tracks) = len(wide.codes), wide.target.shape
                _refuse_odd(source.path, length, bins, bin_width)
                _create_arrays(group, length, bins, n_tracks)
            if number % _STEP == 0:
                _resize(group, number + _STEP)
            group["sequence"][number] = pack(wide.codes)
            group["target"][number] = wide.target
            rows.append((wide.split, wide.contig, wide.start, wide.start + length))
        if not rows:
            raise InputError(f"{source.path}: its TFRecord files hold no records")
        _resize(group, len(rows))
        attributes = {
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "species": species or "",
            "length": length,
            "bin_width": bin_width,
            "source": [
                {"path": str(path.relative_to(source.path)), "size": path.stat().st_size}
                for path in _files(source)
            ],
        }
        about = _coordinates(source, rows, n_tracks).assign_attrs(attributes)
        about.to_zarr(place, mode="a", zarr_format=3, consolidated=False, encoding=encoding_of(about))
    return len(rows)


def _files(source: TrackFolder) -> list[Path]:
    tables = [source.path / name for name in ("statistics.json", "targets.txt", "sequences.bed")]
    return [path for path in tables if path.exists()] + [
        path for paths in source.files.values() for path in paths
    ]


def _examples(source: TrackFolder) -> Iterator[_Example]:
    """The examples of all splits, each with its place in the reference."""
    shape = source.shape
    for split, paths in source.files.items():
        regions = None if source.regions is None else source.regions[source.regions["split"] == split]
        row = 0
        for path in paths:
            for codes, target in read_examples(path, shape):
                shape = ExampleShape(len(codes), *target.shape)
                yield _placed(_Example(split, row, codes, target), regions, source)
                row += 1
        if regions is not None and len(regions) != row:
            raise _other_regions(source, split, len(regions), row)


def _placed(example: _Example, regions: pd.DataFrame | None, source: TrackFolder) -> _Example:
    """The example with the place of its sequence, which has the centre of its region.

    That region is the sequence itself in Basenji2's data, and in Borzoi's the part of it that has targets.
    """
    if regions is None:
        return example
    if example.row >= len(regions):
        raise _other_regions(source, example.split, len(regions), f"over {example.row}")
    contig, start, end, _ = regions.iloc[example.row]
    margin, odd = divmod(len(example.codes) - (end - start), 2)
    if odd:
        raise InputError(
            f"{source.path / 'sequences.bed'}: {contig}:{start}-{end} has not the centre of a sequence of "
            f"{len(example.codes)} bases"
        )
    return _Example(
        example.split, example.row, example.codes, example.target, str(contig), int(start - margin)
    )


def _other_regions(source: TrackFolder, split: str, n_rows: int, n_records: int | str) -> InputError:
    return InputError(
        f"{source.path / 'sequences.bed'}: has {n_rows} rows of {split}, but the TFRecord files have {n_records} "
        "records; complete the files, or give the sequences.bed that they were made of"
    )


def _refuse_odd(path: Path, length: int, bins: int, bin_width: int) -> None:
    """Refuse a shape whose bins are not those in the centre of the sequence."""
    covered = bins * bin_width
    if length % 2:
        raise InputError(f"{path}: its sequences have {length} bases; an even number is needed")
    if covered > length or (length - covered) % 2:
        raise InputError(
            f"{path}: {bins} bins of {bin_width} bases have no place in the centre of {length} bases; "
            "see pool_width in statistics.json, or --bin-width"
        )


def _create_arrays(group: zarr.Group, length: int, bins: int, n_tracks: int) -> None:
    for name, dtype, width, fill, dimensions, description in (
        (
            *("sequence", "uint8", (length // 2,), MISSING_BYTE, ("example", "byte")),
            "bit-packed one-hot, 4 bits a base: A=1 C=2 G=4 T=8, N=0, low nibble first",
        ),
        (
            *("target", "float16", (bins, n_tracks), np.nan, ("example", "bin", "track")),
            "coverage of the bins in the centre of the sequence",
        ),
    ):
        group.create_array(
            name,
            shape=(0, *width),
            chunks=(1, *width),
            dtype=dtype,
            compressors=COMPRESSORS,
            fill_value=fill,
            dimension_names=dimensions,
            attributes={"description": description},
        )


def _resize(group: Any, n: int) -> None:
    for name in ("sequence", "target"):
        array = group[name]
        array.resize((n, *array.shape[1:]))


def _coordinates(source: TrackFolder, rows: list[tuple[str, str, int, int]], n_tracks: int) -> xr.Dataset:
    split, contig, start, end = zip(*rows, strict=True)
    tracks = source.tracks
    own = np.arange(n_tracks)
    coordinates: dict[str, tuple[str, npt.NDArray[Any]]] = {
        "split": ("example", np.array(split, dtype=object)),
        "track": ("track", _labels(own.astype(str) if tracks is None else tracks["identifier"])),
        "track_description": ("track", _labels([""] * n_tracks if tracks is None else tracks["description"])),
        "strand_pair": ("track", own if tracks is None else tracks["strand_pair"].to_numpy(dtype=np.int64)),
    }
    if source.regions is not None:
        coordinates["contig"] = ("example", np.array(contig, dtype=object))
        coordinates["start"] = ("example", np.array(start, dtype=np.int64))
        coordinates["end"] = ("example", np.array(end, dtype=np.int64))
    return xr.Dataset(coords=coordinates)


def _labels(values: Any) -> npt.NDArray[np.object_]:
    return np.array([str(value) for value in values], dtype=object)


if __name__ == "__main__":
    run_command("convert_tracks.py", convert_tracks)
