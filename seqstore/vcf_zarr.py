"""Genotypes out of a VCF Zarr group, as bio2zarr and sgkit write them (Zarr format 2 or 3).

A group is not checksummed, and Zarr leaves out chunks that hold nothing but zeros or empty texts, so that one of
those cannot be told from a chunk that was lost. Where that matters it is said.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from seqstore.errors import InputError
from seqstore.genotype_rows import ContigRows, Rows, RowSource
from seqstore.genotypes import ABSENT, MISSING
from seqstore.handles import handle_of

logger = logging.getLogger(__name__)

_NEEDED = (
    "call_genotype",
    "contig_id",
    "sample_id",
    "variant_allele",
    "variant_contig",
    "variant_position",
)
#: None of their values is 0 or empty, and so all their chunks are there.
_NEVER_EMPTY = ("contig_id", "sample_id", "filter_id", "variant_allele", "variant_position")
_SORT_HINT = "sort the VCF that it was made of with bcftools sort, and make it anew"


@dataclass(frozen=True, kw_only=True)
class VcfZarr(RowSource):
    """One VCF Zarr group; ``path`` is its folder."""

    def _rows_of(self, contig: str) -> ContigRows:
        return _group(self.path).contigs[contig]

    def _rows_at_once(self) -> int:
        return int(_group(self.path).arrays["call_genotype"].chunks[0])

    def _read(self, rows: range) -> Rows:
        arrays, of_rows = _group(self.path).arrays, slice(rows.start, rows.stop)
        try:
            genotype = self._of_individuals(arrays["call_genotype"], of_rows)
            # The array may be left out where no call is phased.
            phased = (
                self._of_individuals(arrays["call_genotype_phased"], of_rows).astype(bool)
                if "call_genotype_phased" in arrays
                else np.zeros(genotype.shape[:2], dtype=bool)
            )
            sets = arrays.get("call_PS")
            has_sets = sets is not None and sets.ndim == 2 and sets.dtype.kind == "i"
            phase_set = self._of_individuals(sets, of_rows) if has_sets else None
            position = np.asarray(arrays["variant_position"][of_rows]).tolist()
            alleles = _texts(arrays["variant_allele"][of_rows])
            labels = _texts(arrays["variant_id"][of_rows]) if "variant_id" in arrays else [""] * len(rows)
            filters = self._filters(arrays, of_rows)
        except _ZARR_ERRORS as error:
            raise InputError(
                f"{self.path}: rows {rows.start}-{rows.stop - 1} cannot be read ({error}); is it damaged?"
            ) from error
        if (genotype[:, :, 2:] != ABSENT).any():
            row = int(np.flatnonzero((genotype[:, :, 2:] != ABSENT).any(axis=(1, 2)))[0])
            raise InputError(
                f"{self.path}: POS {position[row]} (row {rows[row]}) has calls of ploidy 3 or more; haploid and "
                "diploid ones are read"
            )
        diploid = np.full((*genotype.shape[:2], 2), ABSENT, dtype=genotype.dtype)
        diploid[:, :, : genotype.shape[2]] = genotype[:, :, :2]
        np.maximum(diploid[:, :, 0], MISSING, out=diploid[:, :, 0])
        return Rows(
            position=position,
            id=["" if label == "." else label for label in labels],
            alleles=[tuple(filter(None, texts)) for texts in alleles],
            filters=filters,
            genotype=diploid,
            phased=phased | (diploid[:, :, 1] == ABSENT),
            phase_set=phase_set,
        )

    def _of_individuals(self, array: Any, rows: slice) -> npt.NDArray[Any]:
        """Rows (row, individual, ...) of an array, with the wanted individuals."""
        return np.asarray(array[rows] if self.columns is None else array.oindex[rows, np.array(self.columns)])

    @staticmethod
    def _filters(arrays: Mapping[str, Any], rows: slice) -> list[tuple[str, ...]]:
        if "variant_filter" not in arrays or "filter_id" not in arrays:
            return [("PASS",)] * (rows.stop - rows.start)
        names = _texts(arrays["filter_id"][:])
        return [
            tuple(name for name, is_set in zip(names, flags, strict=True) if is_set)
            for flags in np.asarray(arrays["variant_filter"][rows]).tolist()
        ]


def open_vcf_zarr(path: str) -> VcfZarr:
    """Check and open a VCF Zarr group.

    Raises:
        InputError: there is none, or it lacks an array, or its arrays do not fit together or are not sorted.
    """
    if not Path(path).is_dir():
        raise InputError(f"{path}: no such folder")
    group = _group(path)
    individuals = tuple(_texts(group.arrays["sample_id"][:]))
    return VcfZarr(path=path, individuals=individuals, contigs=tuple(group.contigs))


@dataclass(frozen=True)
class _Group:
    """An open group and where the records of each contig stand."""

    arrays: dict[str, Any]
    contigs: dict[str, ContigRows]


#: What zarr and its codecs raise where something is missing or cannot be decoded.
_ZARR_ERRORS = (OSError, ValueError, TypeError, KeyError, RuntimeError)


def _group(path: str) -> _Group:
    """A group; each thread opens it once."""
    group: _Group = handle_of(path, _open_group)
    return group


def _open_group(path: str) -> _Group:
    try:
        arrays: dict[str, Any] = dict(zarr.open_group(path, mode="r").arrays())
    except _ZARR_ERRORS as error:
        raise InputError(f"{path}: is no VCF Zarr group ({error})") from error
    absent = [name for name in _NEEDED if name not in arrays]
    if absent:
        raise InputError(f"{path}: is no VCF Zarr group (has no {', '.join(absent)})")
    for name in _NEVER_EMPTY:
        if name in arrays and (lost := _absent_chunks(arrays[name])):
            raise InputError(
                f"{path}/{name}/{lost[0]}: this chunk file is missing; copy the group again, or make it anew"
            )
    if lost := _absent_chunks(arrays["call_genotype"]):
        logger.warning(
            "warning: %s/call_genotype has no chunk %s%s, so everyone has the reference allele in it; if it was lost, "
            "copy the group again",
            path, lost[0], f" and {len(lost) - 1} more" if len(lost) > 1 else "",
        )  # fmt: skip
    shape = (arrays["variant_position"].shape[0], arrays["sample_id"].shape[0])
    if arrays["call_genotype"].ndim != 3 or arrays["call_genotype"].shape[:2] != shape:
        raise InputError(
            f"{path}: call_genotype has shape {arrays['call_genotype'].shape}, not {shape} and a ploidy"
        )
    try:
        names = _texts(arrays["contig_id"][:])
        contig = np.asarray(arrays["variant_contig"][:])
        position = np.asarray(arrays["variant_position"][:])
    except _ZARR_ERRORS as error:
        raise InputError(f"{path}: cannot be read ({error}); is it damaged?") from error
    strange = np.flatnonzero((contig < 0) | (contig >= len(names)))
    if len(strange):
        raise InputError(
            f"{path}: row {strange[0]} has variant_contig {contig[strange[0]]}, which is none of the {len(names)} "
            "of contig_id; is it damaged?"
        )
    bounds = [0, *(np.flatnonzero(contig[1:] != contig[:-1]) + 1).tolist(), len(contig)]
    contigs: dict[str, ContigRows] = {}
    for first, stop in itertools.pairwise(bounds):
        if first == stop:  # a group without records
            continue
        name = names[contig[first]]
        if name in contigs:
            raise InputError(f"{path}: the records of contig {name} stand apart; {_SORT_HINT}")
        try:
            lengths = partial(_ref_lengths, arrays["variant_allele"], first, stop)
            contigs[name] = ContigRows(first, position[first:stop], lengths)
        except ValueError as error:
            raise InputError(f"{path}: contig {name} is not sorted ({error}); {_SORT_HINT}") from error
    return _Group(arrays, contigs)


def _absent_chunks(array: Any) -> list[str]:
    """The keys of the chunks of an array that have no file."""
    if array.nchunks_initialized == array.nchunks:
        return []
    keys = [array.metadata.encode_chunk_key(place) for place in np.ndindex(*array.cdata_shape)]
    return [key for key in keys if not Path(array.store.root, array.path, key).exists()]


def _ref_lengths(alleles: Any, first: int, stop: int) -> npt.NDArray[np.int64]:
    """Bases of the REF alleles of some rows."""
    step = alleles.chunks[0]
    blocks = (range(begin, begin + step) for begin in range(first // step * step, stop, step))
    pieces = (alleles[max(block.start, first) : min(block.stop, stop), 0] for block in blocks)
    return np.array([len(text) for piece in pieces for text in _texts(piece)], dtype=np.int64)


def _texts(values: npt.NDArray[Any]) -> list[Any]:
    """Strings (or names that are numbers), stored in whatever way, as a (nested) list of str."""
    values = np.asarray(values)
    texts: list[Any] = (values.astype(str) if values.dtype.kind in "Siu" else values).tolist()
    return texts
