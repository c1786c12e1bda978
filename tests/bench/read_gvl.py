"""GenVarLoader's reading, in a process of its own and its own environment, for read.py: prints a line of JSON.

PYTHON tests/bench/read_gvl.py JOB.json

The job has ``variants`` (normalised .vcf.gz), ``bed`` (chrom, chromStart, chromEnd columns), ``samples``,
``reference``, ``length``, ``folder`` and ``cores``, and ``what``: "write", "rates", "start" or "cold".
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import timing
from timing import BATCH


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    os.sched_setaffinity(0, set(job["cores"]))
    for library in ("GVL", "RAYON", "NUMBA", "OMP"):
        os.environ[f"{library}_NUM_THREADS"] = str(len(job["cores"]))
    import genvarloader as gvl
    import numba
    import polars as pl
    import seqpro as sp
    import torch
    from loguru import logger
    from numba.core.registry import cpu_target

    cpu_target.target_context.refresh()
    logger.remove()
    torch.set_num_threads(len(job["cores"]))
    written = {"vcf": Path(job["folder"], "from_vcf"), "svar": Path(job["folder"], "from_svar")}
    if job["what"] == "write":
        import genoray

        bed = pl.DataFrame(job["bed"])
        svar = Path(job["folder"], "variants.svar")
        shutil.rmtree(svar, ignore_errors=True)
        genoray.SparseVar.from_vcf(svar, genoray.VCF(job["variants"]), max_mem="4g")
        for kind, variants in (("vcf", job["variants"]), ("svar", svar)):
            shutil.rmtree(written[kind], ignore_errors=True)
            gvl.write(written[kind], bed, variants=variants, samples=job["samples"])
        print(json.dumps({"version": gvl.__version__}))
        return

    def opened(kind: str):
        return (
            gvl.Dataset.open(written[kind], reference=job["reference"])
            .with_seqs("haplotypes")
            .with_len(job["length"])
        )

    before, began = timing.resident(), time.perf_counter()
    ds = opened("svar")
    pairs = timing.batches(*ds.shape)
    if job["what"] == "start":
        _ = ds[pairs[0]]
        print(json.dumps({"seconds": time.perf_counter() - began, "bytes": timing.resident() - before}))
        return
    if job["what"] == "cold":
        began, known = time.perf_counter(), timing.from_disk()
        for number in range(40):
            _ = ds[pairs[number]]
        rate = 40 * 2 * BATCH / (time.perf_counter() - began)
        print(json.dumps({"cold": rate, "from disk": timing.from_disk() - known}))
        return
    found = {}
    n_bytes = 2 * BATCH * job["length"]
    kept = [None] * timing.in_ring(n_bytes)
    for kind in written:
        ds = opened(kind)

        def read(i: int, ds=ds) -> None:
            kept[i % len(kept)] = ds[pairs[i % 500]]

        found[f"bytes, from .{kind}"] = timing.rates(read, 2 * BATCH)
    # Its loader: all pairs in an order of its own, many read at once.
    loader = ds.to_dataloader(batch_size=BATCH, shuffle=True, mode="buffered", buffer_bytes=1 << 29)
    stream = iter(())

    def load(i: int) -> None:
        nonlocal stream
        batch = next(stream, None)
        if batch is None:
            stream = iter(loader)
            batch = next(stream)
        kept[i % len(kept)] = batch

    found["bytes, buffered loader"] = timing.rates(load, 2 * BATCH)
    kept = [None]
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        ring = [
            torch.zeros(BATCH, 2, job["length"], 4, dtype=dtype)
            for _ in range(timing.in_ring(4 * dtype.itemsize * n_bytes))
        ]

        def documented(i: int, ring=ring) -> None:
            ring[i % len(ring)].copy_(torch.from_numpy(sp.DNA.ohe(ds[pairs[i % 500]])))

        found[f"{name}, seqpro.DNA.ohe"] = timing.rates(documented, 2 * BATCH)
        table = torch.zeros(256, 4, dtype=dtype)
        for code, letter in enumerate(b"ACGT"):
            table[letter, code] = 1
        kind = torch.int16 if dtype == torch.bfloat16 else torch.int32
        rows = table.view(kind).numpy()

        @numba.njit(nogil=True)
        def look_up(letters, rows, out):
            flat = rows.reshape(-1)
            for place in range(len(letters)):
                row, to = 4 * np.int64(letters[place]), 4 * place
                for k in range(4):
                    out[to + k] = flat[row + k]

        def fastest(i: int, ring=ring, rows=rows, kind=kind, look_up=look_up) -> None:
            letters = ds[pairs[i % 500]].view(np.uint8).reshape(-1)
            look_up(letters, rows, ring[i % len(ring)].view(kind).numpy().reshape(-1))

        found[f"{name}, our look-up"] = timing.rates(fastest, 2 * BATCH)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
