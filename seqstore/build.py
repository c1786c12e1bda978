"""``seqstore build``: inputs to a finished store, in tasks that each write whole chunks of their own.

A build has four steps: a plan (reads and checks all tables, writes nothing), the scan (reads and checks every
record once, into the spool), the variants (the spool's rows, in the chunks of the store), and the windows (one
or more genes a task, out of those variants). Killed at any moment and started again it ends in the same bytes.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr

from seqstore.chunks import write_chunk
from seqstore.claim import Claim, claimed
from seqstore.codec import encode_windows
from seqstore.config import BuildConfig
from seqstore.earlier import EarlierStore
from seqstore.errors import InputError, LostWorkersError
from seqstore.genotypes import open_genotypes
from seqstore.haplotypes import WindowEncoder, skipped_calls
from seqstore.layout import (
    FORMAT_VERSION,
    GENES_IN_CHUNK,
    INDIVIDUALS_IN_CHUNK,
    SITES_IN_CHUNK,
    attributes_of,
    begin_store,
    create_arrays,
    identity_of_build,
    open_group,
)
from seqstore.locations import (
    check_writable,
    exists,
    failures_named,
    files_below,
    is_url,
    place_of,
    remove,
    remove_partial_files,
)
from seqstore.nucleotides import pack
from seqstore.plan import Plan, describe_inputs, make_plan
from seqstore.reach import rows_by_contig
from seqstore.records import calls_to_apply, haplotypes_present, table_of
from seqstore.reference import Reference
from seqstore.scan import scan_windows
from seqstore.spool import Spool
from seqstore.swap import finish_swap
from seqstore.tasks import Run, workers

logger = logging.getLogger(__name__)

#: More bases than a contig has: by so much the records of one are moved from those of another to resolve both.
_APART = 1 << 40


def build(config: BuildConfig) -> None:
    """Build a store of haplotype windows from genotypes, a reference, genes and expression.

    One that was stopped goes on; one that is finished stays as it is.

    Raises:
        InputError: an input cannot be used, a store of another config or other inputs stands at ``config.store``,
            or nothing can be written there (any more).
    """
    place = place_of(config.store)
    config = dataclasses.replace(config, store=place)
    if not is_url(place):
        finish_swap(place)
    if place.startswith("memory://") and (config.n_workers > 1 or config.scheduler):
        raise InputError(f"{place}: is in the memory of one process; set workers: 1, or give another place")
    with failures_named(place):
        status = _status_of_output(place, config)
        if status == "complete":
            logger.info("%s: complete already", place)
            return
        plan = make_plan(config) if status != "building" else None
        fill_store(config, status, plan)
    logger.info("%s: complete", place)


def fill_store(
    config: BuildConfig, status: str | None, plan: Plan | None, earlier: EarlierStore | None = None
) -> None:
    """Write a store from where a run that was stopped left it in ``status`` (of `what_stands`) to its end.

    ``plan`` is needed as long as the store is not begun or being scanned. What of an ``earlier`` store stands as
    it is is taken over from there.
    """
    place = config.store
    with claimed(place) as claim, workers(config.n_workers, config.scheduler) as run:
        if what_stands(place) != status:
            raise InputError(f"{place}: another build wrote to it just now; run the same command again")
        if status is not None:
            logger.info("%s: going on with an unfinished build", place)
        remove_partial_files(place)
        if plan is not None and status in (None, "scanning"):
            _prepare(plan, claim, claim.run(run), earlier, begun=status is not None)
        _fill(config, claim.run(run), earlier)
        claim.check()
        check_same_build(place, config)  # its inputs are still those that it was made of
        remove(f"{place}/spool")
        open_group(place, "r+").attrs["status"] = "complete"


def _status_of_output(place: str, config: BuildConfig) -> str | None:
    """How far a build of the same config and inputs at a place has come; None if there is none."""
    status = what_stands(place)
    if status is None:
        check_writable(place)
        return None
    if status == "a finished store" and _is_same_build(place, config):  # stopped just when it was done, say
        return "complete"
    if status not in ("scanning", "building"):
        raise InputError(f"{place}: {status} stands there already; give another path or remove it")
    check_same_build(place, config)
    return status


def check_same_build(place: str, config: BuildConfig) -> None:
    """Refuse to go on with an unfinished store under another config, or with inputs that changed."""
    attributes = attributes_of(place) or {}
    if attributes.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{place}: another version of seqstore began to build this store; finish it with that one, or remove it"
        )
    identity = identity_of_build(config, describe_inputs(config, open_genotypes(config.genotypes)))
    for key, value in identity["config"].items():
        if attributes["config"].get(key) != value:
            raise InputError(
                f"{place}: an unfinished build stands there with {key} {attributes['config'].get(key)!r}, not "
                f"{value!r}; finish it with its own config or remove it"
            )
    was, now = ({file["path"]: file for file in of["inputs"]} for of in (attributes, identity))
    for changed in (path for path in was | now if was.get(path) != now.get(path)):
        raise InputError(
            f"{place}: {changed} changed since this build was begun; remove the unfinished store, and build again"
        )


def _is_same_build(place: str, config: BuildConfig) -> bool:
    """Whether a store is, or is to be, what the config makes of its inputs as they are."""
    try:
        check_same_build(place, config)
    except InputError:
        return False
    return True


def what_stands(place: str) -> str | None:
    """The status of an unfinished build, or what else stands at a place; None if nothing does."""
    status = (attributes_of(place) or {}).get("status")
    if status == "complete":
        return "a finished store"
    if status in ("scanning", "building"):
        return str(status)
    if not exists(place):
        return None
    # A build that was killed at its very beginning leaves an empty folder, or what zarr was writing.
    is_empty = all(name.endswith(".partial") for name in files_below(place))
    return None if is_empty else "something that is not a store"


def _prepare(plan: Plan, claim: Claim, run: Run, earlier: EarlierStore | None, *, begun: bool) -> None:
    """Scan, and make the store's arrays. What the inputs make impossible leaves nothing behind."""
    place = plan.config.store
    try:
        if not begun:
            begin_store(place, plan)
        known = earlier.copy_records(place, run) if earlier else None
        spool, genes = scan_windows(plan.config, plan.genes, plan.genotypes, plan.reconciled, run, known)
        kept = _rows_of_windows(genes, len(spool))
        if not len(kept):
            raise InputError(
                f"{plan.genotypes.paths[0]}: no variant is left in any window ("
                f"{plan.reconciled['records_left_out_by_filter']} records left out by filter, "
                f"{plan.reconciled['records_left_out_by_kind']} by their kind of allele)"
            )
        earlier_rows = earlier.match_records(spool, plan, run) if earlier else None
    except LostWorkersError:
        raise
    except InputError:
        claim.check()
        remove(f"{place}/spool")  # first: killed in between, the store is one that can be gone on with
        remove(place)
        raise
    plan.reconciled["variants"] = len(kept)
    for what, count in plan.reconciled.items():
        logger.info("%s: %d", what.replace("_", " "), count)
    claim.check()
    spool.save(kept, _block_contexts(spool, kept), None if earlier_rows is None else earlier_rows[kept])
    for column in ("record_start", "record_stop", "variant_start", "variant_stop"):
        genes[column] = np.searchsorted(kept, genes[column])
    create_arrays(place, plan, genes, len(kept), spool.n_alleles)


