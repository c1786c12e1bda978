from __future__ import annotations

import numpy as np
import pytest
import torch

from seqstore.nucleotides import encode, pack
from trainer.onehot import OneHot

BASES = {
    "A": "A",
    "C": "C",
    "G": "G",
    "T": "T",
    "N": "",
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "B": "CGT",
    "V": "ACG",
}
COMPLEMENT = dict(zip("ACGTNRYSBV", "TGCANYRSVB", strict=True))


def packed(*sequences: str) -> torch.Tensor:
    return torch.from_numpy(pack(np.stack([encode(sequence) for sequence in sequences])))


def decoded(sequence: str, ambiguous: str) -> np.ndarray:
    """One-hot of a sequence letter by letter, without anything of the package."""
    rows = []
    for letter in sequence:
        bases = BASES[letter]
        height = {"zero": float(len(bases) == 1), "fraction": 1 / max(len(bases), 1), "multihot": 1.0}[
            ambiguous
        ]
        rows.append([height * (base in bases) for base in "ACGT"])
    return np.array(rows)


@pytest.mark.parametrize("ambiguous", ["zero", "fraction", "multihot"])
def test_one_hot_is_the_sequence_letter_by_letter(ambiguous: str) -> None:
    sequences = "ACGTNRYSBV", "TTVBAGCNNA"
    found = OneHot(ambiguous)(packed(*sequences)).numpy()
    np.testing.assert_allclose(found, [decoded(s, ambiguous) for s in sequences], rtol=1e-6)


def test_the_other_strand_is_the_reverse_complement() -> None:
    sequence = "AACGTNRYSBVT"
    other = "".join(COMPLEMENT[letter] for letter in reversed(sequence))
    one_hot = OneHot("multihot")
    assert torch.equal(one_hot(packed(sequence), reverse=True), one_hot(packed(other)))


def test_every_byte_is_two_bases() -> None:
    found = OneHot("multihot")(torch.arange(256, dtype=torch.uint8)[:, None]).numpy()
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").reshape(
        256, 2, 4
    )
    assert np.array_equal(found, bits)


def test_an_unknown_rendering_is_refused() -> None:
    with pytest.raises(ValueError, match="none of zero, fraction, multihot"):
        OneHot("half")


def test_the_table_is_no_weight() -> None:
    assert OneHot().state_dict() == {}
