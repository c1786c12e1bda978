from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.head import AttentionPoolingHead, mean_of_haplotypes


@pytest.mark.parametrize(("bins", "start", "stop"), [(0, 0, 7), (2, 2, 4), (3, 2, 5), (7, 0, 7)])
@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_attention_pools_the_centre_bins(bins: int, start: int, stop: int, pooling: str) -> None:
    torch.manual_seed(1)
    head = AttentionPoolingHead(3, bins=bins, pooling=pooling, zero=False)
    embedding = torch.randn(2, 7, 3)
    found = head(embedding).detach().numpy()
    score, value = (
        [p.detach().numpy().ravel() for p in layer.parameters()] for layer in (head.score, head.value)
    )
    for window, one in zip(found, embedding.numpy(), strict=True):
        weights = np.exp(one[start:stop] @ score[0])
        pooled = (weights / weights.sum()) @ one[start:stop]
        expected = (pooled @ value[0] + value[1][0]) * ((stop - start) if pooling == "sum" else 1)
        assert window == pytest.approx(expected, rel=1e-4)


def test_a_head_of_zeros_predicts_zero_and_can_learn() -> None:
    head = AttentionPoolingHead(3, bins=0, pooling="mean", zero=True)
    value = head(torch.randn(2, 5, 3))
    assert value.tolist() == [0, 0]
    value.sum().backward()
    assert head.value.weight.grad is not None
    assert head.value.weight.grad.abs().sum() > 0


def test_a_person_is_the_mean_of_the_haplotypes_that_exist() -> None:
    value = torch.tensor([1.0, 2.0, 4.0])
    found = mean_of_haplotypes(value, torch.tensor([[0, 1], [2, 2], [2, -1], [-1, 0], [-1, -1]]))
    assert found[:4].tolist() == [1.5, 4.0, 4.0, 1.0]
    assert found[4].isnan()