def _rows_of_windows(genes: pd.DataFrame, n_rows: int) -> np.ndarray:
    """The rows of the spool that some window is made with, or that lie in its reference window."""
    edges = np.zeros(n_rows + 1, dtype=np.int64)
    for name in ("record", "variant"):
        np.add.at(edges, genes[f"{name}_start"], 1)
        np.add.at(edges, genes[f"{name}_stop"], -1)
    return np.flatnonzero(np.cumsum(edges)[:-1] > 0)


def _block_contexts(spool: Spool, kept: np.ndarray) -> np.ndarray:
    """For each block of variants, the row of the spool from which on its records can be resolved."""
    clean = np.concatenate([rows.offset + rows.clean for rows in rows_by_contig(spool).values()])
    starts: np.ndarray = clean[kept[::SITES_IN_CHUNK]]
    return starts


def _fill(config: BuildConfig, run: Run, earlier: EarlierStore | None) -> None:
    """Run the tasks that are not done yet."""
    group = open_group(config.store)
    blocks = np.flatnonzero(~np.asarray(group["variants/built"][:], dtype=bool)).tolist()
    if blocks:
        run(partial(write_variants, path=config.store, config=config), blocks, "variants")
    blocks = np.flatnonzero(~np.asarray(group["built"][:], dtype=bool)).tolist()
    run(partial(write_windows, path=config.store, config=config, earlier=earlier), blocks, "windows")


