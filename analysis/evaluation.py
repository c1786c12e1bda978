"""How well each method predicts the differences between held-out people, gene by gene and by gene class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis import comparison, correlations
from analysis.bootstrap import mean_interval, overlapping_blocks, resampled
from analysis.correlations import CONSTANT, NOT_PREDICTED, Correlations
from analysis.covariates import design_from_table, residuals
from analysis.expression import expression_of, recipe_in
from analysis.labels import labels_of, unknown
from analysis.preparation import Preparation
from seqstore.errors import InputError
from seqstore.recipe import fitted_on
from seqstore.splits import TEST

CLASS_ORDER = ("random_split", "population_split", "unseen", "negative_control")
DRAWS = 2000
PER_GENE_COLUMNS = ["method", "gene", "gene_class", *correlations.COLUMNS]
SUMMARY_COLUMNS = [
    "method", "gene_class", "n_genes", "mean_pearson_r", "ci_low", "ci_high", "median_r", "mean_abs_r",
    "mean_pooled_r", "populations", "replicates", "replicate_sd", "n_significant", "n_constant", "n_missing",
]  # fmt: skip
SIGNIFICANT = 0.05  # q
POOLED = "none"  # for ``within``
_POPULATIONS = ("population", "superpopulation")


@dataclass(frozen=True)
class Evaluation:
    """Correlations on held-out people."""

    per_gene: pd.DataFrame  # PER_GENE_COLUMNS
    summary: pd.DataFrame  # SUMMARY_COLUMNS
    comparison: pd.DataFrame  # comparison.COLUMNS
    preparation: Preparation | None = None  # of the expression; None if the store has no recipe of it


def evaluate(
    dataset: xr.Dataset,
    splits: Sequence[xr.Dataset],
    predictions: Mapping[str, Sequence[xr.DataArray]],
    *,
    assay: str | None = None,
    negative_controls: str | None = None,
    within: str | None = None,
    covariates: str | Path | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Evaluation:
    """Correlate predicted and measured expression over each gene's held-out people, and compare methods.

    With several splits (folds) a gene's r is the mean of its within-fold r: pooling the predictions of
    different folds is biased downwards. A prediction that is constant over the test people, or missing for all of
    them, counts as r = 0; one missing for some is taken as the mean of the others. A gene with fewer
    than three measured test people has no r and no part in the means.

    Where the people who test a class are of several populations, r is that within populations: of values centred
    on the mean of each population (``correlations.correlate``), so that ancestry alone predicts nothing. The r of
    all people together is kept as ``pooled_r``.

    Args:
        dataset: a store's root, or a cohort of tables (``analysis.cohort``).
        splits: one split, or folds of one split (the same gene classes in each).
        predictions: by method, one array (gene, individual) or, of several runs, (replicate, gene, individual)
            for each split; NaN = not predicted. Genes and individuals are matched by label.
        assay: which expression; may be left out where the store has only one.
        negative_controls: a boolean column of the gene table; its true genes form the class
            ``negative_control``.
        within: the column of the sample table with the populations; default ``population``, else
            ``superpopulation``, as far as there are such. ``none``: r is that of all people together.
        covariates: a table of covariates; expression is what they leave (``analysis.covariates``), for every
            method the same.
        draws: bootstrap samples; of people for a gene's interval, of people and genes for a class's
            (``bootstrap.mean_interval``).
        seed: of the bootstrap.

    Raises:
        InputError: splits disagree about gene classes or test nobody, predictions share no gene or individual
            with the store, or there is no such assay or column.
    """
    genes, people = labels_of(dataset, "gene"), labels_of(dataset, "individual")
    expression = expression_of(dataset, assay=assay).values
    roles = [split["split"].transpose("gene", "individual").values for split in splits]
    if covariates is None:
        measured = np.broadcast_to(expression, (len(splits), *expression.shape))
    else:
        design = design_from_table(dataset, splits, covariates)
        measured = np.stack([residuals(expression, design, of_fold) for of_fold in roles])
    test = np.stack([of_fold == TEST for of_fold in roles])
    if not test.any():
        raise InputError("the split has no test people: there is nobody to compare predictions on")
    test &= np.isfinite(measured)
    classes = gene_classes(dataset, splits, negative_controls=negative_controls)
    population = populations_of(dataset, within)
    block = blocks_of(dataset)
    predicted = {
        name: np.stack([_aligned(name, fold, genes, people) for fold in folds], axis=1)
        for name, folds in predictions.items()
    }
    recipe = recipe_in(dataset, assay=assay)
    fitted = np.zeros(len(people), dtype=bool) if recipe is None else fitted_on(recipe, people)
    seen: dict[str, tuple[int, int]] = {}

    per_gene, summaries, comparisons = [], [], []
    for number, gene_class in enumerate(CLASS_ORDER):
        members = np.flatnonzero(classes == gene_class)
        if not len(members):
            continue
        tested = test[:, members].any(axis=(0, 1))
        seen[gene_class] = int((tested & fitted).sum()), int(tested.sum())
        weights = resampled(int(tested.sum()), draws, np.random.default_rng([seed, number]))
        several = population is not None and len(set(population[tested]) - {""}) > 1
        results: dict[str, Correlations] = {}
        for name, values in predicted.items():
            results[name] = correlations.correlate(
                values[:, :, members][..., tested],
                measured[:, members][..., tested],
                test[:, members][..., tested],
                weights,
                within=population[tested] if population is not None and several else None,
            )
            labels = pd.DataFrame(
                {"method": name, "gene": [genes[member] for member in members], "gene_class": gene_class}
            )
            per_gene.append(pd.concat([labels, results[name].table], axis=1))
            # The same blocks of genes are drawn for every method, so that methods can be compared draw by draw.
            summaries.append(_summary_of(name, gene_class, results[name], block[members], [seed, number, 1]))
        comparisons.append(comparison.compare(results, gene_class, block[members], [seed, number, 1]))
    order = {name: number for number, name in enumerate(predictions)}
    return Evaluation(
        per_gene=_joined(per_gene, PER_GENE_COLUMNS).sort_values(
            "method", key=lambda names: names.map(order), kind="stable", ignore_index=True
        ),
        summary=pd.DataFrame(summaries, columns=SUMMARY_COLUMNS),
        comparison=_joined(comparisons, comparison.COLUMNS),
        preparation=None if recipe is None else Preparation(recipe, seen),
    )


def gene_classes(
    dataset: xr.Dataset, splits: Sequence[xr.Dataset], *, negative_controls: str | None = None
) -> npt.NDArray[np.str_]:
    """The class (gene,) of every gene in its splits, with the negative controls set apart.

    Raises:
        InputError: the splits differ, or ``negative_controls`` is no boolean column of the gene table.
    """
    classes = np.array(labels_of(splits[0], "gene_class"))
    for split in splits[1:]:
        if labels_of(split, "gene_class") != classes.tolist():
            raise InputError(
                "the splits put a gene into different classes: evaluate only folds of one split together"
            )
    if negative_controls is None:
        return classes
    columns = [str(name) for name, values in dataset.coords.items() if values.dims == ("gene",)]
    if negative_controls not in columns:
        raise unknown("gene column", negative_controls, columns)
    spelling = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False}
    values = [label.lower() for label in labels_of(dataset, negative_controls)]
    odd = [value for value in values if value not in spelling]
    if odd:
        raise InputError(
            f"gene column {negative_controls!r} holds {odd[0]!r}: it must be true or false (or 1 or 0)"
        )
    is_control = np.array([spelling[value] for value in values])
    return np.where(is_control & (classes != "unused"), "negative_control", classes)


def populations_of(dataset: xr.Dataset, within: str | None = None) -> npt.NDArray[np.str_] | None:
    """The population (individual,) of everyone, of the column ``within`` (see ``evaluate``); None if it is not told.

    Raises:
        InputError: there is no such column of the sample table.
    """
    columns = [str(name) for name, values in dataset.coords.items() if values.dims == ("individual",)]
    if within is None:
        within = next((name for name in _POPULATIONS if name in columns), POOLED)
    if within == POOLED:
        return None
    if within not in columns:
        raise unknown("column of the sample table", within, [*columns, POOLED])
    return np.array(labels_of(dataset, within))


def blocks_of(dataset: xr.Dataset) -> npt.NDArray[np.int64]:
    """Which genes (gene,) have overlapping windows (``overlapping_blocks``); all apart if places are not told."""
    if "window_start" not in dataset.coords:
        return np.arange(dataset.sizes["gene"])
    start = dataset["window_start"].values
    return overlapping_blocks(labels_of(dataset, "contig"), start, dataset.attrs["length"])


def _summary_of(
    name: str, gene_class: str, result: Correlations, block: npt.NDArray[np.int64], seed: list[int]
) -> tuple[object, ...]:
    """One row of ``SUMMARY_COLUMNS``."""
    table = result.table
    low, high = mean_interval(table["pearson_r"], result.draws, block, np.random.default_rng(seed))
    r = table["pearson_r"].dropna()
    return (
        name, gene_class, len(r), r.mean(), low, high, r.median(), result.mean_abs_r, table["pooled_r"].mean(),
        int(table["populations"].max()), len(result.by_replicate), result.replicate_sd,
        int((table["q"] <= SIGNIFICANT).sum()), int((table["note"] == CONSTANT).sum()),
        int((table["note"] == NOT_PREDICTED).sum()),
    )  # fmt: skip


def _aligned(
    name: str, prediction: xr.DataArray, genes: list[str], people: list[str]
) -> npt.NDArray[np.floating]:
    """A prediction (replicate, gene, individual) in the cohort's order of genes and people, NaN where it has none."""
    for dimension, wanted in (("gene", genes), ("individual", people)):
        if not set(labels_of(prediction, dimension)) & set(wanted):
            raise InputError(
                f"predictions {name!r} share no {dimension} with the store: was it another store?"
            )
    prediction = prediction.assign_coords(
        gene=labels_of(prediction, "gene"), individual=labels_of(prediction, "individual")
    )
    if "replicate" not in prediction.dims:
        prediction = prediction.expand_dims("replicate")
    aligned = prediction.reindex(gene=genes, individual=people).transpose("replicate", "gene", "individual")
    return np.asarray(aligned.values)


def _joined(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The rows of all tables that have any."""
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
