"""R workspaces as FUSION.compute_weights.R saves them (`save`, version 2, XDR), written byte by byte.

The format is that of R Internals, section 1.8: a list of pairs, each object behind a word of flags.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

NIL, SYMBOL, PAIR, CHARACTERS, LOGICAL, INTEGER, REAL, STRING, LIST, REFERENCE = (
    254, 1, 2, 9, 10, 13, 14, 16, 19, 255,
)  # fmt: skip
OBJECT, ATTRIBUTES, TAG, ASCII = 0x100, 0x200, 0x400, 0x40000


def save_weights(
    path: Path,
    bim: Sequence[Sequence[Any]],
    models: Sequence[str],
    weights: np.ndarray,
    *,
    logical_a1: bool = False,
) -> Path:
    """A .wgt.RDat: ``bim`` rows (contig, id, cM, position, A1, A2), ``weights`` (variant, model).

    ``logical_a1``: A1 as R reads a column of nothing but T.
    """
    columns = list(zip(*bim, strict=True))
    ids = [str(name) for name in columns[1]]
    writer = _Writer()
    a1 = writer.logicals([True] * len(bim)) if logical_a1 else None
    body = writer.pairs(
        [
            (
                "wgt.matrix",
                lambda: writer.numbers(
                    weights.ravel(order="F"),
                    [
                        ("dim", lambda: writer.integers(weights.shape)),
                        ("dimnames", lambda: writer.values([writer.texts(ids), writer.texts(models)])),
                    ],
                ),
            ),
            (
                "snps",
                lambda: writer.values(
                    [
                        writer.integers(columns[0]),
                        writer.texts(ids),
                        writer.numbers(columns[2]),
                        writer.integers(columns[3]),
                        a1 or writer.texts(columns[4]),
                        writer.texts(columns[5]),
                    ],
                    [
                        ("names", lambda: writer.texts([f"V{i}" for i in range(1, 7)])),
                        ("row.names", lambda: writer.integers(range(1, len(bim) + 1))),
                        ("class", lambda: writer.texts(["data.frame"])),
                    ],
                    OBJECT,
                ),
            ),
            ("hsq", lambda: writer.numbers([0.2, 0.05])),
            ("N.tot", lambda: writer.integers([327])),
        ]
    )
    with gzip.open(path, "wb") as file:
        file.write(b"RDX2\nX\n" + struct.pack(">iii", 2, 0x030602, 0x020300) + body)
    return path


class _Writer:
    def __init__(self) -> None:
        self._symbols: list[str] = []

    def pairs(self, named: Any) -> bytes:
        parts = [struct.pack(">i", PAIR | TAG) + self._symbol(name) + make() for name, make in named]
        return b"".join(parts) + struct.pack(">i", NIL)

    def numbers(self, values: Any, attributes: Any = ()) -> bytes:
        return self._vector(REAL, [struct.pack(">d", value) for value in values], attributes)

    def integers(self, values: Any) -> bytes:
        return self._vector(INTEGER, [struct.pack(">i", value) for value in values])

    def logicals(self, values: Any) -> bytes:
        return self._vector(LOGICAL, [struct.pack(">i", value) for value in values])

    def texts(self, values: Any) -> bytes:
        return self._vector(STRING, [_characters(value) for value in values])

    def values(self, parts: list[bytes], attributes: Any = (), flags: int = 0) -> bytes:
        return self._vector(LIST, parts, attributes, flags)

    def _vector(self, kind: int, parts: list[bytes], attributes: Any = (), flags: int = 0) -> bytes:
        head = struct.pack(">ii", kind | flags | (ATTRIBUTES if attributes else 0), len(parts))
        return head + b"".join(parts) + (self.pairs(attributes) if attributes else b"")

    def _symbol(self, name: str) -> bytes:
        if name in self._symbols:
            return struct.pack(">i", REFERENCE | (self._symbols.index(name) + 1) << 8)
        self._symbols.append(name)
        return struct.pack(">i", SYMBOL) + _characters(name)


def _characters(text: str) -> bytes:
    return struct.pack(">ii", CHARACTERS | ASCII, len(text)) + text.encode("ascii")
