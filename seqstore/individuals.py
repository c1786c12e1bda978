"""The sample table: who the individuals are."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from seqstore.errors import InputError
from seqstore.tables import bare_name, first_column_of, lines_of, read_table, refuse_repeats

_LABELS = ("individual", "sample", "sample_id", "iid", "id", "name")
_SEXES = {
    **dict.fromkeys(("1", "m", "male"), "male"),
    **dict.fromkeys(("2", "f", "female"), "female"),
    **dict.fromkeys(("", "0", "-9", "na", "nan", "unknown", "other", "not available", "not applicable"), ""),
}
#: Our names of the columns that several formats have, by the formats' own in lower case without " " and "_".
_COLUMNS = {
    **dict.fromkeys(("familyid", "fid"), "family"),
    **dict.fromkeys(("individualid", "sampleid", "samplename", "sample", "iid"), "individual"),
    **dict.fromkeys(("paternalid", "fatherid", "pat"), "father"),
    **dict.fromkeys(("maternalid", "motherid", "mat"), "mother"),
    **dict.fromkeys(("gender", "sex"), "sex"),
    **dict.fromkeys(("phenotype", "pheno", "pheno1"), "phenotype"),
    **dict.fromkeys(("population", "populationcode", "pop"), "population"),
    **dict.fromkeys(("superpopulation", "superpopulationcode", "superpop"), "superpopulation"),
}
_PEDIGREE = ("family", "individual", "father", "mother", "sex", "phenotype")


def read_individuals(path: str | Path) -> pd.DataFrame:
    """Read a sample table: one row an individual, indexed by ``individual``.

    The ending says the format: ``.panel`` (1000 Genomes), ``.psam``, ``.fam`` and ``.ped`` (PLINK, and 1000
    Genomes' with a header), ``.sdrf.txt`` (ArrayExpress); all else is a table (tabs, ``.csv`` or
    ``.parquet``) whose label column is ``individual``, ``sample``, ``sample_id``, ``IID``, ``id`` or
    ``name``, or IGSR's table with ``Sample name``. A table's further columns stay as they are. In the other
    formats they are called family, father, mother, sex, phenotype, population and superpopulation, as far
    as there are such, sex is male, female or "", and "" is also a parent or phenotype that is not given.

    Raises:
        InputError: it cannot be read, no column has the individuals, or one has no label or stands twice.
    """
    path = Path(path)
    name = bare_name(path)
    if name.endswith(".panel"):
        table = _by_our_names(read_table(path, "panel"), path)
    elif name.endswith((".psam", ".fam", ".ped")):
        table = _by_our_names(_read_pedigree(path), path)
    elif name.endswith((".sdrf.txt", ".sdrf.tsv", ".sdrf")):
        table = _by_our_names(_read_sdrf(path), path)
    else:
        table = _read_sample_table(path)
    refuse_repeats(table["individual"], path, "individual")
    if (table["individual"] == "").any():
        row = int((table["individual"] == "").to_numpy().argmax())
        raise InputError(f"{path}: row {row + 1} has no individual")
    return table.set_index("individual")


def _read_sample_table(path: Path) -> pd.DataFrame:
    table = read_table(path, "sample table")
    if {"Sample name", "Population code"} <= set(table.columns):
        return _by_our_names(table, path)
    label = first_column_of(table, _LABELS)
    if label is None:
        raise InputError(f"{path}: no column 'individual' or 'sample' (columns: {', '.join(table.columns)})")
    return table.drop(columns=label).assign(individual=table[label])


def _by_our_names(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A format's table with our names of its columns, one spelling of sex, and "" for what is missing."""
    names = {column: _COLUMNS.get(re.sub("[ _#]", "", column).lower(), column) for column in table.columns}
    table = table.rename(columns=names)
    refuse_repeats(table.columns.to_series(), path, "column")
    if "individual" not in table:
        raise InputError(f"{path}: no column has the individuals (columns: {', '.join(names)})")
    if "sex" in table:
        sex = table["sex"].str.lower().map(_SEXES)
        if sex.isna().any():
            row = table[sex.isna()].iloc[0]
            raise InputError(
                f"{path}: individual {row['individual']} has sex {row['sex']!r}; use male, female, 1, 2 or NA"
            )
        table["sex"] = sex
    for column, missing in (("father", ["0"]), ("mother", ["0"]), ("phenotype", ["0", "-9", "NA"])):
        if column in table:
            table[column] = table[column].where(~table[column].isin(missing), "")
    return table


