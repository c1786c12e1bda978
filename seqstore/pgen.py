"""Genotypes out of a PLINK 2 file set: ``.pgen`` with its ``.pvar`` or ``.pvar.zst`` and ``.psam``.

PGEN has no haploid calls: what PLINK 2 stores of X, Y and MT is diploid, and who has one haplotype there, or
none, follows from SEX and the genome build. These contigs are refused. Homozygous calls have no phase and count
as phased, missing ones do not. Nothing in the format is checksummed: a file that was cut off is noticed, a
changed byte need not be.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from seqstore.errors import InputError
from seqstore.genotype_rows import ContigRows, Rows, RowSource
from seqstore.genotypes import MISSING
from seqstore.handles import handle_of
from seqstore.tables import lines_of

#: Calls that are decoded at once.
_CALLS_AT_ONCE = 1 << 18
#: Where not everybody is diploid; named with and without ``chr``.
_HAPLOID = ("X", "Y", "M", "MT")
_SORT_HINT = "sort them with: plink2 --make-pgen --sort-vars"


@dataclass(frozen=True, kw_only=True)
class PgenFile(RowSource):
    """One PLINK 2 file set; ``path`` is the ``.pgen``."""

    pvar: str
    psam: str

    @property
    def paths(self) -> list[str]:
        """The three files."""
        return [self.path, self.pvar, self.psam]

    def _rows_of(self, contig: str) -> ContigRows:
        if contig.removeprefix("chr") in _HAPLOID:
            raise InputError(
                f"{self.path}: contig {contig}: PGEN does not say whose calls are haploid; give VCF, BCF or VCF Zarr "
                "for genes on X, Y and MT, or leave these contigs out with: plink2 --autosome --make-pgen"
            )
        return _variants(self.pvar).contigs[contig]

    def _rows_at_once(self) -> int:
        return max(_CALLS_AT_ONCE // len(self.individuals), 1)

    def _read(self, rows: range) -> Rows:
        variants, n = _variants(self.pvar), len(self.individuals)
        calls = np.empty((len(rows), 2 * n), dtype=np.int32)
        phased = np.empty((len(rows), n), dtype=bool)
        try:
            self._reader(variants).read_alleles_and_phasepresent_range(rows.start, rows.stop, calls, phased)
        except RuntimeError as error:
            raise InputError(
                f"{self.path}: variants {rows.start + 1}-{rows.stop} cannot be read ({error}); is it damaged?"
            ) from error
        genotype = np.maximum(calls, MISSING).reshape(len(rows), n, 2)  # pgenlib's missing is -9
        if self.columns is not None and list(self.columns) != sorted(self.columns):
            order = np.argsort(np.argsort(self.columns))  # pgenlib gives them in the file's order
            genotype, phased = genotype[:, order], phased[:, order]
        position, labels, alleles, filters = zip(*map(variants.fields, rows), strict=True)
        return Rows(position, labels, alleles, filters, genotype, phased)

    def _reader(self, variants: _Variants) -> Any:
        """This thread's reader of these individuals; pgenlib's must not be shared."""
        readers = handle_of(self.path, lambda _: {})
        if self.columns not in readers:
            readers[self.columns] = _open_reader(self.path, variants, columns=self.columns)
        return readers[self.columns]


def open_pgen(path: str) -> PgenFile:
    """Check and open a ``.pgen``; its ``.pvar`` or ``.pvar.zst`` and ``.psam`` stand beside it.

    Raises:
        InputError: a file is missing or unreadable, their sizes differ, the variants are not sorted, or the
            package pgenlib is not installed.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such genotype file")
    stem = path.removesuffix(".pgen")
    pvars = [stem + ending for ending in (".pvar", ".pvar.zst") if Path(stem + ending).is_file()]
    if len(pvars) != 1:
        found = "both stand there" if pvars else "neither stands there"
        raise InputError(f"{path}: needs either {stem}.pvar or {stem}.pvar.zst; {found}")
    psam = stem + ".psam"
    if not Path(psam).is_file():
        raise InputError(f"{path}: needs {psam}, which is not there")
    individuals, variants = _read_psam(psam), _variants(pvars[0])
    _open_reader(path, variants, n_individuals=len(individuals))
    return PgenFile(
        path=path, individuals=individuals, contigs=tuple(variants.contigs), pvar=pvars[0], psam=psam
    )


def _open_reader(
    path: str,
    variants: _Variants,
    *,
    n_individuals: int | None = None,
    columns: Sequence[int] | None = None,
) -> Any:
    """A reader of all individuals of a ``.pgen`` or of some, in the order of the file."""
    try:
        import pgenlib  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise InputError(
            f'{path}: PLINK 2 files need one more package; install it with: pip install "seqstore[pgen]"'
        ) from error
    try:
        return pgenlib.PgenReader(
            path.encode(),
            raw_sample_ct=n_individuals,
            variant_ct=len(variants),
            sample_subset=None if columns is None else np.array(sorted(columns), dtype=np.uint32),
            allele_idx_offsets=variants.allele_start,
        )
    except RuntimeError as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise InputError(
            f"{path}: cannot be read with its .pvar and .psam ({' '.join(reason.split())})"
        ) from error


