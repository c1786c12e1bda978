"""The store on disk: its arrays, their dimensions and chunks (described in docs/format.md)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr

from seqstore.codec import WindowCodec
from seqstore.errors import InputError
from seqstore.tables import as_coordinate

if TYPE_CHECKING:
    from seqstore.plan import Plan

FORMAT_NAME = "seqstore"
FORMAT_VERSION = 1
#: Individuals in one chunk of windows or genotypes, and variants in one chunk of genotypes.
INDIVIDUALS_IN_CHUNK = 512
VARIANTS_IN_CHUNK = 1024
#: Variants in one chunk of what describes them.
SITES_IN_CHUNK = 65_536

#: Columns of a plan's genes that are stored as data variables, not as coordinates.
_VARIABLES_OF_GENE = ("gene_variant_start", "gene_variant_stop", "covered")
_PER_HAPLOTYPE = {
    "haplotype_id": "which distinct window of its gene this is, in first-seen order; -1 = no such haplotype",
    "variants_applied": "records of the window whose allele was put into the sequence",
    "variants_skipped": "records of the window that the overlap rule or their kind of allele left out",
    "genotypes_missing": "records of the window without a call",
}
#: Names that a column of the gene or sample table cannot have besides its known ones.
RESERVED = (
    "assay",
    "gene",
    "individual",
    "haplotype",
    "byte",
    "reference_byte",
    "variant",
    "allele",
    "haplotype_sequence",
    "reference_sequence",
    "expression",
    "built",
    "variants",
    "splits",
    "window_start",
    "reference_contig",
    "genotype_contig",
    *_PER_HAPLOTYPE,
    *_VARIABLES_OF_GENE,
)


def create_store(path: str | Path, plan: Plan) -> None:
    """Write everything but genotypes and windows: a store that `build` can fill, unfinished.

    It appears under its name only when all of it is written.
    """
    path = Path(path)
    aside = path.with_name(path.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    coordinates = _root_coordinates(plan)
    root = xr.Dataset(
        {
            "expression": (("assay", "gene", "individual"), plan.expression),
            "covered": ("gene", plan.genes["covered"].to_numpy(np.float32)),
        },
        coords=coordinates,
    )
    root.to_zarr(aside, mode="w", zarr_format=3, consolidated=False)
    sites = _variant_sites(plan)
    # Tasks read a few thousand sites each: in one chunk, every task would decode those of the whole genome.
    chunks = {
        name: {"chunks": (min(SITES_IN_CHUNK, max(len(plan.sites), 1)), *array.shape[1:])}
        for name, array in sites.items()
        if array.dims[0] == "variant"
    }
    sites.to_zarr(aside, group="variants", mode="a", zarr_format=3, consolidated=False, encoding=chunks)
    group: Any = zarr.open_group(aside, mode="r+")
    _create_window_arrays(group, plan)
    _create_genotype_arrays(group["variants"], plan)
    group.create_group("splits")
    attributes = _attributes(plan)
    group.attrs.update(attributes | {"coordinates": _names(coordinates), "status": "building"})
    aside.rename(path)


def identity_of_build(plan_config: Any, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """What makes two builds the same: the config but for where and how fast it runs, and the inputs."""
    config = {
        key: value
        for key, value in dataclasses.asdict(plan_config).items()
        if key not in ("store", "workers", "min_covered", "require_all")
    }
    return {"config": config, "inputs": inputs}


def attributes_of(path: str | Path) -> dict[str, Any] | None:
    """The root attributes of a store, finished or not; None where there is no Zarr group."""
    if not (Path(path) / "zarr.json").is_file():
        return None
    return dict(zarr.open_group(path, mode="r").attrs)


def fingerprint(attributes: dict[str, Any]) -> str:
    """SHA-256 of what a store was built from; two stores with one fingerprint hold the same data."""
    identity = {key: attributes[key] for key in ("format_version", "config", "inputs")}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _attributes(plan: Plan) -> dict[str, Any]:
    config = plan.config
    attributes = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "length": config.length,
        "reference_margin": config.reference_margin,
        **identity_of_build(config, plan.inputs),
        "policies": {
            "variants": config.variants,
            "missing": config.missing,
            "unphased": config.unphased,
            "filter": config.filter,
            "overlap": "bcftools consensus",
            "strand": "+",
        },
        "reconciled": plan.reconciled,
        "versions": {
            name: version(name) for name in ("seqstore", "zarr", "xarray", "zstandard", "cyvcf2", "pyfaidx")
        },
    }
    return attributes | {"fingerprint": fingerprint(attributes)}


def _root_coordinates(plan: Plan) -> dict[str, tuple[str, np.ndarray]]:
    genes = plan.genes.drop(columns=list(_VARIABLES_OF_GENE))
    labels = plan.individuals.index.to_series()
    return {
        "assay": ("assay", np.array(list(plan.config.assays), dtype=object)),
        **{coordinate_name(str(column)): ("gene", as_coordinate(genes[column])) for column in genes},
        "individual": ("individual", as_coordinate(labels)),
        **{
            coordinate_name(str(column)): ("individual", as_coordinate(plan.individuals[column]))
            for column in plan.individuals
        },
    }


def coordinate_name(column: str) -> str:
    """A table's column as the name of a coordinate: Zarr and the ``coordinates`` attribute split at these."""
    return column.replace(" ", "_").replace("/", "_")


