"""From a build's config to everything that is fixed before windows are encoded.

A plan holds the checked and reconciled inputs: which genes, individuals and variants the store will have.
Making it reads the genotype files once and writes nothing, so that bad input leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from seqstore.config import BuildConfig
from seqstore.contigs import reconcile
from seqstore.errors import InputError
from seqstore.expression import match_genes, read_expression
from seqstore.genes import GENE_COLUMNS, read_genes
from seqstore.genotypes import ABSENT, MISSING, GenotypeFiles, Record, open_genotypes
from seqstore.haplotypes import is_snp
from seqstore.individuals import read_individuals
from seqstore.layout import refuse_reserved
from seqstore.nucleotides import decode, encode
from seqstore.reference import Reference

logger = logging.getLogger(__name__)

#: Bases of a contig that one task scans.
SCAN_BASES = 500_000
#: Bases of a REF allele that are compared with the FASTA, at a region's end.
LONGEST_REF_CHECKED = 1000
_HASH_WHOLE_BELOW = 1 << 30

#: Runs a function over items, in any order of execution; results in the order of the items.
Run = Callable[[Callable[[Any], Any], list[Any], str], list[Any]]


@dataclass(frozen=True)
class Sites:
    """Records of the genotype files, without their genotypes, in file order within each contig."""

    contig: list[str]
    position: list[int]
    id: list[str]
    alleles: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True)
class Plan:
    """What a store will hold.

    ``genes`` has gene, gene_name, contig, tss, strand, window_start, reference_contig, genotype_contig,
    gene_variant_start, gene_variant_stop, covered and the gene table's other columns; ``individuals`` is
    indexed by label; ``expression`` is (assay, gene, individual) float32; ``reconciled`` counts what
    matched and what was dropped.
    """

    config: BuildConfig
    genes: pd.DataFrame
    individuals: pd.DataFrame
    expression: npt.NDArray[np.float32]
    sites: Sites
    reconciled: dict[str, int]
    inputs: list[dict[str, Any]]


def make_plan(config: BuildConfig, run: Run) -> Plan:
    """Read and check every input.

    Raises:
        InputError: anything of the inputs cannot be used.
    """
    genotypes = open_genotypes(config.genotypes)
    reference = Reference(config.reference)
    genes = read_genes(config.genes, config.build)
    refuse_reserved(genes.columns.drop(list(GENE_COLUMNS)), config.genes, taken=GENE_COLUMNS)
    tables = {assay: read_expression(path) for assay, path in config.assays.items()}
    reconciled: dict[str, int] = {
        "genes_in_table": len(genes),
        "individuals_genotyped": len(genotypes.individuals),
    }
    genes = _place_genes(genes, config, reference, genotypes, reconciled)
    individuals, columns = _choose_individuals(config, genotypes, genes.columns, tables, reconciled)
    expression = _align_expression(config, genes, individuals, tables, reconciled)
    sites = _scan_sites(config, genes, columns, genotypes, reference, reconciled, run)
    for what, count in reconciled.items():
        logger.info("%s: %d", what.replace("_", " "), count)
    if not len(sites):
        raise InputError(
            f"{_first(config.genotypes)}: no variant is left in any window ("
            f"{reconciled['records_left_out_by_filter']} records left out by filter, "
            f"{reconciled['records_left_out_not_snp']} that are no SNP)"
        )
    genes = genes.assign(
        **_variants_of_genes(genes, sites, config.length), covered=_covered(genes, config, genotypes)
    )
    _report_covered(genes, config)
    return Plan(
        config=config,
        genes=genes,
        individuals=individuals,
        expression=expression,
        sites=sites,
        reconciled=reconciled,
        inputs=describe_inputs(config, genotypes),
    )


def describe_inputs(config: BuildConfig, genotypes: GenotypeFiles) -> list[dict[str, Any]]:
    """Path, size and SHA-256 (or modification time, from 1 GiB on) of every input file."""
    paths = [*genotypes.paths, config.reference, config.genes, *config.assays.values()]
    return [_describe_file(Path(path)) for path in paths + ([config.samples] if config.samples else [])]


def _describe_file(path: Path) -> dict[str, Any]:
    stat = path.stat()
    described: dict[str, Any] = {"path": str(path), "size": stat.st_size}
    if stat.st_size < _HASH_WHOLE_BELOW:
        with path.open("rb") as file:
            return described | {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    return described | {"modified": int(stat.st_mtime)}


def _place_genes(
    genes: pd.DataFrame,
    config: BuildConfig,
    reference: Reference,
    genotypes: GenotypeFiles,
    reconciled: dict[str, int],
) -> pd.DataFrame:
    """Find each gene's contig in the reference and the genotypes, and its window."""
    in_reference = {contig: reconcile(contig, reference.lengths) for contig in genes["contig"].unique()}
    in_genotypes = {
        contig: reconcile(contig, genotypes.path_of_contig) for contig in genes["contig"].unique()
    }
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
    genotypes: GenotypeFiles,
    gene_columns: Iterable[str],
    tables: dict[str, pd.DataFrame],
    reconciled: dict[str, int],
) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """The genotyped individuals, those of the sample table if one is given; in the genotypes' order."""
    labels = list(genotypes.individuals)
    described = read_individuals(config.samples) if config.samples else pd.DataFrame(index=pd.Index(labels))
    refuse_reserved(described.columns, str(config.samples), taken=gene_columns)
    columns = np.flatnonzero(np.isin(labels, described.index))
    if not len(columns):
        raise InputError(
            f"{config.samples}: none of its individuals ({_few(described.index)}) is genotyped in "
            f"{_first(config.genotypes)} ({_few(labels)})"
        )
    kept = [labels[column] for column in columns]
    reconciled["individuals"] = len(kept)
    reconciled["individuals_dropped_not_in_sample_table"] = len(labels) - len(kept)
    reconciled["individuals_dropped_not_genotyped"] = len(set(described.index) - set(labels))
    for assay, table in tables.items():
        common = set(table.columns) & set(kept)
        reconciled[f"individuals_in_{assay}"] = len(common)
        reconciled[f"individuals_dropped_in_{assay}_only"] = len(set(table.columns) - set(kept))
        if not common:
            raise InputError(
                f"{config.assays[assay]}: none of its individuals ({_few(table.columns)}) is genotyped in "
                f"{_first(config.genotypes)} ({_few(kept)})"
            )
        if config.require_all and set(table.columns) != set(kept):
            raise InputError(
                f"{config.assays[assay]}: {_few(set(table.columns) ^ set(kept))} stand in the expression table or "
                "the genotypes only (require_all is set)"
            )
    return described.loc[kept], columns


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
        rows = np.array(
            match_genes(list(genes["gene"]), list(genes["gene_name"]), table.index, path), dtype=np.int64
        )
        reconciled[f"genes_in_{assay}"] = int((rows >= 0).sum())
        reconciled[f"genes_dropped_in_{assay}_only"] = len(table) - reconciled[f"genes_in_{assay}"]
        if not (rows >= 0).any():
            raise InputError(
                f"{path}: none of its genes ({_few(table.index)}) is in {config.genes} ({_few(genes['gene'])})"
            )
        if config.require_all and not (rows >= 0).all():
            raise InputError(f"{path}: has no gene {genes['gene'][rows < 0].iloc[0]} (require_all is set)")
        measured = table.reindex(columns=individuals.index).to_numpy(dtype=np.float32)
        values[rows >= 0] = measured[rows[rows >= 0]]
    return aligned


