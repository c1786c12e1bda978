"""Where a build's time goes: the stacks of all threads, looked at every few milliseconds.

The time since the last look belongs to the stage of the busiest stack. Nothing of the builder is changed, and
stages are told by file and function, so that this survives changes inside the builder.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

import seqstore

_INTERVAL = 0.005
_HOME = str(Path(seqstore.__file__).parent)

#: Stages in the order in which they claim a moment: file (ours, or a folder in its path), functions (None = any),
#: stage.
#: Of one thread the innermost frame that any line names decides.
STAGES: list[tuple[str, frozenset[str] | None, str]] = [
    ("seqstore/codec.py", None, "compress windows"),
    ("seqstore/haplotypes.py", None, "encode: apply records to windows"),
    ("seqstore/records.py", None, "encode: records as numbers"),
    ("seqstore/vcf.py", frozenset({"_check_count", "<genexpr>"}), "parse: is the file whole?"),
    *((f"seqstore/{name}.py", None, "parse genotypes") for name in ("vcf", "genotypes", "genotype_rows")),
    ("seqstore/chunks.py", None, "write arrays"),
    ("/zarr/", frozenset({"__setitem__", "set_orthogonal_selection", "append"}), "write arrays"),
    ("/zarr/", frozenset({"__getitem__", "get_orthogonal_selection"}), "read arrays back"),
    ("/zarr/", frozenset({"create_array", "open_group", "require_group", "update", "put"}), "write arrays"),
    ("/xarray/", frozenset({"to_zarr"}), "write arrays"),
    ("seqstore/spool.py", None, "spool of records"),
    ("seqstore/reach.py", None, "reach of windows"),
    ("seqstore/scan.py", None, "check records"),
    ("seqstore/reference.py", None, "read the reference"),
    *((f"seqstore/{name}.py", None, "plan: tables, hashes of inputs") for name in ("plan", "layout")),
    ("seqstore/", None, "rest"),
]
_WAITING = "waiting"
_ORDER = {stage: number for number, stage in enumerate(dict.fromkeys(stage for _, _, stage in STAGES))}
_ORDER[_WAITING] = len(_ORDER)


@cache
def _stage_of(path: str, function: str) -> str | None:
    name = "seqstore" + path.removeprefix(_HOME) if path.startswith(_HOME) else path
    for file, functions, stage in STAGES:
        found = name.startswith(file) if file.startswith("seqstore/") else file in name
        if found and (functions is None or function in functions):
            return stage
    return None


def _stage(frame: FrameType | None) -> str:
    while frame is not None:
        stage = _stage_of(frame.f_code.co_filename, frame.f_code.co_name)
        if stage is not None:
            return stage
        frame = frame.f_back
    return _WAITING


@contextmanager
def sampled() -> Iterator[dict[str, float]]:
    """Seconds by stage of what runs in the block, in this process."""
    seconds: defaultdict[str, float] = defaultdict(float)
    done = threading.Event()

    def look() -> None:
        own, last = threading.get_ident(), time.perf_counter()
        while not done.wait(_INTERVAL):
            stages = (_stage(frame) for thread, frame in sys._current_frames().items() if thread != own)
            stage = min(stages, key=_ORDER.__getitem__)
            now = time.perf_counter()
            seconds[stage] += now - last
            last = now

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seconds
    finally:
        done.set()
        thread.join()
