"""Predictions from weights that FUSION wrote, in another cohort or the same (Gusev et al. 2016)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from tqdm import tqdm

from analysis.baselines import measured_training_people
from analysis.dosage import dosages_of, fill_missing
from analysis.fusion_files import SITE_COLUMNS, sources_of
from analysis.labels import labels_of, unknown
from analysis.linear_models import Baselines, Collected, Model
from seqstore.contigs import reconcile
from seqstore.errors import InputError
from seqstore.expression import match_genes
from seqstore.genes import gene_ids, strip_version

FloatArray = npt.NDArray[np.float64]
WeightsPer = Literal["standardised", "allele"]

_COMPLEMENT = str.maketrans("ACGT", "TGCA")
ABSENT, SWAPPED, AMBIGUOUS, STRAND, CONSTANT = (
    "absent", "with swapped alleles", "strand-ambiguous", "on the other strand", "the same in all training people",
)  # fmt: skip


def predict_from_fusion(
    folder: str | Path,
    expression: xr.DataArray,
    variants: xr.Dataset,
    split: xr.DataArray,
    *,
    models: Sequence[str] | None = None,
    per: WeightsPer = "standardised",
) -> Baselines:
    """Predict every individual from imported weights (``fusion_files.sources_of``).

    Variants are matched by position and alleles, or by id where a file has no position; swapped alleles turn the
    weight's sign, alleles of the other strand are taken as theirs, and those that read the same on both strands (A/T,
    C/G) as they stand. The prediction is, as in the reference study, the training people's mean expression plus
    dosages @ weights: it is not scaled to the spread of expression. Of FUSION's ``top1``, which holds the z of every
    variant, the largest counts. A gene without weights is predicted to have its mean.

    Args:
        folder: of files of weights; genes are matched by label, id or name.
        expression: (gene, individual), NaN = not measured.
        variants: the store's variants.
        split: (gene, individual), 1 = train: their mean expression is the intercept, and they standardise dosages.
        models: names in the files; default all. In tables each is called ``fusion_MODEL``.
        per: what a weight is the effect of: a standard deviation of the dosage (FUSION), or an allele.

    Raises:
        InputError: no gene of the store has weights, a model is in none of the files, a file cannot be used, or as
            for ``measured_training_people``.
    """
    expression, fit = measured_training_people(expression, variants, split)
    genes = labels_of(expression, "gene")
    weights = _weights_of(folder, variants.sel(gene=genes))
    columns = dict.fromkeys(str(name) for table in weights.values() for name in table)
    found = [name for name in columns if name not in SITE_COLUMNS]
    for model in models or ():
        if model not in found:
            raise unknown("model", model, found)
    methods = {f"fusion_{model}": model for model in models or found}
    collected = Collected(list(methods), expression)
    trained = [gene for number, gene in enumerate(genes) if fit[number].any()]
    windows = dosages_of(variants, trained)
    for gene, window in tqdm(windows, total=len(trained), desc="genes", unit="gene", disable=None):
        number = genes.index(gene)
        table = weights.get(gene, pd.DataFrame(columns=SITE_COLUMNS))
        dosage = fill_missing(window["dosage"].values, fit[number])
        known = matched(table, window)
        mean = float(expression.values[number, fit[number]].mean())
        fitted = {}
        for method, model in methods.items():
            given = table[model].to_numpy() if model in table else np.zeros(len(table))
            fitted[method] = _model(model, given, known, dosage, fit[number], mean, per)
        predicted = np.stack([dosage @ model.weights + model.intercept for model in fitted.values()])
        collected.add(number, window, fitted, predicted)
    return collected.baselines()


def matched(table: pd.DataFrame, window: xr.Dataset) -> pd.DataFrame:
    """For each row of a gene's weights: ``variant``, its number in the window or -1; ``sign`` of ALT; ``notes``."""
    at: dict[object, list[int]] = {}
    for number, (name, position) in enumerate(
        zip(labels_of(window, "variant_id"), window["position"].values.tolist(), strict=True)
    ):
        at.setdefault(position, []).append(number)
        at.setdefault(name, []).append(number)
    contigs, refs, alts = (labels_of(window, name) for name in ("contig", "ref", "alt"))
    rows = []
    for name, contig, position, effect, other in table[SITE_COLUMNS].itertuples(index=False):
        found: tuple[int, float, tuple[str, ...]] = (-1, 0.0, (ABSENT,))
        for number in at.get(position if position >= 0 else name, ()):
            if contig and reconcile(contig, [contigs[number]]) is None:
                continue
            ref, alt = refs[number], alts[number]
            notes: tuple[str, ...] = ()
            turned = [allele.translate(_COMPLEMENT)[::-1] for allele in (ref, alt)]
            if turned[0] == alt:
                notes = (AMBIGUOUS,)
            elif {effect, other} == set(turned):
                (ref, alt), notes = turned, (STRAND,)
            if (effect, other) == (alt, ref):
                found = number, 1.0, notes
            elif (effect, other) == (ref, alt):
                found = number, -1.0, (*notes, SWAPPED)
        rows.append(found)
    return pd.DataFrame(rows, columns=["variant", "sign", "notes"])


