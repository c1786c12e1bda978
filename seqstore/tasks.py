"""Running independent tasks on dask workers, with progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, LocalCluster, as_completed
from tqdm import tqdm

from seqstore.plan import Run


@contextmanager
def workers(n: int) -> Iterator[Run]:
    """Start ``n`` worker processes (one is this process itself) and yield what runs tasks on them.

    Each worker runs one task at a time: the tasks hold the GIL too much for threads to pay.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its start and stop are not the user's news
    cluster = LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=n,
        threads_per_worker=1,
        processes=n > 1,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )
    with cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]

        def run(function: Callable[[Any], Any], items: list[Any], label: str) -> list[Any]:
            futures = client.map(function, items, pure=False)
            done = as_completed(futures)  # type: ignore[no-untyped-call]
            for future in tqdm(done, total=len(futures), desc=label, disable=None):
                future.result()  # raises as soon as any task does
            return [future.result() for future in futures]

        yield run
