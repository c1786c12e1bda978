"""The next step's data, made while the device computes this one's."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Gives what ``make(step)`` makes, step by step, each made in a thread while the one before is used.

    What holds no lock of Python's, such as reading windows, runs beside the work of the caller. ``waited`` are the
    seconds that the caller had to wait, since the first step.
    """

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(1, "seqstore-data")
        self._next: tuple[int, Future[T]] | None = None
        self._first: float | None = None
        self.waited = 0.0

    def at(self, step: int) -> T:
        """What ``make`` makes of a step."""
        start = time.perf_counter()
        step_made, made = self._next or (None, None)
        if made is None or step_made != step:
            made = self._thread.submit(self._make, step)
        result = made.result()
        if self._first is None:
            self._first = time.perf_counter()
        else:
            self.waited += time.perf_counter() - start
        self._next = step + 1, self._thread.submit(self._make, step + 1)
        return result

    @property
    def share_waited(self) -> float:
        """Which share of the time since the first step the caller has waited."""
        passed = time.perf_counter() - (self._first or 0.0)
        return self.waited / passed if self._first is not None and passed else 0.0

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
