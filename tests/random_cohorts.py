"""Random cohorts with every kind of record, small enough to compare each of their windows with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from vcfixture.strategies import reference_and_documents

from tests.conftest import Call

_BASES = list("ACGT")
_NOT_PUT_IN = ["*", "<DEL>", "<INS>", "<*>"]


@dataclass(frozen=True)
class RandomCohort:
    """What to write and how to build it: ``genes`` are contigs and 1-based TSS, ``keys`` of the config."""

    contigs: dict[str, str]
    people: list[str]
    calls: list[Call]
    genes: list[tuple[str, int]]
    keys: dict[str, Any]


def nasty_cohort(rng: np.random.Generator) -> RandomCohort:
    """Records that crowd and overlap, in file order, with every kind of allele and of call."""
    contigs = {
        f"chr{number + 1}": "".join(rng.choice(_BASES, int(rng.integers(60, 500))))
        for number in range(rng.integers(1, 3))
    }
    people = [f"P{number}" for number in range(rng.integers(1, 5))]
    keys = _keys(rng)
    calls: list[Call] = []
    for contig, bases in contigs.items():
        haploid = rng.random(len(people)) < 0.15
        missing = rng.choice([0.0, 0.05, 0.2])
        for position, ref, alts in crowded_records(rng, bases):
            flag = "PASS" if rng.random() < 0.97 else "q10"
            texts = [_genotype(rng, len(alts), missing, bool(one)) for one in haploid]
            calls.append((contig, position, ref, ",".join(alts), flag, texts))
    genes = [_gene(rng, {contig: contigs[contig]}) for contig in contigs]
    genes += [_gene(rng, contigs) for _ in range(rng.integers(0, 4))]
    masked = {contig: _soft_masked(rng, bases) for contig, bases in contigs.items()}
    return RandomCohort(masked, people, as_policies_allow(calls, **keys), genes, keys)


def _keys(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "variants": str(rng.choice(["all", "all", "all", "snps"])),
        "missing": str(rng.choice(["reference", "n"])),
        "unphased": str(rng.choice(["error", "iupac", "as_phased"])),
        "length": int(rng.choice([2, 20, 60, 200, 1000, 1000])),
    }


def _soft_masked(rng: np.random.Generator, bases: str) -> str:
    first, stop = np.sort(rng.integers(0, len(bases) + 1, 2))
    return bases[:first] + bases[first:stop].lower() + bases[stop:]


def _gene(rng: np.random.Generator, contigs: dict[str, str]) -> tuple[str, int]:
    contig = str(rng.choice(list(contigs)))
    n = len(contigs[contig])
    near_an_end = [int(rng.integers(1, 12)), n - int(rng.integers(0, 12))]
    return contig, int(rng.choice([*near_an_end, *rng.integers(1, n + 1, 3)]))


def crowded_records(rng: np.random.Generator, bases: str) -> list[tuple[int, str, list[str]]]:
    """POS, REF and ALT alleles in file order; few of them stand alone."""
    somewhere = int(rng.integers(0, len(bases)))  # no contig is without a record
    records = [(somewhere + 1, bases[somewhere], ["A" if bases[somewhere] != "A" else "C"])]
    for _ in range(rng.integers(1, max(2, len(bases) // rng.choice([4, 10, 30])))):
        first = int(rng.integers(0, len(bases)))
        ref = bases[first : first + int(rng.choice([1, 1, 1, 2, 3, 6, 15, 40]))]
        alts = dict.fromkeys(_alt(rng, ref) for _ in range(rng.choice([1, 1, 2, 3])))
        alts.pop(ref, None)
        if alts:
            records.append((first + 1, ref, list(alts)))
    return sorted(records, key=lambda record: record[0])


def _alt(rng: np.random.Generator, ref: str) -> str:
    """Another allele: of REF's length, an insertion, a deletion, anything, or none that is put in."""
    kind = rng.choice(6, p=[0.25, 0.25, 0.2, 0.2, 0.05, 0.05])
    if kind == 0:
        return "".join(rng.choice(_BASES, len(ref)))
    if kind == 1:
        return ref[0] + "".join(rng.choice(_BASES, rng.integers(0, 6))) + ref[1:]
    if kind == 2:
        return ref[: int(rng.integers(1, len(ref) + 1))]
    if kind == 3:
        return "".join(rng.choice(_BASES, rng.integers(1, 8)))
    return ref[-1] if kind == 4 else str(rng.choice(_NOT_PUT_IN))


def _genotype(rng: np.random.Generator, n_alts: int, missing: float, haploid: bool) -> str:
    alleles = [
        "." if rng.random() < missing else str(rng.integers(0, n_alts + 1) if rng.random() < 0.5 else 0)
        for _ in range(2)
    ]
    if haploid:
        return alleles[0]
    if alleles == [".", "."] and rng.random() < 0.3:
        return "."  # a caller's short form of ./.
    return ("|" if rng.random() < 0.6 else "/").join(alleles)


def as_policies_allow(calls: Sequence[Call], *, variants: str, unphased: str, **_: object) -> list[Call]:
    """The calls with phase where ``unphased`` would refuse them, and where no IUPAC code can stand for them."""
    allowed = []
    for contig, position, ref, alts, flag, genotypes in calls:
        letters = alts.split(",")
        longer = variants == "all" and any(alt[0] not in "*<" and len(ref) + len(alt) > 2 for alt in letters)
        not_put_in = any(alt[0] in "*<" or len(ref) + len(alt) > 2 for alt in letters)
        refused = unphased == "error" or (unphased == "iupac" and (longer or not_put_in))
        texts = [text.replace("/", "|") if refused else text for text in genotypes]
        allowed.append((contig, position, ref, alts, flag, texts))
    return allowed


@st.composite
def drawn_cohorts(draw: st.DrawFn) -> RandomCohort:
    """A cohort of vcfixture's: left-aligned and other indels, MNPs, multi-allelic SNPs, of either ploidy."""
    spec, document, _ = draw(
        reference_and_documents(
            max_samples=4,
            max_records=12,
            violations=frozenset({"multiallelic", "non_atomic", "non_left_aligned"}),
            max_contig_len=600,
        )
    )
    contigs = dict(spec.contigs)
    keys = {
        "variants": draw(st.sampled_from(["all", "snps"])),
        "missing": draw(st.sampled_from(["reference", "n"])),
        "unphased": draw(st.sampled_from(["error", "iupac", "as_phased"])),
        "length": 2 * draw(st.integers(1, 400)),
    }
    calls: list[Call] = []
    for record in document.records:
        alts = [alt.render() for alt in record.alts]
        if len(alts) > 1 and draw(st.booleans()):
            alts[-1] = draw(st.sampled_from(_NOT_PUT_IN))
        genotypes = [sample["GT"].render() for sample in record.samples]
        calls.append((record.chrom, record.pos, record.ref, ",".join(alts), "PASS", genotypes))
    genes = []
    for _ in range(draw(st.integers(1, 3))):
        near = draw(st.sampled_from(calls))
        tss = near[1] + draw(st.integers(-6, 6))
        genes.append((near[0], min(max(tss, 1), len(contigs[near[0]]))))
    return RandomCohort(contigs, list(document.samples), as_policies_allow(calls, **keys), genes, keys)
