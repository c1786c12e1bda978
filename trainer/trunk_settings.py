"""Settings of trunks: what turns a window into an embedding of its bins. See `trainer.config`."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from trainer.requirements import bins_of, require, require_checkpoint
from trainer.xpresso_weights import UPSTREAM, read_layers

if TYPE_CHECKING:  # torch takes seconds to import: not before a config is known to be good
    from trainer.cohort import Cohort
    from trainer.crops import Windows
    from trainer.trunks import TrunkModule


@dataclass(frozen=True)
class Trunk(ABC):
    """What turns a window into an embedding of each of its bins."""

    @abstractmethod
    def bins(self, context: int) -> int:
        """The bins of a window of ``context`` bases; an InputError if those do not fill it."""

    reads_sequence: ClassVar[bool] = True

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
            require(value >= 1, f"trunk.{name}: {value} is not positive")
        require(
            self.kernel >= 1 and self.kernel % 2 == 1,
            f"trunk.kernel: {self.kernel} is not a positive odd number of bases",
        )
        require(
            self.bin >= 2 and self.bin % 2 == 0,
            f"trunk.bin: {self.bin} is not a positive even number of bases",
        )

    def bins(self, context: int) -> int:
        """Bins of ``bin`` bases."""
        return bins_of(context, self.bin)

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
            require(value >= 1, f"trunk.{name}: {value} is not positive")
        # The position features come in six kinds, equally many of each in every attention head.
        require(
            self.dim % (6 * self.heads) == 0 and self.dim % self.dim_divisible_by == 0,
            f"trunk.dim: {self.dim} is not a multiple of 6 x heads and of dim_divisible_by",
        )
        require(0 <= self.dropout < 1, f"trunk.dropout: {self.dropout} is not a probability below 1")
        require(
            0 <= self.noise < float("inf"), f"trunk.noise: {self.noise} is not a share of a weight, 0 or more"
        )
        require(
            self.noise == 0 or self.pretrained is not None,
            "trunk.noise: random weights are noise already; give trunk.pretrained, or 0",
        )
        if self.pretrained is not None:
            require_checkpoint("trunk.pretrained", self.pretrained)

    def bins(self, context: int) -> int:
        """Bins of 128 bases."""
        return bins_of(context, 128)

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

    reads_sequence: ClassVar[bool] = False
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
            require(value >= 1, f"trunk.{name}: {value} is not positive")
        require(self.dim % self.heads == 0, f"trunk.dim: {self.dim} is not a multiple of heads")
        require(
            importlib.util.find_spec("borzoi_pytorch") is not None,
            "trunk: Borzoi needs borzoi-pytorch; pip install seqstore[borzoi]",
        )
        if self.pretrained is not None:
            require_checkpoint("trunk.pretrained", self.pretrained)

    def bins(self, context: int) -> int:
        """Bins of 32 bases, which are halved twice more."""
        return 4 * bins_of(context, 128)

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
        require(
            context >= 2 * UPSTREAM,
            f"context: {context} bases do not have the {UPSTREAM} before the TSS that Xpresso reads; give "
            f"{2 * UPSTREAM} or more",
        )
        return 1

    def build(self) -> TrunkModule:
        """See `trainer.xpresso.XpressoTrunk`."""
        from trainer.xpresso import XpressoTrunk, load_layers

        trunk = XpressoTrunk()
        load_layers(trunk, self.pretrained, key="trunk.pretrained")
        return trunk
