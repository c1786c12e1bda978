"""Files of weights: FUSION's R workspaces, text exports of them, and tables.

Each becomes a table of one gene's weights: the variant's ``variant_id``, ``contig`` ("" = not known), ``position``
(1-based, -1 = not known), the allele whose copies are counted (``effect``; FUSION's A1, column 5 of a .bim file) and
the ``other`` one; then a column of float64 a model, NaN = no weight.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqstore.errors import InputError
from seqstore.tables import first_column_of, lines_of, read_table

Source = Callable[[], pd.DataFrame]

SITE_COLUMNS = ["variant_id", "contig", "position", "effect", "other"]
WORKSPACE, EXPORT, TABLE = ".wgt.RDat", ".weights.txt", ".weights.tsv"
_TABLE_COLUMNS = {
    "variant_id": ("variant_id", "id", "snp", "rsid"),
    "contig": ("contig", "chrom", "chr"),
    "position": ("position", "pos", "bp"),
    "effect": ("alt", "a1", "effect_allele"),
    "other": ("ref", "a2", "other_allele"),
}
_PLACE_IN_ID = re.compile(r"(?:^|[_:])((?:chr)?(?:\d{1,2}|X|Y|MT?))[_:](\d+)(?:[_:]|$)")  # snp_17_4781890


def sources_of(folder: str | Path) -> dict[str, list[Source]]:
    """By the label of each gene, what reads its weights.

    - ``GENE.wgt.RDat``, as FUSION.compute_weights.R writes; a .pos file beside them (columns WGT and ID) says which
      gene is in which;
    - ``GENE.MODEL.weights.txt``, the reference study's exports: id, A1, A2 and weight, without a header;
    - ``NAME.weights.tsv``: columns gene, variant_id, contig, position, ref (A2), alt (A1) and one a model; a model
      column ``weight`` is called NAME.

    Raises:
        InputError: there is no such folder or file, or a table cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of FUSION weights")
    found: dict[str, list[Source]] = defaultdict(list)
    genes = _genes_of_workspaces(folder)
    exports: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        if path.name.endswith(WORKSPACE):
            gene = genes.get(path.name, path.name.removesuffix(WORKSPACE))
            found[gene].append(partial(read_workspace, path))
        elif path.name.endswith(EXPORT) and "." in path.name.removesuffix(EXPORT):
            gene, _, model = path.name.removesuffix(EXPORT).rpartition(".")
            exports[gene][model] = path
        elif path.name.endswith(TABLE):
            for label, rows in read_weight_table(path).groupby("gene", sort=False):
                found[str(label)].append(partial(rows.drop, columns="gene"))
    for gene, paths in exports.items():
        found[gene].append(partial(read_exports, paths))
    if not found:
        raise InputError(f"{folder}: has no weights (GENE{WORKSPACE}, GENE.MODEL{EXPORT} or NAME{TABLE})")
    return dict(found)


def read_workspace(path: str | Path) -> pd.DataFrame:
    """The weights that FUSION.compute_weights.R saved: ``wgt.matrix`` (variant, model) and ``snps`` (a .bim table).

    Raises:
        InputError: the package rdata is not installed, or the file is none of FUSION's.
    """
    try:
        import rdata
    except ImportError:
        raise InputError(
            f"{path}: R workspaces need the package rdata: pip install 'seqstore[rdata]'"
        ) from None
    try:
        content: dict[str, Any] = rdata.read_rda(path, default_encoding="utf-8")
        matrix, snps = content["wgt.matrix"], pd.DataFrame(content["snps"])
        weights = {str(model): matrix.values[:, i] for i, model in enumerate(matrix.coords["dim_1"].values)}
        bim = [snps.iloc[:, column].to_numpy() for column in range(6)]
    except Exception as error:  # whatever rdata stumbles over
        raise InputError(f"{path}: not a file of FUSION weights ({type(error).__name__}: {error})") from error
    sites = [_text(bim[1]), _text(bim[0]), bim[3].astype(np.int64), _alleles(bim[4]), _alleles(bim[5])]
    return _table(sites, weights, path)


