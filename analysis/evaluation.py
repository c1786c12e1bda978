"""How well each method predicts the differences between held-out people, gene by gene and by gene class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis.bootstrap import LEVELS, mean_interval, overlapping_blocks, resampled, varies, weighted_pearson
from analysis.expression import expression_of, recipe_in
from analysis.labels import labels_of, unknown
from seqstore.errors import InputError
from seqstore.predictions import open_predictions
from seqstore.recipe import describe_fit, describe_recipe, fitted_on
from seqstore.splits import TEST, TRAIN, VALIDATION, open_split, split_fingerprint, split_names

CLASS_ORDER = ("random_split", "population_split", "unseen", "negative_control")
MIN_PEOPLE = 3  # fewer test people than this have no correlation worth the name
DRAWS = 2000
CONSTANT = "constant"
NOT_PREDICTED = "not predicted"
NOT_TESTED = "no test people"
WITHOUT_R = f"fewer than {MIN_PEOPLE} test people, or their expression does not vary"
PER_GENE_COLUMNS = ["method", "gene", "gene_class", "n", "pearson_r", "ci_low", "ci_high", "note"]
SUMMARY_COLUMNS = [
    "method", "gene_class", "n_genes", "mean_pearson_r", "ci_low", "ci_high", "n_constant", "n_missing",
]  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """Correlations on held-out people."""

    per_gene: pd.DataFrame  # PER_GENE_COLUMNS
    summary: pd.DataFrame  # SUMMARY_COLUMNS
    preparation: Preparation | None = None  # of the expression; None if the store has no recipe of it


@dataclass(frozen=True)
class Preparation:
    """How the expression that predictions are compared with was prepared, and on whom."""

    recipe: dict[str, Any]  # see seqstore.recipe
    seen: dict[str, tuple[int, int]]  # by gene class: people who test it and were fitted on, who test it

    def fitted_on(self, gene_class: str) -> str:
        """On whom the recipe was fitted, and how many of those who test a gene class are among them."""
        return f"{describe_fit(self.recipe)}, {self._among(gene_class)} test people among them"

    def __str__(self) -> str:
        among = ", ".join(f"{self._among(gene_class)} ({gene_class})" for gene_class in self.seen)
        return f"{describe_recipe(self.recipe)}; test people among them: {among}"

    def _among(self, gene_class: str) -> str:
        n_seen, n_tested = self.seen[gene_class]
        return f"{n_seen} of {n_tested}"


def evaluate(
    dataset: xr.Dataset,
    splits: Sequence[xr.Dataset],
    predictions: Mapping[str, Sequence[xr.DataArray]],
    *,
    assay: str | None = None,
    negative_controls: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Evaluation:
    """Pearson r of predicted and measured expression over each gene's held-out people.

    With several splits (folds) a gene's r is the mean of its within-fold r: pooling the predictions of
    different folds is biased downwards. A prediction that is constant over the test people, or missing for all of
    them, counts as r = 0; one missing for some is taken as the mean of the others. A gene with fewer
    than three measured test people has no r and no part in the means.

    Args:
        dataset: a store's root.
        splits: one split, or folds of one split (the same gene classes in each).
        predictions: by method, one array (gene, individual) for each split; NaN = not predicted. Genes and
            individuals are matched by label.
        assay: which expression; may be left out where the store has only one.
        negative_controls: a boolean column of the gene table; its true genes form the class
            ``negative_control``.
        draws: bootstrap samples; of people for a gene's interval, of people and genes for a class's
            (``bootstrap.mean_interval``).
        seed: of the bootstrap.

    Raises:
        InputError: splits disagree about gene classes, predictions share no gene or individual with the
            store, or there is no such assay or column.
    """
    expression = expression_of(dataset, assay=assay)
    genes, people = labels_of(dataset, "gene"), labels_of(dataset, "individual")
    measured = expression.values
    test = np.stack([s["split"].transpose("gene", "individual").values == TEST for s in splits])
    test &= np.isfinite(measured)
    classes = gene_classes(dataset, splits, negative_controls=negative_controls)
    block = overlapping_blocks(
        labels_of(dataset, "contig"), dataset["window_start"].values, dataset.attrs["length"]
    )
    predicted = {
        name: np.stack([_aligned(name, fold, genes, people) for fold in folds])
        for name, folds in predictions.items()
    }

    recipe = recipe_in(dataset, assay=assay)
    fitted = np.zeros(len(people), dtype=bool) if recipe is None else fitted_on(recipe, people)
    seen: dict[str, tuple[int, int]] = {}

    gene_tables, class_rows = [], []
    for number, gene_class in enumerate(CLASS_ORDER):
        members = np.flatnonzero(classes == gene_class)
        if not len(members):
            continue
        tested = test[:, members].any(axis=(0, 1))
        seen[gene_class] = int((tested & fitted).sum()), int(tested.sum())
        weights = resampled(int(tested.sum()), draws, np.random.default_rng([seed, number]))
        for name, values in predicted.items():
            table, people_draws = _correlations(
                values[:, members][:, :, tested],
                measured[members][:, tested],
                test[:, members][:, :, tested],
                weights,
            )
            table.insert(0, "gene", [genes[member] for member in members])
            table.insert(0, "method", name)
            table["gene_class"] = gene_class
            gene_tables.append(table)
            # The same blocks are drawn for every method, so that methods can be compared draw by draw.
            blocks = np.random.default_rng([seed, number, 1])
            low, high = mean_interval(table["pearson_r"], people_draws, block[members], blocks)
            r = table["pearson_r"].dropna()
            class_rows.append(
                (
                    name, gene_class, len(r), r.mean() if len(r) else np.nan, low, high,
                    int((table["note"] == CONSTANT).sum()), int((table["note"] == NOT_PREDICTED).sum()),
                )
            )  # fmt: skip
    per_gene = (
        pd.concat(gene_tables, ignore_index=True) if gene_tables else pd.DataFrame(columns=PER_GENE_COLUMNS)
    )
    order = {name: number for number, name in enumerate(predictions)}
    per_gene = per_gene.sort_values("method", key=lambda names: names.map(order), kind="stable")
    return Evaluation(
        per_gene=per_gene[PER_GENE_COLUMNS].reset_index(drop=True),
        summary=pd.DataFrame(class_rows, columns=SUMMARY_COLUMNS),
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


def read_predictions(
    store: str | Path, splits: Sequence[str], named: Sequence[str]
) -> dict[str, list[xr.DataArray]]:
    """Open predictions given as ``name=path``, one for each split, by method.

    ``{split}`` in a path stands for the split's name. Predictions that say which split they were trained on
    (attribute ``split``) are refused if that split trained or validated a cell that is tested here.

    Raises:
        InputError: an entry is not ``name=path``, a name comes twice, nothing stands at a path, or the
            predictions were trained on test cells.
    """
    predictions: dict[str, list[xr.DataArray]] = {}
    for entry in named:
        name, equals, path = entry.partition("=")
        if not (name and equals and path):
            raise InputError(f"--predictions {entry}: give name=path")
        if name in predictions:
            raise InputError(f"--predictions {entry}: the name {name!r} comes twice")
        predictions[name] = []
        for split_name in splits:
            filled = path.replace("{split}", split_name)
            opened = open_predictions(filled)
            _refuse_leak(store, opened.attrs, split_name, filled)
            predictions[name].append(opened["prediction"])
    return predictions


def _refuse_leak(store: str | Path, attrs: Mapping[str, object], tested: str, path: str) -> None:
    """Raise an InputError if people who trained or validated a gene for predictions test it in ``tested``.

    ``attrs`` are those of the predictions: the name and the fingerprint of the split they were trained on.
    Predictions that do not name a split are taken on trust.
    """
    trained = attrs.get("split")
    if trained is None:
        return
    if trained not in split_names(store):
        raise InputError(f"{path}: was trained on split {trained!r}, which {store} does not have")
    opened = open_split(store, str(trained))
    if attrs.get("split_fingerprint", split_fingerprint(opened)) != split_fingerprint(opened):
        raise InputError(
            f"{path}: was trained on another split that was named {trained!r} too; train it again"
        )
    if trained == tested:
        return
    seen, test = (
        s["split"].transpose("gene", "individual").values for s in (opened, open_split(store, tested))
    )
    n = int((np.isin(seen, (TRAIN, VALIDATION)) & (test == TEST)).sum())
    if n:
        raise InputError(
            f"{path}: was trained on split {trained!r}, which saw {n} of the test cells of {tested!r}: "
            "give the predictions of that split (with several, write {split} in the path)"
        )


def _aligned(
    name: str, prediction: xr.DataArray, genes: list[str], people: list[str]
) -> npt.NDArray[np.float64]:
    """A prediction in the store's order of genes and people, NaN where it has none."""
    for dimension, wanted in (("gene", genes), ("individual", people)):
        if not set(labels_of(prediction, dimension)) & set(wanted):
            raise InputError(
                f"predictions {name!r} share no {dimension} with the store: was it another store?"
            )
    prediction = prediction.assign_coords(
        gene=labels_of(prediction, "gene"), individual=labels_of(prediction, "individual")
    )
    aligned = prediction.reindex(gene=genes, individual=people).transpose("gene", "individual")
    return np.asarray(aligned.values, dtype=np.float64)


