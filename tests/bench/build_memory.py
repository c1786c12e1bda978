"""Peak memory of a build's workers, by number of genes, of people, and by length: `build.py --memory`.

The peak is the kernel's own (VmHWM of each process), so no moment is missed.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import cohorts
import contestants
import psutil
import yaml

from seqstore.config import BuildConfig

GENES_OF_CONTIG = 50
#: Length of the windows where genes are many: what grows with genes does not depend on it.
SHORT = 4096
GENES = (50, 500, 5000)
PEOPLE = (500, 5000)
#: Genes where people are many or windows long: enough for every worker to be at its peak at once.
GENES_OF_LONG = 32


def rows(folder: Path, lengths: Iterable[int], kinds: Iterable[str], workers: int) -> Iterable[list[str]]:
    """Build each cohort; yields people, genes, length, variants, MB of worker and main process, seconds."""
    kinds = list(kinds)
    yield ["imports alone", "", "", "", f"{_peak_of_imports():,.0f}", "", ""]
    one_contig = cohorts.simulated(folder / "contig", PEOPLE[0], GENES_OF_CONTIG, SHORT)
    for genes in GENES:
        many = cohorts.copied(one_contig, folder / "many", genes // GENES_OF_CONTIG)
        yield from _builds(many, PEOPLE[0], genes, SHORT, kinds, workers)
        shutil.rmtree(many)
    for length in lengths:
        for people in PEOPLE:
            cohort = cohorts.simulated(folder / "long", people, GENES_OF_LONG, length)
            yield from _builds(cohort, people, GENES_OF_LONG, length, kinds, workers)
            shutil.rmtree(cohort)


def _builds(
    cohort: Path, people: int, genes: int, length: int, kinds: list[str], workers: int
) -> Iterable[list[str]]:
    keys = yaml.safe_load((cohort / "build.yaml").read_text())
    for variants in kinds:
        config = dataclasses.replace(BuildConfig(**keys), variants=variants, workers=workers)
        of_workers, of_main, seconds = _peaks(config, cohort)
        megabytes = [f"{of_workers:,.0f}", f"{of_main:,.0f}"]
        yield [f"{people:,} people", f"{genes:,}", f"{length:,}", variants, *megabytes, f"{seconds:,.0f}"]
        shutil.rmtree(config.store)


def _peaks(config: BuildConfig, folder: Path) -> tuple[float, float, float]:
    """Peak MB of the largest worker and of the main process of a build, and its seconds."""
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    command = [sys.executable, str(contestants.HERE / "build_once.py"), str(folder / "config.json")]
    peaks: dict[int, float] = {}
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as build:
        main = psutil.Process(build.pid)
        while build.poll() is None:
            for process in [main, *_workers_of(main)]:
                peaks[process.pid] = max(peaks.get(process.pid, 0.0), _peak(process.pid))
            time.sleep(0.05)
        if build.returncode:
            raise SystemExit(f"a build of {config.genotypes} failed:\n{build.communicate()[1]}")
    of_main = peaks.pop(build.pid)
    return max(peaks.values()), of_main, time.perf_counter() - start


def _workers_of(main: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in main.children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:  # it has just ended
        return []


def _peak(pid: int) -> float:
    """Largest resident set so far, in MB; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0.0)


def _peak_of_imports() -> float:
    code = "import seqstore.build; print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[1]) / 1000
