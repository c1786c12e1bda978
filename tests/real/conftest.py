"""Real data beside the checkout (503 people, 3 Mb of chr20); everything here skips without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.__main__ import COMMANDS
from seqstore.build import build
from seqstore.commands import run
from seqstore.config import BuildConfig

REAL = Path(__file__).parents[2].parent / "shared" / "real"


Analysis = Callable[..., None]


@pytest.fixture
def analysis() -> Analysis:
    """Runs `python -m analysis` with some arguments, which is to succeed."""

    def call(*arguments: object) -> None:
        with pytest.raises(SystemExit) as stopped:
            run("python -m analysis", COMMANDS, [str(argument) for argument in arguments])
        assert stopped.value.code == 0

    return call


@pytest.fixture(scope="session")
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip(f"no real data at {REAL}")
    return REAL


@pytest.fixture(scope="session")
def real_inputs(real: Path) -> dict[str, str]:
    return {
        "genotypes": str(real / "geno/eur503.chr20_1-4Mb.GRCh38.vcf.gz"),
        "reference": str(real / "ref/chr20_1-10Mb.GRCh38.fa.gz"),
        "genes": str(real / "annot/genes.GRCh38.tsv"),
        "expression": str(real / "expr/expression.chr20.tsv"),
        "samples": str(real / "annot/samples.tsv"),
    }


@pytest.fixture(scope="session")
def real_store(real_inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("real") / "chr20.zarr"
    build(BuildConfig(**real_inputs, store=str(store), workers=2))
    return store


@pytest.fixture(scope="session")
def real_store_all(real_inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Insertions and deletions too."""
    store = tmp_path_factory.mktemp("real_all") / "chr20.zarr"
    build(BuildConfig(**real_inputs, store=str(store), variants="all", workers=2))
    return store
