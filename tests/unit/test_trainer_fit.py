from __future__ import annotations

import csv
import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import seqstore
from seqstore.errors import InputError
from seqstore.predictions import open_predictions
from tests.conftest import Cohort
from tests.unit.trainer_stores import N_PEOPLE, N_TRAIN, fit_config, make_store
from trainer.cohort import find_learners, open_cohort
from trainer.config import AttentionHead, Enformer, FitConfig, PairwiseRegression
from trainer.fit import fit, is_stale, learning_rate
from trainer.predict import predict
from trainer.run import Run, State

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(make_cohort: Callable[..., Cohort], tmp_path: Path) -> str:
    return make_store(make_cohort, tmp_path)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def content(run: Path) -> dict[str, bytes]:
    """What a run comes to: its metrics and weights."""
    files = [run / "metrics.csv", *sorted((run / "checkpoints").glob("*/weights.safetensors"))]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def test_a_run_directory_holds_everything(store: str, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path / "run")
    fit(config)
    run = Run(tmp_path / "run")
    assert run.config() == config
    metrics = rows(run.path)
    assert [row["step"] for row in metrics] == ["2", "4", "6", "8"]
    assert float(metrics[-1]["train_loss"]) < float(metrics[0]["train_loss"])
    assert float(metrics[-1]["epoch"]) == 8
    assert float(metrics[-1]["window_equivalents"]) < int(metrics[-1]["windows"])
    best = min(metrics, key=lambda row: float(row["validation_loss"]))  # 6 people: too few for r
    assert metrics[0]["validation_r"] == "nan"
    assert run.checkpoint("best").name == f"step_{int(best['step']):08d}"
    assert run.checkpoint("last").name == "step_00000008"
    kept = {path.name for path in (run.path / "checkpoints").iterdir()}
    assert kept == {run.checkpoint("best").name, "step_00000008"}
    weights = load_file(run.checkpoint("last") / "weights.safetensors")
    assert weights["trunk.motifs.weight"].shape == (8, 4, 5)
    torch.load(run.checkpoint("last") / "optimizer.pt", weights_only=True)


