from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from enformer_pytorch import Enformer as EnformerModel
from safetensors.torch import save_file

from seqstore.errors import InputError
from trainer.config import Convolutional, Enformer
from trainer.trunks import EnformerTrunk, TrunkModule

TINY: dict[str, Any] = {"dim": 24, "depth": 2, "heads": 2, "dim_divisible_by": 4}


@pytest.fixture
def one_hot() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.one_hot(torch.randint(0, 4, (2, 384), generator=generator), 4).float()


@pytest.fixture
def original() -> EnformerModel:
    torch.manual_seed(0)
    model = EnformerModel.from_hparams(**TINY, output_heads={"human": 3}, target_length=3)
    for module in model.modules():  # as if it had been trained
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def save_with_torch(model: EnformerModel, folder: Path) -> None:
    model.save_pretrained(folder, safe_serialization=False)


def save_with_safetensors(model: EnformerModel, folder: Path) -> None:
    folder.mkdir()
    weights = {k: v.contiguous() for k, v in model.state_dict().items() if not k.startswith("_trunk.")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)


@pytest.mark.parametrize("save", [save_with_torch, save_with_safetensors])
def test_a_local_checkpoint_embeds_as_the_package_does(
    original: EnformerModel, one_hot: torch.Tensor, tmp_path: Path, save: Any
) -> None:
    save(original, tmp_path / "enformer")
    trunk = Enformer(pretrained=str(tmp_path / "enformer")).build()
    trunk.eval()
    with torch.no_grad():
        expected = original(one_hot, return_only_embeddings=True)
        found = trunk.embed(one_hot)
    assert found.shape == (2, 3, 48)
    assert trunk.channels == 48
    torch.testing.assert_close(found, expected)


def test_random_weights_have_the_size_asked_for_and_no_track_heads(one_hot: torch.Tensor) -> None:
    trunk = Enformer(**TINY).build()
    assert isinstance(trunk, EnformerTrunk)
    assert isinstance(trunk, TrunkModule)
    assert trunk.embed(one_hot).shape == (2, 3, 48)
    names = [name for name, _ in trunk.named_parameters()]
    assert not any("head" in name or "_trunk" in name for name in names)
    assert len(trunk.transformer) == 2
    assert not any(getattr(module, "use_tf_gamma", False) for module in trunk.modules())
    assert all(m.p in (0.4, 0.05) for m in trunk.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0.02)


@pytest.mark.parametrize("freeze", [True, False])
def test_batch_norm_statistics_are_frozen_by_default(one_hot: torch.Tensor, freeze: bool) -> None:
    trunk = Enformer(**TINY, freeze_batch_norm=freeze).build()
    norms = [module for module in trunk.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    before = [norm.running_mean.clone() for norm in norms]
    trunk.train()
    trunk.embed(one_hot)
    changed = [not torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True)]
    assert any(changed) != freeze
    trunk.eval()
    assert not any(norm.training for norm in norms)


def test_checkpointed_activations_give_the_same_gradient(one_hot: torch.Tensor) -> None:
    gradients = []
    for checkpoint in (False, True):
        torch.manual_seed(0)
        trunk = dataclasses.replace(Enformer(**TINY, dropout=0.2), checkpoint_activations=checkpoint).build()
        trunk.train()
        torch.manual_seed(1)
        trunk.embed(one_hot).square().mean().backward()
        gradients.append([parameter.grad for parameter in trunk.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trunk.pretrained: .*/nothing is neither a folder"):
        Enformer(pretrained=str(tmp_path / "nothing"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=f"trunk.pretrained: {tmp_path}: "):
        Enformer(pretrained=str(tmp_path)).build()


def test_the_convolutional_trunk_embeds_a_tile_as_one_bin() -> None:
    trunk = Convolutional(channels=4, hidden=6, kernel=7, bin=16).build()
    assert trunk.tiling is not None
    assert (trunk.tiling.bases, trunk.tiling.halo) == (16, 4)
    assert trunk.embed(torch.zeros(3, 16 + 2 * 4, 4)).shape == (3, 1, 6)
