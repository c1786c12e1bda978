"""Open file handles that are never shared: one for each process, thread and version of a file.

A handle of htslib that crosses a fork or a thread yields wrong records without an error, and one that
outlives its file yields the old records.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

_open: dict[tuple[int, int, str], tuple[tuple[int, int, int], Any]] = {}


def handle_of(path: str, open_file: Callable[[str], Any]) -> Any:
    """This thread's handle of a file, made with ``open_file`` at first use and when the file changed."""
    stat = os.stat(path)
    identity = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    key = (os.getpid(), threading.get_ident(), path)
    if key not in _open or _open[key][0] != identity:
        _open[key] = identity, open_file(path)
    return _open[key][1]
