"""The command ``split``."""

from __future__ import annotations

import logging

from analysis.commands.arguments import check_seed
from analysis.commands.tables import aligned
from seqstore import open_store, write_split
from seqstore.errors import InputError
from seqstore.splits import split_names

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
    check_seed(seed)
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
        print(f"split {split_name}\n{aligned(counts_of(labels))}")
