"""Stores of the real cohort are what bcftools and the slow path make of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import zarr

from seqstore.build import build
from seqstore.config import BuildConfig
from seqstore.verify import verify_store
from tests.unit.genotype_files import optional


def windows_of(report: Any) -> dict[str, int]:
    """How many random windows were made by which routes."""
    checks = report.findings.checks
    return {check.against: check.n for check in checks if check.what == "random windows"}


def test_a_store_of_snps_is_sound(real_store: Path, bcftools: str) -> None:
    report = verify_store(real_store, cells=60, seed=1)
    assert report.is_sound, report.lines()
    assert report.findings.left_out == []
    assert windows_of(report) == {"bcftools consensus 1.16 and the slow path": 60}
    n_of = {check.what: check.n for check in report.findings.checks}
    assert n_of["windows"] == 54 * 503 * 2
    assert n_of["values of expression, assay expression"] == 54 * 503


@pytest.mark.parametrize("ending", ["vcf.gz", "pgen"])
def test_a_store_of_all_variants_is_sound(
    real: Path, real_inputs: dict[str, str], tmp_path: Path, bcftools: str, ending: str
) -> None:
    if ending == "pgen":
        optional("pgenlib")
    genes = (real / "annot/genes.GRCh38.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "genes.tsv").write_text("".join(genes[:13]))
    inputs = real_inputs | {
        "genotypes": str(real / f"geno/eur503.chr20_1-4Mb.GRCh38.{ending}"),
        "genes": str(tmp_path / "genes.tsv"),
    }
    store = tmp_path / "all.zarr"
    build(BuildConfig(**inputs, store=str(store), variants="all", workers=1))
    report = verify_store(store, cells=60)
    assert report.is_sound, report.lines()
    route = "bcftools consensus 1.16 and the slow path" if ending == "vcf.gz" else "the slow path"
    assert windows_of(report) == {route: 60}
    group: Any = zarr.open_group(store, mode="r+")
    group["variants_skipped"][3] += 1
    assert set(verify_store(store, cells=200).findings.n_of) == {"variants_skipped"}
