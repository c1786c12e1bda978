"""Phased genotypes out of indexed VCF and BCF files."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cyvcf2
import numpy as np
import numpy.typing as npt
import pysam

from seqstore.errors import InputError
from seqstore.handles import handle_of

MISSING = -1
#: The second allele of a haploid call, as cyvcf2 gives it.
ABSENT = -2


@dataclass(frozen=True)
class Record:
    """One record of a genotype file.

    ``genotype`` (individual, 2) int8: allele index, -1 missing, -2 no such haplotype; ``phased``
    (individual,) bool.
    """

    contig: str
    position: int
    id: str
    alleles: tuple[str, ...]
    filters: tuple[str, ...]
    genotype: npt.NDArray[np.int8]
    phased: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GenotypeFiles:
    """The genotype files of a cohort: every contig stands in one of them, all have the same individuals."""

    path_of_contig: dict[str, str]
    individuals: tuple[str, ...]

    @property
    def paths(self) -> list[str]:
        """The files, each once."""
        return list(dict.fromkeys(self.path_of_contig.values()))

    def records(self, contig: str, start: int, stop: int) -> Iterator[Record]:
        """The records whose POS lies in a 0-based, half-open region, in file order.

        Raises:
            InputError: a call has more than two alleles.
        """
        path = self.path_of_contig[contig]
        for variant in _query(path, f"{contig}:{max(start, 0) + 1}-{stop}"):
            if not start < variant.POS <= stop:  # a record that only reaches into the region
                continue
            calls = variant.genotype.array() if variant.genotype is not None else None
            if calls is None or calls.shape[1] > 3:
                what = "no genotypes" if calls is None else f"calls of ploidy {calls.shape[1] - 1}"
                raise InputError(
                    f"{path}: {contig}:{variant.POS} has {what}; haploid and diploid calls are read"
                )
            genotype = calls[:, :-1].astype(np.int8)
            if genotype.shape[1] == 1:
                genotype = np.concatenate([genotype, np.full_like(genotype, ABSENT)], axis=1)
            absent = genotype[:, 1] == ABSENT
            genotype[absent & (genotype[:, 0] == MISSING)] = MISSING  # a lone "." is a missing call
            yield Record(
                contig=contig,
                position=variant.POS,
                id=variant.ID or "",
                alleles=(variant.REF, *variant.ALT),
                filters=tuple(variant.FILTERS),
                genotype=genotype,
                phased=calls[:, -1].astype(bool),
            )

    def count(self, contig: str, start: int, stop: int) -> int:
        """How many records `records` has to yield, counted by another reader.

        Where a file is damaged cyvcf2 ends without a word; pysam raises.

        Raises:
            InputError: the file is damaged there.
        """
        path = self.path_of_contig[contig]
        verbosity = pysam.set_verbosity(0)
        try:
            if path.endswith(".bcf"):
                with pysam.VariantFile(path) as file:
                    return sum(
                        start <= record.pos - 1 < stop for record in file.fetch(contig, max(start, 0), stop)
                    )
            with pysam.TabixFile(path) as lines:
                positions = (int(line.split("\t", 2)[1]) for line in lines.fetch(contig, max(start, 0), stop))
                return sum(start < position <= stop for position in positions)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be read in {contig}:{start + 1}-{stop} ({error}); is it damaged?"
            ) from error
        finally:
            pysam.set_verbosity(verbosity)

    def span(self, contig: str) -> tuple[int, int]:
        """First and last POS of a contig's records (1-based, both included)."""
        path = self.path_of_contig[contig]
        first = next(_query(path, contig)).POS
        low, high = first, 2**29 - 1  # the largest position that a tabix index holds
        while low < high:  # the last record is found by asking "is there one from here on?"
            middle = (low + high + 1) // 2
            found = next((v.POS for v in _query(path, f"{contig}:{middle}-{high}") if v.POS >= middle), None)
            low, high = (found, high) if found is not None else (low, middle - 1)
        return first, low


def open_genotypes(genotypes: str | Sequence[str]) -> GenotypeFiles:
    """Check genotype files (``.vcf.gz`` with tbi or csi, ``.bcf`` with csi): a path, a glob, or a list of them.

    Raises:
        InputError: a file is missing, unreadable or unindexed, two hold the same contig, or their
            individuals differ.
    """
    patterns = [genotypes] if isinstance(genotypes, str) else list(genotypes)
    paths: list[str] = []
    for pattern in patterns:
        found = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        if not found:
            raise InputError(f"{pattern}: no genotype file matches")
        paths += found
    path_of_contig: dict[str, str] = {}
    individuals: tuple[str, ...] = ()
    for path in dict.fromkeys(paths):
        contigs = _indexed_contigs(path)
        samples = tuple(_handle(path).samples)
        if not samples:
            raise InputError(f"{path}: holds no individuals")
        if individuals and samples != individuals:
            raise InputError(
                f"{path}: its individuals differ from those of {paths[0]} (same names, same order)"
            )
        individuals = samples
        for contig in contigs:
            if contig in path_of_contig:
                raise InputError(
                    f"{path}: contig {contig} stands in {path_of_contig[contig]} too; give it once"
                )
            path_of_contig[contig] = path
    return GenotypeFiles(path_of_contig, individuals)


def _indexed_contigs(path: str) -> list[str]:
    """The contigs of a file that have records."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such genotype file")
    index = next((Path(path + ending) for ending in (".tbi", ".csi") if Path(path + ending).is_file()), None)
    if index is None:
        raise InputError(f"{path}: has no index; make one with: bcftools index {path}")
    if index.stat().st_mtime < Path(path).stat().st_mtime - 1:
        raise InputError(
            f"{path}: is newer than its index {index.name}; remake that with: bcftools index -f {path} "
            f"(or, if only the dates are wrong: touch {index})"
        )
    verbosity = pysam.set_verbosity(0)  # our error line says it
    try:
        with pysam.VariantFile(path) as file:
            if file.index is None:
                raise InputError(
                    f"{path}: its index cannot be read; remake it with: bcftools index -f {path}"
                )
            contigs = [str(contig) for contig in file.index]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as VCF or BCF ({error})") from error
    finally:
        pysam.set_verbosity(verbosity)
    return [contig for contig in contigs if next(_query(path, contig), None) is not None]


def _query(path: str, region: str) -> Iterator[Any]:
    variants = _handle(path)(region)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no intervals found", category=UserWarning)
        first = next(variants, None)
    if first is not None:
        yield first
        yield from variants


def _handle(path: str) -> Any:
    try:
        return handle_of(path, cyvcf2.VCF)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as VCF or BCF ({error})") from error
