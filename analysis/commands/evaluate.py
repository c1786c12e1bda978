"""The command ``evaluate``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from analysis.commands.arguments import check_seed, refuse_existing
from analysis.commands.tables import aligned
from analysis.evaluation import Evaluation
from seqstore import open_split, open_store
from seqstore.errors import InputError
from seqstore.outputs import check_folder
from seqstore.splits import split_names


def evaluate(
    store: str | None = None,
    *,
    split: list[str],
    predictions: list[str],
    output: str,
    expression: list[str] | None = None,
    gene_class: str | None = None,
    samples: str | None = None,
    assay: str | None = None,
    negative_controls: str | None = None,
    within: str | None = None,
    covariates: str | None = None,
    heritability: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> None:
    """Compare predictions with measured expression on held-out people: tables and figures.

    Args:
        store: store to read; left out, expression and splits are tables
        split: name of the split, or of several folds of one: then r is the mean of within-fold r. Or tables: columns
            gene, individual and split (train, val, test), or genes x individuals as the study's sample_splits.csv
        predictions: name=path of predictions, in the order of tables and figures; {split} in a path stands
            for each split's name; name=path,path are runs of one method with several seeds; name@share=path is one
            that was trained on a share of the people, a point of its learning curve. A path is what predict.py or
            baselines wrote, or a table of genes x people or people x genes (.csv, .tsv, .txt, .parquet, also .gz)
        output: folder for per_gene.tsv, summary.tsv, comparison.tsv, figures with their tables, and
            expression.json, the recipe of an expression table that was prepared by seqstore expression
        expression: tables of measured expression, instead of the store's
        gene_class: table with columns gene and gene_class, for splits out of tables
        samples: sample table with the populations, where there is no store
        assay: which expression, where the store has several
        negative_controls: column of the gene table; genes for which it is true are a class of their own
        within: column of the sample table with the populations within which r is taken; default population or
            superpopulation, where a class's test people are of several. none: r of all people together
        covariates: table of covariates; what they explain, as training people show it, is taken from expression
        heritability: table with columns gene and h2 (or the lines of FUSION's .hsq files): r against its square root
        draws: number of bootstrap samples
        seed: seed of the bootstrap
    """
    from analysis.ceiling import read_heritability
    from analysis.evaluation import evaluate as correlate
    from analysis.predictions import read_predictions

    check_seed(seed)
    if draws < 1:
        raise InputError(f"--draws {draws}: give at least 1")
    folder = Path(output)
    refuse_existing(folder / "summary.tsv")
    check_folder(folder)
    h2 = None if heritability is None else read_heritability(heritability)
    dataset, splits = _opened(store, list(dict.fromkeys(split)), expression, gene_class, samples)
    result = correlate(
        dataset,
        list(splits.values()),
        read_predictions(predictions, dataset, splits, store=store),
        assay=assay,
        negative_controls=negative_controls,
        within=within,
        covariates=covariates,
        draws=draws,
        seed=seed,
    )
    drawn = _write(result, h2, folder)
    if result.preparation is not None:
        print(f"expression: {result.preparation}")
    if (result.summary["populations"] > 1).any():
        print(
            "r is that within populations where those who test a class are of several (mean_pooled_r: of all)"
        )
    if "window_start" not in dataset.coords:
        print("the places of genes are not told: intervals take no two windows as overlapping")
    print(aligned(_shown(result.summary)))
    if (result.summary["n_missing"] == result.summary["n_genes"]).any():
        print("-: the method predicts none of these genes; each counts 0 in the tables")
    for path in drawn:
        print(path)


def _opened(
    store: str | None,
    names: Sequence[str],
    expression: list[str] | None,
    gene_class: str | None,
    samples: str | None,
) -> tuple[xr.Dataset, dict[str, xr.Dataset]]:
    """The cohort, and its splits by name: out of a store, of tables, or of both."""
    from analysis.cohort import cohort_of_tables, with_expression
    from analysis.gene_classes import classes_from_table
    from analysis.split_tables import read_split_table, split_for

    if store is None:
        if expression is None:
            raise InputError(
                "give a store, or measured expression with --expression and a split table with --split"
            )
        dataset, made = cohort_of_tables(names, expression, gene_class=gene_class, samples=samples)
        return dataset, dict(zip(names, made, strict=True))
    if samples is not None:
        raise InputError("--samples is for evaluations without a store: the store has its sample table")
    dataset = open_store(store)
    stored, splits = split_names(store), {}
    for name in names:
        if name in stored or not Path(name).is_file():
            splits[name] = open_split(store, name)
            if gene_class is not None:
                raise InputError(
                    f"--gene-class is for splits out of tables: split {name} has its own classes"
                )
            continue
        splits[name] = split_for(dataset, read_split_table(name), name)
        if gene_class is not None:
            classes = classes_from_table(dataset, gene_class)
            splits[name]["gene_class"] = "gene", pd.Series(classes, dtype=object).to_numpy()
    return dataset if expression is None else with_expression(dataset, expression), splits


def _write(result: Evaluation, heritability: pd.DataFrame | None, folder: Path) -> list[Path]:
    """Write the tables and the figures; the paths of all of them."""
    from analysis import ceiling, figures

    # Before anything stands there: what the tables have in common may be nothing.
    against = None if heritability is None else ceiling.against_heritability(result.per_gene, heritability)
    folder.mkdir(parents=True, exist_ok=True)
    summary, preparation = result.summary, result.preparation
    written = []
    if preparation is not None:
        summary = summary.assign(
            expression_fitted_on=[preparation.fitted_on(name) for name in summary["gene_class"]]
        )
        written.append(folder / "expression.json")
        written[-1].write_text(json.dumps(preparation.recipe, indent=2) + "\n")
    tables = {"per_gene": result.per_gene, "comparison": result.comparison, "summary": summary}
    if heritability is not None:
        tables["ceiling"] = ceiling.ceiling_summary(result.per_gene, heritability)
    for stem, table in tables.items():
        if len(table) or stem != "comparison":
            written.append(folder / f"{stem}.tsv")
            table.to_csv(written[-1], sep="\t", index=False, float_format="%.6g")
    for stem, (table, draw) in figures.figures_of(result.per_gene, result.summary, against).items():
        if len(table):
            written.append(figures.save(draw(table), table, folder / stem))
    return written


def _shown(summary: pd.DataFrame) -> pd.DataFrame:
    """What of the summary is printed: no r where a method predicts no gene, and no column that says nothing."""
    shown = summary.copy()
    untrained = shown["n_missing"] == shown["n_genes"]
    shown.loc[
        untrained, ["mean_pearson_r", "ci_low", "ci_high", "median_r", "mean_abs_r", "mean_pooled_r"]
    ] = float("nan")
    if (shown["populations"] <= 1).all():
        shown = shown.drop(columns=["populations", "mean_pooled_r"])
    if (shown["replicates"] <= 1).all():
        shown = shown.drop(columns=["replicates", "replicate_sd"])
    return shown
