"""Haplotype windows: a reference window with an individual's alleles put in.

The result equals ``bcftools consensus -H 1`` and ``-H 2`` run on the whole contig (checked in the tests).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numba
import numpy as np
import numpy.typing as npt

from seqstore.nucleotides import Codes, encode, pack

#: Code of an allele that is not put into a sequence: no SNP, symbolic, a breakend or ``*``.
NOT_APPLIED = 255


@dataclass(frozen=True)
class HaplotypeBlock:
    """The windows of a block of individuals.

    ``windows`` (individual, 2, bytes) uint8; ``haplotype_id`` (individual, 2) int32; ``applied``,
    ``skipped`` and ``missing`` (individual, 2) int32: what happened to the records of the window.
    """

    windows: Codes
    haplotype_id: npt.NDArray[np.int32]
    applied: npt.NDArray[np.int32]
    skipped: npt.NDArray[np.int32]
    missing: npt.NDArray[np.int32]


def snp_codes(alleles: npt.NDArray[np.object_]) -> Codes:
    """Codes (variant, allele) of SNP alleles from text (variant, allele), [0] = REF and "" = no such allele.

    REF is 0, which stands for "nothing to do"; an allele that is no single A, C, G or T is NOT_APPLIED.
    """
    codes = np.full(alleles.shape, NOT_APPLIED, dtype=np.uint8)
    codes[:, 0] = 0
    for row, texts in enumerate(alleles):
        if len(texts[0]) == 1:
            for column, text in enumerate(texts[1:], start=1):
                if is_nucleotide(text):
                    codes[row, column] = encode(text)[0]
    return codes


def is_nucleotide(allele: str) -> bool:
    """Whether an allele is one known base."""
    return len(allele) == 1 and allele in "ACGTacgt"


def is_snp(alleles: Sequence[str]) -> bool:
    """Whether a record (REF first) has at least one SNP allele."""
    return len(alleles[0]) == 1 and any(is_nucleotide(allele) for allele in alleles[1:])


@dataclass
class WindowEncoder:
    """Encodes the haplotypes of one gene, block by block of individuals.

    ``reference`` (length,) codes of the reference window; ``offset`` (variant,) 0-based position of each
    SNP in it, in file order; ``codes`` (variant, allele) from `snp_codes`; ``missing_is_n`` writes N for
    a missing allele, else it is the reference base.
    """

    reference: Codes
    offset: npt.NDArray[np.int64]
    codes: Codes
    missing_is_n: bool = False
    _id_of_window: dict[bytes, int] = field(default_factory=dict)

    @property
    def n_distinct(self) -> int:
        """Number of distinct windows met so far."""
        return len(self._id_of_window)

    def encode(self, genotype: npt.NDArray[np.int8]) -> HaplotypeBlock:
        """Windows of a block of individuals; ``genotype`` (variant, individual, 2) allele index, -1 missing."""
        n_variants, n_individuals, ploidy = genotype.shape
        haplotypes = np.ascontiguousarray(genotype.reshape(n_variants, n_individuals * ploidy).T)
        # Most haplotypes are shared: encode each distinct row of alleles once.
        row_of: dict[bytes, int] = {}
        inverse = np.array([row_of.setdefault(row.tobytes(), len(row_of)) for row in haplotypes])
        distinct = haplotypes[np.unique(inverse, return_index=True)[1]]
        windows = np.empty((len(row_of), len(self.reference) // 2), dtype=np.uint8)
        counts = np.zeros((len(row_of), 3), dtype=np.int32)
        _apply_snps(
            pack(self.reference), self.offset, self.codes, distinct, self.missing_is_n, windows, counts
        )
        # Different alleles can still make equal windows (a missing call, a skipped record).
        ids = np.empty(len(row_of), dtype=np.int32)
        for row, window in enumerate(windows):
            digest = hashlib.blake2b(window.tobytes(), digest_size=16).digest()
            ids[row] = self._id_of_window.setdefault(digest, len(self._id_of_window))
        shape = (n_individuals, ploidy)
        applied, skipped, missing = (counts[inverse, column].reshape(shape) for column in range(3))
        return HaplotypeBlock(
            windows=windows[inverse].reshape(*shape, -1),
            haplotype_id=ids[inverse].reshape(shape),
            applied=applied,
            skipped=skipped,
            missing=missing,
        )


@numba.njit(cache=True, nogil=True)
def _apply_snps(
    reference: Codes,
    offset: npt.NDArray[np.int64],
    codes: Codes,
    alleles: npt.NDArray[np.int8],
    missing_is_n: bool,
    windows: Codes,
    counts: npt.NDArray[np.int32],
) -> None:  # pragma: no cover  (compiled)
    """Fill windows (haplotype, bytes) and counts (haplotype, applied | skipped | missing)."""
    for haplotype in range(alleles.shape[0]):
        window = windows[haplotype]
        window[:] = reference
        last_changed = np.int64(-1)
        for variant in range(alleles.shape[1]):
            allele = alleles[haplotype, variant]
            if allele == 0:
                continue
            if allele < 0:
                counts[haplotype, 2] += 1
                if not missing_is_n:
                    continue
                code = np.uint8(0)
            else:
                code = codes[variant, allele]
            # bcftools' overlap rule: of two records at one base the first that changes it counts,
            # and writing N for a missing allele is a change.
            if code == 255 or offset[variant] == last_changed:
                if allele > 0:
                    counts[haplotype, 1] += 1
                continue
            if allele > 0:
                counts[haplotype, 0] += 1
            last_changed = offset[variant]
            byte, shift = offset[variant] >> 1, (offset[variant] & 1) << 2
            window[byte] = (window[byte] & ~(15 << shift) & 255) | (code << shift)
