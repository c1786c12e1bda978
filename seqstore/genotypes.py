"""Genotypes of a cohort, whatever format they are in: one small protocol, and what opens its readers.

Each format is a module with one reader of one file: `seqstore.vcf`, `seqstore.pgen`, `seqstore.vcf_zarr`.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seqstore.contigs import reconcile
from seqstore.errors import InputError

#: The allele of a haplotype that exists and was not called.
MISSING = -1
#: The second allele of a haploid call: there is no such haplotype.
ABSENT = -2
#: Alleles of a record, REF included, that int8 can tell apart.
MOST_ALLELES = 128


@dataclass(frozen=True)
class Record:
    """One record of a genotype file.

    ``position`` is 1-based (POS); ``alleles`` has REF first; ``filters`` is empty for "."; ``genotype``
    (individual, 2) int8: allele index, `MISSING`, or `ABSENT` (the haploid call "1" is (1, -2), a lone "."
    (-1, -2)); ``phased`` (individual,) bool, a haploid call counts as phased; ``phase_set`` (individual,) the
    number within which that phase holds (FORMAT/PS), None where the file has none.
    """

    contig: str
    position: int
    id: str
    alleles: tuple[str, ...]
    filters: tuple[str, ...]
    genotype: npt.NDArray[np.int8]
    phased: npt.NDArray[np.bool_]
    phase_set: npt.NDArray[np.integer] | None = None


class GenotypeSource(Protocol):
    """Phased genotypes, in one file or in many.

    A source is cheap to pickle, and may be used after a fork and from several threads.
    """

    @property
    def individuals(self) -> tuple[str, ...]:
        """Labels, in the order of `Record.genotype`."""

    @property
    def contigs(self) -> tuple[str, ...]:
        """The contigs that have records."""

    @property
    def paths(self) -> list[str]:
        """Every data file that the records come from, each once."""

    def path_of(self, contig: str) -> str:
        """The file that a contig's genotypes stand in."""

    def records(self, contig: str, start: int, stop: int) -> Iterator[Record]:
        """The records whose POS lies in a 0-based, half-open region, in file order.

        Raises:
            InputError: the file is damaged there, or a record has no calls or calls of more than two alleles.
        """

    def span(self, contig: str) -> tuple[int, int]:
        """First and last POS of a contig's records (1-based, both included)."""

    def first_reaching(self, contig: str, position: int) -> int:
        """Where to begin so that no record which reaches a 0-based position is cut off.

        It is the smallest start of the records that start before ``position`` and whose REF allele reaches
        past it (start < position < start + len(REF)), then of those that reach over that start, and so on;
        ``position`` itself where there is none.
        """

    def subset(self, labels: Sequence[str]) -> GenotypeSource:
        """The same genotypes of some individuals only, in the order given."""


@dataclass(frozen=True)
class GenotypeFiles:
    """The genotype files of a cohort: every contig stands in one of them, all have the same individuals."""

    files: tuple[GenotypeSource, ...]

    @cached_property
    def file_of_contig(self) -> dict[str, GenotypeSource]:
        """The file of each contig that has records."""
        return {contig: file for file in self.files for contig in file.contigs}

    @property
    def individuals(self) -> tuple[str, ...]:
        """Labels, in the order of `Record.genotype`."""
        return self.files[0].individuals

    @property
    def contigs(self) -> tuple[str, ...]:
        """The contigs that have records."""
        return tuple(self.file_of_contig)

    @property
    def paths(self) -> list[str]:
        """Every data file that the records come from, each once."""
        return list(dict.fromkeys(path for file in self.files for path in file.paths))

    def path_of(self, contig: str) -> str:
        """The file that a contig's genotypes stand in."""
        return self.file_of_contig[contig].path_of(contig)

    def records(self, contig: str, start: int, stop: int) -> Iterator[Record]:
        """See `GenotypeSource.records`."""
        return self.file_of_contig[contig].records(contig, start, stop)

    def span(self, contig: str) -> tuple[int, int]:
        """See `GenotypeSource.span`."""
        return self.file_of_contig[contig].span(contig)

    def first_reaching(self, contig: str, position: int) -> int:
        """See `GenotypeSource.first_reaching`."""
        return self.file_of_contig[contig].first_reaching(contig, position)

    def subset(self, labels: Sequence[str]) -> GenotypeFiles:
        """The same genotypes of some individuals only, in the order given.

        Raises:
            InputError: a label is not genotyped, or is given twice.
        """
        if unknown := set(labels) - set(self.individuals):
            raise InputError(f"{self.files[0].paths[0]}: has no individual {min(unknown)}")
        _refuse_twins(labels, self.files[0].paths[0])
        return GenotypeFiles(tuple(file.subset(labels) for file in self.files))


