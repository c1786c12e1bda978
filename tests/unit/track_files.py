"""TFRecord files and the folders they are in, written by hand: independent of what reads them."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Example = tuple[np.ndarray, np.ndarray]  # base indices 0-4 (length,), target (bins, tracks)


def slow_crc32c(content: bytes) -> int:
    """Bit by bit, with the polynomial the other way round than tables have it: long division in GF(2)."""
    register = 0xFFFFFFFF
    for byte in content:
        for bit in range(8):
            feedback = (register >> 31) ^ (byte >> bit & 1)
            register = (register << 1 & 0xFFFFFFFF) ^ (0x1EDC6F41 if feedback else 0)
    return int(f"{register:032b}"[::-1], 2) ^ 0xFFFFFFFF


def masked(content: bytes) -> bytes:
    crc = slow_crc32c(content)
    rotated = (crc >> 15) | (crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)


def frame(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number % 128 + 128])
        number //= 128
    return out + bytes([number])


def field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that has a length."""
    return varint(number * 8 + 2) + varint(len(content)) + content


def feature(name: str, content: bytes, kind: int = 1) -> bytes:
    """An entry of the map of features; kind 1 = bytes_list, 2 = float_list, 3 = int64_list."""
    return field(1, field(1, name.encode()) + field(2, field(kind, field(1, content))))


def serialised(sequence: bytes, target: bytes, *more: bytes) -> bytes:
    return field(1, feature("target", target) + feature("sequence", sequence) + b"".join(more))


def indices(example: Example) -> bytes:
    """As Borzoi has it."""
    return serialised(example[0].astype(np.uint8).tobytes(), example[1].astype("<f2").tobytes())


def one_hot(example: Example) -> bytes:
    """As Basenji2 has it: N is zeros."""
    bits = np.eye(5, 4, dtype=bool)[example[0]]
    return serialised(bits.tobytes(), example[1].astype("<f2").tobytes())


def write_records(path: Path, records: Sequence[bytes], compression: str = "zlib") -> Path:
    content = b"".join(map(frame, records))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes({"zlib": zlib.compress, "gzip": gzip.compress, "plain": bytes}[compression](content))
    return path


def random_example(rng: np.random.Generator, length: int = 64, bins: int = 4, tracks: int = 3) -> Example:
    return rng.integers(0, 5, length), rng.gamma(1.0, 3.0, (bins, tracks)).astype(np.float16)


def write_folder(
    folder: Path,
    examples: dict[str, Sequence[Sequence[Example]]],
    *,
    name: Callable[[str, int], str] = lambda split, number: f"tfrecords/{split}-0-{number}.tfr",
    coded: Callable[[Example], bytes] = indices,
    statistics: dict[str, Any] | None = None,
    extend: int = 0,
) -> None:
    """A folder of examples by split and file; sequence n of all is chr{n % 2 + 1}:1000 n + 100, without ``extend``."""
    first = next(example for files in examples.values() for file in files for example in file)
    length, (bins, tracks) = len(first[0]), first[1].shape
    bed, number = [], 0
    for split, files in examples.items():
        for at, file in enumerate(files):
            write_records(folder / name(split, at), [coded(example) for example in file])
            for _ in file:
                start = 1000 * number + 100
                bed.append(f"chr{number % 2 + 1}\t{start + extend}\t{start + length - extend}\t{split}\n")
                number += 1
    (folder / "sequences.bed").write_text("".join(bed))
    rows = [f"{n}\tid{n}\tfile{n}\t{n ^ 1}\tRNA:cell {n}\n" for n in range(tracks)]
    (folder / "targets.txt").write_text("\tidentifier\tfile\tstrand_pair\tdescription\n" + "".join(rows))
    counts = {f"{split}_seqs": sum(map(len, files)) for split, files in examples.items()}
    said = {
        "seq_length": length,
        "target_length": bins,
        "num_targets": tracks,
        "pool_width": 8,
        "seq_1hot": True,
        **counts,
    }
    (folder / "statistics.json").write_text(json.dumps(said if statistics is None else statistics))
