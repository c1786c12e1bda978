"""Expression predicted from ancestry alone: what a model must beat before it can be said to know about variants.

Where test people come from several populations, or from one that did not train, anything that tells populations apart
predicts the differences between them. `predict_from_ancestry` does it by genotype principal components, of the
variants of all windows together.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import xarray as xr
from tqdm import tqdm

from analysis.dosage import fill_missing
from analysis.labels import labels_of
from seqstore.errors import InputError
from seqstore.genotypes import ABSENT, MISSING
from seqstore.splits import TRAIN

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

N_COMPONENTS = 10
PEOPLE_PER_COMPONENT = 10  # a gene with fewer training people is given fewer components
MAX_R2 = 0.2  # of two variants that both count
NEIGHBOURS = 50  # earlier variants of the contig that a variant is compared with
RECORDS_AT_ONCE = 4096


def genotype_components(
    variants: xr.Dataset, fit: npt.ArrayLike, *, n_components: int = N_COMPONENTS, maf: float = 0.05
) -> xr.DataArray:
    """Principal components of the genotypes of a store's variants.

    Frequencies, linkage disequilibrium, standardisation and axes are those of the ``fit`` people; everybody
    is projected on these axes. Of a record the first ALT allele counts. Variants are thinned as PLINK's
    ``--indep-pairwise`` does: one is left out if its r2 with one of the last ``NEIGHBOURS`` kept ones of
    its contig is above ``MAX_R2``. Source: Price et al. 2006 (doi 10.1038/ng1847).

    Args:
        variants: the store's variants (``open_variants``).
        fit: (individual,), true for the people who define the components.
        n_components: at most so many; there are fewer where people or variants are.
        maf: smallest minor allele frequency among the ``fit`` people.

    Returns:
        (individual, component) float64, of variance 1 and mean 0 among the ``fit`` people.

    Raises:
        InputError: fewer than two people, or no common variant that varies.
    """
    fit = np.asarray(fit, dtype=bool)
    if fit.sum() < 2:
        raise InputError(f"principal components need at least 2 training people; there are {fit.sum()}")
    kept = list(_thinned(variants, fit, maf))
    if not kept:
        raise InputError(f"principal components need variants with MAF >= {maf:g} among training people")
    genotype = np.stack(kept, axis=1)
    _, singular, axes = np.linalg.svd(genotype[fit], full_matrices=False)
    rank = int((singular > 1e-8 * singular[0]).sum())
    n = min(n_components, rank)
    scores = genotype @ axes[:n].T / singular[:n] * np.sqrt(fit.sum())
    return xr.DataArray(
        scores * np.where(axes[:n].sum(axis=1) < 0, -1, 1),  # the sign is nobody's: the same on every machine
        dims=("individual", "component"),
        coords={"individual": labels_of(variants, "individual"), "component": np.arange(1, n + 1)},
    )


def predict_by_components(components: FloatArray, expression: FloatArray, train: BoolArray) -> FloatArray:
    """Expression (individual,) of one gene, predicted by least squares on components (individual, component).

    Fitted on the ``train`` people whose expression is not NaN, with an intercept. Only the first n / 10 components
    count if there are n people (``PEOPLE_PER_COMPONENT``), so that with very few it is their mean; all NaN
    if there is nobody.
    """
    fit = train & np.isfinite(expression)
    n = int(fit.sum())
    if not n:
        return np.full(len(expression), np.nan)
    design = np.ones((len(expression), 1 + min(components.shape[1], n // PEOPLE_PER_COMPONENT)))
    design[:, 1:] = components[:, : design.shape[1] - 1]
    prediction: FloatArray = design @ np.linalg.lstsq(design[fit], expression[fit], rcond=None)[0]
    return prediction


def predict_from_ancestry(
    expression: xr.DataArray,
    variants: xr.Dataset,
    split: xr.Dataset,
    *,
    n_components: int = N_COMPONENTS,
    maf: float = 0.05,
) -> xr.DataArray:
    """Expression (gene, individual) float32 of every gene, predicted by genotype principal components.

    Components are those of the people who train any gene of the gene's class: its training people, unless the split
    was drawn for each gene. Then they have seen genotypes (no expression) of people who test the gene; the
    regression is on the gene's own training people always. NaN where a gene was not trained.

    Args:
        expression: (gene, individual), NaN = not measured (``expression_of``).
        variants: the store's variants.
        split: ``split`` (gene, individual) and ``gene_class`` (gene), of ``open_split``.
        n_components: at most so many components.
        maf: smallest minor allele frequency among the people who define the components.
    """
    train = split["split"].transpose("gene", "individual").values == TRAIN
    classes = np.array(labels_of(split, "gene_class"))
    values = expression.transpose("gene", "individual")
    predicted = np.full(values.shape, np.nan, dtype=np.float32)
    found: dict[bytes, FloatArray] = {}
    for gene_class in dict.fromkeys(classes[train.any(axis=1)]):
        members = np.flatnonzero(classes == gene_class)
        fit = train[members].any(axis=0)
        if fit.tobytes() not in found:
            found[fit.tobytes()] = genotype_components(
                variants, fit, n_components=n_components, maf=maf
            ).values
        for gene in members:
            predicted[gene] = predict_by_components(found[fit.tobytes()], values.values[gene], train[gene])
    return values.copy(data=predicted)


def _thinned(variants: xr.Dataset, fit: BoolArray, maf: float) -> Iterator[FloatArray]:
    """Standardised dosages (individual,) of the variants that count, one after the other."""
    contigs = np.array(labels_of(variants, "variant_contig"))
    calls = variants["call_genotype"].transpose("variant", "individual", "haplotype")
    n_fit, contig = int(fit.sum()), ""
    window = np.zeros((NEIGHBOURS, n_fit))
    place = 0
    starts = range(0, len(contigs), RECORDS_AT_ONCE)
    for start in tqdm(starts, desc="components", unit="block", disable=None):
        block = calls[start : start + RECORDS_AT_ONCE].values
        dosage = (block == 1).sum(axis=-1).astype(np.float64)
        dosage[block[..., 1] == ABSENT] *= 2  # a haploid call, as if homozygous
        dosage[(block == MISSING).any(axis=-1)] = np.nan
        filled = fill_missing(dosage.T, fit)
        centre, scale = filled[fit].mean(axis=0), filled[fit].std(axis=0)
        common = (np.minimum(centre, 2 - centre) / 2 >= maf) & (scale > 1e-9)
        for record in np.flatnonzero(common):
            standardised = (filled[:, record] - centre[record]) / scale[record]
            if contigs[start + record] != contig:
                contig = contigs[start + record]
                window[:] = 0
            correlation = window @ standardised[fit] / n_fit
            if (correlation**2).max() <= MAX_R2:
                window[place % NEIGHBOURS] = standardised[fit]
                place += 1
                yield standardised
