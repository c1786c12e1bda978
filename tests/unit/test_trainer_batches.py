from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import seqstore
from seqstore.errors import InputError
from seqstore.nucleotides import stretch, unpack
from tests.conftest import Cohort
from tests.unit.trainer_stores import LENGTH, N_TRAIN, fit_config, make_store
from trainer.batches import GeneBatch, GeneBatches
from trainer.cohort import find_learners, open_cohort
from trainer.config import FitConfig
from trainer.crops import Crops

MakeCohort = Callable[..., Cohort]


@pytest.fixture
def store(make_cohort: MakeCohort, tmp_path: Path) -> str:
    return make_store(make_cohort, tmp_path)


def batches_of(config: FitConfig) -> GeneBatches:
    cohort = open_cohort(config)
    learners = find_learners(cohort, config)
    return GeneBatches(cohort.crops(learners.genes), learners, config)


def same(one: GeneBatch, other: GeneBatch) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


@pytest.mark.parametrize("context", [64, 66, 254, LENGTH])
def test_crops_are_the_centres_of_the_stored_windows(store: str, context: int) -> None:
    reader = seqstore.HaplotypeReader(store)
    crops = Crops(reader, context, range(4))
    start = LENGTH // 2 - context // 2
    for gene in range(4):
        stored = reader.read(np.full(reader.n_individuals, gene), np.arange(reader.n_individuals))
        expected = unpack(stored)[:, :, start : start + context]
        ids = crops.ids(gene)
        assert np.array_equal(unpack(crops.windows(gene, ids.ravel())).reshape(expected.shape), expected)
        assert len({row.tobytes() for row in expected.reshape(-1, context)}) == ids.max() + 1


def test_a_crop_has_fewer_distinct_windows(store: str) -> None:
    reader = seqstore.HaplotypeReader(store)
    whole, crop = (Crops(reader, context, [0]).ids(0).max() + 1 for context in (LENGTH, 32))
    assert crop < whole == len(reader.distinct(0))


def test_a_haplotype_that_does_not_exist_has_no_crop(store: str) -> None:
    class Haploid(seqstore.HaplotypeReader):
        def haplotype_id(self, gene: int) -> np.ndarray:
            ids = super().haplotype_id(gene).copy()
            ids[3, 1] = -1
            ids[4] = -1
            numbered: np.ndarray = np.unique(ids, return_inverse=True)[1].reshape(ids.shape) - 1
            return numbered.astype(np.int32)

    reader = Haploid(store)
    ids = Crops(reader, 64, [0]).ids(0)
    assert ids[3, 1] == -1
    assert ids[4].tolist() == [-1, -1]
    config = fit_config(store, "unused")
    learners = find_learners(open_cohort(config), config)
    batches = GeneBatches(Crops(reader, 64, learners.genes), learners, config)
    numbers = {batches.batch(number).gene: batches.batch(number) for number in range(2)}
    people = numbers[0].people.tolist()
    assert 3 in people
    assert 4 not in people
    haplotype = numbers[0].haplotype[people.index(3)]
    assert haplotype[0] >= 0 > haplotype[1]


def test_genes_of_too_few_haplotypes_are_left_out(store: str, caplog: pytest.LogCaptureFixture) -> None:
    """As those on Y are, where women train."""

    class Lost(seqstore.HaplotypeReader):
        absent: tuple[int, ...] = ()

        def haplotype_id(self, gene: int) -> np.ndarray:
            ids = super().haplotype_id(gene)
            return np.full_like(ids, -1) if gene in self.absent else ids

    config = fit_config(store, "unused", people=None)
    learners = find_learners(open_cohort(config), config)
    reader = Lost(store)
    reader.absent = (int(learners.genes[0]),)
    batches = GeneBatches(Crops(reader, 64, learners.genes), learners, config)
    assert "1 genes are left out: of too few of their training people there is a haplotype" in caplog.text
    assert reader.absent[0] not in {batches.batch(number).gene for number in range(20)}
    reader.absent = tuple(learners.genes.tolist())
    with pytest.raises(
        InputError, match="of no gene of 'main' enough of the training people have a haplotype"
    ):
        GeneBatches(Crops(reader, 64, learners.genes), learners, config)


def test_a_batch_holds_the_windows_of_its_people(store: str) -> None:
    batches = batches_of(fit_config(store, "unused", max_shift=0, people=5))
    reader = seqstore.HaplotypeReader(store)
    batch = batches.batch(7)
    assert len(batch.people) == 5 == len(set(batch.people.tolist()))
    assert batch.people.max() < N_TRAIN
    expected = reader.read(np.full(5, batch.gene), batch.people)
    assert np.array_equal(batch.windows[batch.haplotype], expected)
    assert len(np.unique(batch.windows, axis=0)) == len(batch.windows)


def test_every_pass_has_every_gene_once(store: str) -> None:
    batches = batches_of(fit_config(store, "unused"))
    genes = [batches.batch(number).gene for number in range(40)]
    assert all(sorted(genes[i : i + 2]) == [0, 1] for i in range(0, 40, 2))
    assert {tuple(genes[i : i + 2]) for i in range(0, 40, 2)} == {(0, 1), (1, 0)}
    assert batches.epoch(3) == 3.0


def test_batches_depend_on_seed_and_number_only(store: str) -> None:
    config = fit_config(store, "unused", people=6, genes_per_step=4)
    one, again, other = (
        batches_of(c) for c in (config, config, fit_config(store, "unused", people=6, seed=4))
    )
    steps = [one.at(step) for step in range(5)]
    assert all(same(a, b) for a, b in zip(again.at(3), steps[3], strict=True))  # without the steps before
    assert not all(same(one.batch(number), other.batch(number)) for number in range(8))
    parts = [one.at(3, rank=rank, n_ranks=2) for rank in (0, 1)]
    assert all(
        same(a, b)
        for a, b in zip(steps[3], [parts[0][0], parts[1][0], parts[0][1], parts[1][1]], strict=True)
    )


def test_strand_and_shift_vary_between_batches(store: str) -> None:
    batches = batches_of(fit_config(store, "unused", max_shift=3))
    drawn = [batches.batch(number) for number in range(40)]
    assert 8 < sum(batch.reverse for batch in drawn) < 32
    plain = batches_of(fit_config(store, "unused", max_shift=0, reverse_complement=0.0))
    still = [plain.batch(number) for number in range(40)]
    assert not any(batch.reverse for batch in still)
    shifts = {batch.span.start for batch in drawn}
    assert shifts == set(range(-3, 4))
    assert {batch.span for batch in still} == {(0, LENGTH)}


@pytest.mark.parametrize("context", [64, LENGTH])
@pytest.mark.parametrize("margin", [0, 3, 4])
def test_a_shifted_window_shows_what_stands_beside_it(store: str, context: int, margin: int) -> None:
    """As long as the store has it; then N."""
    reader = seqstore.HaplotypeReader(store)
    crops = Crops(reader, context, [1], margin)
    stored = unpack(reader.read(1, np.arange(reader.n_individuals)))
    padded = np.pad(stored, [(0, 0), (0, 0), (LENGTH, LENGTH)])
    ids = crops.ids(1)
    for shift in range(-margin, margin + 1):
        start = LENGTH + LENGTH // 2 - context // 2 - shift
        shown = unpack(stretch(crops.windows(1, ids.ravel()), *crops.span(shift)))
        np.testing.assert_array_equal(
            shown.reshape(*ids.shape, context), padded[:, :, start : start + context]
        )
