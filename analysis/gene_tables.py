"""Tables of numbers over genes and people, turned either way, matched by label to genes and people that are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from analysis.bootstrap import FloatArray
from analysis.labels import labels_of
from seqstore.errors import InputError
from seqstore.expression import read_expression
from seqstore.genes import strip_version
from seqstore.labels import reconcile_individuals
from seqstore.tables import bare_name, read_table, refuse_repeats

TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".parquet")
_EXPRESSION_FORMATS = (".bed", ".bed.parquet", ".gct", ".h5ad")


def read_gene_table(path: str | Path, what: str, dataset: xr.Dataset) -> FloatArray:
    """Read numbers for the genes and people of ``dataset``: (gene, individual), NaN = the table has none.

    The table has a header; its first column is the gene and the others are people, or the other way round,
    whichever way the labels are found. Genes match by label, with or without version, or by ``gene_name``;
    people as in ``seqstore.labels``. Other rows and columns are ignored. ``what`` names the table in errors.

    Raises:
        InputError: it cannot be read, has no such gene or no such individual, one of them twice, or a cell that
            is no number.
    """
    table = read_table(path, what, numbers=True)
    table = table.set_index(table.columns[0])
    return _aligned(table, path, what, dataset)


def expression_from_tables(paths: Sequence[str | Path], dataset: xr.Dataset) -> FloatArray:
    """Measured expression (gene, individual) of the genes and people of ``dataset`` out of one or several tables.

    Tables as in ``read_gene_table``, and the formats of ``seqstore.expression``. A cell that several tables have
    is to be the same in each.

    Raises:
        InputError: as ``read_gene_table``; or two tables disagree.
    """
    merged = np.full((dataset.sizes["gene"], dataset.sizes["individual"]), np.nan)
    for number, path in enumerate(paths):
        if bare_name(path).endswith(_EXPRESSION_FORMATS):
            values = _aligned(read_expression(path), path, "expression table", dataset)
        else:
            values = read_gene_table(path, "expression table", dataset)
        differ = np.abs(values - merged) > 1e-6 * np.maximum(1, np.abs(merged))  # False where one is NaN
        if differ.any():
            gene, person = np.argwhere(differ)[0]
            raise InputError(
                f"{path}: gene {dataset['gene'].values[gene]} of individual {dataset['individual'].values[person]} "
                f"is {values[gene, person]:g}, but {merged[gene, person]:g} in "
                f"{' or '.join(map(str, paths[:number]))}; give tables of one normalisation"
            )
        merged = np.where(np.isfinite(values), values, merged)
    return merged


def matched_genes(labels: Sequence[str], dataset: xr.Dataset) -> dict[str, str]:
    """Which gene of ``dataset`` each label of a file means, by label, without version, or by name; others are left out.

    A name that several genes have means none of them.
    """
    genes = labels_of(dataset, "gene")
    known = dict(zip(genes, genes, strict=True))
    if "gene_name" in dataset.coords:
        names = pd.Series(genes, index=labels_of(dataset, "gene_name"))
        known = {str(k): v for k, v in names[~names.index.duplicated(keep=False)].items()} | known
    matched = {}
    for label in labels:
        gene = known.get(label, known.get(strip_version(label)))
        if gene is not None:
            matched[label] = gene
    return matched


def turned(table: pd.DataFrame, path: str | Path, what: str, dataset: xr.Dataset) -> pd.DataFrame:
    """A table as genes x individuals with the labels of ``dataset``, holding those that both have.

    Raises:
        InputError: no gene or no individual matches, whichever way it is turned, or two rows mean one.
    """
    people = labels_of(dataset, "individual")

    def found(rows: pd.Index, columns: pd.Index) -> tuple[dict[str, str], dict[str, str]]:
        remedy = "give labels as the split has them"
        matched = reconcile_individuals(list(columns), people, path=path, remedy=remedy)
        return matched_genes(list(rows), dataset), matched.known

    rows, columns = table.index.map(str), table.columns.map(str)
    table = table.set_axis(rows).set_axis(columns, axis="columns")
    genes, individuals = found(rows, columns)
    if not (genes and individuals):
        genes_across, individuals_down = found(columns, rows)
        if genes_across and individuals_down:
            table, genes, individuals = table.T, genes_across, individuals_down
        else:
            missing = "individual" if len(genes) + len(genes_across) else "gene"
            wanted = ", ".join(labels_of(dataset, missing)[:2])
            raise InputError(
                f"{path}: the {what} has no {missing} of the split ({wanted}, …): are its labels others?"
            )
    refuse_repeats(table.index.to_series(), path, "row")
    kept = table.loc[list(genes), list(individuals)].rename(index=genes, columns=individuals)
    refuse_repeats(kept.index.to_series(), path, "gene")
    return kept


def _aligned(table: pd.DataFrame, path: str | Path, what: str, dataset: xr.Dataset) -> FloatArray:
    kept = turned(table, path, what, dataset)
    numbers = kept.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    bad = (numbers.isna() & kept.notna() & (kept != "")).to_numpy() | np.isinf(numbers.to_numpy())
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{path}: {kept.iloc[row, column]!r} of gene {kept.index[row]}, individual {kept.columns[column]} is "
            "not a finite number (write NA for none)"
        )
    wanted = numbers.reindex(index=labels_of(dataset, "gene"), columns=labels_of(dataset, "individual"))
    return np.asarray(wanted, dtype=np.float64)
