"""``seqstore expression``: an expression matrix as the study prepared it, or without a look at the test people.

The order is the study's: RPKM to TPM, genes that are mostly zero dropped, ln(TPM + 0.01), principal components
removed with each gene's mean and scale put back. Covariates are removed before the components, and the
inverse-normal transform comes last.
"""

from __future__ import annotations

import logging
import math
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import pandas as pd

from seqstore.covariates import (
    design_of,
    first_dependent,
    read_covariates,
    too_few,
    without_covariates,
)
from seqstore.errors import InputError
from seqstore.expression import read_expression
from seqstore.individuals import read_individuals
from seqstore.labels import reconcile_individuals
from seqstore.normalisation import (
    Correction,
    Floats,
    Mask,
    measured_alike,
    normal_quantiles,
    share_of_zeros,
    tpm_of_rpkm,
    varies,
)
from seqstore.recipe import (
    ALL,
    check_output,
    describe_fit,
    recipe_of,
    recipe_path,
    sha256_of,
    sha256_of_labels,
    write_with_recipe,
)
from seqstore.tables import bare_name, lines_of, refuse_repeats

logger = logging.getLogger(__name__)

Unit = Literal["rpkm", "tpm", "other"]

MIN_FIT = 3
#: RPKM times length in kilobases sum to a million, so the RPKM of a whole transcriptome sum to 1e5 or more.
LEAST_SUM_OF_RPKM = 50_000
FEW_GENES = 10_000
LARGEST_LOGARITHM = 25.0


def prepare_expression(
    table: str,
    output: str,
    *,
    unit: Unit,
    fit_on: str | None = None,
    individuals: str | None = None,
    drop_zeros: float | None = None,
    pseudocount: float | None = None,
    covariates: str | None = None,
    drop_without_covariates: bool = False,
    components: int = 0,
    inverse_normal: bool = False,
) -> None:
    """Prepare an expression table: TPM, logarithm, covariates and components removed, normal quantiles.

    Args:
        table: expression table, genes x individuals
        output: table to write (.tsv, .tsv.gz, .csv, .csv.gz or .parquet); its recipe is written beside it, as
            OUTPUT.json
        unit: what the values are. rpkm (or FPKM) of all genes become TPM; of rpkm and tpm (or another linear
            scale) the logarithm is taken; other values are taken as they are
        fit_on: the people that the filter, means, deviations, coefficients, components and ranks come from, a
            file with one label a line or a table with a column individual (the others are projected); or all,
            as in the study. There is no default, because what is fitted on all has seen the people of a later test
        individuals: file that lists the individuals to keep, as for --fit-on (default: everyone in the table)
        drop_zeros: with rpkm and tpm, drop genes that are zero in at least this share of the people fitted on
            (default 0.5)
        pseudocount: with rpkm and tpm, added before the natural logarithm (default 0.01)
        covariates: table individuals x covariates, or covariates x individuals as for tensorQTL; covariates of
            text are categories. What they explain is removed, before the components
        drop_without_covariates: leave out individuals without a complete set of covariates, instead of refusing
        components: number of principal components to remove (the study: 10)
        inverse_normal: last of all, replace values by the normal quantile of their rank among the people fitted
            on (the mean rank for ties)
    """
    if fit_on is None:
        raise InputError(
            "--fit-on: say on whom means, components and the rest are fitted: a file that lists people (the "
            "others are projected), or all (the study's way, which sees the people of a later test)"
        )
    options = Options(unit, drop_zeros, pseudocount, components, inverse_normal)
    if options.nothing_to_do and covariates is None:
        raise InputError("--unit other: nothing to do; give --covariates, --components or --inverse-normal")
    if drop_without_covariates and covariates is None:
        raise InputError("--drop-without-covariates: give --covariates too")
    check_output(output)

    given = recipe_of(table)
    matrix = _matrix(
        table,
        individuals=individuals,
        fit_on=fit_on,
        covariates=covariates,
        drop_without_covariates=drop_without_covariates,
    )
    prepared = normalise(matrix, options)
    fitted = matrix.expression.columns[matrix.fit].to_list()
    recipe: dict[str, Any] = {
        "steps": prepared.steps,
        "input": {"path": table, "sha256": sha256_of(table), "recipe": given},
        "options": asdict(options),
        "covariates": None
        if covariates is None
        else {"path": covariates, "sha256": sha256_of(covariates), "columns": matrix.covariates},
        "fit": {
            "on": fit_on,
            "individuals": len(fitted),
            "sha256": sha256_of_labels(fitted),
            "labels": None if fit_on == ALL else fitted,
        },
        "individuals": {
            "given": matrix.n_given,
            "listed_in": individuals,
            "dropped_without_covariates": matrix.dropped,
            "kept": matrix.expression.shape[1],
        },
        "genes": prepared.genes,
        "variance_shares_of_components": [round(float(share), 6) for share in prepared.variance_shares],
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("seqstore", "numpy", "scipy", "scikit-learn", "pandas")},
        },
    }
    write_with_recipe(prepared.expression, output, recipe)
    _report(recipe, output)


