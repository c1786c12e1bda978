"""Embeddings cached once: training on them is training with the frozen trunk."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
import zarr
from safetensors.torch import load_file

from seqstore.errors import InputError
from seqstore.predictions import open_predictions
from tests.conftest import Cohort
from tests.unit.trainer_stores import fit_config, make_store
from trainer.config import AttentionHead, Cached, Enformer, FitConfig, SingleRegression, as_mapping
from trainer.embed import embed
from trainer.fit import fit
from trainer.predict import predict
from trainer.run import Run

FROZEN = Enformer(dim=12, depth=1, heads=1, dim_divisible_by=2, dropout=0.0, freeze="both")


@pytest.fixture
def store(make_cohort: Callable[..., Cohort], tmp_path: Path) -> str:
    return make_store(make_cohort, tmp_path)


def slow(store: str, tmp_path: Path, **changes: Any) -> FitConfig:
    """A run with a frozen trunk."""
    keys: dict[str, Any] = {
        "trunk": FROZEN,
        "head": AttentionHead(bins=1, pooling="mean", zero=False),
        "max_shift": 0,
        "steps": 6,
        "microbatch": 8,
        "learning_rate": 0.01,
        "objective": SingleRegression(scale="z", error="mse"),
        **changes,
    }
    return fit_config(store, tmp_path / "slow", **keys)


def cached(config: FitConfig, tmp_path: Path, **options: Any) -> FitConfig:
    """Embed what a run reads; the run that reads that."""
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(as_mapping(config)))
    embed(str(tmp_path / "slow.yaml"), output=str(tmp_path / "embeddings"), bins=1, **options)
    return dataclasses.replace(
        config, trunk=Cached(str(tmp_path / "embeddings")), output=str(tmp_path / "quick")
    )


def rows(config: FitConfig) -> list[dict[str, str]]:
    with (Path(config.output) / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("reverse_complement", [0.0, 0.5])
def test_training_on_the_cache_is_training_with_the_frozen_trunk(
    store: str, tmp_path: Path, reverse_complement: float
) -> None:
    config = slow(store, tmp_path, reverse_complement=reverse_complement)
    quick = cached(config, tmp_path)
    for run in (config, quick):
        fit(run)
        predict([run.output])
    for one, other in zip(rows(config), rows(quick), strict=True):
        for key in ("train_loss", "validation_loss", "windows"):
            assert float(other[key]) == pytest.approx(float(one[key]), rel=1e-4), key
    first, last = (float(rows(config)[place]["train_loss"]) for place in (0, -1))
    assert first > 1.01 * last
    one, other = (open_predictions(Path(run.output) / "predictions.zarr") for run in (config, quick))
    np.testing.assert_allclose(other["prediction"], one["prediction"], rtol=1e-3)
    kept = load_file(tmp_path / "embeddings" / "after.safetensors")
    slowly, quickly = (weights(run) for run in (config, quick))
    for name, value in quickly.items():
        torch.testing.assert_close(value, slowly[name], rtol=1e-3, atol=1e-4)
        if name.endswith(("1.2.weight", "1.2.bias")):
            assert (value - kept[name.removeprefix("trunk.final_pointwise.")]).abs().max() > 1e-2


def weights(config: FitConfig) -> dict[str, torch.Tensor]:
    """Those of the last checkpoint."""
    return load_file(Run(config.output).checkpoint("last") / "weights.safetensors")


def test_the_pointwise_layer_may_stay_as_it_is(store: str, tmp_path: Path) -> None:
    config = cached(slow(store, tmp_path), tmp_path)
    fit(dataclasses.replace(config, trunk=Cached(str(tmp_path / "embeddings"), train_pointwise=False)))
    for name, kept in load_file(tmp_path / "embeddings" / "after.safetensors").items():
        assert (weights(config)[f"trunk.final_pointwise.{name}"] == kept).all()


def test_every_distinct_window_is_run_once_a_strand(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.trunks import EnformerTrunk

    n_run, before = 0, EnformerTrunk.before

    def counting(self: EnformerTrunk, one_hot: Any) -> Any:
        nonlocal n_run
        n_run += len(one_hot)
        return before(self, one_hot)

    monkeypatch.setattr(EnformerTrunk, "before", counting)
    cached(slow(store, tmp_path), tmp_path)
    group: Any = zarr.open_group(tmp_path / "embeddings", mode="r")
    ids = group["window_of"][:3]
    assert n_run == 2 * sum(int(of_gene.max()) + 1 for of_gene in ids)
    assert (group["window_of"][3] == -1).all()  # no role in the split


def test_it_goes_on_where_it_was_stopped(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.crops import Crops

    config, calls, windows = slow(store, tmp_path), 0, Crops.windows

    def dying(self: Crops, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return windows(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Crops, "windows", dying)
        with pytest.raises(KeyboardInterrupt):
            cached(config, tmp_path)
    quick = dataclasses.replace(
        config, trunk=Cached(str(tmp_path / "embeddings")), output=str(tmp_path / "q")
    )
    with pytest.raises(InputError, match=r"its embeddings are unfinished; run the same trainer/embed\.py"):
        fit(quick)
    calls = 2
    with monkeypatch.context() as patch:
        patch.setattr(Crops, "windows", dying)
        cached(config, tmp_path)
    assert calls == 4  # the first of three genes was there
    stopped = zarr.open_group(tmp_path / "embeddings", mode="r")["embedding"][:]  # type: ignore[index]
    (tmp_path / "again").mkdir()
    cached(config, tmp_path / "again")
    whole = zarr.open_group(tmp_path / "again" / "embeddings", mode="r")["embedding"][:]  # type: ignore[index]
    np.testing.assert_array_equal(stopped, whole)
    with pytest.raises(InputError, match="something else stands there"):
        cached(config, tmp_path, dtype="float16")


def test_halves_take_half_the_room(store: str, tmp_path: Path) -> None:
    config = cached(slow(store, tmp_path), tmp_path, dtype="float16")
    fit(config)
    assert np.isfinite(float(rows(config)[-1]["train_loss"]))


def test_embeddings_of_something_else_are_refused(
    store: str, tmp_path: Path, make_cohort: Callable[..., Cohort]
) -> None:
    config = cached(slow(store, tmp_path), tmp_path)
    with pytest.raises(InputError, match="max_shift: 3, but cached embeddings cannot be shifted; give 0"):
        dataclasses.replace(config, max_shift=3)
    with pytest.raises(InputError, match="was computed with context 256, not 128"):
        fit(dataclasses.replace(config, context=128))
    with pytest.raises(InputError, match="was computed with ambiguous zero, not fraction"):
        fit(dataclasses.replace(config, ambiguous="fraction"))
    with pytest.raises(InputError, match=r"head\.bins: 2 centre bins, but a window has 1"):
        fit(dataclasses.replace(config, head=AttentionHead(bins=2)))
    with pytest.raises(InputError, match=r"nowhere: no embeddings here; make them with trainer/embed\.py"):
        fit(dataclasses.replace(config, trunk=Cached("nowhere")))
    fit(config)
    with pytest.raises(InputError, match=r"has no embeddings of 1 genes \(G4"):
        predict([config.output], everyone=True)
    group: Any = zarr.open_group(store, mode="r+")
    group.attrs["fingerprint"] = "another"
    with pytest.raises(InputError, match=r"embeddings: was not computed for .*, but another store"):
        fit(dataclasses.replace(config, output=str(tmp_path / "other")))


def test_only_an_enformer_has_a_cache(store: str, tmp_path: Path) -> None:
    from trainer.config import Convolutional

    with pytest.raises(InputError, match="its trunk is no Enformer"):
        cached(slow(store, tmp_path, trunk=Convolutional(), context=256), tmp_path)
    with pytest.raises(InputError, match=r"none\.yaml: no such config"):
        embed(str(tmp_path / "none.yaml"), output=str(tmp_path / "out"))
