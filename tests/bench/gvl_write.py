"""`gvl.write` in a process of its own and in GenVarLoader's environment, for build.py: prints a line of JSON.

PYTHON tests/bench/gvl_write.py JOB.json

The job has ``variants`` (a path), ``bed`` (chrom, chromStart, chromEnd columns), ``samples``, ``output`` (a
folder) and ``core``. Written twice: with the index of the variants still to be made, and with it there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    os.sched_setaffinity(0, {job["core"]})
    start = time.perf_counter()
    import genvarloader as gvl
    import polars as pl
    from loguru import logger

    logger.remove()
    imports = time.perf_counter() - start
    bed = pl.DataFrame(job["bed"])
    seconds, cpu = [], []
    for path in Path(job["variants"]).parent.glob(f"{Path(job['variants']).name}.gvi*"):
        path.unlink()
    for _ in range(2):
        shutil.rmtree(job["output"], ignore_errors=True)
        start, cpu_before = time.perf_counter(), time.process_time()
        gvl.write(job["output"], bed, variants=job["variants"], samples=job["samples"])
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_before)
    print(json.dumps({"version": gvl.__version__, "imports": imports, "seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
