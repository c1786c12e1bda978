"""A finished store that a larger one is made from, and what of it stands there as it is.

Genes or individuals are appended by building a larger store beside the one that there is. What that one holds
already is taken over: windows as they are, chunk by chunk, and records instead of being scanned again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import zarr

from seqstore.chunks import link_chunk
from seqstore.earlier_records import copy_records, match_records
from seqstore.errors import InputError
from seqstore.layout import INDIVIDUALS_IN_CHUNK
from seqstore.reader import HaplotypeReader
from seqstore.scan import Known
from seqstore.spool import Spool
from seqstore.tasks import Run

if TYPE_CHECKING:
    from seqstore.plan import Plan


@dataclass(frozen=True)
class EarlierStore:
    """The store at ``path``, whose genes and individuals come first in the larger one.

    ``grows_by`` says which of the two are added to it: genes or individuals, never both.
    """

    path: str
    n_genes: int
    n_individuals: int
    grows_by: Literal["genes", "individuals"]

    def copy_records(self, store: str, run: Run) -> Known:
        """Put the records into the spool of ``store``, if individuals stay as they are; else none is known."""
        return copy_records(self.path, store, run) if self.grows_by == "genes" else Known()

    def match_records(self, spool: Spool, plan: Plan, run: Run) -> npt.NDArray[np.int64] | None:
        """Which record of this store each row of a spool is, -1 = none; None if all have been copied.

        Raises:
            InputError: the spool says something else of this store's individuals than the store.
        """
        if self.grows_by == "genes":
            return None
        return match_records(self.path, spool, plan.genotypes, plan.config.missing, run)

    def standing(self, root: Any, genes: slice, counts: dict[str, npt.NDArray[np.int32]]) -> Standing:
        """What stands here of a block of genes of the larger store ``root``."""
        return Standing(self, root, genes, counts)


class Standing:
    """What of a block of genes stands in an earlier store.

    ``counts`` are the arrays (gene, individual, haplotype) of the block by name; those cells that stand are
    filled in.
    """

    def __init__(
        self, earlier: EarlierStore, root: Any, genes: slice, counts: dict[str, npt.NDArray[np.int32]]
    ) -> None:
        self._earlier, self._root = earlier, root
        group: Any = zarr.open_group(earlier.path, mode="r")
        self._group = group
        self._genes = slice(genes.start, max(min(genes.stop, earlier.n_genes), genes.start))
        for name, values in counts.items():
            if self._genes.start < self._genes.stop:
                n = self._genes.stop - self._genes.start
                values[:n, : earlier.n_individuals] = group[name][self._genes]
        self._ids = counts["haplotype_id"].copy()
        variants = group["variants"]
        self._rows = [variants[f"gene_record_{end}"][self._genes].tolist() for end in ("start", "stop")]

    def windows(self, gene: int) -> npt.NDArray[np.uint8]:
        """The distinct windows (window, bytes) of a gene that are known here, in the order of their ids."""
        if gene >= self._genes.stop or self._earlier.grows_by == "genes":
            return np.empty((0, 0), np.uint8)
        return self._reader.distinct(gene)

    @cached_property
    def _reader(self) -> HaplotypeReader:
        return HaplotypeReader(self._earlier.path)

    def take_over(self, gene: int, people: slice, rows: slice) -> bool:
        """Make a chunk of windows a chunk of the larger store, if it stands; whether it does.

        It does if the gene and all of its individuals do, and they have the reference allele in what of the
        gene's records ``rows`` was not among those that the windows were made with.
        """
        if gene >= self._genes.stop or people.stop > self._earlier.n_individuals:
            return False
        if (
            rows.start == rows.stop
        ):  # who is haploid here is told by records next to it, which may be others now
            return False
        added = self._added(gene, rows)
        calls = self._root["variants/call_genotype"]
        if len(added) and (calls[rows, people][added] != 0).any():
            return False
        chunk = (gene, people.start // INDIVIDUALS_IN_CHUNK, 0, 0)
        name = "haplotype_sequence"
        link_chunk(self._group[name], self._root[name], chunk)
        return True

    def check_same(self, gene: int, people: slice, ids: npt.NDArray[np.int32]) -> None:
        """Refuse ids (individual, haplotype) of windows that differ from those of the same people here.

        Raises:
            InputError: a window of someone who stands here would change.
        """
        if gene >= self._genes.stop or people.start >= self._earlier.n_individuals:
            return
        stop = min(people.stop, self._earlier.n_individuals)
        were = self._ids[gene - self._genes.start, people.start : stop]
        differ = np.flatnonzero((were != ids[: len(were)]).any(axis=1))
        if len(differ):
            person = self._group["individual"][people.start + int(differ[0])]
            raise InputError(
                f"{self._earlier.path}: with the added genotypes, the window of {person} at gene "
                f"{self._group['gene'][gene]} would change; build a store anew from all of them, and "
                f"remove {self._root.store.root}"
            )

    def _added(self, gene: int, rows: slice) -> npt.NDArray[np.intp]:
        """Which of a gene's rows are records that its windows here were not made with."""
        if self._earlier.grows_by == "genes":
            return np.empty(0, dtype=np.intp)
        were = np.asarray(self._root["spool/earlier_row"][rows])
        first, stop = (ends[gene - self._genes.start] for ends in self._rows)
        return np.flatnonzero((were < first) | (were >= stop))
