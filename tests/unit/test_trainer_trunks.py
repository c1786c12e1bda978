from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from enformer_pytorch import Enformer as EnformerModel
from safetensors.torch import load_file, save_file

from seqstore.errors import InputError
from tests.enformer_files import TINY, save_with_safetensors, save_with_torch, tiny_enformer
from trainer.config import Convolutional, Enformer
from trainer.trunks import EnformerTrunk, TrunkModule


@pytest.fixture
def one_hot() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.one_hot(torch.randint(0, 4, (2, 384), generator=generator), 4).float()


@pytest.fixture
def original() -> EnformerModel:
    return tiny_enformer()


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


def test_a_damaged_checkpoint_is_refused(original: EnformerModel, tmp_path: Path) -> None:
    folder = tmp_path / "enformer"
    save_with_safetensors(original, folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    tensors = load_file(weights)
    del tensors["final_pointwise.1.2.weight"], tensors["stem.0.bias"]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=r"lacks 2 weights of Enformer, such as final_pointwise\.1\.2\.weight"
    ):
        Enformer(pretrained=str(folder)).build()
    weights.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=f"trunk.pretrained: {folder}: "):
        Enformer(pretrained=str(folder)).build()


def test_noise_scales_with_each_weight_and_spares_batch_norm(original: EnformerModel, tmp_path: Path) -> None:
    save_with_safetensors(original, tmp_path / "enformer")

    def build(noise: float, seed: int = 1) -> EnformerTrunk:
        torch.manual_seed(seed)
        trunk = Enformer(pretrained=str(tmp_path / "enformer"), noise=noise).build()
        assert isinstance(trunk, EnformerTrunk)
        return trunk

    clean, noisy, again, other = build(0), build(0.5), build(0.5), build(0.5, seed=2)
    norms = {
        f"{name}.{part}"
        for name, module in clean.named_modules()
        if isinstance(module, torch.nn.BatchNorm1d)
        for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    assert len(norms) == 5 * 14
    deviates, n_spared = [], 0
    for name, weight in clean.state_dict().items():
        found = noisy.state_dict()[name]
        torch.testing.assert_close(again.state_dict()[name], found, rtol=0, atol=0)
        if name in norms:
            torch.testing.assert_close(found, weight, rtol=0, atol=0)
            n_spared += 1
            continue
        some = weight != 0
        assert not found[~some].any()
        deviates.append(((found - weight)[some] / (0.5 * weight[some])).flatten())
    assert n_spared == len(norms)
    drawn = torch.cat(deviates)
    assert len(drawn) > 10_000
    assert drawn.mean().item() == pytest.approx(0, abs=0.03)
    assert drawn.std().item() == pytest.approx(1, abs=0.03)
    assert len(drawn.unique()) > 0.9 * len(drawn)
    assert not torch.equal(other.stem[0].weight, noisy.stem[0].weight)


FROZEN: dict[str, set[str]] = {
    "nothing": set(),
    "tower": {"stem", "conv_tower"},
    "transformer": {"transformer"},
    "both": {"stem", "conv_tower", "transformer"},
}


@pytest.mark.parametrize("freeze", FROZEN)
def test_frozen_parts_are_not_trained(one_hot: torch.Tensor, freeze: Any) -> None:
    torch.manual_seed(0)
    trunk = Enformer(**TINY, freeze=freeze, freeze_batch_norm=False).build()
    assert isinstance(trunk, EnformerTrunk)
    trunk.eval().train()
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    optimizer = torch.optim.AdamW(trunk.parameters(), lr=0.1, weight_decay=0.1)
    trunk.embed(one_hot).square().mean().backward()
    optimizer.step()
    changed = {
        name.split(".")[0]
        for name, value in trunk.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"stem", "conv_tower", "transformer", "final_pointwise"} - FROZEN[freeze]
    for part in FROZEN[freeze]:
        assert not any(module.training for module in trunk.get_submodule(part).modules())
        assert not any(weight.requires_grad for weight in trunk.get_submodule(part).parameters())
    assert trunk.final_pointwise.training


def kept(run: Callable[[], Any]) -> int:
    """How many numbers autograd keeps of a run for its backward pass."""
    sizes: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(sizes)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_frozen_prefix_keeps_no_activations(one_hot: torch.Tensor, checkpoint: bool) -> None:
    found = {}
    for freeze in FROZEN:
        trunk = Enformer(**TINY, freeze=freeze, checkpoint_activations=checkpoint).build()  # type: ignore[arg-type]
        assert isinstance(trunk, EnformerTrunk)
        found[freeze] = kept(lambda trunk=trunk: trunk.embed(one_hot))
    bins = torch.zeros(2, 3, 24)
    last = kept(lambda: trunk.final_pointwise(bins))
    free = Enformer(**TINY).build()
    assert isinstance(free, EnformerTrunk)
    # Checkpointed layers keep what they are given.
    layers = 2 * bins.numel() if checkpoint else kept(lambda: free.transformer(bins))
    assert found["both"] == last
    assert found["tower"] == pytest.approx(layers + last, rel=0.01)
    assert found["tower"] < found["transformer"] <= found["nothing"]
    assert last < 0.05 * found["nothing"]


@pytest.mark.parametrize("freeze", FROZEN)
def test_checkpointed_activations_give_the_same_gradient(one_hot: torch.Tensor, freeze: Any) -> None:
    gradients = []
    for checkpoint in (False, True):
        torch.manual_seed(0)
        trunk = Enformer(**TINY, dropout=0.2, freeze=freeze, checkpoint_activations=checkpoint).build()
        trunk.train()
        torch.manual_seed(1)
        trunk.embed(one_hot).square().mean().backward()
        gradients.append([parameter.grad for parameter in trunk.parameters()])
    assert any(gradient is not None and gradient.any() for gradient in gradients[0])
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


def test_a_frozen_trunk_has_a_gradient_by_its_input(one_hot: torch.Tensor) -> None:
    trunk = Enformer(**TINY, freeze="both").build()
    (gradient,) = torch.autograd.grad(trunk.embed(one_hot.requires_grad_()).square().sum(), one_hot)
    assert gradient.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise": -1.0}, "trunk.noise: -1.0 is not a share"),
        ({"noise": float("nan")}, "trunk.noise: nan is not a share"),
        ({"noise": 0.5}, "trunk.noise: random weights are noise already; give trunk.pretrained"),
    ],
)
def test_noise_that_makes_no_sense_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Enformer(**settings)  # type: ignore[arg-type]


