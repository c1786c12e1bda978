"""Which records and which reference bases the windows of a gene are made with.

For SNPs these are the records and bases of the reference window. Where individuals carry insertions and
deletions, a window of fixed length draws on more or fewer reference bases, and a record may depend on others
further left by the overlap rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from seqstore.config import BuildConfig
from seqstore.haplotypes import Reach, reach_of
from seqstore.records import calls_to_apply, table_of
from seqstore.spool import Spool


@dataclass(frozen=True)
class ContigRows:
    """The rows of a spool that are records of one contig.

    ``start`` is 0-based; ``reached`` the end of the bases that this record or any before it covers;
    ``clean`` the last row up to this one whose record starts where all before it have ended, so that whether
    it is applied does not depend on them. ``offset`` is the contig's first row.
    """

    offset: int
    start: npt.NDArray[np.int64]
    reached: npt.NDArray[np.int64]
    clean: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, offset: int, position: npt.NDArray[np.int32], ref_length: npt.NDArray[np.int32]
    ) -> ContigRows:
        """From the 1-based positions and REF lengths of the contig's records."""
        start = position.astype(np.int64) - 1
        reached = np.maximum.accumulate(start + ref_length) if len(start) else start
        is_clean = np.r_[True, start[1:] >= reached[:-1]] if len(start) else np.empty(0, dtype=bool)
        clean = np.maximum.accumulate(np.where(is_clean, np.arange(len(start)), 0))
        return cls(offset, start, reached, clean)

    def starting_in(self, start: int, stop: int) -> tuple[int, int]:
        """The rows of the records that start in a region."""
        first, last = np.searchsorted(self.start, (start, stop))
        return self.offset + int(first), self.offset + int(last)

    def deciding(self, start: int, stop: int) -> tuple[int, int]:
        """The rows of the records that decide what stands in the reference bases of a region."""
        first = int(np.searchsorted(self.reached, start, side="right"))
        last = int(np.searchsorted(self.start, stop))
        first = int(self.clean[first]) if first < last else last
        return self.offset + first, self.offset + last


@lru_cache(maxsize=1)  # the end of the scan and what follows it ask for those of the same spool
def rows_by_contig(spool: Spool) -> dict[str, ContigRows]:
    """The rows of each contig of a spool."""
    position, ref_length = spool.column("position"), spool.column("ref_length")
    rows = {}
    for contig in dict.fromkeys(segment.contig for segment in spool.segments):
        numbers = [number for number, segment in enumerate(spool.segments) if segment.contig == contig]
        first, stop = int(spool.offsets[numbers[0]]), int(spool.offsets[numbers[-1] + 1])
        rows[contig] = ContigRows.of(first, position[first:stop], ref_length[first:stop])
    return rows


@dataclass(frozen=True)
class GeneToMeasure:
    """A gene, and the rows of the spool that decide the reference bases ``start`` to ``stop``."""

    gene: int
    tss: int
    start: int
    stop: int
    rows: tuple[int, int]
    spool: Spool


def measure(genes: list[GeneToMeasure], *, config: BuildConfig) -> list[Reach]:
    """The reach of the windows of some genes, over all individuals.

    It is right if it lies within the gene's bases ``start`` to ``stop``; else it tells that more are needed.
    """
    return [_reach(gene, config) for gene in genes]


def _reach(gene: GeneToMeasure, config: BuildConfig) -> Reach:
    spool, (first, stop) = gene.spool, gene.rows
    half = config.length // 2
    if first == stop:
        return Reach(gene.tss - half, gene.tss + half, 0)
    people = slice(None)
    records = table_of(
        spool.column("position", first, stop), spool.column("allele", first, stop), config.variants
    )
    calls = calls_to_apply(
        spool.calls("call_genotype", first, stop, people),
        spool.calls("call_genotype_phased", first, stop, people) if config.unphased == "iupac" else None,
        records,
        missing_is_n=config.missing == "n",
    )
    return reach_of(records, calls, gene.tss, config.length)


def placed(
    genes: pd.DataFrame, length: int, rows: dict[str, ContigRows], reaches: dict[int, Reach]
) -> pd.DataFrame:
    """The genes with what their windows are made with.

    Adds ``record_start`` and ``record_stop`` (rows of the spool), ``variant_start`` and ``variant_stop`` (those
    of them with POS in the reference window), ``reach_start``, ``reach_stop`` (0-based reference bases) and
    ``tss_deleted`` (haplotypes). A gene without a measured reach draws on its reference window.
    """
    columns: dict[str, list[int]] = {
        name: []
        for name in (
            *("record_start", "record_stop", "variant_start", "variant_stop"),
            *("reach_start", "reach_stop", "tss_deleted"),
        )
    }
    for number, (contig, start) in enumerate(
        zip(genes["genotype_contig"], genes["window_start"].tolist(), strict=True)
    ):
        reach = reaches.get(number, Reach(start, start + length, 0))
        on_contig = rows.get(contig, ContigRows.of(0, np.empty(0, np.int32), np.empty(0, np.int32)))
        record = on_contig.deciding(reach.start, reach.stop)
        variant = on_contig.starting_in(start, start + length)
        values = (*record, *variant, reach.start, reach.stop, reach.n_tss_deleted)
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return genes.assign(**{name: np.array(values, dtype=np.int64) for name, values in columns.items()})
