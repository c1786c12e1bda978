"""Genotypes out of windows: the SNPs in which people's windows differ from the reference, as VCF.

A cohort of which only the windows are left, all of one length and without indels, becomes files that
`seqstore build` takes, and the store that is built of these has the same windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pysam

from seqstore.errors import InputError
from seqstore.nucleotides import LETTERS, Codes, pack, unpack
from seqstore.reference import Reference

#: Codes of a base beside those of nucleotides (0 = N): its window is not there, or this haplotype is not.
_NO_WINDOW, _NO_HAPLOTYPE = 255, 254
#: Codes of A, C, G and T.
NUCLEOTIDES = (1, 2, 4, 8)
#: A window that differs at a larger share of its bases is of another reference, or shifted by an indel.
MOST_DIFFERENT = 0.1


@dataclass(frozen=True)
class GeneWindows:
    """The windows of one gene: packed (individual, 2, bytes), and of whom there are any: (individual,)."""

    gene: str
    start: int  # of the window, 0-based
    windows: Codes
    known: npt.NDArray[np.bool_]

    @property
    def stop(self) -> int:
        """The end of the window."""
        return self.start + 2 * int(self.windows.shape[-1])

    def codes(self, positions: npt.NDArray[np.int64]) -> Codes:
        """Codes (position, individual, 2) at 0-based positions of the contig, within the window."""
        at = positions - self.start
        found = (self.windows[..., at // 2] >> (4 * (at % 2)).astype(np.uint8)) & np.uint8(15)
        absent = ~self.windows.any(axis=-1)
        found[absent] = _NO_HAPLOTYPE
        found[~self.known] = _NO_WINDOW
        return np.moveaxis(found, -1, 0)


def write_records(
    path: Path,
    *,
    contig: str,
    genes: Iterable[GeneWindows],
    individuals: Sequence[str],
    reference: Reference,
) -> None:
    """Write the SNPs of one contig as bgzipped VCF; ``genes`` come in the order of their windows.

    A base that is N in a window and not in the reference is a missing allele, and so is one of a window that is
    not there; a window that is all N is that of a haplotype that does not exist.

    Raises:
        InputError: a window is not one of this reference, or the windows of two genes contradict each other.
    """
    with pysam.BGZFile(str(path), "wb", None) as vcf:
        vcf.write(_header(contig, reference.lengths[contig], individuals).encode())
        for positions, codes in _sites(contig, genes, individuals, reference):
            bases = reference.codes(contig, int(positions[0]), int(positions[-1]) + 1)[
                positions - positions[0]
            ]
            for position, base, calls in zip(positions.tolist(), bases.tolist(), codes, strict=True):
                vcf.write(_record(contig, position, base, calls).encode())


def _sites(
    contig: str, genes: Iterable[GeneWindows], individuals: Sequence[str], reference: Reference
) -> Iterator[tuple[npt.NDArray[np.int64], Codes]]:
    """Positions, ascending, where a window differs from the reference, and everybody's codes there."""
    near: deque[tuple[GeneWindows, npt.NDArray[np.int64]]] = deque()
    begin = 0
    for gene in genes:
        if near and near[-1][0].start != gene.start:
            yield from _resolved(near, begin, gene.start, contig, individuals)
            begin = gene.start
            while near and near[0][0].stop <= begin:
                near.popleft()
        near.append((gene, _differences(gene, contig, individuals, reference)))
    yield from _resolved(near, begin, reference.lengths[contig], contig, individuals)


