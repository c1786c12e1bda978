"""Packed windows to one-hot matrices, on the device, by looking bytes up in a table (`seqstore.onehot`)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqstore.onehot import byte_table, unpack_into
from seqstore.threads import Threads

#: As numpy has no bfloat16, numbers are copied as integers of their size.
_INTEGER = {2: torch.uint16, 4: torch.uint32}


class OneHot(nn.Module):
    """Packed windows (n, bytes) uint8 to one-hot (n, bases, 4), A C G T.

    It is what autocast wants, where that is on: bfloat16 or float16; else float32. The table follows the module's
    device; it is not part of a checkpoint.
    """

    table: Tensor

    def __init__(self, ambiguous: str = "zero") -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(byte_table(ambiguous)), persistent=False)
        self._ambiguous = ambiguous
        self._threads = Threads(torch.get_num_threads())

    def forward(
        self,
        packed: Tensor,
        *,
        start: int = 0,
        length: int | None = None,
        reverse: bool = False,
        out: Tensor | None = None,
    ) -> Tensor:
        """The bases from ``start`` on, an even number of them, by default all up to the end.

        Beyond a window stand zeros. With ``reverse`` these bases are read on the other strand. On a CPU they are
        written to ``out``, if that is given.
        """
        device = packed.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        length = 2 * packed.shape[1] - start if length is None else length
        if device != "cpu":
            return self._unpack(packed, start, length, reverse, self.table.to(dtype))
        if out is None:
            out = torch.empty(len(packed), length, 4, dtype=dtype)
        table, kind = self.table.to(out.dtype), _INTEGER[out.itemsize]
        numbers: Any = out.view(kind).numpy().reshape(len(packed), 4 * length)
        windows, rows = packed.contiguous().numpy(), table.view(kind).numpy()
        span: dict[str, Any] = {"start": start, "reverse": reverse, "ambiguous": self._ambiguous}
        self._threads.run(
            lambda part: unpack_into(windows[part], rows, numbers[part], **span), len(packed), numbers.nbytes
        )
        return out

    @staticmethod
    def _unpack(packed: Tensor, start: int, length: int, reverse: bool, table: Tensor) -> Tensor:
        """By operations that any device has: what of the bytes is seen first, while it is small."""
        first, moved = start // 2, start % 2
        stop = first + length // 2 + moved
        before, behind = (min(max(n, 0), stop - first) for n in (-first, stop - packed.shape[1]))
        packed = F.pad(packed[:, max(first, 0) : max(stop, 0)], (before, behind))
        if moved:
            packed = (packed[:, :-1] >> 4) | (packed[:, 1:] << 4)
        if reverse:
            packed, table = packed.flip(1), table.flip(1)
        return F.embedding(packed.int(), table).reshape(len(packed), -1, 4)
