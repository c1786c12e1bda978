"""From positions in an individual's window to positions in the reference, and back.

Where a haplotype carries insertions or deletions, the two differ by more than the window's start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqstore.errors import InputError
from seqstore.haplotypes import SIZE, START, STOP, locate, resolve
from seqstore.records import RecordTable, calls_to_apply, table_of
from seqstore.store import open_store, open_variants

#: Stands for "no such position": an inserted base has none in the reference, a deleted one none in the window.
NOWHERE = int(np.iinfo(np.int64).min)


@dataclass(frozen=True)
class WindowCoordinates:
    """The reference position of every base of one haplotype's window.

    ``reference`` (length,) int64, 0-based, `NOWHERE` for inserted bases; bases past a contig's end have the
    positions that would follow (below 0 on the left).
    """

    reference: npt.NDArray[np.int64]

    def to_reference(self, index: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """0-based reference positions of bases of the window, of the shape of ``index``; `NOWHERE` if inserted.

        Raises:
            IndexError: an index is outside the window.
        """
        index = np.asarray(index)
        if index.size and not (0 <= index.min() and index.max() < len(self.reference)):
            raise IndexError(
                f"index {index.min()} to {index.max()} of a window of {len(self.reference)} bases"
            )
        positions: npt.NDArray[np.int64] = self.reference[index]
        return positions

    def to_haplotype(self, position: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Indices in the window of 0-based reference positions; `NOWHERE` if deleted or outside the window."""
        position = np.asarray(position, dtype=np.int64)
        there = np.flatnonzero(self.reference != NOWHERE)
        if not len(there):
            return np.full(position.shape, NOWHERE)
        found = np.minimum(np.searchsorted(self.reference[there], position), len(there) - 1)
        return np.where(self.reference[there][found] == position, there[found], NOWHERE)


def window_coordinates(store: str | Path, gene: str, individual: str, haplotype: int) -> WindowCoordinates:
    """Where the bases of a haplotype's window (0 or 1) are in the reference.

    A base that a record replaces one for one is that reference base; what REF and ALT share at their ends
    is unchanged; bases that are only in ALT are nowhere. ``bcftools consensus --chain`` agrees on every base
    that it aligns.

    Raises:
        InputError: the store has no such gene, individual or haplotype.
    """
    variants = open_variants(store)
    root = open_store(store)
    for what, label in (("gene", gene), ("individual", individual)):
        if label not in variants.indexes[what]:
            raise InputError(f"{store}: no {what} {label!r}")
    if haplotype not in (0, 1):
        raise InputError(f"haplotype {haplotype}: give 0 or 1")
    policies = root.attrs["policies"]
    number = variants.indexes["gene"].get_loc(gene)
    rows = slice(*(int(variants[f"gene_record_{end}"][number]) for end in ("start", "stop")))
    mine = variants.isel(variant=rows).sel(individual=[individual])
    records = table_of(
        mine["variant_position"].values, mine["variant_allele"].values.astype(object), policies["variants"]
    )
    genotype = mine["call_genotype"].values
    if int(root["haplotype_id"].sel(gene=gene, individual=individual)[haplotype]) < 0:
        raise InputError(f"{store}: {individual} has no haplotype {haplotype} in the window of {gene}")
    phased = mine["call_genotype_phased"].values if "call_genotype_phased" in mine else None
    calls = calls_to_apply(genotype, phased, records, missing_is_n=policies["missing"] == "n")
    length = int(root.attrs["length"])
    tss = int(variants["window_start"][number]) + length // 2
    return WindowCoordinates(positions_of(records, calls[:, 0, haplotype], tss, length))


def positions_of(
    records: RecordTable, calls: npt.NDArray[np.int8], tss: int, length: int
) -> npt.NDArray[np.int64]:
    """The reference position of each base of one haplotype's window (length,), from its ``calls`` (record,)."""
    edits = resolve(records, calls)
    half = length // 2
    # More than the window can be made of: its bases are those of the reference but for what edits take away.
    reach = half + int(np.sum(edits[:, STOP] - edits[:, START]))
    pieces, position = [], tss - reach
    for number, edit in enumerate(edits):
        begin, stop = int(edit[START]), int(edit[STOP])
        allele = np.full(int(edit[SIZE]), NOWHERE, dtype=np.int64)
        for base in range(begin, stop):
            of, at, found = locate(base, edits, len(edits), records)
            if of == number and found == base:
                allele[at] = base
        pieces += [np.arange(position, begin), allele]
        position = stop
    pieces.append(np.arange(position, max(position, tss) + reach))
    haplotype = np.concatenate(pieces)
    _, _, anchor = locate(tss, edits, len(edits), records)
    middle = int(np.flatnonzero(haplotype == anchor)[0])
    return haplotype[middle - half : middle + half]
