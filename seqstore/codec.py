"""`seqstore.windows`: the Zarr v3 codec of haplotype windows (byte format in docs/format.md).

The haplotypes of one gene are near copies of each other, so a chunk (one gene, a block of individuals)
stores its most frequent window once, as a dictionary, and every individual as one small zstd frame
compressed against it. A reader finds an individual's frame by an offset table and decodes nothing else.

The dictionary holds the window twice, as it is and shifted by one base (a nibble): behind an indel of
odd length the packed bytes of a window match the second copy, not the first.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import zstandard
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.abc.store import RangeByteRequest
from zarr.core.common import JSON, parse_named_configuration

if TYPE_CHECKING:
    from typing import Self

    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

Bytes = npt.NDArray[np.uint8]

CODEC_NAME = "seqstore.windows"
_MAGIC = b"SQW1"
# magic, rows, bytes a row, bytes of the dictionary's window, bytes of the dictionary frame
_HEADER = struct.Struct("<4sIIII")
_CRC = struct.Struct("<I")
_TABLE = np.dtype([("end", "<u4"), ("crc", "<u4")])


class CorruptChunkError(ValueError):
    """The bytes of a chunk are not what the codec wrote."""


def encode_chunk(rows: Bytes, window_bytes: int, level: int = 3) -> bytes:
    """Encode rows (individuals, bytes a row), each of one or more windows of ``window_bytes``."""
    number_of: dict[bytes, int] = {}
    which = [
        number_of.setdefault(window.tobytes(), len(number_of)) for window in rows.reshape(-1, window_bytes)
    ]
    windows = np.frombuffer(b"".join(number_of), dtype=np.uint8).reshape(-1, window_bytes)
    return encode_windows(windows, np.array(which).reshape(len(rows), -1), level)


def encode_windows(windows: Bytes, which: npt.NDArray[np.integer], level: int = 3) -> bytes:
    """Encode rows that consist of some of the distinct ``windows`` (window, bytes), in first-seen order.

    ``which`` (individual, windows a row) says of which ones, -1 = a window of zeros. A row of zeros (padding
    behind the last individual, nobody there, all N) becomes an empty frame.
    """
    window_bytes = windows.shape[1]
    is_zero = np.append(~windows.any(axis=1), True)
    counts = np.bincount(which[~is_zero[which]], minlength=len(windows))
    dictionary = windows[counts.argmax()].tobytes() if counts.any() else bytes(window_bytes)
    dictionary_data = _both_phases(dictionary)
    dictionary_data.precompute_compress(level=level)
    compressor = zstandard.ZstdCompressor(level=level, dict_data=dictionary_data, write_content_size=False)
    frame_of: dict[tuple[int, ...], bytes] = {}
    row = np.empty((which.shape[1], window_bytes), dtype=np.uint8)
    frames = []
    for key in map(tuple, which.tolist()):
        if key not in frame_of:
            for place, number in enumerate(key):
                row[place] = windows[number] if number >= 0 else 0
            frame_of[key] = b"" if is_zero[list(key)].all() else compressor.compress(row.data)
        frames.append(frame_of[key])
    table = np.empty(len(frames), dtype=_TABLE)
    table["end"] = np.cumsum([len(frame) for frame in frames], dtype=np.int64)
    table["crc"] = [zlib.crc32(frame) for frame in frames]
    dictionary_frame = zstandard.ZstdCompressor(level=level).compress(dictionary)
    head = _HEADER.pack(_MAGIC, len(frames), row.nbytes, window_bytes, len(dictionary_frame))
    head += table.tobytes() + dictionary_frame
    return b"".join([head, _CRC.pack(zlib.crc32(head)), *frames])


def head_bytes(start: bytes) -> int:
    """How many bytes of a chunk stand before its frames, given at least its first 20 bytes."""
    if len(start) < _HEADER.size:
        raise CorruptChunkError("the chunk is shorter than its header")
    magic, n_rows, _, _, dictionary_bytes = _HEADER.unpack_from(start)
    if magic != _MAGIC:
        raise CorruptChunkError(f"the chunk begins with {magic!r}, not {_MAGIC!r}")
    return int(_HEADER.size + n_rows * _TABLE.itemsize + dictionary_bytes + _CRC.size)


class ChunkDecoder:
    """Decodes single rows of one chunk, given the bytes before its frames.

    ``row_bytes`` is the length of a decoded row, ``ends`` (rows + 1,) where frames end, counted from
    the first frame's start.
    """

    def __init__(self, head: bytes | memoryview) -> None:
        n_head = head_bytes(bytes(head[: _HEADER.size]))
        if len(head) < n_head:
            raise CorruptChunkError("the chunk is shorter than its header says")
        body, stored_crc = head[: n_head - _CRC.size], head[n_head - _CRC.size : n_head]
        if zlib.crc32(body) != _CRC.unpack(stored_crc)[0]:
            raise CorruptChunkError("the chunk's header does not match its checksum")
        _, self.n_rows, self.row_bytes, window_bytes, _ = _HEADER.unpack_from(body)
        self.n_head = n_head
        table = np.frombuffer(body, dtype=_TABLE, count=self.n_rows, offset=_HEADER.size)
        self.ends = [0, *table["end"].tolist()]
        self._crc = table["crc"].tolist()
        dictionary = zstandard.ZstdDecompressor().decompress(body[_HEADER.size + table.nbytes :])
        if len(dictionary) != window_bytes:
            raise CorruptChunkError("the chunk's dictionary has the wrong length")
        self._decompressor = zstandard.ZstdDecompressor(dict_data=_both_phases(dictionary))

    def decode_into(self, row: int, frame: bytes | memoryview, out: Bytes) -> None:
        """Decode the frame of one row into ``out`` (row_bytes,)."""
        if len(frame) != self.ends[row + 1] - self.ends[row] or zlib.crc32(frame) != self._crc[row]:
            raise CorruptChunkError(f"row {row} of the chunk does not match its checksum")
        if not len(frame):
            out[:] = 0
            return
        try:
            decoded = self._decompressor.decompress(frame, max_output_size=self.row_bytes)
        except zstandard.ZstdError as error:
            raise CorruptChunkError(f"row {row} of the chunk cannot be decompressed: {error}") from error
        if len(decoded) != self.row_bytes:
            raise CorruptChunkError(f"row {row} of the chunk is {len(decoded)} bytes, not {self.row_bytes}")
        out[:] = np.frombuffer(decoded, dtype=np.uint8)


@dataclass(frozen=True)
class WindowCodec(ArrayBytesCodecPartialDecodeMixin, ArrayBytesCodec):
    """Zarr codec of uint8 arrays (gene, individual, haplotype, byte) in chunks of one gene."""

    level: int = 3

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """The codec that the metadata of an array describes."""
        _, configuration = parse_named_configuration(data, CODEC_NAME, require_configuration=False)
        return cls(**(configuration or {}))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, JSON]:
        """The codec as it stands in the metadata of an array."""
        return {"name": CODEC_NAME, "configuration": {"level": self.level}}

    def validate(self, *, shape: Any, dtype: Any, chunk_grid: Any) -> None:
        """Refuse arrays that are not uint8 windows in chunks of one gene."""
        chunk = getattr(chunk_grid, "chunk_shape", ())
        if dtype.to_native_dtype() != np.uint8 or len(shape) != 4 or (chunk and chunk[0] != 1):
            raise ValueError(
                f"{CODEC_NAME} encodes uint8 arrays (gene, individual, haplotype, byte) in chunks of one gene"
            )

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        windows = np.ascontiguousarray(chunk_array.as_numpy_array())
        rows = windows.reshape(_as_rows(chunk_spec.shape))
        encoded = encode_chunk(rows, chunk_spec.shape[3], self.level)
        return chunk_spec.prototype.buffer.from_bytes(encoded)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        encoded = chunk_bytes.to_bytes()
        decoder = ChunkDecoder(encoded)
        out = np.empty(_as_rows(chunk_spec.shape), dtype=np.uint8)
        for row in range(decoder.n_rows):
            start, stop = decoder.ends[row] + decoder.n_head, decoder.ends[row + 1] + decoder.n_head
            decoder.decode_into(row, encoded[start:stop], out[row])
        return chunk_spec.prototype.nd_buffer.from_numpy_array(out.reshape(chunk_spec.shape))

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        prototype = chunk_spec.prototype
        start = await byte_getter.get(prototype, RangeByteRequest(0, _HEADER.size))
        if start is None:  # zarr would give zeros, which are a sequence of N
            raise CorruptChunkError("a chunk file of haplotype_sequence is missing")
        n_head = head_bytes(start.to_bytes())
        head = await byte_getter.get(prototype, RangeByteRequest(0, n_head))
        if head is None:
            return None
        decoder = ChunkDecoder(head.to_bytes())
        selection = selection if isinstance(selection, tuple) else (selection,)
        selection += (slice(None),) * (4 - len(selection))
        # Decode the rows that the selection asks for, then apply the rest of it to those.
        individuals = selection[1]
        if isinstance(individuals, slice):
            wanted = np.arange(chunk_spec.shape[1])[individuals]
            compact: Any = slice(None)
        else:
            wanted, compact = np.unique(individuals, return_inverse=True)
            compact = compact.reshape(np.shape(individuals)) if np.ndim(individuals) else 0
        rows = np.zeros((len(wanted), decoder.row_bytes), dtype=np.uint8)
        if len(wanted):
            first, last = decoder.ends[wanted.min()], decoder.ends[wanted.max() + 1]
            span = await byte_getter.get(prototype, RangeByteRequest(n_head + first, n_head + last))
            frames = b"" if span is None else span.to_bytes()
            for out, row in zip(rows, wanted.tolist(), strict=True):
                start_of, end_of = decoder.ends[row] - first, decoder.ends[row + 1] - first
                decoder.decode_into(row, frames[start_of:end_of], out)
        windows = rows.reshape(1, len(wanted), *chunk_spec.shape[2:])
        selected = windows[(selection[0], compact, *selection[2:])]
        return prototype.nd_buffer.from_numpy_array(np.asarray(selected, order="C"))


def _both_phases(window: bytes) -> zstandard.ZstdCompressionDict:
    """The dictionary: the window shifted by one base, then the window itself."""
    packed = np.frombuffer(window, dtype=np.uint8)
    shifted = packed << 4
    shifted[1:] |= packed[:-1] >> 4
    return zstandard.ZstdCompressionDict(shifted.tobytes() + window, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _as_rows(shape: tuple[int, ...]) -> tuple[int, int]:
    """A chunk as rows: (individuals, bytes a row)."""
    return shape[1], shape[2] * shape[3]