def open_genotypes(genotypes: str | Sequence[str]) -> GenotypeFiles:
    """Check and open the genotype files of a cohort: a path, a glob, or a list of them, all of one format.

    The format follows from the ending: ``.vcf.gz`` or ``.vcf.bgz`` (with tbi or csi) and ``.bcf`` (csi),
    which may be mixed; PLINK 2 ``.pgen`` with its ``.pvar`` or ``.pvar.zst`` and ``.psam``; VCF Zarr
    (``.vcz``, ``.zarr``, or any folder).

    Raises:
        InputError: a file is missing, unreadable, damaged or unindexed, one contig stands in two or under two
            names (with and without ``chr``), or their individuals differ.
    """
    paths = _found([genotypes] if isinstance(genotypes, str) else genotypes)
    openers = {path: _opener_of(path) for path in paths}
    others = [path for path in paths if openers[path] is not openers[paths[0]]]
    if others:
        raise InputError(f"{others[0]}: is of another format than {paths[0]}; give files of one format")
    files: list[GenotypeSource] = []
    path_of_contig: dict[str, str] = {}
    for path in paths:
        file = openers[path](path)
        if not file.individuals:
            raise InputError(f"{path}: holds no individuals")
        _refuse_twins(file.individuals, path)
        if files and file.individuals != files[0].individuals:
            raise InputError(
                f"{path}: its individuals differ from those of {paths[0]} (same names, same order)"
            )
        for contig in file.contigs:
            # A gene's contig is found under one of these names: the records of the other would be lost.
            if (same := reconcile(contig, path_of_contig)) is not None:
                spelling = "" if same == contig else f", as {same}"
                raise InputError(
                    f"{path}: contig {contig} stands in {path_of_contig[same]} too{spelling}; give it once"
                )
            path_of_contig[contig] = path
        files.append(file)
    return GenotypeFiles(tuple(files))


def check_alleles(n_alleles: int, largest: int, where: str) -> None:
    """Raise an InputError if a record has too many alleles, or calls of one (``largest``) that it does not have."""
    if n_alleles > MOST_ALLELES:
        raise InputError(
            f"{where} has {n_alleles} alleles; up to {MOST_ALLELES} are read: leave it out of the file"
        )
    if largest >= n_alleles:
        raise InputError(f"{where} has {n_alleles} alleles but a call of allele {largest}; is it damaged?")


def _found(patterns: Sequence[str]) -> list[str]:
    """The paths that patterns stand for, each once."""
    paths: list[str] = []
    for pattern in patterns:
        found = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not found:
            raise InputError(f"{pattern}: no genotype file matches")
        paths += (path.rstrip("/") for path in found)
    if not paths:
        raise InputError("genotypes: no file is given")
    return list(dict.fromkeys(paths))


def _opener_of(path: str) -> Callable[[str], GenotypeSource]:
    """What opens a file of this ending; only the packages of that format are imported."""
    if path.endswith((".vcf.gz", ".vcf.bgz", ".bcf")):
        from seqstore.vcf import open_vcf

        return open_vcf
    if path.endswith(".pgen"):
        from seqstore.pgen import open_pgen

        return open_pgen
    if path.endswith((".vcz", ".zarr")) or Path(path).is_dir():
        from seqstore.vcf_zarr import open_vcf_zarr

        return open_vcf_zarr
    hint = {
        ".vcf": f"; make one that can be with: bcftools view -Oz -o {path}.gz {path} && bcftools index {path}.gz",
        ".bed": "; make one that can be with: plink2 --bfile … --make-pgen",
    }.get(Path(path).suffix, "")
    raise InputError(
        f"{path}: is no .vcf.gz, .vcf.bgz, .bcf, .pgen or VCF Zarr (.vcz, .zarr), which can be read{hint}"
    )


def _refuse_twins(labels: Sequence[str], path: str) -> None:
    label, n = Counter(labels).most_common(1)[0]
    if n > 1:
        raise InputError(f"{path}: individual {label} is named {n} times")