def _read_psam(path: str) -> tuple[str, ...]:
    """The labels (IID) of a ``.psam``."""
    lines = (line.split() for line in lines_of(path, ".psam file") if not line.startswith("##"))
    header, *rows = [fields for fields in lines if fields] or [[]]
    names = [name.removeprefix("#") for name in header]
    if not header or header[0] not in ("#IID", "#FID") or "IID" not in names:
        raise InputError(f"{path}: has no header line that begins with #IID, or with #FID IID")
    column = names.index("IID")
    short = next((number for number, row in enumerate(rows, start=1) if len(row) <= column), None)
    if short is not None:
        raise InputError(f"{path}: individual {short} has no IID")
    return tuple(row[column] for row in rows)


@dataclass(frozen=True)
class _Variants:
    """A ``.pvar`` in memory, without its INFO.

    ``text``: POS, ID, REF, ALT and FILTER between tabs, those of a variant from ``text_start`` on;
    ``allele_start`` (variant + 1,): how many alleles the variants before it have, as pgenlib wants to know.
    """

    contigs: dict[str, ContigRows]
    text: bytes
    text_start: npt.NDArray[np.int64]
    allele_start: npt.NDArray[np.uintp]

    def __len__(self) -> int:
        return len(self.text_start) - 1

    def fields(self, row: int) -> tuple[int, str, tuple[str, ...], tuple[str, ...]]:
        """POS, ID, alleles and filters of one variant, as in `Record`."""
        text = self.text[self.text_start[row] : self.text_start[row + 1]].decode()
        position, label, ref, alt, filters = text.split("\t")
        return (
            int(position),
            "" if label == "." else label,
            (ref,) if alt == "." else (ref, *alt.split(",")),
            () if filters == "." else tuple(filters.split(";")),
        )


def _variants(path: str) -> _Variants:
    """A ``.pvar``; each thread reads it once."""
    variants: _Variants = handle_of(path, _read_pvar)
    return variants


def _read_pvar(path: str) -> _Variants:
    try:
        with Path(path).open("rb") as file:
            if not path.endswith(".zst"):
                return _parse_pvar(path, file)
            stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            return _parse_pvar(path, io.BufferedReader(stream, 1 << 20))
    except (OSError, zstandard.ZstdError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _parse_pvar(path: str, lines: Iterable[bytes]) -> _Variants:
    rows = (line for line in lines if not line.startswith(b"##"))
    header = next(iter(rows), b"").decode(errors="replace").split()
    if header[:5] != ["#CHROM", "POS", "ID", "REF", "ALT"]:
        raise InputError(f"{path}: has no header line that begins with #CHROM POS ID REF ALT")
    filter_column = header.index("FILTER") if "FILTER" in header else None
    n_columns = 1 + (filter_column or 4)
    text, text_start, allele_start = bytearray(), array("q", [0]), array("Q", [0])
    position, ref_length = array("i"), array("q")
    first_row: dict[str, int] = {}
    last = None
    for number, row in enumerate(rows):
        fields = row.split(None, n_columns)
        try:
            contig, pos, label, ref, alt = fields[:5]
            position.append(int(pos))
            filters = b"PASS" if filter_column is None else fields[filter_column]
            if not row.isascii():
                b" ".join(fields[:n_columns]).decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: variant {number + 1} is no UTF-8 text; convert the file with: iconv -f latin1 -t utf-8"
            ) from error
        except (ValueError, IndexError, OverflowError) as error:
            raise InputError(f"{path}: variant {number + 1} does not fit the header line") from error
        if contig != last:
            name, last = contig.decode(), contig
            if name in first_row:
                raise InputError(f"{path}: the variants of contig {name} stand apart; {_SORT_HINT}")
            first_row[name] = number
        text += b"\t".join((pos, label, ref, alt, filters))
        text_start.append(len(text))
        allele_start.append(allele_start[-1] + 2 + alt.count(b","))
        ref_length.append(len(ref))
    positions, ref_lengths = np.asarray(position), np.asarray(ref_length)
    stops = [*first_row.values(), len(position)][1:]
    contigs = {}
    for (name, first), stop in zip(first_row.items(), stops, strict=True):
        try:
            contigs[name] = ContigRows(
                first, positions[first:stop], partial(ref_lengths.__getitem__, slice(first, stop))
            )
        except ValueError as error:
            raise InputError(f"{path}: contig {name} is not sorted ({error}); {_SORT_HINT}") from error
    return _Variants(
        contigs, bytes(text), np.asarray(text_start), np.asarray(allele_start).astype(np.uintp, copy=False)
    )
