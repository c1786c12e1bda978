"""Genotypes out of an indexed VCF or BCF file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cyvcf2
import numpy as np
import numpy.typing as npt
import pysam

from seqstore.errors import InputError
from seqstore.genotypes import ABSENT, MOST_ALLELES, Record, check_alleles
from seqstore.handles import handle_of

#: The largest POS of a record.
_LAST_POSITION = 2**31 - 2
#: Bases past a region in which a next record is looked for; to the contig's end the index takes milliseconds.
_LOOK_AHEAD = 1 << 20


@dataclass(frozen=True)
class VcfFile:
    """One VCF or BCF file with an index. See `seqstore.genotypes.GenotypeSource` for what it does."""

    path: str
    individuals: tuple[str, ...]
    contigs: tuple[str, ...]
    has_phase_sets: bool

    @property
    def paths(self) -> list[str]:
        """The file."""
        return [self.path]

    def path_of(self, contig: str) -> str:
        """The file."""
        return self.path

    def subset(self, labels: Sequence[str]) -> VcfFile:
        """The same genotypes of some individuals only, in the order given."""
        return replace(self, individuals=tuple(labels))

    def records(self, contig: str, start: int, stop: int) -> Iterator[Record]:
        """See `GenotypeSource.records`."""
        with self._reader() as reader:
            for variant in self._variants(reader, contig, start, stop):
                if variant.POS > start:  # not one that only reaches into the region
                    genotype, phased = self._calls(variant, contig, reader.columns)
                    yield Record(
                        contig=contig,
                        position=variant.POS,
                        id=variant.ID or "",
                        alleles=(variant.REF, *variant.ALT),
                        filters=tuple(variant.FILTERS),
                        genotype=genotype,
                        phased=phased,
                        phase_set=_phase_set(variant, reader.columns) if self.has_phase_sets else None,
                    )

    def span(self, contig: str) -> tuple[int, int]:
        """First and last POS of a contig's records (1-based, both included)."""
        with self._reader() as reader:
            first = self._next_position(reader, contig, 1)
            if first is None:
                raise InputError(f"{self.path}: no record of contig {contig} can be read; is it damaged?")
            low, high = first, _LAST_POSITION
            while low < high:  # the last record is found by asking "is there one from here on?"
                middle = (low + high + 1) // 2
                position = self._next_position(reader, contig, middle)
                low, high = (position, high) if position is not None else (low, middle - 1)
            self._check_count(contig, low + 1, _LAST_POSITION, 0)
        return first, low

    def _next_position(self, reader: _Reader, contig: str, position: int) -> int | None:
        """POS of the first record from a 1-based position on."""
        variants = self._query(reader, contig, position - 1, _LAST_POSITION)
        return next((variant.POS for variant in variants if variant.POS >= position), None)

    def first_reaching(self, contig: str, position: int) -> int:
        """See `GenotypeSource.first_reaching`.

        A record is found through the index: one whose INFO/END stands before the end of its own REF allele,
        which VCF forbids, is not.
        """
        reached = position
        with self._reader() as reader:
            while True:
                starts = [
                    variant.POS - 1
                    for variant in self._variants(reader, contig, reached, reached)
                    if variant.POS - 1 + len(variant.REF) > reached
                ]
                if not starts:
                    return reached
                reached = min(starts)

    def _variants(self, reader: _Reader, contig: str, start: int, stop: int) -> Iterator[Any]:
        """The records with POS up to ``stop`` (1-based) that overlap ``start`` (0-based) or come after it.

        Where a file is damaged cyvcf2 stops without a word. A record past ``stop`` shows that it did not:
        every block up to there was read and its checksum compared. Only where no such record comes, pysam,
        which does raise, counts what should have come last.
        """
        last, n_last = start + 1, 0
        try:
            for variant in self._query(reader, contig, start, stop + _LOOK_AHEAD):
                if variant.POS > stop:
                    return
                if variant.POS > last:
                    last, n_last = variant.POS, 0
                n_last += variant.POS == last
                yield variant
        except _CannotParseError:  # maybe a record past `stop`
            pass
        reader.is_sound = False  # htslib remembers an error
        self._check_count(contig, last, stop, n_last)

    def _query(self, reader: _Reader, contig: str, start: int, stop: int) -> Iterator[Any]:
        """What cyvcf2 gives of a 0-based, half-open region."""
        try:
            yield from reader.vcf(f"{contig}:{max(start, 0) + 1}-{max(stop, start + 1, 1)}")
        except Exception as error:  # cyvcf2 raises bare ones
            raise _CannotParseError(
                f"{self.path}: cannot be read after {contig}:{start} ({error})"
            ) from error

    def _check_count(self, contig: str, first: int, last: int, expected: int) -> None:
        """Raise an InputError unless so many records have a POS from ``first`` to ``last`` and can be read."""
        verbosity = pysam.set_verbosity(0)
        try:
            with pysam.VariantFile(self.path) as file:  # which refuses a file that was cut off, too
                records = file.fetch(contig, max(first - 1, 0), max(first, last, 1))
                n = sum(first <= record.pos <= last for record in records)
        except (OSError, ValueError) as error:
            cause = error.__context__ or error  # closing fails, too, then
            raise InputError(
                f"{self.path}: cannot be read after {contig}:{first} ({cause}); is it damaged?"
            ) from error
        finally:
            pysam.set_verbosity(verbosity)
        if n != expected:
            raise InputError(
                f"{self.path}: only {expected} of {n} records from {contig}:{first} on can be read; is it damaged?"
            )

    def _calls(
        self, variant: Any, contig: str, columns: npt.NDArray[np.int64] | None
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
        """Alleles (individual, 2) and phase (individual,) of a record."""
        try:
            calls = variant.genotype.array()  # (individual, ploidy + 1) int16, the phase last
        except Exception as error:  # cyvcf2 raises a bare one
            raise InputError(f"{self.path}: {contig}:{variant.POS} has no genotypes (GT)") from error
        ploidy = calls.shape[1] - 1
        if ploidy > 2:
            raise InputError(
                f"{self.path}: {contig}:{variant.POS} has calls of ploidy {ploidy}; haploid and diploid ones are read"
            )
        if columns is not None:
            calls = calls[columns]
        n_alleles = 1 + len(variant.ALT)
        # The phase among the calls is 0 or 1, and a maximum over all of them much faster.
        if n_alleles > MOST_ALLELES or calls.max() >= n_alleles:
            check_alleles(n_alleles, int(calls[:, :ploidy].max()), f"{self.path}: {contig}:{variant.POS}")
        genotype = np.empty((len(calls), 2), dtype=np.int8)
        genotype[:, 0] = calls[:, 0]
        if ploidy == 1:  # cyvcf2's phase is the next individual's allele then
            genotype[:, 1] = ABSENT
            return genotype, np.ones(len(calls), dtype=bool)
        genotype[:, 1] = calls[:, 1]
        return genotype, calls[:, 2].astype(bool)

    @contextmanager
    def _reader(self) -> Iterator[_Reader]:
        """A reader that nobody else uses: two iterations through one cyvcf2 handle take each other's records."""
        idle = handle_of(self.path, lambda _: {}).setdefault(self.individuals, [])
        reader = idle.pop() if idle else _open_reader(self.path, self.individuals)
        yield reader
        if reader.is_sound:
            idle.append(reader)


@dataclass
class _Reader:
    """An open file; ``columns`` of its individuals are wanted, None = all."""

    vcf: Any
    columns: npt.NDArray[np.int64] | None
    is_sound: bool = True


class _CannotParseError(InputError):
    """cyvcf2 met a record that it cannot parse."""


def _phase_set(variant: Any, columns: npt.NDArray[np.int64] | None) -> npt.NDArray[np.integer] | None:
    """FORMAT/PS (individual,) of a record; None if it has none."""
    values = variant.format("PS")
    if values is None:
        return None
    phase_set: npt.NDArray[np.integer] = values[:, 0] if columns is None else values[columns, 0]
    return phase_set


def _open_reader(path: str, individuals: Sequence[str]) -> _Reader:
    vcf = _open(path)
    if tuple(vcf.samples) == tuple(individuals):
        return _Reader(vcf, None)
    fewer = _open(path, samples=list(individuals))  # faster, but labels such as "a,b" or "^a" go wrong
    if set(fewer.samples) == set(individuals):
        vcf = fewer
    column_of = {label: column for column, label in enumerate(vcf.samples)}
    if gone := set(individuals) - set(column_of):
        raise InputError(f"{path}: has no individual {min(gone)} any more; it changed since it was opened")
    columns = np.array([column_of[label] for label in individuals], dtype=np.int64)
    in_order = len(columns) == len(vcf.samples) and (np.diff(columns) > 0).all()
    return _Reader(vcf, None if in_order else columns)


def _open(path: str, **options: Any) -> Any:
    try:
        return cyvcf2.VCF(path, **options)
    except Exception as error:  # cyvcf2 raises bare ones, too
        raise InputError(f"{path}: cannot be read as VCF or BCF ({error})") from error


def open_vcf(path: str) -> VcfFile:
    """Check and open a ``.vcf.gz`` or ``.vcf.bgz`` (with tbi or csi) or a ``.bcf`` (csi).

    Raises:
        InputError: the file is missing, cut off, unreadable, or its index is missing or older than the file.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such genotype file")
    indexes = {kind: index for kind in ("tbi", "csi") if (index := Path(f"{path}.{kind}")).is_file()}
    if not indexes:
        raise InputError(f"{path}: has no index; make one with: bcftools index {path}")
    for kind, index in indexes.items():  # each: where both stand, htslib chooses
        if index.stat().st_mtime < Path(path).stat().st_mtime - 1:
            other = f"remove {index}, or " if len(indexes) > 1 else ""
            raise InputError(
                f"{path}: is newer than its index {index.name}; {other}remake that with: bcftools index -f "
                f"--{kind} {path} (or, if only the dates are wrong: touch {index})"
            )
    verbosity = pysam.set_verbosity(0)  # our error line says it
    try:
        with pysam.VariantFile(path) as file:
            if file.index is None:
                raise InputError(
                    f"{path}: its index cannot be read; remake it with: bcftools index -f {path}"
                )
            individuals = tuple(file.header.samples)
            contigs = tuple(c for c in map(str, file.index) if next(file.fetch(c), None) is not None)
            formats = file.header.formats
            has_phase_sets = "PS" in formats and formats["PS"].type == "Integer"
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as VCF or BCF ({error})") from error
    finally:
        pysam.set_verbosity(verbosity)
    return VcfFile(path, individuals, contigs, has_phase_sets)