def _read_pedigree(path: Path) -> pd.DataFrame:
    """A .psam, .fam or .ped, separated by tabs or blanks; without a header it has PLINK's six columns."""
    what = bare_name(path).rpartition(".")[2] + " file"
    names: list[str] = []
    rows: list[list[str]] = []
    separator: str | None = None
    limit = -1  # how often a line is split
    for number, line in enumerate(lines_of(path, what), start=1):
        if not line.strip() or line.startswith("##"):
            continue
        if not names:
            separator = "\t" if "\t" in line else None
            first = [name.strip() for name in line.split(separator)]
            if _COLUMNS.get(re.sub("[ _#]", "", first[0]).lower()) in ("family", "individual"):
                names = first
                continue
            names = list(_PEDIGREE)
            limit = len(names) if what == "ped file" else -1  # genotypes follow in a .ped
        fields = [field.strip() for field in line.split(separator, limit)]
        fields = fields[: len(names)] if limit > 0 or not any(fields[len(names) :]) else fields
        if len(fields) != len(names):
            raise InputError(
                f"{path}: line {number} has {len(fields)} columns; it is to have {len(names)} "
                f"({', '.join(names[:6])}{', …' if len(names) > 6 else ''})"
            )
        rows.append(fields)
    if not rows:
        raise InputError(f"{path}: holds no individuals")
    return pd.DataFrame(rows, columns=[name.lstrip("#") for name in names], dtype=str)


def _read_sdrf(path: Path) -> pd.DataFrame:
    """The people of an ArrayExpress SDRF, whose rows are runs: what ``Characteristics[…]`` says of each.

    The individual is ``Characteristics[individual]``, else ``Source Name``. The population is
    ``Characteristics[population]`` or, in later releases of E-GEUV-1, ``Characteristics[ancestry category]``.
    Characteristics in which the rows of one person differ describe the sample, and are left out; sex and
    population must agree.
    """
    header, *rows = [line.split("\t") for line in lines_of(path, "SDRF file") if line.strip()] or [[]]
    columns: dict[str, list[str]] = {}  # a column such as Protocol REF stands there many times
    for position, name in enumerate(header):
        found = re.fullmatch(
            r"(Source Name)|Characteristics\s*\[(.+)\]", name.strip().strip('"'), re.IGNORECASE
        )
        if found:
            cells = [row[position].strip().strip('"') if position < len(row) else "" for row in rows]
            columns.setdefault((found[1] or found[2]).strip().lower(), cells)
    source = columns.pop("source name", None)
    individual = columns.pop("individual", source)
    if individual is None:
        raise InputError(f"{path}: no column 'Characteristics[individual]' or 'Source Name'")
    if "ancestry category" in columns:
        columns.setdefault("population", columns.pop("ancestry category"))
    people = pd.DataFrame({"individual": individual, **columns}, dtype=str).drop_duplicates()
    n_values = people.groupby("individual", sort=False).nunique()
    for column in n_values.columns[(n_values > 1).any()]:
        if column in ("population", "sex"):
            person = n_values.index[n_values[column] > 1][0]
            values = ", ".join(map(repr, people.loc[people["individual"] == person, column].unique()))
            raise InputError(f"{path}: the rows of individual {person} disagree on {column}: {values}")
        people = people.drop(columns=column)
    return people.drop_duplicates(ignore_index=True)
