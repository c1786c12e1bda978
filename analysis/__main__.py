"""Command line: python -m analysis split | baselines | evaluate."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas as pd

from seqstore import open_split, open_store, open_variants, write_split
from seqstore.commands import Command, run
from seqstore.errors import InputError
from seqstore.outputs import check_folder
from seqstore.splits import split_fingerprint, split_names

log = logging.getLogger(__name__)


def split(
    store: str,
    *,
    name: str,
    random_contigs: list[str] | None = None,
    population_contigs: list[str] | None = None,
    unseen_contigs: list[str] | None = None,
    gene_class: str | None = None,
    test_share: float = 0.2,
    validation_share: float = 0.05,
    test_population: str | None = None,
    per_gene: bool = False,
    folds: int | None = None,
    seed: int = 0,
) -> None:
    """Divide genes into classes and people into training, validation and test people.

    Args:
        store: store to write the split into
        name: name of the split; with --folds, NAME-fold0, NAME-fold1, ... are written
        random_contigs: contigs whose genes test people drawn at random. Genes on contigs that are named for no
            class are unused. Without any of these options contigs are taken in descending number of genes, each
            for the first class with room: 40% random, 40% population, the rest unseen (80% random and the rest
            unseen without --test-population; a single contig is never unseen)
        population_contigs: contigs whose genes have --test-population held out
        unseen_contigs: contigs whose genes nobody trains
        gene_class: table with columns gene and gene_class (random_split, population_split, unseen, unused)
            instead of contigs; genes that are not listed are unused
        test_share: share of the people who test the random_split genes
        validation_share: share of the other people who validate
        test_population: population or superpopulation held out of the population_split genes
        per_gene: draw people anew for each gene, as the study did, instead of once for all
        folds: number of parts of the people, each the test people of one split (instead of --test-share)
        seed: seed of the draw
    """
    from analysis.splits import (
        classes_by_contig,
        classes_by_share,
        classes_from_table,
        counts_of,
        overlapping_test_cells,
        split_people,
    )

    contigs = [random_contigs or [], population_contigs or [], unseen_contigs or []]
    if gene_class is not None and any(contigs):
        raise InputError("give either --gene-class or contigs for classes, not both")
    _check_seed(seed)
    if folds is not None and folds < 2:
        raise InputError(f"--folds {folds}: give at least 2")
    names = [name] if folds is None else [f"{name}-fold{number}" for number in range(folds)]
    taken = sorted(set(names) & set(split_names(store)))
    if taken:
        raise InputError(f"{store}: has a split {taken[0]!r} already; choose another name")
    dataset = open_store(store)
    if gene_class is not None:
        classes, rule = classes_from_table(dataset, gene_class), f"table {gene_class}"
    elif any(contigs):
        random, population, unseen = contigs
        classes = classes_by_contig(dataset, random=random, population=population, unseen=unseen)
        rule = f"contigs {','.join(random)} | {','.join(population)} | {','.join(unseen)}"
    else:
        classes = classes_by_share(dataset, population=test_population is not None)
        rule = "contigs in descending number of genes, 40/40/20"
    made = [
        split_people(
            dataset,
            classes,
            test_share=test_share,
            validation_share=validation_share,
            test_population=test_population,
            per_gene=per_gene,
            fold=None if folds is None else (number, folds),
            seed=seed,
        )
        for number in range(len(names))
    ]
    for split_name, labels in zip(names, made, strict=True):
        attrs = {"gene_class_rule": rule, **labels.attrs}
        write_split(store, split_name, split=labels["split"].values, gene_class=classes, attrs=attrs)
    overlapping = max(overlapping_test_cells(dataset, labels["split"].values) for labels in made)
    if overlapping:
        log.warning(
            "warning: for %d test cells the same person trains a gene whose window overlaps; put neighbouring "
            "genes into one class to avoid it",
            overlapping,
        )
    for split_name, labels in zip(names, made, strict=True):
        print(f"split {split_name}\n{_aligned(counts_of(labels))}")


def baselines(
    store: str,
    *,
    split: str,
    output: str,
    methods: str = "top1,enet",
    assay: str | None = None,
    maf: float = 0.05,
    length: int | None = None,
    jobs: int = 1,
    seed: int = 0,
) -> None:
    """Fit linear models on the training people of every gene and predict everybody.

    Args:
        store: store to read
        split: name of the split whose training people are fitted on
        output: folder for METHOD.zarr (predictions), METHOD.weights.tsv and METHOD.genes.tsv
        methods: names separated by commas, of top1 and enet
        assay: which expression, where the store has several
        maf: smallest minor allele frequency among a gene's training people
        length: bases of a narrower window round the TSS; default the window as built
        jobs: processes
        seed: seed of the cross-validation folds
    """
    from analysis.baselines import METHODS, fit_baselines
    from analysis.dosage import check_length
    from analysis.expression import expression_of
    from analysis.labels import unknown
    from seqstore.predictions import write_predictions

    _check_seed(seed)
    names = list(dict.fromkeys(methods.split(",")))
    for method in names:
        if method not in METHODS:
            raise unknown("method", method, METHODS)
    if not 0 <= maf < 0.5:
        raise InputError(f"--maf {maf}: give a frequency from 0 up to 0.5")
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: give at least 1")
    folder = Path(output)
    for method in names:
        _refuse_existing(folder / f"{method}.zarr")
    check_folder(folder)
    dataset, labels = open_store(store), open_split(store, split)
    check_length(length, int(dataset.attrs["length"]))
    expression = expression_of(dataset, assay=assay)
    fitted = fit_baselines(
        expression,
        open_variants(store),
        labels["split"],
        methods=names,
        maf=maf,
        length=length,
        seed=seed,
        jobs=jobs,
    )
    folder.mkdir(parents=True, exist_ok=True)
    n_genes = dataset.sizes["gene"]
    attrs = {
        "split": split,
        "split_fingerprint": split_fingerprint(labels),
        "store_fingerprint": dataset.attrs["fingerprint"],
        "maf": maf,
        "seed": seed,
    }
    for method in names:
        for table, stem in ((fitted.weights, "weights"), (fitted.genes, "genes")):
            rows = table[table["method"] == method].drop(columns="method")
            rows.to_csv(folder / f"{method}.{stem}.tsv", sep="\t", index=False, float_format="%.9g")
        write_predictions(
            folder / f"{method}.zarr",
            fitted.prediction.sel({"method": method}).values,
            gene=fitted.prediction["gene"].values,
            individual=fitted.prediction["individual"].values,
            name=method,
            attrs=attrs | {"length": length or int(dataset.attrs["length"])},
        )
        rows = fitted.genes[fitted.genes["method"] == method]
        constant = int((rows["n_weights"] == 0).sum())
        print(
            f"{method}: {len(rows)} of {n_genes} genes trained, {constant} of them constant; "
            f"{folder / f'{method}.zarr'}"
        )
        stopped = int(rows["note"].str.contains("converge").sum())
        if stopped:
            log.warning("%s: some fits of %d genes did not converge (%s.genes.tsv)", method, stopped, method)


def evaluate(
    store: str,
    *,
    split: list[str],
    predictions: list[str],
    output: str,
    assay: str | None = None,
    negative_controls: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> None:
    """Compare predictions with measured expression on held-out people: tables and figures.

    Args:
        store: store to read
        split: name of the split, or of several folds of one: then r is the mean of within-fold r
        predictions: name=path of predictions, in the order of tables and figures; {split} in a path stands
            for each split's name
        output: folder for per_gene.tsv, summary.tsv, figures with their tables, and expression.json, the recipe
            of an expression table that was prepared by seqstore expression
        assay: which expression, where the store has several
        negative_controls: column of the gene table; genes for which it is true are a class of their own
        draws: number of bootstrap samples
        seed: seed of the bootstrap
    """
    from analysis import figures
    from analysis.evaluation import evaluate as correlate
    from analysis.evaluation import read_predictions

    _check_seed(seed)
    if draws < 1:
        raise InputError(f"--draws {draws}: give at least 1")
    folder = Path(output)
    _refuse_existing(folder / "summary.tsv")
    check_folder(folder)
    dataset = open_store(store)
    splits = [open_split(store, name) for name in dict.fromkeys(split)]
    result = correlate(
        dataset,
        splits,
        read_predictions(store, list(dict.fromkeys(split)), predictions),
        assay=assay,
        negative_controls=negative_controls,
        draws=draws,
        seed=seed,
    )
    folder.mkdir(parents=True, exist_ok=True)
    result.per_gene.to_csv(folder / "per_gene.tsv", sep="\t", index=False, float_format="%.6g")
    drawn: list[Path] = []
    points = figures.by_class_table(result.per_gene, result.summary)
    if len(points):
        drawn.append(figures.save(figures.by_class_figure(points), points, folder / "by_class"))
    pairs = figures.gene_wise_table(result.per_gene)
    if len(pairs):
        drawn.append(figures.save(figures.gene_wise_figure(pairs), pairs, folder / "gene_wise"))
    summary, preparation = result.summary, result.preparation
    if preparation is not None:
        summary = summary.assign(
            expression_fitted_on=[preparation.fitted_on(name) for name in summary["gene_class"]]
        )
        drawn.append(folder / "expression.json")
        drawn[-1].write_text(json.dumps(preparation.recipe, indent=2) + "\n")
        print(f"expression: {preparation}")
    summary.to_csv(folder / "summary.tsv", sep="\t", index=False, float_format="%.6g")
    shown = result.summary.copy()
    untrained = shown["n_missing"] == shown["n_genes"]
    shown.loc[untrained, ["mean_pearson_r", "ci_low", "ci_high"]] = float("nan")
    print(_aligned(shown))
    if untrained.any():
        print("-: the method predicts none of these genes; each counts 0 in the tables")
    for path in [folder / "summary.tsv", folder / "per_gene.tsv", *drawn]:
        print(path)


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed}: give a number from 0 to {2**32 - 1}")


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path}: exists already; remove it or give another --output")


def _aligned(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format="{:.3f}".format, na_rep="-")


COMMANDS: dict[str, Command] = {"split": split, "baselines": baselines, "evaluate": evaluate}

if __name__ == "__main__":
    run("python -m analysis", COMMANDS)
