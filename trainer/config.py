"""The configuration of a run: every key of the YAML file that ``trainer/fit.py --config`` reads.

Trunk, head and objective are chosen by class::

    trunk:
      class_path: Enformer
      init_args: {pretrained: checkpoints/enformer}

A component is a frozen dataclass of settings under one of the bases `Trunk`, `Head` and `Objective`, and
builds what the loop uses. One of your own goes by its dotted path (``class_path: my_trunks.Borzoi``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jsonargparse
import numpy as np
import numpy.typing as npt

from seqstore.errors import InputError
from trainer.samplers import EveryPerson, RandomPeople, Sampler

if TYPE_CHECKING:  # torch takes seconds to import: not before a config is known to be good
    from trainer.head import HaplotypeHead
    from trainer.objectives import ObjectiveFunction
    from trainer.trunks import TrunkModule

Accelerator = Literal["auto", "cpu", "cuda", "mps"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


def _bins(context: int, bases: int) -> int:
    _require(context % bases == 0, f"context: {context} bases are not a whole number of bins of {bases}")
    return context // bases


@dataclass(frozen=True)
class Trunk(ABC):
    """What turns a window into an embedding of each of its bins."""

    @abstractmethod
    def bins(self, context: int) -> int:
        """The bins of a window of ``context`` bases; an InputError if those do not fill it."""

    @abstractmethod
    def build(self) -> TrunkModule:
        """The module, with weights that are random (of torch's global generator) or loaded."""


@dataclass(frozen=True)
class Convolutional(Trunk):
    """A small convolutional trunk for two-core machines.

    It is local, so it runs once per distinct stretch of sequence instead of once per distinct window
    (see `trainer.tiles`), and sums over positions, so that the effect of one variant is not diluted.

    Args:
        channels: filters of the first convolution
        hidden: channels of the layer above it, which are the embedding's
        kernel: bases that the first convolution sees, odd
        bin: bases of a bin, even
    """

    channels: int = 128
    hidden: int = 128
    kernel: int = 15
    bin: int = 64

    def __post_init__(self) -> None:
        for name in ("channels", "hidden"):
            value = getattr(self, name)
            _require(value >= 1, f"trunk.{name}: {value} is not positive")
        _require(
            self.kernel >= 1 and self.kernel % 2 == 1,
            f"trunk.kernel: {self.kernel} is not a positive odd number of bases",
        )
        _require(
            self.bin >= 2 and self.bin % 2 == 0,
            f"trunk.bin: {self.bin} is not a positive even number of bases",
        )

    def bins(self, context: int) -> int:
        """Bins of ``bin`` bases."""
        return _bins(context, self.bin)

    def build(self) -> TrunkModule:
        """See `trainer.trunks.ConvolutionalTrunk`."""
        from trainer.trunks import ConvolutionalTrunk

        return ConvolutionalTrunk(self.channels, self.hidden, self.kernel, self.bin)


@dataclass(frozen=True)
class Enformer(Trunk):
    """Enformer (Avsec et al. 2021, doi 10.1038/s41592-021-01252-x) of enformer-pytorch, without its track heads.

    Args:
        pretrained: Hugging Face hub id or local folder (config.json and weights); default random weights
        dim: channels of the transformer; the embedding has twice as many; for random weights only
        depth: transformer layers; for random weights only
        heads: attention heads; for random weights only
        dim_divisible_by: channels of the tower's layers are multiples of it; for random weights only
        dropout: dropout of the transformer; attention and position dropout scale with it (package: 0.4)
        freeze_batch_norm: keep the batch-norm statistics as they were loaded
        checkpoint_activations: recompute the transformer's activations in the backward pass to save memory
    """

    pretrained: str | None = None
    dim: int = 1536
    depth: int = 11
    heads: int = 8
    dim_divisible_by: int = 128
    dropout: float = 0.4
    freeze_batch_norm: bool = True
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        for name in ("dim", "depth", "heads", "dim_divisible_by"):
            value = getattr(self, name)
            _require(value >= 1, f"trunk.{name}: {value} is not positive")
        # The position features come in six kinds, equally many of each in every attention head.
        _require(
            self.dim % (6 * self.heads) == 0 and self.dim % self.dim_divisible_by == 0,
            f"trunk.dim: {self.dim} is not a multiple of 6 x heads and of dim_divisible_by",
        )
        _require(0 <= self.dropout < 1, f"trunk.dropout: {self.dropout} is not a probability below 1")
        if self.pretrained is not None:
            folder = Path(self.pretrained)
            is_path = folder.is_absolute() or self.pretrained.startswith(".") or len(folder.parts) != 2
            _require(
                (folder / "config.json").is_file() if folder.exists() else not is_path,
                f"trunk.pretrained: {folder} is neither a folder with a config.json nor a hub id (owner/name)",
            )

    def bins(self, context: int) -> int:
        """Bins of 128 bases."""
        return _bins(context, 128)

    def build(self) -> TrunkModule:
        """See `trainer.trunks.EnformerTrunk`."""
        from trainer.trunks import EnformerTrunk

        return EnformerTrunk.from_settings(self)


@dataclass(frozen=True)
class Head(ABC):
    """What turns the embedding of a window into the value of that haplotype."""

    @abstractmethod
    def check(self, bins: int) -> None:
        """Raise an InputError if a window of that many bins does not suit this head."""

    @abstractmethod
    def build(self, channels: int) -> HaplotypeHead:
        """The module, for an embedding of that many channels."""


@dataclass(frozen=True)
class AttentionHead(Head):
    """Softmax attention pooling over the centre bins, then a linear layer to one value.

    Args:
        bins: number of centre bins (the study: 10); 0 = all
        pooling: mean = the attention-weighted mean of the bins (the study); sum = that times their number, so
            that the effect of one variant does not shrink with the length of the window
        zero: start from linear layers of zeros: every haplotype is predicted alike until trained
    """

    bins: int = 0
    pooling: Literal["mean", "sum"] = "sum"
    zero: bool = True

    def __post_init__(self) -> None:
        _require(self.bins >= 0, f"head.bins: {self.bins} is negative; 0 means all")

    def check(self, bins: int) -> None:
        """The centre cannot be wider than the window."""
        _require(self.bins <= bins, f"head.bins: {self.bins} centre bins, but a window has {bins}")

    def build(self, channels: int) -> HaplotypeHead:
        """See `trainer.head.AttentionPoolingHead`."""
        from trainer.head import AttentionPoolingHead

        return AttentionPoolingHead(channels, bins=self.bins, pooling=self.pooling, zero=self.zero)


@dataclass(frozen=True)
class Objective(ABC):
    """What is minimised over the people of a gene batch."""

    @abstractmethod
    def build(self) -> ObjectiveFunction:
        """The targets and the loss."""


@dataclass(frozen=True)
class PairwiseRegression(Objective):
    """Squared error of differences of z-scores, mean over all pairs of people in a gene batch."""

    def build(self) -> ObjectiveFunction:
        """See `trainer.objectives.AllPairsRegression`."""
        from trainer.objectives import AllPairsRegression

        return AllPairsRegression()


jsonargparse.set_parsing_settings(subclasses_enabled=[Trunk, Head, Objective])


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
        trunk: Convolutional, Enformer or a dotted path of your own
        head: AttentionHead or a dotted path of your own
        objective: PairwiseRegression or a dotted path of your own
        people: people in a gene batch; default all training people of the gene
        sampling: the people of a gene batch are random each time, or every person of a gene has one turn an epoch
        draws_per_gene: random gene batches of each gene in an epoch; 250 of 2 people are the study's pairs
        genes_per_step: gene batches in one optimiser step, over all processes
        microbatch: windows in memory at once; larger gene batches take two passes for the same gradient
        reverse_complement: probability that a gene batch is read on the other strand; at 0 predictions read the
            + strand only, otherwise they are the mean of both
        max_shift: a gene batch is shifted by up to so many bases either way
        steps: optimiser steps
        learning_rate: peak learning rate of AdamW
        schedule: after the warm-up the learning rate falls to 0 along a cosine, or stays
        warmup: steps over which the learning rate rises from 0
        weight_decay: weight decay of AdamW
        clip: largest norm of the gradient; 0 = any
        validate_every: steps between validations; each writes a row of metrics.csv and a checkpoint
        patience: validations without a better score after which training stops; 0 = never
        seed: seed of weights, people, strands, shifts and dropout
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
    people: int | None = None
    sampling: Literal["random", "everyone"] = "random"
    draws_per_gene: int = 1
    genes_per_step: int = 4
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
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: Accelerator = "auto"

    def __post_init__(self) -> None:
        if self.context is not None:
            _require(
                self.context >= 2 and self.context % 2 == 0,
                f"context: {self.context} is not a positive even number of bases",
            )
        _require(
            self.people is None or self.people >= 2,
            f"people: {self.people} people make no pair; give 2 or more",
        )
        _require(
            self.sampling == "random" or self.people is not None,
            "sampling: everyone takes turns in gene batches of how many people? give people",
        )
        _require(
            self.sampling == "random" or self.draws_per_gene == 1,
            f"draws_per_gene: {self.draws_per_gene} draws, but with sampling: everyone a person has one turn an epoch",
        )
        for name in ("genes_per_step", "microbatch", "steps", "validate_every", "draws_per_gene"):
            value = getattr(self, name)
            _require(value >= 1, f"{name}: {value} is not positive")
        for name in ("max_shift", "warmup", "weight_decay", "clip", "patience", "seed"):
            value = getattr(self, name)
            _require(value >= 0, f"{name}: {value} is negative")
        _require(self.learning_rate > 0, f"learning_rate: {self.learning_rate} is not positive")
        _require(
            0 <= self.reverse_complement <= 1,
            f"reverse_complement: {self.reverse_complement} is not a probability",
        )
        _require(bool(self.name), "name: is empty")
        _require(bool(self.output), "output: is empty")

    def sampler(self, people: Mapping[int, npt.NDArray[np.int64]]) -> Sampler:
        """What draws gene batches, given the training people of each gene."""
        if self.sampling == "everyone":
            assert self.people is not None
            return EveryPerson(people, size=self.people, seed=self.seed)
        return RandomPeople(people, size=self.people, draws=self.draws_per_gene, seed=self.seed)


def as_mapping(config: FitConfig) -> dict[str, Any]:
    """A config as plain values, in the form its YAML file has."""
    plain: dict[str, Any] = {}
    for key in fields(config):
        value = getattr(config, key.name)
        if isinstance(value, Trunk | Head | Objective):
            kind = type(value)
            plain[key.name] = {
                "class_path": f"{kind.__module__}.{kind.__qualname__}",
                "init_args": asdict(value),
            }
        else:
            plain[key.name] = value
    return plain
