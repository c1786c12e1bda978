"""What training has seen of what tests: people, genes, overlapping windows and relatives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis.labels import labels_of
from seqstore.splits import GENE_CLASSES, TEST, TRAIN, VALIDATION

COLUMNS = ["gene_class", "check", "found", "of", "leak"]
SEEN = (TRAIN, VALIDATION)
NOT_ASSESSABLE = "not assessable"


def leakage_of(
    dataset: xr.Dataset, split: xr.Dataset, *, pairs: npt.NDArray[np.int64] | None = None
) -> pd.DataFrame:
    """What the training and validation people and genes of a split share with what tests.

    Args:
        dataset: a store's root.
        split: a split of it.
        pairs: (pair, 2), related individuals (``relatives.related_pairs``); None = not known: nothing in a window
            of 49,152 bases tells relatives.

    Returns:
        ``COLUMNS``, for each gene class that is tested: ``found`` out of ``of``, and whether that is a leak (yes,
        no, or empty where it is for the reader to judge; ``not assessable`` where nothing is known). The checks are

        - test people who train another gene: the study's way for every gene, a leak only if people are to be new;
        - genes of the class that somebody trains or validates, for unseen genes;
        - genes whose window overlaps with that of a gene that others train, for unseen genes;
        - test cells whose person trains or validates a gene with an overlapping window;
        - test cells whose person has a relative who trains or validates the gene.
    """
    roles = split["split"].transpose("gene", "individual").values
    classes = np.array(labels_of(split, "gene_class"))
    seen, test = np.isin(roles, SEEN), roles == TEST
    overlapping = overlaps_of(dataset)
    neighbours = np.zeros_like(seen)
    for first, second in overlapping:
        neighbours[first] |= seen[second]
        neighbours[second] |= seen[first]
    rows: list[tuple[str, str, object, object, str]] = []
    for name in GENE_CLASSES:
        members = classes == name
        cells = test[members]
        if not cells.any():
            continue
        tested = cells.any(axis=0)
        n_cells, n_genes = int(cells.sum()), int(members.sum())
        n = int((tested & seen.any(axis=0)).sum())
        rows.append((name, "test people who train another gene", n, int(tested.sum()), ""))
        if name == "unseen":
            n = int(seen[members].any(axis=1).sum())
            rows.append((name, "unseen genes that somebody trains", n, n_genes, _leak(n)))
            n = int(neighbours[members].any(axis=1).sum())
            rows.append((name, "unseen genes that overlap a trained gene", n, n_genes, _leak(n)))
        n = int((cells & neighbours[members]).sum())
        rows.append((name, "test cells whose person trains an overlapping gene", n, n_cells, _leak(n)))
        what = "test cells with a relative who trains the gene"
        if pairs is None:
            rows.append((name, what, NOT_ASSESSABLE, n_cells, NOT_ASSESSABLE))
        else:
            n = int((cells & _has_relative(seen[members], pairs)).sum())
            rows.append((name, what, n, n_cells, _leak(n)))
    return pd.DataFrame(rows, columns=COLUMNS)


def overlaps_of(dataset: xr.Dataset) -> list[tuple[int, int]]:
    """The pairs of genes, by number, whose windows overlap."""
    contig, start = np.array(labels_of(dataset, "contig")), dataset["window_start"].values
    order = np.lexsort((start, contig)).tolist()
    pairs = []
    for place, gene in enumerate(order):
        for other in order[place + 1 :]:
            if contig[other] != contig[gene] or start[other] - start[gene] >= dataset.attrs["length"]:
                break
            pairs.append((gene, other))
    return pairs


def overlapping_test_cells(dataset: xr.Dataset, split: npt.NDArray[np.int8]) -> int:
    """How many test cells of ``split`` (gene, individual) have a person who trains an overlapping window."""
    seen = np.zeros(split.shape, dtype=bool)
    for gene, other in overlaps_of(dataset):
        seen[gene] |= np.isin(split[other], SEEN)
        seen[other] |= np.isin(split[gene], SEEN)
    return int(((split == TEST) & seen).sum())


def _has_relative(seen: npt.NDArray[np.bool_], pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether somebody related to an individual is among those ``seen`` (gene, individual) for a gene."""
    found = np.zeros_like(seen)
    for first, second in pairs:
        found[:, first] |= seen[:, second]
        found[:, second] |= seen[:, first]
    return found


def _leak(n: int) -> str:
    return "yes" if n else "no"
