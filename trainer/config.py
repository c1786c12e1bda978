"""The configuration of a run: every key of the YAML file that ``trainer/fit.py --config`` reads.

Trunk, head, objective and tasks are chosen by class::

    trunk:
      class_path: Enformer
      init_args: {pretrained: checkpoints/enformer}

A component is a frozen dataclass of settings under one of the bases `Trunk`, `Head`, `Objective` and `Task`, and
builds what the loop uses. One of your own goes by its dotted path (``class_path: my_trunks.Borzoi``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import numpy as np
import numpy.typing as npt

from seqstore.commands import Parser
from seqstore.errors import InputError
from trainer.head_settings import AttentionHead, Head, TrackHead, XpressoHead
from trainer.objective_settings import (
    Objective,
    PairwiseClassification,
    PairwiseRegression,
    SingleRegression,
)
from trainer.requirements import require
from trainer.samplers import EveryPerson, People, RandomPeople, Sampler
from trainer.tasks import MpraEffects, ReferenceTracks, Task
from trainer.trunk_settings import Borzoi, Cached, Convolutional, Enformer, Trunk, Xpresso

__all__ = [
    "Accelerator", "AttentionHead", "Borzoi", "Cached", "Convolutional", "Enformer", "FitConfig", "Head", "MpraEffects",
    "Objective", "PairwiseClassification", "PairwiseRegression", "ReferenceTracks", "SingleRegression", "Task",
    "TrackHead", "Trunk", "Xpresso", "XpressoHead", "as_mapping", "read_config",
]  # fmt: skip

Accelerator = Literal["auto", "cpu", "cuda", "mps"]

jsonargparse.set_parsing_settings(subclasses_enabled=[Trunk, Head, Objective, Task])


@dataclass(frozen=True)
class FitConfig:
    """What to train on what, and how. Relative paths are taken from the working directory.

    Args:
        store: store to read
        split: name of the store's split; its training people train, its validation people choose the checkpoint
        output: run directory: config.yaml, metrics.csv, checkpoints/, predictions.zarr
        name: name of the method in tables and figures
        assay: which expression, where the store has several
        context: bases of the centre crop that the model sees, even; default the whole window
        ambiguous: what the model reads for an IUPAC base: nothing, a share for each nucleotide, or 1 for each
        trunk: Convolutional, Enformer, Cached, Xpresso, Borzoi or a dotted path of your own
        head: AttentionHead, TrackHead, XpressoHead or a dotted path of your own
        objective: PairwiseRegression, SingleRegression, PairwiseClassification or a dotted path of your own
        train_share: share of each gene's training people that it is learnt from, drawn by the seed; for learning curves
        people: people in a gene batch; default all training people of the gene
        sampling: the people of a gene batch are random each time, or every person of a gene has one turn an epoch
        draws_per_gene: random gene batches of each gene in an epoch; 250 of 2 people are the study's pairs
        genes_per_step: gene batches in one optimiser step, over all processes; 0 = only tasks are trained on
        tasks: what else is trained on in every step: ReferenceTracks, MpraEffects or dotted paths of your own
        start: run whose best checkpoint the weights are of at the start: the trunk's, and those of heads it has too
        train: all weights that the trunk does not freeze, or only those of the tasks' heads (to realign them to a
            trunk that was trained on people)
        microbatch: windows in memory at once; larger gene batches take two passes for the same gradient
        reverse_complement: probability that a gene batch is read on the other strand; at 0 predictions read the
            + strand only, otherwise they are the mean of both
        max_shift: a gene batch is shifted by up to so many bases either way
        steps: optimiser steps; 0 = the model as it is, such as a pretrained one, to predict with
        learning_rate: peak learning rate of AdamW
        schedule: after the warm-up the learning rate falls to 0 along a cosine, or stays
        warmup: steps over which the learning rate rises from 0
        weight_decay: weight decay of AdamW
        clip: largest norm of the gradient; 0 = any
        validate_every: steps between validations; each writes a row of metrics.csv and a checkpoint
        patience: validations without a better score after which training stops; 0 = never
        seed: seed of weights, people, strands, shifts and dropout
        compile: compile the trunk with torch.compile, which takes minutes at the start
        log: write metrics to tensorboard or wandb too
        precision: precision of Lightning Fabric
        accelerator: device of Lightning Fabric
    """

    store: str
    split: str
    output: str
    name: str = "pairwise_regression"
    assay: str | None = None
    context: int | None = None
    ambiguous: Literal["zero", "fraction", "multihot"] = "zero"
    trunk: Trunk = field(default_factory=Convolutional)
    head: Head = field(default_factory=AttentionHead)
    objective: Objective = field(default_factory=PairwiseRegression)
    train_share: float = 1.0
    people: int | None = None
    sampling: Literal["random", "everyone"] = "random"
    draws_per_gene: int = 1
    genes_per_step: int = 4
    tasks: list[Task] = field(default_factory=list)
    start: str | None = None
    train: Literal["everything", "task heads"] = "everything"
    microbatch: int = 512
    reverse_complement: float = 0.5
    max_shift: int = 3
    steps: int = 1000
    learning_rate: float = 3e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: int = 50
    weight_decay: float = 1e-3
    clip: float = 0.2
    validate_every: int = 100
    patience: int = 0
    seed: int = 0
    compile: bool = False
    log: list[Literal["tensorboard", "wandb"]] = field(default_factory=list)
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: Accelerator = "auto"

    def __post_init__(self) -> None:
        if self.context is not None:
            require(
                self.context >= 2 and self.context % 2 == 0,
                f"context: {self.context} is not a positive even number of bases",
            )
        require(
            self.people is None or self.people >= self.objective.least_people,
            f"people: {self.people} in a gene batch; this objective needs {self.objective.least_people} or more",
        )
        require(0 < self.train_share <= 1, f"train_share: {self.train_share} is no share above 0, at most 1")
        require(
            self.sampling == "random" or self.people is not None,
            "sampling: everyone takes turns in gene batches of how many people? give people",
        )
        require(
            self.sampling == "random" or self.draws_per_gene == 1,
            f"draws_per_gene: {self.draws_per_gene} draws, but with sampling: everyone a person has one turn an epoch",
        )
        for name in ("microbatch", "validate_every", "draws_per_gene"):
            value = getattr(self, name)
            require(value >= 1, f"{name}: {value} is not positive")
        for name in (
            "genes_per_step",
            "steps",
            "max_shift",
            "warmup",
            "weight_decay",
            "clip",
            "patience",
            "seed",
        ):
            value = getattr(self, name)
            require(value >= 0, f"{name}: {value} is negative")
        require(self.learning_rate > 0, f"learning_rate: {self.learning_rate} is not positive")
        require(
            0 <= self.reverse_complement <= 1,
            f"reverse_complement: {self.reverse_complement} is not a probability",
        )
        require(
            self.trunk.reads_sequence or self.max_shift == 0,
            f"max_shift: {self.max_shift}, but cached embeddings cannot be shifted; give 0",
        )
        self._check_tasks()
        require(bool(self.name), "name: is empty")
        require(bool(self.output), "output: is empty")

    def _check_tasks(self) -> None:
        names = [task.name for task in self.tasks]
        repeated = [name for name in names if names.count(name) > 1]
        require(not repeated, f"tasks.name: {repeated[:1]} is the name of two; give each its own")
        require(
            self.trunk.reads_sequence or not self.tasks,
            "tasks: cached embeddings are of windows of people only; take the trunk itself",
        )
        require(
            self.genes_per_step >= 1 or bool(self.tasks),
            "genes_per_step: 0, and no tasks: there is nothing to train on",
        )
        require(
            self.train == "everything" or self.genes_per_step == 0,
            "train: only task heads, which people say nothing about; give genes_per_step: 0",
        )
        require(
            self.trunk.reads_sequence or self.start is None,
            "start: would mix the cached embeddings' trunk with that of another run; leave it out",
        )
        require(
            self.start is None or not getattr(self.trunk, "noise", 0),
            "trunk.noise: start would overwrite the noisy weights; leave one of them out",
        )
        of_task = getattr(self.head, "task", None)
        require(
            of_task is None or of_task in names,
            f"head.task: {of_task!r} is no name of a task; there is {', '.join(names) or 'none'}",
        )

    @property
    def least_people(self) -> int:
        """The people that a gene batch has at least."""
        return self.people or self.objective.least_people

    def sampler(
        self, people: Mapping[int, npt.NDArray[np.int64]], is_usable: Callable[[int, People], bool]
    ) -> Sampler:
        """What draws gene batches, given the training people of each gene, and which of them there is a loss of."""
        if self.sampling == "everyone":
            assert self.people is not None
            return EveryPerson(people, size=self.people, seed=self.seed)
        draws = self.draws_per_gene
        return RandomPeople(people, size=self.people, draws=draws, seed=self.seed, is_usable=is_usable)


def read_config(path: str | Path) -> FitConfig:
    """The config in a YAML file.

    Raises:
        InputError: there is no such file, or it is no config.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such config")
    parser = Parser()
    parser.add_class_arguments(FitConfig)
    return FitConfig(**parser.instantiate(parser.parse_path(str(path))).as_dict())


def as_mapping(config: FitConfig) -> dict[str, Any]:
    """A config as plain values, in the form its YAML file has."""
    plain: dict[str, Any] = {}
    for key in fields(config):
        value = getattr(config, key.name)
        if isinstance(value, Trunk | Head | Objective):
            plain[key.name] = _component(value)
        elif key.name == "tasks":
            plain[key.name] = [_component(task) for task in value]
        else:
            plain[key.name] = value
    return plain


def _component(settings: Trunk | Head | Objective | Task) -> dict[str, Any]:
    kind = type(settings)
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": asdict(settings)}
