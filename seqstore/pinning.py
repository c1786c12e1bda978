"""Workers that keep to one core each. In a module of its own, as dask takes a second to import."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from distributed import WorkerPlugin


class StayOnCore(WorkerPlugin):
    """Keeps the threads of each worker to one core, where there is one for each of them.

    A task and the threads in which zarr reads for it run by turns. Woken on the core of another worker, they
    wait for that one, while their own core has nothing to do: a tenth of the time.
    """

    name = "stay-on-core"

    def setup(self, worker: Any) -> None:
        """When a worker starts, or is started again."""
        if not hasattr(os, "sched_setaffinity"):
            return
        core = sorted(os.sched_getaffinity(0))[worker.name]
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread), {core})
