"""The configuration of a run: every key of the YAML file that ``trainer/fit.py --config`` reads.

Trunk, head and objective are chosen by class::

    trunk:
      class_path: Enformer
      init_args: {pretrained: checkpoints/enformer}

A component is a frozen dataclass of settings under one of the bases `Trunk`, `Head` and `Objective`, and
builds what the loop uses. One of your own goes by its dotted path (``class_path: my_trunks.Borzoi``).
"""

from __future__ import annotations

import importlib.util
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import jsonargparse
import numpy as np
import numpy.typing as npt

from seqstore.errors import InputError
from trainer.samplers import EveryPerson, People, RandomPeople, Sampler
from trainer.xpresso_weights import SHAPES, UPSTREAM, read_layers

if TYPE_CHECKING:  # torch takes seconds to import: not before a config is known to be good
    from trainer.cohort import Cohort
    from trainer.crops import Windows
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


def _require_checkpoint(key: str, pretrained: str) -> None:
    folder = Path(pretrained)
    is_path = folder.is_absolute() or pretrained.startswith(".") or len(folder.parts) != 2
    _require(
        (folder / "config.json").is_file() if folder.exists() else not is_path,
        f"{key}: {folder} is neither a folder with a config.json nor a hub id (owner/name)",
    )


@dataclass(frozen=True)
class Trunk(ABC):
    """What turns a window into an embedding of each of its bins."""

    @abstractmethod
    def bins(self, context: int) -> int:
        """The bins of a window of ``context`` bases; an InputError if those do not fill it."""

    can_shift: ClassVar[bool] = True

    @abstractmethod
    def build(self) -> TrunkModule:
        """The module, with weights that are random (of torch's global generator) or loaded."""

    def windows(self, cohort: Cohort, genes: npt.NDArray[np.integer], margin: int) -> Windows:
        """What the trunk reads of some genes: centre crops of their windows, with ``margin`` bases more each side."""
        return cohort.crops(genes, margin)


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
        noise: to every loaded weight but batch norm's a draw of N(0, (noise x weight)^2) is added once; the study's
            0.01 to 2 ask what pretraining is worth; only with pretrained
        freeze: what is not trained: nothing, the tower (with the stem), the transformer, or both; the final pointwise
            layer always is
        dim: channels of the transformer; the embedding has twice as many; for random weights only
        depth: transformer layers; for random weights only
        heads: attention heads; for random weights only
        dim_divisible_by: channels of the tower's layers are multiples of it; for random weights only
        dropout: dropout of the transformer; attention and position dropout scale with it (package: 0.4)
        freeze_batch_norm: keep the batch-norm statistics as they were loaded
        checkpoint_activations: recompute the transformer's activations in the backward pass to save memory
    """

    pretrained: str | None = None
    noise: float = 0.0
    freeze: Literal["nothing", "tower", "transformer", "both"] = "nothing"
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
        _require(
            0 <= self.noise < float("inf"), f"trunk.noise: {self.noise} is not a share of a weight, 0 or more"
        )
        _require(
            self.noise == 0 or self.pretrained is not None,
            "trunk.noise: random weights are noise already; give trunk.pretrained, or 0",
        )
        if self.pretrained is not None:
            _require_checkpoint("trunk.pretrained", self.pretrained)

    def bins(self, context: int) -> int:
        """Bins of 128 bases."""
        return _bins(context, 128)

    def build(self) -> TrunkModule:
        """See `trainer.trunks.EnformerTrunk`."""
        from trainer.trunks import EnformerTrunk

        return EnformerTrunk.from_settings(self)


@dataclass(frozen=True)
class Cached(Trunk):
    """A frozen Enformer whose transformer has run already, on every distinct window (trainer/embed.py).

    Args:
        embeddings: what trainer/embed.py wrote
        train_pointwise: train the layer behind the transformer, final_pointwise, as the study did
    """

    can_shift: ClassVar[bool] = False
    embeddings: str
    train_pointwise: bool = True

    def bins(self, context: int) -> int:
        """The centre bins that are cached."""
        from trainer.embeddings import Embeddings

        return Embeddings(self.embeddings).bins

    def build(self) -> TrunkModule:
        """See `trainer.cached.CachedTrunk`."""
        from trainer.cached import CachedTrunk

        return CachedTrunk(self.embeddings, train_pointwise=self.train_pointwise)

    def windows(self, cohort: Cohort, genes: npt.NDArray[np.integer], margin: int) -> Windows:
        """The embeddings, if they are of this cohort."""
        from trainer.embeddings import Embeddings

        embeddings = Embeddings(self.embeddings)
        embeddings.check(
            store=cohort.reader.path,
            fingerprint=cohort.identity["store_fingerprint"],
            context=cohort.context,
            ambiguous=cohort.ambiguous,
        )
        embeddings.check_genes(genes, cohort.genes)
        return embeddings


@dataclass(frozen=True)
class Borzoi(Trunk):
    """Borzoi (Linder et al. 2025, doi 10.1038/s41588-024-02053-6) of borzoi-pytorch, without its track heads.

    It was trained on windows of 524,288 bases. Its convolutions always have their full width.

    Args:
        pretrained: Hugging Face hub id or local folder (config.json and weights); default random weights
        dim: channels of the transformer; for random weights only
        depth: transformer layers; for random weights only
        heads: attention heads; for random weights only
        freeze_batch_norm: keep the batch-norm statistics as they were loaded
    """

    pretrained: str | None = None
    dim: int = 1536
    depth: int = 8
    heads: int = 8
    freeze_batch_norm: bool = True

    def __post_init__(self) -> None:
        for name in ("dim", "depth", "heads"):
            value = getattr(self, name)
            _require(value >= 1, f"trunk.{name}: {value} is not positive")
        _require(self.dim % self.heads == 0, f"trunk.dim: {self.dim} is not a multiple of heads")
        _require(
            importlib.util.find_spec("borzoi_pytorch") is not None,
            "trunk: Borzoi needs borzoi-pytorch; pip install seqstore[borzoi]",
        )
        if self.pretrained is not None:
            _require_checkpoint("trunk.pretrained", self.pretrained)

    def bins(self, context: int) -> int:
        """Bins of 32 bases, which are halved twice more."""
        return 4 * _bins(context, 128)

    def build(self) -> TrunkModule:
        """See `trainer.borzoi.BorzoiTrunk`."""
        from trainer.borzoi import BorzoiTrunk

        return BorzoiTrunk.from_settings(self)


@dataclass(frozen=True)
class Xpresso(Trunk):
    """Xpresso (Agarwal and Shendure 2020, doi 10.1016/j.celrep.2020.107663): 10,500 bases round the TSS, in one bin.

    It reads 7,000 bases before the TSS and 3,500 from it on, on the strand that the trainer reads; see
    `trainer.xpresso.XpressoTrunk` for what that means for genes of the - strand.

    Args:
        pretrained: Keras HDF5 file of its authors (Zenodo record 4075690); default random weights
    """

    pretrained: str | None = None

    def __post_init__(self) -> None:
        if self.pretrained is not None:
            read_layers(self.pretrained, key="trunk.pretrained")

    def bins(self, context: int) -> int:
        """One, of a context with 7,000 bases on both sides of the TSS or more."""
        _require(
            context >= 2 * UPSTREAM,
            f"context: {context} bases do not have the {UPSTREAM} before the TSS that Xpresso reads; give "
            f"{2 * UPSTREAM} or more",
        )
        return 1

    def build(self) -> TrunkModule:
        """See `trainer.xpresso.XpressoTrunk`."""
        from trainer.xpresso import XpressoTrunk

        return XpressoTrunk.load(self.pretrained)


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
class TrackHead(Head):
    """The sum over the centre bins of one track of Enformer's own output head; positive.

    The head of the study's pairwise classification and of its untouched Enformer.

    Args:
        pretrained: hub id or local folder, the trunk's; default random weights
        species: which of the checkpoint's output heads; only with pretrained
        track: which of its tracks, from 0 on (the study: 5110, CAGE of GM12878); only with pretrained
        bins: number of centre bins (the study: 10); 0 = all
    """

    pretrained: str | None = None
    species: str = "human"
    track: int = 5110
    bins: int = 10

    def __post_init__(self) -> None:
        for name in ("track", "bins"):
            value = getattr(self, name)
            _require(value >= 0, f"head.{name}: {value} is negative")
        if self.pretrained is not None:
            _require_checkpoint("head.pretrained", self.pretrained)
            self._check_track(Path(self.pretrained) / "config.json")

    def check(self, bins: int) -> None:
        """The centre cannot be wider than the window."""
        _require(self.bins <= bins, f"head.bins: {self.bins} centre bins, but a window has {bins}")

    def build(self, channels: int) -> HaplotypeHead:
        """See `trainer.head.TrackPoolingHead`."""
        from trainer.head import TrackPoolingHead

        return TrackPoolingHead.from_settings(self, channels)

    def _check_track(self, path: Path) -> None:
        """What a local folder says of its tracks; a hub id's are looked at once it is loaded."""
        if not path.is_file():
            return
        try:
            config = json.loads(path.read_text())
            # transformers leaves out what is as in Enformer itself.
            tracks = config.get("output_heads", {"human": 5313, "mouse": 1643})
            n = {str(species): int(tracks[species]) for species in tracks}
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"head.pretrained: {path}: {error}") from error
        _require(self.species in n, f"head.species: {path} has {', '.join(n) or 'none'}, no {self.species!r}")
        _require(
            self.track < n[self.species],
            f"head.track: {path} has the {self.species} tracks 0 to {n[self.species] - 1}, no {self.track}",
        )