def test_a_run_may_go_into_an_empty_folder(store: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run.partial").mkdir()  # of a run that was killed at its very beginning
    fit(fit_config(store, tmp_path / "run", steps=2))
    assert len(rows(tmp_path / "run")) == 1


def test_training_learns_what_can_be_learnt(store: str, tmp_path: Path) -> None:
    """Expression that one allele sets is fitted far beyond chance."""
    import zarr

    variants = seqstore.open_variants(store)
    group: Any = zarr.open_group(store, mode="r+")
    for gene in range(2):
        inside = slice(int(variants.gene_variant_start[gene]) + 2, int(variants.gene_variant_stop[gene]) - 2)
        calls = variants.call_genotype.values[inside]
        common = np.abs((calls == 1).mean(axis=(1, 2)) - 0.35).argmin()
        group["expression"][0, gene] = (calls[common] == 1).sum(axis=1)
    config = fit_config(store, tmp_path / "run", steps=150, validate_every=50, learning_rate=0.01)
    fit(dataclasses.replace(config, head=AttentionHead()))
    assert float(rows(tmp_path / "run")[-1]["train_loss"]) < 0.2


IN_MID_EPOCH: dict[str, Any] = {"people": 2, "draws_per_gene": 7}
#: Dropout, strands, shifts and two passes: all that is drawn.
EVERYTHING: dict[str, Any] = {
    "trunk": Enformer(dim=12, depth=1, heads=1, dim_divisible_by=2),
    "head": AttentionHead(bins=2, pooling="mean", zero=False),
    "people": 5,
    "sampling": "everyone",
    "microbatch": 3,
    "reverse_complement": 0.5,
    "max_shift": 3,
}


@pytest.mark.parametrize(
    ("stop_at", "settings"),
    [(1, {"people": 6}), (3, {"people": 6}), (4, {"people": 6}), (2, IN_MID_EPOCH), (2, EVERYTHING)],
)
def test_a_stopped_run_goes_on_to_the_same_result(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, settings: dict[str, Any]
) -> None:
    whole = fit_config(store, tmp_path / "whole", **settings)
    fit(whole)
    parted = dataclasses.replace(whole, output=str(tmp_path / "parted"))
    save, calls = Run.save, []

    def dying_save(run: Run, *args: Any) -> None:
        calls.append(run)
        if len(calls) == stop_at:
            raise KeyboardInterrupt  # after the row was added to metrics.csv, before the checkpoint
        save(run, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", dying_save)
        with pytest.raises(KeyboardInterrupt):
            fit(parted)
    fit(parted)
    assert content(tmp_path / "parted") == content(tmp_path / "whole")
    before = content(tmp_path / "whole")
    fit(whole)  # finished: nothing more to do
    assert content(tmp_path / "whole") == before


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Bit for bit the same is promised for one thread: several may add up in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_goes_on_to_the_same_result(store: str, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path / "whole", steps=120, validate_every=2)
    fit(config)
    run = Run(tmp_path / "killed")
    command = [
        sys.executable,
        str(ROOT / "trainer" / "fit.py"),
        "--config",
        str(tmp_path / "whole" / "config.yaml"),
    ]
    command += ["--output", str(run.path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 240
    while not any((run.path / "checkpoints").glob("step_*[02468]")) and time.monotonic() < deadline:
        time.sleep(0.01)
        assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    fit(dataclasses.replace(config, output=str(run.path)))
    assert content(run.path) == content(tmp_path / "whole")


def test_two_processes_give_the_losses_of_one(store: str, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path / "one", steps=4, microbatch=4)
    fit(config)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(ROOT / "trainer" / "fit.py"), "--config", str(tmp_path / "one" / "config.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "two")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [row["step"] for row in two] == ["2", "4"]
    for key in one[0]:
        np.testing.assert_allclose(
            [float(row[key]) for row in two], [float(row[key]) for row in one], rtol=1e-4, err_msg=key
        )


@pytest.mark.slow
def test_two_processes_that_are_killed_go_on_to_the_same_result(store: str, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path / "one", steps=60, microbatch=4, **IN_MID_EPOCH)
    Run(tmp_path / "one").create(config, "unused")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(ROOT / "trainer" / "fit.py"), "--config", str(tmp_path / "one" / "config.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment, "timeout": 300, "capture_output": True}
    subprocess.run([*command, "--output", "whole"], check=True, **options)
    process = subprocess.Popen(
        [*command, "--output", "killed"], cwd=tmp_path, env=environment, start_new_session=True
    )
    checkpoints = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 240
    while not any(checkpoints.glob("step_*[02468]")) and time.monotonic() < deadline:
        time.sleep(0.01)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert Run(tmp_path / "killed").checkpoint("last").name != "step_00000060"
    subprocess.run([*command, "--output", "killed"], check=True, **options)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_an_enformer_takes_a_few_steps(store: str, tmp_path: Path) -> None:
    config = fit_config(
        store,
        tmp_path / "run",
        trunk=Enformer(dim=12, depth=1, heads=1, dim_divisible_by=2),
        head=AttentionHead(bins=2, pooling="mean", zero=False),
        steps=2,
        microbatch=8,
    )
    fit(config)
    predict([config.output])
    prediction = open_predictions(tmp_path / "run" / "predictions.zarr")["prediction"].values
    assert prediction[0, : N_PEOPLE - 1].std() > 0


def test_predictions_are_of_everyone_with_a_role(store: str, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path / "run", steps=2, name="mine")
    fit(config)
    predict([config.output])
    found = open_predictions(tmp_path / "run" / "predictions.zarr")
    role = seqstore.open_split(store, "main")["split"].values
    assert np.array_equal(np.isfinite(found["prediction"].values), role > 0)
    assert found.attrs["name"] == "mine"
    assert found["gene"].values.tolist() == ["G1", "G2", "G3", "G4"]
    predict([config.output], output=str(tmp_path / "all.zarr"), everyone=True, checkpoint="last")
    everyone = open_predictions(tmp_path / "all.zarr")["prediction"].values
    assert np.isfinite(everyone).all()
    with pytest.raises(InputError, match=r"all.zarr: exists"):
        predict([config.output], output=str(tmp_path / "all.zarr"))


def test_another_run_or_anything_else_is_not_overwritten(store: str, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path / "run", steps=2)
    fit(config)
    with pytest.raises(InputError, match=r"a run with learning_rate 0\.003, not 0\.5, stands there"):
        fit(dataclasses.replace(config, learning_rate=0.5))
    identity = tmp_path / "run" / "identity.json"
    identity.write_text(identity.read_text().replace('"store_fingerprint": "', '"store_fingerprint": "0'))
    with pytest.raises(InputError, match="was trained on another store"):
        fit(config)
    with pytest.raises(InputError, match="was trained on another store"):
        predict([config.output])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("")
    with pytest.raises(InputError, match="notes: exists and is no run"):
        fit(dataclasses.replace(config, output=str(tmp_path / "notes")))
    with pytest.raises(InputError, match="notes: no run here"):
        predict([str(tmp_path / "notes")])
    Run(tmp_path / "begun").create(config, open_cohort(config).identity)
    with pytest.raises(InputError, match="begun: has no checkpoint yet"):
        predict([str(tmp_path / "begun")])


def test_a_loss_that_is_not_finite_stops_the_run(store: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"step \d+: the loss of gene G[12] is (nan|inf) \(\d+ people: P\d.*lower learning_rate",
    ):
        fit(fit_config(store, tmp_path / "run", learning_rate=1e30, clip=0.0))


def test_learning_rate_rises_and_falls() -> None:
    config = FitConfig("s", "a", "o", warmup=4, steps=24, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(24)]
    np.testing.assert_allclose(rates[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[14] == pytest.approx(0.5)
    assert all(a > b for a, b in itertools.pairwise(rates[4:]))
    assert rates[-1] < 0.01
    constant = dataclasses.replace(config, schedule="constant")
    assert learning_rate(23, constant) == 1.0


def test_training_stops_after_validations_without_a_better_score(store: str, tmp_path: Path) -> None:
    config = FitConfig("s", "a", "o", validate_every=10, patience=2)
    assert [is_stale(step, 30, config) for step in (30, 40, 50, 60)] == [False, False, True, True]
    assert not is_stale(1000, 0, dataclasses.replace(config, patience=0))
    stopping = fit_config(
        store, tmp_path / "run", steps=400, patience=1, schedule="constant", learning_rate=0.02
    )
    fit(stopping)
    metrics = rows(tmp_path / "run")
    assert len(metrics) < 200
    losses = [float(row["validation_loss"]) for row in metrics]
    assert losses[-1] >= losses[-2]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses[:-1]))
    assert Run(tmp_path / "run").checkpoint("best").name == f"step_{int(metrics[-2]['step']):08d}"


def test_without_validation_people_the_last_checkpoint_is_the_best(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    role = seqstore.open_split(store, "main")["split"].values.copy()
    role[role == 2] = 0
    seqstore.write_split(store, "bare", split=role, gene_class=["random_split"] * 4)
    fit(fit_config(store, tmp_path / "run", split="bare", steps=4))
    assert "no gene has two validation people" in caplog.text
    run = Run(tmp_path / "run")
    assert run.checkpoint("best") == run.checkpoint("last")
    assert State(step=4, best_step=4).best_score is None


def test_r_decides_where_there_are_people_enough(store: str, tmp_path: Path) -> None:
    role = seqstore.open_split(store, "main")["split"].values.copy()
    role[:2, N_TRAIN:] = 2
    seqstore.write_split(store, "many", split=role, gene_class=["random_split"] * 4)
    fit(fit_config(store, tmp_path / "run", split="many"))
    metrics = rows(tmp_path / "run")
    best = max(metrics, key=lambda row: float(row["validation_r"]))
    assert Run(tmp_path / "run").checkpoint("best").name == f"step_{int(best['step']):08d}"


def test_a_share_of_the_people_trains(store: str) -> None:
    """Nested, as learning curves want it, and the scale of the targets is theirs."""
    configs = [fit_config(store, "unused", train_share=share) for share in (0.25, 0.5, 1.0)]
    cohort = open_cohort(configs[0])
    learners = [find_learners(cohort, config) for config in configs]
    assert [one.train[0].sum() for one in learners] == [3, 6, 12]
    for fewer, more in itertools.pairwise(learners):
        assert (more.train | ~fewer.train).all()
    np.testing.assert_allclose(learners[0].target[0, learners[0].train[0]].mean(), 0, atol=1e-6)
    assert (learners[0].validation == learners[2].validation).all()
    other = find_learners(cohort, dataclasses.replace(configs[0], seed=4))
    assert (other.train != learners[0].train).any()


def test_targets_may_be_scaled_by_everyone(store: str) -> None:
    config = fit_config(store, "unused", objective=PairwiseRegression(scaled_by="everyone"))
    target = find_learners(open_cohort(config), config).target
    np.testing.assert_allclose(target[:2].mean(axis=1), 0, atol=1e-6)


def test_a_run_of_no_steps_is_the_model_as_it_is(store: str, tmp_path: Path) -> None:
    config = fit_config(store, tmp_path / "run", steps=0)
    fit(config)
    fit(config)
    assert [row["step"] for row in rows(tmp_path / "run")] == ["0"]
    predict([config.output])
    assert open_predictions(tmp_path / "run" / "predictions.zarr")["prediction"].values[0, 0] != 0


def test_too_little_memory_is_one_line(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: Any, **__: Any) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr("trainer.passes.Passes.add_gradient", lacking)
    with pytest.raises(InputError, match="microbatch: 512 windows at once do not fit into memory; lower it"):
        fit(fit_config(store, tmp_path / "run"))


def test_metrics_go_to_tensorboard_too(store: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(fit_config(store, tmp_path / "run", log=["tensorboard"], steps=4))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in events.Scalars("validation_loss")]
    expected = [(int(row["step"]), float(row["validation_loss"])) for row in rows(tmp_path / "run")]
    assert shown == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected]


def test_the_trunk_may_be_compiled(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torch makes of it, the weights are those of the trunk."""
    compiled = []
    monkeypatch.setattr("torch.compile", lambda function: compiled.append(function) or function)
    fit(fit_config(store, tmp_path / "run", steps=2, compile=True))
    assert [function.__name__ for function in compiled] == ["embed"]
    fit(fit_config(store, tmp_path / "plain", steps=2))
    one, other = (content(tmp_path / name) for name in ("run", "plain"))
    assert one == other
