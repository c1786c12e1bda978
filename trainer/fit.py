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
    divided = {"genes_per_step": config.genes_per_step}
    divided |= {f"tasks.per_step of {task.name}": task.per_step for task in config.tasks}
    for key, n in divided.items():
        if n % n_processes:
            raise InputError(f"{key}: {n} is not a multiple of {n_processes} processes")
    cohort = open_cohort(config)
    check_loggers(config.log)

    import torch
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from trainer.ahead import Ahead
    from trainer.batches import GeneBatch, GeneBatches
    from trainer.devices import lack_of_memory_named, launched_fabric
    from trainer.model import Sizes, build_model
    from trainer.passes import Passes
    from trainer.run import Metrics, Run, load_trunk
    from trainer.task_data import TaskBatch, TaskBatches, open_tasks
    from trainer.validation import Validation, total, validate, validate_tasks

    learners = find_learners(cohort, config)
    tasks = open_tasks(config)
    if config.genes_per_step == 0:  # these choose the checkpoint
        for task in tasks.values():
            task.examples("valid")
    start = None if config.start is None else Run(config.start).checkpoint("best")
    run = Run(config.output)
    resuming = run.check(config, cohort.identity)
    crops = config.trunk.windows(cohort, learners.genes, config.max_shift)
    gene_batches = GeneBatches(crops, learners, config)
    task_batches = TaskBatches(tasks, config, cohort.context)
    module = build_model(config, {name: Sizes(task.bins, task.n_outputs) for name, task in tasks.items()})
    for name, task in tasks.items():
        task.begin(module.task_head(name))
    if start is not None:
        load_trunk(start, module)
    if config.train == "task heads":
        module.freeze_all_but_tasks()
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
    task_losses: dict[str, list[float]] = {task.name: [] for task in config.tasks}
    began = time.perf_counter()

    def batches_of(step: int) -> tuple[list[TaskBatch], list[GeneBatch]]:
        mine = {"rank": fabric.global_rank, "n_ranks": n_processes}
        return task_batches.at(step, **mine), gene_batches.at(step, **mine)

    def train(of_tasks: list[TaskBatch], of_genes: list[GeneBatch]) -> None:
        """One optimiser step."""
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(state.step, config)
        for found in task_losses.values():
            found.append(0.0)
        for number, examples in enumerate(of_tasks, start=1):
            last = number == len(of_tasks) and not of_genes
            loss = training.add_task_gradient(examples, tasks[examples.task], last=last)
            if not math.isfinite(loss):
                raise InputError(
                    f"step {state.step}: the loss of task {examples.task} is {loss}; lower learning_rate"
                )
            task_losses[examples.task][-1] += loss * examples.weight
        for number, batch in enumerate(of_genes, start=1):
            # Processes average their gradients; each gene batch is to weigh 1 / genes_per_step.
            weight = n_processes / config.genes_per_step
            loss = training.add_gradient(batch, objective, weight=weight, last=number == len(of_genes))
            if not math.isfinite(loss):
                people = [str(label) for label in cohort.individuals[batch.people]]
                raise InputError(
                    f"step {state.step}: the loss of gene {cohort.genes[batch.gene]} is {loss} ({len(people)} people: "
                    f"{', '.join(people[:3])}{', ...' if len(people) > 3 else ''}); lower learning_rate"
                )
            losses.append(loss)
        if not of_genes:
            losses.append(sum(found[-1] for found in task_losses.values()))
        if config.clip:
            fabric.clip_gradients(model, stepper, max_norm=config.clip, error_if_nonfinite=False)
        stepper.step()
        stepper.zero_grad()
        state.step += 1

    def check() -> None:
        """Validate, write what is to be known, and save a checkpoint."""
        model.eval()
        if n_processes > 1:  # statistics of batch norm that are live: those of the first process count
            for buffer in module.buffers():
                torch.distributed.broadcast(buffer, 0)
        found = validate(
            fabric, validating, crops, learners, cohort.expression, objective, both_strands=both_strands
        )
        score = found.score
        if config.genes_per_step == 0:
            loss = validate_tasks(fabric, validating, config, task_batches, tasks)
            found, score = Validation(loss, found.r), -loss
        model.train()
        means = [
            sum(some) / len(some) / n_processes if some else math.nan
            for some in (losses, *task_losses.values())
        ]
        windows, bases, train_loss, *of_tasks = total(fabric, [training.n_windows, training.n_bases, *means])
        for some in (losses, *task_losses.values()):
            some.clear()
        training.n_windows = training.n_bases = 0
        state.windows += int(windows)
        state.bases += int(bases)
        if math.isnan(score) and (learners.validation[learners.genes].any() or config.genes_per_step == 0):
            raise InputError(
                f"step {state.step}: the model predicts no numbers any more; lower learning_rate, or set clip"
            )
        if math.isnan(score) or state.best_score is None or score > state.best_score:
            state.best_step = state.step
            state.best_score = None if math.isnan(score) else score
        if not fabric.is_global_zero:
            return
        metrics = Metrics(
            step=state.step,
            epoch=gene_batches.epoch(state.step) or task_batches.epoch(state.step),
            learning_rate=learning_rate(state.step - 1, config) if state.step else 0.0,
            train_loss=train_loss,
            validation_loss=found.loss,
            validation_r=found.r,
            windows=state.windows,
            window_equivalents=state.bases / cohort.context,
            task_losses={
                task.name: loss / task.weight for task, loss in zip(config.tasks, of_tasks, strict=True)
            },
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
                train(*mine)
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
