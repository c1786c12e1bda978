"""Who trains, validates and tests each gene: gene classes and held-out people.

A split labels every gene x individual cell 0 unused, 1 train, 2 validation or 3 test, and every gene
with a class: ``random_split`` (test people drawn at random), ``population_split`` (a population held
out), ``unseen`` (nobody trains it, everybody tests it) or ``unused``. Cells without measured expression
keep their person's label; whoever reads the split drops them.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis.labels import labels_of, unknown
from analysis.split_tables import class_named
from seqstore.contigs import reconcile
from seqstore.errors import InputError
from seqstore.genes import strip_version
from seqstore.splits import GENE_CLASSES, TEST, TRAIN, UNUSED, VALIDATION
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
    """Gene classes from a table with columns ``gene`` and ``gene_class``; genes not listed are unused.

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
    genes = labels_of(dataset, "gene")
    class_of = {}
    for gene, given in zip(named, table[class_column].astype(str), strict=True):
        gene_class = class_named(given)
        if gene_class is None:
            raise InputError(f"{path}: gene {gene} has {unknown('gene class', given, GENE_CLASSES)}")
        class_of[gene] = gene_class
    absent = sorted(class_of.keys() - set(genes))
    if absent:
        raise InputError(f"{path}: {unknown('gene', absent[0], genes)} ({len(absent)} such genes)")
    return [class_of.get(gene, "unused") for gene in genes]


def people_of_population(dataset: xr.Dataset, population: str) -> npt.NDArray[np.bool_]:
    """Which individuals (individual,) belong to a population or superpopulation.

    Raises:
        InputError: the store's sample table had neither column, or nobody belongs to it.
    """
    columns = [name for name in ("population", "superpopulation") if name in dataset.coords]
    if not columns:
        raise InputError("the store has no population of its individuals: build it with a sample table")
    known: set[str] = set()
    for column in columns:
        values = labels_of(dataset, column)
        if population in values:
            return np.array([value == population for value in values])
        known |= set(values) - {""}
    raise unknown("population", population, known)


