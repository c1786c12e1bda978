from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from seqstore.errors import InputError
from tests.keras_network import forward, write_xpresso
from trainer.config import Enformer, Xpresso, XpressoHead
from trainer.trunks import TrunkModule


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write_xpresso(tmp_path / "xpresso.h5")
    return tmp_path / "xpresso.h5"


@pytest.mark.parametrize("length", [14_000, 14_100])
def test_the_network_is_that_of_the_file_on_7000_bases_before_the_tss_and_3500_behind(
    weights: Path, length: int
) -> None:
    rng = np.random.default_rng(1)
    one_hot = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (2, length))]
    one_hot[0, length // 2 - 40 : length // 2] = 0  # N
    trunk, head = Xpresso(str(weights)).build(), XpressoHead(str(weights)).build(64)
    assert isinstance(trunk, TrunkModule)
    assert trunk.tiling is None
    embedding = trunk.embed(torch.from_numpy(one_hot))
    level = head(embedding)
    assert embedding.shape == (2, 1, trunk.channels)
    assert level.shape == (2,)
    for window, found, value in zip(one_hot, embedding.detach().numpy(), level.tolist(), strict=True):
        promoter = window[length // 2 - 7000 : length // 2 + 3500]
        expected = forward(weights, promoter=promoter, halflife=np.zeros(6))
        np.testing.assert_allclose(found[0], expected["activation_1"], rtol=1e-4, atol=1e-4)
        assert value == pytest.approx(expected["dense_3"][0], rel=1e-4, abs=1e-4)


def test_all_weights_are_trained() -> None:
    torch.manual_seed(0)
    trunk, head = Xpresso().build(), XpressoHead().build(64)
    head(trunk.embed(torch.rand(8, 14_000, 4))).square().sum().backward()
    for module in (trunk, head):
        assert isinstance(module, torch.nn.Module)
        assert all(weight.grad is not None and weight.grad.any() for weight in module.parameters())


@pytest.mark.parametrize("component", [Xpresso, XpressoHead])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read as HDF5"),
        (lambda path: path.write_text("no"), "cannot be read as HDF5"),
        (lambda path: h5py.File(path, "w").close(), "is no file of weights that Keras saved"),
        (
            lambda path: write_xpresso(path, conv1d_1=(5, 4, 128)),
            r"is no Xpresso: its kernels and biases are \[5, 4, 128\] \[128\], .* not \[6, 4, 128\] \[128\], ",
        ),
        (lambda path: write_xpresso(path, backend="theano"), "was saved with theano; give one"),
    ],
)
def test_a_file_that_is_no_xpresso_is_refused_when_the_config_is_read(
    tmp_path: Path, component: Any, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "some.h5"
    make(path)
    key = "trunk" if component is Xpresso else "head"
    with pytest.raises(InputError, match=f"^{key}.pretrained: {path} {message}") as raised:
        component(str(path))
    assert "\n" not in str(raised.value)


def test_what_does_not_suit_xpresso_is_refused() -> None:
    assert Xpresso().bins(14_000) == 1
    with pytest.raises(
        InputError, match=r"context: 13998 bases do not have the 7000 before the TSS .*; give 14000"
    ):
        Xpresso().bins(13_998)
    with pytest.raises(
        InputError, match="head: XpressoHead reads one bin, but a window has 4; take the Xpresso"
    ):
        XpressoHead().check(Enformer().bins(512))
    with pytest.raises(InputError, match="head: XpressoHead reads 64 channels, but the trunk gives 48"):
        XpressoHead().build(48)
