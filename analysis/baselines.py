"""Linear models of expression on the dosages of a gene's window, as TWAS uses them.

Every method sees the same input: training people only (validation people are left out, as in the study),
variants with MAF >= 0.05 among them, genotypes and expression standardised on them (ddof 0).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from joblib import Parallel, delayed
from tqdm import tqdm

from analysis.dosage import fill_missing
from analysis.labels import labels_of
from seqstore.dosage import dosage_of
from seqstore.splits import TRAIN

FloatArray = npt.NDArray[np.float64]
Method = Callable[[FloatArray, FloatArray, int], FloatArray]

MIN_PEOPLE = 10  # fewer training people than this cannot be divided into folds of any use
CV_FOLDS = 5
WEIGHT_COLUMNS = ["method", "gene", "variant_id", "contig", "position", "ref", "alt", "weight"]
GENE_COLUMNS = ["method", "gene", "n_people", "n_variants", "n_weights", "intercept", "note"]
MAX_ITERATIONS = 100_000  # windows in strong LD need more than 10,000 at the smallest penalties


def top1(genotype: FloatArray, expression: FloatArray, seed: int) -> FloatArray:
    """Weights of the least-squares fit on the one variant whose marginal z is largest, whatever its sign.

    ``genotype`` (individual, variant) and ``expression`` (individual,) are standardised. Of equal
    variants the first is taken. Source: FUSION ``top1`` (Gusev et al. 2016), refitted by least squares.
    """
    slope = genotype.T @ expression / len(expression)
    weights = np.zeros_like(slope)
    best = np.argmax(np.abs(slope))
    weights[best] = slope[best]
    return weights


def enet(genotype: FloatArray, expression: FloatArray, seed: int) -> FloatArray:
    """Weights of the elastic net with mixing 0.5, its penalty chosen by 5-fold cross-validation.

    Shapes as in ``top1``. The penalty is the best of 100 in the cross-validation (``lambda.min``); the
    folds are shuffled by ``seed``. Source: PrediXcan (Gamazon et al. 2015) and FUSION ``enet``:
    ``cv.glmnet(alpha = .5, nfold = 5)``. Penalties at which coordinate descent stops early give a
    ConvergenceWarning each.
    """
    from sklearn.linear_model import ElasticNetCV
    from sklearn.model_selection import KFold

    folds = KFold(CV_FOLDS, shuffle=True, random_state=seed)
    model = ElasticNetCV(l1_ratio=0.5, cv=folds, max_iter=MAX_ITERATIONS).fit(genotype, expression)
    return np.asarray(model.coef_, dtype=np.float64)


METHODS: dict[str, Method] = {"top1": top1, "enet": enet}


@dataclass(frozen=True)
class Model:
    """A linear model of one gene: expression = intercept + dosage @ weights."""

    weights: FloatArray  # (variant,), per ALT allele
    intercept: float
    n_people: int
    n_variants: int  # that passed the MAF filter
    note: str = ""


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines of a store."""

    prediction: xr.DataArray  # (method, gene, individual) float32, NaN where the gene was not trained
    weights: pd.DataFrame  # one row a non-zero weight
    genes: pd.DataFrame  # one row a method and gene: people, variants, intercept, and why it is constant


def fit_gene(
    dosage: npt.NDArray[np.floating],
    expression: FloatArray,
    train: npt.NDArray[np.bool_],
    *,
    methods: Sequence[str],
    maf: float = 0.05,
    seed: int = 0,
) -> tuple[dict[str, Model], FloatArray]:
    """Fit one gene by each of ``methods``, and predict it for every individual.

    Args:
        dosage: (individual, variant) ALT alleles, NaN where the call is missing.
        expression: (individual,), NaN = not measured.
        train: (individual,), the people to fit on; those without expression are left out, and at least
            one has it.
        methods: names in ``METHODS``.
        maf: smallest minor allele frequency among the people fitted on.
        seed: of the cross-validation folds.

    Returns:
        The models by method, and predictions (method, individual). With fewer than ``MIN_PEOPLE``, or
        without a variant or any variation, a model is the mean of the training people.
    """
    fit = train & np.isfinite(expression)
    n = int(fit.sum())
    filled = fill_missing(dosage, fit)
    measured = expression[fit]
    mean, sd = measured.mean(), measured.std()
    frequency = filled[fit].mean(axis=0) / 2
    common = np.minimum(frequency, 1 - frequency) >= maf
    centre, scale = filled[fit].mean(axis=0), filled[fit].std(axis=0)
    common &= scale > 1e-9  # everyone heterozygous: common, but it cannot predict
    note = ""
    if n < MIN_PEOPLE:
        note = f"only {n} training people"
    elif not common.any():
        note = f"no variant with MAF >= {maf:g}"
    elif sd <= 1e-9 * max(1.0, abs(mean)):
        note = "expression does not vary"
    models = {}
    for name in methods:
        weights, trouble = np.zeros(dosage.shape[1]), note
        if not note:
            genotype = (filled[fit][:, common] - centre[common]) / scale[common]
            standard, trouble = _fit(METHODS[name], genotype, (measured - mean) / sd, seed)
            weights[common] = standard * sd / scale[common]
            trouble = trouble or ("" if weights.any() else "no variant chosen")
        models[name] = Model(weights, float(mean - centre @ weights), n, int(common.sum()), trouble)
    prediction = np.stack([filled @ m.weights + m.intercept for m in models.values()])
    return models, prediction