def _correlations(
    predicted: npt.NDArray[np.float64],
    measured: npt.NDArray[np.float64],
    test: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.float64],
) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """r of one method: a table with a row a gene, and r (draw, gene) on resampled people.

    ``predicted`` and ``test`` are (fold, gene, individual), ``measured`` (gene, individual), ``weights``
    (draw, individual).
    """
    n_folds, n_genes, n_people = predicted.shape
    r = np.full((n_folds, n_genes), np.nan)
    draws = np.full((n_folds, len(weights), n_genes), np.nan)
    constant = np.zeros((n_folds, n_genes), dtype=bool)
    missing = np.zeros((n_folds, n_genes), dtype=np.int64)
    for fold in range(n_folds):
        usable = test[fold] & (test[fold].sum(axis=1) >= MIN_PEOPLE)[:, None]
        known = usable & np.isfinite(predicted[fold])
        mean = np.where(known, predicted[fold], 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        filled = np.where(known, predicted[fold], mean[:, None])
        constant[fold] = ~varies(filled, usable)
        missing[fold] = (usable & ~known).sum(axis=1)
        r[fold] = weighted_pearson(np.ones((1, n_people)), filled, measured, usable)[0]
        draws[fold] = weighted_pearson(weights, filled, measured, usable)
    mean_draws = _mean_over_folds(draws)
    n = test.any(axis=0).sum(axis=1)
    low, high, notes = np.full(n_genes, np.nan), np.full(n_genes, np.nan), []
    for gene in range(n_genes):
        folds = np.isfinite(r[:, gene])
        n_missing, n_constant = int(missing[folds, gene].sum()), int(constant[folds, gene].sum())
        if not folds.any():
            notes.append(WITHOUT_R if n[gene] else NOT_TESTED)
        elif n_constant == folds.sum():
            notes.append(NOT_PREDICTED if n_missing == test[folds, gene].sum() else CONSTANT)
        else:
            low[gene], high[gene] = np.nanpercentile(mean_draws[:, gene], LEVELS)
            parts = {
                f"constant in {n_constant} of {folds.sum()} folds": n_constant,
                f"{n_missing} test people not predicted": n_missing,
            }
            notes.append("; ".join(text for text, count in parts.items() if count))
    table = pd.DataFrame(
        {"n": n, "pearson_r": _mean_over_folds(r), "ci_low": low, "ci_high": high, "note": notes}
    )
    return table, mean_draws


def _mean_over_folds(r: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean over the first axis of the values that are numbers; NaN where none is."""
    known = np.isfinite(r)
    n = known.sum(axis=0)
    return np.where(n > 0, np.where(known, r, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