@dataclass(frozen=True)
class _Region:
    """A stretch of a genotyped contig, 0-based and half-open."""

    contig: str
    reference_contig: str
    start: int
    stop: int


@dataclass(frozen=True)
class _Scan:
    """What stands in a region: the records that are kept, and what is wrong with any."""

    sites: Sites
    n_filtered: int
    n_left_out: int
    n_missing: int
    mismatches: list[str]
    refusals: list[str]


def _scan_sites(
    config: BuildConfig,
    genes: pd.DataFrame,
    columns: npt.NDArray[np.int64],
    genotypes: GenotypeFiles,
    reference: Reference,
    reconciled: dict[str, int],
    run: Run,
) -> Sites:
    """The records in the union of the windows; refuses what the config's policies refuse."""
    scan = partial(scan_region, config=config, genotypes=genotypes, columns=columns)
    scans: list[_Scan] = run(scan, _regions_of_windows(genes, config.length), "scan genotypes")
    n_records = sum(len(s.sites) + s.n_left_out for s in scans)
    mismatches = [mismatch for s in scans for mismatch in s.mismatches]
    if mismatches:
        hint = "; wrong genome build?" if len(mismatches) > 0.01 * n_records else ""
        raise InputError(
            f"{mismatches[0]} ({len(mismatches)} of {n_records} records in the windows disagree with the FASTA{hint})"
        )
    refusals = [refusal for s in scans for refusal in s.refusals]
    if refusals:
        raise InputError(refusals[0] + (f" ({len(refusals)} such calls)" if len(refusals) > 1 else ""))
    reconciled["variants"] = sum(len(s.sites) for s in scans)
    reconciled["records_left_out_by_filter"] = sum(s.n_filtered for s in scans)
    reconciled["records_left_out_not_snp"] = sum(s.n_left_out for s in scans)
    reconciled["alleles_missing"] = sum(s.n_missing for s in scans)
    return Sites(
        contig=[contig for s in scans for contig in s.sites.contig],
        position=[position for s in scans for position in s.sites.position],
        id=[label for s in scans for label in s.sites.id],
        alleles=[alleles for s in scans for alleles in s.sites.alleles],
    )


