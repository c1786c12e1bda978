"""``seqstore verify``: is a store sound, and is it what its inputs make?

Everything in the store is compared with everything else in it, the tables and the reference with all that was
made of them, and random cells with what an independent route makes of the genotypes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqstore.bcftools import find_bcftools
from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.findings import Findings
from seqstore.genotypes import GenotypeSource, open_genotypes
from seqstore.locations import failures_named, place_of
from seqstore.slow_consensus import SourceRecords, VcfRecords
from seqstore.soundness import check_soundness
from seqstore.store import check_store
from seqstore.store_arrays import StoreArrays, check_arrays
from seqstore.verify_records import GenotypeFile, RecordCheck
from seqstore.verify_tables import (
    Fasta,
    Step,
    UnchangedInputs,
    check_expression,
    check_genes,
    check_individuals,
    check_reference,
)
from seqstore.verify_windows import WindowCheck

_VCF = (".vcf.gz", ".vcf.bgz", ".bcf")
_BESIDE_PGEN = (".pvar", ".pvar.zst", ".psam")


@dataclass(frozen=True)
class Report:
    """What a verification of the store at ``store`` has found."""

    store: str
    cells: int
    seed: int
    findings: Findings

    @property
    def is_sound(self) -> bool:
        """Whether nothing differs."""
        return not self.findings.differences

    def as_dict(self) -> dict[str, Any]:
        """The report for programs: JSON types only."""
        found = self.findings
        return {
            "store": self.store,
            "sound": self.is_sound,
            "cells": self.cells,
            "seed": self.seed,
            "compared": [dataclasses.asdict(check) for check in found.checks],
            "left_out": found.left_out,
            "n_differences": dict(found.n_of),
            "differences": [dataclasses.asdict(difference) for difference in found.differences],
        }

    def lines(self) -> list[str]:
        """The report for people."""
        found = self.findings
        lines = [str(check) for check in found.checks]
        lines += [f"not compared: {what}" for what in found.left_out]
        for array, n in found.n_of.items():
            listed = [difference for difference in found.differences if difference.array == array]
            lines += [f"differs: {difference}" for difference in listed]
            if n > len(listed):
                lines.append(f"differs: {array}: {n - len(listed):,} more")
        n = found.n_of.total()
        sound = "sound, but for what was not compared" if found.left_out else "sound"
        verdict = sound if not n else f"{n:,} difference{'s' if n > 1 else ''}"
        return [*lines, f"{self.store}: {verdict}"]


def verify_store(path: str | Path, *, cells: int = 100, seed: int = 0) -> Report:
    """Compare a finished store with itself and with its inputs.

    ``cells`` windows and as many records are drawn with ``seed`` and made again; all else is compared whole.

    Raises:
        InputError: no finished store stands at ``path``, or an unchanged input cannot be read.
    """
    if cells < 0:
        raise InputError(f"--cells {cells}: is negative")
    place, attributes = place_of(path), check_store(path)
    findings = Findings()
    with failures_named(place):
        arrays = StoreArrays(place, attributes)
        check_arrays(arrays, findings)
        check_soundness(arrays, findings)
        _check_inputs(arrays, _steps(arrays), findings, cells, np.random.default_rng(seed))
    return Report(str(path), cells, seed, findings)


def _steps(arrays: StoreArrays) -> list[Step]:
    """The build of a store and what was appended to it."""
    attributes, sizes = arrays.attributes, (len(arrays.genes), len(arrays.individuals))
    states = [(state, (state["n_genes"], state["n_individuals"])) for state in attributes.get("earlier", [])]
    steps: list[Step] = []
    before = (0, 0)
    for state, after in [*states, (attributes, sizes)]:
        if strange := set(state["config"]) - {key.name for key in dataclasses.fields(BuildConfig)}:
            raise InputError(f"{arrays.path}: was built with {min(strange)}, which needs a newer seqstore")
        config = BuildConfig(**state["config"], store=str(arrays.path))
        inputs = state["inputs"]
        if state is not attributes:  # the genotypes of the last step have everyone and everything
            inputs = [was for was in inputs if str(Path(was["path"])) in _tables(config)]
        steps.append(Step(config, UnchangedInputs(inputs), before, after))
        before = after
    return steps


def _check_inputs(
    arrays: StoreArrays, steps: list[Step], findings: Findings, cells: int, rng: np.random.Generator
) -> None:
    """Compare what the unchanged inputs make with the store."""
    config, inputs = steps[-1].config, steps[-1].inputs
    inputs.report(findings)
    for step in steps[:-1]:
        for path, now in step.inputs.now.items():
            if now:
                findings.leave_out(f"what was made of {path} before an append: {now}")
    sources = _unchanged_genotypes(config, inputs)
    check_genes(arrays, steps, findings)
    if sources:
        check_individuals(arrays, steps, list(sources[0].individuals), findings)
    check_expression(arrays, steps, findings)
    file_of = {contig: _read_again(source) for source in sources for contig in source.contigs}
    records = RecordCheck(arrays, config, file_of, findings)
    records.check_covered()
    records.check_random(cells, rng)
    if inputs.have(config.reference):
        fasta = Fasta(config.reference)
        check_reference(arrays, fasta, config.reference, findings)
        WindowCheck(records, fasta, find_bcftools()).check_random(cells, rng)


def _tables(config: BuildConfig) -> set[str]:
    """The inputs that are no genotypes."""
    tables = (config.reference, config.genes, config.samples, config.sample_map, *config.assays.values())
    return {str(Path(path)) for path in tables if path is not None}


def _unchanged_genotypes(config: BuildConfig, inputs: UnchangedInputs) -> list[GenotypeSource]:
    """The genotype files that are as they were, each by itself."""
    of_genotypes = [path for path in inputs.now if path not in _tables(config)]
    sources: list[GenotypeSource] = [
        open_genotypes(path) for path in of_genotypes if inputs.have(path) and not path.endswith(_BESIDE_PGEN)
    ]
    return [source for source in sources if inputs.have(*source.paths)]


def _read_again(source: GenotypeSource) -> GenotypeFile:
    """How the records of a file are read for comparison."""
    path = source.paths[0]
    is_vcf = path.endswith(_VCF)
    return GenotypeFile(
        VcfRecords(path) if is_vcf else SourceRecords(source), source, path if is_vcf else None
    )
