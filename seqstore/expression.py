"""The expression table: genes x individuals, and its standardisation."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seqstore.bed import is_bed, read_phenotypes
from seqstore.errors import InputError
from seqstore.genes import GIVEN, gene_ids, is_copy_on_y, labels_as_given, strip_version
from seqstore.h5ad import read_h5ad
from seqstore.tables import bare_name, lines_of, read_table, refuse_repeats

#: Columns that describe the gene and are no individual, as in files of Geuvadis, GTEx, biomaRt and BioMart,
#: featureCounts, RSEM, tximport and recount: in lower case, with one "_" for all else than letters and digits.
_DESCRIBING = frozenset(
    (
        *("gene", "geneid", "gene_id", "gene_ids", "gene_stable_id", "gene_stable_id_version", "target_id"),
        *("targetid", "phenotype_id", "ensembl", "ensembl_id", "ensembl_gene_id", "ensembl_gene_id_version"),
        *("transcript_id", "transcript_ids", "transcript_id_s", "ensembl_transcript_id", "havana_gene"),
        *("transcript_stable_id", "entrez", "entrez_id", "entrezid", "entrezgene", "entrezgene_id"),
        *("ncbi_gene_id", "ncbi_gene_formerly_entrezgene_id", "hgnc_id", "hgnc_symbol", "uniprot_id"),
        *("symbol", "gene_symbol", "genesymbol", "name", "gene_name", "genename", "external_gene_name"),
        *("description", "gene_description", "gene_type", "gene_biotype", "biotype", "transcript_biotype"),
        *("type", "source", "level", "phase", "tag", "score"),
        *("chr", "chrom", "chromosome", "chromosome_name", "chromosome_scaffold_name", "contig", "seqid"),
        *("seqname", "seqnames", "band", "karyotype_band", "coord", "pos", "position", "tss"),
        *("transcription_start_site", "transcription_start_site_tss", "start", "end", "gene_start"),
        *("gene_end", "gene_start_bp", "gene_end_bp", "start_position", "end_position", "strand"),
        *("width", "length", "gene_length", "genelength", "transcript_length", "exon_length", "bp_length"),
        *("effective_length", "efflength", "gc", "gc_content", "gene_gc_content"),
        *("percentage_gene_gc_content",),
    )
)
_ENSEMBL_GENE = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?")


def read_expression(path: str | Path) -> pd.DataFrame:
    """Read expression as genes x individuals, float32, NaN = not measured; genes are without their version.

    The ending says the format: a phenotype BED of QTLtools, FastQTL or tensorQTL (``.bed``,
    ``.bed.parquet``), GTEx's GCT (``.gct``), AnnData (``.h5ad``; its X, obs are the individuals), else a
    table (tabs, ``.csv`` or ``.parquet``) whose first column, or in Parquet the index, is the gene. Of the
    others, those with a usual name of what describes a gene (length, start, entrezgene_id) are left out; each
    of the rest is an individual. All text may be gzipped (``.gz``).

    Raises:
        InputError: it cannot be read, a gene or an individual has no label or stands twice, a value is
            not a number, or it is individuals x genes.
    """
    path = Path(path)
    if is_bed(path):
        table = read_phenotypes(path)
    elif bare_name(path).endswith(".gct"):
        table = _read_gct(path)
    elif bare_name(path).endswith(".h5ad"):
        table = read_h5ad(path)
    else:
        table = _read_expression_table(path)
    return _checked(table, path)


def match_genes(
    labels: Sequence[str],
    names: Sequence[str],
    rows: pd.Index,
    path: str | Path,
    ids: Sequence[str] | None = None,
) -> list[int]:
    """The row of an expression table of each gene, -1 = none: by label, by id (of `gene_ids`) or by name.

    A copy on chrY of a pseudoautosomal gene, which has the name of the gene, matches by label only.

    Raises:
        InputError: two genes match one row, or a gene's label, id and name match different rows.
    """
    position = {row: number for number, row in enumerate(rows)}
    matched = []
    taken: dict[int, str] = {}
    for label, gene_id, name in zip(labels, ids or labels, names, strict=True):
        keys = (label,) if is_copy_on_y(label) else dict.fromkeys((label, gene_id, name))
        found = [key for key in keys if key in position]
        if len(found) > 1:
            raise InputError(
                f"{path}: gene {label} ({name}) matches two rows, {found[0]} and {found[1]}; keep one"
            )
        row = position[found[0]] if found else -1
        if row in taken:
            raise InputError(
                f"{path}: row {rows[row]} matches two genes, {taken[row]} and {label}; label it by gene id, or "
                "keep one of the genes"
            )
        if row >= 0:
            taken[row] = label
        matched.append(row)
    return matched


def count_matches(genes: pd.DataFrame, table: pd.DataFrame, rows: Sequence[int]) -> dict[str, int]:
    """How many genes `match_genes` matched by which rule: id, id_without_version, gene_id, name and unmatched.

    ``genes`` is of `read_genes`, ``table`` of `read_expression`, ``rows`` what `match_genes` gave for them.
    Rules that matched no gene are left out.
    """
    given_gene, given_row = genes.attrs.get(GIVEN, {}), table.attrs.get(GIVEN, {})
    rules: Counter[str] = Counter()
    for gene, gene_id, row in zip(genes["gene"], gene_ids(genes), rows, strict=True):
        if row < 0:
            rules["unmatched"] += 1
        elif table.index[row] not in (gene, gene_id):
            rules["name"] += 1
        elif table.index[row] != gene:
            rules["gene_id"] += 1
        elif given_gene.get(gene, gene) == given_row.get(gene, gene):
            rules["id"] += 1
        else:
            rules["id_without_version"] += 1
    return dict(rules)


def _read_expression_table(path: Path) -> pd.DataFrame:
    """A table with the gene in its first column, indexed by it."""
    table = read_table(path, "expression table", numbers=True)
    names = [re.sub("[^a-z0-9]+", "_", column.lower()).strip("_") for column in table.columns[1:]]
    individuals = np.array([False, *(name not in _DESCRIBING for name in names)])
    return table.loc[:, individuals].set_axis(table.iloc[:, 0].astype(str), axis="index")


def _read_gct(path: Path) -> pd.DataFrame:
    """A GCT 1.2 file, indexed by Name; GTEx's files of one tissue have a column ``id`` before it."""
    version, shape, header = (*itertools.islice(lines_of(path, "GCT file"), 3), "", "", "")[:3]
    if version.strip() != "#1.2":
        raise InputError(
            f"{path}: begins with {version[:20]!r}; a GCT file that can be read begins with #1.2"
        )
    labels = 3 if header.lower().startswith("id\t") else 2
    table = read_table(path, "GCT file", numbers=True, labels=labels, skip=2)
    if [column.lower() for column in table.columns[labels - 2 : labels]] != ["name", "description"]:
        raise InputError(f"{path}: its columns do not begin with Name and Description")
    values = table.iloc[:, labels:].set_axis(table.iloc[:, labels - 2], axis="index")
    if shape.split() != [str(n) for n in values.shape]:
        raise InputError(
            f"{path}: holds {values.shape[0]} genes and {values.shape[1]} individuals, but its second line says "
            f"{' and '.join(shape.split()) or 'nothing'}; is it cut off?"
        )
    return values


