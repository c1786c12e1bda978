"""Data is made while the step before is at work."""

from __future__ import annotations

import threading
import time

import pytest

from trainer.ahead import Ahead


def test_steps_come_in_any_order() -> None:
    with Ahead(lambda step: step * step) as data:
        assert [data.at(step) for step in (3, 4, 5, 9, 2, 2, 3)] == [9, 16, 25, 81, 4, 4, 9]


def test_the_next_step_is_made_meanwhile() -> None:
    made: list[tuple[int, str]] = []

    def make(step: int) -> int:
        time.sleep(0.05)
        made.append((step, threading.current_thread().name))
        return step

    with Ahead(make) as data:
        data.at(0)
        for step in range(1, 6):
            time.sleep(0.1)
            assert data.at(step) == step
        assert data.waited < 0.05
        assert data.share_waited < 0.1
        for step in range(6, 9):
            data.at(step)
        assert data.waited > 0.08
    assert {name for _, name in made} != {threading.current_thread().name}
    assert [step for step, _ in made][:9] == list(range(9))


def test_what_goes_wrong_reaches_the_caller() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("no such window")
        return step

    with Ahead(make) as data:
        assert [data.at(0), data.at(1)] == [0, 1]
        with pytest.raises(ValueError, match="no such window"):
            data.at(2)
