from __future__ import annotations

from pathlib import Path

import pytest

from seqstore.build import build
from seqstore.config import BuildConfig
from seqstore.errors import InputError


def test_genotypes_of_another_build_are_refused(
    real: Path, real_inputs: dict[str, str], tmp_path: Path
) -> None:
    """18,968 of all 24,990 REF alleles disagree; the windows hold a part of them."""
    genotypes = str(real / "geno/eur503.chr20_1-4Mb.GRCh37.vcf.gz")
    inputs = real_inputs | {"genotypes": genotypes}
    with pytest.raises(InputError, match=r"GRCh37.vcf.gz: 20:\d+: REF is \w+ but .* wrong genome build\?"):
        build(BuildConfig(**inputs, store=str(tmp_path / "s.zarr"), workers=1))
    assert list(tmp_path.iterdir()) == []


def test_genes_of_another_build_are_refused(real: Path, real_inputs: dict[str, str], tmp_path: Path) -> None:
    table = (
        (real / "annot/genes.GRCh37.tsv")
        .read_text()
        .replace("\n", "\tGRCh37\n")
        .replace("GRCh37", "build", 1)
    )
    genes = tmp_path / "genes.tsv"
    genes.write_text(table)
    with pytest.raises(InputError, match="in build GRCh37, but the config's build is GRCh38"):
        build(
            BuildConfig(
                **(real_inputs | {"genes": str(genes)}), build="GRCh38", store=str(tmp_path / "s.zarr")
            )
        )
