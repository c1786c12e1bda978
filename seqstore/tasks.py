"""Running independent tasks on dask workers, with progress."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
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
    with ExitStack() as stack:
        with _interrupts_held():
            cluster = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=n,
                threads_per_worker=1,
                processes=n > 1,
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
            )
            stack.enter_context(cluster)
            client = stack.enter_context(Client(cluster))  # type: ignore[no-untyped-call]

        def run(function: Callable[[Any], Any], items: list[Any], label: str) -> list[Any]:
            futures = client.map(function, items, pure=False)
            done = as_completed(futures)  # type: ignore[no-untyped-call]
            for future in tqdm(done, total=len(futures), desc=label, disable=None):
                future.result()  # raises as soon as any task does
            return [future.result() for future in futures]

        yield run


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C is acted on at the end of the block, and never by processes that are started in it.

    dask cannot be stopped half started, and its workers are to be stopped by their owner.
    """
    resource_tracker.ensure_running()  # its start, which would come with the first process, unblocks SIGINT
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