def _model(
    model: str,
    given: FloatArray,
    known: pd.DataFrame,
    dosage: FloatArray,
    fit: npt.NDArray[np.bool_],
    mean: float,
    per: WeightsPer,
) -> Model:
    """The weights ``given`` for the rows of ``known``, per ALT allele of the window's variants."""
    weight = np.where(np.isfinite(given), given, 0.0)
    if model == "top1" and len(weight):
        weight[np.arange(len(weight)) != np.abs(weight).argmax()] = 0.0
    used = weight != 0
    notes = Counter(note for notes in known.loc[used, "notes"] for note in notes)
    n_given = int(used.sum())
    used &= known["variant"].to_numpy() >= 0
    weights = np.zeros(dosage.shape[1])
    variant = known["variant"].to_numpy()[used].astype(np.int64)
    np.add.at(weights, variant, weight[used] * known["sign"].to_numpy()[used])
    centre, scale = dosage[fit].mean(axis=0), dosage[fit].std(axis=0)
    varies = scale > 1e-9
    notes[CONSTANT] = int(np.count_nonzero(weights[~varies]))
    weights = np.where(varies, weights / np.where(varies & (per == "standardised"), scale, 1.0), 0.0)
    note = ", ".join(f"{count} {what}" for what, count in notes.items() if count)
    return Model(
        weights,
        float(mean - centre @ weights),
        int(fit.sum()),
        n_given,
        f"of {n_given} variants {note}" if note else "" if n_given else "no weights",
    )


def _weights_of(folder: str | Path, variants: xr.Dataset) -> dict[str, pd.DataFrame]:
    """The weights of the genes of a store that have any, by the gene's label there."""
    sources = sources_of(folder)
    labels = labels_of(variants, "gene")
    coords = {str(name): coord for name, coord in variants.coords.items() if coord.dims == ("gene",)}
    genes = pd.DataFrame({name: coord.values for name, coord in coords.items()})
    names = genes["gene_name"].astype(str).tolist() if "gene_name" in genes else labels
    files = list(sources)
    rows = match_genes(
        labels, names, pd.Index([strip_version(name) for name in files]), folder, gene_ids(genes)
    )
    found = {label: sources[files[row]] for label, row in zip(labels, rows, strict=True) if row >= 0}
    if not found:
        raise InputError(f"{folder}: none of its {len(files)} genes ({files[0]}, ...) is one of the store's")
    progress = tqdm(found.items(), desc="weights", unit="gene", disable=None)
    return {label: pd.concat([read() for read in readers], ignore_index=True) for label, readers in progress}
