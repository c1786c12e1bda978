"""Appending that is killed, at any moment, leaves a whole store, and ends in the same bytes when started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import seqstore
from seqstore.simulate import simulate
from tests.conftest import hashes
from tests.same_store import assert_same_store


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("kind", ["genes", "people"])
def test_kill_everything_at_random_moments(tmp_path: Path, kind: str) -> None:
    simulate(str(tmp_path / "cohort"), european=520, african=30, contigs=2, genes=20, negative_controls=2)
    old, store, anew = (tmp_path / name for name in ("old.zarr", "store.zarr", "anew.zarr"))
    command = [sys.executable, "-m", "seqstore.cli", "--config", str(tmp_path / "cohort/build.yaml")]
    command += ["--length", "8192", "--workers", "2"]

    def run(what: str, *options: str) -> subprocess.Popen[bytes]:
        arguments = [*command[:3], what, *command[3:], *options]
        return subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    table = {"genes": "genes", "people": "samples"}[kind]
    of_all = next(path for path in (tmp_path / "cohort").iterdir() if path.name.startswith(table))
    header, *rows = of_all.read_text().splitlines(keepends=True)
    few = tmp_path / f"few.{table}.tsv"
    few.write_text(header + "".join(rows[:-9]))
    assert run("build", f"--{table}", str(few), "--store", str(old)).wait() == 0
    assert run("build", "--store", str(anew)).wait() == 0
    shutil.copytree(old, store)
    start = time.monotonic()
    assert run("append", "--store", str(store)).wait() == 0
    seconds = time.monotonic() - start
    assert_same_store(store, anew)
    expected = hashes(store)
    before, after = (seqstore.HaplotypeReader(path) for path in (old, store))
    sizes = {(reader.n_genes, reader.n_individuals) for reader in (before, after)}
    rng = np.random.default_rng(0)
    genes, people = rng.integers(0, before.n_genes, 9), rng.integers(0, before.n_individuals, 9)
    windows = before.read(genes, people)
    n_killed = 0
    while n_killed < 8:
        shutil.rmtree(store)
        shutil.copytree(old, store)
        while True:
            process = run("append", "--store", str(store))
            try:
                process.wait(timeout=seconds * rng.uniform(0.1, 1))
                assert process.returncode == 0
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                n_killed += 1
            reader = seqstore.HaplotypeReader(store)
            assert (reader.n_genes, reader.n_individuals) in sizes
            np.testing.assert_array_equal(reader.read(genes, people), windows)
        assert hashes(store) == expected
        assert [path.name for path in tmp_path.glob("store.zarr.*")] == []


@pytest.mark.slow
def test_there_is_a_store_at_every_moment(tmp_path: Path) -> None:
    """Whoever opens it while it is replaced finds the old or the new one."""
    from seqstore.swap import beside, swap

    simulate(str(tmp_path / "cohort"), european=20, african=0, contigs=1, genes=3, negative_controls=0)
    store = tmp_path / "store.zarr"
    command = [sys.executable, "-m", "seqstore.cli", "build", "--config", str(tmp_path / "cohort/build.yaml")]
    subprocess.run([*command, "--length", "512", "--store", str(store)], check=True, capture_output=True)
    shutil.copytree(store, tmp_path / "kept.zarr")
    opener = "import sys\nfrom seqstore.store import check_store\nwhile True:\n    check_store(sys.argv[1])\n"
    readers = [
        subprocess.Popen([sys.executable, "-c", opener, str(store)], stderr=subprocess.PIPE) for _ in range(2)
    ]
    try:
        stop = time.monotonic() + 20
        while time.monotonic() < stop:
            shutil.copytree(tmp_path / "kept.zarr", beside(str(store)))
            swap(str(store))
            assert [reader.poll() for reader in readers] == [None, None], readers
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()
