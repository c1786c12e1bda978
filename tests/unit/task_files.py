"""Small groups of reference tracks and of MPRA effects, and tasks on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.unit.track_files import random_example, write_folder
from trainer.config import MpraEffects, ReferenceTracks
from trainer.convert_mpra import convert_mpra
from trainer.convert_tracks import convert_tracks

#: Bases of a window, of a bin, and bins that have targets.
LENGTH, BIN_WIDTH, BINS, TRACKS = 512, 128, 2, 6
N_TRAIN, N_VALID = 10, 3


def track_task(folder: Path, name: str = "human", seed: int = 0, **settings: Any) -> ReferenceTracks:
    """A task on new tracks."""
    rng = np.random.default_rng(seed)
    examples = {
        split: [[random_example(rng, LENGTH, BINS, TRACKS) for _ in range(n)]]
        for split, n in (("train", N_TRAIN), ("valid", N_VALID), ("test", 1))
    }
    said = {"seq_length": LENGTH, "target_length": BINS, "num_targets": TRACKS, "pool_width": BIN_WIDTH}
    counts = {f"{split}_seqs": len(files[0]) for split, files in examples.items()}
    write_folder(folder / name, examples, statistics={**said, "seq_1hot": True, **counts})
    path = folder / f"{name}.zarr"
    convert_tracks(str(folder / name), str(path), species=name)
    return ReferenceTracks(name, str(path), **{"per_step": 4, "validation": 2, **settings})


def mpra_task(folder: Path, n: int = 30, **settings: Any) -> MpraEffects:
    """A task on effects of new variants in three cell types; of the last one half is missing."""
    rng = np.random.default_rng(2)
    ref = rng.choice(list("ACGT"), (n, 20))
    alt = ref.copy()
    alt[:, 10] = [{"A": "C", "C": "G", "G": "T", "T": "A"}[base] for base in ref[:, 10]]
    effects = rng.normal(size=(n, 3))
    effects[rng.random(n) < 0.5, 2] = np.nan
    table = pd.DataFrame(effects, columns=["K562", "HepG2", "A549"]).assign(
        ref_ID=[f"{row}:R" for row in range(n)],
        alt_ID=[f"{row}:A" for row in range(n)],
        ref_seq=["".join(row) for row in ref],
        alt_seq=["".join(row) for row in alt],
    )
    table.to_csv(folder / "mpra.tsv", sep="\t", index=False)
    convert_mpra(str(folder / "mpra.zarr"), table=str(folder / "mpra.tsv"))
    return MpraEffects("mpra", str(folder / "mpra.zarr"), **{"per_step": 6, "validation": 2, **settings})
