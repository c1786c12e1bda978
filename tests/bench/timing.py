"""How reading is timed, for contestants of any environment: numpy is all that is needed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: Batches are of so many pairs of gene and individual, which is twice as many windows.
BATCH = 32
SECONDS, REPEATS = 0.4, 7


def last_level_cache() -> int:
    """Bytes of the largest cache, 32 MiB where the system does not say."""
    caches = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = [
        int(text[:-1]) << {"K": 10, "M": 20}[text[-1]] for text in (c.read_text().strip() for c in caches)
    ]
    return max(sizes, default=32 << 20)


def in_ring(n_bytes: int) -> int:
    """How many buffers of a size are twice what the largest cache holds; at least two."""
    return max(2, -(-2 * last_level_cache() // n_bytes))


def batches(n_genes: int, n_individuals: int, size: int = BATCH, n: int = 500) -> list[tuple[Any, Any]]:
    """Random pairs, the same for every contestant."""
    rng = np.random.default_rng(0)
    return [(rng.integers(0, n_genes, size), rng.integers(0, n_individuals, size)) for _ in range(n)]


def rates(make: Callable[[int], object], windows: int) -> list[float]:
    """Windows a second of calls that make so many, for each of REPEATS stretches of SECONDS."""
    number, found = 0, []
    for repeat in range(REPEATS + 1):  # the first warms up
        start, done = time.perf_counter(), 0
        while (passed := time.perf_counter() - start) < SECONDS or done == 0:
            make(number)
            number, done = number + 1, done + 1
        if repeat:
            found.append(done * windows / passed)
    return found


def forget(folder: str | Path) -> None:
    """Drop the pages of a folder's files from the page cache."""
    for path in [Path(folder)] if Path(folder).is_file() else Path(folder).rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def from_disk() -> int:
    """Bytes that this process had to be given from disk, because they were not in the page cache."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


def resident(what: str = "Rss") -> int:
    """Bytes of this process in memory: Rss, or Pss, which counts pages that several processes have by their share."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{what}:"))
