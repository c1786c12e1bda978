"""The gene table: where each gene's window is centred."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seqstore.annotation import read_annotation
from seqstore.bed import is_bed, read_gene_bed
from seqstore.contigs import canonical_build, knows_pseudoautosomal
from seqstore.errors import InputError
from seqstore.tables import (
    MISSING_NUMBERS,
    bare_name,
    first_column_of,
    read_table,
    refuse_repeats,
    whole_numbers,
)

logger = logging.getLogger(__name__)

#: The columns that every table of genes has.
GENE_COLUMNS = ("gene", "gene_name", "contig", "tss", "strand")
#: The attribute of a table of genes or of expression: label -> label as given, where these differ.
GIVEN = "labels_as_given"
_SPELLINGS = {
    "gene": ("gene", "gene_id", "ensembl"),
    "contig": ("contig", "chrom", "chr", "chromosome"),
    "tss": ("tss",),
    "strand": ("strand",),
}
_TYPES = ("gene_type", "gene_biotype", "biotype")


def read_genes(
    path: str | Path, build: str | None = None, gene_types: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a gene table, a GTF/GFF3 annotation, a BED file or a phenotype BED (QTLtools, tensorQTL).

    The ending says which: ``.gtf``, ``.gff``, ``.gff3`` and ``.bed``, each also with ``.gz``, and
    ``.bed.parquet``; all else is a table (tabs, ``.csv`` or ``.parquet``) with columns gene, contig, tss and
    strand. Returns columns ``gene`` (unique label, without its version), ``gene_name``, ``contig``, ``tss``
    (1-based), ``strand`` (+ or -; "." where a BED file does not tell) and every further column of a table.

    Args:
        path: the file
        build: the genome build that the genes are to be in, if the file names one
        gene_types: keep genes of these types only, such as protein_coding

    Raises:
        InputError: a column is missing or a value cannot be used, a gene stands twice, the file names
            another genome build than ``build``, or it has no gene of one of ``gene_types``.
    """
    path = Path(path)
    if bare_name(path).endswith((".gtf", ".gff", ".gff3")):
        genes = read_annotation(path)
    elif is_bed(path):
        genes = read_gene_bed(path)
    else:
        genes = _read_gene_table(path)
    if not len(genes):
        raise InputError(f"{path}: has no genes")
    if gene_types is not None:
        genes = _of_types(genes, gene_types, path)
    given = genes["gene"]
    genes = genes.assign(gene=given.map(strip_version))
    genes["gene_name"] = genes["gene_name"].where(genes["gene_name"] != given, genes["gene"])
    refuse_repeats(genes["gene"], path, "gene")
    _check_build(genes, path, build)
    bad_strand = ~genes["strand"].isin(["+", "-", "."] if is_bed(path) else ["+", "-"])
    if bad_strand.any():
        row = genes[bad_strand].iloc[0]
        raise InputError(f"{path}: gene {row['gene']} has strand {row['strand']!r}; use + or -")
    tss = whole_numbers(genes["tss"])
    bad_tss = ~(tss >= 1)
    if bad_tss.any():
        row = genes[bad_tss].iloc[0]
        raise InputError(f"{path}: gene {row['gene']} has TSS {row['tss']!r}; it is a 1-based position")
    genes["tss"] = tss.astype(np.int64)
    genes.attrs[GIVEN] = labels_as_given(genes["gene"], given)
    return genes.reset_index(drop=True)


def strip_version(label: str) -> str:
    """An Ensembl id without its version (ENSG00000125818.5 -> ENSG00000125818); other labels unchanged.

    Versions that GENCODE lifted to GRCh37 (ENSG00000000457.13_2) go, too; the mark of a copy on chrY
    (ENSG00000182378.15_PAR_Y) stays.
    """
    return re.sub(r"^(ENS[A-Z]*\d{6,})\.\d+(?:_\d+)?(_PAR_Y)?$", r"\1\2", label)


def gene_ids(genes: pd.DataFrame) -> list[str]:
    """The ids, without version, that genes have beside their labels, in a column ``gene_id``; "" = none."""
    column = first_column_of(genes, ("gene_id",))
    if column is None:
        return [""] * len(genes)
    # Entrez's are numbers, and a store has them as such.
    texts = [f"{label:.0f}" if isinstance(label, float) else str(label) for label in genes[column]]
    return ["" if text in MISSING_NUMBERS else strip_version(text) for text in texts]


def is_copy_on_y(label: str) -> bool:
    """Whether GENCODE's label is that of a pseudoautosomal gene's copy on chrY, which has the name of the gene."""
    return label.endswith("_PAR_Y") or label.startswith("ENSGR")


def labels_as_given(labels: pd.Series, given: pd.Series) -> dict[str, str]:
    """The labels as they stood in a file, by the label they have now, where the two differ."""
    return {now: then for now, then in zip(labels, given, strict=True) if now != then}


def _read_gene_table(path: Path) -> pd.DataFrame:
    table = read_table(path, "gene table")
    names = {}
    for column, spellings in _SPELLINGS.items():
        found = first_column_of(table, spellings)
        if found is None:
            raise InputError(f"{path}: no column {column!r} (columns: {', '.join(table.columns)})")
        names[found] = column
    genes = table.rename(columns=names)
    if "gene_name" not in genes:
        genes["gene_name"] = genes["gene"]
    genes["gene_name"] = genes["gene_name"].where(genes["gene_name"] != "", genes["gene"])
    for column in ("gene", "contig"):
        if (genes[column] == "").any():
            row = int(np.flatnonzero(genes[column] == "")[0])
            raise InputError(f"{path}: row {row + 1} has no {column}")
    return genes


def _of_types(genes: pd.DataFrame, gene_types: Sequence[str], path: Path) -> pd.DataFrame:
    """The genes of some types."""
    column = first_column_of(genes, _TYPES)
    if column is None or (genes[column] == "").all():
        raise InputError(
            f"{path}: does not tell the genes' types, so that gene_types cannot choose among them"
        )
    known = sorted(set(genes[column]) - {""})
    for gene_type in gene_types:
        if gene_type not in known:
            raise InputError(f"{path}: has no gene of type {gene_type!r} (it has: {', '.join(known)})")
    if not gene_types:
        raise InputError(f"{path}: gene_types names no type (it has: {', '.join(known)})")
    return genes[genes[column].isin(list(gene_types))]


def _check_build(genes: pd.DataFrame, path: Path, build: str | None) -> None:
    if build is None:
        return
    wanted = canonical_build(build)
    for named in set(genes["build"]) - {""} if "build" in genes else ():
        if canonical_build(named) != wanted:
            raise InputError(f"{path}: its genes are in build {named}, but the config's build is {build}")
    if not knows_pseudoautosomal(build) and genes["contig"].str.fullmatch("(chr)?[XY]").any():
        logger.warning(
            "warning: %s: the pseudoautosomal regions of build %s are not known (those of GRCh37, GRCh38 and "
            "T2T-CHM13 are), so that genes there are not named",
            path,
            build,
        )
