"""Training every linear baseline, beside scikit-learn's plain estimators and the study's FUSION runs.

    python tests/bench/baselines.py --cohort /tmp/400genes

Simulates 400 genes and 404 people (324 European-like, 80 West-African-like; msprime's out-of-Africa model), with one
to three causal variants a gene that explain a fifth of expression, and windows of 65,536 bases, which hold about 120
variants with MAF >= 0.05 as the study's windows do. 327 people train, 77 test, the same for every gene.

Each method is timed as a user runs it: `python -m analysis baselines --methods METHOD --jobs 2`, from the start of the
process to the last table, and all of them in one such run. scikit-learn's estimators as they come (ElasticNetCV and
LassoCV, RidgeCV over 25 penalties) get the same standardised genotypes and folds of --peer-genes genes in 2 processes,
without their reading; their time is extrapolated to all genes. r is that of held-out people, mean over
genes; a constant prediction counts 0. The study's column is its own machine's (its time_trials), genes one by one.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from joblib import Parallel, delayed

from analysis.dosage import dosages_of, fill_missing
from analysis.elastic_net import CV_FOLDS
from analysis.expression import expression_of
from analysis.labels import labels_of
from seqstore import open_split, open_store, open_variants, write_split
from seqstore.build import build
from seqstore.config import BuildConfig
from seqstore.predictions import open_predictions
from seqstore.simulate import simulate
from seqstore.splits import split_names

FUSION_SECONDS = {"top1": 1_310, "lasso": 1_382, "enet": 1_673, "blup": 1_443, "bslmm": 117_197}
FUSION_GENES = 400
PEERS = {"lasso": "LassoCV", "enet": "ElasticNetCV", "blup": "RidgeCV"}
N_TEST, JOBS, MAF = 77, 2, 0.05
FloatArray = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohort", help="folder of the simulated cohort and its store; made if missing")
    parser.add_argument("--genes", type=int, default=400)
    parser.add_argument("--methods", nargs="+", default=list(FUSION_SECONDS))
    parser.add_argument("--peer-genes", type=int, default=40, help="genes that scikit-learn fits; 0 = none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        store = _cohort(Path(options.cohort or f"{temporary}/cohort"), options.genes)
        print(_machine())
        predictions, times = {}, {}
        for methods in [[method] for method in options.methods] + [options.methods]:
            folder = Path(temporary, "_".join(methods))
            times["+".join(methods)] = _train(store, methods, folder)
            if len(methods) == 1:
                path = folder / f"{methods[0]}.zarr"
                predictions[methods[0]] = open_predictions(path)["prediction"].values.astype(float)
        _report(store, options, predictions, times)


def _report(
    store: str,
    options: argparse.Namespace,
    predictions: dict[str, FloatArray],
    times: dict[str, tuple[float, float]],
) -> None:
    """Fit scikit-learn's estimators, and print all of them side by side."""
    expression = expression_of(open_store(store)).values
    test = open_split(store, "bench")["split"].values == 3
    subset = np.linspace(0, len(expression) - 1, options.peer_genes).astype(int)
    rows = []
    for method, predicted in predictions.items():
        row = {
            "method": method,
            "seconds": times[method][0],
            "core-seconds": times[method][1],
            "FUSION s": FUSION_SECONDS[method] * options.genes / FUSION_GENES,
            "r": _mean_r(predicted, expression, test, range(len(expression))),
        }
        if method in PEERS and len(subset):
            theirs, passed, unconverged = _scikit_learn(store, method, subset)
            row |= {
                "scikit-learn": PEERS[method],
                "its s": passed * options.genes / len(subset),
                "its r": _mean_r(theirs, expression, test, subset),
                "our r there": _mean_r(predicted, expression, test, subset),
                "not converged": f"{unconverged} of {len(subset)}",
            }
        rows.append(row)
    table = pd.DataFrame(rows)
    table.insert(4, "times faster", table["FUSION s"] / table["seconds"])
    print(table.to_string(index=False, float_format="{:,.4g}".format, na_rep="-"))
    whole = "+".join(options.methods)
    print("{} in one run: {:.1f} s, {:.1f} core-seconds".format(whole, *times[whole]))
    if len(subset):
        print(f"scikit-learn on {len(subset)} of {options.genes} genes, extrapolated; 'not converged': genes with a "
              "ConvergenceWarning")  # fmt: skip


