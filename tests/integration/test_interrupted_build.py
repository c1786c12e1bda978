"""Ctrl-C while a build runs, and a second build on the same output."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import hashes
from tests.interruptions import Subject, children_of, is_running, status_of


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject.make(tmp_path_factory.mktemp("interrupted"), people=60, genes=40, length=8192)


def interrupt(subject: Subject, store: Path, workers: int, after: float, *, how: str) -> int:
    """Press Ctrl-C at a moment of a build; returns its exit code."""
    process = subject.start(store, workers=workers)
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        children = children_of(process)
        send = os.kill if how == "to the command" else os.killpg  # a terminal tells the workers too
        send(process.pid, signal.SIGINT)
        if how == "twice":
            time.sleep(after % 0.5)
            send(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=120)
        ends = time.monotonic() + 10
        while any(map(is_running, children)) and time.monotonic() < ends:
            time.sleep(0.05)
        assert not any(map(is_running, children))
        assert "Traceback" not in said, said
        assert "%|" not in said  # no progress bars where nobody watches
        if process.returncode == 130:
            assert said.splitlines()[-1] == "interrupted; run the same command again to go on"
        else:  # too late: Python itself was ending already
            assert process.returncode in (0, -signal.SIGINT)
            assert status_of(store) == "complete" or how == "twice", said
        return process.returncode
    _, said = process.communicate()
    assert process.returncode == 0, said
    return 0


def test_an_interrupted_build_says_one_line_and_goes_on(subject: Subject, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    code = interrupt(subject, store, 2, 2 + 0.4 * subject.seconds, how="in a terminal")
    assert not store.with_name("store.zarr.building").exists()
    if code == 130:
        assert interrupt(subject, store, 1, 600, how="never") == 0
    assert hashes(store) == subject.expected


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("workers", [1, 2])
def test_interrupts_at_random_moments(subject: Subject, tmp_path: Path, workers: int) -> None:
    rng = np.random.default_rng(workers)
    n_interrupted, trial = 0, 0
    while n_interrupted < 8:
        store = tmp_path / f"store{trial}.zarr"
        while status_of(store) != "complete":
            longest = (0.2 + subject.seconds) if workers == 1 else 3 + subject.seconds
            how = str(rng.choice(["in a terminal", "to the command", "twice"]))
            code = interrupt(subject, store, workers, rng.uniform(0, longest), how=how)
            n_interrupted += code == 130
        assert hashes(store) == subject.expected
        trial += 1
        assert trial < 40 or n_interrupted


def test_a_finished_build_started_again_does_nothing(subject: Subject, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    for said in ("store.zarr: complete\n", "store.zarr: complete already\n"):
        process = subject.start(store)
        assert process.communicate()[1].endswith(said)
        assert process.returncode == 0
        assert hashes(store) == subject.expected
    changed = subject.start(store, "--missing", "n")
    assert changed.communicate()[1].startswith(f"error: {store}: a finished store stands there already")
    assert changed.returncode == 2
    assert hashes(store) == subject.expected


def test_of_two_builds_on_one_output_one_is_refused(subject: Subject, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    one, other = (subject.start(store) for _ in range(2))
    said = {process: process.communicate()[1] for process in (one, other)}
    codes = {one.returncode, other.returncode}
    assert 0 in codes <= {0, 2}, said
    if 2 in codes:
        line = next(text for process, text in said.items() if process.returncode == 2).splitlines()[-1]
        assert line.startswith(f"error: {store}: ")
        assert any(reason in line for reason in ("is building it; wait", "another build wrote to it"))
    else:  # one came when the other was done
        assert any("complete already" in text for text in said.values()), said
    assert hashes(store) == subject.expected
    assert sorted(tmp_path.iterdir()) == [store]