@dataclass(frozen=True)
class Options:
    """What is done to a matrix: the options of ``prepare_expression`` of the same names, checked."""

    unit: Unit
    drop_zeros: float | None = None
    pseudocount: float | None = None
    components: int = 0
    inverse_normal: bool = False

    def __post_init__(self) -> None:
        for name, default in (("drop_zeros", 0.5), ("pseudocount", 0.01)):
            if self.unit == "other" and getattr(self, name) is not None:
                option = name.replace("_", "-")
                raise InputError(f"--{option}: has no effect with --unit other; leave it out")
            if self.unit != "other" and getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.drop_zeros is not None and not 0 < self.drop_zeros <= 1:
            raise InputError(f"--drop-zeros {self.drop_zeros}: give a share above 0, up to 1")
        if self.pseudocount is not None and not 0 < self.pseudocount < math.inf:
            raise InputError(f"--pseudocount {self.pseudocount}: give a number above 0")
        if self.components < 0:
            raise InputError(f"--components {self.components}: give 0 or more")

    @property
    def nothing_to_do(self) -> bool:
        """Whether no option changes a value."""
        return self.unit == "other" and not self.components and not self.inverse_normal


@dataclass(frozen=True)
class Matrix:
    """A matrix to prepare, and who it is fitted on."""

    path: str  # of the table, for messages
    expression: pd.DataFrame  # gene x individual, NaN = not measured
    fit: Mask  # (individual,)
    design: Floats  # (individual, column), see covariates.design_of
    covariates: list[str]  # names of the columns
    n_given: int  # individuals in the table
    dropped: list[str]  # individuals left out because they have no covariates


@dataclass(frozen=True)
class Prepared:
    """A prepared matrix, and what happened on the way."""

    expression: pd.DataFrame  # gene x individual, float32
    steps: list[str]
    genes: dict[str, int]
    variance_shares: Floats  # (component,)


def normalise(matrix: Matrix, options: Options) -> Prepared:
    """Do what ``options`` say to an expression matrix.

    A gene that does not vary among the people fitted on is dropped. NaN stays NaN, and what is estimated for
    a gene comes from those in whom it is measured; only TPM and components need every value.

    Raises:
        InputError: values are not what the options need, or there are too few people or genes.
    """
    fit, steps = matrix.fit, []
    if fit.sum() < MIN_FIT:
        raise InputError(f"{matrix.path}: {fit.sum()} people to fit on are too few; give at least {MIN_FIT}")
    values = matrix.expression.to_numpy(dtype=np.float64)
    genes = matrix.expression.index
    n_given, n_zero = len(genes), 0
    if options.drop_zeros is not None and options.pseudocount is not None:
        _check_linear(matrix, options.unit)
        if options.unit == "rpkm":
            values = tpm_of_rpkm(values)
            steps.append("RPKM to TPM")
        zero = share_of_zeros(values[:, fit]) >= options.drop_zeros
        values, genes, n_zero = np.log(values[~zero] + options.pseudocount), genes[~zero], int(zero.sum())
        steps.append(f"genes with zero in a share of {options.drop_zeros:g} or more dropped")
        steps.append(f"ln({'TPM' if options.unit == 'rpkm' else 'value'} + {options.pseudocount:g})")
    varying = varies(values[:, fit])
    values, genes = values[varying], genes[varying]
    if not len(genes):
        raise InputError(
            f"{matrix.path}: no gene is left: of {n_given}, {n_zero} are mostly zero among the people fitted on, "
            "the others do not vary"
        )
    shares = np.zeros(0)
    if matrix.covariates or options.components:
        _check_estimable(matrix, values, genes, options.components)
        correction = Correction.fit(values[:, fit], matrix.design[fit], options.components)
        values, shares = correction.apply(values, matrix.design), correction.variance_shares
        # A component's singular value goes with the root of its share; the table's precision is that of float32.
        removable = int((shares > np.finfo(np.float32).eps ** 2 * shares.max(initial=0)).sum())
        if options.components > removable:
            raise InputError(
                f"--components {options.components}: the {fit.sum()} people fitted on differ in {removable} ways only "
                f"(some are copies of others?); give at most {removable}"
            )
        if matrix.covariates:
            steps.append(f"{len(matrix.covariates)} covariates removed")
        if options.components:
            steps.append(f"{options.components} principal components removed")
    if options.inverse_normal:
        values = normal_quantiles(values, values[:, fit])
        steps.append("inverse-normal transform")
    return Prepared(
        expression=pd.DataFrame(values.astype(np.float32), index=genes, columns=matrix.expression.columns),
        steps=steps,
        genes={
            "given": n_given,
            "dropped_mostly_zero": n_zero,
            "dropped_without_variation": int((~varying).sum()),
            "kept": len(genes),
        },
        variance_shares=shares,
    )


