"""Linear models of expression on the dosages of a gene's window, as TWAS uses them.

Every method sees the same input: training people only (validation people are left out, as in the study),
variants with MAF >= 0.05 among them, genotypes and expression standardised on them (ddof 0).
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from joblib import Parallel, delayed
from tqdm import tqdm

from analysis.blup import blup
from analysis.bslmm import bslmm
from analysis.dosage import dosages_of, fill_missing
from analysis.elastic_net import enet, lasso
from analysis.labels import labels_of
from seqstore.errors import InputError
from seqstore.splits import TRAIN

FloatArray = npt.NDArray[np.float64]
Method = Callable[[FloatArray, FloatArray, int], FloatArray]

MIN_PEOPLE = 10  # fewer training people than this cannot be divided into folds of any use
WEIGHT_COLUMNS = ["method", "gene", "variant_id", "contig", "position", "ref", "alt", "weight"]
GENE_COLUMNS = ["method", "gene", "n_people", "n_variants", "n_weights", "intercept", "note"]


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


METHODS: dict[str, Method] = {"top1": top1, "lasso": lasso, "enet": enet, "blup": blup, "bslmm": bslmm}


@dataclass(frozen=True)
class Model:
    """A linear model of one gene: expression = intercept + dosage @ weights."""

    weights: FloatArray  # (variant,), per ALT allele
    intercept: float
    n_people: int
    n_variants: int  # that passed the MAF filter
    note: str = ""

    @property
    def n_weights(self) -> int:
        """How many weights are not 0."""
        return int(np.count_nonzero(self.weights))


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
        variants: the store's variants, of the same individuals.
        split: (gene, individual) of the same genes and individuals, 1 = train.
        methods: names in ``METHODS``.
        maf: smallest minor allele frequency among the gene's training people.
        length: bases of a narrower window round the TSS; default the window as built.
        seed: of the cross-validation folds and of Markov chains, the same for every gene.
        jobs: processes.

    Raises:
        InputError: genes or individuals of the three differ, or no gene has training people.
    """
    expression, split = (table.transpose("gene", "individual") for table in (expression, split))
    genes, people = labels_of(expression, "gene"), labels_of(expression, "individual")
    _check_aligned(expression, variants, split)
    train = split.values == TRAIN
    if not train.any():
        raise InputError("the split has no training people for any gene: there is nothing to fit")
    trained = (train & np.isfinite(expression.values)).any(axis=1)
    rows: dict[int, list[tuple[Any, ...]]] = {
        number: [
            (name, genes[number], 0, 0, 0, np.nan, "not measured in training people") for name in methods
        ]
        for number in np.flatnonzero(train.any(axis=1) & ~trained).tolist()
    }
    number_of = {gene: number for number, gene in enumerate(genes)}
    fitting: deque[tuple[int, xr.Dataset]] = deque()  # genes handed out, in whose order results come
    options = {"methods": list(methods), "maf": maf, "seed": seed}

    def tasks() -> Iterator[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]]:
        for gene, window in dosages_of(variants, np.array(genes)[trained], length=length):
            number = number_of[gene]
            fitting.append((number, window.drop_vars("dosage")))
            yield delayed(fit_gene)(
                window["dosage"].values, expression.values[number], train[number], **options
            )

    prediction = np.full((len(methods), len(genes), len(people)), np.nan, dtype=np.float32)
    weights: dict[int, pd.DataFrame] = {}
    fitted = Parallel(n_jobs=jobs, return_as="generator")(tasks())
    for models, predicted in tqdm(fitted, total=int(trained.sum()), desc="genes", unit="gene", disable=None):
        number, window = fitting.popleft()
        prediction[:, number] = predicted
        weights[number] = _weight_table(genes[number], window, models)
        rows[number] = [
            (name, genes[number], m.n_people, m.n_variants, m.n_weights, m.intercept, m.note)
            for name, m in models.items()
        ]
    tables = [weights[number] for number in sorted(weights) if len(weights[number])]
    return Baselines(
        prediction=xr.DataArray(
            prediction,
            dims=("method", "gene", "individual"),
            coords={"method": list(methods), "gene": genes, "individual": people},
        ),
        weights=pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=WEIGHT_COLUMNS),
        genes=pd.DataFrame([row for number in sorted(rows) for row in rows[number]], columns=GENE_COLUMNS),
    )


def _check_aligned(expression: xr.DataArray, variants: xr.Dataset, split: xr.DataArray) -> None:
    """Raise an InputError unless variants and split are of the individuals, and the split of the genes, of expression."""
    tables = {"variants": (variants, ["individual"]), "split": (split, ["individual", "gene"])}
    for what, (table, dims) in tables.items():
        for dim in dims:
            pairs = zip_longest(labels_of(table, dim), labels_of(expression, dim))
            for place, (theirs, ours) in enumerate(pairs):
                if theirs != ours:
                    raise InputError(
                        f"{dim} {place} of {what} is {theirs!r}, that of expression {ours!r}: give both the same "
                        f"{dim}s in the same order"
                    )


def _weight_table(gene: str, window: xr.Dataset, models: dict[str, Model]) -> pd.DataFrame:
    """The non-zero weights of a gene's models, in ``WEIGHT_COLUMNS``."""
    chosen = [np.flatnonzero(model.weights) for model in models.values()]
    variant = np.concatenate(chosen)
    return pd.DataFrame(
        {
            "method": np.repeat(list(models), [len(one) for one in chosen]),
            "gene": gene,
            **{name: window[name].values[variant] for name in WEIGHT_COLUMNS[2:-1]},
            "weight": np.concatenate(
                [m.weights[one] for m, one in zip(models.values(), chosen, strict=True)]
            ),
        }
    )


def _fit(method: Method, genotype: FloatArray, expression: FloatArray, seed: int) -> tuple[FloatArray, str]:
    """Standardised weights, and a note if the method did not converge."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        weights = method(genotype, expression, seed)
    notes = []
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            notes.append(f"did not converge: {warning.message}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return weights, "; ".join(notes)
