"""How a build of minutes gains from a second worker: `build.py --scaling`."""

from __future__ import annotations

import dataclasses
import shutil
import statistics
from collections.abc import Iterable
from pathlib import Path

import cohorts
import contestants
import yaml

from seqstore.config import BuildConfig

PEOPLE, GENES, GENES_OF_CONTIG, LENGTH = 500, 1600, 50, 49_152


def rows(folder: Path, kinds: Iterable[str], workers: int, repeats: int) -> Iterable[list[str]]:
    """Build with 1 and with ``workers`` workers by turns; yields variants, windows, seconds of each, ratio, CPU."""
    one_contig = cohorts.simulated(folder / "contig", PEOPLE, GENES_OF_CONTIG, LENGTH)
    cohort = cohorts.copied(one_contig, folder / "many", GENES // GENES_OF_CONTIG)
    keys = yaml.safe_load((cohort / "build.yaml").read_text())
    for variants in kinds:
        done: dict[int, list[dict[str, float]]] = {1: [], workers: []}
        for _ in range(repeats):
            for n in done:
                config = dataclasses.replace(BuildConfig(**keys), variants=variants, workers=n)
                done[n].append(contestants.build_once(config, folder))
                shutil.rmtree(config.store)
        seconds, cpu = (
            [statistics.median(build[what] for build in builds) for builds in done.values()]
            for what in ("seconds", "cpu")
        )
        texts = [f"{value:,.1f}" for value in (*seconds, *cpu)]
        yield [f"{PEOPLE} people, {GENES:,} genes, {variants}", f"{seconds[0] / seconds[1]:.2f}", *texts]
