"""What build.py measures: this project's build, the study's way, `gvl.write`, and the least that any could take.

What is timed on "a core" runs pinned to one core, with whatever threads it starts.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cyvcf2
import numpy as np
import pysam

import seqstore
from seqstore.config import BuildConfig

HERE = Path(__file__).parent
CORE = min(os.sched_getaffinity(0))
_LIBRARIES = ("OMP", "OPENBLAS", "NUMBA", "RAYON", "GVL")
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in _LIBRARIES} | {"POLARS_MAX_THREADS": "1"}


@dataclass(frozen=True)
class Windows:
    """The windows of a finished store: contig and 0-based start by gene, the people's names, and the length."""

    gene: list[str]
    contig: list[str]
    start: list[int]
    individual: list[str]
    length: int

    @classmethod
    def of_store(cls, path: str) -> Windows:
        store = seqstore.open_store(path)
        contigs, others = (
            [str(contig) for contig in store[f"{which}_contig"].values] for which in ("genotype", "reference")
        )
        if contigs != others:
            raise SystemExit("the peers need the same contig names in the reference and the genotypes")
        return cls(
            gene=[str(gene) for gene in store["gene"].values],
            contig=contigs,
            start=[int(start) for start in store["window_start"].values],
            individual=[str(individual) for individual in store["individual"].values],
            length=int(store.attrs["length"]),
        )

    @property
    def n(self) -> int:
        return len(self.gene) * len(self.individual) * 2


def build_once(config: BuildConfig, folder: Path, *, stages: bool = False) -> dict[str, Any]:
    """Build in a process of its own, on one core if with one worker: seconds, imports, stages."""
    keys = folder / "config.json"
    keys.write_text(json.dumps(asdict(config)))
    command = [sys.executable, str(HERE / "build_once.py"), str(keys)]
    command += ["--core", str(CORE)] if config.workers == 1 else []
    return _json_of(command + ["--stages"] * stages)


def gvl_write(python: str, variants: Path, windows: Windows, output: Path, folder: Path) -> dict[str, Any]:
    """`gvl.write` of the same windows: seconds and CPU seconds, with its index to be made and with it there."""
    job = {
        "variants": str(variants),
        "bed": {
            "chrom": windows.contig,
            "chromStart": windows.start,
            "chromEnd": [start + windows.length for start in windows.start],
        },
        "samples": windows.individual,
        "output": str(output),
        "core": CORE,
    }
    (folder / "job.json").write_text(json.dumps(job))
    return _json_of([python, str(HERE / "gvl_write.py"), str(folder / "job.json")])


def consensus_pipelines(
    variants: Path, reference: str, windows: Windows, n: int, seed: int
) -> tuple[float, float]:
    """Seconds and CPU seconds of `samtools faidx | bcftools consensus` for ``n`` windows of random genes and people.

    What comes out goes nowhere: the study wrote it to FASTA files and those to HDF5.
    """
    rng = np.random.default_rng(seed)
    with pysam.FastaFile(reference) as fasta:
        contig_lengths = dict(zip(fasta.references, fasta.lengths, strict=True))
    pipelines = []
    for _ in range(n):
        gene, person = rng.integers(len(windows.gene)), rng.integers(len(windows.individual))
        contig, start = windows.contig[gene], windows.start[gene]
        region = f"{contig}:{max(start, 0) + 1}-{min(start + windows.length, contig_lengths[contig])}"
        haplotype = ["-H", str(rng.integers(1, 3)), "-s", windows.individual[person]]
        pipelines.append(
            (["samtools", "faidx", reference, region], ["bcftools", "consensus", *haplotype, str(variants)])
        )
    with pinned():
        start_time, cpu_before = time.perf_counter(), sum(os.times()[2:4])
        for cut, put_in in pipelines:
            with subprocess.Popen(cut, stdout=subprocess.PIPE) as cutter:
                subprocess.run(
                    put_in,
                    stdin=cutter.stdout,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=True,
                )
            if cutter.returncode:
                raise SystemExit(f"{shlex.join(cut)} failed")
        return time.perf_counter() - start_time, sum(os.times()[2:4]) - cpu_before


