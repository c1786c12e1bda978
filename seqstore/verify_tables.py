"""A store compared with its inputs but for the genotypes: files, reference, genes, samples and expression.

Tables are read as the build reads them. What each cell of the store should be is looked up one label at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pysam

from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.expression import match_genes, read_expression
from seqstore.findings import Findings
from seqstore.genes import gene_ids, read_genes
from seqstore.individuals import read_individuals
from seqstore.labels import read_sample_map, reconcile_individuals
from seqstore.layout import coordinate_name, coordinate_of
from seqstore.plan import _describe_file as describe_file
from seqstore.slow_consensus import IUPAC, cut
from seqstore.store_arrays import StoreArrays
from seqstore.tables import MISSING_NUMBERS

_LETTER_OF_CODE = {sum(1 << "ACGT".index(base) for base in bases): letter for letter, bases in IUPAC.items()}
#: The two letters of each byte of a packed sequence, the first in the low nibble.
_PAIRS = [_LETTER_OF_CODE.get(byte & 15, "N") + _LETTER_OF_CODE.get(byte >> 4, "N") for byte in range(256)]


def letters_of(packed: npt.NDArray[np.uint8]) -> str:
    """The letters of a packed sequence."""
    return "".join(map(_PAIRS.__getitem__, packed.tobytes()))


def first_difference(one: str, other: str) -> int:
    """The index of the first letter in which two sequences of one length differ."""
    return next(index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


class UnchangedInputs:
    """Which input files are what they were when a store was built, by what is noted of them in the store."""

    def __init__(self, inputs: Iterable[Mapping[str, Any]]) -> None:
        #: "" = as it was, else what is different.
        self.now: dict[str, str] = {}
        for was in inputs:
            path = Path(was["path"])
            if not path.exists():
                self.now[str(path)] = "there is no such file any more" + (
                    ""
                    if path.is_absolute()
                    else f" in {Path.cwd()}; the build read it from the folder it was run in"
                )
            elif (now := describe_file(path)) == was:
                self.now[str(path)] = ""
            else:
                of_size = f"{was['size']:,} bytes then, {now['size']:,} now"
                of_size = of_size if was["size"] != now["size"] else "of the same size"
                self.now[str(path)] = f"it was changed after the build ({of_size})"

    def have(self, *paths: str | None) -> bool:
        """Whether all of these files are there and unchanged; None = not given."""
        return not any(self.now[str(Path(path))] for path in paths if path is not None)

    def report(self, findings: Findings) -> None:
        """Say which inputs are others, which is a difference, or are gone, which is none."""
        for path, now in self.now.items():
            if now:
                findings.leave_out(f"what is made of {path}: {now}")
            if now and Path(path).exists():
                findings.differ(path, now)
        n_same = sum(not now for now in self.now.values())
        findings.compared("input files", n_same, "their size and hash when the store was built")


@dataclass(frozen=True)
class Step:
    """A build or an append: what it was made from, and how many genes and individuals the store had ``before``
    and ``after`` it."""

    config: BuildConfig
    inputs: UnchangedInputs
    before: tuple[int, int]
    after: tuple[int, int]


class Fasta:
    """Letters of a FASTA file, through pysam, which the build does not read it with."""

    def __init__(self, path: str) -> None:
        try:
            self._file = pysam.FastaFile(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from error

    def has(self, contig: str) -> bool:
        """Whether there is such a contig."""
        return contig in self._file.references

    def length(self, contig: str) -> int:
        """Bases of a contig."""
        return int(self._file.get_reference_length(contig))

    def letters(self, contig: str, start: int, stop: int) -> str:
        """A 0-based, half-open region in upper case, N outside of the contig."""
        first, last = max(start, 0), min(stop, self.length(contig))
        inside = self._file.fetch(contig, first, last).upper() if first < last else ""
        return cut(inside, start - first, stop - first)


def check_reference(arrays: StoreArrays, fasta: Fasta, path: str, findings: Findings) -> None:
    """Compare the reference of every gene with the FASTA."""
    if not arrays.can_read("reference_sequence", "reference_contig", "window_start"):
        findings.leave_out("reference_sequence: it or the places of the genes cannot be read")
        return
    for label, contig in zip(arrays.genes, arrays.read("reference_contig").tolist(), strict=True):
        if not fasta.has(contig):
            findings.differ("reference_contig", f"{contig} is not in {path}", gene=label)
            arrays.broken.add("reference_contig")
    if "reference_contig" in arrays.broken:
        return
    length, margin = arrays.attributes["length"], arrays.attributes["reference_margin"]
    for gene, label in enumerate(arrays.genes):
        contig, start = str(arrays.read("reference_contig")[gene]), int(arrays.read("window_start")[gene])
        expected = fasta.letters(contig, start - margin, start + length + margin)
        stored = letters_of(arrays.of_gene("reference_sequence", gene))
        if stored != expected:
            base = first_difference(stored, expected)
            findings.differ(
                "reference_sequence",
                f"is {stored[base]}, but {path} has {expected[base]}",
                gene=label,
                base=base,
            )
    findings.compared("reference_sequence of genes", len(arrays.genes), path)


def check_genes(arrays: StoreArrays, steps: Sequence[Step], findings: Findings) -> None:
    """Compare the coordinates of the genes with the gene tables."""
    if not arrays.can_read("gene"):
        return
    for step in steps:
        config = step.config
        if step.inputs.have(config.genes):
            table = read_genes(config.genes, config.build, config.gene_types).set_index("gene")
            for label in arrays.genes[step.before[0] : step.after[0]]:
                if label not in table.index:
                    findings.differ("gene", f"is not in {config.genes}", gene=label)
                    arrays.broken.add("gene")
            n = _check_columns(arrays, table, config.genes, findings, "gene")
            findings.compared("values of the genes' coordinates", n, config.genes)


def check_individuals(
    arrays: StoreArrays, steps: Sequence[Step], genotyped: list[str], findings: Findings
) -> None:
    """Compare the individuals with those of the genotype files, and their coordinates with the sample tables."""
    if not arrays.can_read("individual"):
        return
    for step in steps:
        config, expected = step.config, genotyped
        if not step.inputs.have(config.samples, config.sample_map):
            continue
        if config.samples is not None:
            table = read_individuals(config.samples)
            known = _known(list(table.index), genotyped, config.samples, config)
            table = table.loc[list(known)].rename(index=known)
            expected = [label for label in genotyped if label in table.index]
            n = _check_columns(arrays, table, config.samples, findings, "individual")
            findings.compared("values of the individuals' coordinates", n, config.samples)
        if len(steps) == 1:
            mine = arrays.individuals
            differs = mine != expected
        else:
            mine = arrays.individuals[step.before[1] : step.after[1]]
            differs = not set(mine) <= set(expected)
        if differs:
            others = sorted(set(mine) - set(expected)) + sorted(set(expected) - set(mine))
            says = f"{others[0]} is in one of them only" if others else "their order is another"
            findings.differ("individual", f"are not those of the genotype files and the sample table: {says}")
            arrays.broken.add("individual")
        findings.compared("labels of individuals", len(mine), "genotype files and sample table")


def check_expression(arrays: StoreArrays, steps: Sequence[Step], findings: Findings) -> None:
    """Compare all expression with its tables."""
    if not arrays.can_read("expression", "assay", "gene", "gene_name", "individual"):
        findings.leave_out("expression: it or its labels cannot be relied on")
        return
    assays = list(steps[-1].config.assays)
    if assays != arrays.read("assay").tolist():
        findings.differ(
            "assay", f"is {', '.join(arrays.read('assay'))}, but the config has {', '.join(assays)}"
        )
        return
    for number, assay in enumerate(assays):
        stored = np.asarray(arrays.of["expression"][number])
        try:
            expected, path_of, paths = _expected_expression(arrays, steps, assay)
        except InputError as error:  # the build could match these labels with the table
            findings.differ("expression", f"the labels of the store do not go with {error}")
            continue
        differs = (stored != expected) & ~(np.isnan(stored) & np.isnan(expected)) & (path_of >= 0)
        for gene, individual in np.argwhere(differs).tolist():
            findings.differ(
                "expression",
                f"is {stored[gene, individual]}, but {paths[path_of[gene, individual]]} has "
                f"{expected[gene, individual]} (assay {assay})",
                gene=arrays.genes[gene],
                individual=arrays.individuals[individual],
            )
        if paths:
            n = int(np.count_nonzero(path_of >= 0))
            findings.compared(f"values of expression, assay {assay}", n, " and ".join(paths))


def _expected_expression(
    arrays: StoreArrays, steps: Sequence[Step], assay: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], list[str]]:
    """Expression (gene, individual) by the tables, which of the paths returned each value is from, and these.

    -1 = of no table that is unchanged. A value is from the table of the step that has added it; where that
    is no more, from a later one that has the gene and the individual.
    """
    expected = np.full((len(arrays.genes), len(arrays.individuals)), np.nan, dtype=np.float32)
    path_of = np.full(expected.shape, -1, dtype=np.int64)
    paths: list[str] = []
    names = [str(name) for name in arrays.read("gene_name")]
    ids = gene_ids(pd.DataFrame({name: arrays.read(name) for name in arrays.of if name.lower() == "gene_id"}))
    for step in reversed(steps):
        path = step.config.assays[assay]
        if not step.inputs.have(path, step.config.sample_map):
            continue
        table = read_expression(path)
        known = _known(list(table.columns), arrays.individuals, path, step.config)
        column_of = {person: table.columns.get_loc(label) for label, person in known.items()}
        columns = np.array([column_of.get(label, -1) for label in arrays.individuals])
        values = table.to_numpy(dtype=np.float32)
        numbers = np.arange(len(columns))
        for gene, row in enumerate(match_genes(arrays.genes, names, table.index, path, ids)):
            is_in_table = (columns >= 0) & (row >= 0)
            is_there = (gene < step.after[0]) & (numbers < step.after[1])
            is_added = is_there & ~((gene < step.before[0]) & (numbers < step.before[1]))
            is_of_step = is_added | (is_there & is_in_table)
            expected[gene, is_of_step] = np.where(is_in_table, values[row, columns], np.nan)[is_of_step]
            path_of[gene, is_of_step] = len(paths)
        paths.append(path)
    return expected, path_of, paths


def _known(labels: list[str], known: list[str], path: str, config: BuildConfig) -> dict[str, str]:
    """Which of the known individuals the labels of a table are."""
    sample_map = None if config.sample_map is None else read_sample_map(config.sample_map)
    return reconcile_individuals(labels, known, path=path, sample_map=sample_map).known


def _check_columns(
    arrays: StoreArrays,
    table: pd.DataFrame,
    path: str,
    findings: Findings,
    dimension: Literal["gene", "individual"],
) -> int:
    """Compare the coordinates of a dimension with a table, label by label; returns the number of values."""
    labels = [label for label in arrays.read(dimension).tolist() if label in table.index]
    here = np.flatnonzero(np.isin(arrays.read(dimension).astype(object), labels))
    n = 0
    for column in table.columns:
        name = coordinate_name(str(column))
        if name not in arrays.of:
            findings.differ(name, f"is missing, but {path} has this column")
        if not arrays.can_read(name):
            continue
        expected = coordinate_of(table.loc[labels, column]).tolist()
        for label, value, should_be in zip(labels, arrays.read(name)[here].tolist(), expected, strict=True):
            if not _is_same(value, should_be):
                place: dict[str, Any] = {dimension: label}
                findings.differ(name, f"is {value!r}, but {path} has {should_be!r}", **place)
        n += len(labels)
    return n


def _is_same(value: Any, other: Any) -> bool:
    """Whether two values are the same; what is a number for a part of a column may be text in the whole."""
    if value == other or str(value) == str(other):
        return True
    try:
        return float(value) == float(other)
    except ValueError:
        return str(value) in MISSING_NUMBERS and str(other) in MISSING_NUMBERS
