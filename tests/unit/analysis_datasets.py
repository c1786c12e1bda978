"""Small in-memory stores with the layout of docs/format.md, for the tests of analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

LENGTH = 1000


def store_of(
    contigs: Sequence[str],
    n_people: int,
    *,
    expression: npt.NDArray[np.floating] | None = None,
    tss: Sequence[int] | None = None,
    populations: Sequence[str] = ("EURO", "AFRI"),
) -> xr.Dataset:
    """The root of a store: one gene a contig entry, people alternating between two populations."""
    n_genes = len(contigs)
    sites = np.asarray(tss if tss is not None else [10_000 * (1 + i) for i in range(n_genes)])
    values = np.zeros((n_genes, n_people)) if expression is None else expression
    population = np.array([populations[i % len(populations)] for i in range(n_people)], dtype=object)
    return xr.Dataset(
        {"expression": (("assay", "gene", "individual"), values[None].astype(np.float32))},
        coords={
            "assay": np.array(["LCL"], dtype=object),
            "gene": np.array([f"gene{i}" for i in range(n_genes)], dtype=object),
            "contig": ("gene", np.array(contigs, dtype=object)),
            "tss": ("gene", sites),
            "window_start": ("gene", sites - 1 - LENGTH // 2),
            "individual": np.array([f"person{i:03d}" for i in range(n_people)], dtype=object),
            "population": ("individual", population),
            "superpopulation": ("individual", np.array([p[:3] for p in population], dtype=object)),
        },
        attrs={"length": LENGTH, "fingerprint": "f" * 64},
    )


def variants_of(
    store: xr.Dataset,
    calls: npt.NDArray[np.int8],
    positions: Sequence[int],
    alleles: Sequence[Sequence[str]],
    spans: Sequence[tuple[int, int]],
    skipped: npt.NDArray[np.bool_] | None = None,
) -> xr.Dataset:
    """The variants of ``store``: ``calls`` (variant, individual, 2), and each gene's (start, stop) records.

    ``skipped``, like ``calls``, says which alleles are not in the sequences; None = all are.
    """
    width = max(len(texts) for texts in alleles)
    padded = [[*texts, *[""] * (width - len(texts))] for texts in alleles]
    return xr.Dataset(
        {
            "variant_contig": ("variant", np.array(["chr1"] * len(positions), dtype=object)),
            "variant_position": ("variant", np.array(positions, dtype=np.int32)),
            "variant_id": ("variant", np.array([f"rs{i}" for i in range(len(positions))], dtype=object)),
            "variant_allele": (("variant", "allele"), np.array(padded, dtype=object)),
            "call_genotype": (("variant", "individual", "haplotype"), calls),
            "call_skipped": (
                ("variant", "individual", "haplotype"),
                np.zeros(calls.shape, dtype=bool) if skipped is None else skipped,
            ),
            "gene_variant_start": ("gene", np.array([start for start, _ in spans])),
            "gene_variant_stop": ("gene", np.array([stop for _, stop in spans])),
        },
        coords=store.drop_dims("assay").coords,
    )


def random_cohort(
    n_genes: int = 3, n_people: int = 120, n_variants: int = 20, *, effect: float = 0.8, seed: int = 0
) -> tuple[xr.Dataset, xr.Dataset, npt.NDArray[np.int64]]:
    """A store and its variants, and the number within its window of each gene's one causal variant.

    Neighbouring variants are in linkage disequilibrium; ``effect`` is in units of expression per ALT
    allele, beside noise of deviation 1.
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n_genes, n_variants, n_people, 2))
    for number in range(1, n_variants):
        latent[:, number] = 0.6 * latent[:, number - 1] + 0.8 * latent[:, number]
    cut = rng.uniform(-1.2, 1.2, size=(n_genes, n_variants, 1, 1))
    calls = (latent > cut).astype(np.int8).reshape(n_genes * n_variants, n_people, 2)
    causal = rng.integers(n_variants, size=n_genes)
    dosage = calls.sum(axis=-1).reshape(n_genes, n_variants, n_people)
    expression = 5 + effect * dosage[np.arange(n_genes), causal] + rng.normal(size=(n_genes, n_people))
    store = store_of(["chr1"] * n_genes, n_people, expression=expression)
    positions = [int(tss) + 10 * v - 5 * n_variants for tss in store["tss"].values for v in range(n_variants)]
    spans = [(g * n_variants, (g + 1) * n_variants) for g in range(n_genes)]
    alleles = [("A", "G")] * (n_genes * n_variants)
    return store, variants_of(store, calls, positions, alleles, spans), causal


def save_store(path: Path, store: xr.Dataset, variants: xr.Dataset) -> Path:
    """Write what analysis reads of a finished store: everything but the windows."""
    coordinates = [str(name) for name in store.coords if name not in store.dims]
    root = store.assign(built=("gene", np.ones(store.sizes["gene"], dtype=bool)))
    root.attrs |= {
        "format": "seqstore",
        "format_version": 1,
        "status": "complete",
        "coordinates": " ".join(coordinates),
        **{key: {} for key in ("config", "inputs", "policies", "reconciled")},
        "expression_recipe": store.attrs.get("expression_recipe", {}),
    }
    sites = variants.drop_vars(variants.coords).assign(built=("variant_block", np.ones(1, dtype=bool)))
    with zarr.config.set({"array.write_empty_chunks": True}):
        root.drop_encoding().to_zarr(path, zarr_format=3, consolidated=False)
        sites.to_zarr(path, group="variants", mode="a", zarr_format=3, consolidated=False)
    zarr.open_group(path, mode="r+").create_group("splits")
    return path
