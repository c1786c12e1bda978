"""How many windows a trunk runs until a held-out r is reached: by gene batches, and by the study's random pairs.

    python tests/bench/windows_to_r.py --folder /tmp/windows [--config cohort.yaml --genes ITPA DNAAF9 AP5S1]

A cohort of 8 genes and 400 people is simulated (2,048 bp) and a small Enformer is trained from random weights on 70 %
of the people of each gene; with --config, the genes named of that cohort too (49,152 bp), by the small convolutional
trunk. r is the mean over genes, on the other 30 %, after every 250 windows or so. A window counts each time that it is
run in training; where a gene batch does not fit into memory at once, it is run twice (see trainer/passes.py), and the
ratios below are half as large. Both ways are tried with the same learning rates, and each is judged by the one that
reaches the level first, in the mean over seeds.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from build import config_of, machine

import seqstore
from analysis.baselines import fit_baselines
from analysis.expression import expression_of
from seqstore.build import build
from seqstore.simulate import simulate
from seqstore.splits import TRAIN, VALIDATION, open_split, split_names
from trainer.batches import GeneBatches
from trainer.cohort import find_learners, open_cohort
from trainer.config import AttentionHead, Convolutional, Enformer, FitConfig
from trainer.fit import fit
from trainer.validation import pearson_r

LEARNING_RATES = (3e-4, 1e-3)
#: By name: settings of a step.
WAYS: dict[str, list[dict[str, Any]]] = {
    "random pairs": [{"people": 2, "genes_per_step": 16}],
    "gene batches": [{"people": 64, "genes_per_step": 1}],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="where runs are kept: a finished one is not repeated"
    )
    parser.add_argument("--config", help="build file of a cohort")
    parser.add_argument("--genes", nargs="+", default=[], help="genes of it, by name")
    parser.add_argument("--windows", type=int, default=10_000, help="windows at most")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    print(f"{machine()}; not measured on a GPU")
    cohort = options.folder / "cohort"
    if not cohort.exists():
        simulate(str(cohort), contigs=1, genes=8, negative_controls=0, length=2_048, seed=1)
    # From random weights batch norm has to learn its statistics: of a gene batch all windows are in memory at once.
    small = Enformer(dim=96, depth=1, heads=4, dim_divisible_by=24, dropout=0.1, freeze_batch_norm=False)
    head = AttentionHead(bins=0, pooling="sum", zero=True)
    _compare("simulated, 8 genes", str(cohort / "build.yaml"), options, [], small, head, 2_048)
    if options.config:
        trunk = Convolutional(channels=64, hidden=64)
        _compare(Path(options.config).stem, options.config, options, options.genes, trunk, head, 49_152)


def _compare(
    name: str, config: str, options: argparse.Namespace, genes: list[str], trunk: Any, head: Any, length: int
) -> None:
    """Train both ways on one cohort, and print a table."""
    store = str(options.folder / f"{name.split(',')[0]}.zarr")
    if not Path(store).exists():
        build(dataclasses.replace(config_of(config), store=store, length=length, workers=0))
    if "bench" not in split_names(store):
        split_of_most(store, genes)
    linear = _elastic_net(store)
    print(f"\n{name}, {length:,} bp, {type(trunk).__name__}: elastic net r {linear:.3f} on the same people")
    levels = [share * linear for share in (0.5, 0.7, 0.8, 0.9)]
    best: dict[str, list[float]] = {}
    for way, settings in WAYS.items():
        reached = []
        for step, rate in itertools.product(settings, LEARNING_RATES):
            curves = [
                _curve(store, way, step, rate, seed, trunk, head, options) for seed in range(options.seeds)
            ]
            reached.append([np.mean([_first(curve, level) for curve in curves]) for level in levels])
            top = np.mean([max(r for _, r in curve) for curve in curves])
            shown = ", ".join("-" if np.isinf(n) else f"{n:,.0f}" for n in reached[-1])
            print(f"  {way}, {step}, learning rate {rate}: {shown} windows; best r {top:.3f}")
        best[way] = np.min(reached, axis=0).tolist()
    print("\n| r | of elastic net | random pairs | gene batches | times fewer |\n|---|---|---|---|---|")
    for level, pairs, batches in zip(levels, best["random pairs"], best["gene batches"], strict=True):
        cells = ["not reached" if np.isinf(n) else f"{n:,.0f}" for n in (pairs, batches)]
        if np.isinf(batches):
            ratio = ""
        else:
            ratio = (
                f"more than {options.windows / batches:.1f}" if np.isinf(pairs) else f"{pairs / batches:.1f}"
            )
        print(f"| {level:.3f} | {level / linear:.0%} | {' | '.join(cells)} | {ratio} |")


def split_of_most(store: str, genes: list[str]) -> None:
    """70 % of the people with expression train, the others validate."""
    ds = seqstore.open_store(store)
    names = [str(name) for name in ds["gene_name"].values]
    roles = np.zeros((ds.sizes["gene"], ds.sizes["individual"]), dtype=np.int8)
    measured = np.isfinite(expression_of(ds).values)
    order = np.random.default_rng(0).permutation(ds.sizes["individual"])
    for gene in range(len(roles)):
        if not genes or names[gene] in genes:
            people = [person for person in order if measured[gene, person]]
            n = int(0.7 * len(people))
            roles[gene, people[:n]], roles[gene, people[n:]] = TRAIN, VALIDATION
    classes = ["random_split" if of_gene.any() else "unused" for of_gene in roles]
    seqstore.write_split(store, "bench", split=roles, gene_class=classes)


def _elastic_net(store: str) -> float:
    """Mean r of elastic net on the validation people."""
    expression = expression_of(seqstore.open_store(store))
    roles = open_split(store, "bench")["split"]
    fitted = fit_baselines(expression, seqstore.open_variants(store), roles, methods=["enet"])
    held_out = roles.values == VALIDATION
    return float(
        np.mean(
            [
                pearson_r(predicted[chosen], measured[chosen])
                for predicted, measured, chosen in zip(
                    fitted.prediction.values[0], expression.values, held_out, strict=True
                )
                if chosen.any()
            ]
        )
    )


def _curve(
    store: str,
    way: str,
    step: dict[str, Any],
    rate: float,
    seed: int,
    trunk: Any,
    head: Any,
    options: argparse.Namespace,
) -> list[tuple[int, float]]:
    """Windows run so far, and r, of one run."""
    name = (
        f"{Path(store).stem}_{way.replace(' ', '_')}_{step['people']}_{step['genes_per_step']}_{rate}_{seed}"
    )
    config = FitConfig(
        store=store,
        split="bench",
        output=str(options.folder / "runs" / name),
        trunk=trunk,
        head=head,
        draws_per_gene=250 if step["people"] == 2 else 1,
        learning_rate=rate,
        schedule="constant",
        reverse_complement=0,
        microbatch=512,
        seed=seed,
        **step,
    )
    a_step = _windows_a_step(config)
    steps = int(options.windows / a_step)
    fit(
        dataclasses.replace(config, steps=steps, warmup=steps // 10, validate_every=max(1, int(250 / a_step)))
    )
    with (Path(config.output) / "metrics.csv").open() as file:
        return [(int(row["windows"]), float(row["validation_r"])) for row in csv.DictReader(file)]


def _windows_a_step(config: FitConfig) -> float:
    """Windows that a step runs, in the mean: of equal ones one, and all twice where they are too many at once."""
    cohort = open_cohort(config)
    learners = find_learners(cohort, config)
    batches = GeneBatches(cohort.crops(learners.genes, config.max_shift), learners, config)
    n = [len(batches.batch(number).windows) for number in range(100)]
    return float(np.mean([one * (1 + (one > config.microbatch)) for one in n])) * config.genes_per_step


def _first(curve: list[tuple[int, float]], level: float) -> float:
    """The windows after which r has reached a level; infinite if it never does."""
    return next((float(n) for n, r in curve if r >= level), np.inf)


if __name__ == "__main__":
    main()
