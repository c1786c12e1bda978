"""Whether the arrays of a store agree with each other. The inputs are not needed for that."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from tqdm import tqdm

from seqstore.findings import Findings
from seqstore.genotypes import ABSENT, MISSING
from seqstore.layout import fingerprint
from seqstore.splits import GENE_CLASSES
from seqstore.store_arrays import COUNTS, ROWS_OF_GENE, SEQUENCE, StoreArrays

Windows = npt.NDArray[np.uint8]
_ROWS = tuple(f"variants/{name}" for name in ROWS_OF_GENE)
_OF_ROWS = ("variants/variant_contig", "genotype_contig")
_OF_SPLITS = {"split": set("0123"), "gene_class": set(GENE_CLASSES)}
_CALLS = ("variants/call_genotype", "variants/call_skipped")


def check_soundness(arrays: StoreArrays, findings: Findings) -> None:
    """Compare ids, counts, positions and labels with the windows and calls that they follow from."""
    if fingerprint(arrays.attributes) != arrays.attributes["fingerprint"]:
        findings.differ("zarr.json", "config or inputs are not those that the fingerprint was made of")
    for key in ("length", "reference_margin"):
        if arrays.attributes[key] != arrays.attributes["config"][key]:
            findings.differ(
                "zarr.json",
                f"{key} is {arrays.attributes[key]}, but {arrays.attributes['config'][key]} in config",
            )
    policies = arrays.attributes["policies"]
    for key, value in arrays.attributes["config"].items():
        if key in policies and policies[key] != value:
            findings.differ("zarr.json", f"{key} is {policies[key]!r} in policies, but {value!r} in config")
    _check_splits(arrays, findings)
    for name in ("built", "variants/built"):
        if arrays.can_read(name) and not arrays.read(name).all():
            findings.differ(name, "a part is not marked as built, but the store is marked as complete")
    for name in ("gene", "individual"):
        if arrays.can_read(name) and len(set(arrays.read(name))) < len(arrays.read(name)):
            findings.differ(name, "a label stands there twice")
            arrays.broken.add(name)
    _check_windows(arrays, findings)
    _check_rows(arrays, findings)
    _check_calls(arrays, findings)


def _check_splits(arrays: StoreArrays, findings: Findings) -> None:
    """Look for roles and classes that there are not."""
    for name in arrays.of:
        known = _OF_SPLITS.get(name.rpartition("/")[2]) if name.startswith("splits/") else None
        if known and arrays.can_read(name):
            strange = sorted({str(value) for value in np.unique(arrays.read(name))} - known)
            if strange:
                findings.differ(name, f"{strange[0]} is none of {', '.join(sorted(known))}")


def _check_windows(arrays: StoreArrays, findings: Findings) -> None:
    """Compare windows with ids, and with the reference by the number of their variants."""
    if SEQUENCE not in arrays.of:
        return
    n = 0
    for gene in tqdm(range(arrays.of[SEQUENCE].shape[0]), desc="windows", disable=None):
        windows = _DistinctWindows.of_gene(arrays, gene, findings)
        n += int(np.count_nonzero(windows.which >= 0))
        if arrays.can_read("haplotype_id"):
            _check_ids(arrays, gene, windows, findings)
            if arrays.can_read("reference_sequence", *COUNTS):
                _check_changed(arrays, gene, windows, findings)
    findings.compared("windows", n, "their checksums, haplotype_id, and the reference where no variant is")


@dataclass(frozen=True)
class _DistinctWindows:
    """Which windows of a gene are the same.

    ``which`` (individual, 2): the number of the distinct window, -1 = cannot be decoded; ``changed`` (window,):
    bases that are not the reference's; ``zeros``: the number of the window of zeros, -2 = there is none.
    """

    which: npt.NDArray[np.int64]
    changed: npt.NDArray[np.int64]
    zeros: int

    @classmethod
    def of_gene(cls, arrays: StoreArrays, gene: int, findings: Findings) -> _DistinctWindows:
        """Decode all windows of a gene."""
        which = np.full((arrays.of[SEQUENCE].shape[1], 2), -1, dtype=np.int64)
        number_of: dict[bytes, int] = {}
        changed: list[int] = []
        zeros = -2
        reference = _reference_window(arrays, gene)
        for individual, windows in arrays.windows_of_gene(gene, findings):
            for haplotype, window in enumerate(windows):
                number = number_of.setdefault(xxhash.xxh3_128_digest(window), len(number_of))
                which[individual, haplotype] = number
                if number == len(changed):
                    changed.append(0 if reference is None else _n_bases_changed(window, reference))
                    if not window.any():
                        zeros = number
        return cls(which, np.array(changed, dtype=np.int64), zeros)


def _check_ids(arrays: StoreArrays, gene: int, windows: _DistinctWindows, findings: Findings) -> None:
    """Equal ids are equal windows and the other way round, ids are in first-seen order, -1 has zeros."""
    ids, label = arrays.of_gene("haplotype_id", gene).astype(np.int64), arrays.genes[gene]
    which = windows.which
    pairs, counts = np.unique(np.stack([ids, which])[:, which >= 0], axis=1, return_counts=True)
    usual: dict[int, int] = {}  # the window that most haplotypes of an id have
    for number, window in pairs[:, np.argsort(-counts, kind="stable")].T.tolist():
        usual.setdefault(number, window)
    usual[-1] = windows.zeros
    for number, window in pairs.T.tolist():
        if window == usual[number]:
            continue
        here, other = (
            np.argwhere((ids == number) & (which == of)).tolist() for of in (window, usual[number])
        )
        for place in here:
            if number == -1:
                says = "is -1, no such haplotype, but there is a window"
                findings.differ("haplotype_id", says, **_place(arrays, gene, *place))
                continue
            base = _first_difference(*(arrays.of[SEQUENCE][(gene, *p)] for p in (place, other[0])))
            findings.differ(
                SEQUENCE,
                f"has haplotype_id {number}, but is not the window of {arrays.individuals[other[0][0]]}, "
                f"haplotype {other[0][1]}, which has it, too",
                base=base,
                **_place(arrays, gene, *place),
            )
    id_of: dict[int, int] = {}
    for number, window in sorted(usual.items()):
        if number >= 0 and id_of.setdefault(window, number) != number:
            findings.differ("haplotype_id", f"{id_of[window]} and {number} are the same window", gene=label)
    order = [number for number in dict.fromkeys(ids.ravel().tolist()) if number != -1]
    if order != list(range(len(order))):
        findings.differ("haplotype_id", "is not in first-seen order", gene=label)


def _check_changed(arrays: StoreArrays, gene: int, windows: _DistinctWindows, findings: Findings) -> None:
    """No SNP window differs from the reference at more bases than it has variants; one without any at none."""
    applied, skipped, missing = (arrays.of_gene(name, gene) for name in COUNTS)
    ids, most = arrays.of_gene("haplotype_id", gene), applied + missing
    for place in np.argwhere((ids == -1) & (most + skipped > 0)).tolist():
        says = "there is no such haplotype, but records are counted on it"
        findings.differ(COUNTS[0], says, **_place(arrays, gene, *place))
    changed = np.append(windows.changed, 0)[windows.which]
    limited = (ids >= 0) & ((most == 0) | (arrays.attributes["config"]["variants"] == "snps"))
    for place in np.argwhere(limited & (changed > most)).tolist():
        at = tuple(place)
        findings.differ(
            SEQUENCE,
            f"{changed[at]} bases are not the reference's, but {applied[at]} variants are applied and "
            f"{missing[at]} genotypes missing",
            **_place(arrays, gene, *place),
        )


def _check_rows(arrays: StoreArrays, findings: Findings) -> None:
    """Compare the rows of each gene with the positions of the variants."""
    places = tuple(f"variants/{name}" for name in ("variant_contig", "variant_position", "variant_allele"))
    columns = ("tss", "window_start", "genotype_contig", "reach_start", "reach_stop")
    if not arrays.can_read(*places, *columns, *_ROWS):
        findings.leave_out("rows of genes: an array that they follow from cannot be read")
        return
    contig, position, alleles = (arrays.read(name) for name in places)
    start = position.astype(np.int64) - 1
    stop = start + np.array([len(text) for text in alleles[:, 0].tolist()], dtype=np.int64)
    of_contig: dict[str, tuple[int, int]] = {}
    edges = [0, *(np.flatnonzero(contig[1:] != contig[:-1]) + 1).tolist(), len(contig)]
    for first, last in itertools.pairwise(edges):
        name = str(contig[first])
        if name in of_contig:
            findings.differ(places[0], f"the records of {name} stand apart")
            arrays.broken.add(places[0])
            return
        of_contig[name] = first, last
        if (falls := np.flatnonzero(np.diff(start[first:last]) < 0)).size:
            findings.differ(places[1], f"row {first + falls[0] + 1} comes before the row above it")
            arrays.broken.add(places[1])
            return
    length = arrays.attributes["length"]
    for gene, label in enumerate(arrays.genes):
        tss, window_start, genotype_contig, reach_start, reach_stop = (arrays.read(c)[gene] for c in columns)
        if window_start != tss - 1 - length // 2:
            findings.differ(
                "window_start", f"is {window_start}, which is not {length // 2} before the TSS", gene=label
            )
        first, last = of_contig.get(str(genotype_contig), (0, 0))
        inside = start[first:last], stop[first:last]
        low, high = np.searchsorted(inside[0], (window_start, window_start + length)) + first
        rows = arrays.rows(gene, "variant")
        if (rows.start, rows.stop) != (low, high) and (low < high or rows.start != rows.stop):
            name = f"variants/gene_variant_{'stop' if rows.start == low else 'start'}"
            says = f"the rows are {rows.start}-{rows.stop}, but {low}-{high} are in the window"
            findings.differ(name, says, gene=label)
        reaching = np.flatnonzero((inside[1] > reach_start) & (inside[0] < reach_stop)) + first
        until = int(np.searchsorted(inside[0], reach_stop)) + first
        rows = arrays.rows(gene, "record")
        if reaching.size and not (rows.start <= reaching[0] and rows.stop == until):
            name = f"variants/gene_record_{'stop' if rows.start <= reaching[0] else 'start'}"
            says = f"the rows are {rows.start}-{rows.stop}, but {reaching[0]}-{until} are within the gene's reach"
            findings.differ(name, says, gene=label)
    for name in _ROWS:
        if findings.n_of[name]:  # nothing can be looked up by them
            arrays.broken.add(name)
    findings.compared("genes", len(arrays.genes), "the positions of their variants")


def _check_calls(arrays: StoreArrays, findings: Findings) -> None:
    """Compare who has which haplotype, and the counts of SNP windows, with the calls of the gene's records."""
    if not arrays.can_read("haplotype_id", *COUNTS, *_ROWS, *_CALLS, *_OF_ROWS):
        findings.leave_out("counts: an array that they follow from cannot be read")
        return
    config = arrays.attributes["config"]
    countable = config["variants"] == "snps" and config["unphased"] != "iupac"
    for gene in tqdm(range(len(arrays.genes)), desc="calls", disable=None):
        rows = arrays.rows(gene, "record")
        genotype, skipped = (np.asarray(arrays.of[name][rows]) for name in _CALLS)
        there = _present(genotype if len(genotype) else _beside(arrays, gene, rows))
        ids = arrays.of_gene("haplotype_id", gene)
        for place in np.argwhere((ids >= 0) != there).tolist():
            says = "there is such a haplotype" if there[tuple(place)] else "there is no such haplotype"
            findings.differ(
                "haplotype_id",
                f"is {ids[tuple(place)]}, but by call_genotype {says}",
                **_place(arrays, gene, *place),
            )
        if not countable:
            continue
        expected = ((genotype > 0) & ~skipped, skipped, genotype < 0)
        for name, calls in zip(COUNTS, expected, strict=True):
            counts, stored = np.where(there, calls.sum(axis=0), 0), arrays.of_gene(name, gene)
            for place in np.argwhere(counts != stored).tolist():
                findings.differ(
                    name,
                    f"is {stored[tuple(place)]}, but by call_genotype and call_skipped {counts[tuple(place)]}",
                    **_place(arrays, gene, *place),
                )
    what = "the calls of their records: who has which haplotype" + (", and counts" if countable else "")
    findings.compared("genes", len(arrays.genes), what)