def refuse_reserved(columns: Iterable[str], path: str | Path, taken: Iterable[str] = ()) -> None:
    """Raise an InputError if a table's further column would hide an array or a coordinate of the store."""
    names = set(RESERVED) | {coordinate_name(name) for name in taken}
    for column in columns:
        name = coordinate_name(column)
        if name in names:
            raise InputError(
                f"{path}: the column {column!r} has a name that the store uses for something else; rename it"
            )
        names.add(name)


def _names(coordinates: dict[str, tuple[str, np.ndarray]]) -> str:
    """Coordinates that are not dimensions, in the form in which xarray finds them again."""
    return " ".join(name for name, (dimension, _) in coordinates.items() if name != dimension)


def _variant_sites(plan: Plan) -> xr.Dataset:
    sites = plan.sites
    n_alleles = max((len(alleles) for alleles in sites.alleles), default=2)
    alleles = np.full((len(sites), n_alleles), "", dtype=object)
    for row, texts in zip(alleles, sites.alleles, strict=True):
        row[: len(texts)] = texts
    return xr.Dataset(
        {
            "variant_contig": ("variant", np.array(sites.contig, dtype=object)),
            "variant_position": (
                "variant",
                np.array(sites.position, dtype=np.int32),
                {"description": "1-based"},
            ),
            "variant_id": ("variant", np.array(sites.id, dtype=object)),
            "variant_allele": (
                ("variant", "allele"),
                alleles,
                {"description": "REF first; '' = no such allele"},
            ),
            "gene_variant_start": ("gene", plan.genes["gene_variant_start"].to_numpy()),
            "gene_variant_stop": ("gene", plan.genes["gene_variant_stop"].to_numpy()),
        }
    )


def _create_window_arrays(group: zarr.Group, plan: Plan) -> None:
    n_genes, n_individuals, length = len(plan.genes), len(plan.individuals), plan.config.length
    block = min(INDIVIDUALS_IN_CHUNK, n_individuals)
    group.create_array(
        "haplotype_sequence",
        shape=(n_genes, n_individuals, 2, length // 2),
        chunks=(1, block, 2, length // 2),
        dtype="uint8",
        serializer=WindowCodec(),
        compressors=None,
        filters=None,
        fill_value=0,
        dimension_names=("gene", "individual", "haplotype", "byte"),
        attributes={
            "description": "bit-packed one-hot window, 4 bits a base: A=1 C=2 G=4 T=8, N=0, low nibble first"
        },
    )
    for name, description in _PER_HAPLOTYPE.items():
        group.create_array(
            name,
            shape=(n_genes, n_individuals, 2),
            chunks=(1, n_individuals, 2),
            dtype="int32",
            fill_value=-1,
            dimension_names=("gene", "individual", "haplotype"),
            attributes={"description": description},
        )
    reference_bytes = length // 2 + plan.config.reference_margin
    group.create_array(
        "reference_sequence",
        shape=(n_genes, reference_bytes),
        chunks=(1, reference_bytes),
        dtype="uint8",
        fill_value=0,
        dimension_names=("gene", "reference_byte"),
        attributes={
            "description": "the reference window with reference_margin bases on each side, packed alike"
        },
    )
    _create_flags(group, n_genes, "gene")


def _create_genotype_arrays(group: zarr.Group, plan: Plan) -> None:
    n_variants, n_individuals = len(plan.sites), len(plan.individuals)
    group.create_array(
        "call_genotype",
        shape=(n_variants, n_individuals, 2),
        chunks=(min(VARIANTS_IN_CHUNK, max(n_variants, 1)), min(INDIVIDUALS_IN_CHUNK, n_individuals), 2),
        dtype="int8",
        fill_value=-1,
        dimension_names=("variant", "individual", "haplotype"),
        attributes={"description": "allele index; -1 = missing"},
    )
    _create_flags(group, -(-n_variants // VARIANTS_IN_CHUNK), "variant_block")


def _create_flags(group: zarr.Group, n: int, dimension: str) -> None:
    group.create_array(
        "built",
        shape=(n,),
        chunks=(1,),
        dtype="bool",
        fill_value=False,
        dimension_names=(dimension,),
        attributes={
            "description": "written last by the task that fills this part; for resuming a build only"
        },
    )
