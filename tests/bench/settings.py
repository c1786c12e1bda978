"""What bfloat16, activation checkpointing and torch.compile do to the speed, memory and r of an Enformer's training.

    python tests/bench/settings.py [--folder FOLDER]

A small Enformer (random weights) is trained on a simulated cohort of 8 genes and 400 people, 2,048 bp, once with each
setting, by trainer/fit.py in a process of its own. Seconds a step are of the steps after the first validation; memory
is the most that the process held, or that its GPU held where there is one.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from build import config_of, machine
from windows_to_r import split_of_most

from seqstore.build import build
from seqstore.simulate import simulate
from trainer.config import AttentionHead, Enformer, FitConfig, as_mapping

SETTINGS = {
    "float32": {},
    "bfloat16": {"precision": "bf16-mixed"},
    "activation checkpointing": {"checkpoint_activations": True},
    "torch.compile": {"compile": True},
}
#: Runs a config, and says what it took: seconds from the first validation to the last, and memory.
RUN = """
import json, resource, sys, time
import torch
from trainer.config import read_config
from trainer.fit import fit
from trainer.run import Run
times, add = [], Run.add
Run.add = lambda run, metrics: (times.append(time.perf_counter()), add(run, metrics))[1]
fit(read_config(sys.argv[1]))
gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": times[-1] - times[0], "bytes": gpu or host}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", help="where the cohort and the runs are made (default: a temporary folder)"
    )
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    print(f"{machine()}; {gpu or 'not measured on a GPU'}; torch {torch.__version__}")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        simulate(str(folder / "cohort"), contigs=1, genes=8, negative_controls=0, length=2_048, seed=1)
        store = str(folder / "store.zarr")
        build(dataclasses.replace(config_of(folder / "cohort" / "build.yaml"), store=store))
        split_of_most(store, [])
        print("| | s a step | memory, GB | r |\n|---|---|---|---|")
        for number, (label, changes) in enumerate(SETTINGS.items()):
            config = _config(store, folder / str(number), options.steps, dict(changes))
            (folder / "config.yaml").write_text(yaml.safe_dump(as_mapping(config)))
            command = [sys.executable, "-c", RUN, str(folder / "config.yaml")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            took = json.loads(done.stdout.strip().splitlines()[-1])
            with (folder / str(number) / "metrics.csv").open() as file:
                rows = list(csv.DictReader(file))
            steps = int(rows[-1]["step"]) - int(rows[0]["step"])
            r = float(rows[-1]["validation_r"])
            print(f"| {label} | {took['seconds'] / steps:.3f} | {took['bytes'] / 1e9:.2f} | {r:.3f} |")


def _config(store: str, output: Path, steps: int, changes: dict[str, object]) -> FitConfig:
    checkpoint = bool(changes.pop("checkpoint_activations", False))
    trunk = Enformer(
        dim=48, depth=2, heads=4, dim_divisible_by=12, dropout=0.1, checkpoint_activations=checkpoint
    )
    config = FitConfig(
        store=store,
        split="bench",
        output=str(output),
        trunk=trunk,
        head=AttentionHead(bins=0, pooling="sum", zero=True),
        people=32,
        genes_per_step=1,
        microbatch=512,
        learning_rate=1e-3,
        steps=steps,
        validate_every=steps // 3,
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
