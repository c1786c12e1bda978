"""Cis-heritability of every gene: the share of variance of its expression that the variants of its window explain.

The ceiling of what any model of the window's common variants can predict: a linear one's r is at most
h = sqrt(h2) on average.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from tqdm import tqdm

from analysis.dosage import fill_missing
from analysis.labels import labels_of
from analysis.reml import Reml, reml
from seqstore.dosage import dosage_of
from seqstore.splits import GENE_CLASSES, TEST, TRAIN

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
People = Literal["all", "train", "test"]
VariantsOf = Literal["same", "train"]

MIN_PEOPLE = 10  # measured, fewer say nothing about variance
COLUMNS = ["gene", "gene_class", "n_people", "n_variants", "h2", "se", "p", "converged", "note"]


def heritability(
    expression: xr.DataArray,
    variants: xr.Dataset,
    split: xr.Dataset,
    *,
    people: People = "all",
    variants_of: VariantsOf = "same",
    maf: float = 0.05,
    length: int | None = None,
    constrained: bool = False,
    study: bool = False,
) -> pd.DataFrame:
    """Cis-GREML of every gene (``analysis.reml``).

    The study's three settings are ``people="all"``; ``people="test"``; and ``people="test"`` with
    ``variants_of="train"``.

    Args:
        expression: (gene, individual), NaN = not measured (``expression_of``).
        variants: the store's variants.
        split: ``split`` (gene, individual) and ``gene_class`` (gene), of ``open_split``.
        people: whose expression: of everybody, or of the gene's training or test people.
        variants_of: in whom a variant must have ``maf`` to count: in the same people, or in training people.
        maf: smallest minor allele frequency.
        length: bases of a narrower window round the TSS; default the window as built.
        constrained: keep h2 within 0 and 1; otherwise it may be negative, and its mean over genes is unbiased.
        study: give a gene without an estimate h2, se and p of 0, as the tables of the study and FUSION do,
            instead of NaN.

    Returns:
        ``COLUMNS``, a row a gene. ``n_variants`` have the MAF and vary among the people. ``converged`` is
        false, and ``note`` says why, where there is no estimate.
    """
    genes = labels_of(expression, "gene")
    roles = split["split"].transpose("gene", "individual").values
    measured = np.isfinite(expression.transpose("gene", "individual").values)
    rows = []
    for number, gene in enumerate(tqdm(genes, desc="genes", unit="gene", disable=None)):
        chosen = measured[number] & _who(roles[number], people)
        judged = chosen if variants_of == "same" else measured[number] & (roles[number] == TRAIN)
        values = expression.values[number, chosen]
        fitted, n_variants = None, 0
        note = _too_few(chosen, judged)
        if not note:
            dosage = dosage_of(variants, gene, length=length)["dosage"].values
            genotype = _common(dosage, chosen, judged, maf)
            n_variants = genotype.shape[1]
            note = _nothing_to_explain(genotype, values, maf)
            if not note:
                fitted = reml(genotype, values, constrained=constrained)
                note = "" if fitted.converged else "no maximum of the likelihood"
        found = _numbers(fitted, study)
        rows.append((gene, "", int(chosen.sum()), n_variants, *found, not note, note))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(gene_class=labels_of(split, "gene_class"))


def mean_by_class(table: pd.DataFrame) -> pd.DataFrame:
    """The mean of h = sqrt(max(h2, 0)) and of h2 by gene class, as the study's ceiling is computed.

    Genes without an estimate (NaN) are left out and counted; those that study mode made 0 count as 0.

    Returns:
        gene_class, genes, failed, mean_h, mean_h2, significant (genes with p < 0.05).
    """
    rows = []
    for gene_class in GENE_CLASSES:
        of_class = table[table["gene_class"] == gene_class]
        if len(of_class):
            h2 = of_class["h2"].dropna()
            significant = int((of_class["converged"] & (of_class["p"] < 0.05)).sum())
            failed = int((~of_class["converged"]).sum())
            h = float(np.sqrt(np.maximum(h2, 0)).mean())
            rows.append((gene_class, len(of_class), failed, h, float(h2.mean()), significant))
    return pd.DataFrame(rows, columns=["gene_class", "genes", "failed", "mean_h", "mean_h2", "significant"])


def _who(roles: npt.NDArray[np.int8], people: People) -> BoolArray:
    if people == "all":
        return np.ones(len(roles), dtype=bool)
    return np.asarray(roles == (TRAIN if people == "train" else TEST))


def _too_few(chosen: BoolArray, judged: BoolArray) -> str:
    if chosen.sum() < MIN_PEOPLE:
        return f"only {chosen.sum()} people"
    return "" if judged.any() else "no training people whose variants to take"


def _nothing_to_explain(genotype: FloatArray, expression: FloatArray, maf: float) -> str:
    if not genotype.shape[1]:
        return f"no variant with MAF >= {maf:g}"
    constant = expression.std() <= 1e-9 * max(1.0, float(np.abs(expression).max()))
    return "expression does not vary" if constant else ""


def _common(dosage: npt.NDArray[np.floating], chosen: BoolArray, judged: BoolArray, maf: float) -> FloatArray:
    """Genotypes (individual, variant) of the chosen people, standardised, that are common in the judged ones."""
    frequency = fill_missing(dosage, judged)[judged].mean(axis=0) / 2
    genotype = fill_missing(dosage, chosen)[chosen]
    centre, scale = genotype.mean(axis=0), genotype.std(axis=0)
    kept = (np.minimum(frequency, 1 - frequency) >= maf) & (scale > 1e-9)
    standardised: FloatArray = (genotype[:, kept] - centre[kept]) / scale[kept]
    return standardised


def _numbers(fitted: Reml | None, study: bool) -> tuple[float, float, float]:
    """h2, its standard error and p."""
    if fitted is None or not fitted.converged:
        return (0.0, 0.0, 0.0) if study else (np.nan, np.nan, np.nan)
    return fitted.h2, fitted.se, fitted.p
