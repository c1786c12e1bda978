"""TFRecord files, written by hand and read back."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from track_files import (
    feature,
    field,
    frame,
    indices,
    masked,
    one_hot,
    random_example,
    serialised,
    slow_crc32c,
    write_records,
)

from seqstore.errors import InputError
from seqstore.nucleotides import decode
from trainer.crc32c import crc32c, masked_crc32c
from trainer.tfrecords import ExampleShape, read_examples, read_records

RECORDS = [b"first", b"", b"\x00" * 70_000, bytes(range(256)) * 3]
SHAPE = ExampleShape(64, 4, 3)


@pytest.mark.parametrize(
    ("content", "crc"),
    [  # RFC 3720, B.4, and the check value of the catalogue of CRCs
        (b"\x00" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_checksums_are_those_of_the_standard(content: bytes, crc: int) -> None:
    assert crc32c(content) == crc
    assert slow_crc32c(content) == crc


@pytest.mark.parametrize("n", [*range(20), 1001])
def test_checksums_of_any_length(n: int) -> None:
    content = np.random.default_rng(n).bytes(n)
    assert crc32c(content) == slow_crc32c(content)
    assert struct.pack("<I", masked_crc32c(memoryview(content))) == masked(content)


@pytest.mark.parametrize("compression", ["zlib", "gzip", "plain"])
def test_records_come_back(tmp_path: Path, compression: str) -> None:
    path = write_records(tmp_path / "a.tfr", RECORDS, compression)
    assert list(read_records(path)) == RECORDS
    assert list(read_records(write_records(tmp_path / "none.tfr", [], compression))) == []


def test_a_plain_file_that_begins_like_a_compressed_one(tmp_path: Path) -> None:
    content = b"x" * 0x9C78  # its length is written as 78 9c 00 ...
    path = write_records(tmp_path / "a.tfr", [content], "plain")
    assert path.read_bytes()[:2] == zlib.compress(b"")[:2]
    assert list(read_records(path)) == [content]


def test_compressed_files_put_together(tmp_path: Path) -> None:
    path = tmp_path / "a.tfr"
    path.write_bytes(b"".join(gzip.compress(frame(record)) for record in RECORDS))
    assert list(read_records(path)) == RECORDS


@pytest.mark.parametrize("compression", ["zlib", "gzip", "plain"])
def test_no_shorter_file_is_taken_for_a_whole_one(tmp_path: Path, compression: str) -> None:
    records = [b"abc", b"defgh", b"ij"]
    whole = write_records(tmp_path / "a.tfr", records, compression).read_bytes()
    ends = np.cumsum([0, *(len(frame(record)) for record in records)]).tolist()
    for n in range(len(whole)):
        (tmp_path / "a.tfr").write_bytes(whole[:n])
        if compression == "plain" and n in ends:  # a plain file does not say how many records it has
            assert list(read_records(tmp_path / "a.tfr")) == records[: ends.index(n)]
        elif n == 0:
            assert list(read_records(tmp_path / "a.tfr")) == []
        else:
            with pytest.raises(InputError, match=r"a\.tfr: (ends within|its compressed|is no TFRecord)"):
                list(read_records(tmp_path / "a.tfr"))


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    records = [b"abc", b"defgh", b"ij"]
    whole = write_records(tmp_path / "a.tfr", records, "plain").read_bytes()
    ends = np.cumsum([len(frame(record)) for record in records])
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        (tmp_path / "a.tfr").write_bytes(damaged)
        number = int((ends <= at).sum()) + 1
        said = f"record {number} is damaged" if at >= 12 else "is no TFRecord file"
        with pytest.raises(InputError, match=rf"a\.tfr: {said}"):
            list(read_records(tmp_path / "a.tfr"))


def test_damage_within_compressed_data_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = [rng.bytes(300_000) for _ in range(4)]
    path = write_records(tmp_path / "a.tfr", records)
    damaged = bytearray(path.read_bytes())
    damaged[700_000] ^= 4
    path.write_bytes(damaged)
    found = []
    with pytest.raises(InputError, match=r"a\.tfr: record [34] is damaged"):
        found.extend(read_records(path))
    assert found == records[: len(found)]


@pytest.mark.parametrize("content", [b"contig\tstart\n", b"\x1f\x8b\x08\x00junk", b"\x78\x9cjunk", b"x"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tfr").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tfr: (is no TFRecord|record 1 is damaged|its compressed)"):
        list(read_records(tmp_path / "a.tfr"))
    with pytest.raises(InputError, match=r"b\.tfr: no such TFRecord file"):
        list(read_records(tmp_path / "b.tfr"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_records(tmp_path))


@pytest.mark.parametrize("shape", [SHAPE, ExampleShape(bins=4), ExampleShape(tracks=3), ExampleShape(64, 4)])
@pytest.mark.parametrize("coded", [indices, one_hot])
def test_examples_come_back(tmp_path: Path, coded: object, shape: ExampleShape) -> None:
    rng = np.random.default_rng(1)
    examples = [random_example(rng) for _ in range(3)]
    path = write_records(tmp_path / "a.tfr", [coded(example) for example in examples])  # type: ignore[operator]
    found = list(read_examples(path, shape))
    assert len(found) == 3
    for (bases, target), (codes, values) in zip(examples, found, strict=True):
        assert decode(codes) == "".join("ACGTN"[base] for base in bases)
        assert values.dtype == np.float16
        np.testing.assert_array_equal(values, target)


def test_other_features_and_fields_do_no_harm(tmp_path: Path) -> None:
    bases, target = random_example(np.random.default_rng(2))
    more = [
        feature("umap", b"\x01\x00"),
        feature("weights", b"\x00\x00\x80\x3f", kind=2),
        b"\x18\x05",  # field 3, a number
        b"\x21" + b"\x00" * 8,  # field 4, a number of eight bytes
        b"\x2d" + b"\x00" * 4,  # field 5, a number of four
    ]
    content = serialised(bases.astype(np.uint8).tobytes(), target.tobytes(), *more)
    path = write_records(tmp_path / "a.tfr", [content + field(7, b"more")])
    (codes, values), = read_examples(path, SHAPE)  # fmt: skip
    assert decode(codes) == "".join("ACGTN"[base] for base in bases)
    np.testing.assert_array_equal(values, target)


BASES, TARGET = bytes(64), np.zeros((4, 3), np.float16).tobytes()
NAN = np.full((4, 3), np.nan, np.float16).tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no protocol buffer", "is no tf.train.Example"),
        (b"\xff" * 20, "is no tf.train.Example: an integer does not end"),
        (field(1, field(1, b"")[:-1] + b"\x7f"), "a field is longer than what holds it"),
        (b"", "has no feature 'sequence'"),
        (field(1, feature("sequence", BASES)), "has no feature 'target'"),
        (field(1, feature("sequence", BASES) + feature("target", TARGET, kind=2)), "in 'target' float_list"),
        (field(1, feature("sequence", BASES, kind=3) + feature("target", TARGET)), "in 'sequence' int64_list"),
        (serialised(BASES[:-1], TARGET), "a sequence of 63 bytes, which is neither 64 bases"),
        (serialised(b"\x02" + bytes(255), TARGET), "a sequence that is no one-hot"),
        (serialised(b"\x01\x01" + bytes(254), TARGET), "a sequence that is no one-hot"),
        (serialised(BASES, TARGET[:-2]), "a target of 22 bytes, which are not 4 bins x 3 tracks"),
        (serialised(BASES, TARGET * 2), "a target of 48 bytes, which are not 4 bins x 3 tracks"),
        (serialised(BASES, b""), "a target of 0 bytes"),
        (serialised(BASES, TARGET[:20] + NAN[:4]), r"no finite number \(bin 3, track 1\)"),
    ],
)  # fmt: skip
def test_records_that_are_no_examples_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = write_records(tmp_path / "a.tfr", [serialised(BASES, TARGET), content])
    with pytest.raises(InputError, match=rf"a\.tfr: record 2 .*{message}") as refused:
        list(read_examples(path, SHAPE))
    assert "\n" not in str(refused.value)


def test_a_target_of_unknown_shape_is_refused(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfr", [serialised(BASES, TARGET)])
    with pytest.raises(InputError, match="whose bins and tracks are not known"):
        list(read_examples(path, ExampleShape()))


@pytest.mark.parametrize("other", [serialised(BASES * 2, TARGET), serialised(BASES, TARGET * 2)])
def test_all_examples_of_a_file_have_the_shape_of_the_first(tmp_path: Path, other: bytes) -> None:
    """The first is of 64 bases, as not all are 0 and 1; of the second, twice as many, that is known."""
    first = serialised(b"\x03" + BASES[1:], TARGET)
    path = write_records(tmp_path / "a.tfr", [first, other])
    with pytest.raises(InputError, match=r"record 2 has a (sequence of 128|target of 48) bytes"):
        list(read_examples(path, ExampleShape(tracks=3)))
