"""Linear models of expression on the dosages of a gene's window, as TWAS uses them.

Every method sees the same input: training people only (validation people are left out, as in the study),
variants with MAF >= 0.05 among them, genotypes and expression standardised on them (ddof 0).
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import xarray as xr
from joblib import Parallel, delayed
from tqdm import tqdm

from analysis.blup import blup
from analysis.bslmm import bslmm
from analysis.dosage import dosages_of, fill_missing
from analysis.elastic_net import enet, lasso
from analysis.labels import labels_of
from analysis.linear_models import Baselines, Collected, Model
from seqstore.errors import InputError
from seqstore.splits import TRAIN

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Method = Callable[[FloatArray, FloatArray, int], FloatArray]

MIN_PEOPLE = 10  # fewer training people than this cannot be divided into folds of any use


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


def fit_gene(
    dosage: npt.NDArray[np.floating],
    expression: FloatArray,
    train: BoolArray,
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
        seed: of the cross-validation folds and Markov chains.

    Returns:
        The models by method, and predictions (method, individual). With fewer than ``MIN_PEOPLE``, or
        without a variant or any variation, a model is the mean of the training people.
    """
    fit = train & np.isfinite(expression)
    n = int(fit.sum())
    filled = fill_missing(dosage, fit)
    measured = expression[fit]
    mean, sd = measured.mean(), measured.std()
    centre, scale = filled[fit].mean(axis=0), filled[fit].std(axis=0)
    common = np.minimum(centre, 2 - centre) / 2 >= maf
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
        maf: smallest minor allele frequency among the gene's training people; 0 = any that varies.
        length: bases of a narrower window round the TSS; default the window as built.
        seed: of the cross-validation folds and Markov chains, the same for every gene.
        jobs: processes.

    Raises:
        InputError: as for ``measured_training_people``.
    """
    expression, fit = measured_training_people(expression, variants, split)
    genes = labels_of(expression, "gene")
    number_of = {gene: number for number, gene in enumerate(genes)}
    trained = [genes[number] for number in np.flatnonzero(fit.any(axis=1))]
    collected = Collected(methods, expression)
    for number in np.flatnonzero((split == TRAIN).any("individual").values & ~fit.any(axis=1)):
        collected.leave_out(int(number), "not measured in training people")
    fitting: deque[tuple[int, xr.Dataset]] = deque()  # genes handed out, in whose order results come

    def tasks() -> Iterator[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]]:
        options = {"methods": list(methods), "maf": maf, "seed": seed}
        for gene, window in dosages_of(variants, trained, length=length):
            number = number_of[gene]
            fitting.append((number, window.drop_vars("dosage")))
            yield delayed(fit_gene)(
                window["dosage"].values, expression.values[number], fit[number], **options
            )

    fitted = Parallel(n_jobs=jobs, return_as="generator")(tasks())
    for models, predicted in tqdm(fitted, total=len(trained), desc="genes", unit="gene", disable=None):
        collected.add(*fitting.popleft(), models, predicted)
    return collected.baselines()


def measured_training_people(
    expression: xr.DataArray, variants: xr.Dataset, split: xr.DataArray
) -> tuple[xr.DataArray, BoolArray]:
    """Expression (gene, individual), and who of them trains each gene: training people whose expression is not NaN.

    Raises:
        InputError: variants and split are not of the individuals of expression, or the split not of its genes,
            in the same order; or no gene has training people whose expression is measured.
    """
    expression = expression.transpose("gene", "individual")
    tables: list[tuple[str, xr.Dataset | xr.DataArray, str]] = [
        ("variants", variants, "individual"),
        ("split", split, "individual"),
        ("split", split, "gene"),
    ]
    for what, table, dim in tables:
        pairs = zip_longest(labels_of(table, dim), labels_of(expression, dim))
        for place, (theirs, ours) in enumerate(pairs):
            if theirs != ours:
                raise InputError(
                    f"{dim} {place} of {what} is {theirs!r}, that of expression {ours!r}: give both the same "
                    f"{dim}s in the same order"
                )
    train = split.transpose("gene", "individual").values == TRAIN
    if not train.any():
        raise InputError("the split has no training people for any gene; there is nothing to fit")
    fit: BoolArray = train & np.isfinite(expression.values)
    if not fit.any():
        raise InputError(
            "no gene's expression is measured in its training people; choose another split or assay"
        )
    return expression, fit


def _fit(method: Method, genotype: FloatArray, expression: FloatArray, seed: int) -> tuple[FloatArray, str]:
    """Standardised weights, and a note if the method did not converge."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        weights = method(genotype, expression, seed)
    if not caught:
        return weights, ""
    from sklearn.exceptions import ConvergenceWarning

    notes = []
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            notes.append(f"did not converge: {warning.message}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return weights, "; ".join(notes)
