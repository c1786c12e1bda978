"""The run directory: resolved config, metrics, checkpoints.

::

    RUN/config.yaml                         every key, with its default filled in
    RUN/identity.json                       fingerprints of the store and the split that it was trained on
    RUN/metrics.csv                         a row a validation
    RUN/checkpoints/step_00000400/          weights.safetensors, optimizer.pt (tensors only), state.json
    RUN/predictions.zarr                    written by trainer/predict.py

A checkpoint is written aside and renamed, so one that stands there is whole; the last and the best are
kept. A run that was stopped goes on from the last.
"""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from seqstore.errors import InputError
from trainer.config import FitConfig, as_mapping, read_config

logger = logging.getLogger(__name__)

#: Keys that may differ when a run goes on: they say where, not what.
_WHERE = ("output", "accelerator")


@dataclass(frozen=True)
class Metrics:
    """A row of metrics.csv.

    ``step`` optimiser steps done, ``epoch`` passes over the genes, ``train_loss`` mean since the last row,
    ``windows`` run so far with and without gradient in training, ``window_equivalents`` the bases that the
    trunk read for them over the bases of a window, ``task_losses`` the mean training loss of each task since the last
    row, by name.
    """

    step: int
    epoch: float
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_r: float
    windows: int
    window_equivalents: float
    task_losses: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, float]:
        """The columns of metrics.csv."""
        row: dict[str, Any] = {name: value for name, value in vars(self).items() if name != "task_losses"}
        return row | {f"train_loss_{name}": loss for name, loss in self.task_losses.items()}


@dataclass
class State:
    """What a run must remember besides weights and optimizer: its step and its best checkpoint's."""

    step: int = 0
    best_step: int = 0
    best_score: float | None = None
    windows: int = 0
    bases: int = 0


class Run:
    """One run directory."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_path = self.path / "config.yaml"
        self.identity_path = self.path / "identity.json"
        self.metrics_path = self.path / "metrics.csv"
        self.predictions_path = self.path / "predictions.zarr"

    def check(self, config: FitConfig, identity: dict[str, str]) -> bool:
        """Whether a run of this config stands here already.

        Raises:
            InputError: something else stands here.
        """
        if not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return False
        if not self.config_path.is_file():
            raise InputError(f"{self.path}: exists and is no run; choose another --output")
        was, now = as_mapping(self.config()), as_mapping(config)
        for key in was:
            if key not in _WHERE and was[key] != now[key]:
                raise InputError(
                    f"{self.path}: a run with {key} {_short(was[key])}, not {_short(now[key])}, stands there; "
                    "choose another --output"
                )
        self.check_identity(identity)
        return True

    def check_identity(self, identity: dict[str, str]) -> None:
        """Raise an InputError unless the run was trained on this store and this split."""
        trained_on = json.loads(self.identity_path.read_text())
        for key, value in identity.items():
            if trained_on[key] != value:
                what = key.removesuffix("_fingerprint")
                raise InputError(
                    f"{self.path}: was trained on another {what} than the one its config names now"
                )

    def create(self, config: FitConfig, identity: dict[str, str]) -> None:
        """Write the directory of a new run, whole or not at all."""
        aside = self.path.with_name(self.path.name + ".partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        (aside / self.identity_path.name).write_text(json.dumps(identity) + "\n")
        (aside / self.config_path.name).write_text(yaml.safe_dump(as_mapping(config), sort_keys=False))
        aside.rename(self.path)

    def config(self) -> FitConfig:
        """The config of the run.

        Raises:
            InputError: no run stands here.
        """
        if not self.config_path.is_file():
            raise InputError(f"{self.path}: no run here (a directory that trainer/fit.py wrote)")
        return read_config(self.config_path)

    def checkpoint(self, which: str) -> Path:
        """The folder of the ``last`` or the ``best`` checkpoint.

        Raises:
            InputError: there is none yet.
        """
        last = max(self._checkpoints(), default=None)
        if last is None:
            raise InputError(
                f"{self.path}: has no checkpoint yet; run trainer/fit.py until its first validation"
            )
        return last if which == "last" else last.parent / _folder(_read_state(last).best_step)

    def has_checkpoint(self) -> bool:
        """Whether there is one."""
        return bool(self._checkpoints())

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        """Load the last checkpoint, if there is one."""
        last = max(self._checkpoints(), default=None)
        if last is None:
            return State()
        model.load_state_dict(read_weights(last))
        optimizer.load_state_dict(torch.load(last / "optimizer.pt", map_location="cpu", weights_only=True))
        return _read_state(last)

    def save(self, state: State, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint; the last and the best are kept."""
        folder = self.path / "checkpoints" / _folder(state.step)
        aside = folder.with_suffix(".partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(weights, aside / "weights.safetensors", metadata={"format": "pt"})
        torch.save(optimizer.state_dict(), aside / "optimizer.pt")
        (aside / "state.json").write_text(json.dumps(asdict(state)) + "\n")
        aside.rename(folder)
        for other in self._checkpoints():
            if other.name not in (folder.name, _folder(state.best_step)):
                shutil.rmtree(other)

    def add(self, metrics: Metrics) -> None:
        """Append a row to metrics.csv."""
        row = metrics.row()
        new = not self.metrics_path.exists() or not self.metrics_path.stat().st_size
        with self.metrics_path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow({name: f"{v:.9g}" if isinstance(v, float) else v for name, v in row.items()})

    def cut_metrics(self, step: int) -> None:
        """Forget the rows of metrics.csv after ``step``: they are written again."""
        if not self.metrics_path.exists() or not self.metrics_path.stat().st_size:
            return
        header, *rows = self.metrics_path.read_text().splitlines(keepends=True)
        kept = [row for row in rows if row.endswith("\n") and int(row.split(",", 1)[0]) <= step]
        aside = self.metrics_path.with_suffix(".partial")
        aside.write_text("".join([header, *kept]))
        aside.rename(self.metrics_path)

    def _checkpoints(self) -> list[Path]:
        return [path for path in (self.path / "checkpoints").glob("step_*") if path.suffix != ".partial"]


def load_trunk(checkpoint: Path, model: nn.Module) -> None:
    """Load the weights of a checkpoint's trunk, and of those of its heads that the model has as well.

    Raises:
        InputError: its trunk is another one.
    """
    found, wanted = read_weights(checkpoint), model.state_dict()
    fitting = {name for name in found if name in wanted and found[name].shape == wanted[name].shape}
    lacking = [name for name in wanted if name.startswith("trunk.") and name not in fitting]
    if lacking:
        raise InputError(
            f"start: {checkpoint} has another trunk: {lacking[0]} and {len(lacking) - 1} other weights are not "
            "there, or of another size; give the trunk the settings of that run"
        )
    new = sorted({_part(name) for name in wanted} - {_part(name) for name in fitting})
    if new:
        logger.info("%s has no %s: new there", checkpoint, ", ".join(new))
    model.load_state_dict({name: found[name] for name in fitting}, strict=False)


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """A checkpoint's weights, by name."""
    weights: dict[str, torch.Tensor] = load_file(checkpoint / "weights.safetensors")
    return weights


def _part(name: str) -> str:
    """The trunk or the head that a weight is of."""
    return ".".join(name.split(".")[: 2 if name.startswith("tasks.") else 1])


def _read_state(checkpoint: Path) -> State:
    return State(**json.loads((checkpoint / "state.json").read_text()))


def _folder(step: int) -> str:
    return f"step_{step:08d}"


def _short(value: Any) -> str:
    return str(value["class_path"] if isinstance(value, dict) else value)