def _checked(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A table of values as they were read, indexed by gene as given: numbers, by gene without version."""
    table = table.set_axis(table.columns.astype(str).str.strip(), axis="columns")
    given = pd.Series(table.index.astype(str)).str.strip()
    labels = given.map(strip_version)
    for what, names in (("gene", labels), ("individual", table.columns.to_series())):
        if not len(names):
            raise InputError(f"{path}: has no {what}")
        if (names == "").any():
            raise InputError(f"{path}: {what} {int(np.flatnonzero(names == '')[0]) + 1} has no label")
        refuse_repeats(names, path, what)
    if _are_genes(table.columns) and not _are_genes(labels):
        raise InputError(
            f"{path}: its columns are genes ({table.columns[0]}, …) and its rows are not ({labels[0]}, …); transpose "
            "it to genes x individuals"
        )
    texts = table.select_dtypes("bool").astype(str)
    values = table.assign(**texts) if len(texts.columns) else table
    numbers = values.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        expression = numbers.astype(np.float32)
    bad = (np.isnan(numbers) & values.notna().to_numpy()) | np.isinf(expression)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        value = values.iloc[row, column]
        raise InputError(
            f"{path}: {repr(value) if isinstance(value, str) else value} of gene {labels[row]}, individual "
            f"{values.columns[column]} is not a finite number (write NA for not measured)"
        )
    checked = pd.DataFrame(expression, index=pd.Index(labels, name="gene"), columns=list(values.columns))
    checked.attrs[GIVEN] = labels_as_given(labels, given)
    return checked


def _are_genes(labels: Iterable[str]) -> bool:
    """Whether most labels are Ensembl's ids of genes."""
    found = [_ENSEMBL_GENE.fullmatch(str(label)) is not None for label in labels]
    return sum(found) > len(found) / 2
