"""Held-out r of every strategy on the demo's cohort, next to elastic net and what the causal variants themselves give.

    make demo && python tests/bench/strategies.py demo --output strategies

Each strategy is trained with the settings of configs/demo.yaml (half of the channels, 600 steps) but for what makes it
that strategy, with three seeds, and predicts everybody; one that was trained already is not trained again. What is
joined with is simulated too: effects of the causal variants and of as many others, measured with as much noise (MPRA),
and tracks of the reference that know nothing of expression. Prints the table of docs/results.md and writes it to
OUTPUT/strategies.tsv.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pysam
import xarray as xr

import seqstore
from analysis.evaluation import evaluate
from seqstore.dosage import dosage_of
from seqstore.predictions import open_predictions
from trainer.config import (
    Convolutional,
    MpraEffects,
    PairwiseClassification,
    PairwiseRegression,
    ReferenceTracks,
    SingleRegression,
    TrackHead,
    read_config,
)
from trainer.convert_mpra import convert_mpra
from trainer.convert_tracks import convert_tracks
from trainer.fit import fit
from trainer.predict import predict

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from tests.unit.track_files import write_folder  # noqa: E402

CLASSES = ("random_split", "population_split", "unseen", "negative_control")
#: The study has 64 pairs, or 128 people one by one, in a step: on two CPU cores that takes hours.
PAIRS: dict[str, Any] = {"people": 2, "genes_per_step": 16}
ONE_BY_ONE: dict[str, Any] = {"people": 1, "sampling": "everyone", "genes_per_step": 32}


def strategies(folder: Path) -> dict[str, dict[str, Any]]:
    """What differs from configs/demo.yaml, by name."""
    tracks = ReferenceTracks("human", str(folder / "tracks.zarr"), weight=0.5, per_step=8)
    mpra = MpraEffects("mpra", str(folder / "mpra.zarr"), per_step=64, bin_width=64)
    in_expression = SingleRegression()
    return {
        "single regression, expression (SMAPE)": ONE_BY_ONE | {"objective": in_expression},
        "single regression, z": ONE_BY_ONE | {"objective": SingleRegression(scale="z", error="mse")},
        "single regression, one gene a batch": {"people": 64, "objective": in_expression},
        "pairwise regression, random pairs": PAIRS,
        "pairwise regression, gene batches": {},
        "pairwise regression, expression (SMAPE)": {
            "objective": PairwiseRegression(scale="expression", error="smape")
        },
        "pairwise classification": {"objective": PairwiseClassification(), "head": TrackHead(bins=0)},
        "pairwise regression, half of the people": {"train_share": 0.5},
        "joint with tracks": {"tasks": [tracks]},
        "joint with MPRA": {"tasks": [mpra]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, help="what make demo has left")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs and the table")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    store = str(options.demo / "store.zarr")
    _write_mpra(options.demo / "cohort", options.output)
    _write_tracks(options.demo / "cohort", options.output)
    base = dataclasses.replace(
        read_config(ROOT / "configs" / "demo.yaml"),
        store=store,
        steps=options.steps,
        validate_every=options.steps // 6,
        trunk=Convolutional(channels=64, hidden=64),
    )
    table = []
    for name, changes in strategies(options.output).items():
        found, windows = [], []
        for seed in range(options.seeds):
            run = options.output / f"{name.replace(',', '').replace(' ', '_')}_{seed}"
            config = dataclasses.replace(base, output=str(run), seed=seed, **changes)
            fit(config)
            if not (run / "predictions.zarr").exists():
                predict([str(run)])
            with (run / "metrics.csv").open() as file:
                windows.append(int(list(csv.DictReader(file))[-1]["windows"]))
            found.append(_by_class(store, open_predictions(run / "predictions.zarr")["prediction"]))
        table.append(_row(name, found, int(np.mean(windows))))
    linear = open_predictions(options.demo / "baselines" / "enet.zarr")["prediction"]
    table.append(_row("elastic net", [_by_class(store, linear)], None))
    table.append(_row("oracle (the causal variants)", [_by_class(store, _oracle(store, options.demo))], None))
    found_table = pd.DataFrame(table)
    found_table.to_csv(options.output / "strategies.tsv", sep="\t", index=False)
    for cells in [list(found_table), ["---"] * len(found_table.columns), *found_table.values.tolist()]:
        print(f"| {' | '.join(cells)} |")


def _by_class(store: str, prediction: xr.DataArray) -> dict[str, float]:
    """Mean r of all test people together, by gene class; where nobody is predicted there is none."""
    found = evaluate(
        seqstore.open_store(store),
        [seqstore.open_split(store, "main")],
        {"method": [prediction]},
        negative_controls="negative_control",
        within="none",
        draws=1,
    ).summary.set_index("gene_class")
    return {
        name: float(found.loc[name, "mean_pearson_r"])
        if found.loc[name, "n_missing"] < found.loc[name, "n_genes"]
        else np.nan
        for name in CLASSES
    }


def _row(name: str, found: list[dict[str, float]], windows: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"strategy": name}
    for gene_class in CLASSES:
        r = np.array([one[gene_class] for one in found])
        spread = f" ({r.std(ddof=1):.3f})" if len(r) > 1 else ""
        row[gene_class.replace("_", " ")] = "" if np.isnan(r).any() else f"{r.mean():.3f}{spread}"
    row["windows run"] = "" if windows is None else f"{windows:,}"
    return row


def _oracle(store: str, demo: Path) -> xr.DataArray:
    """What the causal variants, with their true effects, add up to."""
    ds, variants = seqstore.open_store(store), seqstore.open_variants(store)
    truth = pd.read_csv(demo / "cohort" / "truth.tsv", sep="\t")
    values = np.zeros((ds.sizes["gene"], ds.sizes["individual"]), dtype=np.float32)
    for number, gene in enumerate(ds["gene"].values):
        causal = truth[truth["gene"] == gene].set_index("position")["effect"]
        window = dosage_of(variants, str(gene))
        effect = np.array([causal.get(position, 0.0) for position in window["position"].values])
        values[number] = np.nan_to_num(window["dosage"].values) @ effect
    return xr.DataArray(
        values, dims=("gene", "individual"), coords={k: ds[k].values for k in ("gene", "individual")}
    )


def _write_mpra(cohort: Path, folder: Path) -> None:
    """Effects of 200 bases round the causal variants, and round as many others that do nothing."""
    if (folder / "mpra.zarr").exists():
        return
    rng = np.random.default_rng(0)
    truth = pd.read_csv(cohort / "truth.tsv", sep="\t").dropna(subset=["position"])
    causal = {(row.contig, row.position): row.effect for row in truth.itertuples()}
    rows = []
    with (
        pysam.VariantFile(str(cohort / "genotypes.vcf.gz")) as file,
        pysam.FastaFile(str(cohort / "reference.fa")) as fasta,
    ):
        records = [r for r in file if len(r.ref) == 1 and r.alts and len(r.alts[0]) == 1 and r.pos > 100]
        others = [r for r in records if (r.chrom, r.pos) not in causal]
        chosen = {int(i) for i in rng.choice(len(others), len(causal), replace=False)}
        wanted = [r for r in records if (r.chrom, r.pos) in causal] + [others[i] for i in sorted(chosen)]
        for record in wanted:
            around = fasta.fetch(record.chrom, record.pos - 101, record.pos + 99)
            effect = causal.get((record.chrom, record.pos), 0.0) + rng.normal(0, 0.2)
            sequences = {"ref_seq": around, "alt_seq": around[:100] + record.alts[0] + around[101:]}
            rows.append({"ref_ID": f"{record.id}:R", "alt_ID": f"{record.id}:A", **sequences, "LCL": effect})
    pd.DataFrame(rows).to_csv(folder / "mpra.tsv", sep="\t", index=False)
    convert_mpra(str(folder / "mpra.zarr"), table=str(folder / "mpra.tsv"))


def _write_tracks(cohort: Path, folder: Path) -> None:
    """Counts of two words in bins of 64 bases, which have nothing to do with expression."""
    if (folder / "tracks.zarr").exists():
        return
    rng = np.random.default_rng(1)
    examples: dict[str, Any] = {}
    with pysam.FastaFile(str(cohort / "reference.fa")) as fasta:
        for split, n in (("train", 400), ("valid", 40), ("test", 1)):
            some = []
            for _ in range(n):
                contig = fasta.references[rng.integers(len(fasta.references))]
                start = int(rng.integers(0, fasta.get_reference_length(contig) - 1024))
                bases = np.array(
                    ["ACGTN".index(base) for base in fasta.fetch(contig, start, start + 1024).upper()]
                )
                at = np.lib.stride_tricks.sliding_window_view(np.append(bases, [4, 4, 4]), 4)
                matches = np.stack(
                    [(at == word).all(axis=1) for word in ([0, 2, 1, 3], [1, 1, 2, 0])], axis=1
                )
                rate = 0.3 + 3 * matches.reshape(16, 64, 2).sum(axis=1)
                some.append((bases, rng.poisson(rate).astype(np.float16)))
            examples[split] = [some]
    counts = {f"{split}_seqs": len(files[0]) for split, files in examples.items()}
    said = {
        "seq_length": 1024,
        "target_length": 16,
        "num_targets": 2,
        "pool_width": 64,
        "seq_1hot": True,
        **counts,
    }
    write_folder(folder / "tracks", examples, statistics=said)
    convert_tracks(str(folder / "tracks"), str(folder / "tracks.zarr"))


if __name__ == "__main__":
    main()