def write_variants(block: int, *, path: str, config: BuildConfig) -> None:
    """Copy one block of variants from the spool into ``variants``, and mark the calls that are skipped."""
    root = open_group(path, "r+")
    group = root["variants"]
    spool, rows, begin = Spool.load(path, block)
    first, stop = block * SITES_IN_CHUNK, block * SITES_IN_CHUNK + len(rows)
    end = int(rows[-1]) + 1
    chosen = rows - begin  # the block's rows among those from where they can be resolved
    position, alleles = spool.column("position", begin, end), spool.column("allele", begin, end)
    records = table_of(position, alleles, config.variants)
    contigs = spool.contig(begin, end)
    number = np.cumsum(np.append(0, contigs[1:] != contigs[:-1]))
    records = records._replace(start=records.start + number * _APART)
    n_individuals = root["individual"].shape[0]
    with zarr.config.set({"array.write_empty_chunks": True}):
        group["variant_contig"][first:stop] = contigs[chosen]
        group["variant_position"][first:stop] = position[chosen]
        group["variant_id"][first:stop] = spool.column("id", begin, end)[chosen]
        texts = np.full((len(rows), group["variant_allele"].shape[1]), "", dtype=object)
        texts[:, : alleles.shape[1]] = alleles[chosen]
        group["variant_allele"][first:stop] = texts
        for people in _blocks_of_people(n_individuals):
            genotype = spool.calls("call_genotype", begin, end, people)
            phased = None
            if config.unphased == "iupac":
                phased = spool.calls("call_genotype_phased", begin, end, people)
                group["call_genotype_phased"][first:stop, people] = phased[chosen]
            group["call_genotype"][first:stop, people] = genotype[chosen]
            calls = calls_to_apply(genotype, phased, records, missing_is_n=config.missing == "n")
            group["call_skipped"][first:stop, people] = skipped_calls(records, calls)[chosen]
        group["built"][block] = True


