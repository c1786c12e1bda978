"""Windows out of a store's chunks as one-hot matrices, without packed windows that go through memory in between."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from seqstore.onehot import Integers, unpack
from seqstore.rendering import RENDERED, render

Ints = npt.NDArray[np.int64]

#: Bytes of packed windows that are made, and then unpacked, at a time: they are still in a core's own cache.
AT_ONCE = 200_000


@numba.njit(cache=True, nogil=True)
def render_onehot(
    chunks: Ints,
    shape: Ints,
    genes: Ints,
    individuals: Ints,
    haplotypes: Ints,
    span: tuple[int, int, bool, bool, bool],
    table: Integers,
    out: Integers,
) -> tuple[int, int]:  # pragma: no cover  (compiled)
    """One-hot matrices (n x windows, 4 x bases), as of `render`.

    ``span`` is bytes of a window, and what `seqstore.onehot.unpack` wants to know: the first base, whether on the
    other strand, whether bases with several bits are nothing, and whether byte by byte.
    """
    n_bytes, start, reverse, only_single, byte_by_byte = span
    n_windows = len(out) // max(len(genes), 1)
    n_pairs = max(AT_ONCE // max(n_windows * n_bytes, 1), 1)
    packed = np.empty((n_pairs, n_windows, n_bytes), dtype=np.uint8)
    for first in range(0, len(genes), n_pairs):
        stop = min(first + n_pairs, len(genes))
        windows = packed[: stop - first]
        what, number = render(
            chunks, shape, genes[first:stop], individuals[first:stop], haplotypes[first:stop], windows
        )
        if what != RENDERED:
            return what, first + number
        flat = windows.reshape((stop - first) * n_windows, n_bytes)
        numbers = out[n_windows * first : n_windows * stop]
        unpack(flat, start, reverse, only_single, byte_by_byte, table, numbers)
    return RENDERED, 0
