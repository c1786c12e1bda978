"""Genotype dosages of a gene's window: what linear models predict from."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from seqstore.genotypes import ABSENT, MISSING


def dosage_of(
    variants: xr.Dataset, gene: str, *, length: int | None = None, haploid: Literal[1, 2] = 2
) -> xr.Dataset:
    """Copies of every ALT allele that each individual carries in a gene's window.

    Args:
        variants: the store's variants (``seqstore.open_variants``).
        gene: the gene's label.
        length: bases of a narrower window round the TSS (even); default the window as built. A record
            counts if its POS lies inside, as for the stored window.
        haploid: what the ALT allele of a haploid call counts: 2 as if homozygous (men on X beside women with
            one X inactive), or 1.

    Returns:
        ``dosage`` (individual, variant) float32 in 0..2, NaN where a call is missing, with the coordinates
        ``variant_id``, ``contig``, ``position`` (1-based), ``ref`` and ``alt``, and ``n_skipped``: how many
        haplotypes carry an ALT allele of the record that is not in their sequence (see docs/format.md). A
        record with several ALT alleles is several variants.

    Raises:
        ValueError: ``length`` is no length of a window.
    """
    if length is not None and (length < 2 or length % 2):
        raise ValueError(f"length: {length} is not a positive even number of bases")
    number = variants.indexes["gene"].get_loc(gene)
    start, stop = (int(variants[f"gene_variant_{end}"][number]) for end in ("start", "stop"))
    records = variants.isel(variant=slice(start, stop))
    if length is not None:
        window_start = int(variants["tss"][number]) - 1 - length // 2
        offset = records["variant_position"].values - 1 - window_start
        records = records.isel(variant=(offset >= 0) & (offset < length))
    alleles = records["variant_allele"].values.astype(object)
    record, allele = np.nonzero(alleles[:, 1:] != "")
    calls = records["call_genotype"].transpose("variant", "individual", "haplotype").values[record]
    carried = calls == (allele + 1)[:, None, None]
    dosage = carried[..., 0].astype(np.float32) + carried[..., 1]
    dosage[calls[..., 1] == ABSENT] *= haploid
    dosage[(calls[..., 0] == MISSING) | (calls[..., 1] == MISSING)] = np.nan
    skipped = records["call_skipped"].transpose("variant", "individual", "haplotype").values[record]
    n_skipped = (skipped & carried).sum(axis=(1, 2))
    return xr.Dataset(
        {"dosage": (("individual", "variant"), dosage.T)},
        coords={
            "individual": variants["individual"],
            "variant_id": ("variant", records["variant_id"].values.astype(object)[record]),
            "contig": ("variant", records["variant_contig"].values.astype(object)[record]),
            "position": ("variant", records["variant_position"].values[record]),
            "ref": ("variant", alleles[record, 0]),
            "alt": ("variant", alleles[record, allele + 1]),
            "n_skipped": ("variant", n_skipped),
        },
    )
