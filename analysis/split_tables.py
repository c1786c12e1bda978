"""Splits out of tables: who trains, validates and tests which gene, as other tools wrote it down."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis.gene_tables import matched_genes
from analysis.labels import labels_of, unknown
from seqstore.errors import InputError
from seqstore.labels import reconcile_individuals
from seqstore.splits import GENE_CLASSES, TEST, TRAIN, UNUSED, VALIDATION
from seqstore.tables import first_column_of, read_table, refuse_repeats

ROLES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("val", "valid", "validation"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
    **dict.fromkeys(("unused", "", "na", "nan", "."), UNUSED),
}
OF_THE_STUDY = {"yri_split": "population_split"}  # its name of the class


def read_split_table(path: str | Path) -> xr.Dataset:
    """Read a split: ``split`` (gene, individual) int8 and ``gene_class`` (gene).

    The table is long, with columns ``gene``, ``individual`` and ``split`` (train, val, test or unused; a cell that
    is not listed is unused), and perhaps ``gene_class``; or it is the study's ``sample_splits.csv``: the first
    column the gene, a column for each individual, and in each cell what the individual is to the gene. Without
    classes a gene is ``random_split`` if anybody trains it, else ``unseen`` if anybody tests it.

    Raises:
        InputError: it cannot be read, a cell is none of these words, or a gene, or an individual of it, stands
            twice.
    """
    table = read_table(path, "split table")
    names = [("gene",), ("individual", "sample", "sample_id", "iid"), ("split", "set", "role")]
    gene, individual, role = (first_column_of(table, spellings) for spellings in names)
    gene_class: dict[str, str] = {}
    if gene and individual and role:
        pairs = table[gene] + "\t" + table[individual]
        refuse_repeats(pairs, path, "gene and individual")
        class_column = first_column_of(table, ("gene_class", "class"))
        if class_column is not None:
            gene_class = _one_class_a_gene(table[gene], table[class_column], path)
        wide = table.pivot(index=gene, columns=individual, values=role).fillna("")
        wide = wide.loc[table[gene].unique(), table[individual].unique()]
    else:
        refuse_repeats(table.iloc[:, 0], path, "gene")
        wide = table.set_index(table.columns[0])
    words = wide.apply(lambda column: column.str.lower())
    odd = sorted(set(np.unique(words.to_numpy(dtype=str))) - set(ROLES))
    if odd:
        raise InputError(f"{path}: {str(odd[0])!r} is not train, val, test or unused")
    split = words.map(ROLES.__getitem__).to_numpy(dtype=np.int8)
    classes = classes_of_roles(split)
    if gene_class:
        classes = [gene_class[str(label)] for label in wide.index]
    return split_dataset(split, classes, list(map(str, wide.index)), list(map(str, wide.columns)))


def split_for(dataset: xr.Dataset, split: xr.Dataset, path: str | Path) -> xr.Dataset:
    """A split of a table with the genes and individuals of ``dataset``; those that it does not have are unused.

    Genes are matched by label, with or without version, or by name; individuals as in ``seqstore.labels``.

    Raises:
        InputError: it has no gene or no individual of ``dataset``, or two of one.
    """
    genes = matched_genes(labels_of(split, "gene"), dataset)
    people = labels_of(dataset, "individual")
    individuals = reconcile_individuals(labels_of(split, "individual"), people, path=path).known
    for what, matched in (("gene", genes), ("individual", individuals)):
        if not matched:
            raise InputError(f"{path}: the split table has no {what} of the store: are its labels others?")
        refuse_repeats(pd.Series(list(matched.values())), path, what)
    kept = split.sel(gene=list(genes), individual=list(individuals))
    kept = kept.assign_coords(gene=list(genes.values()), individual=list(individuals.values()))
    values = kept["split"].reindex(gene=labels_of(dataset, "gene"), individual=people, fill_value=UNUSED)
    class_of = dict(zip(genes.values(), labels_of(kept, "gene_class"), strict=True))
    classes = [class_of.get(gene, "unused") for gene in labels_of(dataset, "gene")]
    return split_dataset(values.values, classes, labels_of(dataset, "gene"), people)


def classes_of_roles(split: npt.NDArray[np.int8]) -> list[str]:
    """Gene classes (gene,) by who has which role in ``split`` (gene, individual)."""
    trained, tested = (split == TRAIN).any(axis=1), (split == TEST).any(axis=1)
    return list(np.where(trained, "random_split", np.where(tested, "unseen", "unused")))


def class_named(name: str) -> str | None:
    """The gene class that a table means by a name, None if there is no such; the study's names are known."""
    name = OF_THE_STUDY.get(name, name)
    return name if name in GENE_CLASSES else None


def _one_class_a_gene(genes: pd.Series, classes: pd.Series, path: str | Path) -> dict[str, str]:
    """The class of each gene of a long table."""
    class_of: dict[str, str] = {}
    for gene, given in zip(genes, classes, strict=True):
        gene_class = class_named(given)
        if gene_class is None:
            raise InputError(f"{path}: gene {gene} has {unknown('gene class', given, GENE_CLASSES)}")
        if class_of.setdefault(gene, gene_class) != gene_class:
            raise InputError(f"{path}: gene {gene} is {class_of[gene]} and {gene_class}; keep one")
    return class_of


def split_dataset(
    split: npt.NDArray[np.int8], gene_class: Sequence[str], genes: Sequence[str], people: Sequence[str]
) -> xr.Dataset:
    """A split as ``seqstore.splits.open_split`` gives it."""
    return xr.Dataset(
        {
            "split": (("gene", "individual"), split),
            "gene_class": ("gene", np.asarray(gene_class, dtype=object)),
        },
        coords={"gene": np.asarray(genes, dtype=object), "individual": np.asarray(people, dtype=object)},
    )
