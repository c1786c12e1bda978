"""The reference genome: windows of a FASTA file as codes."""

from __future__ import annotations

import os
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
        fasta = self._fasta()
        self.lengths = {name: len(record) for name, record in fasta.items()}
        self._refuse_other_index(fasta.faidx)

    def codes(self, contig: str, start: int, stop: int) -> Codes:
        """Codes (stop - start,) of a 0-based, half-open region; N (0) past either end of the contig.

        Raises:
            InputError: the FASTA holds something that is no IUPAC letter there.
        """
        codes = np.zeros(stop - start, dtype=np.uint8)
        first, last = max(start, 0), min(stop, self.lengths[contig])
        if first < last:
            letters = encode(self._fasta()[contig][first:last])
            if len(letters) != last - first:
                raise InputError(self._index_hint())
            codes[first - start : last - start] = letters
        bad = np.flatnonzero(codes == NOT_A_BASE)
        if len(bad):
            raise InputError(f"{self.path}: {contig}:{start + bad[0] + 1} is no IUPAC nucleotide letter")
        return codes

    def _refuse_other_index(self, faidx: Any) -> None:
        """Refuse an index by which an uncompressed file would end elsewhere than it does, whatever their dates."""
        if self.path.endswith((".gz", ".bgz")) or not faidx.index:
            return
        last = max(faidx.index.values(), key=lambda record: record.offset)
        whole_lines, rest = divmod(last.rlen, last.lenc)
        with open(self.path, "rb") as file:
            file.seek(last.offset + whole_lines * last.lenb + rest)
            if file.tell() > os.path.getsize(self.path) + last.lenb - last.lenc or file.read().strip():
                raise InputError(self._index_hint())

    def _index_hint(self) -> str:
        return f"{self.path}: its index {self.path}.fai is of another file; make it anew with: samtools faidx"

    def _fasta(self) -> Any:
        try:
            return handle_of(self.path, partial(pyfaidx.Fasta, as_raw=True))
        except (
            OSError,
            ValueError,
            pyfaidx.FastaIndexingError,
            pyfaidx.UnsupportedCompressionFormat,
        ) as error:
            if "may not be writable" in str(error):
                raise InputError(
                    f"{self.path}: has no index, and none can be made in its folder; run samtools faidx on a copy"
                ) from error
            raise InputError(f"{self.path}: cannot be read as an indexed FASTA ({error})") from error
