"""Chunks of format version 1: a dictionary window and one zstd frame for each individual (docs/format.md)."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt
import zstandard

from seqstore.edits import both_phases
from seqstore.errors import CorruptChunkError

# magic, rows, bytes a row, bytes of the dictionary's window, bytes of the dictionary frame
_HEADER = struct.Struct("<4sIIII")
_CRC = struct.Struct("<I")
_TABLE = np.dtype([("end", "<u4"), ("crc", "<u4")])


def rows_of(encoded: bytes) -> tuple[npt.NDArray[np.uint8], int]:
    """The rows (individuals, bytes a row) of a chunk, and how many bytes of a row are a window.

    Raises:
        CorruptChunkError: these are not the bytes that were written.
    """
    if len(encoded) < _HEADER.size:
        raise CorruptChunkError("the chunk is shorter than its header")
    _, n_rows, row_bytes, window_bytes, dictionary_bytes = _HEADER.unpack_from(encoded)
    n_head = _HEADER.size + n_rows * _TABLE.itemsize + dictionary_bytes
    if len(encoded) < n_head + _CRC.size:
        raise CorruptChunkError("the chunk is shorter than its header says")
    if zlib.crc32(encoded[:n_head]) != _CRC.unpack_from(encoded, n_head)[0]:
        raise CorruptChunkError("the chunk's header does not match its checksum")
    table = np.frombuffer(encoded, dtype=_TABLE, count=n_rows, offset=_HEADER.size)
    frames = encoded[n_head + _CRC.size :]
    if len(frames) != table["end"][-1]:
        raise CorruptChunkError(f"the frames of the chunk have {len(frames)} bytes, not {table['end'][-1]}")
    dictionary = zstandard.ZstdDecompressor().decompress(encoded[_HEADER.size + table.nbytes : n_head])
    phases = both_phases(np.frombuffer(dictionary, dtype=np.uint8))
    data = zstandard.ZstdCompressionDict(
        phases[1, :-1].tobytes() + dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT
    )
    decompressor = zstandard.ZstdDecompressor(dict_data=data)
    rows = np.zeros((n_rows, row_bytes), dtype=np.uint8)
    start = 0
    for row, (end, crc) in zip(rows, table.tolist(), strict=True):
        frame, start = frames[start:end], end
        if zlib.crc32(frame) != crc:
            raise CorruptChunkError("a row of the chunk does not match its checksum")
        if frame:
            row[:] = np.frombuffer(decompressor.decompress(frame, max_output_size=row_bytes), dtype=np.uint8)
    return rows, window_bytes
