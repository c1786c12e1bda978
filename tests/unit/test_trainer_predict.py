"""``trainer/predict.py``: who is predicted, by how many processes, and after it was stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import seqstore
from seqstore.errors import InputError
from seqstore.predictions import open_predictions
from tests.conftest import Cohort
from tests.unit.trainer_stores import N_PEOPLE, fit_config, make_store
from trainer.fit import fit
from trainer.passes import Passes
from trainer.predict import predict

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(make_cohort: Callable[..., Cohort], tmp_path: Path) -> str:
    return make_store(make_cohort, tmp_path)


@pytest.fixture
def run(store: str, tmp_path: Path) -> str:
    config = fit_config(store, tmp_path / "run", steps=2)
    fit(config)
    return config.output


def predicted(run: str) -> np.ndarray:
    values: np.ndarray = open_predictions(Path(run) / "predictions.zarr")["prediction"].values
    return values


def test_haplotypes_are_there_on_request(run: str) -> None:
    predict([run], haplotypes=True)
    found = open_predictions(Path(run) / "predictions.zarr")
    by_haplotype = found["prediction_by_haplotype"]
    assert by_haplotype.dims == ("gene", "individual", "haplotype")
    np.testing.assert_allclose(by_haplotype.mean("haplotype"), found["prediction"], rtol=1e-6)
    assert float(by_haplotype.isel(gene=0).std()) > 0
    predict([run])
    assert "prediction_by_haplotype" not in open_predictions(Path(run) / "predictions.zarr")


def test_any_split_can_be_predicted(store: str, run: str) -> None:
    roles = np.zeros((4, N_PEOPLE), dtype=np.int8)
    roles[3, 5:9] = 3
    seqstore.write_split(store, "other", split=roles, gene_class=["unused"] * 3 + ["unseen"])
    predict([run], split="other")
    assert np.array_equal(np.isfinite(predicted(run)), roles > 0)
    assert open_predictions(Path(run) / "predictions.zarr").attrs["split"] == "main"  # it was trained on
    with pytest.raises(InputError, match="--split and --everyone: give one"):
        predict([run], split="other", everyone=True)
    with pytest.raises(InputError, match="has no split 'none'"):
        predict([run], split="none")


def test_several_runs_at_once(store: str, run: str, tmp_path: Path) -> None:
    other = fit_config(store, tmp_path / "other", steps=0, name="untrained")
    fit(other)
    predict([run, other.output])
    assert not np.array_equal(predicted(run), predicted(other.output), equal_nan=True)
    with pytest.raises(InputError, match="--output: is for one run"):
        predict([run, other.output], output=str(tmp_path / "out.zarr"))
    before = predicted(run)
    with pytest.raises(InputError, match="nowhere: no run here"):
        predict([run, str(tmp_path / "nowhere")])
    np.testing.assert_array_equal(predicted(run), before)


def test_what_was_stopped_goes_on(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    predict([run])
    whole = open_predictions(Path(run) / "predictions.zarr").load()
    done: list[int] = []
    whole_predict = Passes.predict

    def dying(self: Passes, crops: object, gene: int, *args: object, **options: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(gene)
        return whole_predict(self, crops, gene, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Passes, "predict", dying)
        with pytest.raises(KeyboardInterrupt):
            predict([run])
    again: list[int] = []

    def counting(self: Passes, crops: object, gene: int, *args: object, **options: object) -> object:
        again.append(gene)
        return whole_predict(self, crops, gene, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Passes, "predict", counting)
    predict([run])
    assert (done, again) == ([0, 1], [2])
    assert open_predictions(Path(run) / "predictions.zarr").load().identical(whole)
    assert not list(Path(run).glob("*.unfinished"))
    again.clear()
    predict([run])  # anew, as before
    assert again == [0, 1, 2]


def test_what_was_begun_for_others_is_not_taken(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_predict = Passes.predict

    def dying(self: Passes, crops: object, gene: int, *args: object, **options: object) -> object:
        if gene == 1:
            raise KeyboardInterrupt
        return whole_predict(self, crops, gene, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Passes, "predict", dying)
        with pytest.raises(KeyboardInterrupt):
            predict([run])
    predict([run], everyone=True)
    assert np.isfinite(predicted(run)).all()


def test_two_processes_predict_what_one_does(run: str) -> None:
    predict([run])
    one = open_predictions(Path(run) / "predictions.zarr").load()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(ROOT / "trainer" / "predict.py"), run],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = open_predictions(Path(run) / "predictions.zarr").load()
    np.testing.assert_allclose(two["prediction"], one["prediction"], rtol=1e-5)
    assert two.attrs == one.attrs
    assert not list(Path(run).glob("*.unfinished"))
