"""``seqstore build``: inputs to a finished store, in tasks that each write whole chunks of their own.

A build has three steps: a plan (reads and checks everything, writes nothing), the genotypes (tasks
aligned to the chunks of ``variants``), and the windows (one or more genes a task, out of those
genotypes). Killed at any moment and started again it ends in the same bytes.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.genotypes import open_genotypes
from seqstore.haplotypes import WindowEncoder, is_snp, snp_codes
from seqstore.layout import (
    INDIVIDUALS_IN_CHUNK,
    VARIANTS_IN_CHUNK,
    attributes_of,
    create_store,
    identity_of_build,
)
from seqstore.nucleotides import pack
from seqstore.outputs import check_folder
from seqstore.plan import Run, describe_inputs, is_kept, make_plan
from seqstore.reference import Reference
from seqstore.tasks import workers

logger = logging.getLogger(__name__)

#: Genes in one task; a task costs the scheduler a few milliseconds, a gene some tens.
GENES_IN_TASK = 8


def build(config: BuildConfig) -> None:
    """Build a store of haplotype windows from genotypes, a reference, genes and expression.

    Raises:
        InputError: an input cannot be used, or a store stands at ``config.store`` that is finished or
            was begun with another config.
    """
    path = Path(config.store)
    resuming = _check_output(path, config)
    with workers(config.n_workers) as run:
        if resuming:
            logger.info("%s: going on with an unfinished build", path)
            for file in path.rglob("*.partial"):  # what zarr was writing when it was killed
                file.unlink()
        else:
            create_store(path, make_plan(config, run))
        _fill(path, config, run)
    zarr.open_group(path, mode="r+").attrs["status"] = "complete"
    logger.info("%s: complete", path)


def _check_output(path: Path, config: BuildConfig) -> bool:
    """Whether an unfinished build of the same config and inputs stands at ``path``."""
    if not path.exists():
        check_folder(path.parent)
        return False
    attributes = attributes_of(path) or {}
    if attributes.get("status") != "building":
        what = (
            "a finished store" if attributes.get("status") == "complete" else "something that is not a store"
        )
        raise InputError(f"{path}: {what} stands there already; give another path or remove it")
    identity = identity_of_build(config, describe_inputs(config, open_genotypes(config.genotypes)))
    for key, value in identity["config"].items():
        if attributes["config"].get(key) != value:
            raise InputError(
                f"{path}: an unfinished build stands there with {key} {attributes['config'].get(key)!r}, not "
                f"{value!r}; finish it with its own config or remove it"
            )
    for was, now in zip(attributes["inputs"], identity["inputs"], strict=True):
        if was != now:
            raise InputError(
                f"{path}: {now['path']} changed since that build was begun; remove the unfinished store"
            )
    return True


def _fill(path: Path, config: BuildConfig, run: Run) -> None:
    """Run the tasks that are not done yet."""
    group: Any = zarr.open_group(path, mode="r")
    blocks = np.flatnonzero(~np.asarray(group["variants/built"][:], dtype=bool)).tolist()
    run(partial(write_genotypes, path=path, config=config), blocks, "genotypes")
    genes = np.flatnonzero(~np.asarray(group["built"][:], dtype=bool)).tolist()
    tasks = [genes[i : i + GENES_IN_TASK] for i in range(0, len(genes), GENES_IN_TASK)]
    run(partial(write_windows, path=path, config=config), tasks, "windows")


def write_genotypes(block: int, *, path: Path, config: BuildConfig) -> None:
    """Copy the calls of one block of variants from the genotype files into ``variants/call_genotype``."""
    root: Any = zarr.open_group(path, mode="r+")
    group = root["variants"]
    first, last = block * VARIANTS_IN_CHUNK, (block + 1) * VARIANTS_IN_CHUNK
    while first and _is_twin(group, first):  # repeats of one record are told apart by their order only
        first -= 1
    rows = slice(first, last)
    contigs, positions = group["variant_contig"][rows], group["variant_position"][rows]
    alleles = [tuple(filter(None, texts)) for texts in group["variant_allele"][rows]]
    genotypes = open_genotypes(config.genotypes)
    column_of = {label: column for column, label in enumerate(genotypes.individuals)}
    columns = [column_of[label] for label in root["individual"][:]]
    calls = np.empty((len(positions), len(columns), 2), dtype=np.int8)
    # One query for each stretch of sites without a long gap (between windows, or to another contig).
    breaks = np.flatnonzero((contigs[1:] != contigs[:-1]) | (np.diff(positions) > config.length)) + 1
    for run_of_sites in np.split(np.arange(len(positions)), breaks):
        wanted = iter(run_of_sites)
        row = next(wanted, None)
        if row is None:
            continue
        start, stop = int(positions[run_of_sites[0]]) - 1, int(positions[run_of_sites[-1]])
        for record in genotypes.records(str(contigs[row]), start, stop):
            same = row is not None and record.position == positions[row] and record.alleles == alleles[row]
            if same and is_kept(record, config) and is_snp(record.alleles):
                calls[row] = record.genotype[columns]
                row = next(wanted, None)
        if row is not None:
            where = f"{genotypes.path_of_contig[str(contigs[row])]}: {contigs[row]}:{positions[row]}"
            raise InputError(
                f"{where} is gone since the build was planned; remove the unfinished store and start again"
            )
    with zarr.config.set({"array.write_empty_chunks": True}):
        group["call_genotype"][block * VARIANTS_IN_CHUNK : last] = calls[block * VARIANTS_IN_CHUNK - first :]
        group["built"][block] = True


def _is_twin(group: Any, row: int) -> bool:
    """Whether a row of the variants is the same record as the one before it."""
    pair = slice(row - 1, row + 1)
    contigs, positions, alleles = (
        group[f"variant_{name}"][pair] for name in ("contig", "position", "allele")
    )
    return bool(
        contigs[0] == contigs[1] and positions[0] == positions[1] and (alleles[0] == alleles[1]).all()
    )


def write_windows(genes: list[int], *, path: Path, config: BuildConfig) -> None:
    """Encode the windows of some genes out of the store's own genotypes."""
    root: Any = zarr.open_group(path, mode="r+")
    reference = Reference(config.reference)
    starts, contigs = root["window_start"][:], root["reference_contig"][:]
    variants = root["variants"]
    first, last = variants["gene_variant_start"][:], variants["gene_variant_stop"][:]
    n_individuals = root["individual"].shape[0]
    with zarr.config.set({"array.write_empty_chunks": True}):
        for gene in genes:
            rows = slice(int(first[gene]), int(last[gene]))
            start, margin = int(starts[gene]), config.reference_margin
            codes = reference.codes(str(contigs[gene]), start - margin, start + config.length + margin)
            encoder = WindowEncoder(
                reference=codes[margin : margin + config.length],
                offset=variants["variant_position"][rows].astype(np.int64) - 1 - start,
                codes=snp_codes(variants["variant_allele"][rows]),
                missing_is_n=config.missing == "n",
            )
            whole = {name: np.empty((n_individuals, 2), np.int32) for name in _COUNTS}
            genotype = variants["call_genotype"][rows]
            for begin in range(0, n_individuals, INDIVIDUALS_IN_CHUNK):
                people = slice(begin, min(begin + INDIVIDUALS_IN_CHUNK, n_individuals))
                block = encoder.encode(genotype[:, people])
                root["haplotype_sequence"][gene, people] = block.windows
                for name, field in _COUNTS.items():
                    whole[name][people] = getattr(block, field)
            for name, values in whole.items():
                root[name][gene] = values
            root["reference_sequence"][gene] = pack(codes)
            root["built"][gene] = True


_COUNTS = {
    "haplotype_id": "haplotype_id",
    "variants_applied": "applied",
    "variants_skipped": "skipped",
    "genotypes_missing": "missing",
}
