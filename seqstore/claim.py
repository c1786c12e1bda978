"""Which run is building a store: two at once on one output must not meet.

A run claims its output by the file ``<store>.building``, which goes when it ends. The file of a run that was
killed is in nobody's way: on its own machine it is known to be dead, and from another one the store is taken
over: should the first one live on, its tasks find that out before they write anything, and it stops.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil

from seqstore import locations
from seqstore.errors import InputError
from seqstore.tasks import Run

logger = logging.getLogger(__name__)

#: By how much the start of one process may differ when it is asked for twice: clocks are set.
_SECONDS_APART = 10


@dataclass(frozen=True)
class Claim:
    """One run's claim of the store at ``place``."""

    place: str
    token: str

    def check(self) -> None:
        """Refuse to go on if the store is another run's by now."""
        if _holder(self.place).get("token") != self.token:
            raise InputError(f"{self.place}: another build of it was started, and this one stops")

    def run(self, run: Run) -> Run:
        """``run``, with every task making sure first that the store is still this run's."""

        def checked(function: Callable[[Any], Any], items: list[Any], label: str) -> list[Any]:
            self.check()
            return run(partial(_checked, claim=self, function=function), items, label)

        return checked


@contextmanager
def claimed(place: str) -> Iterator[Claim]:
    """Claim a store for as long as the block lasts.

    Raises:
        InputError: a process of this machine is building it.
    """
    claim = Claim(place, uuid.uuid4().hex)
    _take(claim)
    try:
        yield claim
    finally:
        try:
            if _holder(place).get("token") == claim.token:
                locations.remove(_file(place))
        except Exception as error:  # what made the build fail may be the same, and matters more
            logger.debug("%s: stays (%s)", _file(place), error)


def _take(claim: Claim) -> None:
    process = {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}
    content = json.dumps({"token": claim.token, **process}).encode()
    if locations.create(_file(claim.place), content):
        return
    holder = _holder(claim.place)
    if holder.get("host") == process["host"] and _is_alive(holder):
        raise InputError(
            f"{claim.place}: process {holder['pid']} is building it; wait until it is done, or stop it"
        )
    if holder:
        logger.info(
            "%s: taken over from process %s on %s", claim.place, holder.get("pid"), holder.get("host")
        )
    locations.overwrite(_file(claim.place), content)


def _checked(item: Any, *, claim: Claim, function: Callable[[Any], Any]) -> Any:
    claim.check()
    return function(item)


def _holder(place: str) -> dict[str, Any]:
    """What the file says about the run that has claimed a store; nothing if none has."""
    try:
        return dict(json.loads(locations.read(_file(place)) or b"{}"))
    except ValueError:  # it is being written
        return {}


def _is_alive(holder: dict[str, Any]) -> bool:
    """Whether the process that claimed a store runs on this machine; its number may be another's by now."""
    try:
        process = psutil.Process(holder["pid"])
        same = abs(process.create_time() - holder["started"]) < _SECONDS_APART
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _file(place: str) -> str:
    return f"{place}.building"
