"""The command ``census``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.commands.arguments import refuse_existing
from analysis.commands.tables import aligned
from seqstore import open_split, open_store, open_variants
from seqstore.errors import InputError
from seqstore.outputs import check_folder, written_aside


def census(
    store: str,
    *,
    split: str,
    output: str,
    variants: str | None = None,
    maf: float = 0.05,
    length: int | None = None,
) -> None:
    """Count, gene by gene, the variants that training people show and those that only test people have.

    Args:
        store: store to read
        split: name of the split
        output: table (.tsv) to write, a row a gene
        variants: table (.tsv or .tsv.gz) to write too, a row a gene and variant, with the MAF among training people
        maf: smallest minor allele frequency among the training people of a variant that counts as common
        length: bases of a narrower window round the TSS; default the window as built
    """
    from analysis.census import census as count
    from analysis.dosage import check_length

    if not 0 <= maf < 0.5:
        raise InputError(f"--maf {maf}: give a frequency from 0 up to 0.5")
    paths = [Path(path) for path in (output, variants) if path is not None]
    for path in paths:
        refuse_existing(path)
        check_folder(path.parent)
    dataset, labels = open_store(store), open_split(store, split)
    check_length(length, int(dataset.attrs["length"]))
    tables = count(open_variants(store), labels, maf=maf, length=length)
    for path, table in zip(paths, tables, strict=False):
        with written_aside(path) as aside:
            compression: dict[str, Any] | None = (
                {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
            )
            table.to_csv(aside, sep="\t", index=False, float_format="%.6g", compression=compression)
    numbers = tables[0].drop(columns="gene").groupby("gene_class", sort=False).mean()
    numbers.insert(0, "genes", tables[0].groupby("gene_class", sort=False).size())
    print(f"means over the genes of a class\n{aligned(numbers.reset_index())}")
    for path in paths:
        print(path)
