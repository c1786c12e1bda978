"""Building a store, against the study's way and GenVarLoader: speed and disk; its memory; its gain from workers.

    python tests/bench/build.py --config cohort.yaml --simulated /tmp/2500 --genvarloader gvl/bin/python
    python tests/bench/build.py --scaling
    python tests/bench/build.py --memory

For every cohort, length and kind of variants, in one run and by turns:
- `seqstore build` from .vcf.gz and from .bcf to a finished store, on one core;
- (a) the study's way: `samtools faidx | bcftools consensus` for each gene, person and haplotype, timed on a
  random sample of windows, which is what its numbers are extrapolated from;
- (b) `gvl.write` of GenVarLoader from the same genotypes, normalised for it beforehand with `bcftools norm`. It
  writes down which variants each window has, and makes the sequences when they are read.
Times are of the call in a fresh process with fresh output, without imports; the median over --repeats. The
input files are in the page cache. Needs bcftools and samtools.

GenVarLoader wants an environment of its own: `python -m venv gvl && gvl/bin/pip install genvarloader`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import build_memory
import build_scaling
import contestants
import jsonargparse
from contestants import Windows

from seqstore.config import BuildConfig
from seqstore.simulate import simulate

FORMATS = (".vcf.gz", ".bcf")
#: The cohort that --simulated names: near the size of the 1000 Genomes Project.
SIMULATED = {
    "european": 2250,
    "african": 250,
    "contigs": 1,
    "genes": 40,
    "negative_controls": 8,
    "length": 49_152,
    "indels": 0.12,
    "tss_deletions": 2,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", nargs="*", default=[], help="build files of cohorts (one genotype file each)"
    )
    parser.add_argument("--simulated", help="folder of a simulated cohort of 2,500 people; made if missing")
    parser.add_argument("--lengths", type=int, nargs="+", default=[49_152, 196_608])
    parser.add_argument("--variants", nargs="+", default=["snps", "all"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--genvarloader", metavar="PYTHON", help="python of an environment with GenVarLoader")
    parser.add_argument("--consensus", type=int, default=100, help="windows to time the study's way on")
    parser.add_argument(
        "--folder", help="where stores are built and thrown away (default: a temporary folder)"
    )
    parser.add_argument("--memory", action="store_true", help="measure peak memory instead")
    parser.add_argument("--scaling", action="store_true", help="measure 1 and --workers workers instead")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.memory or options.scaling:
            _print_of_workers(Path(folder), options)
            return
        cohorts = [config_of(path) for path in options.config]
        if options.simulated:
            if not Path(options.simulated).exists():
                simulate(options.simulated, **SIMULATED)
            cohorts.append(config_of(Path(options.simulated) / "build.yaml"))
        for number, config in enumerate(cohorts):
            for length in options.lengths:
                for variants in options.variants:
                    work = Path(folder, str(number))
                    work.mkdir(exist_ok=True)
                    changed = dataclasses.replace(
                        config, length=length, variants=variants, store=str(work / "store.zarr"), workers=1
                    )
                    _duel(changed, work, options)


def config_of(path: str | Path) -> BuildConfig:
    keys = jsonargparse.ArgumentParser()
    keys.add_argument("--config", action="config")
    keys.add_class_arguments(BuildConfig)
    given = keys.parse_args(["--config", str(path)]).as_dict()
    given.pop("config")
    config = BuildConfig(**given)
    if not isinstance(config.genotypes, str) or not config.genotypes.endswith(FORMATS):
        raise SystemExit(f"{path}: the benchmark takes one genotype file, .vcf.gz or .bcf")
    return config


def _duel(config: BuildConfig, folder: Path, options: argparse.Namespace) -> None:
    """Measure one cohort at one length with one kind of variants, and print three tables."""
    genotypes = str(config.genotypes)
    store, gvl_folder = Path(config.store), folder / "gvl"
    config_from = {
        ending: dataclasses.replace(config, genotypes=contestants.converted(genotypes, ending, folder))
        for ending in FORMATS
    }
    # The first build is not timed: it compiles, and says which windows there are.
    _note("warming up")
    _fresh(store)
    contestants.build_once(config_from[".bcf"], folder)
    windows = Windows.of_store(config.store)
    plain = {
        ending: contestants.snps_of(genotypes, ending, folder) if config.variants == "snps" else Path(path)
        for ending, path in ((ending, str(config_from[ending].genotypes)) for ending in FORMATS)
    }
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    cpu: defaultdict[str, list[float]] = defaultdict(list)
    imports: list[float] = []
    version, gvl_size = "", (0, 0)
    for repeat in range(options.repeats):
        for ending in FORMATS:
            _note(f"{ending}, repeat {repeat + 1}")
            _fresh(store)
            done = contestants.build_once(config_from[ending], folder)
            seconds[_ours(ending)].append(done["seconds"])
            cpu[_ours(ending)].append(done["cpu"])
            imports.append(done["imports"])
            if options.genvarloader:
                _note(f"{ending}, GenVarLoader, repeat {repeat + 1}")
                file = contestants.normalised(str(plain[ending]), ending, folder, config.reference)
                written = contestants.gvl_write(options.genvarloader, file, windows, gvl_folder, folder)
                for number, name in enumerate(_gvl(ending)):
                    seconds[name].append(written["seconds"][number])
                    cpu[name].append(written["cpu"][number])
                version, gvl_size = written["version"], contestants.sizes(gvl_folder)
                shutil.rmtree(gvl_folder)
        _note(f"the study's way, repeat {repeat + 1}")
        n = max(options.consensus // options.repeats, 1)
        timed = contestants.consensus_pipelines(plain[".vcf.gz"], config.reference, windows, n, repeat)
        for times, sample in zip((seconds, cpu), timed, strict=True):
            times[_STUDY].append(sample / n * windows.n)
    print(
        f"\n\n## {Path(genotypes).name}: {len(windows.individual):,} people, {len(windows.gene)} genes, "
        f"{config.length:,} bp, variants: {config.variants} ({windows.n:,} windows)"
    )
    _print_speed(seconds, cpu, windows, options)
    print(f"imports before a build: {statistics.median(imports):.1f} s, not counted")
    if not options.genvarloader:
        print("(b) GenVarLoader: skipped, no --genvarloader given")
    _print_stages(config_from, windows, folder, options.repeats)
    _fresh(store)
    contestants.build_once(config_from[".bcf"], folder)
    _print_disk(store, windows, gvl_size, version)
    _fresh(store)


_STUDY = "(a) samtools faidx | bcftools consensus"


def _ours(ending: str) -> str:
    return f"seqstore build from {ending}"


def _gvl(ending: str) -> tuple[str, ...]:
    return tuple(f"(b) gvl.write from {ending}, its index {state}" for state in ("made too", "there"))


def _print_speed(
    seconds: dict[str, list[float]],
    cpu: dict[str, list[float]],
    windows: Windows,
    options: argparse.Namespace,
) -> None:
    """Ratios to both peers first, then windows a second; CPU time, which a busy machine blurs less."""
    median = {name: statistics.median(times) for name, times in seconds.items()}
    rows = []
    for name, times in seconds.items():
        ending = FORMATS[1] if FORMATS[1] in name else FORMATS[0]
        gvl = median.get(_gvl(ending)[0])
        rows.append(
            [
                name,
                f"{median[_STUDY] / median[name]:,.1f}",
                f"{gvl / median[name]:,.2f}" if gvl else "",
                f"{windows.n / median[name]:,.0f}",
                f"{median[name]:,.1f}",
                f"{min(times):,.1f}-{max(times):,.1f}",
                f"{statistics.median(cpu[name]):,.1f}",
            ]
        )
    _print_table(["on one core", "x (a)", "x (b)", "windows/s", "seconds", "min-max", "CPU s"], rows)
    n = max(options.consensus // options.repeats, 1)
    print(f"(a) timed on {options.repeats} x {n} windows, extrapolated")


def _print_stages(config_from: dict[str, BuildConfig], windows: Windows, folder: Path, repeats: int) -> None:
    """Where one build's time goes, next to the least that reading and copying could take."""
    builds, bare = {}, {}
    for ending, config in config_from.items():
        _note(f"stages, {ending}")
        _fresh(Path(config.store))
        builds[ending] = contestants.build_once(config, folder, stages=True)["stages"]
        bare[ending] = statistics.median(
            contestants.bare_parse(str(config.genotypes), windows) for _ in range(repeats)
        )
    copy = statistics.median(contestants.memcpy(windows) for _ in range(repeats))
    total = {ending: sum(stages.values()) for ending, stages in builds.items()}
    names = sorted(set().union(*builds.values()), key=lambda name: -builds[FORMATS[0]].get(name, 0.0))
    rows = [["all of it", *(text for e in FORMATS for text in (f"{total[e]:.2f}", "100%"))]]
    for name in names:
        spent = {ending: builds[ending].get(name, 0.0) for ending in FORMATS}
        rows.append(
            [name, *(text for e in FORMATS for text in (f"{spent[e]:.2f}", f"{spent[e] / total[e]:.0%}"))]
        )
    for name, least in (
        ("for comparison: cyvcf2 reads the records once", bare),
        ("for comparison: memcpy of the packed windows", dict.fromkeys(FORMATS, copy)),
    ):
        rows.append(
            [name, *(text for e in FORMATS for text in (f"{least[e]:.2f}", f"{least[e] / total[e]:.0%}"))]
        )
    header = ["seconds on one core", *(text for ending in FORMATS for text in (ending, "share"))]
    print()
    _print_table(header, rows)