def _matrix(
    table: str,
    *,
    individuals: str | None,
    fit_on: str,
    covariates: str | None,
    drop_without_covariates: bool,
) -> Matrix:
    """Read the inputs and bring them to the same individuals."""
    expression = read_expression(table)
    names = [str(name) for name in expression.columns]
    n_given, among = len(names), individuals or table
    if individuals is not None:
        listed = set(_listed(individuals, names, table, "list of individuals"))
        names = [name for name in names if name in listed]
        expression = expression[names]
    fit = np.full(len(names), True)
    if fit_on != ALL:
        fit = np.isin(names, _listed(fit_on, names, among, "list of people to fit on (a file, or all)"))
    if covariates is None:
        return Matrix(table, expression, fit, np.zeros((len(names), 0)), [], n_given, [])
    texts = read_covariates(covariates, names)
    dropped = without_covariates(texts, names)
    if dropped and not drop_without_covariates:
        raise InputError(
            f"{covariates}: {len(dropped)} of the {len(names)} individuals of {table} are not there or have a "
            f"covariate missing ({_few(dropped)}); complete it, or leave them out with --drop-without-covariates"
        )
    kept = ~np.isin(names, dropped)
    expression, fit, texts = expression.loc[:, kept], fit[kept], texts.drop(index=dropped, errors="ignore")
    if fit.sum() < MIN_FIT:
        raise InputError(
            f"{covariates}: {fit.sum()} of the people to fit on have covariates; give at least {MIN_FIT}"
        )
    design, columns = design_of(texts, fit, covariates)
    return Matrix(table, expression, fit, design, columns, n_given, dropped)


def _listed(path: str, names: Sequence[str], among: str, what: str) -> list[str]:
    """Those of ``names`` that a file lists: one label a line, or a table of individuals.

    Raises:
        InputError: it lists nobody, somebody twice, or somebody who is not among them (``among``: in which file).
    """
    is_table = bare_name(path).endswith(".parquet")
    lines = [] if is_table else [line.strip() for line in lines_of(path, what)]
    people = [line for line in lines if line]
    if is_table or any(re.search(r"[\t, ]", line) for line in people):
        people = read_individuals(path).index.to_list()
    elif people and people[0].lower().lstrip("#") in ("individual", "sample", "iid"):
        del people[0]
    if not people:
        raise InputError(f"{path}: lists nobody")
    refuse_repeats(pd.Series(people), path, "individual")
    remedy = f"give labels as {among} has them"
    known = reconcile_individuals(people, names, path=path, remedy=remedy).known
    unknown = [person for person in people if person not in known]
    if unknown:
        raise InputError(
            f"{path}: {len(unknown)} of the {len(people)} people listed are not in {among} ({_few(unknown)})"
        )
    return list(known.values())


