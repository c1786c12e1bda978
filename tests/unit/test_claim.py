"""Which run is building a store: a second one is refused, or takes over where the first one is gone."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import seqstore.build
from seqstore.build import build
from seqstore.claim import claimed
from seqstore.errors import InputError
from tests.conftest import Cohort, hashes

MakeCohort = Callable[..., Cohort]


def test_a_claim_is_held_by_one_and_leaves_nothing(tmp_path: Path) -> None:
    place = str(tmp_path / "new" / "store.zarr")
    with claimed(place) as claim:
        claim.check()
        with pytest.raises(InputError, match=rf"process {os.getpid()} is building it; wait"), claimed(place):
            pass
        claim.check()
    assert list((tmp_path / "new").iterdir()) == []
    with claimed(place):
        pass


@pytest.mark.parametrize(
    "holder",
    [
        {"pid": os.getpid(), "host": "elsewhere", "started": 0},
        {"pid": os.getpid(), "host": socket.gethostname(), "started": psutil.Process().create_time() - 1e5},
        {"pid": 2**22 + 1, "host": socket.gethostname(), "started": 0},  # more than Linux has
        None,
    ],
    ids=["of another machine", "number used again", "dead", "being written"],
)
def test_the_claim_of_a_run_that_may_be_gone_is_taken_over(
    tmp_path: Path, holder: dict[str, Any] | None
) -> None:
    place = str(tmp_path / "store.zarr")
    file = Path(f"{place}.building")
    file.write_text("" if holder is None else json.dumps(holder | {"token": "x"}))
    with claimed(place) as claim:
        claim.check()
        file.write_text(json.dumps({"token": "another's"}))
        with pytest.raises(InputError, match="another build of it was started, and this one stops"):
            claim.check()
        with pytest.raises(InputError, match="another build"):
            claim.run(lambda function, items, _: [function(item) for item in items])(print, [1], "label")
    assert json.loads(file.read_text()) == {"token": "another's"}


def test_a_build_that_was_taken_over_stops_before_its_next_task(
    make_cohort: MakeCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = make_cohort()
    whole, config = cohort.config(store=str(cohort.folder / "whole.zarr")), cohort.config()
    build(whole)
    file = Path(f"{config.store}.building")
    real, blocks = seqstore.build.write_variants, []

    def taken_over(block: int, **keys: Any) -> None:
        blocks.append(block)
        real(block, **keys)
        file.write_text('{"token": "x", "host": "elsewhere", "pid": 1, "started": 0}')

    with monkeypatch.context() as patch:
        patch.setattr(seqstore.build, "write_variants", taken_over)
        with pytest.raises(InputError, match="this one stops"):
            build(config)
    assert blocks == [0]
    assert not (Path(config.store) / "haplotype_sequence/c").exists()
    build(config)
    assert hashes(config.store) == hashes(whole.store)
    assert not file.exists()


def test_a_store_that_another_build_began_meanwhile_is_let_alone(
    make_cohort: MakeCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = make_cohort()
    config = cohort.config()
    real = seqstore.build.make_plan

    def slow(config: Any) -> Any:
        plan = real(config)
        with monkeypatch.context() as patch:
            patch.setattr(seqstore.build, "make_plan", real)
            build(config)  # begun and finished while this one still read its tables
        return plan

    monkeypatch.setattr(seqstore.build, "make_plan", slow)
    with pytest.raises(InputError, match="another build wrote to it just now"):
        build(config)
    assert seqstore.open_store(config.store).sizes["gene"] == 4
