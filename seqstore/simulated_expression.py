"""Simulated expression: what the variants around a gene do, under two architectures.

``private``: each causal variant has an effect of its own, so what holds for one gene says nothing about
another. ``motif``: an effect is what the variant changes in a score of the sequence, the same for all genes,
so that a model can learn it on some genes and predict others: the positive control for unseen genes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from seqstore.simulated_genomes import LETTERS, Bases, Contig

Architecture = Literal["private", "motif"]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)
Floats = npt.NDArray[np.float64]

#: The sequence grammar: what one match of a word, on either strand, adds to expression (ln TPM).
GRAMMAR = {"ACCGGAAG": 0.5, "TGACTCAT": 0.4, "GCAGGTGT": -0.5, "AAATCTCA": -0.4}
WORD_LENGTH = 8

MIN_MAF = 0.05  # causal variants are common: minor allele frequency over the whole cohort
MAX_CAUSAL = 3
#: Share that must be left of the variance that a gene's effects would explain without LD: variants in LD may
#: not undo each other.
MIN_SHARE_LEFT = 0.1


@dataclass(frozen=True)
class SimulatedGene:
    """A gene's expression (individual,) on a ln TPM scale, and the variants behind it.

    ``variant`` holds indices into the contig's variants, ``effect`` what each copy of ALT adds.
    """

    expression: Floats
    variant: npt.NDArray[np.intp]
    effect: Floats


def bases_of(sequence: str) -> Bases:
    """Bases 0 to 3 of a sequence in the letters A, C, G, T."""
    return np.array([LETTERS.index(letter) for letter in sequence], dtype=np.uint8)


def _word_index(bases: Bases) -> npt.NDArray[np.int64]:
    """The number (in base 4) of the word that starts at each position but the last seven."""
    words = np.lib.stride_tricks.sliding_window_view(bases, WORD_LENGTH)
    return words.astype(np.int64) @ (4 ** np.arange(WORD_LENGTH, dtype=np.int64))


_WORDS = [bases_of(word) for word in GRAMMAR]
_WEIGHT = np.zeros(4**WORD_LENGTH)
for _word, _weight in zip(_WORDS, GRAMMAR.values(), strict=True):
    _WEIGHT[[_word_index(_word), _word_index(3 - _word[::-1])]] = _weight


def grammar_score(bases: Bases) -> float:
    """The summed weights of all `GRAMMAR` words in a sequence, on both strands (ln TPM)."""
    if len(bases) < WORD_LENGTH:
        return 0.0
    return float(_WEIGHT[_word_index(bases)].sum())


def may_be_causal(contig: Contig, architecture: Architecture) -> npt.NDArray[np.bool_]:
    """Which of a contig's variants causal ones are drawn from.

    SNPs with a MAF of `MIN_MAF` over the cohort whose dosage differs between people, and that no deletion
    takes; under ``motif`` also without another variant so near that a word could cover both, so that
    effects add up.
    """
    dosage = contig.dosage(slice(None))
    frequency = dosage.mean(axis=1) / 2
    candidate: npt.NDArray[np.bool_] = np.minimum(frequency, 1 - frequency) >= MIN_MAF
    candidate &= (dosage != dosage[:, :1]).any(axis=1) & contig.is_snp
    gap = contig.position[1:] - np.maximum.accumulate(contig.end - 1)[:-1]
    far = gap >= (WORD_LENGTH if architecture == "motif" else 1)
    candidate &= np.append(far, True) & np.append(True, far)
    return candidate


def simulate_gene(
    contig: Contig,
    window: tuple[int, int],
    candidate: npt.NDArray[np.bool_],
    *,
    architecture: Architecture,
    heritability: float,
    rng: np.random.Generator,
) -> SimulatedGene:
    """Simulate a gene whose cis window is the half-open range ``window``.

    One to three causal variants are drawn uniformly over the variants of the window that are ``candidate``
    (variant,), of which there is one at least.

    - ``private``: normal effects, scaled to the gene's standard deviation.
    - ``motif``: a grammar word is written into the contig's reference (**in place**) over each causal
      variant, at a random offset and strand, so that REF or ALT completes it. Then the effect of every
      variant of the window, rare ones too, is the score of the window with its ALT less the score
      with its REF, all else reference; words that stand there by chance count (about one more causal
      variant in 50,000 bases). The gene's standard deviation follows from the effects.

    Indels have no effect of their own, under neither architecture.

    Effects add up over dosage. Their variance over the cohort is ``heritability`` of the gene's variance;
    the rest is Gaussian noise, drawn for each person. Draws whose effects cancel out are drawn again.
    """
    start, stop = window
    inside = contig.variants_in(start, stop)
    site, change = contig.position[inside] - start, contig.change[inside]
    dosage = contig.dosage(inside)
    candidates = np.flatnonzero(candidate[inside])
    while True:
        n_causal = min(int(rng.integers(1, MAX_CAUSAL + 1)), len(candidates))
        causal = rng.choice(candidates, size=n_causal, replace=False)
        reference = contig.reference[start:stop].copy()
        if architecture == "motif":
            for index in causal:
                _plant(reference, site[index], change[index], rng)
            effect = np.array([_score_change(reference, s, c) for s, c in zip(site, change, strict=True)])
        else:
            effect = np.zeros(len(site))
            effect[causal] = rng.normal(size=len(causal))
        genetic = effect @ dosage
        apart = effect**2 @ dosage.var(axis=1)
        if effect[causal].all() and genetic.var() > MIN_SHARE_LEFT * apart:
            break
    if architecture == "motif":
        contig.reference[start:stop] = reference
        deviation = genetic.std() / np.sqrt(heritability)
    else:
        deviation = _deviation(rng)
        effect *= deviation * np.sqrt(heritability) / genetic.std()
    noise = rng.normal(0, deviation * np.sqrt(1 - heritability), size=dosage.shape[1])
    genetic = effect @ dosage
    causes = np.flatnonzero(effect)
    return SimulatedGene(
        expression=_mean(rng) + genetic - genetic.mean() + noise,
        variant=inside.start + causes,
        effect=effect[causes],
    )


def simulate_negative_control(individuals: int, rng: np.random.Generator) -> SimulatedGene:
    """Simulate a gene that no variant affects: Gaussian noise around its mean."""
    expression = rng.normal(_mean(rng), _deviation(rng), size=individuals)
    return SimulatedGene(expression, np.empty(0, dtype=np.intp), np.empty(0))


def _mean(rng: np.random.Generator) -> float:
    """A gene's mean expression (ln TPM)."""
    return float(rng.normal(2.5, 1.5))


def _deviation(rng: np.random.Generator) -> float:
    """A gene's standard deviation over people (ln TPM)."""
    return float(0.4 * np.exp(rng.normal(0, 0.3)))


def _plant(reference: Bases, site: int, change: int, rng: np.random.Generator) -> None:
    """Write a word of the grammar over ``site`` of a window's reference, completed by REF or by ALT."""
    word = _WORDS[rng.integers(len(_WORDS))]
    if rng.random() < 0.5:
        word = 3 - word[::-1]
    first = max(0, site - WORD_LENGTH + 1)
    last = min(site, len(reference) - WORD_LENGTH)
    begin = rng.integers(first, last + 1)
    reference[begin : begin + WORD_LENGTH] = word
    if rng.random() < 0.5:
        reference[site] ^= change


def _score_change(reference: Bases, site: int, change: int) -> float:
    """The score of a window with ALT at ``site`` less its score with REF."""
    around = slice(max(0, site - WORD_LENGTH + 1), site + WORD_LENGTH)
    alternate = reference.copy()
    alternate[site] ^= change
    return grammar_score(alternate[around]) - grammar_score(reference[around])
