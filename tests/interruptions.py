"""A cohort whose build is worth interrupting, and that build as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from seqstore.layout import attributes_of
from seqstore.simulate import simulate
from tests.conftest import hashes

#: Says when everything is imported: until then an interrupt is Python's affair. Where the tests run in the
#: background of a shell, that has made them ignore Ctrl-C.
_COMMAND = (
    "import signal, seqstore.build, seqstore.cli; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "print('ready', flush=True); seqstore.cli.main()"
)


@dataclass(frozen=True)
class Subject:
    """A simulated cohort with its config, and what an undisturbed build of it makes.

    ``seconds`` is how long that took on one process, from the end of its imports on.
    """

    config: Path
    options: tuple[str, ...]
    expected: dict[str, str]
    seconds: float

    @classmethod
    def make(cls, folder: Path, *, people: int, genes: int, length: int) -> Subject:
        """Simulate, and build once; with insertions and deletions, so that the scan has several rounds."""
        african = people // 5
        simulate(
            str(folder / "cohort"),
            **{"european": people - african, "african": african, "contigs": 2, "genes": genes},
            negative_controls=4,
            indels=0.15,
        )
        options = ("--length", str(length), "--variants", "all")
        subject = cls(folder / "cohort/build.yaml", options, {}, 0)
        process = subject.start(folder / "whole.zarr")
        started = time.monotonic()
        _, said = process.communicate()
        assert process.returncode == 0, said
        return cls(subject.config, options, hashes(folder / "whole.zarr"), time.monotonic() - started)

    def start(self, store: str | Path, *options: str, workers: int = 1) -> subprocess.Popen[str]:
        """Start a build in a session of its own; returns when it has imported everything."""
        command = [sys.executable, "-c", _COMMAND, "build", "--config", str(self.config), *self.options]
        command += ["--store", str(store), *options]
        if "--scheduler" not in options:
            command += ["--workers", str(workers)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process


def status_of(store: Path) -> str | None:
    """How far a build has come."""
    return (attributes_of(store) or {}).get("status")


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that a process has started and that run."""
    try:
        return [child for child in psutil.Process(process.pid).children(recursive=True) if is_running(child)]
    except psutil.NoSuchProcess:
        return []


def is_running(process: psutil.Process) -> bool:
    """Whether a process runs; one that waits for its parent to take note of its end does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def fail_or_write(item: int, *, folder: str) -> None:
    """A task for `seqstore.tasks`: the first one fails, and only when the second one runs."""
    if item == 0:
        while not Path(folder, "begun1").exists():
            time.sleep(0.01)
        raise ZeroDivisionError
    Path(folder, f"begun{item}").touch()
    time.sleep(1.5)
    Path(folder, f"ended{item}").touch()


def cores_of(item: int) -> tuple[int, tuple[int, ...]]:
    """A task for `seqstore.tasks`: its process, and the cores that this may run on."""
    time.sleep(0.1)
    return os.getpid(), tuple(os.sched_getaffinity(0))
