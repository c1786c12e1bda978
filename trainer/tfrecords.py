"""TFRecord files of reference-genome tracks, as Basenji, Enformer and Borzoi were trained on, without TensorFlow.

A file is records one after the other, all of it compressed by zlib or gzip, or plain. A record is its length
(8 bytes, little-endian), the masked CRC-32C of these 8 bytes, the content, and the masked CRC-32C of that
(https://www.tensorflow.org/tutorials/load_data/tfrecord). The content is a ``tf.train.Example``: a protocol buffer
that maps names of features to lists of bytes.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from seqstore.errors import InputError
from seqstore.nucleotides import Codes
from trainer.crc32c import masked_crc32c

Targets = npt.NDArray[np.float16]

#: Compressed bytes that are read at once; DNA and coverage become at most some 64 MB of them.
_BLOCK = 1 << 16
#: zlib's own header or gzip's, whichever there is.
_ANY_HEADER = 47
_LENGTH_AND_CRC = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_AGAIN = "download or copy the file again"
_KINDS = {1: "bytes_list", 2: "float_list", 3: "int64_list"}
_CODE_OF_INDEX = np.zeros(256, dtype=np.uint8)
_CODE_OF_INDEX[:4] = 1, 2, 4, 8


@dataclass(frozen=True)
class ExampleShape:
    """What is known of the shape of examples: ``length`` in bases, ``bins`` and ``tracks`` of the target."""

    length: int | None = None
    bins: int | None = None
    tracks: int | None = None


def read_examples(path: str | Path, shape: ExampleShape) -> Iterator[tuple[Codes, Targets]]:
    """The examples of a file: codes (length,) of `seqstore.nucleotides`, and the target (bins, tracks) float16.

    The feature ``sequence`` is one byte a base, A0 C1 G2 T3 and N all else (Borzoi), or a one-hot of four bytes a
    base in the order ACGT (Basenji2, Enformer); ``target`` is float16, bin by bin. Of ``bins`` and ``tracks`` one
    may be unknown. Without ``length``, bytes that are all 0 and 1, at most one 1 in four, are one-hot.

    Raises:
        InputError: as `read_records`; a record is no example, has not the shape, or a value is not finite.
    """
    for number, record in enumerate(read_records(path), start=1):
        try:
            features = _features(record, ("sequence", "target"))
            codes, target = _codes(features["sequence"], shape.length), _target(features["target"], shape)
        except ValueError as error:
            raise InputError(f"{path}: record {number} {error}") from error
        shape = ExampleShape(len(codes), *target.shape)  # of the others too
        yield codes, target


def read_records(path: str | Path) -> Iterator[bytes]:
    """The contents of the records of a TFRecord file, each with its checksums verified.

    Raises:
        InputError: there is no such file, it is no TFRecord file, or it is cut short or damaged.
    """
    try:
        with open(path, "rb") as file:
            stream = _Stream(file, path)
            for number in itertools.count(1):
                stream.record = number
                head = stream.read(_LENGTH_AND_CRC.size)
                if not head:
                    return
                yield _content(stream, head)
    except FileNotFoundError:
        raise InputError(f"{path}: no such TFRecord file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _content(stream: _Stream, head: bytes) -> bytes:
    """The content of the record that begins with ``head``."""
    stream.refuse_shorter(head, _LENGTH_AND_CRC.size)
    length, crc = _LENGTH_AND_CRC.unpack(head)
    if masked_crc32c(head[:8]) != crc:
        raise stream.damaged("its length does not have its checksum")
    content = stream.read(length)
    stream.refuse_shorter(content, length)
    tail = stream.read(_CRC.size)
    stream.refuse_shorter(tail, _CRC.size)
    if masked_crc32c(content) != _CRC.unpack(tail)[0]:
        raise stream.damaged("its content does not have its checksum")
    return content


class _Stream:
    """The bytes of a file, decompressed where it is compressed. ``record`` is the one that is read, for errors."""

    def __init__(self, file: BinaryIO, path: str | Path) -> None:
        self.record = 1
        self._path = path
        self._buffer = bytearray()
        head = file.read(_LENGTH_AND_CRC.size)
        file.seek(0)
        if _is_plain(head):
            self._blocks = iter(lambda: file.read(_BLOCK), b"")
        elif head[:2] == b"\x1f\x8b" or _is_zlib(head):
            self._blocks = self._inflated(file)
        else:
            raise InputError(
                f"{path}: is no TFRecord file, plain or compressed by zlib or gzip, or its first bytes are damaged; "
                f"{_AGAIN}"
            )

    def read(self, n: int) -> bytes:
        """The next ``n`` bytes, fewer at the end."""
        while len(self._buffer) < n:
            block = next(self._blocks, None)
            if block is None:
                break
            self._buffer += block
        taken = bytes(self._buffer[:n])
        del self._buffer[:n]
        return taken

    def refuse_shorter(self, found: bytes, n: int) -> None:
        """Raise an InputError unless so many bytes were found."""
        if len(found) < n:
            raise InputError(f"{self._path}: ends within record {self.record}; {_AGAIN}")

    def damaged(self, how: str) -> InputError:
        """What to raise for a damaged record."""
        return InputError(f"{self._path}: record {self.record} is damaged: {how}; {_AGAIN}")

    def _inflated(self, file: BinaryIO) -> Iterator[bytes]:
        inflate = zlib.decompressobj(_ANY_HEADER)
        try:
            while block := file.read(_BLOCK):
                while block:
                    if inflate.eof:  # compressed files may be put one behind the other
                        inflate = zlib.decompressobj(_ANY_HEADER)
                    yield inflate.decompress(block)
                    block = inflate.unused_data
        except zlib.error as error:
            raise self.damaged(f"it cannot be decompressed ({error})") from error
        if not inflate.eof:
            raise InputError(
                f"{self._path}: its compressed data ends within or after record {self.record}; {_AGAIN}"
            )


def _is_plain(head: bytes) -> bool:
    """Whether a file is not compressed: its first record's length has its checksum. An empty file has no records."""
    if len(head) < _LENGTH_AND_CRC.size:
        return not head
    return masked_crc32c(head[:8]) == int(_LENGTH_AND_CRC.unpack(head)[1])