def _print_disk(store: Path, windows: Windows, gvl_size: tuple[int, int], version: str) -> None:
    """Bytes a window of the store, of GenVarLoader's folder and of the study's HDF5."""
    whole, sequence = contestants.sizes(store), contestants.sizes(store / "haplotype_sequence")
    of_gene = {
        gene: contestants.sizes(store / "haplotype_sequence" / "c" / str(number))
        for number, gene in enumerate(windows.gene)
    }
    largest = max(of_gene, key=lambda gene: of_gene[gene][0])
    hdf5 = windows.length * 4 * 2
    in_gene = 2 * len(windows.individual)
    named = [
        ("the whole store", whole, windows.n),
        ("haplotype_sequence alone", sequence, windows.n),
        (f"the largest gene of it, {largest}", of_gene[largest], in_gene),
    ]
    if version:
        named.append((f"(b) GenVarLoader {version}'s folder", gvl_size, windows.n))
    rows = [
        [name, f"{size[0] / n / (whole[0] / windows.n):,.2f}", f"{size[0] / n:,.1f}", f"{size[1] / n:,.1f}"]
        for name, size, n in named
    ]
    rows.append(
        ["(a) the study's HDF5, float16 (computed)", f"{hdf5 * windows.n / whole[0]:,.0f}", f"{hdf5:,}", ""]
    )
    print()
    _print_table(["disk", "x store", "bytes a window", "with whole disk blocks"], rows)