def _cohort(folder: Path, genes: int) -> str:
    """The store of the simulated cohort with its split, made if missing."""
    if not folder.exists():
        simulate(
            str(folder), european=324, african=80, contigs=20, genes=genes, negative_controls=0,
            length=65_536, heritability=0.2,
        )  # fmt: skip
    config = BuildConfig(**_keys(folder / "build.yaml"), workers=2)
    if not Path(config.store).exists():
        build(config)
    if "bench" not in split_names(config.store):
        shape = tuple(open_store(config.store).sizes[dim] for dim in ("gene", "individual"))
        split = np.ones(shape, dtype=np.int8)
        split[:, np.random.default_rng(0).choice(shape[1], N_TEST, replace=False)] = 3
        write_split(config.store, "bench", split=split, gene_class=["random_split"] * shape[0])
    return config.store


def _keys(path: Path) -> dict[str, object]:
    import yaml

    keys: dict[str, object] = yaml.safe_load(path.read_text())
    return keys


def _train(store: str, methods: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of one run of the command, and those that cores worked for it, whatever else they did."""
    command = [sys.executable, "-m", "analysis", "baselines", store, "--split", "bench", "--output", str(folder),
               "--methods", ",".join(methods), "--maf", str(MAF), "--jobs", str(JOBS)]  # fmt: skip
    start, worked = time.perf_counter(), _core_seconds()
    done = subprocess.run(command, capture_output=True, text=True)
    passed, worked = time.perf_counter() - start, _core_seconds() - worked
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    for line in (done.stderr + done.stdout).splitlines():
        print(f"... {line}", file=sys.stderr, flush=True)
    return passed, worked


def _core_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _scikit_learn(store: str, method: str, subset: npt.NDArray[np.int64]) -> tuple[FloatArray, float, int]:
    """Predictions (gene, individual) of the estimator for some genes, its seconds, and how many did not converge."""
    variants, expression = open_variants(store), expression_of(open_store(store))
    train = open_split(store, "bench")["split"].values == 1
    genes = labels_of(expression, "gene")
    tasks, order = [], []
    for gene, window in dosages_of(variants, [genes[number] for number in subset]):
        number = genes.index(gene)
        order.append(number)
        tasks.append((_standardised(window, train[number]), expression.values[number], train[number]))
    Parallel(n_jobs=JOBS)(delayed(_fit_plain)(method, *tasks[0]) for _ in range(JOBS))  # imports
    start = time.perf_counter()
    fitted = Parallel(n_jobs=JOBS)(delayed(_fit_plain)(method, *task) for task in tasks)
    passed = time.perf_counter() - start
    predicted = np.full(expression.shape, np.nan)
    predicted[order] = [prediction for prediction, _ in fitted]
    return predicted, passed, sum(stopped for _, stopped in fitted)


def _standardised(window: xr.Dataset, train: npt.NDArray[np.bool_]) -> FloatArray:
    dosage = fill_missing(window["dosage"].values, train)
    centre, scale = dosage[train].mean(axis=0), dosage[train].std(axis=0)
    common = (np.minimum(centre, 2 - centre) / 2 >= MAF) & (scale > 1e-9)
    standardised: FloatArray = (dosage[:, common] - centre[common]) / scale[common]
    return standardised


def _fit_plain(
    method: str, genotype: FloatArray, expression: FloatArray, train: npt.NDArray[np.bool_]
) -> tuple[FloatArray, bool]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNetCV, LassoCV, RidgeCV
    from sklearn.model_selection import PredefinedSplit

    folds = PredefinedSplit(np.random.default_rng(0).permutation(np.arange(train.sum()) % CV_FOLDS))
    model = {
        "lasso": LassoCV(cv=folds),
        "enet": ElasticNetCV(l1_ratio=0.5, cv=folds),
        "blup": RidgeCV(np.geomspace(1, 1e6, 25)),
    }[method]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(genotype[train], expression[train])
    return model.predict(genotype), any(issubclass(one.category, ConvergenceWarning) for one in caught)


def _mean_r(
    predicted: FloatArray, expression: FloatArray, test: npt.NDArray[np.bool_], genes: object
) -> float:
    """Mean over genes of the correlation of held-out people; 0 where the prediction is constant."""
    found = []
    for gene in genes:
        pair = predicted[gene, test[gene]], expression[gene, test[gene]]
        found.append(np.corrcoef(*pair)[0, 1] if np.std(pair[0]) > 1e-6 * (1 + abs(pair[0].mean())) else 0.0)
    return float(np.mean(found))


def _machine() -> str:
    names = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    model = next(names, platform.machine()).split(":")[-1].strip()
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, load {os.getloadavg()[0]:.1f} before; Python {platform.python_version()}"


if __name__ == "__main__":
    main()
