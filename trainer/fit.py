"""Fine-tune a model on personal genomes: ``python trainer/fit.py --config C --output RUN``.

Also under ``torchrun``. The same command again goes on where the run was stopped.
"""

from __future__ import annotations

import logging
import math
import os
import time

from seqstore.commands import run as run_command
from seqstore.errors import InputError
from trainer.cohort import find_learners, open_cohort
from trainer.config import FitConfig
from trainer.loggers import check_loggers, open_loggers

logger = logging.getLogger("trainer.fit")


def fit(config: FitConfig) -> None:
    """Train a model on a split of a store; goes on where the same run was stopped."""
    n_processes = int(os.environ.get("WORLD_SIZE", 1))  # set by torchrun
    if int(os.environ.get("RANK", 0)) > 0:
        logging.getLogger("trainer").setLevel(logging.ERROR)

    # Whatever can be wrong with the input is found before anything is written, and before torch and
    # lightning are imported, which takes seconds.
    if config.genes_per_step % n_processes:
        raise InputError(
            f"genes_per_step: {config.genes_per_step} is not a multiple of {n_processes} processes"
        )
    cohort = open_cohort(config)
    check_loggers(config.log)

    import torch
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from trainer.ahead import Ahead
    from trainer.batches import GeneBatch, GeneBatches
    from trainer.devices import lack_of_memory_named, launched_fabric
    from trainer.model import build_model
    from trainer.passes import Passes
    from trainer.run import Metrics, Run
    from trainer.validation import total, validate

    learners = find_learners(cohort, config)
    run = Run(config.output)
    resuming = run.check(config, cohort.identity)
    crops = config.trunk.windows(cohort, learners.genes, config.max_shift)
    batches = GeneBatches(crops, learners, config)
    module = build_model(config)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )

    fabric = launched_fabric(config)
    torch.set_float32_matmul_precision("high")  # TensorFloat-32 where there is any
    if fabric.is_global_zero and not resuming:
        run.create(config, cohort.identity)
    model, stepper = fabric.setup(module, optimizer)
    state = run.resume(module, optimizer)
    tell = []
    if fabric.is_global_zero:
        run.cut_metrics(state.step)
        tell = [run.add, *open_loggers(config.log, run.path, name=config.name, step=state.step)]
    fabric.barrier()

    objective = config.objective.build()
    training = Passes(fabric, model, module.tiling, config.microbatch)
    validating = Passes(fabric, model, module.tiling, config.microbatch)
    both_strands = config.reverse_complement > 0
    losses: list[float] = []
    began = time.perf_counter()

    def batches_of(step: int) -> list[GeneBatch]:
        return batches.at(step, rank=fabric.global_rank, n_ranks=n_processes)

    def train(mine: list[GeneBatch]) -> None:
        """One optimiser step."""
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(state.step, config)
        for number, batch in enumerate(mine, start=1):
            # Processes average their gradients; each gene batch is to weigh 1 / genes_per_step.
            weight = n_processes / config.genes_per_step
            loss = training.add_gradient(batch, objective, weight=weight, last=number == len(mine))
            if not math.isfinite(loss):
                people = [str(label) for label in cohort.individuals[batch.people]]
                raise InputError(
                    f"step {state.step}: the loss of gene {cohort.genes[batch.gene]} is {loss} ({len(people)} people: "
                    f"{', '.join(people[:3])}{', ...' if len(people) > 3 else ''}); lower learning_rate"
                )
            losses.append(loss)
        if config.clip:
            fabric.clip_gradients(model, stepper, max_norm=config.clip, error_if_nonfinite=False)
        stepper.step()
        stepper.zero_grad()
        state.step += 1

    def check() -> None:
        """Validate, write what is to be known, and save a checkpoint."""
        model.eval()
        found = validate(
            fabric, validating, crops, learners, cohort.expression, objective, both_strands=both_strands
        )
        model.train()
        train_loss = sum(losses) / len(losses) / n_processes if losses else math.nan
        train_loss, windows, bases = total(fabric, [train_loss, training.n_windows, training.n_bases])
        losses.clear()
        training.n_windows = training.n_bases = 0
        state.windows += int(windows)
        state.bases += int(bases)
        if math.isnan(found.score) or state.best_score is None or found.score > state.best_score:
            state.best_step = state.step
            state.best_score = None if math.isnan(found.score) else found.score
        if not fabric.is_global_zero:
            return
        metrics = Metrics(
            step=state.step,
            epoch=batches.epoch(state.step),
            learning_rate=learning_rate(state.step - 1, config) if state.step else 0.0,
            train_loss=train_loss,
            validation_loss=found.loss,
            validation_r=found.r,
            windows=state.windows,
            window_equivalents=state.bases / cohort.context,
        )
        for add in tell:
            add(metrics)
        run.save(state, module, optimizer)
        logger.info(
            "step %d: train loss %.4f, validation loss %.4f, r %.3f",
            *(state.step, train_loss, found.loss, found.r),
        )

    quiet = None if fabric.is_global_zero else True
    progress = tqdm(total=config.steps, initial=state.step, unit="step", disable=quiet)
    in_memory = lack_of_memory_named(config.microbatch)
    model.train()
    with progress, logging_redirect_tqdm(), in_memory, Ahead(batches_of) as data:
        if config.steps == 0 and not run.has_checkpoint():
            check()
        while state.step < config.steps and not is_stale(state.step, state.best_step, config):
            with data.step(state.step) as mine:
                train(mine)
            speed = training.n_windows / (time.perf_counter() - began)
            best = math.nan if state.best_score is None else state.best_score
            progress.set_postfix_str(
                f"loss {losses[-1]:.3f}, best {best:.3f}, {speed:.0f} windows/s, {data.share_waited:.1%} waiting",
                refresh=False,
            )
            progress.update()
            if state.step % config.validate_every == 0 or state.step == config.steps:
                check()
                began = time.perf_counter()
    logger.info(
        "%s: %d steps, best at %d; %.2f%% of their time was spent waiting for data",
        run.path,
        state.step,
        state.best_step,
        100 * data.share_waited,
    )


def learning_rate(step: int, config: FitConfig) -> float:
    """The learning rate of a step: linear warm-up, then a cosine down to 0 or none."""
    rate = config.learning_rate * min(1.0, (step + 1) / (config.warmup + 1))
    if config.schedule == "cosine" and step >= config.warmup:
        done = (step - config.warmup) / max(1, config.steps - config.warmup)
        rate *= 0.5 + 0.5 * math.cos(math.pi * done)
    return rate


def is_stale(step: int, best_step: int, config: FitConfig) -> bool:
    """Whether ``patience`` validations have passed without a better score."""
    return config.patience > 0 and step - best_step >= config.patience * config.validate_every


if __name__ == "__main__":
    run_command("fit.py", fit)
