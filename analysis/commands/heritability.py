"""The command ``heritability``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from analysis.commands.arguments import refuse_existing
from analysis.commands.tables import aligned
from seqstore import open_split, open_store, open_variants
from seqstore.errors import InputError
from seqstore.outputs import check_folder, written_aside


def heritability(
    store: str,
    *,
    split: str,
    output: str,
    people: Literal["all", "train", "test"] = "all",
    variants_of: Literal["same", "train"] = "same",
    assay: str | None = None,
    maf: float = 0.05,
    length: int | None = None,
    constrained: bool = False,
    study: bool = False,
) -> None:
    """Estimate by REML how much of each gene's expression the variants of its window explain.

    Args:
        store: store to read
        split: name of the split that says who trains and tests, and the gene classes
        output: table to write, a row a gene (h2, standard error, p of the likelihood ratio)
        people: whose expression: all, or the training or test people of each gene
        variants_of: in whom variants must be common: the same people, or the training people of each gene
        assay: which expression, where the store has several
        maf: smallest minor allele frequency
        length: bases of a narrower window round the TSS; default the window as built
        constrained: keep h2 within 0 and 1; unconstrained estimates may be negative, and are unbiased
        study: write 0 instead of nothing where there is no estimate, as the study did
    """
    from analysis.dosage import check_length
    from analysis.expression import expression_of
    from analysis.heritability import heritability as estimate
    from analysis.heritability import mean_by_class

    if not 0 <= maf < 0.5:
        raise InputError(f"--maf {maf}: give a frequency from 0 up to 0.5")
    path = Path(output)
    refuse_existing(path)
    check_folder(path.parent)
    dataset, labels = open_store(store), open_split(store, split)
    check_length(length, int(dataset.attrs["length"]))
    table = estimate(
        expression_of(dataset, assay=assay),
        open_variants(store),
        labels,
        people=people,
        variants_of=variants_of,
        maf=maf,
        length=length,
        constrained=constrained,
        study=study,
    )
    with written_aside(path) as aside:
        table.to_csv(aside, sep="\t", index=False, float_format="%.6g")
    print(aligned(mean_by_class(table)))
    print(path)
