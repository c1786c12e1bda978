from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seqstore.commands import run as run_command
from seqstore.errors import InputError
from tests.conftest import Cohort
from tests.enformer_files import TINY, save_with_safetensors, save_with_torch, tiny_enformer
from tests.unit.trainer_stores import fit_config, make_store
from trainer.config import AttentionHead, Enformer, FitConfig, Head, TrackHead
from trainer.fit import fit
from trainer.head import AttentionPoolingHead, TrackPoolingHead, mean_of_haplotypes
from trainer.model import build_model


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


@pytest.mark.parametrize("save", [save_with_torch, save_with_safetensors])
@pytest.mark.parametrize(("species", "track", "bins"), [("human", 2, 2), ("mouse", 0, 0)])
def test_a_track_is_summed_as_the_package_predicts_it(
    tmp_path: Path, save: Any, species: str, track: int, bins: int
) -> None:
    model = tiny_enformer()
    folder = str(tmp_path / "enformer")
    save(model, Path(folder))
    one_hot = torch.nn.functional.one_hot(torch.randint(0, 4, (2, 6 * 128)), 4).float()
    with torch.no_grad():
        tracks = model(one_hot, target_length=6)[species][:, :, track]
        trunk = Enformer(pretrained=folder).build().eval()
        head = TrackHead(pretrained=folder, species=species, track=track, bins=bins).build(trunk.channels)
        found = head(trunk.embed(one_hot))
    assert tracks.shape == (2, 6)
    torch.testing.assert_close(found, (tracks[:, 2:4] if bins else tracks).sum(dim=1))


def test_a_random_track_is_positive_and_all_of_it_is_trained() -> None:
    torch.manual_seed(0)
    head = TrackHead(bins=2).build(5)
    assert isinstance(head, TrackPoolingHead)
    embedding = 10 * torch.randn(64, 4, 5)
    value = head(embedding)
    assert value.shape == (64,)
    assert (value > 0).all()
    torch.testing.assert_close(value, head(embedding[:, 1:3]))
    value.sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in head.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"track": -1}, r"head.track: -1 is negative"),
        ({"bins": -1}, r"head.bins: -1 is negative"),
        (
            {"pretrained": "./gone"},
            r"head.pretrained: gone is neither a folder with a config.json nor a hub id",
        ),
        (
            {"pretrained": "enformer", "track": 3},
            r"head.track: .*config.json has the human tracks 0 to 2, no 3",
        ),
        ({"pretrained": "enformer", "species": "yeast"}, r"head.species: .* has human, mouse, no 'yeast'"),
        (
            {"pretrained": "empty"},
            r"head.pretrained: .*empty has neither model.safetensors nor pytorch_model.bin",
        ),
        ({"pretrained": "broken"}, r"head.pretrained: .*model.safetensors: "),
        ({"pretrained": "garbled"}, r"head.pretrained: .*config.json: "),
        ({"pretrained": "headless", "track": 1}, r"model.safetensors has no '_heads.human.0.weight'"),
    ],
)
def test_a_track_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_with_safetensors(tiny_enformer(), Path("./enformer"))
    for name, file, content in (
        ("empty", "config.json", "{}"),
        ("broken", "model.safetensors", "no"),
        ("garbled", "config.json", "["),
    ):
        Path(name).mkdir()
        Path(name, "config.json").write_text("{}")
        Path(name, file).write_text(content)
    other = tiny_enformer()
    other.add_heads(fly=3)
    save_with_safetensors(other, Path("headless"))
    if "pretrained" in settings and not settings["pretrained"].startswith("."):
        settings = settings | {"pretrained": str(tmp_path / settings["pretrained"])}
    with pytest.raises(InputError, match=message) as raised:
        TrackHead(**settings).build(48)
    assert "\n" not in str(raised.value)


def test_the_track_of_another_enformer_is_refused(tmp_path: Path) -> None:
    save_with_safetensors(tiny_enformer(), tmp_path / "enformer")
    with pytest.raises(
        InputError, match=r"head.pretrained: .* 48 channels, but the trunk gives 96; name the"
    ):
        TrackHead(pretrained=str(tmp_path / "enformer"), track=1).build(96)
    with pytest.raises(InputError, match=r"head.bins: 10 centre bins, but a window has 9"):
        TrackHead().check(9)


def test_a_run_trains_the_track_and_leaves_the_frozen_trunk(
    make_cohort: Callable[..., Cohort], tmp_path: Path
) -> None:
    folder = str(tmp_path / "enformer")
    save_with_safetensors(tiny_enformer(), Path(folder))
    config = fit_config(
        make_store(make_cohort, tmp_path),
        tmp_path / "run",
        trunk=Enformer(pretrained=folder, freeze="both", noise=0.1),
        head=TrackHead(pretrained=folder, track=1, bins=2),
        people=2,
        steps=2,
    )
    fit(config)
    before, after = (
        build_model(config).state_dict(),
        load_file(tmp_path / "run/checkpoints/step_00000002/weights.safetensors"),
    )
    assert before.keys() == after.keys()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"final_pointwise", "track"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--head", "TrackHead"], "head.bins: 10 centre bins, but a window has 2"),
        (["--head", "TrackHead", "--head.track", "-3"], "head.track: -3 is negative"),
        (["--head", "TrackHead", "--head.pretrained", "./gone"], "head.pretrained: gone is neither a folder"),
        (["--trunk.noise", "0.5"], "trunk.noise: random weights are noise already"),
        (["--trunk.freeze", "all"], "freeze"),
    ],
)
def test_settings_are_refused_when_the_config_is_read(
    make_cohort: Callable[..., Cohort],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    message: str,
) -> None:
    base = [
        "--store",
        make_store(make_cohort, tmp_path),
        "--split",
        "main",
        "--output",
        str(tmp_path / "run"),
    ]
    trunk = [f"--trunk.{name}={value}" for name, value in TINY.items()]
    with pytest.raises(SystemExit) as exit_:
        run_command("fit.py", fit, [*base, "--trunk", "Enformer", *trunk, *argv])
    assert exit_.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(message, error), error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("head", "argv", "expected"),
    [
        ("{class_path: TrackHead}", [], TrackHead()),
        ("{class_path: TrackHead, init_args: {track: 3}}", [], TrackHead(track=3)),
        ("{class_path: TrackHead, init_args: {bins: 4}}", ["--head.track", "3"], TrackHead(track=3, bins=4)),
        ("{class_path: TrackHead, init_args: {bins: 4}}", ["--head", "AttentionHead"], AttentionHead()),
        (
            "{class_path: AttentionHead, init_args: {bins: 4}}",
            ["--head.zero=false"],
            AttentionHead(4, zero=False),
        ),
        ("{class_path: AttentionHead, init_args: {bins: 4}}", ["--head", "AttentionHead"], AttentionHead(4)),
        (None, ["--head", "TrackHead", "--head.track=3"], TrackHead(track=3)),
    ],
)
def test_a_head_of_another_class_starts_from_its_own_defaults(
    tmp_path: Path, head: str | None, argv: list[str], expected: Head
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("store: s\nsplit: a\noutput: o\n" + (f"head: {head}\n" if head else ""))
    given: list[FitConfig] = []

    def command(config: FitConfig) -> None:
        """Take the config."""
        given.append(config)

    with pytest.raises(SystemExit):
        run_command("fit.py", command, ["--config", str(file), *argv])
    assert given[0].head == expected
