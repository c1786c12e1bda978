from __future__ import annotations

import numpy as np
import pytest
import torch

from seqstore.nucleotides import decode, encode, pack, unpack
from trainer.head import AttentionPoolingHead
from trainer.model import Model
from trainer.tiles import Span, Tiling, cut, distinct
from trainer.trunks import ConvolutionalTrunk


def windows(*sequences: str) -> np.ndarray:
    return pack(np.stack([encode(sequence) for sequence in sequences]))


def text(packed: np.ndarray) -> str:
    return decode(unpack(packed))


def test_distinct_rows_are_found_with_their_first() -> None:
    rows = np.array([[2, 0], [1, 0], [2, 0], [0, 9], [1, 0]], dtype=np.uint8)
    first, kind = distinct(rows)
    assert sorted(first.tolist()) == [0, 1, 3]
    assert np.array_equal(rows[first][kind], rows)


def test_windows_are_cut_into_distinct_tiles_with_their_halo() -> None:
    #                 TTTT CCCC GGGG, and one base changed next to the second border
    tiles = cut(windows("TTTTCCCCGGGG", "TTTTCCCAGGGG"), Span(0, 12), Tiling(bases=4, halo=2))
    found = [[text(tiles.packed[tile]) for tile in row] for row in tiles.index]
    assert found == [
        ["NNTTTTCC", "TTCCCCGG", "CCGGGGNN"],
        ["NNTTTTCC", "TTCCCAGG", "CAGGGGNN"],
    ]
    assert len(tiles.packed) == 5


def test_without_a_tiling_the_tiles_are_the_windows() -> None:
    both = windows("ACGT", "ACGA")
    tiles = cut(both, Span(1, 2), None)
    assert np.array_equal(tiles.packed[tiles.index[:, 0]], both)
    assert tiles.span == Span(1, 2)


def test_tiles_of_a_span_have_n_beyond_it() -> None:
    tiles = cut(windows("TTTTCCCCGGGG"), Span(3, 8), Tiling(bases=4, halo=2))
    assert [text(tiles.packed[tile]) for tile in tiles.index[0]] == ["NNTCCCCG", "CCCGGGNN"]
    tiles = cut(windows("TTTTCCCCGGGG"), Span(-2, 8), Tiling(bases=4, halo=0))
    assert [text(tiles.packed[tile]) for tile in tiles.index[0]] == ["NNTT", "TTCC"]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kernel", [5, 7])
def test_a_model_on_tiles_equals_one_on_whole_windows(kernel: int, reverse: bool) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    sequence = rng.choice(list("ACGT"), 96)
    changed = [sequence.copy() for _ in range(5)]
    for number, other in enumerate(changed):
        other[number * 17] = "N"
    packed = windows(*map("".join, changed))
    trunk = ConvolutionalTrunk(channels=6, hidden=7, kernel=kernel, bin=8)
    model = Model(trunk, AttentionPoolingHead(7, bins=0, pooling="sum", zero=False))
    assert trunk.tiling is not None
    tiles = cut(packed, Span(0, 96), trunk.tiling)
    assert len(tiles.packed) < 96 // 8 + 3 * 5
    found = model(torch.from_numpy(tiles.packed), torch.from_numpy(tiles.index), tiles.span, reverse)
    # Independently: the whole window of the strand read, with N beyond its ends, through the same layers.
    one_hot = np.zeros((5, 96 + kernel - 1, 4), dtype=np.float32)
    for row, other in enumerate(changed):
        strand = "".join(other)
        if reverse:
            strand = strand[::-1].translate(str.maketrans("ACGT", "TGCA"))
        for place, base in enumerate(strand):
            if base != "N":
                one_hot[row, kernel // 2 + place, "ACGT".index(base)] = 1
    layers = torch.nn.Sequential(trunk.motifs, torch.nn.GELU(), trunk.mix, torch.nn.GELU())
    bins = layers(torch.from_numpy(one_hot).transpose(1, 2)).unflatten(2, (12, 8)).sum(3).transpose(1, 2)
    torch.testing.assert_close(found, model.head(bins), rtol=1e-4, atol=1e-3)
