"""The gene table: where each gene's window is centred."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd

from seqstore.contigs import canonical_build
from seqstore.errors import InputError
from seqstore.tables import first_column_of, read_table, refuse_repeats

_GTF_ENDINGS = (".gtf", ".gtf.gz", ".gff", ".gff.gz", ".gff3", ".gff3.gz")
#: The columns that every table of genes has.
GENE_COLUMNS = ("gene", "gene_name", "contig", "tss", "strand")
_SPELLINGS = {
    "gene": ("gene", "gene_id", "ensembl"),
    "contig": ("contig", "chrom", "chr", "chromosome"),
    "tss": ("tss",),
    "strand": ("strand",),
}


def read_genes(path: str | Path, build: str | None = None) -> pd.DataFrame:
    """Read a gene table or a GTF/GFF3 annotation.

    Returns columns ``gene`` (unique label), ``gene_name``, ``contig``, ``tss`` (1-based), ``strand``
    (+ or -) and every further column of the table. Of a GTF/GFF3, rows of type gene are read and the
    TSS is their 5' end.

    Raises:
        InputError: a column is missing or a value cannot be used, a gene stands twice, or the file
            names another genome build than ``build``.
    """
    path = Path(path)
    genes = _read_annotation(path) if path.name.endswith(_GTF_ENDINGS) else _read_gene_table(path)
    refuse_repeats(genes["gene"], path, "gene")
    _check_build(genes, path, build)
    bad_strand = ~genes["strand"].isin(["+", "-"])
    if bad_strand.any():
        row = genes[bad_strand].iloc[0]
        raise InputError(f"{path}: gene {row['gene']} has strand {row['strand']!r}; use + or -")
    tss = pd.to_numeric(genes["tss"], errors="coerce")
    bad_tss = tss.isna() | (tss < 1) | (tss % 1 != 0)
    if bad_tss.any():
        row = genes[bad_tss].iloc[0]
        raise InputError(f"{path}: gene {row['gene']} has TSS {row['tss']!r}; it is a 1-based position")
    genes["tss"] = tss.astype(np.int64)
    return genes.reset_index(drop=True)


def strip_version(label: str) -> str:
    """An Ensembl id without its version (ENSG00000125818.5 -> ENSG00000125818); other labels unchanged."""
    return re.sub(r"^(ENS[A-Z]*\d{6,})\.\d+(_PAR_Y)?$", r"\1\2", label)


def _read_gene_table(path: Path) -> pd.DataFrame:
    table = read_table(path, "gene table")
    names = {}
    for column, spellings in _SPELLINGS.items():
        found = first_column_of(table, spellings)
        if found is None:
            raise InputError(f"{path}: no column {column!r} (columns: {', '.join(table.columns)})")
        names[found] = column
    genes = table.rename(columns=names)
    genes["gene"] = genes["gene"].astype(str).map(strip_version)
    if "gene_name" not in genes:
        genes["gene_name"] = genes["gene"]
    genes["gene_name"] = genes["gene_name"].where(genes["gene_name"] != "", genes["gene"])
    for column in ("gene", "contig"):
        if (genes[column] == "").any():
            row = int(np.flatnonzero(genes[column] == "")[0])
            raise InputError(f"{path}: row {row + 1} has no {column}")
    return genes


def _read_annotation(path: Path) -> pd.DataFrame:
    """Gene rows of a GTF or GFF3; the build that its header names becomes the column ``build``."""
    rows: list[tuple[str, str, str, str, dict[str, str]]] = []
    build = ""
    try:
        with gzip.open(path, "rt") if path.name.endswith(".gz") else path.open() as lines:
            for line in lines:
                if line.startswith("#"):
                    named = re.search(r"GRCh\d+|hg\d+|T2T-CHM13", line)
                    build = build or (named.group() if named else "")
                    continue
                fields = line.rstrip("\n").split("\t")
                if len(fields) == 9 and fields[2] == "gene":
                    attributes = dict(re.findall(r'(\w+)[ =]"?([^";]+)"?', fields[8]))
                    rows.append((fields[0], fields[3], fields[4], fields[6], attributes))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a gene annotation ({error})") from error
    if not rows:
        raise InputError(f"{path}: holds no rows of type 'gene'")
    labels = [strip_version(_gene_id(attributes)) for *_, attributes in rows]
    genes = pd.DataFrame(
        {
            "gene": labels,
            "gene_name": [
                a.get("gene_name", a.get("Name", label)) for (*_, a), label in zip(rows, labels, strict=True)
            ],
            "contig": [contig for contig, *_ in rows],
            "tss": [start if strand == "+" else end for _, start, end, strand, _ in rows],
            "strand": [strand for *_, strand, _ in rows],
            "gene_type": [a.get("gene_type", a.get("gene_biotype", a.get("biotype", ""))) for *_, a in rows],
        }
    )
    return genes.assign(build=build) if build else genes


def _gene_id(attributes: dict[str, str]) -> str:
    return attributes.get("gene_id", attributes.get("ID", "")).removeprefix("gene:")


def _check_build(genes: pd.DataFrame, path: Path, build: str | None) -> None:
    if build is None or "build" not in genes:
        return
    wanted = canonical_build(build)
    for named in set(genes["build"]) - {""}:
        if canonical_build(named) != wanted:
            raise InputError(f"{path}: its genes are in build {named}, but the config's build is {build}")
