from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from seqstore.errors import InputError
from trainer.config import Borzoi
from trainer.trunks import TrunkModule

TINY: dict[str, Any] = {"dim": 48, "depth": 1, "heads": 2}


@pytest.fixture
def one_hot() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.one_hot(torch.randint(0, 4, (2, 512), generator=generator), 4).float()


def test_it_is_refused_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"trunk: Borzoi needs borzoi-pytorch; pip install seqstore\[borzoi\]"
    ):
        Borzoi()


def test_a_local_checkpoint_embeds_as_the_package_does(one_hot: torch.Tensor, tmp_path: Path) -> None:
    package = pytest.importorskip("borzoi_pytorch")
    torch.manual_seed(0)
    original = package.Borzoi.from_hparams(
        **TINY, attn_dim_value=24, bins_to_return=16, enable_mouse_head=True
    )
    for module in original.modules():  # as if it had been trained
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    original.save_pretrained(tmp_path / "borzoi")
    trunk = Borzoi(pretrained=str(tmp_path / "borzoi")).build()
    assert isinstance(trunk, torch.nn.Module)
    assert isinstance(trunk, TrunkModule)
    with torch.no_grad():
        tracks = original.eval()(one_hot.transpose(1, 2))
        found = trunk.eval().embed(one_hot)
        predicted = torch.nn.functional.softplus(original.human_head(found.transpose(1, 2)))
    assert found.shape == (2, Borzoi(**TINY).bins(512), trunk.channels) == (2, 16, 1920)
    torch.testing.assert_close(predicted, tracks)
    assert not any("head" in name for name, _ in trunk.named_parameters())


@pytest.mark.parametrize("freeze", [True, False])
def test_all_of_it_is_trained_but_frozen_statistics(one_hot: torch.Tensor, freeze: bool) -> None:
    pytest.importorskip("borzoi_pytorch")
    torch.manual_seed(0)
    trunk = Borzoi(**TINY, freeze_batch_norm=freeze).build()
    assert isinstance(trunk, torch.nn.Module)
    trunk.eval().train()
    before = {name: value.clone() for name, value in trunk.named_buffers() if "running_mean" in name}
    trunk.embed(one_hot).square().mean().backward()
    assert all(weight.grad is not None for weight in trunk.parameters())
    changed = [
        not torch.equal(value, before[name]) for name, value in trunk.named_buffers() if name in before
    ]
    assert any(changed) != freeze


def test_settings_that_make_no_sense_are_refused() -> None:
    pytest.importorskip("borzoi_pytorch")
    with pytest.raises(InputError, match=r"trunk\.dim: 50 is not a multiple of heads"):
        Borzoi(dim=50, heads=4)
    with pytest.raises(InputError, match=r"trunk\.depth: 0 is not positive"):
        Borzoi(depth=0)
    with pytest.raises(InputError, match=r"trunk\.pretrained: gone is neither a folder"):
        Borzoi(pretrained="./gone")
    with pytest.raises(InputError, match="context: 96 bases are not a whole number of bins of 128"):
        Borzoi().bins(96)
