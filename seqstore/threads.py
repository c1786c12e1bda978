"""Parts of an array's work in threads of this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

#: To hand work to a thread and wait for it takes as long as to write so many bytes.
WORTH_A_THREAD = 4 << 20


class Threads:
    """Runs compiled code on parts of arrays side by side. It can be pickled, and carried over a fork."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"n": self.n, "_pool": None}

    def run(self, work: Callable[[slice], None], n_items: int, n_bytes: int) -> None:
        """Call ``work`` on slices that make up ``n_items``, one a thread; raises what the first of them raises.

        ``n_bytes`` is what all of it will write: little work is not divided.
        """
        n = min(self.n, n_items, n_bytes // WORTH_A_THREAD)
        if n <= 1:
            work(slice(0, n_items))
            return
        if (
            self._pool is None or self._pool[0] != os.getpid()
        ):  # threads do not come along when a process forks
            self._pool = os.getpid(), ThreadPoolExecutor(self.n - 1, "seqstore")
        edges = [n_items * number // n for number in range(n + 1)]
        mine, *others = map(slice, edges[:-1], edges[1:])
        started = [self._pool[1].submit(work, part) for part in others]
        try:
            work(mine)
        finally:
            wait(started)  # whatever happens: they write to what is the caller's
        for part in started:
            part.result()
