"""The laws of samplers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from trainer.samplers import EveryPerson, RandomPeople, Sampler

PEOPLE = {4: np.array([0, 2, 3, 7, 8]), 0: np.arange(9), 9: np.array([1, 5])}
Make = Callable[[int], Sampler]
SAMPLERS: dict[str, Make] = {
    "pairs": lambda seed: RandomPeople(PEOPLE, size=2, draws=25, seed=seed),
    "some": lambda seed: RandomPeople(PEOPLE, size=4, draws=1, seed=seed),
    "all": lambda seed: RandomPeople(PEOPLE, size=None, draws=2, seed=seed),
    "everyone": lambda seed: EveryPerson(PEOPLE, size=2, seed=seed),
    "everyone alone": lambda seed: EveryPerson(PEOPLE, size=1, seed=seed),
}
Drawn = list[tuple[int, list[int]]]


@pytest.fixture(params=list(SAMPLERS))
def make(request: pytest.FixtureRequest) -> Make:
    return SAMPLERS[request.param]


def drawn(sampler: Sampler, *numbers: int) -> Drawn:
    return [(gene, people.tolist()) for gene, people in map(sampler.draw, numbers)]


def test_a_batch_is_of_different_people_of_one_gene(make: Make) -> None:
    for gene, people in drawn(make(0), *range(60)):
        assert set(people) <= set(PEOPLE[gene].tolist())
        assert people == sorted(set(people))


def test_it_depends_on_the_seed_and_the_number_only(make: Make) -> None:
    sampler = make(3)
    in_order = drawn(sampler, *range(40))
    assert drawn(make(3), *reversed(range(40))) == in_order[::-1], "a run goes on from any step"
    assert drawn(make(4), *range(40)) != in_order


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 5])
def test_processes_share_the_batches_of_one(make: Make, n_ranks: int) -> None:
    of_ranks = [drawn(make(0), *range(rank, 30, n_ranks)) for rank in range(n_ranks)]
    one = drawn(make(0), *range(30))
    for rank, batches in enumerate(of_ranks):
        assert batches == one[rank::n_ranks]


def test_epochs_differ_and_have_every_gene_alike(make: Make) -> None:
    sampler = make(0)
    epochs = [drawn(sampler, *range(first, first + sampler.n)) for first in (0, sampler.n, 2 * sampler.n)]
    assert epochs[0] != epochs[1] != epochs[2]
    genes = [Counter(gene for gene, _ in epoch) for epoch in epochs]
    assert genes[0] == genes[1] == genes[2]
    assert genes[0].keys() == PEOPLE.keys()


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_everyone_has_one_turn_an_epoch(size: int) -> None:
    sampler = EveryPerson(PEOPLE, size=size, seed=1)
    for epoch in range(3):
        batches = drawn(sampler, *range(epoch * sampler.n, (epoch + 1) * sampler.n))
        turns = Counter((gene, person) for gene, people in batches for person in people)
        assert turns == Counter(
            (gene, person) for gene, people in PEOPLE.items() for person in people.tolist()
        )
        assert all(
            min(size, len(PEOPLE[gene])) <= len(people) < 2 * size or size > 3 for gene, people in batches
        )


def test_random_pairs_are_as_often_of_one_as_of_another() -> None:
    sampler = RandomPeople(PEOPLE, size=2, draws=250, seed=0)
    pairs = Counter(tuple(people) for gene, people in drawn(sampler, *range(4 * sampler.n)) if gene == 4)
    assert sum(pairs.values()) == 1000
    assert len(pairs) == 10
    assert max(pairs.values()) < 150
    assert min(pairs.values()) > 60
