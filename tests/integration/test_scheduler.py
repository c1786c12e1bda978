"""A build on a dask cluster that runs already: a scheduler and two workers, each a process of its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from distributed import Client

import seqstore.tasks
from seqstore.build import build
from seqstore.errors import InputError
from seqstore.tasks import cores, workers
from tests.conftest import Cohort, hashes
from tests.interruptions import cores_of, fail_or_write

MakeCohort = Callable[..., Cohort]
ROOT = Path(__file__).parents[2]


@contextmanager
def dask(what: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler or a worker, which is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *options],
        **{"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL},
        env=os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"},
    )
    try:
        yield process
    finally:
        process.terminate()  # a nanny stops its worker
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The scheduler file of a cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    file = str(folder / "scheduler.json")
    at = ("--scheduler-file", file)
    worker = (*at, "--nthreads", "1", "--local-directory", str(folder))
    with dask("scheduler", "--port", "0", *at), dask("worker", *worker), dask("worker", *worker):
        with Client(scheduler_file=file) as client:
            client.wait_for_workers(2)
        yield file


def test_a_build_on_a_cluster_ends_in_the_same_bytes(make_cohort: MakeCohort, scheduler: str) -> None:
    cohort = make_cohort()
    here = cohort.config()
    build(here)
    address = None
    for number in range(2):  # by the file, and by the address in it
        config = cohort.config(
            store=str(cohort.folder / f"{number}.zarr"), workers=0, scheduler=address or scheduler
        )
        build(config)
        assert hashes(config.store) == hashes(here.store)
        address = str(json.loads(Path(scheduler).read_text())["address"])
    assert address.startswith("tcp://")


def test_a_scheduler_that_is_not_there_is_named(
    make_cohort: MakeCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seqstore.tasks, "CONNECT_SECONDS", 0.5)
    cohort = make_cohort()
    file = str(tmp_path / "scheduler.json")
    for address in ("tcp://127.0.0.1:1", "127.0.0.1:1", file, "nonsense://a:1"):
        start = time.monotonic()
        with pytest.raises(InputError, match=rf"^{address}: no dask scheduler answers there \([^\n]*\)$"):
            build(cohort.config(workers=0, scheduler=address))
        assert time.monotonic() - start < 20
    assert not Path(cohort.config().store).exists()
    assert not list(cohort.folder.glob("*.building"))


def test_workers_without_this_seqstore_are_refused(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()
    with monkeypatch.context() as patch:
        patch.setattr(seqstore.tasks, "_DISTRIBUTION", "not-installed")
        with pytest.raises(InputError, match=r"workers cannot run seqstore .*; install it there"):
            workers(1, scheduler).__enter__()
    monkeypatch.setattr(seqstore.tasks, "version", lambda _: "0.2" if os.getpid() == here else "0.1")
    with pytest.raises(InputError, match=r"its workers have seqstore 0\.1, and here is 0.2"):
        workers(1, scheduler).__enter__()


def test_what_still_runs_ends_before_a_failure_is_dealt_with(scheduler: str, tmp_path: Path) -> None:
    with workers(1, scheduler) as run:
        with pytest.raises(ZeroDivisionError):
            run(partial(fail_or_write, folder=str(tmp_path)), [0, 1, 2, 3, 4, 5], "tasks")
        found = {path.name for path in tmp_path.iterdir()}
        begun, ended = ({name[-1] for name in found if name.startswith(what)} for what in ("begun", "ended"))
        assert "1" in begun == ended
        assert len(begun) < 5  # the others were cancelled
        time.sleep(1)
        assert {path.name for path in tmp_path.iterdir()} == found
        assert run(abs, [-3, -4], "tasks") == [3, 4]


def test_a_task_that_kills_its_workers_is_named(scheduler: str) -> None:
    expected = "windows: a task killed its worker several times"
    with workers(1, scheduler) as run, pytest.raises(InputError, match=expected):
        run(os._exit, [1], "windows")


def test_a_scheduler_that_goes_away_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = str(tmp_path / "scheduler.json")
    caplog.set_level(logging.INFO, "seqstore")
    with dask("scheduler", "--port", "0", "--scheduler-file", file) as process, workers(1, file) as run:
        assert f"{file}: has no workers yet; waiting for some" in caplog.text
        threading.Timer(1, process.kill).start()
        with pytest.raises(InputError, match=r"windows: the dask scheduler .* was lost; run the same"):
            run(abs, [1, 2], "windows")


@pytest.mark.skipif(sys.platform != "linux" or cores() < 2, reason="needs Linux and two cores")
def test_workers_for_all_cores_keep_to_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    here = cores()
    monkeypatch.setattr(seqstore.tasks, "cores", lambda: 2)
    with workers(2) as run:
        of_process = dict(run(cores_of, list(range(8)), "tasks"))
        os.kill(min(of_process), signal.SIGKILL)  # it is started again
        again = dict(run(cores_of, list(range(40)), "tasks"))
    for of_both in (of_process, again):
        assert {len(of_one) for of_one in of_both.values()} == {1}
        assert len(set(of_both.values())) == len(of_both) == 2
    assert len(of_process.keys() & again.keys()) == 1
    monkeypatch.setattr(seqstore.tasks, "cores", lambda: 3)
    with workers(2) as run:
        assert {len(of_one) for _, of_one in run(cores_of, list(range(8)), "tasks")} == {here}


def test_an_environment_that_dask_is_given_reaches_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    key = "distributed.nanny.pre-spawn-environ"
    with dask.config.set({key: dask.config.get(key) | {"SEQSTORE_GIVEN": "1"}}), workers(2) as run:
        assert set(run(os.environ.get, ["SEQSTORE_GIVEN"] * 4, "tasks")) == {"1"}
        assert set(run(os.environ.get, ["MALLOC_TRIM_THRESHOLD_"] * 4, "tasks")) == {
            os.environ.get("MALLOC_TRIM_THRESHOLD_")
        }


def test_no_worker_outlives_an_interrupted_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("distributed.Client", interrupted)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(KeyboardInterrupt), workers(2):
        pass
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [child for child in left if "spawn_main" in str(child.cmdline())]