def _print_of_workers(folder: Path, options: argparse.Namespace) -> None:
    """Peak memory of the largest worker and of the main process, in MB; or the gain from more workers than one."""
    workers = options.workers
    if workers < 2:
        raise SystemExit("--workers: give 2 or more; one worker is the main process itself")
    if options.memory:
        header = ["peak memory, MB", "genes", "bp", "variants", "a worker", "main process", "seconds"]
        measured = build_memory.rows(folder, options.lengths, options.variants, workers)
    else:
        header = [f"1 -> {workers} workers", "ratio"]
        header += [f"{what}, {n}" for what in ("seconds", "CPU s") for n in (1, workers)]
        measured = build_scaling.rows(folder, options.variants, workers, options.repeats)
    rows = []
    for row in measured:
        _note("  ".join(row))
        rows.append(row)
    _print_table(header, rows)


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *cells]))
    sys.stdout.flush()


def machine() -> str:
    names = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    model = next(names, platform.machine()).split(":")[-1].strip()
    tools = (
        subprocess.run([tool, "--version"], capture_output=True, check=True).stdout.split(b"\n")[0].decode()
        for tool in ("bcftools", "samtools")
    )
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return f"{model}, {cores} cores, load {load:.1f} before; Python {platform.python_version()}, {', '.join(tools)}"


def _fresh(store: Path) -> None:
    shutil.rmtree(store, ignore_errors=True)


def _note(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
