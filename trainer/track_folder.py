"""A folder of training data as Basenji and its successors write it: what is in it, before any record is read.

::

    statistics.json                       seq_length, target_length, num_targets, pool_width, train_seqs, ...
    targets.txt                           a row a track: identifier, description, strand_pair, ...
    sequences.bed                         a row an example: contig, start, end, train | valid | test
    tfrecords/train-0-0.tfr               Basenji2, Enformer, Borzoi
    tfrecords_train-0.tfr                 or beside the others

The examples of a split are the records of its files in the order of the numbers in their names; of these the rows of
sequences.bed are in the same order. TFRecord files there must be; of the others only what they say is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from seqstore.errors import InputError
from seqstore.tables import first_column_of, lines_of, read_table, whole_numbers
from trainer.tfrecords import ExampleShape

SPLITS = ("train", "valid", "test")
_SHAPE = {"length": "seq_length", "bins": "target_length", "tracks": "num_targets"}
_FILE = re.compile(rf"(?:tfrecords_)?({'|'.join(SPLITS)})-(\d+(?:-\d+)*)\.tfr")


@dataclass(frozen=True)
class TrackFolder:
    """What a folder says of its examples.

    ``files`` are the TFRecord files of each split in order; ``shape`` the examples', as far as it is known;
    ``bin_width`` in bases and ``n_examples`` (None = not said); ``tracks`` has columns identifier, description and
    strand_pair, or is None; ``regions`` has columns contig, start, end and split, or is None.
    """

    path: Path
    files: Mapping[str, list[Path]]
    shape: ExampleShape
    bin_width: int | None
    n_examples: int | None
    tracks: pd.DataFrame | None
    regions: pd.DataFrame | None


def open_track_folder(path: str | Path) -> TrackFolder:
    """Read all of a folder but its records.

    Raises:
        InputError: there is no such folder, it has no TFRecord files, or a table in it cannot be used.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = _files_of(folder)
    statistics = _statistics(folder / "statistics.json")
    tracks = _tracks(folder / "targets.txt")
    n_tracks = statistics.get("num_targets")
    if tracks is not None and n_tracks not in (None, len(tracks)):
        raise InputError(
            f"{folder / 'targets.txt'}: has {len(tracks)} tracks, but num_targets of statistics.json is {n_tracks}; "
            "give the table of these tracks"
        )
    shape = {name: statistics.get(key) for name, key in _SHAPE.items()}
    if tracks is not None:
        shape["tracks"] = len(tracks)
    regions = _regions(folder / "sequences.bed")
    said = [statistics.get(f"{split}_seqs") for split in files]
    n_said = sum(n for n in said if n is not None) if None not in said else None
    return TrackFolder(
        path=folder,
        files=files,
        shape=ExampleShape(**shape),
        bin_width=statistics.get("pool_width"),
        n_examples=n_said if regions is None else int(regions["split"].isin(list(files)).sum()),
        tracks=tracks,
        regions=regions,
    )


def _files_of(folder: Path) -> dict[str, list[Path]]:
    """The TFRecord files of each split that has any."""
    found: dict[str, list[tuple[list[int], Path]]] = {split: [] for split in SPLITS}
    for path in [*folder.glob("*.tfr"), *(folder / "tfrecords").glob("*.tfr")]:
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise InputError(
                f"{path}: its name does not say its split; call TFRecord files train-0.tfr or tfrecords_valid-0.tfr"
            )
        found[match[1]].append(([int(number) for number in match[2].split("-")], path))
    if not any(found.values()):
        raise InputError(
            f"{folder}: has no TFRecord files (tfrecords/train-0-0.tfr or tfrecords_train-0.tfr)"
        )
    for split, numbered in found.items():
        numbers = [number for number, _ in numbered]
        if any(numbers.count(number) > 1 for number in numbers):
            raise InputError(
                f"{folder}: has two files of one number for {split}; keep one set of TFRecord files"
            )
    return {split: [path for _, path in sorted(numbered)] for split, numbered in found.items() if numbered}


def _statistics(path: Path) -> dict[str, int]:
    """The whole numbers of statistics.json; none where there is no such file."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = {key: value for key, value in content.items() if isinstance(value, int) and value >= 0}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as JSON with keys and values ({error})") from error
    for key in ("seq_length", "target_length", "num_targets", "pool_width"):
        if key in content and numbers.get(key, 0) < 1:
            raise InputError(f"{path}: {key} is {content[key]!r}; it is to be a whole number from 1 on")
    return numbers


def _tracks(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    table = read_table(path, "table of tracks")
    identifier = first_column_of(table, ("identifier",))
    if identifier is None:
        raise InputError(f"{path}: has no column identifier, which names the tracks")
    description = first_column_of(table, ("description",))
    pair = first_column_of(table, ("strand_pair",))
    own = np.arange(len(table))
    # The pair is spelled in the numbers of the first column, which in a selection of tracks go on counting.
    labels = whole_numbers(table.iloc[:, 0])
    number = labels.to_numpy() if labels.is_unique and labels.notna().all() else own
    pairs = own if pair is None else _positions(whole_numbers(table[pair]).to_numpy(), number, own)
    return pd.DataFrame(
        {
            "identifier": table[identifier],
            "description": "" if description is None else table[description],
            "strand_pair": pairs,
        }
    )


def _positions(
    wanted: npt.NDArray[np.float64], numbers: npt.NDArray[np.number], missing: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Where ``wanted`` stand among ``numbers``, those that do not at ``missing``."""
    found = pd.Index(numbers).get_indexer(pd.Index(wanted))
    return np.where(found >= 0, found, missing).astype(np.int64)


def _regions(path: Path) -> pd.DataFrame | None:
    if not path.exists():
        return None
    rows = []
    for number, line in enumerate(lines_of(path, "BED file"), start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or line.startswith("#"):
            continue
        if len(fields) < 4 or fields[3] not in SPLITS:
            raise InputError(
                f"{path}: line {number} is not contig, start, end and one of {', '.join(SPLITS)}"
            )
        if not (fields[1].isdecimal() and fields[2].isdecimal() and int(fields[1]) < int(fields[2])):
            raise InputError(
                f"{path}: line {number} has the positions {fields[1]}-{fields[2]}; start is below end"
            )
        rows.append((fields[0], int(fields[1]), int(fields[2]), fields[3]))
    return pd.DataFrame(rows, columns=["contig", "start", "end", "split"])
