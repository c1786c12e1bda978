"""How an expression table was prepared, and on whom: the recipe, a JSON file beside the table.

``seqstore expression`` writes it, ``seqstore build`` stores it with the expression, and whatever shows results
shows it: a matrix that was corrected on everyone has seen the people that a model is tested on.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from seqstore.errors import InputError
from seqstore.labels import reconcile_individuals
from seqstore.outputs import check_folder

FORMAT = "seqstore expression recipe"
VERSION = 1
ALL = "all"
ENDINGS = (".tsv", ".tsv.gz", ".csv", ".csv.gz", ".parquet")


def recipe_path(table: str | Path) -> Path:
    """Where the recipe of an expression table stands."""
    return Path(f"{table}.json")


def recipe_of(table: str | Path) -> dict[str, Any] | None:
    """The recipe of an expression table; None if it has none.

    Raises:
        InputError: the recipe cannot be read, or is that of another table.
    """
    path = recipe_path(table)
    if not path.is_file() or not Path(table).is_file():
        return None
    try:
        recipe = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as the recipe of {table} ({error})") from error
    if not isinstance(recipe, dict) or recipe.get("format") != FORMAT:
        return None  # somebody else's file
    if recipe.get("version", 0) > VERSION:
        raise InputError(f"{path}: recipe version {recipe['version']} needs a newer seqstore")
    if recipe.get("sha256") != sha256_of(table):
        raise InputError(
            f"{path}: is not the recipe of {table}, which has changed since; prepare the table again, or remove "
            "the recipe if the table was replaced on purpose"
        )
    return recipe


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_labels(labels: Sequence[str]) -> str:
    """SHA-256 of labels, sorted, one a line."""
    return hashlib.sha256("\n".join(sorted(labels)).encode()).hexdigest()


def describe_recipe(recipe: Mapping[str, Any]) -> str:
    """A recipe in one line: every step, and on whom it was fitted."""
    return "; then ".join(f"{'; '.join(run['steps'])}; fitted on {_fit_of(run)}" for run in _runs(recipe))


def describe_fit(recipe: Mapping[str, Any]) -> str:
    """On whom a recipe was fitted: "all 462 people", "327 of 462 people (train.txt)"; of several runs, each."""
    return "; then ".join(dict.fromkeys(_fit_of(run) for run in _runs(recipe)))


def fitted_on(recipe: Mapping[str, Any], individuals: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which individuals (individual,) any run of a recipe was fitted on."""
    used = np.zeros(len(individuals), dtype=bool)
    for run in _runs(recipe):
        labels = run["fit"]["labels"]
        if labels is None:  # all
            return np.ones(len(individuals), dtype=bool)
        known = reconcile_individuals(labels, individuals, path=run["fit"]["on"]).known
        used |= np.isin(individuals, list(known.values()))
    return used


def relabelled(recipe: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    """A recipe in which people have other labels: ``known`` (label in the table -> in the store), as far as given."""
    fit, given = recipe["fit"], recipe["input"]["recipe"]
    if fit["labels"] is not None:
        fit = fit | {"labels": [known.get(label, label) for label in fit["labels"]]}
    if given is not None:
        given = relabelled(given, known)
    return {**recipe, "fit": fit, "input": recipe["input"] | {"recipe": given}}


def _runs(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The runs of ``seqstore expression`` behind a table, first to last: its input may be prepared itself."""
    given = recipe["input"]["recipe"]
    return [*([] if given is None else _runs(given)), recipe]


def _fit_of(run: Mapping[str, Any]) -> str:
    fit, n_people = run["fit"], run["individuals"]["kept"]
    if fit["labels"] is None:
        return f"all {n_people} people"
    return f"{fit['individuals']} of {n_people} people ({Path(fit['on']).name})"


def check_output(table: str | Path) -> None:
    """Refuse a place where a table and its recipe cannot be written, or where one stands already."""
    table = Path(table)
    if not table.name.endswith(ENDINGS):
        raise InputError(f"{table}: give an output that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if table.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise InputError(f"{table}: parquet needs pyarrow, which is not installed; or give .tsv.gz")
    if table.exists():
        raise InputError(f"{table}: exists already; remove it or give another output")
    # A recipe alone is what a run that was stopped between the two left behind.
    if recipe_path(table).exists() and not _is_recipe(recipe_path(table)):
        raise InputError(f"{recipe_path(table)}: is where the recipe goes; remove it or give another output")
    check_folder(table.parent)


def write_with_recipe(expression: pd.DataFrame, table: str | Path, recipe: Mapping[str, Any]) -> None:
    """Write an expression table (gene x individual, float32) and its recipe: both whole, or no table.

    The recipe is completed with the SHA-256 of the table. Text holds as many digits as float32 needs, NaN as NA.
    """
    table = Path(table)
    table.parent.mkdir(parents=True, exist_ok=True)
    asides = [path.with_name(path.name + ".partial") for path in (recipe_path(table), table)]
    try:
        _write_table(expression, asides[1], table.name)
        whole = {"format": FORMAT, "version": VERSION, "sha256": sha256_of(asides[1]), **recipe}
        asides[0].write_text(json.dumps(whole, indent=2) + "\n")
        # The recipe first: a table without its recipe would pass for one that nobody prepared.
        for aside, path in zip(asides, (recipe_path(table), table), strict=True):
            os.replace(aside, path)
    except OSError as error:
        raise InputError(f"{table}: cannot be written ({error})") from error
    finally:
        for aside in asides:
            aside.unlink(missing_ok=True)


def _write_table(expression: pd.DataFrame, path: Path, name: str) -> None:
    if name.endswith(".parquet"):
        expression.reset_index().to_parquet(path, index=False)
        return
    separator = "," if name.removesuffix(".gz").endswith(".csv") else "\t"
    with path.open("wb") as file:
        if name.endswith(".gz"):
            # Without a name and a time the same table is the same bytes.
            with (
                gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed,
                io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
            ):
                expression.to_csv(text, sep=separator, na_rep="NA")
        else:
            expression.to_csv(file, sep=separator, na_rep="NA")


def _is_recipe(path: Path) -> bool:
    try:
        recipe = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(recipe, dict) and recipe.get("format") == FORMAT
