"""A trunk whose frozen part has been computed already (`trainer.embeddings`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from trainer.embeddings import AFTER, Embeddings
from trainer.tiles import Tiling

_TORCH = {"float32": torch.float32, "float16": torch.float16}


class CachedInput(nn.Module):
    """Embeddings (n, bytes) uint8 of both strands, as they are read, to those of one (n, bins, channels)."""

    def __init__(self, bins: int, channels: int, dtype: np.dtype[np.floating]) -> None:
        super().__init__()
        self._shape = (2, bins, channels)
        self._dtype = _TORCH[dtype.name]

    def forward(self, packed: Tensor, *, start: int, length: int, reverse: bool) -> Tensor:
        """The + strand, or with ``reverse`` the other."""
        return packed.view(self._dtype).view(-1, *self._shape)[:, int(reverse)].float()


class CachedTrunk(nn.Module):
    """What an Enformer does behind its transformer, on cached embeddings of the centre bins."""

    def __init__(self, path: str, *, train_pointwise: bool) -> None:
        super().__init__()
        embeddings = Embeddings(path)
        self.input = CachedInput(embeddings.bins, embeddings.channels, embeddings.dtype)
        self.final_pointwise = _pointwise(embeddings.channels, float(embeddings.attributes["dropout"]))
        self.final_pointwise.load_state_dict(load_file(Path(path) / AFTER))
        self.final_pointwise.requires_grad_(train_pointwise)
        self.channels = 2 * embeddings.channels
        self.tiling: Tiling | None = None
        self.train()

    def train(self, mode: bool = True) -> CachedTrunk:
        """As of any module; batch-norm layers stay in evaluation mode, as those of a frozen trunk."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def embed(self, cached: Tensor) -> Tensor:
        """Embeddings (batch, bins, channels) to (batch, bins, 2 x channels)."""
        embedded: Tensor = self.final_pointwise(cached)
        return embedded


def _pointwise(dim: int, dropout: float) -> nn.Sequential:
    """The last layer of an Enformer with so many channels, without weights."""
    from enformer_pytorch import Enformer

    with torch.device("meta"):  # all of it, but in no memory
        whole = Enformer.from_hparams(
            dim=dim, depth=0, dropout_rate=dropout, output_heads={}, target_length=-1, dim_divisible_by=1
        )
    pointwise: nn.Sequential = whole.final_pointwise.to_empty(device="cpu")
    return pointwise