def scan_region(
    region: _Region, *, config: BuildConfig, genotypes: GenotypeFiles, columns: npt.NDArray[np.int64]
) -> _Scan:
    """Check every record of a region against the FASTA and the config's policies."""
    # With the margin, so that whatever is stored of the reference is checked before anything is written.
    margin = max(config.reference_margin, LONGEST_REF_CHECKED)
    codes = Reference(config.reference).codes(
        region.reference_contig, region.start - margin, region.stop + margin
    )
    sites = Sites([], [], [], [])
    scan_counts = {"filtered": 0, "left_out": 0, "missing": 0}
    mismatches: list[str] = []
    refusals: list[str] = []
    path = genotypes.path_of_contig[region.contig]
    n_records = 0
    for record in genotypes.records(region.contig, region.start, region.stop):
        n_records += 1
        if not is_kept(record, config):
            scan_counts["filtered"] += 1
            continue
        where = f"{path}: {record.contig}:{record.position}"
        offset = record.position - 1 - region.start + margin
        expected = codes[offset : offset + len(record.alleles[0])]
        found = encode(record.alleles[0])[: len(expected)]  # a REF that is longer yet: its beginning
        if not np.array_equal(found, expected):
            mismatches.append(
                f"{where}: REF is {record.alleles[0]} but {config.reference} has {decode(expected)} there"
            )
            continue
        if not is_snp(record.alleles):
            scan_counts["left_out"] += 1
            continue
        genotype, phased = record.genotype[columns], record.phased[columns]
        refusal = _refuse_calls(genotype, phased, config)
        if refusal is not None:
            what, column = refusal
            refusals.append(f"{where}: {what.format(individual=genotypes.individuals[columns[column]])}")
        scan_counts["missing"] += int((genotype == MISSING).sum())
        sites.contig.append(region.contig)
        sites.position.append(record.position)
        sites.id.append(record.id)
        sites.alleles.append(record.alleles)
    n_expected = genotypes.count(region.contig, region.start, region.stop)
    if n_records != n_expected:
        where = f"{region.contig}:{region.start + 1}-{region.stop}"
        raise InputError(
            f"{path}: only {n_records} of {n_expected} records in {where} can be read; is it damaged?"
        )
    return _Scan(
        sites=sites,
        n_filtered=scan_counts["filtered"],
        n_left_out=scan_counts["left_out"],
        n_missing=scan_counts["missing"],
        mismatches=mismatches,
        refusals=refusals,
    )


def is_kept(record: Record, config: BuildConfig) -> bool:
    """Whether a record passes the config's filter; "." is an empty FILTER."""
    return all(name in config.filter for name in record.filters or (".",))


def _refuse_calls(
    genotype: npt.NDArray[np.int8], phased: npt.NDArray[np.bool_], config: BuildConfig
) -> tuple[str, int] | None:
    """What of a record's calls cannot be used, and the first individual it concerns."""
    checks = [
        (
            (genotype == ABSENT).any(axis=1),
            "the call of {individual} is haploid; this version reads diploid calls",
        ),
    ]
    if config.missing == "error":
        message = "the call of {individual} is missing; set missing: reference or missing: n to go on"
        checks.append(((genotype == MISSING).any(axis=1), message))
    if config.unphased == "error":
        message = "the call of {individual} is not phased; phase the genotypes, or set unphased: as_phased"
        checks.append((~phased & (genotype[:, 0] != genotype[:, 1]), message))
    for bad, message in checks:
        if bad.any():
            return message, int(np.flatnonzero(bad)[0])
    return None


def _regions_of_windows(genes: pd.DataFrame, length: int) -> list[_Region]:
    """The union of the windows, cut into regions of at most SCAN_BASES."""
    regions = []
    for (contig, reference_contig), group in genes.groupby(
        ["genotype_contig", "reference_contig"], sort=False
    ):
        starts = np.sort(np.maximum(group["window_start"].to_numpy(), 0))
        stops = np.sort(group["window_start"].to_numpy() + length)
        first = np.flatnonzero(np.r_[True, starts[1:] > np.maximum.accumulate(stops)[:-1]])
        for begin, end in zip(starts[first], stops[np.r_[first[1:] - 1, len(stops) - 1]], strict=True):
            for start in range(int(begin), int(end), SCAN_BASES):
                stop = min(start + SCAN_BASES, int(end))
                regions.append(_Region(str(contig), str(reference_contig), start, stop))
    return regions


def _variants_of_genes(genes: pd.DataFrame, sites: Sites, length: int) -> dict[str, npt.NDArray[np.int64]]:
    """The half-open range of the sites within each gene's reference window."""
    start = np.zeros(len(genes), dtype=np.int64)
    stop = np.zeros(len(genes), dtype=np.int64)
    contigs, positions = np.array(sites.contig, dtype=object), np.array(sites.position, dtype=np.int64)
    for contig, group in genes.groupby("genotype_contig"):
        on_contig = np.flatnonzero(contigs == contig)  # contigs stand together in the list of sites
        if len(on_contig):
            first, window = positions[on_contig] - 1, group["window_start"].to_numpy()
            start[group.index] = on_contig[0] + np.searchsorted(first, window)
            stop[group.index] = on_contig[0] + np.searchsorted(first, window + length)
    return {"gene_variant_start": start, "gene_variant_stop": stop}


def _covered(genes: pd.DataFrame, config: BuildConfig, genotypes: GenotypeFiles) -> npt.NDArray[np.float32]:
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


def _few(labels: Iterable[Any], n: int = 3) -> str:
    """The first labels, for a message."""
    labels = [str(label) for label in labels]
    return ", ".join(labels[:n]) + (", …" if len(labels) > n else "")