def _is_zlib(head: bytes) -> bool:
    return len(head) >= 2 and head[0] & 15 == 8 and int.from_bytes(head[:2], "big") % 31 == 0


def _codes(raw: memoryview, length: int | None) -> Codes:
    """The codes of a feature ``sequence``; a ValueError says what is wrong with it."""
    values = np.frombuffer(raw, dtype=np.uint8)
    n = len(values)
    if length is not None and n not in (length, 4 * length):
        raise ValueError(
            f"has a sequence of {n} bytes, which is neither {length} bases nor their one-hot; see statistics.json"
        )
    if n == length or (length is None and not _is_one_hot(values)):
        return _CODE_OF_INDEX[values]
    if not _is_one_hot(values):
        raise ValueError("has a sequence that is no one-hot")
    codes = np.zeros(n // 4, dtype=np.uint8)
    for nucleotide in range(4):
        codes |= values[nucleotide::4] << np.uint8(nucleotide)
    return codes


def _is_one_hot(values: npt.NDArray[np.uint8]) -> bool:
    if len(values) % 4 or values.max(initial=0) > 1:
        return False
    bits = values.reshape(-1, 4)
    return bool((bits[:, 0] + bits[:, 1] + bits[:, 2] + bits[:, 3]).max(initial=0) <= 1)


def _target(raw: memoryview, shape: ExampleShape) -> Targets:
    """A feature ``target``; a ValueError says what is wrong with it."""
    n, odd = divmod(len(raw), 2)
    if shape.bins is None and shape.tracks is None:
        raise ValueError("has a target whose bins and tracks are not known; statistics.json says them")
    bins = n // (shape.tracks or 1) if shape.bins is None else shape.bins
    tracks = n // bins if shape.tracks is None and bins else shape.tracks or 1
    if odd or not n or bins * tracks != n:
        raise ValueError(
            f"has a target of {len(raw)} bytes, which are not {shape.bins or 'some'} bins x {shape.tracks or 'some'} "
            "tracks of float16"
        )
    target = np.frombuffer(raw, dtype="<f2").reshape(bins, tracks)
    if not np.isfinite(target).all():
        at = np.argwhere(~np.isfinite(target))[0].tolist()
        raise ValueError(f"has a target that is no finite number (bin {at[0]}, track {at[1]})")
    return target


def _features(record: bytes, names: tuple[str, ...]) -> dict[str, memoryview]:
    """The bytes of some features of a ``tf.train.Example``; a ValueError says what is wrong with it.

    In it field 1 are the features, a map; an entry of a map has its key in field 1 and its value in field 2; a
    value is in field 1 a list of bytes, in 2 of floats, in 3 of integers; a list of bytes has them in field 1.
    """
    found: dict[str, memoryview] = {}
    for features in _fields(memoryview(record), 1):
        for entry in _fields(features, 1):
            name = b"".join(_fields(entry, 1)).decode("utf-8", "replace")
            if name in names:
                found[name] = _only_bytes(name, entry)
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"has no feature {missing[0]!r}; Basenji's and Borzoi's have sequence and target")
    return found


def _only_bytes(name: str, entry: memoryview) -> memoryview:
    """The value of a feature that is a list of one string of bytes."""
    values = [
        value
        for feature in _fields(entry, 2)
        for bytes_list in _fields(feature, 1)
        for value in _fields(bytes_list, 1)
    ]
    if len(values) != 1:
        kinds = [
            kind for number, kind in _KINDS.items() for f in _fields(entry, 2) for _ in _fields(f, number)
        ]
        raise ValueError(
            f"has in {name!r} {' and '.join(kinds) or 'nothing'} with {len(values)} strings of bytes; it is to be a "
            "bytes_list with one"
        )
    return values[0]


def _fields(message: memoryview, number: int) -> Iterator[memoryview]:
    """The contents of the fields of a protocol buffer that have this number and a length."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 2:  # its length stands before it
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("is no tf.train.Example: a field is longer than what holds it")
            if tag >> 3 == number:
                yield message[at : at + size]
            at += size
        elif kind == 0:
            _, at = _varint(message, at)
        elif kind in (1, 5):  # numbers of 8 or 4 bytes
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"is no tf.train.Example: it has a field of kind {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer in seven bits a byte, the lowest first; and where what follows begins."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("is no tf.train.Example: an integer does not end")
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
