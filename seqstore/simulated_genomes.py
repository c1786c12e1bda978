"""Simulated contigs: human-like haplotypes of two populations, on a random reference.

Bases are 0 to 3 (A, C, G, T), so that ``base ^ 2`` is the transition of a base (A-G, C-T), ``base ^ 1`` and
``base ^ 3`` are its transversions, and ``3 - base`` is its complement. A variant is kept as the *change* that
turns its REF into its ALT: whoever edits the reference needs no look at the variants, and REF is always what
the reference says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msprime
import numpy as np
import numpy.typing as npt

#: The letter of each base.
LETTERS = "ACGT"
Bases = npt.NDArray[np.uint8]

#: Population and superpopulation of the simulated people, in their order in every file.
POPULATIONS = {"CEU": "EUR", "YRI": "AFR"}

GENERATION_YEARS = 25
#: Per base and generation. The demography below was fitted with this mutation rate (Gutenkunst et al. 2009),
#: so the two together give human diversity; the lower rate of pedigree studies would halve it here.
MUTATION_RATE = 2.35e-8
#: Per base and generation, the human autosomal mean (1.2 cM/Mb; Kong et al. 2010, doi 10.1038/nature09525).
RECOMBINATION_RATE = 1.25e-8
GC_CONTENT = 0.41  # human genome (Lander et al. 2001, doi 10.1038/35057062)
TRANSITION_SHARE = 2 / 3  # two transitions to a transversion, as in human genomes
#: Lengths of indels follow a power law (Gu and Li 1995, J Mol Evol 40:464). This exponent gives half of them one
#: base, 84 % at most four and 6 % more than ten, close to the indels of European people (1000 Genomes).
INDEL_LENGTH_EXPONENT = 1.9
LONGEST_INDEL = 500


def letters_of(bases: Bases) -> str:
    """The letters of a sequence of bases."""
    return np.frombuffer(LETTERS.encode(), dtype=np.uint8)[bases].tobytes().decode()


def random_bases(n: int, rng: np.random.Generator) -> Bases:
    """Independent bases of human GC content."""
    gc = [(1 - GC_CONTENT) / 2, GC_CONTENT / 2, GC_CONTENT / 2, (1 - GC_CONTENT) / 2]
    return rng.choice(4, size=n, p=gc).astype(np.uint8)


@dataclass(frozen=True)
class Contig:
    """One contig: its reference and the biallelic variants that segregate on it.

    ``reference`` (base) are bases. All else is by variant: ``position`` is 0-based and ascending; there the
    base becomes ``base ^ change``, the ``deleted`` bases behind it go, and the letters ``inserted`` come in
    their place. A SNP is a change and nothing else. An indel changes no base: REF and ALT share the first,
    as VCF has it. ``calls`` (variant, individual, haplotype) int8 is 1 where the haplotype carries ALT.
    """

    name: str
    reference: Bases
    position: npt.NDArray[np.int64]
    change: Bases
    deleted: npt.NDArray[np.int64]
    inserted: npt.NDArray[np.object_]
    calls: npt.NDArray[np.int8]

    @property
    def end(self) -> npt.NDArray[np.int64]:
        """Where each variant's REF ends (0-based, not included)."""
        return self.position + 1 + self.deleted

    @property
    def is_snp(self) -> npt.NDArray[np.bool_]:
        """Which variants change a base in its place."""
        return self.change > 0

    def variants_in(self, start: int, stop: int) -> slice:
        """The variants with a position in the half-open range."""
        first, last = np.searchsorted(self.position, (start, stop))
        return slice(int(first), int(last))

    def deletable(self) -> npt.NDArray[np.bool_]:
        """Which bases of the reference (base,) a variant deletes."""
        depth = np.zeros(len(self.reference) + 1, dtype=np.int64)
        np.add.at(depth, self.position + 1, 1)
        np.subtract.at(depth, self.end, 1)
        return np.cumsum(depth)[:-1] > 0

    def dosage(self, variants: slice) -> npt.NDArray[np.int8]:
        """Copies of ALT (variant, individual): 0, 1 or 2."""
        calls = self.calls[variants]
        return calls[:, :, 0] + calls[:, :, 1]

    def subset(self, variants: npt.NDArray[np.intp]) -> Contig:
        """The same contig with these variants only."""
        return replace(
            self,
            position=self.position[variants],
            change=self.change[variants],
            deleted=self.deleted[variants],
            inserted=self.inserted[variants],
            calls=self.calls[variants],
        )

    def alleles(self) -> tuple[list[str], list[str]]:
        """The letters of REF and of ALT of each variant."""
        first = letters_of(self.reference[self.position] ^ self.change)
        ref = [letters_of(self.reference[i:j]) for i, j in zip(self.position, self.end, strict=True)]
        alt = [base + inserted for base, inserted in zip(first, self.inserted, strict=True)]
        return ref, alt

    def variant_ids(self) -> list[str]:
        """A label for each variant, contig_position_ref_alt, with its 1-based position."""
        alleles = zip(self.position + 1, *self.alleles(), strict=True)
        return [f"{self.name}_{position}_{ref}_{alt}" for position, ref, alt in alleles]

    def sequence(self) -> str:
        """The letters of the reference."""
        return letters_of(self.reference)