def split_people(
    dataset: xr.Dataset,
    gene_class: Sequence[str],
    *,
    test_share: float = 0.2,
    validation_share: float = 0.05,
    test_population: str | None = None,
    per_gene: bool = False,
    fold: tuple[int, int] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Divide the people of every gene into training, validation and test people.

    Test people are ``test_share`` of all (rounded) for random_split genes, those of ``test_population``
    for population_split genes, and everybody for unseen genes; ``validation_share`` of the people left
    (rounded down) validate, and the others train. The draw depends on the seed and the labels of the people only,
    and with ``per_gene`` on the label of the gene: not on the order of genes or people.

    Args:
        dataset: a store's root.
        gene_class: one of ``GENE_CLASSES`` for each gene of the store.
        test_share: share of the people who test a random_split gene.
        validation_share: share of the people who do not test that validate.
        test_population: population or superpopulation held out of population_split genes.
        per_gene: draw anew for each gene, instead of once for all (the study drew per gene).
        fold: (i, k): the test people of random_split genes are the i-th of k parts instead of a share.
        seed: of every draw.

    Returns:
        ``split`` (gene, individual) int8 and ``gene_class`` (gene), with the rule as attributes.

    Raises:
        InputError: a share or fold is impossible, a class lacks the population it needs or the
            population a class, or nobody would test or train.
    """
    people = labels_of(dataset, "individual")
    genes = labels_of(dataset, "gene")
    _check_rule(gene_class, len(people), test_share, validation_share, test_population, fold)
    by_label = np.argsort(np.asarray(people))
    held_out = None if test_population is None else people_of_population(dataset, test_population)

    def draw(label: str, salt: str) -> npt.NDArray[np.int8]:
        """The labels (individual,) of one gene of class ``label``."""
        shuffled = by_label[np.random.default_rng([seed, zlib.crc32(salt.encode())]).permutation(len(people))]
        if label == "random_split" and fold is not None:
            parts = np.array_split(shuffled, fold[1])
            test = parts[fold[0]]
            rest = np.concatenate([*parts[fold[0] + 1 :], *parts[: fold[0]]])
        elif label == "random_split":
            n_test = round(test_share * len(people))
            test, rest = shuffled[:n_test], shuffled[n_test:]
        else:
            assert held_out is not None
            test, rest = shuffled[held_out[shuffled]], shuffled[~held_out[shuffled]]
        n_validation = int(validation_share * len(rest) + 1e-9)
        if not len(test) or n_validation == len(rest):
            who = "test" if not len(test) else "training"
            raise InputError(f"no {who} people for {label} genes out of {len(people)}: change the shares")
        labels = np.full(len(people), TRAIN, dtype=np.int8)
        labels[test] = TEST
        labels[rest[:n_validation]] = VALIDATION
        return labels

    drawn: dict[tuple[str, str], npt.NDArray[np.int8]] = {}
    constant = {
        "unseen": np.full(len(people), TEST, dtype=np.int8),
        "unused": np.full(len(people), UNUSED, dtype=np.int8),
    }
    split = np.empty((len(genes), len(people)), dtype=np.int8)
    for number, (gene, label) in enumerate(zip(genes, gene_class, strict=True)):
        key = (label, gene if per_gene else "")
        if label not in constant and key not in drawn:
            drawn[key] = draw(*key)
        split[number] = constant[label] if label in constant else drawn[key]
    rule = {
        "seed": seed,
        "test_share": test_share if fold is None else 1 / fold[1],
        "validation_share": validation_share,
        "test_population": test_population or "",
        "test_people": "drawn anew for each gene" if per_gene else "the same for every gene of a class",
    }
    if fold is not None:
        rule |= {"fold": fold[0], "folds": fold[1]}
    return xr.Dataset(
        {
            "split": (("gene", "individual"), split),
            "gene_class": ("gene", np.asarray(gene_class, dtype=object)),
        },
        coords={"gene": dataset["gene"], "individual": dataset["individual"]},
        attrs=rule,
    )


def overlapping_test_cells(dataset: xr.Dataset, split: npt.NDArray[np.int8]) -> int:
    """How many test cells of ``split`` (gene, individual) have a person who trains an overlapping window."""
    contig, start = np.array(labels_of(dataset, "contig")), dataset["window_start"].values
    seen = np.zeros(split.shape, dtype=bool)
    order = np.lexsort((start, contig))
    for place, gene in enumerate(order):
        for other in order[place + 1 :]:
            if contig[other] != contig[gene] or start[other] - start[gene] >= dataset.attrs["length"]:
                break
            seen[gene] |= np.isin(split[other], (TRAIN, VALIDATION))
            seen[other] |= np.isin(split[gene], (TRAIN, VALIDATION))
    return int(((split == TEST) & seen).sum())


def counts_of(split: xr.Dataset) -> pd.DataFrame:
    """What a split holds: per gene class its genes, and the training, validation and test people of each.

    The number of people is the mean over the class's genes; within a class every gene has the same.
    """
    labels = split["split"].values
    classes = np.array(labels_of(split, "gene_class"))
    rows = []
    for gene_class in GENE_CLASSES:
        chosen = labels[classes == gene_class]
        if len(chosen):
            people = [(chosen == code).sum(axis=1).mean() for code in (TRAIN, VALIDATION, TEST)]
            rows.append((gene_class, len(chosen), *(round(float(n)) for n in people)))
    return pd.DataFrame(rows, columns=["gene_class", "genes", "train", "validation", "test"])


def _check_rule(
    gene_class: Sequence[str],
    n_people: int,
    test_share: float,
    validation_share: float,
    test_population: str | None,
    fold: tuple[int, int] | None,
) -> None:
    if not 0 < test_share < 1:
        raise InputError(f"test share {test_share}: give a share between 0 and 1, such as 0.2")
    if not 0 <= validation_share < 1:
        raise InputError(f"validation share {validation_share}: give a share from 0 up to 1, such as 0.05")
    has_population = "population_split" in gene_class
    if has_population and test_population is None:
        raise InputError("population_split genes need the population to hold out: give --test-population")
    if test_population is not None and not has_population:
        raise InputError(
            f"no gene would have population {test_population} held out: "
            "give --population-contigs, or list population_split genes with --gene-class"
        )
    if fold is not None and "random_split" not in gene_class:
        raise InputError("folds divide the people of random_split genes, and there are none")
    if fold is not None and not (2 <= fold[1] <= n_people and 0 <= fold[0] < fold[1]):
        raise InputError(f"{fold[1]} folds: give from 2 up to the number of people, {n_people}")
    if all(label == "unused" for label in gene_class):
        raise InputError("every gene would be unused: name a contig or list genes for at least one class")
