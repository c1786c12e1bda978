"""Who trains, validates and tests each gene: gene classes and held-out people.

A split labels every gene x individual cell 0 unused, 1 train, 2 validation or 3 test, and every gene
with a class: ``random_split`` (test people drawn at random), ``population_split`` (a population held
out), ``unseen`` (nobody trains it, everybody tests it) or ``unused``. Cells without measured expression
keep their person's label; whoever reads the split drops them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis.labels import labels_of, unknown
from analysis.split_tables import split_dataset
from seqstore.errors import InputError
from seqstore.labels import reconcile_individuals
from seqstore.splits import GENE_CLASSES, TEST, TRAIN, UNUSED, VALIDATION
from seqstore.tables import lines_of


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
    families: npt.NDArray[np.int64] | None = None,
    test_people: npt.NDArray[np.bool_] | None = None,
    validation_people: npt.NDArray[np.bool_] | None = None,
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
        families: (individual,), numbers (``relatives.families_of``): who is drawn at random is drawn with the
            whole family, and a share is met as nearly as families allow.
        test_people: (individual,), who tests the random_split genes, instead of a share.
        validation_people: (individual,), who of the others validates, instead of a share.
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
        shuffled = _families_together(shuffled, families)
        if label == "population_split":
            assert held_out is not None
            test, rest = shuffled[held_out[shuffled]], shuffled[~held_out[shuffled]]
        elif test_people is not None:
            test, rest = shuffled[test_people[shuffled]], shuffled[~test_people[shuffled]]
        elif fold is not None:
            sizes = [len(part) for part in np.array_split(shuffled, fold[1])]
            cuts = [_nearest_cut(shuffled, families, cut) for cut in np.cumsum(sizes)]
            parts = np.split(shuffled, cuts[:-1])
            test = parts[fold[0]]
            rest = np.concatenate([*parts[fold[0] + 1 :], *parts[: fold[0]]])
        else:
            n_test = _nearest_cut(shuffled, families, round(test_share * len(people)))
            test, rest = shuffled[:n_test], shuffled[n_test:]
        if validation_people is not None:
            validates = rest[validation_people[rest]]
        else:
            n_validation = _nearest_cut(rest, families, int(validation_share * len(rest) + 1e-9))
            validates = rest[:n_validation]
        if not len(test) or len(validates) == len(rest):
            who = "test" if not len(test) else "training"
            raise InputError(f"no {who} people for {label} genes out of {len(people)}: change the shares")
        labels = np.full(len(people), TRAIN, dtype=np.int8)
        labels[test] = TEST
        labels[validates] = VALIDATION
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
    if test_people is not None:
        rule["test_share"] = "people as listed"
    if validation_people is not None:
        rule["validation_share"] = "people as listed"
    if families is not None:
        rule["families"] = "kept together"
    made = split_dataset(split, gene_class, genes, people)
    made.attrs = rule
    return made


def training_subsets(
    split: xr.Dataset, shares: Sequence[float], *, per_gene: bool = False, seed: int = 0
) -> list[xr.Dataset]:
    """A split with fewer training people, for learning curves: one for each share; the others are unused.

    Subsets are nested: the people are put into one order by the seed (with ``per_gene`` one for each gene), and of
    those who train a gene the first share of them is kept, rounded down as in the study.

    Raises:
        InputError: a share is not between 0 and 1, comes twice, or leaves nobody.
    """
    people, genes = np.array(labels_of(split, "individual")), labels_of(split, "gene")
    roles = split["split"].transpose("gene", "individual").values
    by_label = np.argsort(people)

    def place(salt: str) -> npt.NDArray[np.int64]:
        draw = np.random.default_rng([seed, zlib.crc32(f"subset {salt}".encode())]).permutation(len(people))
        order = np.empty(len(people), dtype=np.int64)
        order[by_label[draw]] = np.arange(len(people))
        return order

    places = np.stack([place(gene) for gene in genes]) if per_gene else place("")[None]
    trains = roles == TRAIN
    rank = (
        np.where(trains, np.broadcast_to(places, trains.shape), len(people)).argsort(axis=1).argsort(axis=1)
    )
    n = trains.sum(axis=1, keepdims=True)
    subsets = []
    for share in shares:
        if not 0 < share < 1 or list(shares).count(share) > 1:
            raise InputError(
                f"training share {share:g}: give different shares between 0 and 1, such as 0.2,0.4"
            )
        kept = np.floor(share * n + 1e-9)
        if ((kept == 0) & (n > 0)).any():
            raise InputError(f"training share {share:g} leaves nobody of {n[n > 0].min()} training people")
        labels = np.where(trains & (rank >= kept), UNUSED, roles).astype(np.int8)
        subset = split_dataset(labels, labels_of(split, "gene_class"), genes, people.tolist())
        subset.attrs = {**split.attrs, "training_share": share, "training_share_seed": seed}
        subsets.append(subset)
    return subsets


def listed_people(dataset: xr.Dataset, path: str | Path) -> npt.NDArray[np.bool_]:
    """Which individuals (individual,) a list names, one label a line.

    Raises:
        InputError: the list names nobody, or somebody who is not in the store.
    """
    labels = list(dict.fromkeys(line.strip() for line in lines_of(path, "list of people") if line.strip()))
    people = labels_of(dataset, "individual")
    known = reconcile_individuals(labels, people, path=path).known
    strange = [label for label in labels if label not in known]
    if strange or not labels:
        raise InputError(
            f"{path}: {unknown('individual', strange[0], people) if strange else 'names nobody'}"
        )
    return np.isin(people, list(known.values()))


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


def _families_together(
    order: npt.NDArray[np.int64], families: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    """An order of people in which each family stands where its first member stood."""
    if families is None:
        return order
    _, first, member = np.unique(families[order], return_index=True, return_inverse=True)
    return order[np.argsort(first[member], kind="stable")]


def _nearest_cut(order: npt.NDArray[np.int64], families: npt.NDArray[np.int64] | None, n: int) -> int:
    """The number nearest to ``n`` after which an order of people can be cut without dividing a family."""
    if families is None or n == 0:
        return int(n)
    changes = np.flatnonzero(np.diff(families[order])) + 1
    cuts = np.array([0, *changes, len(order)])
    return int(cuts[np.argmin(np.abs(cuts - n))])


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