def write_windows(block: int, *, path: str, config: BuildConfig, earlier: EarlierStore | None = None) -> None:
    """Encode the windows of one block of genes out of the store's own variants.

    Chunks that stand in an ``earlier`` store are taken over.
    """
    group = open_group(path, "r+")
    root, variants = dict(group.arrays()), dict(group["variants"].arrays())  # each opened once
    sites = _Sites(variants)
    reference = Reference(config.reference)
    genes = slice(block * GENES_IN_CHUNK, min((block + 1) * GENES_IN_CHUNK, root["gene"].shape[0]))
    starts, contigs = root["window_start"][genes], root["reference_contig"][genes]
    called = root["genotype_contig"][genes]
    reach = np.stack([root["reach_start"][genes], root["reach_stop"][genes]], axis=1)
    rows_of = np.stack([variants[f"gene_record_{end}"][genes] for end in ("start", "stop")], axis=1)
    n_genes, n_individuals = len(starts), root["individual"].shape[0]
    margin, half = config.reference_margin, config.length // 2
    blocks = _blocks_of_people(n_individuals)
    small = {name: np.empty((n_genes, n_individuals, 2), np.int32) for name in _COUNTS}
    flanked = np.empty((n_genes, half + margin), np.uint8)
    standing = earlier.standing(group, genes, small) if earlier else None
    with zarr.config.set({"array.write_empty_chunks": True}):
        for number, gene in enumerate(range(genes.start, genes.stop)):
            rows = slice(*rows_of[number].tolist())
            start, contig = int(starts[number]), str(contigs[number])
            first, stop = reach[number].tolist()
            records = table_of(*sites.of(rows), config.variants)
            encoder = WindowEncoder(
                records=records,
                reference=reference.codes(contig, first, stop),
                reference_start=first,
                tss=start + half,
                length=config.length,
            )
            telling = rows
            if rows.start == rows.stop:  # where no record tells who is haploid, those next to the window do
                beside = slice(max(rows.start - 1, 0), rows.start + 1)
                telling = _on_contig(variants, beside, str(called[number]))
            if standing is not None:
                encoder.know(standing.windows(gene))
            for people in blocks:
                if standing is not None and standing.take_over(gene, people, rows):
                    continue
                genotype = variants["call_genotype"][rows, people]
                phased = (
                    variants["call_genotype_phased"][rows, people] if config.unphased == "iupac" else None
                )
                calls = calls_to_apply(genotype, phased, records, missing_is_n=config.missing == "n")
                ploidy = genotype if len(genotype) else variants["call_genotype"][telling, people]
                others = (variants["call_genotype"][telling, block] for block in blocks if block != people)
                encoded = encoder.encode(calls, haplotypes_present(ploidy, others))
                if standing is not None:
                    standing.check_same(gene, people, encoded.haplotype_id)
                which = encoded.which
                if n_individuals > INDIVIDUALS_IN_CHUNK:  # the last chunk is padded
                    which = np.pad(
                        which, ((0, INDIVIDUALS_IN_CHUNK - len(which)), (0, 0)), constant_values=-1
                    )
                chunk = (gene, people.start // INDIVIDUALS_IN_CHUNK, 0, 0)
                write_chunk(root["haplotype_sequence"], chunk, encode_windows(encoded.windows, which))
                for name, field in _COUNTS.items():
                    small[name][number, people] = getattr(encoded, field)
            flanked[number] = pack(reference.codes(contig, start - margin, start + 2 * half + margin))
        for name, values in small.items():
            root[name][genes] = values
        root["reference_sequence"][genes] = flanked
        root["built"][block] = True


class _Sites:
    """Positions and alleles of records out of ``variants``, whose last chunks stay at hand: genes share them."""

    def __init__(self, variants: Mapping[str, Any]) -> None:
        self._variants = variants
        self._chunk = lru_cache(maxsize=4)(self._read)

    def of(self, rows: slice) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.object_]]:
        """Positions (record,) and alleles (record, allele) of some rows."""
        first = rows.start // SITES_IN_CHUNK
        chunks = [
            self._chunk(number) for number in range(first, max(-(-rows.stop // SITES_IN_CHUNK), first + 1))
        ]
        position, allele = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
        here = slice(rows.start - first * SITES_IN_CHUNK, rows.stop - first * SITES_IN_CHUNK)
        return position[here], allele[here]

    def _read(self, number: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.object_]]:
        rows = slice(number * SITES_IN_CHUNK, (number + 1) * SITES_IN_CHUNK)
        position, allele = (self._variants[f"variant_{name}"][rows] for name in ("position", "allele"))
        return position, np.asarray(allele, dtype=object)


def _on_contig(variants: Mapping[str, Any], rows: slice, contig: str) -> slice:
    """Those of a few rows of the variants that are on a contig."""
    on = np.flatnonzero(np.asarray(variants["variant_contig"][rows], dtype=object) == contig)
    return slice(rows.start + int(on[0]), rows.start + int(on[-1]) + 1) if len(on) else slice(0, 0)


def _blocks_of_people(n_individuals: int) -> list[slice]:
    """The individuals of each chunk."""
    return [
        slice(begin, min(begin + INDIVIDUALS_IN_CHUNK, n_individuals))
        for begin in range(0, n_individuals, INDIVIDUALS_IN_CHUNK)
    ]


_COUNTS = {
    "haplotype_id": "haplotype_id",
    "variants_applied": "applied",
    "variants_skipped": "skipped",
    "genotypes_missing": "missing",
}