@dataclass(frozen=True)
class XpressoHead(Head):
    """The last layers of Xpresso, from its dense layer of 64 to the expression level; for the Xpresso trunk.

    Args:
        pretrained: Keras HDF5 file of its authors, the trunk's; default random weights
    """

    pretrained: str | None = None

    def __post_init__(self) -> None:
        if self.pretrained is not None:
            read_layers(self.pretrained, key="head.pretrained")

    def check(self, bins: int) -> None:
        """Xpresso has one bin."""
        _require(
            bins == 1, f"head: XpressoHead reads one bin, but a window has {bins}; take the Xpresso trunk"
        )

    def build(self, channels: int) -> HaplotypeHead:
        """See `trainer.xpresso.XpressoLevelHead`."""
        from trainer.xpresso import XpressoLevelHead

        needed = SHAPES["narrow"][0]
        _require(
            channels == needed,
            f"head: XpressoHead reads {needed} channels, but the trunk gives {channels}; take the Xpresso trunk",
        )
        return XpressoLevelHead.load(self.pretrained)


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
        _require(self.epsilon > 0, f"objective.epsilon: {self.epsilon} is not positive")

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
        _require(self.epsilon > 0, f"objective.epsilon: {self.epsilon} is not positive")

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
        _require(0 <= self.gap < 100, f"objective.gap: {self.gap} is no difference of percentiles")

    def build(self) -> ObjectiveFunction:
        """See `trainer.objectives.PairClassification`."""
        from trainer.objectives import PairClassification

        return PairClassification(self.gap)


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
        trunk: Convolutional, Enformer, Cached, Xpresso, Borzoi or a dotted path of your own
        head: AttentionHead, TrackHead, XpressoHead or a dotted path of your own
        objective: PairwiseRegression, SingleRegression, PairwiseClassification or a dotted path of your own
        train_share: share of each gene's training people that it is learnt from, drawn by the seed; for learning curves
        people: people in a gene batch; default all training people of the gene
        sampling: the people of a gene batch are random each time, or every person of a gene has one turn an epoch
        draws_per_gene: random gene batches of each gene in an epoch; 250 of 2 people are the study's pairs
        genes_per_step: gene batches in one optimiser step, over all processes
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
            _require(
                self.context >= 2 and self.context % 2 == 0,
                f"context: {self.context} is not a positive even number of bases",
            )
        _require(
            self.people is None or self.people >= self.objective.least_people,
            f"people: {self.people} in a gene batch; this objective needs {self.objective.least_people} or more",
        )
        _require(0 < self.train_share <= 1, f"train_share: {self.train_share} is no share above 0, at most 1")
        _require(
            self.sampling == "random" or self.people is not None,
            "sampling: everyone takes turns in gene batches of how many people? give people",
        )
        _require(
            self.sampling == "random" or self.draws_per_gene == 1,
            f"draws_per_gene: {self.draws_per_gene} draws, but with sampling: everyone a person has one turn an epoch",
        )
        for name in ("genes_per_step", "microbatch", "validate_every", "draws_per_gene"):
            value = getattr(self, name)
            _require(value >= 1, f"{name}: {value} is not positive")
        for name in ("steps", "max_shift", "warmup", "weight_decay", "clip", "patience", "seed"):
            value = getattr(self, name)
            _require(value >= 0, f"{name}: {value} is negative")
        _require(self.learning_rate > 0, f"learning_rate: {self.learning_rate} is not positive")
        _require(
            0 <= self.reverse_complement <= 1,
            f"reverse_complement: {self.reverse_complement} is not a probability",
        )
        _require(
            self.trunk.can_shift or self.max_shift == 0,
            f"max_shift: {self.max_shift}, but cached embeddings cannot be shifted; give 0",
        )
        _require(bool(self.name), "name: is empty")
        _require(bool(self.output), "output: is empty")

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
