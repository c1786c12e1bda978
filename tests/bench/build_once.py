"""One build in a process of its own, for build.py: prints a line of JSON.

python tests/bench/build_once.py CONFIG.json [--core N] [--stages]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the keys of a build file, as JSON")
    parser.add_argument("--core", type=int, help="run on this core only")
    parser.add_argument("--stages", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    start = time.perf_counter()
    import dask.array  # noqa: F401 - xarray and numba import these two at their first use
    import scipy.linalg  # noqa: F401

    from seqstore.build import build
    from seqstore.config import BuildConfig

    config = BuildConfig(**json.loads(options.config.read_text()))
    imported, cpu_before = time.perf_counter(), cpu_seconds()
    stages: dict[str, float] = {}
    if options.stages:
        from stages import sampled

        with sampled() as stages:
            build(config)
    else:
        build(config)
    seconds = time.perf_counter() - imported
    result = {
        "seconds": seconds,
        "cpu": cpu_seconds() - cpu_before,
        "imports": imported - start,
        "stages": stages,
    }
    print(json.dumps(result))


def cpu_seconds() -> float:
    """CPU time of this process and of those it has started and seen end."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
