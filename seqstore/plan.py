"""From a build's config to everything that is fixed before genotypes are read.

A plan holds the checked and reconciled tables: which genes and individuals the store will have. Making it
writes nothing, so that bad input leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from seqstore.config import BuildConfig
from seqstore.contigs import pseudoautosomal_regions, reconcile
from seqstore.errors import InputError
from seqstore.expression import count_matches, match_genes, read_expression
from seqstore.genes import GENE_COLUMNS, gene_ids, read_genes
from seqstore.genotypes import GenotypeSource, open_genotypes
from seqstore.individuals import read_individuals
from seqstore.labels import read_sample_map, reconcile_individuals
from seqstore.layout import refuse_reserved
from seqstore.recipe import recipe_of, relabelled
from seqstore.reference import Reference

logger = logging.getLogger(__name__)

_HASH_WHOLE_BELOW = 1 << 30


@dataclass(frozen=True)
class Plan:
    """What a store will hold.

    ``genes`` has gene, gene_name, contig, tss, strand, window_start, reference_contig, genotype_contig,
    covered and the gene table's other columns; ``individuals`` is indexed by label; ``expression`` is
    (assay, gene, individual) float32, ``expression_recipe`` how it was prepared, by assay, where that is
    known; ``genotypes`` reads the calls of those individuals; ``reconciled`` counts what matched and what
    was dropped; ``earlier`` tells of the states of a store that the plan appends to, oldest first.
    """

    config: BuildConfig
    genes: pd.DataFrame
    individuals: pd.DataFrame
    expression: npt.NDArray[np.float32]
    expression_recipe: dict[str, Any]
    genotypes: GenotypeSource
    reconciled: dict[str, int]
    inputs: list[dict[str, Any]]
    earlier: list[dict[str, Any]] = field(default_factory=list)


def make_plan(config: BuildConfig) -> Plan:
    """Read and check every input but the records of the genotype files.

    Raises:
        InputError: anything of the inputs cannot be used.
    """
    genotypes = open_genotypes(config.genotypes)
    reference = Reference(config.reference)
    genes = read_genes(config.genes, config.build, config.gene_types)
    refuse_reserved(genes.columns.drop(list(GENE_COLUMNS)), config.genes, taken=GENE_COLUMNS)
    tables = {assay: read_expression(path) for assay, path in config.assays.items()}
    sample_map = {} if config.sample_map is None else read_sample_map(config.sample_map)
    recipes = {assay: recipe_of(path) for assay, path in config.assays.items()}
    reconciled: dict[str, int] = {
        "genes_in_table": len(genes),
        "individuals_genotyped": len(genotypes.individuals),
    }
    genes = _place_genes(genes, config, reference, genotypes, reconciled)
    individuals, tables = _choose_individuals(
        config, genotypes, genes.columns, tables, sample_map or None, reconciled
    )
    expression = _align_expression(config, genes, individuals, tables, reconciled)
    if config.measured_genes_only:
        measured = np.flatnonzero(np.isfinite(expression).any(axis=(0, 2)))
        reconciled["genes_dropped_not_measured"] = len(genes) - len(measured)
        genes, expression = genes.iloc[measured].reset_index(drop=True), expression[:, measured]
    genes = _name_pseudoautosomal(genes, config)
    genes = genes.assign(covered=share_covered(genes, config, genotypes))
    _report_covered(genes, config)
    return Plan(
        config=config,
        genes=genes,
        individuals=individuals,
        expression=expression,
        expression_recipe={
            assay: relabelled(recipe, sample_map) for assay, recipe in recipes.items() if recipe is not None
        },
        genotypes=genotypes.subset(list(individuals.index)),
        reconciled=reconciled,
        inputs=describe_inputs(config, genotypes),
    )


def describe_inputs(config: BuildConfig, genotypes: GenotypeSource) -> list[dict[str, Any]]:
    """Path, size and SHA-256 (or modification time, from 1 GiB on) of every input file."""
    tables = [*config.assays.values(), config.samples, config.sample_map]
    paths = [*genotypes.paths, config.reference, config.genes, *filter(None, tables)]
    return [_describe_file(Path(path)) for path in paths]


def _describe_file(path: Path) -> dict[str, Any]:
    if path.is_dir():
        return _describe_folder(path)
    stat = path.stat()
    described: dict[str, Any] = {"path": str(path), "size": stat.st_size}
    if stat.st_size < _HASH_WHOLE_BELOW:
        with path.open("rb") as file:
            return described | {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    return described | {"modified": int(stat.st_mtime)}


def _describe_folder(path: Path) -> dict[str, Any]:
    """A VCF Zarr: the SHA-256 of what its files are by themselves."""
    digest, size = hashlib.sha256(), 0
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        described = _describe_file(file)
        size += described.pop("size")
        digest.update(f"{file.relative_to(path)} {described.get('sha256', described)}\n".encode())
    return {"path": str(path), "size": size, "sha256": digest.hexdigest()}


def _place_genes(
    genes: pd.DataFrame,
    config: BuildConfig,
    reference: Reference,
    genotypes: GenotypeSource,
    reconciled: dict[str, int],
) -> pd.DataFrame:
    """Find each gene's contig in the reference and the genotypes, and its window."""
    in_reference = {contig: reconcile(contig, reference.lengths) for contig in genes["contig"].unique()}
    in_genotypes = {contig: reconcile(contig, genotypes.contigs) for contig in genes["contig"].unique()}
    for contig in in_reference:
        names = (in_reference[contig], in_genotypes[contig])
        if None not in names and set(names) != {contig}:
            logger.info("contig %s: %s in the reference, %s in the genotypes", contig, *names)
    for path, found in ((config.reference, in_reference), (_first(config.genotypes), in_genotypes)):
        if not any(found.values()):
            raise InputError(
                f"{path}: has none of the genes' contigs ({_few(found)}); are they of one genome?"
            )
    genes = genes.assign(
        reference_contig=genes["contig"].map(in_reference), genotype_contig=genes["contig"].map(in_genotypes)
    )
    placed = genes["reference_contig"].notna() & genes["genotype_contig"].notna()
    reconciled["genes_dropped_contig_not_in_reference_or_genotypes"] = int((~placed).sum())
    _tell_dropped(
        config.genes, "contig is not in the reference and the genotypes both", genes["gene"][~placed]
    )
    if config.require_all and not placed.all():
        gene = genes[~placed].iloc[0]
        raise InputError(
            f"{config.genes}: contig {gene['contig']} of gene {gene['gene']} is not in the reference and the "
            "genotypes both (require_all is set)"
        )
    genes = genes[placed].reset_index(drop=True)
    lengths = genes["reference_contig"].map(reference.lengths)
    off = genes["tss"] > lengths
    if off.any():
        gene = genes[off].iloc[0]
        raise InputError(
            f"{config.genes}: the TSS of gene {gene['gene']}, {gene['contig']}:{gene['tss']}, is off its contig "
            f"({int(lengths[off].iloc[0])} bases in {config.reference}); is the gene table of another build?"
        )
    return genes.assign(window_start=genes["tss"] - 1 - config.length // 2)


def _choose_individuals(
    config: BuildConfig,
    genotypes: GenotypeSource,
    gene_columns: Iterable[str],
    tables: dict[str, pd.DataFrame],
    sample_map: dict[str, str] | None,
    reconciled: dict[str, int],
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The genotyped individuals, those of the sample table if one is given; in the genotypes' order.

    Also returns the expression tables with their columns under the labels of the genotypes.
    """
    labels = list(genotypes.individuals)

    def matched(given: Iterable[str], path: str, what: str, known: list[str]) -> dict[str, str]:
        found = reconcile_individuals(list(given), known, path=path, sample_map=sample_map)
        for rule, count in found.by_rule.items():
            if rule not in ("exact", "unmatched"):
                reconciled[f"individuals_in_{what}_matched_by_{rule}"] = count
        if not found.known:
            raise InputError(
                f"{path}: none of its individuals ({_few(given)}) is genotyped in {_first(config.genotypes)} "
                f"({_few(known)})"
            )
        return found.known

    described = pd.DataFrame(index=pd.Index(labels))
    not_genotyped: list[str] = []
    if config.samples:
        described = read_individuals(config.samples)
        known = matched(described.index, config.samples, "sample_table", labels)
        not_genotyped = [label for label in described.index if label not in known]
        _tell_dropped(config.samples, "not genotyped", not_genotyped)
        described = described.loc[list(known)].rename(index=known)
    refuse_reserved(described.columns, str(config.samples), taken=gene_columns)
    in_table = set(described.index)
    kept = [label for label in labels if label in in_table]
    reconciled["individuals"] = len(kept)
    reconciled["individuals_dropped_not_in_sample_table"] = len(labels) - len(kept)
    reconciled["individuals_dropped_not_genotyped"] = len(not_genotyped)
    _tell_dropped(
        _first(config.genotypes),
        "not in the sample table",
        [label for label in labels if label not in in_table],
    )
    renamed = {}
    for assay, table in tables.items():
        known = matched(table.columns, config.assays[assay], assay, kept)
        reconciled[f"individuals_in_{assay}"] = len(known)
        strangers = [label for label in table.columns if label not in known]
        reconciled[f"individuals_dropped_in_{assay}_only"] = len(strangers)
        _tell_dropped(config.assays[assay], "not among the individuals of the store", strangers)
        if config.require_all and not len(known) == table.shape[1] == len(kept):
            only = strangers + sorted(set(kept) - set(known.values()))
            raise InputError(
                f"{config.assays[assay]}: {_few(only)} stand in the expression table or the genotypes only "
                "(require_all is set)"
            )
        renamed[assay] = table[list(known)].rename(columns=known)
    return described.loc[kept], renamed


def _name_pseudoautosomal(genes: pd.DataFrame, config: BuildConfig) -> pd.DataFrame:
    """Add the column ``pseudoautosomal``, PAR1, PAR2 or "", where the build is known and a gene is on X or Y."""
    names = []
    for gene, contig, tss, start in zip(
        *(genes[column].tolist() for column in ("gene", "contig", "tss", "window_start")), strict=True
    ):
        first, last = start + 1, start + config.length
        regions = pseudoautosomal_regions(contig, config.build)
        names.append(next((name for name, (low, high) in regions.items() if low <= tss <= high), ""))
        for name, (low, high) in regions.items():
            if first <= high and last >= low and not (low <= first and last <= high):
                logger.warning(
                    "warning: the window of gene %s crosses a boundary of %s; men, who are haploid on one side "
                    "of it, have no second haplotype there",
                    gene,
                    name,
                )
    return genes.assign(pseudoautosomal=names) if any(names) else genes


def _align_expression(
    config: BuildConfig,
    genes: pd.DataFrame,
    individuals: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    reconciled: dict[str, int],
) -> npt.NDArray[np.float32]:
    """Expression (assay, gene, individual) of the store's genes and individuals, NaN = not measured."""
    aligned = np.full((len(tables), len(genes), len(individuals)), np.nan, dtype=np.float32)
    for values, (assay, table) in zip(aligned, tables.items(), strict=True):
        path = config.assays[assay]
        names, ids = list(genes["gene_name"]), gene_ids(genes)
        rows = np.array(match_genes(list(genes["gene"]), names, table.index, path, ids), dtype=np.int64)
        reconciled[f"genes_in_{assay}"] = int((rows >= 0).sum())
        for rule, count in count_matches(genes, table, rows.tolist()).items():
            if rule not in ("id", "unmatched"):
                reconciled[f"genes_in_{assay}_matched_by_{rule}"] = count
        others = table.index[~np.isin(np.arange(len(table)), rows)]
        reconciled[f"genes_dropped_in_{assay}_only"] = len(others)
        _tell_dropped(path, "not among the genes of the store", others)
        if not (rows >= 0).any():
            raise InputError(
                f"{path}: none of its genes ({_few(table.index)}) is in {config.genes} ({_few(genes['gene'])})"
            )
        if config.require_all and not (rows >= 0).all():
            raise InputError(f"{path}: has no gene {genes['gene'][rows < 0].iloc[0]} (require_all is set)")
        measured = table.reindex(columns=individuals.index).to_numpy(dtype=np.float32)
        values[rows >= 0] = measured[rows[rows >= 0]]
    return aligned


def share_covered(
    genes: pd.DataFrame, config: BuildConfig, genotypes: GenotypeSource
) -> npt.NDArray[np.float32]:
    """The share of each window within the span of its contig's records."""
    spans = {contig: genotypes.span(contig) for contig in genes["genotype_contig"].unique()}
    first = genes["genotype_contig"].map(lambda contig: spans[contig][0] - 1).to_numpy()
    last = genes["genotype_contig"].map(lambda contig: spans[contig][1]).to_numpy()
    start = genes["window_start"].to_numpy()
    within = np.minimum(start + config.length, last) - np.maximum(start, first)
    return np.asarray(np.maximum(within, 0) / config.length, dtype=np.float32)


def _report_covered(genes: pd.DataFrame, config: BuildConfig) -> None:
    """Warn of, or refuse, windows that reach past the genotyped span."""
    short = genes[genes["covered"] < 1]
    too_short = genes[genes["covered"] < config.min_covered]
    if len(too_short):
        gene = too_short.iloc[0]
        raise InputError(
            f"{config.genes}: {gene['covered']:.1%} of the window of gene {gene['gene']} is within the genotyped "
            f"span, less than min_covered {config.min_covered:g} ({len(too_short)} such genes)"
        )
    if len(short):
        logger.warning(
            "warning: the windows of %d genes reach past the genotyped span and are the reference there: %s",
            len(short),
            ", ".join(
                f"{gene} ({covered:.0%})"
                for gene, covered in zip(short["gene"], short["covered"], strict=True)
            ),
        )


def _first(paths: str | list[str]) -> str:
    return paths if isinstance(paths, str) else paths[0]


def _tell_dropped(path: str, why: str, labels: Iterable[Any]) -> None:
    """Name some of those that a file has and the store has not."""
    labels = list(labels)
    if labels:
        logger.info("%s: %d left out, %s: %s", path, len(labels), why, _few(labels, 5))


def _few(labels: Iterable[Any], n: int = 3) -> str:
    """The first labels, for a message."""
    labels = [str(label) for label in labels]
    return ", ".join(labels[:n]) + (", …" if len(labels) > n else "")
