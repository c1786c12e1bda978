"""Packed windows to one-hot matrices, on the device, by looking bytes up in a table.

A packed window is its own one-hot matrix, a bit an entry (`seqstore.nucleotides`): a byte is two bases
of four bits, the first base and the letter A lowest. A lookup in a table of 256 rows of 8 floats
unpacks it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def byte_table(ambiguous: str = "zero") -> Tensor:
    """What each of the 256 bytes is as two one-hot bases: (256, 8) float32.

    ``ambiguous`` says what a base with several bits (an IUPAC code) becomes: ``zero`` nothing, as in the
    study; ``fraction`` a share of 1 for each nucleotide; ``multihot`` 1 for each.
    """
    codes = torch.arange(16).unsqueeze(1).bitwise_right_shift(torch.arange(4)).bitwise_and(1).float()
    n_bits = codes.sum(dim=1, keepdim=True)
    if ambiguous == "zero":
        codes = torch.where(n_bits == 1, codes, 0.0)
    elif ambiguous == "fraction":
        codes = codes / n_bits.clamp(min=1)
    elif ambiguous != "multihot":
        raise ValueError(f"ambiguous: {ambiguous!r} is none of zero, fraction, multihot")
    byte = torch.arange(256)
    return torch.cat([codes[byte % 16], codes[byte // 16]], dim=1)


class OneHot(nn.Module):
    """Packed windows (n, length // 2) uint8 to one-hot (n, length, 4) float32, A C G T.

    With ``reverse`` they are read on the other strand. The table follows the module's device; it is not
    part of a checkpoint.
    """

    table: Tensor

    def __init__(self, ambiguous: str = "zero") -> None:
        super().__init__()
        self.register_buffer("table", byte_table(ambiguous), persistent=False)

    def forward(self, packed: Tensor, reverse: bool = False) -> Tensor:
        """Unpack; see the class."""
        one_hot = self.table[packed.int()].reshape(packed.shape[0], -1, 4)
        return one_hot.flip(1, 2) if reverse else one_hot
