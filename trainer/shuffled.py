"""Which examples a step trains on: pure functions of a seed and the step, as `trainer.samplers` for gene batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


class Shuffled:
    """Every one of some examples once an epoch, in an order that depends on the seed and the epoch only.

    A step takes the next ``per_step`` of them, whatever number of processes shares it; where an epoch ends within a
    step, the step goes on with the next one. ``n`` examples are an epoch.
    """

    def __init__(self, examples: Numbers, *, per_step: int, seed: int) -> None:
        """Take the numbers of the examples, (n,) and at least one."""
        if not len(examples) or per_step < 1:
            raise ValueError(f"{len(examples)} examples, {per_step} a step: both are to be at least 1")
        self.n = len(examples)
        self.per_step = per_step
        self._examples = examples
        self._seed = seed
        self._order: tuple[int, Numbers] = -1, examples  # of the last epoch asked for

    def numbers(self, step: int, rank: int = 0, n_ranks: int = 1) -> Numbers:
        """The examples of one process in one step: every ``n_ranks``-th of the step's."""
        first = step * self.per_step
        places = range(first + rank, first + self.per_step, n_ranks)
        return np.array([self._at(place) for place in places], dtype=np.int64)

    def epoch(self, step: int) -> float:
        """How many epochs so many steps are."""
        return step * self.per_step / self.n

    def _at(self, place: int) -> int:
        epoch, place = divmod(place, self.n)
        of, order = self._order
        if of != epoch:
            order = np.random.default_rng([self._seed, 3, epoch]).permutation(self._examples)
            self._order = epoch, order
        return int(order[place])
