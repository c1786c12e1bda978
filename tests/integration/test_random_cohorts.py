"""Random cohorts through the whole build, every window against `bcftools consensus` of the whole contig.

``SEQSTORE_COHORTS`` is the number of cohorts of the slow test (500), of which half are drawn by vcfixture.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings

import seqstore
from seqstore.build import build
from seqstore.config import BuildConfig
from seqstore.coordinates import NOWHERE, window_coordinates
from seqstore.nucleotides import decode, unpack
from tests.conftest import Call, write_cohort
from tests.oracle import Consensus, comparable, consensus
from tests.random_cohorts import RandomCohort, drawn_cohorts, nasty_cohort

SetChunks = Callable[..., None]
N_SLOW = int(os.environ.get("SEQSTORE_COHORTS", "500"))
_DRAWN = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(params=["as they are", "small"])
def chunks(request: pytest.FixtureRequest, set_chunks: SetChunks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tiny cohorts, every chunk and every task is one; "small" makes many of them."""
    if request.param == "small":
        set_chunks(individuals=2, genes=2, variants=4, sites=8)
        monkeypatch.setattr("seqstore.scan.SCAN_BASES", 150)
        monkeypatch.setattr("seqstore.scan.FIRST_GROWTH", 16)


@pytest.mark.usefixtures("chunks")
def test_nasty_records(bcftools: str, tmp_path: Path) -> None:
    n_windows = [compared(bcftools, tmp_path, nasty_cohort(np.random.default_rng(seed))) for seed in range(6)]
    assert sum(n_windows) > 60


@settings(_DRAWN, max_examples=12)
@given(drawn_cohorts())
def test_records_of_vcfixture(
    bcftools: str, tmp_path_factory: pytest.TempPathFactory, cohort: RandomCohort
) -> None:
    compared(bcftools, tmp_path_factory.getbasetemp() / "drawn", cohort)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("chunks")
def test_many_nasty_records(bcftools: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    small = request.node.callspec.params["chunks"] == "small"
    seeds = np.random.SeedSequence(20).spawn(N_SLOW // 2)[small::2]
    n_windows = sum(compared(bcftools, tmp_path, nasty_cohort(np.random.default_rng(seed))) for seed in seeds)
    assert n_windows > 8 * len(seeds)


@pytest.mark.slow
@pytest.mark.timeout(0)
@settings(_DRAWN, max_examples=max(N_SLOW - N_SLOW // 2, 1))
@given(drawn_cohorts())
def test_many_records_of_vcfixture(
    bcftools: str, tmp_path_factory: pytest.TempPathFactory, cohort: RandomCohort
) -> None:
    compared(bcftools, tmp_path_factory.getbasetemp() / "many_drawn", cohort)


def compared(bcftools: str, folder: Path, cohort: RandomCohort) -> int:
    """Build a store of a cohort and compare all of it with bcftools; returns the number of windows."""
    shutil.rmtree(folder, ignore_errors=True)
    files = write_cohort(folder, cohort.contigs, cohort.people, cohort.calls, cohort.genes)
    config = files.config(**cohort.keys)
    truth_calls = comparable(cohort.calls, config.variants, unphased=config.unphased)
    try:
        build(config)
    except seqstore.InputError as error:
        if "no variant is left in any window" not in str(error):
            raise
        return 0
    upper = {contig: bases.upper() for contig, bases in cohort.contigs.items()}
    write_cohort(folder / "truth", upper, cohort.people, truth_calls, cohort.genes)
    store, reader = seqstore.open_store(config.store), seqstore.HaplotypeReader(config.store)
    variants = seqstore.open_variants(config.store).load()
    windows = {gene: reader.distinct(gene) for gene in range(len(cohort.genes))}
    ids = store.haplotype_id.values
    found = []  # the haplotypes that there are
    for number, person in enumerate(cohort.people):
        for haplotype in (0, 1):
            truth = consensus(
                bcftools,
                folder / "truth",
                person,
                f"{haplotype + 1}pIu" if config.unphased == "iupac" else str(haplotype + 1),
                missing_is_n=config.missing == "n",
            )
            check_skipped(variants, config, len(truth_calls), number, haplotype, truth.n_applied)
            for gene, (contig, tss) in enumerate(cohort.genes):
                row = ids[gene, number, haplotype]
                check_presence(row, truth_calls, contig, tss, config.length, number, haplotype)
                if row < 0:
                    continue
                window = decode(unpack(windows[gene][row]))
                where = f"G{gene} ({contig}:{tss}) of {person}, haplotype {haplotype}, in {folder}"
                expected = truth.contigs[contig].window(tss - 1, config.length)
                if expected is None:  # the TSS base is in a gap of the chain
                    assert window in truth.contigs[contig].padded(config.length), where
                else:
                    assert window == expected, where
                found.append((gene, person, haplotype, truth.contigs[contig], tss))
    for gene, distinct in windows.items():
        assert len(np.unique(distinct, axis=0)) == len(distinct), f"two ids of G{gene} have equal windows"
    if found:
        check_coordinates(config.store, *found[len(cohort.calls) % len(found)], config.length)
    return len(found)


def check_skipped(
    variants: xr.Dataset, config: BuildConfig, n_records: int, number: int, haplotype: int, n_applied: int
) -> None:
    """Calls of ALT alleles that are not marked are as many as bcftools applies, where the store has all records."""
    if (
        variants.sizes["variant"] == n_records
        and config.missing == "reference"
        and config.unphased != "iupac"
    ):
        calls = variants.call_genotype.values[:, number, haplotype]
        skipped = variants.call_skipped.values[:, number, haplotype]
        assert np.count_nonzero((calls > 0) & ~skipped) == n_applied


def check_presence(
    row: int, calls: list[Call], contig: str, tss: int, length: int, number: int, haplotype: int
) -> None:
    """Who has a call of two alleles in the window has both haplotypes, who has a haploid one only the first."""
    start = tss - 1 - length // 2
    genotypes = [
        texts[number]
        for on, position, _, _, _, texts in calls
        if on == contig and start < position <= start + length
    ]
    if any(len(text) == 1 and text != "." for text in genotypes):
        assert (row == -1) == (haplotype == 1)
    elif any(len(text) > 1 for text in genotypes):
        assert row >= 0


def check_coordinates(
    store: str, gene: int, person: str, haplotype: int, truth: Consensus, tss: int, length: int
) -> None:
    """Every pair of bases that the chain aligns is aligned by `window_coordinates`, both ways."""
    ours = window_coordinates(store, f"G{gene}", person, haplotype)
    middle = truth.position_of(tss - 1)
    if middle is None:
        return
    start = middle - length // 2
    for first, at, n in truth.blocks:
        for offset in range(n):
            index = at + offset - start
            if 0 <= index < length:
                assert ours.reference[index] == first + offset
                assert ours.to_haplotype(first + offset) == index
            else:
                assert ours.to_haplotype(first + offset) == NOWHERE
