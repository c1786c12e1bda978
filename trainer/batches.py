"""Gene batches: some people of one gene, and the distinct windows they carry.

What a batch holds is a pure function of (seed, its number in the run), so neither a restart nor the
number of processes changes it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqstore.errors import InputError
from trainer.cohort import Learners
from trainer.config import FitConfig
from trainer.crops import Windows
from trainer.tiles import Packed, Span

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneBatch:
    """K people of one gene.

    ``windows`` (n, bytes) are the distinct packed windows among them, of which the model reads a ``span``, on the
    other strand with ``reverse``; ``haplotype`` (K, 2) says which of the windows each person carries, -1 = no such
    haplotype; ``target`` (K,); ``seed`` is for dropout.
    """

    gene: int
    people: npt.NDArray[np.int64]
    windows: Packed
    span: Span
    haplotype: npt.NDArray[np.int64]
    target: npt.NDArray[np.float32]
    reverse: bool
    seed: int


class GeneBatches:
    """All gene batches of a run, by step and process."""

    def __init__(self, crops: Windows, learners: Learners, config: FitConfig) -> None:
        self._crops = crops
        self._learners = learners
        self._config = config
        people = {
            int(gene): np.flatnonzero(learners.train[gene] & (crops.ids(gene) >= 0).any(axis=1))
            for gene in learners.genes.tolist()
        }
        enough = {gene: of_gene for gene, of_gene in people.items() if len(of_gene) >= config.least_people}
        if not enough:
            raise InputError(
                f"split: of no gene of {config.split!r} enough of the training people have a haplotype (on Y women "
                f"have none); a batch needs {config.least_people}"
            )
        if len(enough) < len(people):
            logger.warning(
                "%d genes are left out: of too few of their training people there is a haplotype",
                len(people) - len(enough),
            )
        objective = config.objective.build()
        self._sampler = config.sampler(
            enough, lambda gene, people: objective.is_usable(learners.target[gene, people])
        )

    def at(self, step: int, *, rank: int = 0, n_ranks: int = 1) -> list[GeneBatch]:
        """The gene batches of one process in one optimiser step: every ``n_ranks``-th of the step's."""
        n = self._config.genes_per_step
        return [self.batch(step * n + place) for place in range(rank, n, n_ranks)]

    def epoch(self, step: int) -> float:
        """How many epochs of the sampler so many steps are."""
        return step * self._config.genes_per_step / self._sampler.n

    def batch(self, number: int) -> GeneBatch:
        """The gene batch of that number."""
        config = self._config
        gene, people = self._sampler.draw(number)
        rng = np.random.default_rng([config.seed, 2, number])
        reverse = bool(rng.random() < config.reverse_complement)
        bases = int(rng.integers(-config.max_shift, config.max_shift, endpoint=True))
        windows, haplotype = distinct_windows(self._crops, gene, people)
        return GeneBatch(
            gene=gene,
            people=people,
            windows=windows,
            span=self._crops.span(bases),
            haplotype=haplotype,
            target=self._learners.target[gene, people],
            reverse=reverse,
            seed=int(rng.integers(2**62)),
        )


def distinct_windows(
    crops: Windows, gene: int, people: npt.NDArray[np.integer]
) -> tuple[Packed, npt.NDArray[np.int64]]:
    """The distinct windows (n, bytes) that some people carry, and which are theirs: (people, 2), -1 = none."""
    ids = crops.ids(gene)[people]
    used, place = np.unique(ids, return_inverse=True)
    place = place.reshape(ids.shape)
    if used.size and used[0] < 0:  # -1 sorts first
        used, place = used[1:], place - 1
    return crops.windows(gene, used), place.astype(np.int64)
