"""Records of a genotype file as numbers: what each allele does to a sequence, and to whom.

A `RecordTable` is what `seqstore.haplotypes` applies. Which alleles can be applied, and what unphased and
missing calls mean, is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from seqstore.genotypes import ABSENT, MISSING
from seqstore.nucleotides import NOT_A_BASE, Codes, encode

Kinds = Literal["snps", "all"]

#: Calls from here on are no allele of the record: they stand for the base whose code is the call minus this.
CODE_CALL = 112
#: The call that writes N.
N_CALL = CODE_CALL


class RecordTable(NamedTuple):
    """Records in file order, of one contig.

    ``start`` (record,) 0-based; ``bases`` the codes of all alleles after each other, behind the sixteen
    codes themselves; ``allele_start`` and ``allele_length`` (record, allele) where each allele stands in
    them, REF first, length -1 = not put into sequences; ``anchored`` (record, allele): an insertion or
    deletion that begins with REF's first base, which bcftools lets follow a record that ends there.
    """

    start: npt.NDArray[np.int64]
    allele_start: npt.NDArray[np.int64]
    allele_length: npt.NDArray[np.int64]
    anchored: npt.NDArray[np.bool_]
    bases: Codes


def is_applied(ref: str, alt: str, kinds: Kinds) -> bool:
    """Whether an allele is put into sequences: not if symbolic, a breakend or ``*``; of snps, only those."""
    if kinds == "snps":
        return len(ref) == 1 and len(alt) == 1 and alt in "ACGTacgt"
    return bool(alt) and not (encode(alt) == NOT_A_BASE).any()


def is_applicable(alleles: Sequence[str], kinds: Kinds) -> bool:
    """Whether any allele of a record (REF first) is put into sequences."""
    return any(is_applied(alleles[0], alt, kinds) for alt in alleles[1:])


def table_of(positions: npt.ArrayLike, alleles: npt.NDArray[np.object_], kinds: Kinds) -> RecordTable:
    """Records from positions (record,) 1-based and texts (record, allele), REF first, "" = no such allele."""
    texts = alleles.ravel().tolist()
    lengths = np.fromiter(map(len, texts), np.int64, len(texts)).reshape(alleles.shape)
    bases = np.concatenate([np.arange(16, dtype=np.uint8), encode("".join(texts))])
    stops = 16 + np.cumsum(lengths.ravel()).reshape(alleles.shape)
    if kinds == "snps":
        is_single = (lengths == 1) & (lengths[:, :1] == 1)
        code = bases[np.minimum(stops - lengths, len(bases) - 1)]
        applied = is_single & np.isin(code, (1, 2, 4, 8))
    else:
        n_bad = np.concatenate([[0], np.cumsum(bases == NOT_A_BASE)])
        applied = (lengths > 0) & (n_bad[stops] == n_bad[stops - lengths])
    applied[:, 0] = True  # REF is not put in, but it is compared with
    anchored = np.zeros(alleles.shape, dtype=bool)
    for record, allele in np.argwhere(applied & (lengths != lengths[:, :1])).tolist():
        anchored[record, allele] = _is_anchored(alleles[record, 0].upper(), alleles[record, allele].upper())
    return RecordTable(
        start=np.asarray(positions, dtype=np.int64) - 1,
        allele_start=stops - lengths,
        allele_length=np.where(applied, lengths, -1),
        anchored=anchored,
        bases=bases,
    )


def _is_anchored(ref: str, alt: str) -> bool:
    """Whether htslib calls an allele an indel (not a delins) and it begins with REF's first base."""
    if ref[0] != alt[0]:
        return False
    shorter, longer = sorted((ref, alt), key=len)
    prefix = next((i for i, base in enumerate(shorter) if base != longer[i]), len(shorter))
    return longer.endswith(shorter[prefix:])


def calls_to_apply(
    genotype: npt.NDArray[np.int8],
    phased: npt.NDArray[np.bool_] | None,
    records: RecordTable,
    *,
    missing_is_n: bool,
) -> npt.NDArray[np.int8]:
    """What each haplotype has to apply, (record, individual, 2) int8.

    0 nothing, a positive allele index, `MISSING` (counted, and otherwise nothing), or `CODE_CALL` plus a
    code. ``genotype`` (record, individual, 2) as read; ``phased`` (record, individual) says where the order
    of two alleles is known: elsewhere, heterozygous SNPs become the IUPAC code of both on both haplotypes
    (None: everywhere). The second allele of a haploid call is missing; see `haplotypes_present` for who has
    a second haplotype at all.
    """
    calls = genotype.copy()
    calls[calls == ABSENT] = MISSING
    if phased is not None:
        unknown = ~phased & (genotype[..., 0] != genotype[..., 1]) & (genotype[..., 1] != ABSENT)
        for record, individual in np.argwhere(unknown):
            pair = genotype[record, individual]
            if (pair < 0).any():  # which of the haplotypes is missing is not known
                calls[record, individual] = MISSING
                continue
            # A SNP's alleles are single bases; others are refused before the build, or not put in: REF stays.
            lengths = records.allele_length[record, pair]
            stands = records.allele_start[record, np.where(lengths < 0, 0, pair)]
            if records.allele_length[record, 0] == 1 and (lengths[pair > 0] == 1).any():
                calls[record, individual] = CODE_CALL + np.bitwise_or.reduce(records.bases[stands])
    return calls if not missing_is_n else np.where(calls == MISSING, np.int8(N_CALL), calls)


def haplotypes_present(
    genotype: npt.NDArray[np.int8], others: Iterable[npt.NDArray[np.int8]] = ()
) -> npt.NDArray[np.bool_]:
    """Which haplotypes individuals have (individual, 2), from the calls (record, individual, 2) of a window.

    A known haploid call means that there is no second haplotype. Where some individuals are haploid, one
    without any call but lone dots (a woman on Y) has none. ``others`` are the calls of the cohort's other
    individuals, which are looked at only where that matters.
    """
    haploid = _is_haploid(genotype)
    nobody = (genotype[..., 1] == ABSENT).all(axis=0) & ~haploid & bool(len(genotype))
    if nobody.any() and not haploid.any():
        nobody &= any(_is_haploid(calls).any() for calls in others)
    return np.stack([~nobody, ~nobody & ~haploid], axis=-1)


def _is_haploid(genotype: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Who has a known haploid call (individual,)."""
    is_haploid: npt.NDArray[np.bool_] = ((genotype[..., 1] == ABSENT) & (genotype[..., 0] >= 0)).any(axis=0)
    return is_haploid
