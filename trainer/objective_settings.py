"""Settings of objectives: what is minimised over people. See `trainer.config`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from trainer.requirements import require

if TYPE_CHECKING:
    from trainer.objectives import ObjectiveFunction


@dataclass(frozen=True)
class Objective(ABC):
    """What is minimised over the people of a gene batch; ``least_people`` of them it needs."""

    least_people: ClassVar[int] = 2
    #: Whose expression means, deviations and percentiles are of: those who train the gene, or everyone.
    scaled_by: Literal["train", "everyone"] = "train"

    @abstractmethod
    def build(self) -> ObjectiveFunction:
        """The targets and the loss."""


@dataclass(frozen=True)
class PairwiseRegression(Objective):
    """The error of differences between people, mean over all pairs of a gene batch.

    Args:
        scaled_by: whose mean and deviation z-scores have: of the people who train the gene, or of everyone (the
            study's way, which sees the people of the test)
        scale: z-scores, or expression as it is in the store
        error: squared (mse), or relative to the size (smape; a pair's is that of both people and of the difference)
        epsilon: added to the sizes that smape divides by
    """

    scale: Literal["z", "expression"] = "z"
    error: Literal["mse", "smape"] = "mse"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        require(self.epsilon > 0, f"objective.epsilon: {self.epsilon} is not positive")

    def build(self) -> ObjectiveFunction:
        """See `trainer.objectives.PairRegression`."""
        from trainer.objectives import PairRegression

        return PairRegression(self.scale, self.error, self.epsilon)


@dataclass(frozen=True)
class SingleRegression(Objective):
    """The error of each person's value, mean over a gene batch.

    Args:
        scaled_by: as of PairwiseRegression
        scale: expression as it is in the store, or z-scores
        error: relative to the size (smape), or squared (mse)
        epsilon: added to the sizes that smape divides by
    """

    least_people: ClassVar[int] = 1
    scale: Literal["z", "expression"] = "expression"
    error: Literal["mse", "smape"] = "smape"
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        require(self.epsilon > 0, f"objective.epsilon: {self.epsilon} is not positive")

    def build(self) -> ObjectiveFunction:
        """See `trainer.objectives.SampleRegression`."""
        from trainer.objectives import SampleRegression

        return SampleRegression(self.scale, self.error, self.epsilon)


@dataclass(frozen=True)
class PairwiseClassification(Objective):
    """Which of two people has more: cross-entropy over the pairs of a gene batch that are far apart.

    Predictions are counts, such as a TrackHead's.

    Args:
        scaled_by: among whose expression percentiles are taken: of the people who train the gene, or of everyone
        gap: percentiles that two people must be more than apart
    """

    gap: float = 25.0

    def __post_init__(self) -> None:
        require(0 <= self.gap < 100, f"objective.gap: {self.gap} is no difference of percentiles")

    def build(self) -> ObjectiveFunction:
        """See `trainer.objectives.PairClassification`."""
        from trainer.objectives import PairClassification

        return PairClassification(self.gap)
