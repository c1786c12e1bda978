"""The next step's data, made while the device computes this one's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Gives what ``make(step)`` makes, step by step, each made in a thread while the one before is used.

    What holds no lock of Python's, such as reading windows, runs beside the work of the caller. ``seconds`` are what
    all steps but the first have taken, and ``waited`` how many of these passed before their data was there.
    """

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(1, "seqstore-data")
        self._next: tuple[int, Future[T]] | None = None
        self._is_first = True
        self.seconds = self.waited = 0.0

    @contextmanager
    def step(self, number: int) -> Iterator[T]:
        """What ``make`` makes of a step, for as long as the step lasts."""
        began = time.perf_counter()
        ahead, made = self._next or (None, None)
        if made is None or ahead != number:
            made = self._thread.submit(self._make, number)
        result = made.result()
        there = time.perf_counter()
        self._next = number + 1, self._thread.submit(self._make, number + 1)
        yield result
        if not self._is_first:
            self.waited += there - began
            self.seconds += time.perf_counter() - began
        self._is_first = False

    @property
    def share_waited(self) -> float:
        """Which share of the steps' time the caller has waited."""
        return self.waited / self.seconds if self.seconds else 0.0

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
