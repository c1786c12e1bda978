"""Which people of which gene a batch has: pure functions of a seed and the number of the batch in the run.

So a run that is stopped goes on with nothing but its step, and processes that take different numbers never see the
same batch, however many they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

People = npt.NDArray[np.int64]

_TRIES = 1000


class Sampler(Protocol):
    """``n`` batches are an epoch; batch ``number`` is of epoch ``number // n``."""

    n: int

    def draw(self, number: int) -> tuple[int, People]:
        """The gene of a batch, and its people, sorted."""
        ...


class RandomPeople:
    """Every gene ``draws`` times an epoch, in random order, each time with ``size`` random people (None = all).

    With two people and 250 draws these are the random pairs of the study. People of whom ``is_usable`` says no are
    drawn again, up to a thousand times.
    """

    def __init__(
        self,
        people: Mapping[int, People],
        *,
        size: int | None,
        draws: int,
        seed: int,
        is_usable: Callable[[int, People], bool] = lambda gene, people: True,
    ) -> None:
        self._people = people
        self._genes = np.repeat(np.array(list(people), dtype=np.int64), draws)
        self._size = size
        self._seed = seed
        self._is_usable = is_usable
        self._order = lru_cache(maxsize=2)(self._order_of)
        self.n = len(self._genes)

    def draw(self, number: int) -> tuple[int, People]:
        """See `Sampler`."""
        epoch, place = divmod(number, self.n)
        gene = int(self._order(epoch)[place])
        people = self._people[gene]
        if self._size is None or self._size >= len(people):
            return gene, people
        rng = np.random.default_rng([self._seed, 1, number])
        for _ in range(_TRIES):
            chosen = np.sort(rng.choice(people, self._size, replace=False))
            if self._is_usable(gene, chosen):
                break
        return gene, chosen

    def _order_of(self, epoch: int) -> npt.NDArray[np.int64]:
        """The genes of an epoch's batches."""
        return np.random.default_rng([self._seed, 0, epoch]).permutation(self._genes)


class EveryPerson:
    """Every person of every gene once an epoch, in random groups of ``size`` of one gene, in random order.

    The people of a gene that are left over make some of its groups larger.
    """

    def __init__(self, people: Mapping[int, People], *, size: int, seed: int) -> None:
        self._people = people
        groups = {gene: max(len(of_gene) // size, 1) for gene, of_gene in people.items()}
        self._gene = np.repeat(np.array(list(groups), dtype=np.int64), list(groups.values()))
        self._group = np.concatenate([np.arange(n) for n in groups.values()])
        self._n_groups = groups
        self._seed = seed
        self._order = lru_cache(maxsize=2)(self._order_of)
        self.n = len(self._gene)

    def draw(self, number: int) -> tuple[int, People]:
        """See `Sampler`."""
        epoch, place = divmod(number, self.n)
        chosen = self._order(epoch)[place]
        gene, group = int(self._gene[chosen]), int(self._group[chosen])
        shuffled = np.random.default_rng([self._seed, 1, epoch, gene]).permutation(self._people[gene])
        return gene, np.sort(np.array_split(shuffled, self._n_groups[gene])[group])

    def _order_of(self, epoch: int) -> npt.NDArray[np.int64]:
        """The batches of an epoch, in their order."""
        return np.random.default_rng([self._seed, 0, epoch]).permutation(self.n)