def read_exports(paths: dict[str, Path]) -> pd.DataFrame:
    """The weights in the study's text files, by model: variants without a weight there have none (NaN).

    Raises:
        InputError: a line is not an id, two alleles and a number.
    """
    tables = []
    for model, path in paths.items():
        rows = [[cell.strip() for cell in line.split("\t")] for line in lines_of(path, "file of weights")]
        wrong = next((i for i, row in enumerate(rows, 1) if len(row) != 4), None)
        if wrong is not None:
            raise InputError(f"{path}: line {wrong} is not an id, two alleles and a weight, between tabs")
        names, effect, other, weight = (
            (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4
        )
        places = [_PLACE_IN_ID.search(name) for name in names]
        contigs = [place[1] if place else "" for place in places]
        positions = np.array([int(place[2]) if place else -1 for place in places], dtype=np.int64)
        sites = [names, contigs, positions, _alleles(effect), _alleles(other)]
        tables.append(_table(sites, {model: weight}, path))
    return pd.concat(tables, ignore_index=True)


def read_weight_table(path: str | Path) -> pd.DataFrame:
    """The weights of many genes in one table: ``gene``, then the columns of one gene's.

    Raises:
        InputError: a column is missing, or a weight or position is no number.
    """
    path = Path(path)
    table = read_table(path, "table of weights")
    columns = {name: first_column_of(table, names) for name, names in _TABLE_COLUMNS.items()}
    missing = [name for name in ("effect", "other") if columns[name] is None]
    if "gene" not in table or missing or (columns["position"] is None and columns["variant_id"] is None):
        raise InputError(
            f"{path}: needs columns gene, variant_id or contig and position, ref, alt, and one a model"
        )
    n = len(table)
    text = {name: table[column] if column else pd.Series([""] * n) for name, column in columns.items()}
    position = pd.to_numeric(text["position"].where(text["position"] != "", "-1"), errors="coerce")
    if position.isna().any():
        raise InputError(f"{path}: line {int(position.isna().argmax()) + 2} has no number as its position")
    models = [str(name) for name in table if name != "gene" and name not in columns.values()]
    names = {"weight": path.name.removesuffix(TABLE)}
    sites = [
        text["variant_id"],
        text["contig"],
        position.to_numpy(np.int64),
        *map(_alleles, (text["effect"], text["other"])),
    ]
    weights = _table(sites, {names.get(model, model): table[model] for model in models}, path)
    weights.insert(0, "gene", table["gene"].to_numpy())
    return weights


def _table(sites: list[Any], weights: dict[str, Any], path: str | Path) -> pd.DataFrame:
    """One table of variants and weights."""
    table = pd.DataFrame(dict(zip(SITE_COLUMNS, sites, strict=True)))
    for model, values in weights.items():
        given = pd.Series(values, dtype=object).replace(["", "NA"], np.nan)
        numbers = pd.to_numeric(given, errors="coerce")
        wrong = numbers.isna() & given.notna() & (given.astype(str).str.lower() != "nan")
        if wrong.any():
            raise InputError(f"{path}: {given[wrong].iloc[0]!r} in {model} is no weight; give a number or NA")
        table[model] = numbers.to_numpy(np.float64)
    return table


def _text(values: Any) -> list[str]:
    """Labels as text; R reads contigs as numbers."""
    return [str(int(value)) if isinstance(value, float | np.floating) else str(value) for value in values]


def _alleles(values: Any) -> list[str]:
    """Alleles as text: a column of nothing but T is a logical one to R, whose T is TRUE."""
    return ["T" if str(value).upper() == "TRUE" else str(value).upper() for value in values]


def _genes_of_workspaces(folder: Path) -> dict[str, str]:
    """By the file's name, the gene that a .pos file says it holds."""
    genes: dict[str, str] = {}
    for path in sorted(folder.glob("*.pos")):
        rows = [line.split() for line in lines_of(path, "list of FUSION weights")]
        if not rows or not {"WGT", "ID"} <= set(rows[0]):
            raise InputError(f"{path}: needs columns WGT and ID")
        wgt, gene = rows[0].index("WGT"), rows[0].index("ID")
        genes |= {Path(row[wgt]).name: row[gene] for row in rows[1:] if len(row) > max(wgt, gene)}
    return genes
