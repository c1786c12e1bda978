"""Predict expression with a trained model: ``python trainer/predict.py RUN`` writes RUN/predictions.zarr."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Literal

import numpy as np

from seqstore.commands import run as run_command
from seqstore.errors import InputError
from seqstore.predictions import write_predictions
from trainer.cohort import open_cohort
from trainer.config import Accelerator

logger = logging.getLogger("trainer.predict")


def predict(
    run: str,
    *,
    checkpoint: Literal["best", "last"] = "best",
    output: str | None = None,
    everyone: bool = False,
    microbatch: int | None = None,
    accelerator: Accelerator | None = None,
) -> None:
    """Predict every gene and individual that has a role in the run's split.

    Each distinct window is run once on each strand, and the two are averaged. Earlier predictions of the run
    are replaced. Relative paths of the run's config are taken from the working directory, as in training.

    Args:
        run: run directory of trainer/fit.py
        checkpoint: the best on validation people, or the last
        output: where predictions are written; default predictions.zarr in the run directory
        everyone: predict all genes and individuals of the store
        microbatch: windows in memory at once; default as in training
        accelerator: device of Lightning Fabric; default as in training
    """
    from trainer.run import Run, load_weights

    directory = Run(run)
    path = directory.predictions_path if output is None else Path(output)
    if output is not None and path.exists():
        raise InputError(f"{path}: exists; choose another --output or remove it")
    config = directory.config()
    if microbatch is not None:
        config = dataclasses.replace(config, microbatch=microbatch)
    if accelerator is not None:
        config = dataclasses.replace(config, accelerator=accelerator)
    cohort = open_cohort(config)
    directory.check_identity(cohort.identity)
    weights = directory.checkpoint(checkpoint)

    from tqdm import tqdm

    from trainer.devices import open_fabric
    from trainer.model import build_model
    from trainer.passes import Passes

    wanted = np.ones_like(cohort.role, dtype=bool) if everyone else cohort.role > 0
    genes = np.flatnonzero(wanted.any(axis=1))
    fabric = open_fabric(config, devices=1)
    module = build_model(config)
    load_weights(weights, module)
    model = fabric.setup_module(module)
    model.eval()
    passes = Passes(fabric, model, module.tiling, config.microbatch)
    prediction = np.full(cohort.role.shape, np.nan, dtype=np.float32)
    crops = cohort.crops(genes)
    for gene in tqdm(genes.tolist(), "predicting", disable=None):
        people = np.flatnonzero(wanted[gene])
        prediction[gene, people] = passes.predict(
            crops, gene, people, both_strands=config.reverse_complement > 0
        )
    write_predictions(
        path,
        prediction,
        gene=cohort.genes,
        individual=cohort.individuals,
        name=config.name,
        attrs={
            "run": str(run),
            "checkpoint": weights.name,
            "split": config.split,
            **cohort.identity,
            "windows_run": passes.n_windows,
        },
    )
    logger.info("%s: %d genes, %d windows run, %s", path, len(genes), passes.n_windows, weights.name)


if __name__ == "__main__":
    run_command("predict.py", predict)