def test_a_hub_id_is_read_from_the_hubs_cache(original: EnformerModel, tmp_path: Path) -> None:
    """In a process of its own, because the cache's place is looked up when the packages are imported.

    The official checkpoint, too, is a file of torch.
    """
    repository = tmp_path / "hub" / "models--somebody--enformer"
    save_with_torch(original, repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    one_hot = torch.nn.functional.one_hot(torch.arange(384) % 4, 4).float()[None]
    with torch.no_grad():
        expected = original(one_hot)["human"][0, :, 1].sum()
    program = f"""
        import torch
        from trainer.config import Enformer, TrackHead

        one_hot = torch.nn.functional.one_hot(torch.arange(384) % 4, 4).float()[None]
        trunk = Enformer(pretrained="somebody/enformer").build().eval()
        head = TrackHead(pretrained="somebody/enformer", track=1, bins=3).build(48)
        torch.testing.assert_close(head(trunk.embed(one_hot)), torch.tensor([{expected.item()!r}]))
        for component in (Enformer(pretrained="somebody/else").build, lambda: TrackHead("somebody/else").build(48)):
            try:
                component()
            except Exception as error:
                print(type(error).__name__, error)
    """
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        **{"env": environment, "capture_output": True, "text": True},
    )
    assert ran.returncode == 0, ran.stderr
    trunk, head = ran.stdout.strip().splitlines()
    assert trunk.startswith("InputError trunk.pretrained: somebody/else: ")
    assert head.startswith("InputError head.pretrained: somebody/else: ")
