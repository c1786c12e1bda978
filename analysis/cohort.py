"""A cohort out of tables, for evaluations without a store: what ``evaluate`` reads of a store's root."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from analysis.gene_classes import classes_from_table
from analysis.gene_tables import expression_from_tables
from analysis.labels import labels_of
from analysis.split_tables import read_split_table, split_for
from seqstore.individuals import read_individuals
from seqstore.labels import reconcile_individuals
from seqstore.recipe import recipe_of

ASSAY = "expression"


def cohort_of_tables(
    splits: Sequence[str | Path],
    expression: Sequence[str | Path],
    *,
    gene_class: str | Path | None = None,
    samples: str | Path | None = None,
) -> tuple[xr.Dataset, list[xr.Dataset]]:
    """A cohort of the genes and individuals of split tables, and the splits over all of them.

    Args:
        splits: tables as of ``read_split_table``.
        expression: tables as of ``expression_from_tables``.
        gene_class: a table as of ``classes_from_table``, instead of what the split tables say.
        samples: a sample table as of ``seqstore.individuals``; its columns become coordinates.

    Returns:
        The cohort: ``expression`` (assay, gene, individual) of one assay, and no places of genes.

    Raises:
        InputError: a table cannot be read, or shares no gene or individual with the splits.
    """
    tables = [read_split_table(path) for path in splits]
    genes = dict.fromkeys(label for table in tables for label in labels_of(table, "gene"))
    people = dict.fromkeys(label for table in tables for label in labels_of(table, "individual"))
    cohort = xr.Dataset(
        coords={
            "assay": np.array([ASSAY], dtype=object),
            "gene": np.array(list(genes), dtype=object),
            "individual": np.array(list(people), dtype=object),
        }
    )
    made = [split_for(cohort, table, path) for table, path in zip(tables, splits, strict=True)]
    if gene_class is not None:
        classes = np.array(classes_from_table(cohort, gene_class), dtype=object)
        made = [split.assign(gene_class=("gene", classes)) for split in made]
    if samples is not None:
        cohort = _with_samples(cohort, samples)
    return with_expression(cohort, expression), made


def with_expression(dataset: xr.Dataset, paths: Sequence[str | Path]) -> xr.Dataset:
    """A cohort or a store's root whose only expression is that of tables, with the recipe if there is one of them.

    Raises:
        InputError: as ``expression_from_tables``.
    """
    values = expression_from_tables(paths, dataset)
    recipe = recipe_of(paths[0]) if len(paths) == 1 else None
    if "expression" in dataset:
        dataset = dataset.drop_vars(["expression", "assay"], errors="ignore")
    dataset = dataset.assign_coords(assay=np.array([ASSAY], dtype=object))
    dataset["expression"] = ("assay", "gene", "individual"), values[None]
    dataset.attrs = {**dataset.attrs, "expression_recipe": {} if recipe is None else {ASSAY: recipe}}
    return dataset


def _with_samples(cohort: xr.Dataset, path: str | Path) -> xr.Dataset:
    """The cohort with the columns of a sample table as coordinates of its individuals; "" = not told."""
    table = read_individuals(path)
    people = labels_of(cohort, "individual")
    known = reconcile_individuals(table.index.to_list(), people, path=path).known
    rows = table.loc[list(known)].rename(index=known).reindex(people).fillna("")
    columns = {str(name): ("individual", rows[name].to_numpy(dtype=object)) for name in rows.columns}
    return cohort.assign_coords(columns)
