"""The same real calls in four formats: every reader gives the same records."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pysam.bcftools
import pytest

from seqstore.genotypes import GenotypeSource, Record, open_genotypes
from tests.unit.genotype_files import optional, to_bcf, to_vcf_zarr

CONTIG = "chr20"
#: A part of the region, for formats that a test has to make first.
START, STOP = 1_060_000, 1_110_000
STEM = "geno/eur503.chr20_1-4Mb.GRCh38"


def assert_same_records(found: Iterable[Record], expected: Iterable[Record]) -> int:
    """Compare records field by field; returns how many there are."""
    n = 0
    for ours, theirs in itertools.zip_longest(found, expected):
        fields = [
            (record.contig, record.position, record.id, record.alleles, record.filters)
            for record in (ours, theirs)
        ]
        assert fields[0] == fields[1]
        np.testing.assert_array_equal(ours.genotype, theirs.genotype)
        np.testing.assert_array_equal(ours.phased, theirs.phased)
        n += 1
    return n


@pytest.fixture(scope="module")
def vcf(real: Path) -> GenotypeSource:
    return open_genotypes(str(real / f"{STEM}.vcf.gz"))


@pytest.fixture(scope="module")
def few(real: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A VCF of the part of the region."""
    path = str(tmp_path_factory.mktemp("few") / "few.vcf.gz")
    region = f"{CONTIG}:{START + 1}-{STOP}"
    whole = str(real / f"{STEM}.vcf.gz")
    pysam.bcftools.view("-Oz", "-o", path, whole, region, catch_stdout=False)
    pysam.bcftools.index("-t", path, catch_stdout=False)
    return path


def test_pgen_equals_vcf(real: Path, vcf: GenotypeSource) -> None:
    optional("pgenlib")
    pgen = open_genotypes(str(real / f"{STEM}.pgen"))
    assert (pgen.individuals, pgen.contigs) == (vcf.individuals, vcf.contigs)
    assert len(pgen.paths) == 3
    assert pgen.span(CONTIG) == vcf.span(CONTIG)
    whole = (CONTIG, 0, 10**8)
    assert assert_same_records(pgen.records(*whole), vcf.records(*whole)) == 24_990
    rng = np.random.default_rng(2)
    for position in rng.integers(*vcf.span(CONTIG), 100).tolist():
        assert pgen.first_reaching(CONTIG, position) == vcf.first_reaching(CONTIG, position)
    labels = [vcf.individuals[i] for i in rng.choice(503, 20, replace=False)]
    part = (CONTIG, START, STOP)
    assert assert_same_records(pgen.subset(labels).records(*part), vcf.subset(labels).records(*part)) > 300


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_vcf_zarr_equals_vcf(zarr_format: int, few: str, vcf: GenotypeSource, tmp_path: Path) -> None:
    path = to_vcf_zarr(few, tmp_path / "few.vcz", zarr_format=zarr_format, rows=100, people=200)
    found = open_genotypes(path)
    assert found.individuals == vcf.individuals
    for start, stop in ((START, STOP), (START + 12_345, STOP - 4_321)):
        n = assert_same_records(found.records(CONTIG, start, stop), vcf.records(CONTIG, start, stop))
        assert n > 200
    labels = list(vcf.individuals[::-50])
    part = (CONTIG, START, STOP)
    assert assert_same_records(found.subset(labels).records(*part), vcf.subset(labels).records(*part)) > 300


def test_bcf_equals_vcf(few: str, vcf: GenotypeSource) -> None:
    bcf = open_genotypes(to_bcf(few))
    part = (CONTIG, START, STOP)
    assert assert_same_records(bcf.records(*part), vcf.records(*part)) > 300
    labels = list(vcf.individuals[10:400:7])
    assert assert_same_records(bcf.subset(labels).records(*part), vcf.subset(labels).records(*part)) > 300


def test_first_reaching_on_real_deletions(vcf: GenotypeSource) -> None:
    """Against the extents of all records."""
    extents = [
        (record.position - 1, record.position - 1 + len(record.alleles[0]))
        for record in vcf.records(CONTIG, START, STOP)
    ]
    within = {position for start, stop in extents for position in range(start + 1, stop)}
    assert len(within) > 20
    for position in sorted(within | {position + 1 for position in within}):
        expected = position
        while reaching := [start for start, stop in extents if start < expected < stop]:
            expected = min(reaching)
        assert vcf.first_reaching(CONTIG, position) == expected
