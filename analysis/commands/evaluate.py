"""The command ``evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

from analysis.commands.arguments import check_seed, refuse_existing
from analysis.commands.tables import aligned
from seqstore import open_split, open_store
from seqstore.errors import InputError
from seqstore.outputs import check_folder


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

    check_seed(seed)
    if draws < 1:
        raise InputError(f"--draws {draws}: give at least 1")
    folder = Path(output)
    refuse_existing(folder / "summary.tsv")
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
    print(aligned(shown))
    if untrained.any():
        print("-: the method predicts none of these genes; each counts 0 in the tables")
    for path in [folder / "summary.tsv", folder / "per_gene.tsv", *drawn]:
        print(path)
