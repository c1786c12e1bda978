from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from seqstore.nucleotides import encode, pack, reverse_complement, unpack
from tests.conftest import Cohort
from tests.unit.trainer_stores import N_PEOPLE, fit_config, make_store
from trainer.batches import GeneBatches
from trainer.cohort import find_learners, open_cohort
from trainer.config import AttentionHead, Convolutional, Enformer
from trainer.model import build_model
from trainer.passes import Passes
from trainer.tiles import Span, cut

TINY = Enformer(dim=12, depth=1, heads=1, dim_divisible_by=2, dropout=0.4)
SMALL = Convolutional(channels=8, hidden=8, kernel=5, bin=32)


@pytest.fixture
def store(make_cohort: Callable[..., Cohort], tmp_path: Path) -> str:
    return make_store(make_cohort, tmp_path)


def gradient(
    store: str, microbatch: int, number: int, **changes: Any
) -> tuple[float, list[torch.Tensor], int]:
    """Loss, gradient and windows run of one gene batch."""
    config = fit_config(store, "unused", microbatch=microbatch, **changes)
    cohort = open_cohort(config)
    learners = find_learners(cohort, config)
    batch = GeneBatches(cohort.crops(learners.genes), learners, config).batch(number)
    fabric = Fabric(accelerator="cpu", devices=1)
    module = build_model(config)
    passes = Passes(fabric, fabric.setup_module(module), module.tiling, microbatch)
    loss = passes.add_gradient(batch, config.objective.build(), weight=0.5, last=True)
    grads = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    assert len(grads) == len(list(module.parameters()))
    assert passes.n_windows == len(batch.windows) * (1 if len(batch.windows) <= microbatch else 2)
    return loss, grads, len(batch.windows)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    ("trunk", "context", "head"),
    [
        (SMALL, None, AttentionHead(zero=False)),
        (dataclasses.replace(TINY, dropout=0.0), 128, AttentionHead(bins=1, pooling="mean", zero=False)),
    ],
)
def test_microbatches_give_the_gradient_of_the_whole_batch(
    store: str, number: int, trunk: Any, context: int | None, head: AttentionHead
) -> None:
    changes = {"trunk": trunk, "context": context, "head": head}
    loss, expected, n_windows = gradient(store, 512, number, **changes)
    assert n_windows > 5
    micro_loss, found, _ = gradient(store, 5, number, **changes)
    assert micro_loss == pytest.approx(loss, rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-5 * float(other.abs().max() + 1))


def test_both_passes_drop_the_same_units(store: str) -> None:
    """With dropout, a loss whose second pass differed would not fall along the computed gradient."""
    config = fit_config(
        store,
        "unused",
        trunk=TINY,
        context=128,
        head=AttentionHead(bins=1, pooling="mean", zero=False),
        microbatch=5,
        genes_per_step=1,
    )
    cohort = open_cohort(config)
    learners = find_learners(cohort, config)
    batch = GeneBatches(cohort.crops(learners.genes), learners, config).batch(0)
    fabric = Fabric(accelerator="cpu", devices=1)
    module = build_model(config)
    passes = Passes(fabric, fabric.setup_module(module), module.tiling, 5)
    module.train()
    objective = config.objective.build()
    seen: list[torch.Tensor] = []
    hook = module.head.register_forward_hook(lambda _module, _input, output: seen.append(output.detach()))
    passes.add_gradient(batch, objective, weight=1.0, last=True)
    hook.remove()
    n = len(seen) // 2
    assert n > 1
    assert all(torch.equal(a, b) for a, b in zip(seen[:n], seen[n:], strict=True))
    assert not torch.equal(seen[0][:1].expand_as(seen[0]), seen[0])


@pytest.mark.parametrize("both_strands", [False, True])
@pytest.mark.parametrize("microbatch", [3, 512])
@pytest.mark.parametrize("trunk", [SMALL, TINY])
def test_predictions_are_those_of_each_person_alone(
    store: str, trunk: Any, microbatch: int, both_strands: bool
) -> None:
    config = fit_config(
        store, "unused", trunk=trunk, context=128, head=AttentionHead(bins=1, pooling="mean", zero=False)
    )
    cohort = open_cohort(config)
    fabric = Fabric(accelerator="cpu", devices=1)
    module = build_model(config)
    module.eval()
    passes = Passes(fabric, fabric.setup_module(module), module.tiling, microbatch)
    people = np.array([5, 0, 23, 7])
    found = passes.predict(cohort.crops(np.array([1])), 1, people, both_strands=both_strands)
    assert found.std() > 0
    for value, person in zip(found, people, strict=True):
        pair = unpack(cohort.reader.read([1], [person])[0])[:, 64:192]
        strands = [pair, reverse_complement(pair)] if both_strands else [pair]
        with torch.no_grad():
            cuts = [cut(pack(window[None]), Span(0, 128), module.tiling) for s in strands for window in s]
            alone = [
                module(torch.from_numpy(one.packed), torch.from_numpy(one.index), one.span, False)
                for one in cuts
            ]
        assert value.mean() == pytest.approx(torch.cat(alone).mean().item(), rel=1e-4, abs=1e-4)


def test_each_distinct_window_is_run_once_a_strand(store: str) -> None:
    config = fit_config(store, "unused", context=64)
    cohort = open_cohort(config)
    crops = cohort.crops(np.array([0]))
    fabric = Fabric(accelerator="cpu", devices=1)
    module = build_model(config)
    passes = Passes(fabric, fabric.setup_module(module), module.tiling, 512)
    passes.predict(crops, 0, np.arange(N_PEOPLE), both_strands=True)
    pairs = cohort.reader.read(np.zeros(N_PEOPLE, dtype=int), np.arange(N_PEOPLE))
    distinct = {window[48:80].tobytes() for pair in pairs for window in pair}
    assert passes.n_windows == 2 * len(distinct) < 2 * 2 * N_PEOPLE
    assert passes.n_bases < 64 * passes.n_windows  # fewer than one pass over whole windows


def test_the_reverse_complement_of_a_palindrome_is_itself() -> None:
    assert np.array_equal(reverse_complement(encode("GAATTC")), encode("GAATTC"))