def _check_linear(matrix: Matrix, unit: Unit) -> None:
    """Refuse values that cannot be on a linear scale, or of which no TPM can be made; warn of odd ones."""
    table, values = matrix.expression, matrix.expression.to_numpy()
    negative = values < 0
    if negative.any():
        raise InputError(
            f"{matrix.path}: {_cell(table, negative)} is negative, so no {unit.upper()}; take what is corrected or "
            "logarithmic already with --unit other"
        )
    if unit == "rpkm":
        missing = np.isnan(values)
        if missing.any():
            raise InputError(
                f"{matrix.path}: {_cell(table, missing)} is not measured, and TPM need every gene of a person; "
                "leave out such genes, or give TPM of the whole table with --unit tpm"
            )
        sums = values.sum(axis=0, dtype=np.float64)
        if not sums.all():
            raise InputError(f"{matrix.path}: every gene of {table.columns[sums == 0][0]} is 0: no TPM")
        if np.median(sums) < LEAST_SUM_OF_RPKM:
            raise InputError(
                f"{matrix.path}: the RPKM of a person sum to {np.median(sums):.4g} (median), those of a whole "
                f"transcriptome to over {LEAST_SUM_OF_RPKM}: is this a part of the genes? Give the whole table, or TPM "
                "that were made of it with --unit tpm"
            )
        if len(table) < FEW_GENES:
            logger.warning(
                "warning: %s has %d genes, and TPM are shares of them; is it the whole transcriptome?",
                matrix.path,
                len(table),
            )
    if np.nanmax(values, initial=0.0) < LARGEST_LOGARITHM:
        logger.warning(
            "warning: no value of %s is above %g; if these are logarithms already, use --unit other",
            matrix.path,
            LARGEST_LOGARITHM,
        )


def _check_estimable(matrix: Matrix, values: Floats, genes: pd.Index, components: int) -> None:
    """Refuse to estimate more than the people fitted on and the genes can tell."""
    n_fit, n_covariates = int(matrix.fit.sum()), len(matrix.covariates)
    most = min(n_fit - 2 - n_covariates, len(genes) - 1)
    if components > most:
        beside = f" beside {n_covariates} covariates" if n_covariates else ""
        raise InputError(
            f"--components {components}: {n_fit} people to fit on and {len(genes)} genes allow at most {max(most, 0)}"
            f"{beside}"
        )
    missing = ~np.isfinite(values)
    if components and missing.any():
        shown = pd.DataFrame(values, index=genes, columns=matrix.expression.columns)
        raise InputError(
            f"{matrix.path}: {missing.any(axis=1).sum()} of {len(genes)} genes are not measured in everyone (for "
            f"example {_cell(shown, missing)}), and components need every value; leave out those genes, or impute them"
        )
    if not n_covariates:
        return
    for rows, measured in measured_alike(values[:, matrix.fit]):
        design = matrix.design[matrix.fit][measured]
        if too_few(design):
            raise InputError(
                f"{matrix.path}: {len(design)} people to fit on have gene {genes[rows[0]]}: too few for "
                f"{n_covariates} covariates; leave out the gene"
            )
        dependent = first_dependent(design)
        if dependent is not None:
            raise InputError(
                f"{matrix.path}: covariate {matrix.covariates[dependent]!r} cannot be told from those before it in "
                f"the {len(design)} people to fit on who have gene {genes[rows[0]]}; leave out one of them"
            )


def _report(recipe: dict[str, Any], output: str) -> None:
    genes, people = recipe["genes"], recipe["individuals"]
    print(
        f"{genes['kept']} of {genes['given']} genes; {genes['dropped_mostly_zero']} were mostly zero, "
        f"{genes['dropped_without_variation']} did not vary"
    )
    dropped = people["dropped_without_covariates"]
    if dropped:
        print(f"left out without covariates: {len(dropped)} individuals ({_few(dropped)})")
    for step in recipe["steps"]:
        print(f"- {step}")
    shares = recipe["variance_shares_of_components"]
    if shares:
        print(f"variance of the components: {', '.join(f'{share:.1%}' for share in shares)}")
    projected = people["kept"] - recipe["fit"]["individuals"]
    print(f"fitted on {describe_fit(recipe)}" + (f", {projected} projected" if projected else ""))
    print(output, recipe_path(output), sep="\n")


def _cell(table: pd.DataFrame, chosen: Mask) -> str:
    """The first chosen cell, for a message."""
    row, column = np.argwhere(chosen)[0]
    return f"gene {table.index[row]}, individual {table.columns[column]} ({table.iloc[row, column]:g})"


def _few(labels: Iterable[Any], n: int = 3) -> str:
    """The first labels, for a message."""
    labels = [str(label) for label in labels]
    return ", ".join(labels[:n]) + (", …" if len(labels) > n else "")