def out_of_africa() -> msprime.Demography:
    """The three-population human demography of Gutenkunst et al. 2009, with their best-fit parameters.

    An ancestral population grows in Africa 220,000 years ago; 140,000 years ago a bottlenecked population
    leaves it; 21,200 years ago that one splits into CEU and CHB, which grow exponentially; all exchange
    migrants. Source: table 1 of doi 10.1371/journal.pgen.1000695, the model OutOfAfrica_3G09 of stdpopsim.
    """
    split_europe_asia = 21_200 / GENERATION_YEARS
    growth_europe, growth_asia = 0.004, 0.0055
    demography = msprime.Demography()
    demography.add_population(name="YRI", initial_size=12_300)
    demography.add_population(
        name="CEU",
        initial_size=1_000 * math.exp(growth_europe * split_europe_asia),
        growth_rate=growth_europe,
    )
    demography.add_population(
        name="CHB", initial_size=510 * math.exp(growth_asia * split_europe_asia), growth_rate=growth_asia
    )
    demography.add_population(name="OOA", initial_size=2_100)
    demography.add_population(name="AMH", initial_size=12_300)
    demography.add_population(name="ANC", initial_size=7_300)
    demography.set_symmetric_migration_rate(["YRI", "CEU"], 3e-5)
    demography.set_symmetric_migration_rate(["YRI", "CHB"], 1.9e-5)
    demography.set_symmetric_migration_rate(["CEU", "CHB"], 9.6e-5)
    demography.add_population_split(time=split_europe_asia, derived=["CEU", "CHB"], ancestral="OOA")
    demography.add_symmetric_migration_rate_change(split_europe_asia, ["YRI", "OOA"], 25e-5)
    demography.add_population_split(time=140_000 / GENERATION_YEARS, derived=["YRI", "OOA"], ancestral="AMH")
    demography.add_population_split(time=220_000 / GENERATION_YEARS, derived=["AMH"], ancestral="ANC")
    return demography


def simulate_contig(
    name: str, length: int, individuals: Mapping[str, int], rng: np.random.Generator, indels: float = 0.0
) -> Contig:
    """Simulate the haplotypes of ``individuals`` (people by population) on a contig of ``length`` bases.

    The coalescent with recombination under `out_of_africa`, then mutations: sites hit more than once are
    left out (one in 300), REF is the ancestral allele and the base of a random reference of human GC content.
    A random share ``indels`` of the variants become indels; people and reference are the same with any share.
    """
    ancestry_seed, mutation_seed = (int(seed) for seed in rng.integers(1, 2**31, size=2))
    trees = msprime.sim_ancestry(
        {population: n for population, n in individuals.items() if n},
        demography=out_of_africa(),
        sequence_length=length,
        recombination_rate=RECOMBINATION_RATE,
        random_seed=ancestry_seed,
    )
    trees = msprime.sim_mutations(
        trees, rate=MUTATION_RATE, model=msprime.BinaryMutationModel(), random_seed=mutation_seed
    )
    hits = np.bincount(trees.mutations_site, minlength=trees.num_sites)
    trees = trees.delete_sites(np.flatnonzero(hits != 1))
    calls = np.empty((trees.num_sites, trees.num_samples), dtype=np.int8)
    for row, variant in zip(calls, trees.variants(copy=False), strict=True):  # a whole matrix would be int32
        row[:] = variant.genotypes
    transversion = (1 - TRANSITION_SHARE) / 2
    contig = Contig(
        name=name,
        reference=random_bases(length, rng),
        position=trees.sites_position.astype(np.int64),
        change=rng.choice(
            [1, 2, 3], size=trees.num_sites, p=[transversion, TRANSITION_SHARE, transversion]
        ).astype(np.uint8),
        deleted=np.zeros(trees.num_sites, dtype=np.int64),
        inserted=np.full(trees.num_sites, "", dtype=object),
        calls=calls.reshape(trees.num_sites, -1, 2),
    )
    return with_indels(contig, indels, rng.spawn(1)[0])


def with_indels(contig: Contig, share: float, rng: np.random.Generator) -> Contig:
    """The contig with a random ``share`` of its SNPs turned into indels, half of them insertions.

    Lengths are human-like (`INDEL_LENGTH_EXPONENT`), inserted bases random. What a deletion takes may hold
    further variants, and a haplotype may carry them together with it: one more record that a consensus skips.
    """
    n = len(contig.position)
    lengths = np.arange(1, LONGEST_INDEL + 1)
    weight = lengths**-INDEL_LENGTH_EXPONENT
    length = rng.choice(lengths, size=n, p=weight / weight.sum())
    has_room = contig.position + length < len(contig.reference)
    is_indel = (rng.random(n) < share) & has_room
    is_deletion = is_indel & (rng.random(n) < 0.5)
    n_inserted = np.where(is_indel & ~is_deletion, length, 0)
    letters = letters_of(random_bases(int(n_inserted.sum()), rng))
    stop = np.cumsum(n_inserted)
    return replace(
        contig,
        change=np.where(is_indel, 0, contig.change).astype(np.uint8),
        deleted=np.where(is_deletion, length, 0),
        inserted=np.array([letters[i:j] for i, j in zip(stop - n_inserted, stop, strict=True)], dtype=object),
    )
