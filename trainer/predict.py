"""Predict expression with a trained model: ``python trainer/predict.py RUN`` writes RUN/predictions.zarr."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from seqstore.commands import run as run_command
from seqstore.errors import InputError
from seqstore.predictions import UnfinishedPredictions, write_predictions
from seqstore.splits import open_split
from trainer.cohort import open_cohort
from trainer.config import Accelerator, FitConfig

if TYPE_CHECKING:
    from trainer.run import Run

logger = logging.getLogger("trainer.predict")


def predict(
    run: list[str],
    *,
    checkpoint: Literal["best", "last"] = "best",
    output: str | None = None,
    split: str | None = None,
    everyone: bool = False,
    haplotypes: bool = False,
    microbatch: int | None = None,
    accelerator: Accelerator | None = None,
) -> None:
    """Predict every gene and individual that has a role in a run's split, for one run or several.

    Each distinct window is run once on each strand, and the two are averaged. Earlier predictions of the run
    are replaced. Relative paths of the run's config are taken from the working directory, as in training. What
    was stopped goes on when the same command is run again; under torchrun the genes are divided among processes.

    Args:
        run: run directory of trainer/fit.py, or several
        checkpoint: the best on validation people, or the last
        output: where predictions are written; default predictions.zarr in the run directory
        split: predict those with a role in this split of the store, rather than the one trained on
        everyone: predict all genes and individuals of the store
        haplotypes: write what each haplotype is predicted to have, too
        microbatch: windows in memory at once; default as in training
        accelerator: device of Lightning Fabric; default as in training
    """
    if output is not None and len(run) > 1:
        raise InputError("--output: is for one run; without it each run keeps its own predictions")
    if split is not None and everyone:
        raise InputError("--split and --everyone: give one of them")
    from trainer.run import Run

    if output is not None and Path(output).exists():
        raise InputError(f"{output}: exists; choose another --output or remove it")
    directories = [Run(path) for path in run]
    for directory in directories:  # what is wrong with any of them is said before the first one is begun
        directory.check_identity(open_cohort(directory.config()).identity)
        directory.checkpoint(checkpoint)
    for directory in directories:
        config = directory.config()
        config = dataclasses.replace(
            config, microbatch=microbatch or config.microbatch, accelerator=accelerator or config.accelerator
        )
        _predict(directory, config, checkpoint, output, split, everyone, haplotypes)


def _predict(
    directory: Run,
    config: FitConfig,
    checkpoint: str,
    output: str | None,
    split: str | None,
    everyone: bool,
    haplotypes: bool,
) -> None:
    from tqdm import tqdm

    from trainer.devices import lack_of_memory_named, launched_fabric
    from trainer.head import mean_of_existing
    from trainer.model import trained_model
    from trainer.passes import Passes
    from trainer.run import read_weights

    path = directory.predictions_path if output is None else Path(output)
    cohort = open_cohort(config)
    weights = directory.checkpoint(checkpoint)
    role = cohort.role if split is None else open_split(config.store, split)["split"].values
    wanted = np.ones_like(role, dtype=bool) if everyone else role > 0
    genes = np.flatnonzero(wanted.any(axis=1)).tolist()

    fabric = launched_fabric(config)
    module = trained_model(config, read_weights(weights))
    model = fabric.setup_module(module)
    model.eval()
    passes = Passes(fabric, model, module.tiling, config.microbatch)
    about = {"run": str(directory.path), "checkpoint": weights.name, "split": config.split, **cohort.identity}
    weights_now = weights.stat().st_mtime_ns  # a run that is made anew has other weights in this place
    asked = {"predicted_split": split, "everyone": everyone, "weights": weights_now}
    if fabric.is_global_zero:
        UnfinishedPredictions(path, about | asked)
    fabric.barrier()
    unfinished = UnfinishedPredictions(path, about | asked)
    mine = [gene for gene in genes if not unfinished.has(gene)][fabric.global_rank :: fabric.world_size]
    fabric.barrier()  # only now do they become fewer
    crops = config.trunk.windows(cohort, np.array(mine, dtype=np.int64), 0)
    quiet = None if fabric.is_global_zero else True
    with lack_of_memory_named(config.microbatch):
        for gene in tqdm(mine, "predicting", disable=quiet):
            people = np.flatnonzero(wanted[gene])
            both_strands, known = config.reverse_complement > 0, passes.n_windows
            values = passes.predict(crops, gene, people, both_strands=both_strands)
            unfinished.add(gene, values, passes.n_windows - known)
    fabric.barrier()
    if not fabric.is_global_zero:
        return
    by_haplotype, windows_run = np.full((*role.shape, 2), np.nan, dtype=np.float32), 0
    for gene in genes:
        by_haplotype[gene, wanted[gene]], n_windows = unfinished.get(gene)
        windows_run += n_windows
    write_predictions(
        path,
        mean_of_existing(by_haplotype.reshape(-1, 2)).reshape(role.shape),
        gene=cohort.genes,
        individual=cohort.individuals,
        name=config.name,
        by_haplotype=by_haplotype if haplotypes else None,
        attrs=about | {"windows_run": windows_run},
    )
    unfinished.clear()
    logger.info("%s: %d genes, %d windows run, %s", path, len(genes), windows_run, weights.name)


if __name__ == "__main__":
    run_command("predict.py", predict)