def fit_baselines(
    expression: xr.DataArray,
    variants: xr.Dataset,
    split: xr.DataArray,
    *,
    methods: Sequence[str] = ("top1", "enet"),
    maf: float = 0.05,
    length: int | None = None,
    seed: int = 0,
    jobs: int = 1,
) -> Baselines:
    """Fit baselines on the training people of every gene.

    Args:
        expression: (gene, individual), NaN = not measured (``expression_of``).
        variants: the store's variants.
        split: (gene, individual), 1 = train.
        methods: names in ``METHODS``.
        maf: smallest minor allele frequency among the gene's training people.
        length: bases of a narrower window round the TSS; default the window as built.
        seed: of the cross-validation folds, the same for every gene.
        jobs: processes.
    """
    genes, people = labels_of(expression, "gene"), labels_of(expression, "individual")
    train = split.transpose("gene", "individual").values == TRAIN
    trained = np.flatnonzero((train & np.isfinite(expression.values)).any(axis=1)).tolist()
    windows: dict[int, xr.Dataset] = {}

    def tasks() -> Iterator[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]]:
        for number in trained:
            window = dosage_of(variants, genes[number], length=length)
            dosage = window["dosage"].values
            windows[number] = window.drop_vars("dosage")
            options = {"methods": list(methods), "maf": maf, "seed": seed}
            yield delayed(fit_gene)(dosage, expression.values[number], train[number], **options)

    prediction = np.full((len(methods), len(genes), len(people)), np.nan, dtype=np.float32)
    weights, rows = [pd.DataFrame(columns=WEIGHT_COLUMNS)], []
    fitted = Parallel(n_jobs=jobs, return_as="generator")(tasks())
    progress = tqdm(trained, desc="genes", unit="gene", disable=None)
    for number, (models, predicted) in zip(progress, fitted, strict=True):
        prediction[:, number] = predicted
        window = windows.pop(number)
        for name, model in models.items():
            weights.append(_weight_table(name, genes[number], window, model))
            size = (model.n_people, model.n_variants, int(np.count_nonzero(model.weights)))
            rows.append((name, genes[number], *size, model.intercept, model.note))
    weights = [table for table in weights if len(table)] or weights[:1]
    return Baselines(
        prediction=xr.DataArray(
            prediction,
            dims=("method", "gene", "individual"),
            coords={"method": list(methods), "gene": genes, "individual": people},
        ),
        weights=pd.concat(weights, ignore_index=True),
        genes=pd.DataFrame(rows, columns=GENE_COLUMNS),
    )


def _weight_table(method: str, gene: str, window: xr.Dataset, model: Model) -> pd.DataFrame:
    """The non-zero weights of one model, in ``WEIGHT_COLUMNS``."""
    chosen = np.flatnonzero(model.weights)
    columns = {name: window[name].values[chosen] for name in WEIGHT_COLUMNS[2:-1]}
    return pd.DataFrame({"method": method, "gene": gene, **columns, "weight": model.weights[chosen]})


def _fit(method: Method, genotype: FloatArray, expression: FloatArray, seed: int) -> tuple[FloatArray, str]:
    """Standardised weights, and a note if some of the fits behind them stopped before they converged."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        weights = method(genotype, expression, seed)
    stopped = sum(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    for warning in caught:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return weights, f"{stopped} fits did not converge" if stopped else ""
