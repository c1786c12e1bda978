"""Xpresso: promoter sequence to the expression level of a gene, by a small convolutional network.

Agarwal and Shendure 2020, doi 10.1016/j.celrep.2020.107663. Its layers, for 10,500 bases from TSS - 7,000 on, read on
the gene's strand: convolution of 6 bases to 128 channels, maximum of 30 positions, convolution of 9 positions to 32
channels, maximum of 10 positions; the 35 x 32 numbers and 6 features of the transcript's half-life go through dense
layers of 64, 2 and 1, with ReLU after all but the last. The level is a standardised log10 RPKM.

Here the half-life features are zeros, those of an average gene: people differ in what is in the sequence. So their
weights are left out, and so is the dropout that the network was trained with (0.1 % and 1.5 %).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.tiles import Tiling
from trainer.xpresso_weights import DOWNSTREAM, HALF_LIFE_FEATURES, SHAPES, UPSTREAM, Layer, read_layers


class XpressoTrunk(nn.Module):
    """Xpresso up to its dense layer of 64, in one bin.

    A window is longer than what Xpresso reads and has the TSS in its middle; the 10,500 bases are cut out of it as it
    is given, from 7,000 before the middle on. Xpresso was trained on each gene's own strand, which a trunk does not
    know. With ``reverse_complement: 0`` the trainer reads the + strand: genes of the - strand are read backwards. With
    more it reads both, and a prediction is the mean of the promoter read forwards and backwards. (On the other strand
    the TSS base stands one to the left of the middle: what is cut out begins 6,999 before it.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.channels = SHAPES["dense"][-1]
        self.tiling: Tiling | None = None
        self.motifs = _convolution(SHAPES["motifs"])
        self.pairs = _convolution(SHAPES["pairs"])
        n_inputs, n_outputs = SHAPES["dense"]
        self.dense = nn.Linear(n_inputs - HALF_LIFE_FEATURES, n_outputs)

    def embed(self, one_hot: Tensor) -> Tensor:
        """Windows (batch, length, 4), at least 14,000 bases, to (batch, 1, 64)."""
        start = one_hot.shape[1] // 2 - UPSTREAM
        bases = one_hot[:, start : start + UPSTREAM + DOWNSTREAM].transpose(1, 2)
        # ReLU after the maximum is ReLU before it, for a thirtieth of the work. Keras pads a layer of an even width
        # with one position more behind than before.
        motifs = F.relu(F.max_pool1d(self.motifs(F.pad(bases, (2, 3))), 30))
        pairs = F.relu(F.max_pool1d(self.pairs(F.pad(motifs, (4, 4))), 10))
        dense = F.relu(self.dense(pairs.transpose(1, 2).flatten(1)))
        return dense.unsqueeze(1)


class XpressoLevelHead(nn.Module):
    """The rest of Xpresso: from its dense layer of 64 through that of 2 to the level; one value a window."""

    def __init__(self) -> None:
        super().__init__()
        n_inputs, n_narrow = SHAPES["narrow"]
        self.narrow = nn.Linear(n_inputs, n_narrow)
        self.level = nn.Linear(n_narrow, 1)

    def forward(self, embedding: Tensor) -> Tensor:
        """(windows, 1, 64) to (windows,)."""
        level: Tensor = self.level(F.relu(self.narrow(embedding)))
        return level.flatten()


def load_layers(module: nn.Module, path: str | None, *, key: str) -> None:
    """Give a module's layers the weights that layers of these names have in a Keras file; without one they stay random.

    Raises:
        InputError: the file is no Xpresso; ``key`` names it.
    """
    if path is not None:
        layers = read_layers(path, key=key)
        for name, layer in module.named_children():
            _fill(cast("nn.Conv1d | nn.Linear", layer), layers[name])


def _convolution(shape: tuple[int, ...]) -> nn.Conv1d:
    width, n_inputs, n_outputs = shape
    return nn.Conv1d(n_inputs, n_outputs, width)


@torch.no_grad()
def _fill(module: nn.Conv1d | nn.Linear, layer: Layer) -> None:
    """Copy a Keras layer's weights; of a dense layer as many of the first inputs as there are here."""
    kernel = torch.from_numpy(layer.kernel.T.copy())  # (out, in) or (out, in, width)
    module.weight.copy_(kernel[:, : module.weight.shape[1]])
    assert module.bias is not None
    module.bias.copy_(torch.from_numpy(layer.bias))