def _differences(
    gene: GeneWindows, contig: str, individuals: Sequence[str], reference: Reference
) -> npt.NDArray[np.int64]:
    """0-based positions at which a window of a gene is not as the reference."""
    expected = reference.codes(contig, gene.start, gene.stop)
    expected[~np.isin(expected, NUCLEOTIDES)] = 0  # as IUPAC letters are in the windows
    packed = pack(expected)
    there = gene.windows.any(axis=-1)
    apart = np.zeros(len(packed), dtype=bool)
    for individual, haplotype in np.argwhere(there).tolist():
        differs: npt.NDArray[np.bool_] = np.not_equal(gene.windows[individual, haplotype], packed)
        if np.count_nonzero(differs) > MOST_DIFFERENT * len(packed):
            raise InputError(
                f"{reference.path}: the windows of gene {gene.gene}, {individuals[individual]}, differ at "
                f"{differs.mean():.0%} of {contig}:{gene.start + 1}-{gene.stop}; is this the reference they were "
                "made of, and the TSS of the gene table theirs? Windows with indels cannot be imported"
            )
        apart |= differs
    pairs = np.flatnonzero(apart)
    bases = unpack(gene.windows[:, :, pairs])  # (individual, 2, base)
    at = (2 * pairs[:, None] + np.arange(2)).ravel()
    is_other = np.not_equal(bases, expected[at]) & np.expand_dims(there, 2)
    sites: npt.NDArray[np.int64] = at[np.any(is_other, axis=(0, 1))]
    unknown = sites[expected[sites] == 0]
    if len(unknown):
        raise InputError(
            f"{reference.path}: {contig}:{gene.start + int(unknown[0]) + 1} is no A, C, G or T, but windows of gene "
            f"{gene.gene} have a base there; is this the reference they were made of?"
        )
    return sites + gene.start


def _resolved(
    near: Iterable[tuple[GeneWindows, npt.NDArray[np.int64]]],
    begin: int,
    end: int,
    contig: str,
    individuals: Sequence[str],
) -> Iterator[tuple[npt.NDArray[np.int64], Codes]]:
    """The sites from ``begin`` to ``end`` of all genes near, with what any of their windows says of them."""
    found = [sites[(sites >= begin) & (sites < end)] for _, sites in near]
    positions = np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)
    if not len(positions):
        return
    codes = np.full((len(positions), len(individuals), 2), _NO_WINDOW, dtype=np.uint8)
    for gene, _ in near:
        within = slice(*np.searchsorted(positions, [gene.start, gene.stop]))
        here, known = gene.codes(positions[within]), codes[within]
        apart = (here != known) & (here < _NO_HAPLOTYPE) & (known < _NO_HAPLOTYPE)
        if apart.any():
            site, individual, _ = np.argwhere(apart)[0].tolist()
            raise InputError(
                f"gene {gene.gene}: at {contig}:{positions[within][site] + 1} the window of "
                f"{individuals[individual]} has another base than that of a gene beside it; these are not of one cohort"
            )
        known[:] = np.minimum(known, here)  # N and nucleotides before what is not there
    yield positions, codes


def _header(contig: str, length: int, individuals: Sequence[str]) -> str:
    lines = [
        "##fileformat=VCFv4.2",
        '##FILTER=<ID=PASS,Description="All filters passed">',
        f"##contig=<ID={contig},length={length}>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *individuals]),
    ]
    return "".join(f"{line}\n" for line in lines)


def _record(contig: str, position: int, base: int, calls: Codes) -> str:
    """The line of one site; ``base`` is the code of the reference, ``calls`` (individual, 2) those of people."""
    others = [code for code in NUCLEOTIDES if code != base]
    # A record without ALT is none to most tools; where bases are missing only, nobody has the one it names.
    alleles = [base, *([code for code in others if (calls == code).any()] or others[:1])]
    pairs, which = np.unique(calls.astype(np.uint16) @ np.array([256, 1], np.uint16), return_inverse=True)
    texts = np.array([_genotype(*divmod(int(pair), 256), alleles) for pair in pairs], dtype=object)
    ref, *alts = (LETTERS[code] for code in alleles)
    genotypes = "\t".join(texts[which.ravel()])
    return f"{contig}\t{position + 1}\t.\t{ref}\t{','.join(alts)}\t.\tPASS\t.\tGT\t{genotypes}\n"


def _genotype(first: int, second: int, alleles: list[int]) -> str:
    there = [code for code in (first, second) if code != _NO_HAPLOTYPE]
    return "|".join(str(alleles.index(code)) if code in alleles else "." for code in there) or "."
