"""Reading the study's HDF5 row by row as its dataset does, in a process of its own, for read.py: prints JSON.

PYTHON tests/bench/read_hdf5.py JOB.json

The job has ``file`` and ``cores``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import timing
from timing import BATCH


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    os.sched_setaffinity(0, set(job["cores"]))
    import h5py
    import torch

    torch.set_num_threads(len(job["cores"]))
    found = {}
    with h5py.File(job["file"]) as file:
        rows = file["seqs"]
        order = np.random.default_rng(0).integers(0, len(rows), (500, BATCH)).tolist()
        for dtype in (torch.float32, torch.bfloat16):
            ring = [
                torch.zeros(BATCH, *rows.shape[1:], dtype=dtype)
                for _ in range(timing.in_ring(BATCH * rows[0].size * dtype.itemsize))
            ]

            def make(i: int, ring: list[torch.Tensor] = ring) -> None:
                for place, row in enumerate(order[i % 500]):
                    ring[i % len(ring)][place] = torch.from_numpy(rows[row])

            found[str(dtype).removeprefix("torch.")] = timing.rates(make, 2 * BATCH)
        found["chunks"] = rows.chunks
    print(json.dumps(found))


if __name__ == "__main__":
    main()
