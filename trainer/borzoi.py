"""Borzoi as a trunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from trainer.pretrained import load_model
from trainer.tiles import Tiling
from trainer.trunks import freeze_batch_norms

if TYPE_CHECKING:
    from trainer.config import Borzoi

#: The parts of a Borzoi but for its track heads.
_PARTS = frozenset(
    {
        *("conv_dna", "res_tower", "unet1", "horizontal_conv0", "horizontal_conv1", "transformer"),
        *("upsampling_unet1", "separable1", "upsampling_unet0", "separable0", "final_joined_convs"),
    }
)


class BorzoiTrunk(nn.Module):
    """The trunk of a Borzoi of borzoi-pytorch: windows to bins of 32 bases, uncropped, heads left off."""

    def __init__(self, network: Any, *, freeze_batch_norm: bool) -> None:
        super().__init__()
        self.network = network
        self.channels = int(network.final_joined_convs[0].conv_layer.out_channels)
        self.tiling: Tiling | None = None
        self._freeze_batch_norm = freeze_batch_norm
        self.train()

    @classmethod
    def from_settings(cls, settings: Borzoi) -> BorzoiTrunk:
        """Load or draw the weights.

        Raises:
            InputError: the checkpoint cannot be loaded.
        """
        from borzoi_pytorch import Borzoi as BorzoiModel

        options = {"enable_mouse_head": False, "return_center_bins_only": True, "bins_to_return": -1}
        if settings.pretrained is None:
            network = BorzoiModel.from_hparams(
                dim=settings.dim,
                depth=settings.depth,
                heads=settings.heads,
                attn_dim_value=settings.dim // settings.heads,
                **options,
            )
        else:
            network = load_model(BorzoiModel, settings.pretrained, _PARTS, **options)
        del network.human_head
        return cls(network, freeze_batch_norm=settings.freeze_batch_norm)

    def train(self, mode: bool = True) -> BorzoiTrunk:
        """As of any module; frozen batch-norm layers stay in evaluation mode."""
        super().train(mode)
        if self._freeze_batch_norm:
            freeze_batch_norms(self)
        return self

    def embed(self, one_hot: Tensor) -> Tensor:
        """Windows (batch, length, 4), all of one length, to (batch, length // 32, 1920)."""
        bins = self.network.get_embs_after_crop(one_hot.transpose(1, 2))
        embedded: Tensor = self.network.final_joined_convs(bins)
        return embedded.transpose(1, 2)
