"""A disk that runs full: one line, and with more room the same command goes on to the same bytes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr.storage

import seqstore
from seqstore.build import build
from seqstore.errors import InputError
from tests.conftest import Cohort, hashes
from tests.interruptions import Subject, status_of

MakeCohort = Callable[..., Cohort]


def test_a_write_that_finds_no_room_is_named_and_gone_on_from(
    make_cohort: MakeCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at every tenth file in turn, in the middle of a file."""
    cohort = make_cohort()
    whole = cohort.config(store=str(cohort.folder / "whole.zarr"))
    build(whole)
    config = cohort.config()
    real, room, said = zarr.storage._local._put, 0, ""

    def put(path: Path, value: Any, exclusive: bool = False) -> int:
        nonlocal room
        room -= 1
        if room < 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            with zarr.storage._local._atomic_write(path, "wb") as file:
                file.write(value.to_bytes()[: len(value) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(real(path, value, exclusive))

    monkeypatch.setattr(zarr.storage._local, "_put", put)
    n_failed = 0
    while status_of(Path(config.store)) != "complete":
        room = 10 * (n_failed + 1)
        try:
            build(config)
        except InputError as error:
            said = str(error)
            n_failed += 1
        if status_of(Path(config.store)) != "complete":
            assert said == (
                f"{config.store}: no space left on device; make room and run the same command again to go on"
            )
            with pytest.raises(InputError, match=r"no store here|unfinished"):
                seqstore.open_store(config.store)
    assert n_failed > 5
    assert hashes(config.store) == hashes(whole.store)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_small_disk_that_grows(tmp_path: Path) -> None:
    """A real one: a tmpfs in a mount namespace of its own, for which this file is run as a script."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    subject = Subject.make(tmp_path, people=60, genes=40, length=8192)
    (tmp_path / "disk").mkdir()
    (tmp_path / "expected.json").write_text(json.dumps(subject.expected))
    done = subprocess.run(
        [*unshare, sys.executable, __file__, str(tmp_path), *subject.options],
        **{"check": False, "capture_output": True, "text": True},
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)


def fill_and_grow(folder: Path, options: list[str]) -> None:
    """Build on a disk too small, which grows a little each time, until it is done."""
    disk = folder / "disk"
    subject = Subject(folder / "cohort/build.yaml", tuple(options), {}, 0)
    rng = np.random.default_rng(3)
    size, n_failed = 16 << 10, 0
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)
    store = disk / "store.zarr"
    while status_of(store) != "complete":
        process = subject.start(store, workers=1 + n_failed % 4 // 3)
        _, said = process.communicate()
        if process.returncode:
            assert process.returncode == 2, said
            assert said.splitlines()[-1].startswith(f"error: {disk}"), said
            assert "no space left on device; make room and run" in said.splitlines()[-1], said
            n_failed += 1
            size += int(rng.uniform(20_000, 200_000))
            subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
    assert hashes(store) == json.loads((folder / "expected.json").read_text())
    assert n_failed > 5
    print(n_failed, "times full, up to", size, "bytes")


if __name__ == "__main__":
    fill_and_grow(Path(sys.argv[1]), sys.argv[2:])
