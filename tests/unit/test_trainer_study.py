"""Every config of configs/study takes a few steps on a tiny Enformer, and does what its formula says."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Cohort
from tests.unit.task_files import mpra_task, track_task
from tests.unit.trainer_stores import make_store
from trainer.batches import GeneBatches
from trainer.cohort import find_learners, open_cohort
from trainer.config import (
    Enformer,
    FitConfig,
    Head,
    MpraEffects,
    ReferenceTracks,
    Task,
    TrackHead,
    read_config,
)
from trainer.fit import fit

STUDY = sorted((Path(__file__).parents[2] / "configs" / "study").glob("*.yaml"))


@pytest.fixture
def store(make_cohort: Callable[..., Cohort], tmp_path: Path) -> str:
    return make_store(make_cohort, tmp_path)


def tiny_task(task: Task, folder: Path) -> Task:
    """A task of a config, with little data."""
    settings: dict[str, Any] = {"weight": task.weight, "per_step": 2}
    if isinstance(task, MpraEffects):
        return mpra_task(folder, **settings)
    assert isinstance(task, ReferenceTracks)
    if task.once_more is not None:
        settings["once_more"] = 4
    return track_task(folder, task.name, **settings)


def tiny(path: Path, store: str, output: Path) -> FitConfig:
    """A config of the study for a tiny Enformer and cohort."""
    config = read_config(path)
    assert isinstance(config.trunk, Enformer)
    trunk = dataclasses.replace(
        config.trunk, pretrained=None, noise=0.0, dim=12, depth=1, heads=1, dim_divisible_by=2
    )
    head: Head = dataclasses.replace(config.head, bins=2)  # type: ignore[call-arg]
    if isinstance(head, TrackHead):
        head = dataclasses.replace(head, pretrained=None, track=4 if head.task else head.track)
    start = None
    if config.start is not None:
        start = str(output.parent / "start")
        fit(tiny(path.with_name("pairwise_regression.yaml"), store, Path(start)))
    return dataclasses.replace(
        config,
        **{"store": store, "output": str(output), "context": None, "trunk": trunk, "head": head},
        **{"people": min(config.people or 2, 6), "genes_per_step": min(config.genes_per_step, 4)},
        **{"start": start, "tasks": [tiny_task(task, output.parent) for task in config.tasks]},
        **{"steps": min(config.steps, 3), "validate_every": 3, "accelerator": "cpu", "warmup": 1},
    )


@pytest.mark.parametrize("path", STUDY, ids=lambda path: path.stem)
def test_it_takes_a_few_steps(path: Path, store: str, tmp_path: Path) -> None:
    config = tiny(path, store, tmp_path / "run")
    assert config.name == path.stem
    fit(config)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert int(row["step"]) == config.steps
    assert np.isfinite(float(row["train_loss"])) or config.steps == 0


def test_the_settings_are_the_studys() -> None:
    """Table 2.4 of what is known of its runs; an epoch is 250 pairs of each of 400 genes, or 130,800 people."""
    configs = {path.stem: read_config(path) for path in STUDY}
    assert len(configs) == 16
    for name, config in configs.items():
        assert (config.context, config.max_shift, config.reverse_complement) == (49_152, 3, 0.5)
        assert config.clip == (0.1 if name in ("joint_regression", "joint_mpra") else 0.2)  # see there
        assert config.objective.scaled_by == "everyone"
        assert {task.per_step for task in config.tasks} <= {64}
        if name == "realigned_heads":
            assert (config.genes_per_step, config.train) == (0, "task heads")
            assert (config.validate_every, config.steps) == (34_021 // 64, 50 * (34_021 // 64))
            continue
        assert config.genes_per_step * (config.people or 0) in (64, 128), name
        steps_an_epoch = 100_000 // 64 if config.people == 2 else 130_800 // 64
        assert config.validate_every == steps_an_epoch
        assert config.steps in (0, 50 * steps_an_epoch)


def test_pairs_and_samples_of_an_epoch(store: str, tmp_path: Path) -> None:
    """Of pairs every gene has 250 an epoch; single samples are everyone once."""
    for name in ("pairwise_regression", "single_regression"):
        config = tiny(STUDY[0].with_name(f"{name}.yaml"), store, tmp_path / "run")
        cohort = open_cohort(config)
        learners = find_learners(cohort, config)
        batches = GeneBatches(cohort.crops(learners.genes, margin=3), learners, config)
        n = 500 if name == "pairwise_regression" else 24
        drawn = [batches.batch(number) for number in range(n)]
        genes = [batch.gene for batch in drawn]
        assert batches.epoch(1) == pytest.approx(config.genes_per_step / n)
        if name == "pairwise_regression":
            assert np.bincount(genes).tolist() == [250, 250]
            assert {len(batch.people) for batch in drawn} == {2}
        else:
            cells = {(batch.gene, int(batch.people[0])) for batch in drawn}
            assert len(cells) == n
            assert cells == {(gene, person) for gene, person in np.argwhere(learners.train).tolist()}
