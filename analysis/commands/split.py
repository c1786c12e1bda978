"""The command ``split``."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import xarray as xr

from analysis.commands.arguments import check_seed
from analysis.commands.tables import aligned
from seqstore import open_split, open_store, write_split
from seqstore.errors import InputError
from seqstore.splits import GENE_CLASSES, UNUSED, split_names

log = logging.getLogger(__name__)


def split(
    store: str,
    *,
    name: str | None = None,
    random_contigs: list[str] | None = None,
    population_contigs: list[str] | None = None,
    unseen_contigs: list[str] | None = None,
    gene_class: str | None = None,
    genes_per_class: str | None = None,
    rest_unseen: bool = False,
    test_share: float = 0.2,
    validation_share: float = 0.05,
    test_population: str | None = None,
    test_people: str | None = None,
    validation_people: str | None = None,
    per_gene: bool = False,
    folds: int | None = None,
    train_share: str | None = None,
    import_split: str | None = None,
    family: str | None = None,
    kinship: str | None = None,
    kinship_threshold: float = 0.0442,
    check: str | None = None,
    seed: int = 0,
) -> None:
    """Divide genes into classes and people into training, validation and test people; or --check a split for leaks.

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
        genes_per_class: how many genes of random_split, population_split and unseen are drawn, such as 200,200,100
            (all = all); the others are unused
        rest_unseen: write NAME-rest too, of the unseen genes that were not drawn, on contigs that nobody trains
        test_share: share of the people who test the random_split genes
        validation_share: share of the other people who validate
        test_population: population or superpopulation held out of the population_split genes
        test_people: list of people who test the random_split genes, one label a line, instead of --test-share
        validation_people: list of people who validate, unless they test, instead of --validation-share
        per_gene: draw people anew for each gene, as the study did, instead of once for all
        folds: number of parts of the people, each the test people of one split (instead of --test-share)
        train_share: shares of the training people, such as 0.2,0.4,0.6,0.8, for learning curves: of each split
            NAME-share20, NAME-share40, ... are written too, with nested subsets of them
        import_split: table with the split, instead of any rule: columns gene, individual and split (train, val, test)
            and perhaps gene_class, or genes x individuals as the study's sample_splits.csv (see --gene-class)
        family: column of the sample table with families, which are kept together where people are drawn at random;
            default the column family, if there is one. none: no column
        kinship: table of KING (.kin0, .kin) or PLINK 2 (.kin0); relatives are kept together as a family
        kinship_threshold: smallest kinship of relatives; default third degree and nearer
        check: name of a split that is looked at for leaks, with --kinship and --family; nothing is written
        seed: seed of the draw
    """
    from analysis.gene_classes import rest_unseen as rest_of
    from analysis.leakage import leakage_of, overlapping_test_cells
    from analysis.relatives import families_of, related_pairs
    from analysis.splits import counts_of, listed_people, split_people, training_subsets

    contigs = [random_contigs or [], population_contigs or [], unseen_contigs or []]
    check_seed(seed)
    if (name is None) == (check is None):
        raise InputError("give either --name, for a new split, or --check, for one that the store has")
    if gene_class is not None and any(contigs):
        raise InputError("give either --gene-class or contigs for classes, not both")
    if folds is not None and folds < 2:
        raise InputError(f"--folds {folds}: give at least 2")
    if import_split is not None and (
        any(contigs) or genes_per_class or folds or test_people or validation_people
    ):
        raise InputError("--import-split is a whole split: give no contigs, folds or people beside it")
    if test_people is not None and folds is not None:
        raise InputError("give either --test-people or --folds, not both")
    shares = _shares(train_share)
    dataset = open_store(store)
    pairs = related_pairs(dataset, kinship=kinship, threshold=kinship_threshold, family=family)
    if check is not None:
        print(aligned(leakage_of(dataset, open_split(store, check), pairs=pairs)))
        return
    assert name is not None
    made: dict[str, xr.Dataset] = {}
    if import_split is not None:
        made[name] = _imported(dataset, import_split, gene_class)
    else:
        classes, rule = _classes(dataset, contigs, gene_class, test_population)
        drawn = _drawn(dataset, classes, genes_per_class, seed)
        people: dict[str, Any] = {
            "test_share": test_share,
            "validation_share": validation_share,
            "families": families_of(pairs, dataset.sizes["individual"])
            if pairs is not None and len(pairs)
            else None,
            "test_people": None if test_people is None else listed_people(dataset, test_people),
            "validation_people": None
            if validation_people is None
            else listed_people(dataset, validation_people),
            "per_gene": per_gene,
            "seed": seed,
        }
        for number in range(folds or 1):
            of_fold, fold = (name, None) if folds is None else (f"{name}-fold{number}", (number, folds))
            made[of_fold] = split_people(dataset, drawn, test_population=test_population, fold=fold, **people)
        if rest_unseen:
            made[f"{name}-rest"] = split_people(dataset, rest_of(dataset, classes, drawn), **people)
        for labels in made.values():
            labels.attrs = {"gene_class_rule": rule, **labels.attrs}
    for whole, labels in list(made.items()) if shares else []:
        if whole == f"{name}-rest":
            continue
        subsets = training_subsets(labels, shares, per_gene=per_gene, seed=seed)
        made |= {f"{whole}-share{100 * s:g}": subset for s, subset in zip(shares, subsets, strict=True)}
    taken = sorted(set(made) & set(split_names(store)))
    if taken:
        raise InputError(f"{store}: has a split {taken[0]!r} already; choose another name")
    for split_name, labels in made.items():
        labels_of_class = labels["gene_class"].values.tolist()
        write_split(
            store, split_name, split=labels["split"].values, gene_class=labels_of_class, attrs=labels.attrs
        )
    overlapping = max(overlapping_test_cells(dataset, labels["split"].values) for labels in made.values())
    if overlapping:
        log.warning(
            "warning: for %d test cells the same person trains a gene whose window overlaps; put neighbouring "
            "genes into one class to avoid it",
            overlapping,
        )
    for split_name, labels in made.items():
        print(f"split {split_name}\n{aligned(counts_of(labels))}")


def _classes(
    dataset: xr.Dataset, contigs: list[list[str]], table: str | None, test_population: str | None
) -> tuple[list[str], str]:
    """The class of every gene, and the rule by which it has it."""
    from analysis.gene_classes import classes_by_contig, classes_by_share, classes_from_table, unseen_apart

    random, population, unseen = contigs
    if table is not None:
        classes, rule = classes_from_table(dataset, table), f"table {table}"
    elif any(contigs):
        classes = classes_by_contig(dataset, random=random, population=population, unseen=unseen)
        rule = f"contigs {','.join(random)} | {','.join(population)} | {','.join(unseen)}"
    else:
        classes = classes_by_share(dataset, population=test_population is not None)
        rule = "contigs in descending number of genes, 40/40/20"
    classes, n_close = unseen_apart(dataset, classes)
    if n_close:
        log.warning(
            "warning: %d unseen genes are less than a window away from a gene that is trained: they are unused",
            n_close,
        )
    return classes, rule


def _drawn(dataset: xr.Dataset, classes: list[str], numbers: str | None, seed: int) -> list[str]:
    """The classes with as many genes of each as --genes-per-class says."""
    from analysis.gene_classes import sampled

    if numbers is None:
        return classes
    given = numbers.split(",")
    if len(given) != 3 or not all(text == "all" or text.isdecimal() for text in given):
        raise InputError(f"--genes-per-class {numbers}: give three numbers or all, such as 200,200,100")
    wanted = {
        gene_class: int(text)
        for gene_class, text in zip(GENE_CLASSES, given, strict=False)
        if text != "all" and (int(text) or gene_class in classes)
    }
    return sampled(dataset, classes, wanted, seed=seed)


def _imported(dataset: xr.Dataset, path: str, gene_class: str | None) -> xr.Dataset:
    """A split of a table, and what of the store it does not name."""
    from analysis.gene_classes import classes_from_table
    from analysis.split_tables import read_split_table, split_for

    table = read_split_table(path)
    labels = split_for(dataset, table, path)
    if gene_class is not None:
        labels["gene_class"] = "gene", np.array(classes_from_table(dataset, gene_class), dtype=object)
    used = labels["split"].values != UNUSED
    log.info(
        "%s: %d of its %d genes and %d of its %d individuals are in the store",
        path,
        used.any(axis=1).sum(),
        table.sizes["gene"],
        used.any(axis=0).sum(),
        table.sizes["individual"],
    )
    labels.attrs = {"gene_class_rule": f"table {path}"}
    return labels


def _shares(text: str | None) -> list[float]:
    """The numbers of --train-share."""
    try:
        return [] if text is None else [float(share) for share in text.split(",")]
    except ValueError:
        raise InputError(f"--train-share {text}: give shares such as 0.2,0.4") from None
