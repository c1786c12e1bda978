"""Small finished stores with a split, and configs for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import seqstore
from seqstore.build import build
from tests.conftest import Cohort
from trainer.config import AttentionHead, Convolutional, FitConfig

LENGTH = 256
N_PEOPLE = 24
#: Of every gene that trains; the first two genes train, the third is unseen, the fourth has no expression.
N_TRAIN, N_VALIDATION = 12, 6


def make_store(make_cohort: Callable[..., Cohort], tmp_path: Path) -> str:
    """A store of 4 genes x 24 people with 256-base windows and the split "main"; returns its path.

    It is built once a session and copied for each test.
    """
    built = tmp_path.parent / "trainer_store.zarr"
    if not built.exists():
        config = make_cohort(n_people=N_PEOPLE).config(length=LENGTH)
        build(config)
        role = np.zeros((4, N_PEOPLE), dtype=np.int8)
        role[:2, :N_TRAIN] = 1
        role[:2, N_TRAIN : N_TRAIN + N_VALIDATION] = 2
        role[:2, N_TRAIN + N_VALIDATION : -1] = 3
        role[2] = 3
        classes = ["random_split", "population_split", "unseen", "unused"]
        seqstore.write_split(config.store, "main", split=role, gene_class=classes)
        Path(config.store).rename(built)
    store = tmp_path / "store.zarr"
    shutil.copytree(built, store)
    return str(store)


def fit_config(store: str, output: str | Path, **changes: Any) -> FitConfig:
    keys: dict[str, Any] = {
        "store": store,
        "split": "main",
        "output": str(output),
        "trunk": Convolutional(channels=8, hidden=8, kernel=5, bin=32),
        "head": AttentionHead(zero=False),
        "genes_per_step": 2,
        "steps": 8,
        "warmup": 2,
        "validate_every": 2,
        "accelerator": "cpu",
        "seed": 3,
    }
    return FitConfig(**(keys | changes))
