"""Reading windows at random, from a store, from GenVarLoader, and from the study's HDF5.

    python tests/bench/read.py --config cohort.yaml --simulated /tmp/2500 --genvarloader gvl/bin/python

For every cohort, length and kind of variants, in one run and by turns, batches of 32 random pairs of gene and
individual (64 windows), with one core and with two:
- to bytes: packed windows (two bases a byte) from the store, letters from GenVarLoader (the best of its datasets
  written from a VCF and from .svar, read by index, and of its buffered loader);
- to one-hot torch batches of float32 and bfloat16 on the CPU: GenVarLoader by `seqpro.DNA.ohe`, as its tutorial has
  it, and by the fastest look-up that we can write for it; the study's HDF5 row by row, as its dataset does, on at
  most 2,000 exported rows, whose size is extrapolated;
- from the start of a process, without imports, to the first batch; and the first 40 batches of a process with files
  out of the page cache, and of the next one, which shares it.
Outputs go by turns to buffers of twice what the largest cache holds; "written once" is filling the same buffers.
Rates are medians of 7. GenVarLoader wants an environment of its own, with torch:
`python -m venv gvl && gvl/bin/pip install torch genvarloader`. Needs bcftools.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import contestants
import timing
from build import SIMULATED, config_of, machine
from cohorts import copied, simulated
from contestants import Windows

import seqstore
from seqstore.config import BuildConfig
from seqstore.export import export
from seqstore.simulate import simulate
from seqstore.splits import write_split

HERE = Path(__file__).parent
HDF5_ROWS = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", nargs="*", default=[], help="build files of cohorts")
    parser.add_argument("--simulated", help="folder of a simulated cohort of 2,500 people; made if missing")
    parser.add_argument("--lengths", type=int, nargs="+", default=[49_152, 196_608])
    parser.add_argument("--variants", nargs="+", default=["snps", "all"])
    parser.add_argument("--genvarloader", metavar="PYTHON", help="python of an environment with GenVarLoader")
    parser.add_argument(
        "--many-genes", action="store_true", help="time the start on a store of 5,000 genes too"
    )
    parser.add_argument(
        "--folder", help="where stores are built and thrown away (default: a temporary folder)"
    )
    options = parser.parse_args()
    print(machine(), f"largest cache {timing.last_level_cache() >> 20} MiB", sep="\n")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        configs = [config_of(path) for path in options.config]
        if options.simulated:
            if not Path(options.simulated).exists():
                simulate(options.simulated, **SIMULATED)
            configs.append(config_of(Path(options.simulated) / "build.yaml"))
        for number, config in enumerate(configs):
            for length in options.lengths:
                for variants in options.variants:
                    work = Path(folder, f"{number}_{length}_{variants}")
                    work.mkdir()
                    changed = dataclasses.replace(
                        config, length=length, variants=variants, store=str(work / "store.zarr"), workers=0
                    )
                    _duel(changed, work, options)
        if options.many_genes:
            _start_of_many(Path(folder, "many"))


def _duel(config: BuildConfig, folder: Path, options: argparse.Namespace) -> None:
    """Measure one cohort at one length with one kind of variants, and print it."""
    job: dict[str, Any] = {"store": config.store, "length": config.length, "folder": str(folder)}
    seconds = {"the store": _timed(lambda: contestants.build_once(config, folder))}
    windows = Windows.of_store(config.store)
    print(f"\n{config.genotypes}: {len(windows.gene)} genes, {len(windows.individual)} people, {config.length} bp, "
          f"{config.variants}")  # fmt: skip
    sizes = {"the store": contestants.sizes(config.store)[0]}
    if options.genvarloader:
        genotypes = str(config.genotypes)
        records = contestants.normalised(genotypes, ".vcf.gz", folder, config.reference)
        if config.variants == "snps":
            records = contestants.snps_of(str(records), ".vcf.gz", folder)
        job |= {
            "variants": str(records),
            "bed": {
                "chrom": windows.contig,
                "chromStart": windows.start,
                "chromEnd": [start + windows.length for start in windows.start],
            },
            "samples": windows.individual,
            "reference": _plain(config.reference, folder),
        }
        seconds["GenVarLoader"] = _timed(lambda: _run(options.genvarloader, "gvl", job, "write", [0, 1]))
        sizes["GenVarLoader"] = contestants.sizes(folder / "from_vcf")[0]
    rows, passed = _export_rows(config.store, folder)
    per_row = (folder / "rows.h5").stat().st_size / rows
    sizes["HDF5 (extrapolated)"] = int(per_row * windows.n / 2)
    seconds["HDF5 (extrapolated)"] = passed * windows.n / 2 / rows
    for name, size in sizes.items():
        print(f"  {name}: {size / windows.n:,.0f} bytes a window, {seconds[name]:.1f} s to write")
    for cores in ([0], [0, 1]):
        found = {"seqstore": _run(sys.executable, "store", job, "rates", cores)}
        if options.genvarloader:
            found["GenVarLoader"] = _run(options.genvarloader, "gvl", job, "rates", cores)
        found["HDF5"] = _run(sys.executable, "hdf5", job | {"file": str(folder / "rows.h5")}, "rates", cores)
        _print_rates(found, len(cores))
    peers = {"seqstore": (sys.executable, "store", [config.store])}
    if options.genvarloader:
        peers["GenVarLoader"] = (options.genvarloader, "gvl", [folder / "from_svar", job["reference"]])
    for name, (python, contestant, files) in peers.items():
        starts = [_run(python, contestant, job, "start", [0]) for _ in range(3)]
        for place in files:
            timing.forget(place)
        cold, after = (_run(python, contestant, job, "cold", [0]) for _ in range(2))
        print(f"  {name}: first batch after {statistics.median(one['seconds'] for one in starts):.3f} s, "
              f"{max(one['bytes'] for one in starts) / 1e6:.0f} MB; the first 40 batches at {cold['cold']:,.0f} "
              f"windows/s and {cold['from disk'] / 1e6:.1f} MB from disk, those of the next process at "
              f"{after['cold']:,.0f} and {after['from disk'] / 1e6:.1f} MB")  # fmt: skip


def _print_rates(found: dict[str, dict[str, Any]], n_cores: int) -> None:
    ours = {name: statistics.median(rates) for name, rates in found["seqstore"].items()}
    for kind in ("bytes", "float32", "bfloat16"):
        written = ours[f"{kind} written once"]
        print(f"  {n_cores} core(s), {kind}: seqstore {ours[kind]:,.0f} windows/s, {ours[kind] / written:.0%} of "
              f"memory written once ({written:,.0f})")  # fmt: skip
        for peer, rates in found.items():
            for name, values in rates.items():
                if peer != "seqstore" and name.startswith(kind):
                    rate = statistics.median(values)
                    print(f"    {peer} {name.removeprefix(kind).lstrip(', ') or 'row by row'}: {rate:,.0f}, "
                          f"seqstore {ours[kind] / rate:.1f}x")  # fmt: skip


def _start_of_many(folder: Path) -> None:
    """The start on a store of 5,000 genes and 20 people."""
    folder.mkdir()
    cohort = copied(simulated(folder / "one", 20, 50, 4_096), folder / "copies", 100)
    config = dataclasses.replace(config_of(cohort / "build.yaml"), store=str(folder / "store.zarr"))
    contestants.build_once(config, folder)
    starts = [
        _run(sys.executable, "store", {"store": config.store, "folder": str(folder)}, "start", [0])
        for _ in range(3)
    ]
    print(f"\n5,000 genes, 20 people: first batch after {statistics.median(one['seconds'] for one in starts):.3f} s, "
          f"{max(one['bytes'] for one in starts) / 1e6:.0f} MB")  # fmt: skip


def _export_rows(store: str, folder: Path) -> tuple[int, float]:
    """Export rows of random cells to ``rows.h5``; how many, and the seconds that took."""
    import numpy as np

    ds = seqstore.open_store(store)
    shape = ds.sizes["gene"], ds.sizes["individual"]
    n = min(HDF5_ROWS * 49_152 // int(ds.attrs["length"]), shape[0] * shape[1])
    chosen = np.zeros(shape, dtype=np.int8)
    chosen.ravel()[np.random.default_rng(0).choice(chosen.size, n, replace=False)] = 1
    write_split(store, "rows", split=chosen, gene_class=["unused"] * shape[0], attrs={})
    return n, _timed(lambda: export(store, str(folder / "rows.h5"), hdf5=True, split="rows", unmeasured=True))


def _plain(reference: str, folder: Path) -> str:
    """An uncompressed copy of the reference."""
    target = folder / "reference.fa"
    with target.open("wb") as file:
        subprocess.run(
            ["bgzip", "-dc", reference] if reference.endswith("gz") else ["cat", reference],
            stdout=file,
            check=True,
        )
    return str(target)


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _run(python: str, contestant: str, job: dict[str, Any], what: str, cores: list[int]) -> dict[str, Any]:
    usable = sorted(os.sched_getaffinity(0))
    path = Path(job["folder"], "job.json")
    path.write_text(json.dumps(job | {"what": what, "cores": [usable[core] for core in cores]}))
    command = [python, str(HERE / f"read_{contestant}.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
