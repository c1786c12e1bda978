"""Training joined with tasks: reference tracks and MPRA effects."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from enformer_pytorch import Enformer as EnformerModel
from lightning.fabric import Fabric
from safetensors.torch import load_file

import seqstore
from seqstore.errors import InputError
from seqstore.predictions import open_predictions
from tests.conftest import Cohort
from tests.enformer_files import save_with_safetensors
from tests.unit.task_files import LENGTH, N_VALID, mpra_task, track_task
from tests.unit.trainer_stores import fit_config, make_store
from trainer.cohort import open_cohort
from trainer.config import (
    AttentionHead,
    Convolutional,
    Enformer,
    FitConfig,
    PairwiseClassification,
    ReferenceTracks,
    TrackHead,
)
from trainer.fit import fit
from trainer.model import Sizes, build_model, trained_model
from trainer.passes import Passes
from trainer.predict import predict
from trainer.run import Run
from trainer.task_data import TaskBatch, TaskBatches, TaskData, open_tasks

ROOT = Path(__file__).parents[2]
TINY = Enformer(dim=12, depth=1, heads=1, dim_divisible_by=2, dropout=0.0)
BINS_OF_128 = Convolutional(channels=8, hidden=8, kernel=5, bin=128)


@pytest.fixture
def store(make_cohort: Callable[..., Cohort], tmp_path: Path) -> str:
    return make_store(make_cohort, tmp_path)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(Run(run).checkpoint("last") / "weights.safetensors")
    return found


def joint(store: str, output: Path, **changes: Any) -> FitConfig:
    """A run with tasks of both kinds."""
    tasks = [track_task(output.parent, weight=0.5), mpra_task(output.parent, weight=2.0)]
    keys: dict[str, Any] = {"trunk": BINS_OF_128, "tasks": tasks, "max_shift": 3, "steps": 4}
    return fit_config(store, output, **(keys | changes))


def opened(config: FitConfig) -> tuple[dict[str, TaskData], TaskBatches, Any, Passes]:
    data = open_tasks(config)
    model = build_model(config, {name: Sizes(task.bins, task.n_outputs) for name, task in data.items()})
    fabric = Fabric(accelerator="cpu", devices=1)
    passes = Passes(fabric, fabric.setup_module(model), model.tiling, config.microbatch)
    return data, TaskBatches(data, config, 256), model, passes


def by_the_formula(model: Any, config: FitConfig, batches: list[TaskBatch], data: dict[str, TaskData]) -> Any:
    """The weighted sum of the tasks' losses of whole steps: every window run by itself, and loss by loss."""
    total = torch.zeros(())
    for task in config.tasks:
        mine = [batch for batch in batches if batch.task == task.name]
        terms = []
        for batch in mine:
            span = batch.span
            windows = torch.from_numpy(batch.windows)
            one_hot = model.input(windows, start=span.start, length=span.length, reverse=batch.reverse)
            if task.name == "mpra":
                outputs = torch.stack([alone(model, window, "mpra") for window in one_hot])
                difference = outputs[len(outputs) // 2 :] - outputs[: len(outputs) // 2]
                target = torch.from_numpy(batch.target)
                terms.append((difference - target)[~target.isnan()].square())
            else:
                outputs = torch.stack([alone(model, window, "human") for window in one_hot])
                target = torch.from_numpy(batch.target)
                terms.append((outputs - target * torch.log(outputs + 1e-8)).flatten())
        total = total + task.weight * torch.cat(terms).mean()
    return total


def alone(model: Any, one_hot: torch.Tensor, task: str) -> torch.Tensor:
    """What the head of a task gives for one window, from the trunk's own layers."""
    halo, width = model.trunk.tiling.halo, model.trunk.tiling.bases
    padded = F.pad(one_hot, (0, 0, halo, halo))
    starts = range(0, len(one_hot), width)
    bins = torch.stack([model.trunk.embed(padded[None, s : s + width + 2 * halo])[0, 0] for s in starts])
    head = model.tasks[task]
    centre = bins[(len(bins) - head.bins) // 2 :][: head.bins]
    if task == "mpra":
        return F.linear(centre.flatten(), head.output.weight, head.output.bias)
    return F.softplus(F.linear(centre, head.output.weight, head.output.bias))


@pytest.mark.parametrize("microbatch", [2, 512])
def test_the_gradient_is_that_of_the_formula(store: str, tmp_path: Path, microbatch: int) -> None:
    config = joint(store, tmp_path / "run", microbatch=microbatch)
    data, batches, model, passes = opened(config)
    for step in range(3):
        mine = batches.at(step)
        assert len(mine) == (2 if microbatch == 512 else 4 + 3)
        expected = by_the_formula(model, config, mine, data)
        model.zero_grad()
        expected.backward()
        wanted = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        losses = [passes.add_task_gradient(batch, data[batch.task], last=batch is mine[-1]) for batch in mine]
        total = sum(batch.weight * loss for batch, loss in zip(mine, losses, strict=True))
        assert total == pytest.approx(expected.item(), rel=1e-4)
        assert {name.split(".")[0] for name in wanted} == {"trunk", "tasks"}
        for name, parameter in model.named_parameters():
            if name in wanted:
                torch.testing.assert_close(parameter.grad, wanted[name], rtol=2e-3, atol=1e-5, msg=name)


def test_every_task_weighs_the_same_however_it_is_shared(store: str, tmp_path: Path) -> None:
    """Two processes have between them what one has."""
    config = joint(store, tmp_path / "run", microbatch=2)
    _, batches, _, _ = opened(config)
    for step in range(4):
        whole, halves = batches.at(step), [batches.at(step, rank=rank, n_ranks=2) for rank in (0, 1)]
        for task in config.tasks:
            weights = [sum(b.weight for b in part if b.task == task.name) for part in (whole, *halves)]
            assert weights[0] == pytest.approx(task.weight)
            assert (weights[1] + weights[2]) / 2 == pytest.approx(task.weight)
        windows = [{b.windows.tobytes() for b in part if b.task == "human"} for part in (whole, *halves)]
        assert windows[0] == windows[1] | windows[2]


def test_a_track_may_count_once_more(tmp_path: Path) -> None:
    task = track_task(tmp_path, once_more=4)
    data = task.open(BINS_OF_128, 0)
    prediction = torch.rand(3, data.bins, data.n_outputs) + 0.1
    target = torch.rand(3, data.bins, data.n_outputs)
    loss = prediction - target * torch.log(prediction + 1e-8)
    assert data.loss(prediction, target).item() == pytest.approx((loss.mean() + loss[..., 4].mean()).item())


def test_a_run_with_tasks(store: str, tmp_path: Path) -> None:
    config = joint(store, tmp_path / "run", steps=40, validate_every=20)
    fit(config)
    first, second = rows(tmp_path / "run")
    for key in ("train_loss_human", "train_loss_mpra", "train_loss"):
        assert np.isfinite(float(first[key]))
    assert float(second["train_loss_human"]) < float(first["train_loss_human"])
    shutil.rmtree(tmp_path / "human.zarr")  # predictions do not need the tasks
    shutil.rmtree(tmp_path / "mpra.zarr")
    predict([config.output])
    assert np.isfinite(open_predictions(tmp_path / "run" / "predictions.zarr")["prediction"].values).any()


def test_a_stopped_run_goes_on_to_the_same_result(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = joint(store, tmp_path / "whole", validate_every=2)
    fit(whole)
    parted = dataclasses.replace(whole, output=str(tmp_path / "parted"))
    save = Run.save

    def dying_save(run: Run, state: Any, *args: Any) -> None:
        if state.step == 4:
            raise KeyboardInterrupt
        save(run, state, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", dying_save)
        with pytest.raises(KeyboardInterrupt):
            fit(parted)
    fit(parted)
    assert rows(tmp_path / "parted") == rows(tmp_path / "whole")
    for name, weight in weights(tmp_path / "parted").items():
        assert torch.equal(weight, weights(tmp_path / "whole")[name]), name


def test_two_processes_give_the_losses_of_one(store: str, tmp_path: Path) -> None:
    config = joint(store, tmp_path / "one", microbatch=2, validate_every=2)
    fit(config)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(ROOT / "trainer" / "fit.py"), "--config", str(tmp_path / "one" / "config.yaml")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "two")],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    for one, two in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        for key in one:
            np.testing.assert_allclose(float(two[key]), float(one[key]), rtol=1e-4, err_msg=key)
    for name, weight in weights(tmp_path / "one").items():
        if name != "head.score.bias":  # a softmax does not depend on it: what moves it is rounding
            torch.testing.assert_close(
                weights(tmp_path / "two")[name], weight, rtol=1e-3, atol=1e-5, msg=name
            )


def test_people_may_be_compared_by_a_track_of_a_task(store: str, tmp_path: Path) -> None:
    """One row of one layer for both: its gradient is the sum, and predictions know it."""
    task = track_task(tmp_path)
    config = fit_config(
        store,
        tmp_path / "run",
        trunk=TINY,
        head=TrackHead(task="human", track=4, bins=2),
        objective=PairwiseClassification(gap=1),
        tasks=[task],
        steps=3,
    )
    fit(config)
    assert {name.split(".")[0] for name in weights(tmp_path / "run")} == {"trunk", "tasks"}
    predict([config.output], checkpoint="last", haplotypes=True)
    found = open_predictions(tmp_path / "run" / "predictions.zarr")["prediction_by_haplotype"].values
    model = trained_model(config, weights(tmp_path / "run"))
    model.eval()
    layer = model.task_head("human").output
    window = open_cohort(config).reader.read([0], [3], [1])
    with torch.no_grad():
        strands = [model.trunk.embed(model.input(torch.from_numpy(window), reverse=r)) for r in (False, True)]  # type: ignore[operator]
        values = [F.softplus(F.linear(bins, layer.weight[4:5], layer.bias[4:5])).sum() for bins in strands]
    assert found[0, 3, 1] == pytest.approx(torch.stack(values).mean().item(), rel=1e-4)


def test_heads_are_realigned_to_a_trunk(store: str, tmp_path: Path) -> None:
    """Only the tasks' heads move; they start from the checkpoint that Enformer came from."""
    checkpoint = tmp_path / "enformer"
    torch.manual_seed(1)
    hparams: dict[str, Any] = {"dim": 12, "depth": 1, "heads": 1, "dim_divisible_by": 2, "target_length": -1}
    save_with_safetensors(EnformerModel.from_hparams(**hparams, output_heads={"human": 6}), checkpoint)
    people = fit_config(
        store,
        tmp_path / "people",
        trunk=dataclasses.replace(TINY, dropout=0.4),
        head=AttentionHead(zero=False),
        steps=2,
    )
    fit(people)
    task = track_task(tmp_path, pretrained=str(checkpoint))
    config = dataclasses.replace(
        people,
        output=str(tmp_path / "realigned"),
        start=people.output,
        train="task heads",
        tasks=[task],
        genes_per_step=0,
        steps=6,
        validate_every=3,
    )
    fit(dataclasses.replace(config, output=str(tmp_path / "none"), steps=0))
    fit(config)
    before, after = weights(tmp_path / "none"), weights(tmp_path / "realigned")
    original = load_file(checkpoint / "model.safetensors")["_heads.human.0.weight"]
    torch.testing.assert_close(before["tasks.human.output.weight"], original)
    trained = weights(tmp_path / "people")
    for name, weight in after.items():
        if name.startswith("tasks."):
            assert not torch.equal(weight, before[name]), name
        else:
            assert torch.equal(weight, trained[name]), name
    first, last = rows(tmp_path / "realigned")
    assert float(last["train_loss"]) == pytest.approx(float(last["train_loss_human"]))
    assert float(last["validation_loss"]) != float(first["validation_loss"])
    assert float(first["epoch"]) == pytest.approx(3 * 4 / 10)


def test_what_decides_where_only_tasks_are_trained_on(store: str, tmp_path: Path) -> None:
    """The weighted loss of the tasks' validation examples."""
    tasks = [track_task(tmp_path, weight=0.5, validation=N_VALID)]
    config = fit_config(
        store, tmp_path / "run", trunk=BINS_OF_128, tasks=tasks, genes_per_step=0, steps=2, validate_every=1
    )
    fit(config)
    data, batches, model, _ = opened(config)
    model.load_state_dict(weights(tmp_path / "run"))
    (batch,) = batches.validation("human", N_VALID)
    assert len(batch.windows) == N_VALID
    with torch.no_grad():
        expected = by_the_formula(model, config, [batch], data)
    assert float(rows(tmp_path / "run")[-1]["validation_loss"]) == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": [ReferenceTracks("a", "x"), ReferenceTracks("a", "y")]}, "'a'.* is the name of two"),
        ({"genes_per_step": 0}, "genes_per_step: 0, and no tasks"),
        (
            {"train": "task heads"},
            "train: only task heads, which people say nothing about; give genes_per_step: 0",
        ),
        ({"head": TrackHead(task="human", bins=1)}, "head.task: 'human' is no name of a task; there is none"),
    ],
)
def test_what_does_not_go_together_is_refused(
    store: str, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fit_config(store, tmp_path / "run", **changes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "a b"}, "tasks.name: 'a b' is not letters"),
        ({"weight": 0.0}, "tasks.weight: 0.0 is not positive"),
        ({"per_step": 0}, "tasks.per_step: 0 is not positive"),
        ({"length": -1}, "tasks.length: -1 is not positive"),
        ({"pretrained": "./nowhere"}, "tasks.pretrained: nowhere is neither a folder"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReferenceTracks(**{"name": "human", "path": "tracks.zarr", **settings})


def test_tasks_that_do_not_suit_the_trunk_are_refused_before_anything_is_written(
    store: str, tmp_path: Path
) -> None:
    task = track_task(tmp_path)
    other = Convolutional(channels=8, hidden=8, kernel=5, bin=32)
    with pytest.raises(
        InputError, match=r"tasks.human: .* has bins of 128 bases, but the trunk makes 16 of 512"
    ):
        fit(fit_config(store, tmp_path / "run", trunk=other, tasks=[task]))
    with pytest.raises(InputError, match="has no checkpoint yet"):
        fit(
            fit_config(store, tmp_path / "run", trunk=BINS_OF_128, tasks=[task], start=str(tmp_path / "none"))
        )
    assert not (tmp_path / "run").exists()
    assert LENGTH == 512


def test_a_start_from_another_trunk_is_refused(store: str, tmp_path: Path) -> None:
    fit(fit_config(store, tmp_path / "first", steps=2))
    config = fit_config(store, tmp_path / "second", trunk=BINS_OF_128, start=str(tmp_path / "first"), steps=2)
    fit(config)  # a bin's width is no weight
    wider = Convolutional(channels=9, hidden=8, kernel=5, bin=32)
    with pytest.raises(InputError, match=r"start: .* has another trunk: trunk\.\S+ and \d other weights"):
        fit(dataclasses.replace(config, trunk=wider, output=str(tmp_path / "third")))
    assert not (tmp_path / "third").exists()


def test_a_run_starts_from_the_weights_of_another(store: str, tmp_path: Path) -> None:
    fit(fit_config(store, tmp_path / "first", steps=4))
    fit(fit_config(store, tmp_path / "second", start=str(tmp_path / "first"), steps=0, seed=9))
    best = load_file(Run(tmp_path / "first").checkpoint("best") / "weights.safetensors")
    for name, weight in weights(tmp_path / "second").items():
        assert torch.equal(weight, best[name]), name


def test_what_a_task_cannot_do_is_refused_before_anything_is_written(store: str, tmp_path: Path) -> None:
    task = track_task(tmp_path)
    keys: dict[str, Any] = {"trunk": BINS_OF_128, "steps": 2}
    longer = dataclasses.replace(task, length=2 * LENGTH, bins=None)
    with pytest.raises(
        InputError, match=r"tasks.length: 1024 bases, but the sequences of .* have 512; widen"
    ):
        fit(fit_config(store, tmp_path / "run", tasks=[longer], **keys))
    mpra = mpra_task(tmp_path)
    with pytest.raises(InputError, match=r"head.task: the task 'mpra' has no tracks"):
        fit(
            fit_config(
                store, tmp_path / "run", tasks=[mpra], head=TrackHead(task="mpra", bins=1, track=0), **keys
            )
        )
    assert not (tmp_path / "run").exists()


def test_a_model_that_gives_no_numbers_is_not_the_best(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the run; the checkpoint that was the best stays."""
    config = fit_config(store, tmp_path / "run", steps=6, validate_every=2)
    predicted, calls = Passes.predict, []

    def diverged(passes: Passes, *args: Any, **options: Any) -> Any:
        calls.append(1)
        values = predicted(passes, *args, **options)
        return values * np.nan if len(calls) > 2 * 2 else values  # two genes a validation

    monkeypatch.setattr(Passes, "predict", diverged)
    with pytest.raises(InputError, match="step 6: the model predicts no numbers any more"):
        fit(config)
    assert Run(tmp_path / "run").checkpoint("best").exists()
    assert Run(tmp_path / "run").checkpoint("last").name == "step_00000004"


def test_a_process_may_have_nothing_to_validate(store: str, tmp_path: Path) -> None:
    """The other one does not wait for it."""
    roles = np.zeros((4, 24), dtype=np.int8)
    roles[0, :12], roles[0, 12:20] = 1, 2
    seqstore.write_split(store, "one", split=roles, gene_class=["random_split", *["unused"] * 3])
    config = fit_config(store, tmp_path / "whole", steps=2, split="one")
    Run(tmp_path / "whole").create(config, {})
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [
        *torchrun,
        str(ROOT / "trainer" / "fit.py"),
        "--config",
        str(tmp_path / "whole" / "config.yaml"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "run")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert [row["step"] for row in rows(tmp_path / "run")] == ["2"]
