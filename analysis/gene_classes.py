"""Gene classes: which genes have people held out at random, a population held out, or are seen by nobody."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from analysis.gene_tables import matched_genes
from analysis.labels import labels_of, unknown
from analysis.split_tables import class_named
from seqstore.contigs import reconcile
from seqstore.errors import InputError
from seqstore.genes import strip_version
from seqstore.splits import GENE_CLASSES
from seqstore.tables import first_column_of, read_table, refuse_repeats

SHARES = {"random_split": 0.4, "population_split": 0.4}  # of the genes; the rest are unseen


def classes_by_share(dataset: xr.Dataset, *, population: bool) -> list[str]:
    """Gene classes by whole contigs, sized by the study's rule.

    Contigs in descending number of genes (ties in the store's order) each go to the first of random_split
    (target 40% of the genes, rounded down) and population_split (40%) whose running total stays within
    its target, else to unseen. Without a population to hold out (``population`` false), random_split
    takes both shares. A store with one contig is never all unseen: its genes are population_split if
    a population is held out, else random_split.

    Source: Rastogi et al. 2026 (doi 10.1186/s13059-026-04091-1), whose chromosomes it gives exactly from
    their 3,259 genes.

    Raises:
        InputError: the contigs are too few or too uneven, so that a class would stay empty.
    """
    contigs = labels_of(dataset, "contig")
    sizes = sorted(Counter(contigs).items(), key=lambda item: -item[1])
    shares = SHARES if population else {"random_split": sum(SHARES.values())}
    if len(sizes) == 1:
        return [list(shares)[-1]] * len(contigs)
    totals = dict.fromkeys(shares, 0)
    class_of = {}
    for contig, size in sizes:
        fitting = [c for c in shares if totals[c] + size <= int(shares[c] * len(contigs) + 1e-9)]
        class_of[contig] = fitting[0] if fitting else "unseen"
        if fitting:
            totals[fitting[0]] += size
    empty = [gene_class for gene_class, total in totals.items() if total == 0]
    if empty:
        raise InputError(
            f"{len(sizes)} contigs are too few or too uneven for the 40/40/20 rule ({' and '.join(empty)} "
            "would have no genes): name contigs with --random-contigs, --population-contigs and "
            "--unseen-contigs, or give --gene-class"
        )
    return [class_of[contig] for contig in contigs]


def classes_by_contig(
    dataset: xr.Dataset,
    *,
    random: Sequence[str] = (),
    population: Sequence[str] = (),
    unseen: Sequence[str] = (),
) -> list[str]:
    """Gene classes by named contigs (with or without ``chr``); genes on other contigs are unused.

    Raises:
        InputError: no gene lies on a named contig, or a contig is named for two classes.
    """
    contigs = labels_of(dataset, "contig")
    class_of: dict[str, str] = {}
    for gene_class, named in zip(GENE_CLASSES, (random, population, unseen), strict=False):
        for name in named:
            contig = reconcile(name, contigs)
            if contig is None:
                raise unknown("gene on contig", name, contigs)
            if class_of.setdefault(contig, gene_class) != gene_class:
                raise InputError(
                    f"contig {name!r} is named for {class_of[contig]} and {gene_class}: choose one"
                )
    return [class_of.get(contig, "unused") for contig in contigs]


def classes_from_table(dataset: xr.Dataset, path: str | Path) -> list[str]:
    """Gene classes from a table with columns ``gene`` (label or name) and ``gene_class``; genes not listed are unused.

    Raises:
        InputError: a column is missing, a gene stands twice or is not in the store, or a class is unknown.
    """
    table = read_table(path, "gene class table")
    gene_column = first_column_of(table, ("gene",))
    class_column = first_column_of(table, ("gene_class", "class"))
    if gene_column is None or class_column is None:
        raise InputError(f"{path}: needs columns gene and gene_class (has {', '.join(table.columns)})")
    named = table[gene_column].astype(str).map(strip_version)
    refuse_repeats(named, path, "gene")
    class_of = {}
    for gene, given in zip(named, table[class_column].astype(str), strict=True):
        gene_class = class_named(given)
        if gene_class is None:
            raise InputError(f"{path}: gene {gene} has {unknown('gene class', given, GENE_CLASSES)}")
        class_of[gene] = gene_class
    genes, known = labels_of(dataset, "gene"), matched_genes(list(class_of), dataset)
    absent = sorted(class_of.keys() - known.keys())
    if absent:
        raise InputError(f"{path}: {unknown('gene', absent[0], genes)} ({len(absent)} such genes)")
    refuse_repeats(pd.Series(list(known.values())), path, "gene")
    class_of_gene = {known[name]: gene_class for name, gene_class in class_of.items()}
    return [class_of_gene.get(gene, "unused") for gene in genes]


def sampled(
    dataset: xr.Dataset, gene_class: Sequence[str], numbers: Mapping[str, int], *, seed: int = 0
) -> list[str]:
    """Gene classes in which of some classes only a number of genes, drawn at random, is left; the rest is unused.

    The draw depends on the seed, the class and the labels of its genes only. The study drew 200 genes with people
    held out at random, 200 with a population held out, and 100 unseen ones.

    Raises:
        InputError: a class has fewer genes.
    """
    labels = np.array(labels_of(dataset, "gene"))
    classes = np.array(gene_class, dtype=object)
    for name, n in numbers.items():
        members = np.flatnonzero(classes == name)
        if not 0 < n <= len(members):
            raise InputError(f"{n} genes of class {name}: give from 1 up to its {len(members)} genes, or all")
        members = members[np.argsort(labels[members])]
        draw = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(members)
        classes[draw[n:]] = "unused"
    return list(classes)


def rest_unseen(dataset: xr.Dataset, gene_class: Sequence[str], drawn: Sequence[str]) -> list[str]:
    """The unseen genes of ``gene_class`` that were not drawn, on contigs where no gene of ``drawn`` is trained.

    All others are unused. In the study these are the 570 genes that its 100 unseen ones leave.
    """
    contigs = labels_of(dataset, "contig")
    trained = {
        contig
        for contig, name in zip(contigs, drawn, strict=True)
        if name in ("random_split", "population_split")
    }
    return [
        "unseen" if name == "unseen" and now == "unused" and contig not in trained else "unused"
        for contig, name, now in zip(contigs, gene_class, drawn, strict=True)
    ]


def unseen_apart(dataset: xr.Dataset, gene_class: Sequence[str]) -> tuple[list[str], int]:
    """Gene classes without unseen genes less than a window away from a gene that is trained, and how many those were.

    The distance is that of the TSS on one contig; at a window's length the windows do not overlap.
    """
    close = np.zeros(len(gene_class), dtype=bool)
    contig, start = np.array(labels_of(dataset, "contig")), dataset["window_start"].values
    classes = np.array(gene_class, dtype=object)
    for name in np.unique(contig[classes == "unseen"]):
        trained = np.sort(start[(contig == name) & np.isin(classes, ("random_split", "population_split"))])
        if not len(trained):
            continue
        unseen = np.flatnonzero((contig == name) & (classes == "unseen"))
        place = np.searchsorted(trained, start[unseen])
        before = np.abs(start[unseen] - trained[np.maximum(place - 1, 0)])
        after = np.abs(trained[np.minimum(place, len(trained) - 1)] - start[unseen])
        close[unseen] = np.minimum(before, after) < dataset.attrs["length"]
    return list(np.where(close, "unused", classes)), int(close.sum())
