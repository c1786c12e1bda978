"""The reference genome: windows of a FASTA file as codes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyfaidx

from seqstore.errors import InputError
from seqstore.handles import handle_of
from seqstore.nucleotides import NOT_A_BASE, Codes, encode


class Reference:
    """A FASTA file, plain or bgzipped, read by region. Safe to use after a fork and from several threads."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        if not Path(path).is_file():
            raise InputError(f"{path}: no such reference FASTA")
        self.lengths = {name: len(record) for name, record in self._fasta().items()}

    def codes(self, contig: str, start: int, stop: int) -> Codes:
        """Codes (stop - start,) of a 0-based, half-open region; N (0) past either end of the contig.

        Raises:
            InputError: the FASTA holds something that is no IUPAC letter there.
        """
        codes = np.zeros(stop - start, dtype=np.uint8)
        first, last = max(start, 0), min(stop, self.lengths[contig])
        if first < last:
            codes[first - start : last - start] = encode(self._fasta()[contig][first:last])
        bad = np.flatnonzero(codes == NOT_A_BASE)
        if len(bad):
            raise InputError(f"{self.path}: {contig}:{start + bad[0] + 1} is no IUPAC nucleotide letter")
        return codes

    def _fasta(self) -> Any:
        try:
            return handle_of(self.path, partial(pyfaidx.Fasta, as_raw=True))
        except (
            OSError,
            ValueError,
            pyfaidx.FastaIndexingError,
            pyfaidx.UnsupportedCompressionFormat,
        ) as error:
            raise InputError(f"{self.path}: cannot be read as an indexed FASTA ({error})") from error
