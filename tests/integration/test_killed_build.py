"""A build that is killed with its workers, at any moment, ends in the same bytes when it is started again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from seqstore.errors import InputError
from seqstore.store import describe_store, open_store
from tests.conftest import hashes
from tests.interruptions import Subject, children_of, status_of


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject.make(tmp_path_factory.mktemp("killed"), people=520, genes=40, length=16_384)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kill_everything_at_random_moments(subject: Subject, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    killed: Counter[str | None] = Counter()
    trial = 0
    while trial < 5 or sum(killed.values()) < 25 or not killed["scanning"] or not killed["building"]:
        workers, store = 1 + trial % 2, tmp_path / f"killed{trial}.zarr"
        while status_of(store) != "complete":
            process = subject.start(store, workers=workers)
            try:
                process.communicate(timeout=rng.uniform(0, 2 * workers + 0.8 * subject.seconds))
                assert process.returncode == 0
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                killed[status_of(store)] += 1
            if status_of(store) != "complete":
                assert_refused(store)
        assert hashes(store) == subject.expected
        trial += 1
    print(trial, "builds, killed while", dict(killed))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kill_single_workers_at_random_moments(subject: Subject, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n_killed = trial = 0
    while trial < 4 or n_killed <= 10:
        store = tmp_path / f"killed{trial}.zarr"
        for _ in range(8):
            process = subject.start(store, workers=2)
            left = 1 if trial % 2 else 9  # one of them, or one after the other
            while process.poll() is None:
                try:
                    process.wait(timeout=rng.uniform(0, 0.4 * subject.seconds))
                except subprocess.TimeoutExpired:
                    running = [
                        child for child in children_of(process) if "spawn_main" in str(child.cmdline())
                    ]
                    if left and running and (store / "spool").exists():
                        running[rng.integers(len(running))].kill()
                        left -= 1
                        n_killed += 1
            _, said = process.communicate()
            if process.returncode == 0:
                break
            assert process.returncode == 2, said
            assert said.splitlines()[-1].startswith("error: "), said
            assert "Traceback" not in said
            assert_refused(store)
        assert hashes(store) == subject.expected
        trial += 1
    print(n_killed, "workers killed in", trial, "builds")


def assert_refused(store: Path) -> None:
    """What is not finished cannot be opened as if it were, and can be described."""
    with pytest.raises(InputError, match=r"no store here|unfinished.*again"):
        open_store(store)
    if status_of(store) is not None:
        assert describe_store(store)["missing"]
