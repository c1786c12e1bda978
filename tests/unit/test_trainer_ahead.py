"""Data is made while the step before is at work."""

from __future__ import annotations

import threading
import time

import pytest

from trainer.ahead import Ahead


def given(data: Ahead[int], step: int, seconds: float = 0.0) -> int:
    """The data of a step that takes so long."""
    with data.step(step) as made:
        time.sleep(seconds)
        return made


def test_steps_come_in_any_order() -> None:
    with Ahead(lambda step: step * step) as data:
        assert [given(data, step) for step in (3, 4, 5, 9, 2, 2, 3)] == [9, 16, 25, 81, 4, 4, 9]


def test_the_next_step_is_made_meanwhile() -> None:
    made: list[tuple[int, str]] = []

    def make(step: int) -> int:
        time.sleep(0.05)
        made.append((step, threading.current_thread().name))
        return step

    with Ahead(make) as data:
        for step in range(6):
            assert given(data, step, 0.1) == step
        assert data.waited < 0.05
        assert 0.5 <= data.seconds < 1
        assert data.share_waited < 0.1
        time.sleep(0.3)  # between steps, nobody waits
        assert data.seconds < 1
        for step in range(6, 9):
            given(data, step)
        assert data.waited > 0.08
        assert data.share_waited > 0.08
    assert threading.current_thread().name not in {name for _, name in made}
    assert [step for step, _ in made][:9] == list(range(9))


def test_what_goes_wrong_reaches_the_caller() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("no such window")
        return step

    with Ahead(make) as data:
        assert [given(data, 0), given(data, 1)] == [0, 1]
        with pytest.raises(ValueError, match="no such window"):
            given(data, 2)
