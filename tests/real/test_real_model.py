"""A small model on a centre crop of real windows: fitted, predicted and evaluated beside the elastic net."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from seqstore.predictions import open_predictions
from tests.real.conftest import Analysis
from trainer.config import FitConfig
from trainer.fit import fit
from trainer.predict import predict


def test_a_convolutional_model_on_a_crop(real_store: Path, tmp_path: Path, analysis: Analysis) -> None:
    analysis("split", real_store, "--name", "random")
    analysis("baselines", real_store, "--split", "random", "--methods", "enet", "--output", tmp_path / "base")
    config = FitConfig(
        store=str(real_store),
        split="random",
        output=str(tmp_path / "run"),
        name="convolutional",
        context=12_800,
        steps=60,
        learning_rate=3e-3,
        validate_every=20,
    )
    fit(config)
    predict([config.output], everyone=True)
    predictions = open_predictions(tmp_path / "run/predictions.zarr")
    assert predictions.sizes == {"gene": 54, "individual": 503}
    assert predictions.attrs["windows_run"] == 2 * 6_602, "once per distinct crop and strand"
    analysis(
        *("evaluate", real_store, "--split", "random", "--output", tmp_path / "out", "--predictions"),
        f"convolutional={tmp_path}/run/predictions.zarr",
        f"enet={tmp_path}/base/enet.zarr",
    )
    per_gene = pd.read_csv(tmp_path / "out/per_gene.tsv", sep="\t").set_index(["method", "gene"])
    assert len(per_gene) == 2 * 54
    assert (per_gene["n"] > 0).groupby("method").sum().tolist() == [8, 8]
    # ITPA is predictable; 60 steps are enough to see it.
    assert per_gene.loc[("convolutional", "ITPA"), "pearson_r"] > 0.2
