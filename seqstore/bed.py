"""BED files: genes (BED4 and wider), and the phenotype BED of QTLtools, FastQTL and tensorQTL.

A phenotype BED has a header ``#chr start end id``; QTLtools adds two columns, ``gid strand`` or ``length
strand``; one column an individual follows. tensorQTL also reads that table as Parquet (``.bed.parquet``).
Positions are 0-based and half-open.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seqstore.errors import InputError
from seqstore.tables import bare_name, lines_of, read_table, whole_numbers

_WHAT = "BED file"
_PARQUET = ".bed.parquet"
#: How a fifth column is called that names the gene.
_NAMES = ("gid", "gene", "gene_id", "gene_name", "symbol")


def is_bed(path: str | Path) -> bool:
    """Whether a file's name ends as that of a BED file."""
    return bare_name(path).endswith((".bed", _PARQUET))


def read_gene_bed(path: str | Path) -> pd.DataFrame:
    """Read the genes of a BED file or of a phenotype BED: its fourth column is the gene.

    Returns columns ``gene`` (as it stands), ``gene_name``, ``contig``, ``tss`` (1-based), ``strand`` and,
    of QTLtools' phenotype BED, its fifth column. The TSS of a feature of one base is that base, as FastQTL
    and tensorQTL have it; of a longer one it is the 5' end. ``strand`` is "." where a feature of one base has
    none.

    Raises:
        InputError: it cannot be read, a row is no feature, or a longer one has no strand.
    """
    path = Path(path)
    table = _read_phenotype_bed(path, values=False)
    features = _plain_features(path) if table is None else _features_of(table)
    start, end = whole_numbers(features["start"]), whole_numbers(features["end"])
    _refuse_bad(features, start, end, path)
    start, end = start.astype(np.int64), end.astype(np.int64)
    tss = end.where((end - start == 1) | (features["strand"] == "-"), start + 1)
    return features.drop(columns="end").rename(columns={"start": "tss"}).assign(tss=tss)


def read_phenotypes(path: str | Path) -> pd.DataFrame:
    """Read the values of a phenotype BED, genes x individuals, indexed by its fourth column.

    Raises:
        InputError: it cannot be read, or has no header, which names the individuals.
    """
    path = Path(path)
    table = _read_phenotype_bed(path, values=True)
    if table is None:
        raise InputError(
            f"{path}: has no header line (#chr, start, end, id, then the individuals), so it holds no expression"
        )
    values = table.drop(columns=_annotation(list(table.columns)))
    return values.set_axis(table.iloc[:, 3].astype(str), axis="index")


def _read_phenotype_bed(path: Path, *, values: bool) -> pd.DataFrame | None:
    """The table as it stands, without ``values`` only what stands before the individuals; None without header."""
    if bare_name(path).endswith(_PARQUET):
        table = read_table(path, _WHAT, numbers=True, labels=0)
        columns = list(table.columns)
        if _is_header(columns[1:]):  # the ids were the index
            columns = [*columns[1:4], columns[0], *columns[4:]]
        if not _is_header(columns):
            raise InputError(f"{path}: its columns are not chr, start, end, id and the individuals")
        return table[columns] if values else table[_annotation(columns)]
    for number, line in enumerate(lines_of(path, _WHAT)):
        header = line.split("\t")
        if _is_header(header):
            n = len(_annotation(header))
            first = None if values else n
            return read_table(path, _WHAT, numbers=True, labels=n, skip=number, first=first)
        if not _is_comment(line):
            break
    return None


def _is_header(columns: Sequence[str]) -> bool:
    return [name.strip().lower() for name in columns[1:3]] == ["start", "end"]


def _is_comment(line: str) -> bool:
    return not line.strip() or line.startswith(("#", "track", "browser"))


def _annotation(header: list[str]) -> list[str]:
    """The columns before those of the individuals."""
    at_strand = [name.strip().lower() == "strand" for name in header[4:6]]
    return header[: 5 + at_strand.index(True) if any(at_strand) else 4]


def _features_of(table: pd.DataFrame) -> pd.DataFrame:
    """The features of a phenotype BED by our names: the first columns of QTLtools, FastQTL or tensorQTL."""
    features = table.astype(str)
    extra = features.columns[4:-1]  # one, before the strand
    strand = features.iloc[:, -1] if features.shape[1] > 4 else "."
    gene = features.iloc[:, 3]
    name = next((features[column] for column in extra if column.lower() in _NAMES), gene)
    return pd.DataFrame(
        {
            "gene": gene,
            "gene_name": name.where(~name.isin(["", "."]), gene),
            "contig": features.iloc[:, 0],
            "start": features.iloc[:, 1],
            "end": features.iloc[:, 2],
            "strand": strand,
            **{column: features[column] for column in extra if column.lower() not in (*_NAMES, "score")},
        }
    )


def _plain_features(path: Path) -> pd.DataFrame:
    """The features of a BED file without header: contig, start, end, name and, in column 6, the strand."""
    rows = []
    for number, line in enumerate(lines_of(path, _WHAT), start=1):
        if _is_comment(line):
            continue
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        if len(fields) < 4:
            raise InputError(
                f"{path}: line {number} has {len(fields)} columns; genes in BED have contig, start, end, gene "
                "and, in column 6, the strand"
            )
        contig, start, end, gene = fields[:4]
        rows.append((gene, gene, contig, start, end, fields[5] if len(fields) > 5 else "."))
    if not rows:
        raise InputError(f"{path}: holds no features")
    return pd.DataFrame(rows, columns=["gene", "gene_name", "contig", "start", "end", "strand"])


def _refuse_bad(features: pd.DataFrame, start: pd.Series, end: pd.Series, path: Path) -> None:
    """Raise an InputError for the first feature that cannot be used; NaN = ``start`` or ``end`` is no number."""
    positions = (start >= 0) & (start < end)
    for bad, problem in (
        (features["gene"].isin(["", "."]), "has no name in column 4"),
        (features["contig"] == "", "has no contig"),
        (~positions, "is at {start}-{end}; BED has 0-based, half-open positions, start below end"),
        (~features["strand"].isin(["+", "-", "."]), "has strand {strand!r}; use +, - or ."),
        (
            (end - start > 1) & (features["strand"] == "."),
            "is at {start}-{end} without a strand, so that its TSS cannot be told; give its strand, or only its TSS",
        ),
    ):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            feature = features.iloc[row]
            label = f"feature {row + 1} ({feature['gene'] or 'unnamed'})"
            values = {column: feature[column] for column in ("start", "end", "strand")}
            raise InputError(f"{path}: {label} {problem.format(**values)}")
