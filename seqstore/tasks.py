"""Running independent tasks in this process, on worker processes of this machine, or on a dask cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from multiprocessing import resource_tracker
from typing import Any

from tqdm import tqdm

from seqstore.errors import InputError, LostWorkersError

logger = logging.getLogger(__name__)

#: Runs a function over items, in any order of execution; results in the order of the items.
Run = Callable[[Callable[[Any], Any], list[Any], str], list[Any]]
_DISTRIBUTION = "seqstore"
#: Seconds to wait for a scheduler to answer.
CONNECT_SECONDS = 20.0
#: Seconds to wait for tasks that run while another one has failed.
END_SECONDS = 300.0
#: Seconds to wait for a worker process where there is none any more: dask starts a killed one again.
RESTART_SECONDS = 60.0

#: Of what dask does in worker processes, its profiler and its watches over event loops and the GIL are for
#: dashboards.
_OF_LOCAL_WORKERS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.tick.interval": "1s",
}
#: By dask's default malloc is told to give memory back at once: windows take a fifth longer, for the same peak.
_ENVIRONMENT, _TRIM, _TRIM_OF_DASK = "distributed.nanny.pre-spawn-environ", "MALLOC_TRIM_THRESHOLD_", 65536


@contextmanager
def workers(n: int, scheduler: str | None = None) -> Iterator[Run]:
    """Yield what runs tasks: in this process (n = 1), on ``n`` worker processes, or on a cluster.

    Each worker process runs one task at a time: the tasks hold the GIL too much for threads to pay. Of a
    cluster, ``scheduler`` is the address (tcp://host:8786) or the path of its scheduler file; its workers have
    to see the same files under the same paths.

    Raises:
        InputError: there is no scheduler at that address, or its workers have no seqstore or another one.
    """
    if n == 1 and scheduler is None:
        yield _run_here
        return
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its start and stop are not the user's news
    cluster: Any = None
    client: Any = None
    try:
        if scheduler is None:
            with _interrupts_held():
                cluster = _local_cluster(n)
                client = Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
        else:
            client = _connected(scheduler)
            _check_workers(client, scheduler)
        yield _Submitted(client, scheduler, cluster)
    finally:
        with _interrupts_held():
            for one in (client, cluster):
                if one is not None:
                    one.close()


class _Submitted:
    """Runs tasks through a dask client."""

    def __init__(self, client: Any, scheduler: str | None, cluster: Any) -> None:
        self._client = client
        self._scheduler = scheduler
        self._cluster = cluster

    def __call__(self, function: Callable[[Any], Any], items: list[Any], label: str) -> list[Any]:
        with _interrupts_noted() as interrupts:
            return self._run(function, items, label, interrupts)

    def _run(
        self, function: Callable[[Any], Any], items: list[Any], label: str, interrupts: list[int]
    ) -> list[Any]:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError, FuturesCancelledError

        futures = self._client.map(function, items, pure=False)
        try:
            for future in tqdm(
                self._ended(futures, interrupts), total=len(futures), desc=label, disable=None
            ):
                future.result()  # raises as soon as any task does
            return [future.result() for future in futures]
        except KilledWorker as error:
            raise LostWorkersError(
                f"{label}: a task killed its worker several times ({error.last_worker.address}); give workers more "
                "memory, or fewer of them, and run the same command again"
            ) from error
        except (FutureCancelledError, FuturesCancelledError) as error:
            raise LostWorkersError(
                f"{label}: the dask scheduler {self._scheduler or 'of this build'} was lost; run the same command "
                "again to go on"
            ) from error
        except Exception:
            self._end(futures)
            raise
        finally:
            with suppress(Exception):  # the scheduler may be what has failed
                self._client.cancel(futures)

    def _ended(self, futures: list[Any], interrupts: list[int]) -> Iterator[Any]:
        """Futures in the order in which their tasks end, until there is an interrupt."""
        from distributed import as_completed

        ended: Any = as_completed(futures, loop=self._client.loop)  # type: ignore[no-untyped-call]
        last_seen = time.monotonic()
        while not ended.is_empty():
            if interrupts:
                raise KeyboardInterrupt
            if self._cluster is None or self._cluster.scheduler.workers:
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > RESTART_SECONDS:
                raise LostWorkersError(
                    "workers: all processes were killed; give them more memory, or start fewer of them, and run the "
                    "same command again to go on"
                )
            if ended.has_ready():
                yield from ended.next_batch(block=False)
            else:
                time.sleep(0.02)

    def _end(self, futures: Sequence[Any]) -> None:
        """Cancel tasks, and wait for those that run: what they write must not come after what is done now."""
        with suppress(Exception):
            self._client.cancel(futures)
            self._client.run(_until_gone, {future.key for future in futures}, END_SECONDS)


async def _until_gone(keys: set[str], seconds: float, dask_worker: Any) -> None:
    """Wait until a worker knows none of some tasks any more."""
    end = time.monotonic() + seconds
    while keys & dask_worker.state.tasks.keys() and time.monotonic() < end:
        await asyncio.sleep(0.02)


def _run_here(function: Callable[[Any], Any], items: list[Any], label: str) -> list[Any]:
    return [function(item) for item in tqdm(items, desc=label, disable=None)]


def _local_cluster(n: int) -> Any:
    import dask
    from distributed import LocalCluster

    from seqstore.pinning import StayOnCore

    environment = dask.config.get(_ENVIRONMENT)
    if environment.get(_TRIM) == _TRIM_OF_DASK:
        environment = {name: value for name, value in environment.items() if name != _TRIM}
    try:
        with dask.config.set({**_OF_LOCAL_WORKERS, _ENVIRONMENT: environment}):
            return LocalCluster(  # type: ignore[no-untyped-call]
                plugins=[StayOnCore()] if n == cores() else [],
                n_workers=n,
                threads_per_worker=1,
                processes=True,
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
            )
    except (RuntimeError, TimeoutError) as error:
        raise InputError(
            f"workers: {n} processes could not be started ({error}); was one of them killed, or is memory short?"
        ) from error


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else os.cpu_count() or 1


def _connected(scheduler: str) -> Any:
    from distributed import Client

    is_address = ":" in scheduler and not os.path.exists(scheduler)
    where = {"address": scheduler} if is_address else {"scheduler_file": scheduler}
    try:
        if not is_address:
            _wait_for_file(scheduler)
        return Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(f"{scheduler}: no dask scheduler answers there ({error})") from error


def _wait_for_file(path: str) -> None:
    """Wait until a scheduler has written its file: it may be starting just now."""
    end = time.monotonic() + CONNECT_SECONDS
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise FileNotFoundError("no such file, and no address like tcp://host:8786")
        time.sleep(0.1)


def _check_workers(client: Any, scheduler: str) -> None:
    """Refuse workers of a cluster that cannot run the tasks, or would run those of another version."""
    try:
        versions = set(client.run(version, _DISTRIBUTION).values())
    except Exception as error:
        raise InputError(
            f"{scheduler}: its workers cannot run seqstore ({error}); install it there"
        ) from error
    here = version(_DISTRIBUTION)
    if not versions:
        logger.info("%s: has no workers yet; waiting for some", scheduler)
    elif versions != {here}:
        raise InputError(
            f"{scheduler}: its workers have seqstore {min(versions - {here})}, and here is {here}"
        )


@contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """Ctrl-C is added to a list, and acted on at the end of the block.

    Raised as it comes, it would be lost where Python calls dask from within its garbage collector.
    """
    noted: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: noted.append(number)) if is_main else None
    try:
        yield noted
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)
    if noted:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C is acted on at the end of the block, and never by processes that are started in it.

    dask cannot be stopped half started or half stopped, and its workers are to be stopped by their owner.
    """
    resource_tracker.ensure_running()  # its start, which would come with the first process, unblocks SIGINT
    with _interrupts_noted():
        # The mask is what processes inherit. Other threads do not have it, and so it does not keep SIGINT from us.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
