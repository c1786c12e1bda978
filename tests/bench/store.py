"""Build a store and read it: windows/s, bytes a window, and zarr-python on the same chunks as the peer.

    python tests/bench/store.py --config build.yaml [--workers N]

The store is built in a temporary folder. Prints one table; every ratio is within this run.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np
import zarr

import seqstore
from seqstore.build import build
from seqstore.config import BuildConfig
from seqstore.store import describe_store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    keys = jsonargparse.ArgumentParser()
    keys.add_argument("--config", action="config")
    keys.add_class_arguments(BuildConfig)
    given = keys.parse_args(["--config", options.config]).as_dict()
    given.pop("config")
    with tempfile.TemporaryDirectory() as folder:
        warm_up = BuildConfig(**given | {"store": f"{folder}/warm.zarr", "workers": options.workers})
        build(warm_up)  # compiles, fills the page cache
        config = dataclasses.replace(warm_up, store=f"{folder}/store.zarr")
        start = time.perf_counter()
        build(config)
        seconds = time.perf_counter() - start
        described = describe_store(config.store)
        n_windows = described["genes"] * described["individuals"] * 2
        print(f"windows                          {n_windows}")
        print(f"bytes a window                   {described['bytes_per_window']}")
        print(f"distinct windows                 {described['distinct_windows']}")
        print(f"build, {options.workers} worker(s)               {seconds:.1f} s")
        print(f"build, windows/s a core          {n_windows / seconds / options.workers:,.0f}")
        read(Path(config.store), batch=32)


def read(path: Path, batch: int, repeats: int = 200) -> None:
    reader = seqstore.HaplotypeReader(path)
    array: Any = zarr.open_array(path / "haplotype_sequence", mode="r")
    rng = np.random.default_rng(0)
    genes = rng.integers(0, reader.n_genes, (repeats, batch))
    people = rng.integers(0, reader.n_individuals, (repeats, batch))
    for gene in range(reader.n_genes):
        reader.read([gene], [0])

    def per_second(times: list[float]) -> float:
        return batch * 2 / statistics.median(times)

    ours, peer, copy = [], [], []
    outputs = np.zeros((16, batch, 2, reader.length // 2), dtype=np.uint8)  # more than the last-level cache
    source = outputs[0].copy()
    for number in range(repeats):
        start = time.perf_counter()
        reader.read(genes[number], people[number])
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        np.copyto(outputs[number % 16], source)
        copy.append(time.perf_counter() - start)
        if number < 10:
            start = time.perf_counter()
            for gene, person in zip(genes[number], people[number], strict=True):
                array[gene, person]
            peer.append(time.perf_counter() - start)
    print(
        f"random read, batch of {batch} people     {per_second(ours):,.0f} windows/s (one thread, warm, median)"
    )
    print(f"zarr-python on the same store    {per_second(peer):,.0f} windows/s")
    print(f"ratio                            {per_second(ours) / per_second(peer):.0f} x")
    print(f"copying such a batch             {per_second(copy):,.0f} windows/s (the memory's limit)")


if __name__ == "__main__":
    main()
