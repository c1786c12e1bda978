"""What the inputs of a config have that a finished store does not: genes, or individuals.

The two become one plan, in which what the store has comes first. What both have must be the same in both.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.genotypes import open_genotypes
from seqstore.layout import coordinate_name
from seqstore.plan import Plan, make_plan, share_covered
from seqstore.store import open_store
from seqstore.tables import MISSING_NUMBERS

#: Columns that genes have only where some are on X or Y.
_OPTIONAL = ("pseudoautosomal",)


def plan_with_additions(config: BuildConfig, path: str) -> Plan:
    """The plan of the store at ``path`` with the genes and individuals that ``config`` has besides its own.

    Raises:
        InputError: anything of the inputs cannot be used, or they say of what the store has something else
            than the store.
    """
    plan, store = make_plan(config), open_store(path)
    _check_expression(plan, store)
    genes = _united(
        _table(store, "gene"),
        plan.genes.drop(columns="covered").set_index("gene", drop=False),
        config.genes,
        "gene",
    )
    genotypes = open_genotypes(config.genotypes)
    individuals = _united(
        _table(store, "individual").drop(columns="individual"),
        plan.individuals,
        config.samples or genotypes.paths[0],
        "individual",
    )
    genotyped = set(genotypes.individuals)
    if unknown := [label for label in individuals.index if label not in genotyped]:
        raise InputError(
            f"{genotypes.paths[0]}: has no individual {unknown[0]}, who is in the store; append from files that "
            "have everybody"
        )
    if gone := set(genes["genotype_contig"]) - set(genotypes.contigs):
        raise InputError(
            f"{genotypes.paths[0]}: has no contig {min(gone)}, where genes of the store are; append from files "
            "that have all contigs"
        )
    genes = genes.assign(covered=share_covered(genes, config, genotypes))
    return dataclasses.replace(
        plan,
        genes=genes.reset_index(drop=True),
        individuals=individuals,
        expression=_expression(plan, store, genes.index, individuals.index),
        genotypes=genotypes.subset(list(individuals.index)),
        reconciled=plan.reconciled | {"individuals": len(individuals)},
    )


def _table(store: xr.Dataset, dimension: str) -> pd.DataFrame:
    """The coordinates of a dimension as a table, indexed by label."""
    columns = {str(name): of.values for name, of in store.coords.items() if of.dims == (dimension,)}
    return pd.DataFrame(columns, index=pd.Index(store[dimension].values, dtype=object))


def _united(stored: pd.DataFrame, given: pd.DataFrame, path: str, what: str) -> pd.DataFrame:
    """The rows of a store's table, then the other rows of the table that was given at ``path``."""
    given = given.rename(columns=lambda name: coordinate_name(str(name)))
    for table, other in ((stored, given), (given, stored)):
        for column in _OPTIONAL:
            if column in other and column not in table:
                table[column] = ""
    for column in given.columns.symmetric_difference(stored.columns):
        has, lacks = ("store", "table") if column in stored else ("table", "store")
        raise InputError(
            f"{path}: the {has} has a column {column!r} of each {what}, and the {lacks} has none; give the columns "
            "that the store has"
        )
    common = stored.index[stored.index.isin(given.index)]
    added = given.index[~given.index.isin(stored.index)]
    columns: dict[str, Any] = {}
    for column in map(str, given):
        was, now = stored[column], given[column]
        for label, before, after in zip(common, was[common], now[common], strict=True):
            if not _same(before, after):
                raise InputError(
                    f"{path}: {column} of {what} {label} is {after!s:.60}, but {before!s:.60} in the store; what "
                    "stands there cannot be changed by appending"
                )
        if not (pd.api.types.is_numeric_dtype(was) and pd.api.types.is_numeric_dtype(now)):
            was = was.map(_text)
            was[common] = now[common]  # as it is spelled there
        columns[column] = pd.concat([was, now[added]])
    return pd.DataFrame(columns, index=stored.index.append(added))


def _same(before: Any, after: Any) -> bool:
    """Whether a cell says the same as text or as a number."""
    if str(before) == str(after):
        return True
    try:
        first, second = _number(before), _number(after)
    except ValueError:
        return False
    return first == second or (math.isnan(first) and math.isnan(second))


def _number(value: Any) -> float:
    return math.nan if str(value) in MISSING_NUMBERS else float(value)


def _text(value: Any) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else str(value)


def _check_expression(plan: Plan, store: xr.Dataset) -> None:
    """Refuse other assays than the store's, and tables that were prepared in another way."""
    assays = [str(assay) for assay in store["assay"].values]
    if list(plan.config.assays) != assays:
        raise InputError(
            f"expression: the config has {', '.join(plan.config.assays)}, but the store {', '.join(assays)}; give "
            "the same assays in the same order"
        )
    for assay in assays:
        was, now = (
            recipes.get(assay) for recipes in (store.attrs["expression_recipe"], plan.expression_recipe)
        )
        if _way(was) != _way(now):
            raise InputError(
                f"{plan.config.assays[assay]}: was not prepared as the store's expression was (seqstore expression "
                "with other steps, or fitted on others); prepare it alike"
            )


def _way(recipe: Mapping[str, Any] | None) -> list[tuple[list[str], list[str] | None]]:
    """How an expression table was prepared, and on whom that was fitted (None = on all)."""
    if recipe is None:
        return []
    labels = recipe["fit"]["labels"]
    return [*_way(recipe["input"]["recipe"]), (recipe["steps"], labels and sorted(labels))]


def _expression(
    plan: Plan, store: xr.Dataset, genes: pd.Index[str], individuals: pd.Index[str]
) -> npt.NDArray[np.float32]:
    """Expression (assay, gene, individual) of all, where what the store has stays.

    A gene or an individual without any value in a table is one that the table does not have.
    """
    stored, given = store["expression"].values, plan.expression
    united = np.full((len(stored), len(genes), len(individuals)), np.nan, dtype=np.float32)
    rows, columns = (
        genes.get_indexer(pd.Index(plan.genes["gene"])),
        individuals.get_indexer(plan.individuals.index),
    )
    for values, was, now, path in zip(united, stored, given, plan.config.assays.values(), strict=True):
        values[np.ix_(rows, columns)] = now
        has = np.isfinite(now)
        in_table = np.zeros(values.shape, dtype=bool)
        in_table[np.ix_(rows, columns)] = has.any(axis=1, keepdims=True) & has.any(axis=0, keepdims=True)
        there = tuple(slice(n) for n in was.shape)
        differs = in_table[there] & ~((values[there] == was) | (np.isnan(values[there]) & np.isnan(was)))
        if differs.any():
            gene, person = np.argwhere(differs)[0]
            raise InputError(
                f"{path}: expression of gene {genes[gene]} and individual {individuals[person]} is "
                f"{values[gene, person]:g}, but {was[gene, person]:g} in the store; what stands there cannot be "
                f"changed by appending ({int(differs.sum())} such values)"
            )
        values[there] = was
    return united
