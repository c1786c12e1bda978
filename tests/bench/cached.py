"""What a training step with a frozen Enformer costs: through the trunk, and from embeddings that were cached once.

    python tests/bench/cached.py

Simulates ten people with one gene, 49,152 bp, and trains what is behind the transformer of a full-size Enformer (random
weights, tower and transformer frozen) on pairs of them. What a step takes is the difference between runs of few and of
more steps, over that of their steps; both are validated once. Uses a GPU if there is one.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from build import config_of, machine

import seqstore
from seqstore.build import build
from seqstore.simulate import simulate
from seqstore.splits import TRAIN, VALIDATION
from trainer.config import AttentionHead, Cached, Enformer, FitConfig, as_mapping
from trainer.embed import embed
from trainer.fit import fit

LENGTH = 49_152


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", help="where store and runs are made (default: a temporary folder)")
    options = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    print(f"{machine()}; {gpu or 'not measured on a GPU'}; torch {torch.__version__}")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        store = str(folder / "store.zarr")
        people = {"european": 7, "african": 3}
        simulate(str(folder / "cohort"), **people, contigs=1, genes=1, negative_controls=0, length=LENGTH)
        build(dataclasses.replace(config_of(folder / "cohort" / "build.yaml"), store=store))
        _split(store)
        frozen = FitConfig(
            store=store,
            split="bench",
            output=str(folder / "unused"),
            trunk=Enformer(freeze="both"),
            head=AttentionHead(bins=10, pooling="mean", zero=False),
            people=2,
            genes_per_step=1,
            microbatch=4,
            max_shift=0,
        )
        (folder / "frozen.yaml").write_text(yaml.safe_dump(as_mapping(frozen)))
        began = time.perf_counter()
        embed(str(folder / "frozen.yaml"), output=str(folder / "embeddings"))
        once = time.perf_counter() - began
        cached = dataclasses.replace(frozen, trunk=Cached(str(folder / "embeddings")))
        slow = _seconds_a_step(frozen, folder / "frozen", 1, 5)
        fast = _seconds_a_step(cached, folder / "cached", 20, 220)
        n = int(seqstore.HaplotypeReader(store).haplotype_id(0).max()) + 1
        print(f"a step of 2 people: {slow:.2f} s through the trunk, {1000 * fast:.1f} ms from the cache: "
              f"{slow / fast:,.0f}x; caching {n} distinct windows on both strands took {once:.0f} s, once, "
              f"as much as {once / slow:.0f} steps through the trunk")  # fmt: skip


def _split(store: str) -> None:
    """All but the last two people train, those validate."""
    roles = np.full((1, seqstore.open_store(store).sizes["individual"]), TRAIN, dtype=np.int8)
    roles[:, -2:] = VALIDATION
    seqstore.write_split(store, "bench", split=roles, gene_class=["random_split"])


def _seconds_a_step(config: FitConfig, folder: Path, few: int, more: int) -> float:
    seconds = []
    for steps in (few, more):
        began = time.perf_counter()
        fit(dataclasses.replace(config, output=f"{folder}_{steps}", steps=steps, validate_every=steps))
        seconds.append(time.perf_counter() - began)
    return (seconds[1] - seconds[0]) / (more - few)


if __name__ == "__main__":
    main()
