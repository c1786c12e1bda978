"""The store on disk: its arrays, their dimensions and chunks (described in docs/format.md)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec
from zarr.core.common import JSON

from seqstore.codec import WindowCodec
from seqstore.errors import InputError
from seqstore.locations import failures_named, files_below, place_of, read, remove
from seqstore.tables import as_coordinate

if TYPE_CHECKING:
    from seqstore.plan import Plan

FORMAT_NAME = "seqstore"
#: Of every array but the windows, whose codec has checksums of its own.
COMPRESSORS = (ZstdCodec(level=0, checksum=True),)
FORMAT_VERSION = 2
#: Individuals in one chunk of windows or genotypes, and variants in one chunk of genotypes.
INDIVIDUALS_IN_CHUNK = 512
VARIANTS_IN_CHUNK = 1024
#: Genes in one chunk of what is small for each gene, and in one task that writes windows.
GENES_IN_CHUNK = 8
#: Variants in one chunk of what describes them, and in one task that writes variants.
SITES_IN_CHUNK = 8 * VARIANTS_IN_CHUNK

#: Columns of a plan's genes that are stored as data variables, not as coordinates.
_VARIABLES_OF_GENE = {
    "covered": "share of the window within the span of the contig's records",
    "reach_start": "first reference base (0-based) that any haplotype's window is made of",
    "reach_stop": "end of the reference bases that any haplotype's window is made of",
    "tss_deleted": "haplotypes on which the TSS base is deleted; the next base to the right stands in for it",
}
_ROWS_OF_GENE = {
    "gene_variant": "records with POS in the gene's reference window",
    "gene_record": "records that the gene's windows are made with",
}
_PER_HAPLOTYPE = {
    "haplotype_id": "which distinct window of its gene this is, in first-seen order; -1 = no such haplotype",
    "variants_applied": "records of the window whose allele was put into the sequence",
    "variants_skipped": "records of the window that the overlap rule or their kind of allele left out",
    "genotypes_missing": "records of the window without a call",
}
#: Columns that name something.
_LABELS = ("gene", "gene_name", "contig", "strand", "reference_contig", "genotype_contig", "individual")
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
    "pseudoautosomal",
    "spool",
    *_PER_HAPLOTYPE,
    *_VARIABLES_OF_GENE,
)


def begin_store(path: str, plan: Plan) -> None:
    """Write an empty store: what it will be made of, and that it is not finished. It is one file."""
    zarr.create_group(path, attributes=_attributes(plan) | {"status": "scanning"})


def create_arrays(path: str, plan: Plan, genes: pd.DataFrame, n_variants: int, n_alleles: int) -> None:
    """Write everything but variants and windows, for which empty arrays are made.

    ``genes`` are the plan's with the columns of `seqstore.reach.placed`, whose rows are the store's variants.
    """
    # What a run that was stopped here has left: arrays are written in several steps.
    for name in {file.split("/")[0] for file in files_below(path)} - {"zarr.json", "spool"}:
        remove(f"{path}/{name}")
    coordinates = _root_coordinates(plan)
    root = xr.Dataset(
        {
            "expression": (("assay", "gene", "individual"), plan.expression),
            **{
                name: (
                    "gene",
                    genes[name].to_numpy(np.float32 if name == "covered" else np.int64),
                    _about(text),
                )
                for name, text in _VARIABLES_OF_GENE.items()
            },
        },
        coords=coordinates,
        attrs=attributes_of(path),  # xarray writes them anew, and without them this would be no store
    )
    # A chunk of zeros is written like any other: one that is not there is one that was lost.
    with zarr.config.set({"array.write_empty_chunks": True}):
        root.to_zarr(path, mode="a", zarr_format=3, consolidated=False, encoding=encoding_of(root))
    rows_of_genes = xr.Dataset(
        {
            f"{name}_{end}": ("gene", genes[f"{name.removeprefix('gene_')}_{end}"].to_numpy(), _about(text))
            for name, text in _ROWS_OF_GENE.items()
            for end in ("start", "stop")
        }
    )
    with zarr.config.set({"array.write_empty_chunks": True}):
        rows_of_genes.to_zarr(
            path,
            group="variants",
            mode="a",
            zarr_format=3,
            consolidated=False,
            encoding=encoding_of(rows_of_genes),
        )
    group = open_group(path, "r+")
    _create_window_arrays(group, plan)
    _create_variant_arrays(group["variants"], plan, n_variants, n_alleles)
    group.require_group("splits")
    group.attrs.update(
        {"coordinates": _names(coordinates), "reconciled": plan.reconciled, "status": "building"}
    )


def open_group(place: str, mode: Literal["r", "r+", "a"] = "r") -> Any:
    """Open a group of a store. To look for other formats than a store has would cost requests at a URL."""
    return zarr.open_group(place, mode=mode, zarr_format=3, use_consolidated=False)


def encoding_of(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """How xarray is to write the arrays of a dataset into a store."""
    return {str(name): {"compressors": COMPRESSORS} for name in dataset.variables}


def _about(text: str) -> dict[str, JSON]:
    return {"description": text}


def identity_of_build(plan_config: Any, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """What makes two builds the same: the config but for where and how fast it runs, and the inputs."""
    config = {
        key: value
        for key, value in dataclasses.asdict(plan_config).items()
        if key not in ("store", "workers", "scheduler", "min_covered", "require_all")
    }
    return {"config": config, "inputs": inputs}


def attributes_of(path: str | Path) -> dict[str, Any] | None:
    """The root attributes of a store, finished or not; None where there is no Zarr group.

    Raises:
        InputError: the store is at a URL, and that cannot be reached; or what says that it is a store is damaged.
    """
    place = place_of(path)
    with failures_named(place):
        content = read(f"{place}/zarr.json")
    if not content:
        return None
    try:
        metadata = json.loads(content)
        return dict(metadata.get("attributes", {})) if metadata["node_type"] == "group" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{place}/zarr.json: is damaged; take this file from a copy of the store") from None


def fingerprint(attributes: dict[str, Any]) -> str:
    """SHA-256 of what a store was built from; two stores with one fingerprint hold the same data."""
    identity = {key: attributes[key] for key in ("format_version", "config", "inputs")}
    if "earlier" in attributes:
        identity["earlier"] = [state["fingerprint"] for state in attributes["earlier"]]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def identity_of(attributes: dict[str, Any]) -> str:
    """SHA-256 of all that a store says of itself: one that is built anew or appended to has another."""
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()


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
        "expression_recipe": plan.expression_recipe,
        "versions": {
            name: version(name) for name in ("seqstore", "zarr", "xarray", "zstandard", "cyvcf2", "pyfaidx")
        },
    }
    if plan.earlier:
        attributes["earlier"] = plan.earlier
    return attributes | {"fingerprint": fingerprint(attributes)}


def _root_coordinates(plan: Plan) -> dict[str, tuple[str, np.ndarray]]:
    genes = plan.genes.drop(columns="covered")
    labels = plan.individuals.index.to_series()
    return {
        "assay": ("assay", np.array(list(plan.config.assays), dtype=object)),
        **{coordinate_name(str(column)): ("gene", coordinate_of(genes[column])) for column in genes},
        "individual": ("individual", coordinate_of(labels.rename("individual"))),
        **{
            coordinate_name(str(column)): ("individual", coordinate_of(plan.individuals[column]))
            for column in plan.individuals
        },
    }


def coordinate_of(column: pd.Series) -> np.ndarray:
    """The values of a table's column as a coordinate; labels stay text, also if they look like numbers."""
    return column.astype(str).to_numpy(dtype=object) if column.name in _LABELS else as_coordinate(column)


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
            compressors=COMPRESSORS,
            shape=(n_genes, n_individuals, 2),
            chunks=(GENES_IN_CHUNK, n_individuals, 2),
            dtype="int32",
            fill_value=-1,
            dimension_names=("gene", "individual", "haplotype"),
            attributes={"description": description},
        )
    reference_bytes = length // 2 + plan.config.reference_margin
    group.create_array(
        "reference_sequence",
        compressors=COMPRESSORS,
        shape=(n_genes, reference_bytes),
        chunks=(GENES_IN_CHUNK, reference_bytes),
        dtype="uint8",
        fill_value=0,
        dimension_names=("gene", "reference_byte"),
        attributes={
            "description": "the reference window with reference_margin bases on each side, packed alike"
        },
    )
    _create_flags(group, -(-n_genes // GENES_IN_CHUNK), "gene_block")


def _create_variant_arrays(group: zarr.Group, plan: Plan, n_variants: int, n_alleles: int) -> None:
    n_individuals = len(plan.individuals)
    sites = min(SITES_IN_CHUNK, n_variants)
    for name, dtype, width, description in (
        ("variant_contig", str, (), "as in the genotype files"),
        ("variant_position", "int32", (), "1-based"),
        ("variant_id", str, (), "'' = none"),
        ("variant_allele", str, (n_alleles,), "REF first; '' = no such allele"),
    ):
        group.create_array(
            name,
            compressors=COMPRESSORS,
            shape=(n_variants, *width),
            chunks=(sites, *width),
            dtype=dtype,
            dimension_names=("variant", "allele")[: 1 + len(width)],
            attributes=_about(description),
        )
    calls = {
        "call_genotype": ("int8", -1, "allele index; -1 = missing, -2 = no such haplotype"),
        "call_skipped": (
            "bool",
            False,
            "an ALT allele that is not in the sequence: left out by the overlap rule or by its kind",
        ),
    }
    if plan.config.unphased == "iupac":
        calls["call_genotype_phased"] = ("bool", True, "the order of the two alleles is known")
    for name, (dtype, fill, description) in calls.items():
        per_haplotype = (2,) if name != "call_genotype_phased" else ()
        group.create_array(
            name,
            compressors=COMPRESSORS,
            shape=(n_variants, n_individuals, *per_haplotype),
            chunks=(
                min(VARIANTS_IN_CHUNK, n_variants),
                min(INDIVIDUALS_IN_CHUNK, n_individuals),
                *per_haplotype,
            ),
            dtype=dtype,
            fill_value=fill,
            dimension_names=("variant", "individual", "haplotype")[: 2 + len(per_haplotype)],
            attributes=_about(description),
        )
    _create_flags(group, -(-n_variants // SITES_IN_CHUNK), "variant_block")


def _create_flags(group: zarr.Group, n: int, dimension: str) -> None:
    group.create_array(
        "built",
        compressors=COMPRESSORS,
        shape=(n,),
        chunks=(1,),
        dtype="bool",
        fill_value=False,
        dimension_names=(dimension,),
        attributes={
            "description": "written last by the task that fills this part; for resuming a build only"
        },
    )
