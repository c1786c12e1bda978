"""How well a model predicts the validation people, for choosing a checkpoint and stopping early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.cohort import PEOPLE_FOR_R, Learners
from trainer.config import FitConfig
from trainer.crops import Windows
from trainer.head import mean_of_existing
from trainer.objectives import ObjectiveFunction
from trainer.passes import Passes
from trainer.task_data import TaskBatches, TaskData

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class Validation:
    """Means over genes: the objective's loss, and Pearson r over a gene's people; NaN = nobody to validate on."""

    loss: float
    r: float

    @property
    def score(self) -> float:
        """What a better model has more of: r, else the negative loss; NaN without validation people."""
        return -self.loss if np.isnan(self.r) else self.r


def validate(
    fabric: Fabric,
    passes: Passes,
    crops: Windows,
    learners: Learners,
    expression: npt.NDArray[np.float32],
    objective: ObjectiveFunction,
    *,
    both_strands: bool,
) -> Validation:
    """Predict the validation people of every gene that trains, the genes divided among processes.

    r, of prediction and expression (gene, individual), is over genes with at least `PEOPLE_FOR_R` validation
    people; if those are less than half of the genes with any, r is NaN and the loss decides. A constant prediction
    has r = 0.
    """
    totals = np.zeros(4)  # sum of losses, genes, sum of r, genes with r
    for gene in learners.genes.tolist()[fabric.global_rank :: fabric.world_size]:
        people = np.flatnonzero(learners.validation[gene])
        if len(people) == 0:
            continue
        prediction = mean_of_existing(passes.predict(crops, gene, people, both_strands=both_strands))
        exists = np.isfinite(prediction)
        prediction, people = prediction[exists], people[exists]
        target = learners.target[gene, people]
        if len(target) >= 2 and objective.is_usable(target):
            totals[:2] += float(objective.loss(torch.from_numpy(prediction), torch.from_numpy(target))), 1
        if len(target) >= PEOPLE_FOR_R:
            totals[2:] += pearson_r(prediction, expression[gene, people]), 1
    loss, n_loss, r, n_r = total(fabric, totals.tolist())
    return Validation(
        loss=loss / n_loss if n_loss else float("nan"),
        r=r / n_r if n_r and 2 * n_r >= n_loss else float("nan"),
    )


@torch.no_grad()
def validate_tasks(
    fabric: Fabric,
    passes: Passes,
    config: FitConfig,
    batches: TaskBatches,
    data: Mapping[str, TaskData],
) -> float:
    """The weighted sum of the tasks' losses on their validation examples, which are divided among processes."""
    found = 0.0
    for task in config.tasks:
        mine = {"rank": fabric.global_rank, "n_ranks": fabric.world_size}
        for batch in batches.validation(task.name, task.validation, **mine):
            found += task.weight * batch.weight * float(passes.task_loss(batch, data[task.name]))
    return total(fabric, [found])[0]


def total(fabric: Fabric, values: list[float]) -> list[float]:
    """Sums over processes."""
    mine = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    return cast("list[float]", cast(Tensor, fabric.all_reduce(mine, reduce_op="sum")).tolist())


def pearson_r(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> float:
    """Pearson correlation of x (n,) and y (n,); 0 where one of them is constant."""
    x, y = x - x.mean(dtype=np.float64), y - y.mean(dtype=np.float64)
    scale = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale > 0 else 0.0
