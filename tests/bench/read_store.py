"""This project's reading, in a process of its own, for read.py: prints a line of JSON.

PYTHON tests/bench/read_store.py JOB.json

The job has ``store``, ``cores``, and ``what``: "rates", "start" or "cold".
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import timing
from timing import BATCH


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    os.sched_setaffinity(0, set(job["cores"]))
    import torch
    from numba.core.registry import cpu_target

    import seqstore

    cpu_target.target_context.refresh()  # what numba imports when it is first used
    n_threads = len(job["cores"])
    torch.set_num_threads(n_threads)
    before, began = timing.resident(), time.perf_counter()
    reader = seqstore.HaplotypeReader(job["store"], threads=n_threads)
    pairs = timing.batches(reader.n_genes, reader.n_individuals)
    if job["what"] == "start":
        reader.read(*pairs[0])
        print(json.dumps({"seconds": time.perf_counter() - began, "bytes": timing.resident() - before}))
        return
    if job["what"] == "cold":
        began, known = time.perf_counter(), timing.from_disk()
        for number in range(40):
            reader.read(*pairs[number])
        rate = 40 * 2 * BATCH / (time.perf_counter() - began)
        print(json.dumps({"cold": rate, "from disk": timing.from_disk() - known}))
        return
    size = reader.length // 2
    shape = (BATCH, 2, size)
    buffers = [np.zeros(shape, np.uint8) for _ in range(timing.in_ring(BATCH * 2 * size))]
    found = {
        "bytes": timing.rates(
            lambda i: reader.read(*pairs[i % 500], out=buffers[i % len(buffers)]), 2 * BATCH
        ),
        "bytes written once": timing.rates(lambda i: buffers[i % len(buffers)].fill(1), 2 * BATCH),
    }
    for dtype in (torch.float32, torch.bfloat16):
        n_bytes = 2 * BATCH * reader.length * 4 * dtype.itemsize
        ring = [torch.zeros(BATCH, 2, reader.length, 4, dtype=dtype) for _ in range(timing.in_ring(n_bytes))]
        arrays = [tensor.view(torch.uint8).numpy() for tensor in ring]
        name = str(dtype).removeprefix("torch.")
        kind = "bfloat16" if dtype == torch.bfloat16 else np.float32
        numbers = [array.view(np.uint16 if kind == "bfloat16" else np.float32) for array in arrays]

        def make(i: int, numbers: list[Any] = numbers, kind: Any = kind) -> None:
            reader.one_hot(*pairs[i % 500], dtype=kind, out=numbers[i % len(numbers)])

        found[name] = timing.rates(make, 2 * BATCH)
        found[f"{name} written once"] = timing.rates(
            lambda i, arrays=arrays: arrays[i % len(arrays)].fill(1), 2 * BATCH
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