def bare_parse(genotypes: str, windows: Windows) -> float:
    """Seconds for cyvcf2 to give the genotypes of all records of the windows once, and nothing else."""
    with pinned():
        start = time.perf_counter()
        file = cyvcf2.VCF(genotypes)
        for region in _regions(windows):
            for variant in file(region):
                variant.genotype.array()
        return time.perf_counter() - start


def memcpy(windows: Windows) -> float:
    """Seconds to copy as many packed windows, into more memory than caches hold."""
    source = np.ones((min(len(windows.individual), 64), 2, windows.length // 2), dtype=np.uint8)
    targets = np.ones((-(-(256 << 20) // source.nbytes), *source.shape), dtype=np.uint8)
    in_a_copy = 2 * len(source)
    n_copies = -(-windows.n // in_a_copy)
    with pinned():
        start = time.perf_counter()
        for number in range(n_copies):
            np.copyto(targets[number % len(targets)], source)
        return (time.perf_counter() - start) * windows.n / (n_copies * in_a_copy)


def sizes(folder: str | Path) -> tuple[int, int]:
    """Bytes of all files below a folder, and of the disk blocks they take."""
    stats = [file.stat() for file in Path(folder).rglob("*") if file.is_file()]
    return sum(stat.st_size for stat in stats), sum(512 * stat.st_blocks for stat in stats)


def converted(genotypes: str, ending: str, folder: Path) -> str:
    """The genotypes as ``.vcf.gz`` or ``.bcf``, indexed: themselves, or a copy in ``folder``."""
    return genotypes if genotypes.endswith(ending) else str(_piped("view", genotypes, ending, folder, []))


def snps_of(genotypes: str, ending: str, folder: Path) -> Path:
    """The SNP records, which is how the study's way and GenVarLoader are kept to SNPs."""
    return _piped("snps", genotypes, ending, folder, ["-v", "snps"])


def normalised(genotypes: str, ending: str, folder: Path, reference: str) -> Path:
    """What GenVarLoader takes: left-aligned, split into biallelic and atomic records."""
    return _piped("norm", genotypes, ending, folder, ["-f", reference, "-a", "-m", "-any"])


def _piped(what: str, genotypes: str, ending: str, folder: Path, options: list[str]) -> Path:
    target = folder / f"{what}.{Path(genotypes).name.removesuffix('.vcf.gz').removesuffix('.bcf')}{ending}"
    if not target.exists():
        command = ["norm" if what == "norm" else "view", *options, "-Ob" if ending == ".bcf" else "-Oz"]
        index = ["index", "-f", *(["-t"] if ending == ".vcf.gz" else [])]  # with .csi consensus is slower
        for arguments in ([*command, "-o", str(target), genotypes], [*index, str(target)]):
            done = subprocess.run(["bcftools", *arguments], capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"bcftools {shlex.join(arguments)}\n{done.stderr}")
    return target


@contextmanager
def pinned() -> Iterator[None]:
    """Run what is in the block, and the processes it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _regions(windows: Windows) -> list[str]:
    """The union of the windows."""
    merged: list[tuple[str, int, int]] = []
    for contig, start in sorted(zip(windows.contig, windows.start, strict=True)):
        first, stop = max(start, 0), start + windows.length
        if merged and merged[-1][0] == contig and first <= merged[-1][2]:
            merged[-1] = (contig, merged[-1][1], stop)
        else:
            merged.append((contig, first, stop))
    return [f"{contig}:{first + 1}-{stop}" for contig, first, stop in merged]


def _json_of(command: list[str]) -> dict[str, Any]:
    """The JSON on the last line that a process prints."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | _ONE_THREAD)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
