"""`seqstore.windows`: the Zarr v3 codec of haplotype windows (byte format in docs/format.md).

The haplotypes of one gene are near copies of each other, and many are equal. So a chunk (one gene, a block of
individuals) stores its commonest window once, as a template; the edits that make the others of it, once each; for
each distinct window the list of its edits; and for each haplotype which of the windows it is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xxhash
import zstandard
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.core.common import JSON, parse_named_configuration

from seqstore.earlier_codec import rows_of
from seqstore.edits import Edits, all_n, find_edits
from seqstore.errors import CorruptChunkError
from seqstore.nucleotides import pack, unpack
from seqstore.rendering import NO_WINDOW, RENDERED, Rendering, render

if TYPE_CHECKING:
    from typing import Self

    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

Bytes = npt.NDArray[np.uint8]

CODEC_NAME = "seqstore.windows"
_MAGIC = b"SQW2"
_EARLIER_MAGIC = b"SQW1"
_CHECKED = struct.Struct("<4sQ")  # magic, checksum of all that follows
# rows, windows a row, bytes a window, windows, substitutions, indels, inserted bases, bytes of tables and of lists
_SIZES = struct.Struct("<9I")
#: The windows of a chunk are numbered in 16 bits, and one number says that there is none.
MAX_WINDOWS = 0xFFFF


def encode_chunk(rows: Bytes, window_bytes: int, level: int = 3) -> bytes:
    """Encode rows (individuals, bytes a row), each of one or more windows of ``window_bytes``."""
    number_of: dict[bytes, int] = {}
    which = [
        number_of.setdefault(window.tobytes(), len(number_of)) for window in rows.reshape(-1, window_bytes)
    ]
    windows = np.frombuffer(b"".join(number_of), dtype=np.uint8).reshape(-1, window_bytes)
    return encode_windows(windows, np.array(which).reshape(len(rows), -1), level)


def encode_windows(windows: Bytes, which: npt.NDArray[np.integer], level: int = 3) -> bytes:
    """Encode rows that consist of some of the distinct packed ``windows`` (window, bytes), in first-seen order.

    ``which`` (individual, windows a row) says of which ones, -1 = a window of zeros (padding behind the last
    individual, nobody there, all N).

    Raises:
        ValueError: there are more than `MAX_WINDOWS` windows.
    """
    is_kept = ~all_n(windows)
    number = np.append(np.where(is_kept, np.cumsum(is_kept) - 1, NO_WINDOW), NO_WINDOW)
    cells = number[which]
    if not is_kept.all():  # else without a copy
        windows = windows[is_kept]
    if len(windows) > MAX_WINDOWS:
        raise ValueError(
            f"{len(windows)} distinct windows in a chunk, at most {MAX_WINDOWS}; use smaller chunks"
        )
    n_carriers = np.bincount(cells[cells != NO_WINDOW], minlength=len(windows))
    template = windows[n_carriers.argmax()] if len(windows) else np.zeros(windows.shape[1], np.uint8)
    edits = find_edits(template, windows)
    insertion = pack(np.pad(edits.insertion, (0, len(edits.insertion) % 2)))
    tables = zstandard.ZstdCompressor(level=level).compress(
        b"".join(
            array.tobytes()
            for array in (
                template,
                edits.base,
                edits.start,
                edits.deleted,
                edits.inserted,
                edits.code,
                insertion,
            )
        )
    )
    sizes = _SIZES.pack(
        *cells.shape,
        windows.shape[1],
        len(windows),
        len(edits.base),
        len(edits.start),
        len(edits.insertion),
        len(tables),
        len(edits.lists),
    )
    body = b"".join(
        [sizes, edits.ends.tobytes(), cells.astype("<u2").tobytes(), tables, edits.lists.tobytes()]
    )
    return _CHECKED.pack(_MAGIC, xxhash.xxh3_64_intdigest(body)) + body


class WindowChunk:
    """A chunk: ``n_rows`` rows of ``windows_a_row`` windows of ``window_bytes`` bytes.

    It reads from ``encoded`` as long as it is used, be that a memory map.

    Raises:
        CorruptChunkError: these are not the bytes that were written.
    """

    def __init__(self, encoded: bytes | memoryview) -> None:
        if encoded[:4] == _EARLIER_MAGIC:
            encoded = encode_chunk(*rows_of(bytes(encoded)))
        n_head = _CHECKED.size + _SIZES.size
        if len(encoded) < n_head:
            raise CorruptChunkError("the chunk is shorter than its header")
        magic, checksum = _CHECKED.unpack_from(encoded)
        if magic != _MAGIC:
            raise CorruptChunkError(f"the chunk begins with {magic!r}, not {_MAGIC!r}")
        if xxhash.xxh3_64_intdigest(encoded[_CHECKED.size :]) != checksum:
            raise CorruptChunkError("the chunk does not match its checksum")
        sizes = _SIZES.unpack_from(encoded, _CHECKED.size)
        self.n_rows, self.windows_a_row, self.window_bytes = sizes[:3]
        self._sizes, self._encoded, self._n_head = sizes, encoded, n_head

    def decode(self, rows: npt.ArrayLike) -> Bytes:
        """The windows (n, windows a row, bytes) of some rows (n,)."""
        rows = np.asarray(rows, dtype=np.int64)
        out = np.empty((len(rows), self.windows_a_row, self.window_bytes), dtype=np.uint8)
        nought = np.zeros_like(rows)
        shape = np.array([self.n_rows, self.n_rows, self.windows_a_row])
        done, row = render(self.rendering.addresses[None, None], shape, nought, rows, nought, out)
        if done != RENDERED:
            raise CorruptChunkError(f"row {rows[row]} of the chunk cannot be made")
        return out

    @cached_property
    def rendering(self) -> Rendering:
        """What `seqstore.rendering.render` takes.

        Raises:
            CorruptChunkError: the numbers in the chunk make no sense together.
        """
        try:
            cells, template, edits = self._parts()
        except (ValueError, IndexError, zstandard.ZstdError) as error:
            raise CorruptChunkError(f"the tables of the chunk cannot be read ({error})") from error
        length, ends = 2 * self.window_bytes, edits.ends.astype(np.int64)
        windows = cells[cells != NO_WINDOW]
        if not (
            len(template) == self.window_bytes
            and (edits.base < length).all()
            and (edits.code < 16).all()
            and edits.inserted.sum(dtype=np.int64) == len(edits.insertion)
            and (np.diff(ends, prepend=0) >= 0).all()
            and (ends <= len(edits.lists)).all()
            and (windows < len(ends)).all()
        ):
            raise CorruptChunkError("the tables of the chunk do not belong together")
        return Rendering(template, edits, cells)

    def _parts(self) -> tuple[npt.NDArray[np.uint16], Bytes, Edits]:
        """The windows of the rows, the template, and the edits."""
        _, _, window_bytes, n_windows, n_substitutions, n_indels, n_inserted, n_tables, n_lists = self._sizes
        n_cells, at = self.n_rows * self.windows_a_row, self._n_head
        ends = np.frombuffer(self._encoded, dtype="<u4", count=n_windows, offset=at)
        cells = np.frombuffer(self._encoded, dtype="<u2", count=n_cells, offset=at + ends.nbytes)
        at += ends.nbytes + cells.nbytes
        tables = zstandard.ZstdDecompressor().decompress(self._encoded[at : at + n_tables])
        lists = np.frombuffer(self._encoded, dtype=np.uint8, count=n_lists, offset=at + n_tables)
        template = np.frombuffer(tables, dtype=np.uint8, count=window_bytes)
        numbers = np.frombuffer(tables[window_bytes:], dtype="<u4", count=n_substitutions + 3 * n_indels)
        codes = np.frombuffer(tables, dtype=np.uint8, offset=window_bytes + numbers.nbytes)
        start, deleted, inserted = numbers[n_substitutions:].reshape(3, n_indels)
        edits = Edits(
            base=numbers[:n_substitutions],
            code=codes[:n_substitutions],
            start=start,
            deleted=deleted,
            inserted=inserted,
            insertion=unpack(codes[n_substitutions:])[:n_inserted],
            lists=lists,
            ends=ends,
        )
        return cells, template, edits


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
        _, n_individuals, _, window_bytes = chunk_spec.shape
        rows = np.ascontiguousarray(chunk_array.as_numpy_array()).reshape(n_individuals, -1)
        return chunk_spec.prototype.buffer.from_bytes(encode_chunk(rows, window_bytes, self.level))

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        windows = WindowChunk(chunk_bytes.to_bytes()).decode(np.arange(chunk_spec.shape[1]))
        return chunk_spec.prototype.nd_buffer.from_numpy_array(windows[None])

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        encoded = await byte_getter.get(chunk_spec.prototype)
        if encoded is None:  # zarr would give zeros, which are a sequence of N
            raise CorruptChunkError(
                f"{byte_getter}: this chunk file is missing; take it from a copy of the store"
            )
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
        try:
            windows = WindowChunk(encoded.to_bytes()).decode(wanted)[None]
        except CorruptChunkError as error:
            raise CorruptChunkError(f"{byte_getter}: {error}") from error
        selected = windows[(selection[0], compact, *selection[2:])]
        return chunk_spec.prototype.nd_buffer.from_numpy_array(np.asarray(selected, order="C"))
