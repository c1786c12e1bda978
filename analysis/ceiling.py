"""How near predictions come to what heritability allows: r of a perfect genetic prediction is h, the root of h²."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from seqstore.errors import InputError
from seqstore.tables import MISSING_NUMBERS, first_column_of, lines_of, read_table, refuse_repeats

COLUMNS = ["method", "gene_class", "n_genes", "mean_pearson_r", "mean_h", "r_over_h", "n_without_h2"]


def read_heritability(path: str | Path) -> pd.DataFrame:
    """Read heritability: columns ``gene``, ``h2``, ``se`` and ``p`` (NaN = not known), a row a gene.

    A table with a header and columns gene and h2 (or hsq), perhaps se and p; or the lines ``gene hsq se p`` of
    GCTA through FUSION (``.hsq``), without a header and separated by blanks.

    Raises:
        InputError: it cannot be read, has no such columns, a gene stands twice or a value is no number.
    """
    lines = [line.split() for line in lines_of(path, "heritability table") if line.strip()]
    header = [name.lower() for name in (lines[0] if lines else [])]
    if "gene" in " ".join(header).replace(",", " ").split():
        table = read_table(path, "heritability table")
        spellings = {
            "gene": ("gene", "gene_id"),
            "h2": ("h2", "hsq"),
            "se": ("se",),
            "p": ("p", "pv", "p_value"),
        }
        found = {name: first_column_of(table, names) for name, names in spellings.items()}
        if found["gene"] is None or found["h2"] is None:
            raise InputError(f"{path}: needs columns gene and h2 (has {', '.join(table.columns)})")
        table = pd.DataFrame({n: table[c] if c else "" for n, c in found.items()})
    elif lines and all(len(line) == 4 for line in lines):
        table = pd.DataFrame(lines, columns=["gene", "h2", "se", "p"])
    else:
        raise InputError(f"{path}: needs a header with gene and h2, or lines of gene, hsq, se and p")
    refuse_repeats(table["gene"], path, "gene")
    numbers: pd.DataFrame = table[["h2", "se", "p"]].apply(pd.to_numeric, errors="coerce")
    odd = numbers["h2"].isna() & ~table["h2"].isin(MISSING_NUMBERS)
    if odd.any():
        row = table[odd].iloc[0]
        raise InputError(f"{path}: h2 of gene {row['gene']} is {row['h2']!r}, which is not a number")
    numbers.insert(0, "gene", table["gene"])
    return numbers


def against_heritability(per_gene: pd.DataFrame, heritability: pd.DataFrame) -> pd.DataFrame:
    """Every gene's r beside its h2, h = sqrt(max(h2, 0)) and r / h (NaN where h is 0), for each method.

    Genes without r or without known h2 are left out.

    Raises:
        InputError: no evaluated gene has a heritability.
    """
    columns = ["method", "gene", "gene_class", "pearson_r"]
    table = per_gene.dropna(subset="pearson_r")[columns].merge(heritability, on="gene").dropna(subset="h2")
    if not len(table):
        raise InputError("the heritability table has no gene that is evaluated: are its labels others?")
    h = np.sqrt(table["h2"].clip(lower=0))
    return table.assign(h=h, r_over_h=(table["pearson_r"] / h.where(h > 0)))


def ceiling_summary(per_gene: pd.DataFrame, heritability: pd.DataFrame) -> pd.DataFrame:
    """``COLUMNS`` by method and class: the means of r and h over the genes with both, and the one over the other.

    The ratio is that of the means: a gene's own r / h is without bounds where h2 is estimated near 0.
    ``n_without_h2`` are the genes whose h2 is not known.
    """
    table = against_heritability(per_gene, heritability)
    with_r = per_gene.dropna(subset="pearson_r").groupby(["method", "gene_class"])["gene"].size().to_dict()
    rows = []
    for key, genes in table.groupby(["method", "gene_class"], sort=False):
        r, h = genes["pearson_r"].mean(), genes["h"].mean()
        ratio = r / h if h > 0 else np.nan
        missing = int(with_r[key]) - len(genes)
        rows.append((*key, len(genes), r, h, ratio, missing))
    return pd.DataFrame(rows, columns=COLUMNS)