def _beside(arrays: StoreArrays, gene: int, rows: slice) -> npt.NDArray[np.int8]:
    """The calls of the records next to a window without any: they tell who is haploid there."""
    contig, wanted = arrays.read("variants/variant_contig"), str(arrays.read("genotype_contig")[gene])
    near = [row for row in (rows.start - 1, rows.start) if 0 <= row < len(contig) and contig[row] == wanted]
    return np.asarray(arrays.of[_CALLS[0]].oindex[np.array(near, dtype=np.int64)])


def _present(genotype: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Which haplotypes (individual, 2) there are, from the calls (record, individual, 2) of a window.

    A known haploid call is of a first haplotype without a second; where anyone has such a call, those with
    nothing but lone dots (MISSING, ABSENT) have none.
    """
    lone = genotype[..., 1] == ABSENT
    haploid = (lone & (genotype[..., 0] > MISSING)).any(axis=0)
    none = lone.all(axis=0) & ~haploid & haploid.any()
    return np.stack([~none, ~none & ~haploid], axis=-1)


def _reference_window(arrays: StoreArrays, gene: int) -> Windows | None:
    """The packed reference of a gene's window."""
    if not arrays.can_read("reference_sequence"):
        return None
    margin = arrays.attributes["reference_margin"] // 2
    stored = arrays.of_gene("reference_sequence", gene)
    return stored[margin : len(stored) - margin]


def _n_bases_changed(window: Windows, reference: Windows) -> int:
    at = np.flatnonzero(window != reference)
    differing = window[at] ^ reference[at]
    return int(np.count_nonzero(differing & 15) + np.count_nonzero(differing >> 4))


def _first_difference(window: Windows, other: Windows) -> int:
    """The first base in which two packed windows differ."""
    byte = int(np.flatnonzero(window != other)[0])
    return 2 * byte + int((window[byte] ^ other[byte]) & 15 == 0)


def _place(arrays: StoreArrays, gene: int, individual: int, haplotype: int) -> dict[str, Any]:
    """Where something differs, for `Findings.differ`."""
    return {
        "gene": arrays.genes[gene],
        "individual": arrays.individuals[individual],
        "haplotype": haplotype,
    }
