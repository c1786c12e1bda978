"""Trunks: from one-hot sequence to the embedding of its bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.pretrained import load_model
from trainer.tiles import Tiling

if TYPE_CHECKING:
    from trainer.config import Enformer


@runtime_checkable
class TrunkModule(Protocol):
    """What a trunk offers; it is an nn.Module besides.

    ``channels`` are its embedding's. ``tiling`` is set if it is local: then `embed` is given tiles with
    their halo, (batch, tiling.bases + 2 * tiling.halo, 4), and returns the bins of tiling.bases only.
    """

    channels: int
    tiling: Tiling | None

    def embed(self, one_hot: Tensor) -> Tensor:
        """One-hot (batch, length, 4), A C G T, to (batch, bins, channels)."""
        ...


class ConvolutionalTrunk(nn.Module):
    """Convolution, GELU, pointwise layer, GELU, sum over the positions of a bin.

    The first layer is a wide hash of the ``kernel`` bases around each position: two alleles differ in it
    at ``kernel`` positions, each in its own direction. Summing (not averaging) keeps a variant's effect
    independent of the lengths of bin and window. There is no normalisation over a batch.
    """

    def __init__(self, channels: int, hidden: int, kernel: int, bin: int) -> None:
        super().__init__()
        self.channels = hidden
        reach = kernel // 2
        halo = reach + reach % 2  # whole bytes
        self.tiling: Tiling | None = Tiling(bin, halo)
        self._excess = halo - reach
        self.motifs = nn.Conv1d(4, channels, kernel)
        self.mix = nn.Conv1d(channels, hidden, 1)
        # A one-hot column has one entry of four, so the variance of the first layer's output is
        # kernel x std^2 = 4; of the second layer's, channels x std^2 x E[gelu^2].
        nn.init.normal_(self.motifs.weight, std=2 / kernel**0.5)
        nn.init.normal_(self.mix.weight, std=1 / channels**0.5)
        for layer in (self.motifs, self.mix):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def embed(self, one_hot: Tensor) -> Tensor:
        """Tiles with their halo (batch, bin + 2 halo, 4) to (batch, 1, hidden)."""
        bases = one_hot[:, self._excess : one_hot.shape[1] - self._excess].transpose(1, 2)
        hidden = F.gelu(self.mix(F.gelu(self.motifs(bases))))
        return hidden.float().sum(dim=2).unsqueeze(1)


#: The parts of an Enformer that stay as they are, by the setting ``freeze``.
FROZEN = {
    "nothing": (),
    "tower": ("stem", "conv_tower"),
    "transformer": ("transformer",),
    "both": ("stem", "conv_tower", "transformer"),
}


class EnformerTrunk(nn.Module):
    """The trunk of an Enformer of enformer-pytorch: windows to bins of 128 bases, uncropped, heads left off.

    The parts that ``freeze`` names are not trained: their weights want no gradient, dropout is off in them and batch
    norm in evaluation mode. Autograd keeps nothing of layers before which nothing is trained, so with the tower
    frozen no activation of it is kept, and with both none but the final pointwise layer's.
    """

    def __init__(
        self,
        enformer: Any,
        *,
        freeze: str = "nothing",
        freeze_batch_norm: bool = True,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.stem: nn.Sequential = enformer.stem
        self.conv_tower: nn.Sequential = enformer.conv_tower
        self.transformer: nn.Sequential = enformer.transformer
        self.final_pointwise: nn.Sequential = enformer.final_pointwise
        self.channels = 2 * int(enformer.dim)
        self.tiling: Tiling | None = None
        self._frozen = FROZEN[freeze]
        self._freeze_batch_norm = freeze_batch_norm
        self._checkpoint_activations = checkpoint_activations
        for part in self._frozen:
            self.get_submodule(part).requires_grad_(False)
        self.train()

    @classmethod
    def from_settings(cls, settings: Enformer) -> EnformerTrunk:
        """Load or draw the weights.

        tf-gamma position features are left off always: they exist for 1,536 bins only.

        Raises:
            InputError: the checkpoint cannot be loaded.
        """
        from enformer_pytorch import Enformer as EnformerModel

        # The package's proportions: 0.4 of dropout, 0.05 on attention, 0.01 on positions.
        options = {
            "dropout_rate": settings.dropout,
            "attn_dropout": settings.dropout / 8,
            "pos_dropout": settings.dropout / 40,
            "use_tf_gamma": False,
            "target_length": -1,
        }
        if settings.pretrained is None:
            enformer = EnformerModel.from_hparams(
                dim=settings.dim,
                depth=settings.depth,
                heads=settings.heads,
                dim_divisible_by=settings.dim_divisible_by,
                output_heads={},
                **options,
            )
        else:
            parts = ("stem", "conv_tower", "transformer", "final_pointwise")
            enformer = load_model(EnformerModel, settings.pretrained, parts, **options)
        trunk = cls(
            enformer,
            freeze=settings.freeze,
            freeze_batch_norm=settings.freeze_batch_norm,
            checkpoint_activations=settings.checkpoint_activations,
        )
        if settings.noise:
            add_noise(trunk, settings.noise)
        return trunk

    def train(self, mode: bool = True) -> EnformerTrunk:
        """As of any module; frozen parts and frozen batch-norm layers stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            self.get_submodule(part).eval()
        if self._freeze_batch_norm:
            freeze_batch_norms(self)
        return self

    def before(self, one_hot: Tensor) -> Tensor:
        """Windows (batch, length, 4) to what the final pointwise layer is given (batch, length // 128, dim)."""
        bins: Tensor = self.conv_tower(self.stem(one_hot.transpose(1, 2))).transpose(1, 2)
        keeps_activations = bins.requires_grad or "transformer" not in self._frozen
        if self._checkpoint_activations and self.training and keeps_activations:
            from torch.utils.checkpoint import checkpoint

            for layer in self.transformer:
                bins = checkpoint(layer, bins, use_reentrant=False)
        else:
            bins = self.transformer(bins)
        return bins

    def embed(self, one_hot: Tensor) -> Tensor:
        """Windows (batch, length, 4) to (batch, length // 128, 2 * dim)."""
        embedded: Tensor = self.final_pointwise(self.before(one_hot))
        return embedded


def freeze_batch_norms(module: nn.Module) -> None:
    """Put all batch-norm layers of a module in evaluation mode: their statistics are used, and stay as they are."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()


@torch.no_grad()
def add_noise(module: nn.Module, share: float) -> None:
    """Add to every weight w of a module a draw of N(0, (share * w)^2); batch-norm layers stay as they are.

    The study's test of what pretraining is worth. Draws are of torch's global generator.
    """
    for layer in module.modules():
        if not isinstance(layer, _BatchNorm):
            for weight in layer.parameters(recurse=False):
                weight.add_(torch.randn_like(weight) * weight.abs() * share)
