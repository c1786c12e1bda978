"""A build that is killed with its workers, at any moment, ends in the same bytes when it is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from seqstore.errors import InputError
from seqstore.layout import attributes_of
from seqstore.simulate import simulate
from seqstore.store import open_store
from tests.conftest import hashes


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kill_everything_at_random_moments(tmp_path: Path) -> None:
    simulate(str(tmp_path / "cohort"), european=520, african=30, contigs=2, genes=40, negative_controls=4)
    rng = np.random.default_rng(0)
    command = [sys.executable, "-m", "seqstore.cli", "build", "--config", str(tmp_path / "cohort/build.yaml")]
    command += ["--length", "16384", "--workers", "2", "--store"]
    start = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole.zarr")], check=True, capture_output=True)
    seconds = time.monotonic() - start
    expected = hashes(tmp_path / "whole.zarr")
    n_killed = 0
    for trial in range(6):
        store = tmp_path / f"killed{trial}.zarr"
        while not is_complete(store):
            process = subprocess.Popen(
                [*command, str(store)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                process.wait(timeout=seconds * rng.uniform(0.2, 1.2))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                n_killed += 1
            if not is_complete(store):
                with pytest.raises(InputError, match=r"no store here|unfinished"):
                    open_store(store)
        assert hashes(store) == expected
    assert n_killed > 5


def is_complete(store: Path) -> bool:
    return (attributes_of(store) or {}).get("status") == "complete"
