"""What share of its steps' time a training run waits for data: an Enformer, and a small convolutional trunk.

    python tests/bench/waiting.py --config cohort.yaml

Builds the cohort's store at 49,152 bp, gives it a split, and runs trainer/fit.py as a user does, on a GPU if there is
one. Without one the Enformer (random weights, full size) takes four windows a step, which is minutes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from build import config_of, machine

import seqstore
from seqstore.build import build
from seqstore.splits import TEST, TRAIN, VALIDATION, write_split

ROOT = Path(__file__).parents[2]
LENGTH = 49_152


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="build file of a cohort")
    parser.add_argument(
        "--folder", help="where the store and the runs are made (default: a temporary folder)"
    )
    options = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    print(f"{machine()}; {gpu or 'not measured on a GPU'}; torch {torch.__version__}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = str(Path(folder, "store.zarr"))
        build(dataclasses.replace(config_of(options.config), length=LENGTH, store=store, workers=0))
        _split(store)
        few = [] if gpu else ["--people", "2", "--genes_per_step", "1", "--microbatch", "1"]
        full_size = ["--trunk.pretrained", "null", "--warmup", "0", *few]
        _measure("Enformer", "enformer.yaml", full_size, 20 if gpu else 3, store, Path(folder))
        _measure("convolutional trunk", "convolutional.yaml", [], 200 if gpu else 60, store, Path(folder))


def _split(store: str) -> None:
    """Everyone trains every gene, but for some few: what is measured is training."""
    ds = seqstore.open_store(store)
    roles = np.full((ds.sizes["gene"], ds.sizes["individual"]), TRAIN, dtype=np.int8)
    roles[:, :2] = TEST
    roles[:1, 2:4] = VALIDATION
    write_split(store, "main", split=roles, gene_class=["random_split"] * len(roles))


def _measure(name: str, config: str, options: list[str], steps: int, store: str, folder: Path) -> None:
    run = folder / Path(config).stem
    command = [sys.executable, "trainer/fit.py", "--config", f"configs/{config}", "--store", store]
    command += ["--output", str(run), "--context", str(LENGTH), "--steps", str(steps)]
    command += ["--validate_every", str(steps), *options]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    waited = re.search(r"([0-9.]+)% of their time was spent waiting for data", done.stderr)
    if done.returncode or waited is None:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    with (run / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    settings = " ".join(options) or "as in its config"
    print(f"{name} ({settings}): {steps} steps, {last['windows']} windows run, {seconds:.0f} s in all; "
          f"{waited[1]}% of the steps' time spent waiting for data")  # fmt: skip


if __name__ == "__main__":
    main()
