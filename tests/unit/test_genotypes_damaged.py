"""A damaged VCF or BCF is refused or read whole: fewer records than it holds are never given out."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pysam
import pytest

from seqstore.errors import InputError
from seqstore.genotypes import GenotypeSource, open_genotypes
from tests.unit.genotype_files import HEADER, to_bcf, to_vcf_zarr, write_text_vcf

REGIONS = [
    ("chr1", 0, 10**6),
    ("chr1", 40_000, 120_000),
    ("chr1", 119_900, 10**6),
    ("chr2", 0, 10**6),
    ("chr2", 2_000, 18_000),
    ("chr2", 900_000, 950_000),
]
Read = list[tuple[int, bytes]]


def read(source: GenotypeSource, contig: str, start: int, stop: int) -> Read:
    return [(r.position, r.genotype.tobytes()) for r in source.records(contig, start, stop)]


@pytest.fixture(scope="module", params=["vcf.gz", "bcf"])
def intact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Some hundred records of 150 people: some ten BGZF blocks."""
    rng = np.random.default_rng(5)
    people = [f"P{i}" for i in range(150)]
    header = [*HEADER[:-1], HEADER[-1].replace("\ta\tb\tc", "\t" + "\t".join(people))]
    lines = []
    for contig, n in (("chr1", 600), ("chr2", 300)):
        for position in np.sort(rng.choice(180_000, n, replace=False)) + 1:
            calls = "\t".join(f"{a}|{b}" for a, b in rng.integers(0, 2, (150, 2)))
            lines.append(f"{contig}\t{position}\t.\tA\tC\t.\t.\t.\tGT\t{calls}")
    path = write_text_vcf(tmp_path_factory.mktemp("intact") / "g.vcf.gz", lines, header=header)
    return path if request.param == "vcf.gz" else to_bcf(path)


def damages(data: bytes) -> Iterator[bytes]:
    """The bytes of a file, changed or cut off in many places."""
    rng = np.random.default_rng(7)
    for place in rng.integers(0, len(data), 40).tolist():
        yield data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]
    for place in rng.integers(0, len(data), 10).tolist():
        yield data[:place]
        yield data[:place] + bytes(len(data) - place)
    for border in borders(data):
        yield data[:border]


def borders(data: bytes) -> Iterator[int]:
    """Where the BGZF blocks of a file begin."""
    border = 0
    while border < len(data):
        yield border
        border += struct.unpack_from("<H", data, border + 16)[0] + 1


def test_nothing_is_lost_silently(intact: str, tmp_path: Path) -> None:
    index = next(intact + ending for ending in (".tbi", ".csi") if Path(intact + ending).exists())
    path = tmp_path / Path(intact).name
    for file in (intact, index):
        shutil.copy2(file, tmp_path)
    expected = [read(open_genotypes(intact), *region) for region in REGIONS]
    spans = {contig: open_genotypes(intact).span(contig) for contig in ("chr1", "chr2")}
    assert [len(records) for records in expected][0::3] == [600, 300]
    opened_before = open_genotypes(str(path))
    data, time = Path(intact).read_bytes(), os.stat(index).st_mtime
    n_damages, n_refused = 0, 0

    def is_refused(attempt: Callable[[], object], expected: object) -> bool:
        try:
            assert attempt() == expected
        except InputError as error:
            return str(error).startswith(f"{path}: ")
        return False

    for damaged in damages(data):
        n_damages += 1
        path.write_bytes(damaged)
        os.utime(path, (time - n_damages, time - n_damages))
        sources = [opened_before]
        refusals = [is_refused(lambda into=sources: into.append(open_genotypes(str(path))), None)]
        for source in sources:
            for region, records in zip(REGIONS, expected, strict=True):
                refusals.append(is_refused(partial(read, source, *region), records))
            for contig, span in spans.items():
                refusals.append(is_refused(partial(source.span, contig), span))
        n_refused += any(refusals)
    assert n_damages > 65
    assert n_refused >= n_damages - 4, "some bits of a BGZF header mean nothing"


def test_damage_elsewhere_does_not_matter(intact: str, tmp_path: Path) -> None:
    """After a refusal the other regions are still read, by the same source."""
    index = next(intact + ending for ending in (".tbi", ".csi") if Path(intact + ending).exists())
    path = tmp_path / Path(intact).name
    for file in (intact, index):
        shutil.copy2(file, tmp_path)
    source = open_genotypes(str(path))
    stops = range(1 << 14, 180_000, 1 << 14)  # the index cuts contigs there, and reads no further
    expected = {stop: read(source, "chr1", 0, stop) for stop in stops}
    data = bytearray(path.read_bytes())
    data[int(len(data) * 0.4)] ^= 4
    path.write_bytes(data)
    refused = []
    for stop in [*stops, *stops]:
        try:
            assert read(source, "chr1", 0, stop) == expected[stop]
        except InputError:
            refused.append(stop)
    assert 2 < len(refused) // 2 < len(stops) - 2
    assert refused[: len(refused) // 2] == list(stops)[-len(refused) // 2 :], "all from the damage on"
    with pytest.raises(
        InputError, match=r"cannot be read after chr1:\d+ \(truncated file\); is it damaged\?"
    ):
        read(source, "chr1", 0, 10**6)
    assert source.first_reaching("chr1", 300) == 300


def test_a_region_before_the_damage_is_read_again_and_again(tmp_path: Path) -> None:
    """The search for a next record runs into the damage, which the region itself has no part in."""
    line = "chr1\t{}\t.\tA\tC\t.\t.\t.\tGT\t0|1\t0|0\t1|1\n"
    path = tmp_path / "g.vcf.gz"
    with pysam.BGZFile(str(path), "w") as file:
        file.write("".join(f"{text}\n" for text in HEADER).encode() + line.format(100).encode())
        file.flush()
        file.write("".join(line.format(500_000 + i) for i in range(100)).encode())
    pysam.tabix_index(str(path), preset="vcf")
    source = open_genotypes(str(path))
    data = bytearray(path.read_bytes())
    _, second, _ = borders(data)  # the last is empty
    data[second + 100] ^= 1
    path.write_bytes(data)
    for _ in range(3):
        assert [position for position, _ in read(source, "chr1", 0, 1000)] == [100]
        with pytest.raises(InputError, match="cannot be read after chr1:100 "):
            read(source, "chr1", 0, 600_000)


@pytest.mark.parametrize("name", ["sample_id", "variant_allele", "variant_position"])
def test_a_chunk_that_a_vcf_zarr_lost_is_named(tmp_path: Path, name: str) -> None:
    lost = without_a_chunk(tmp_path, name)
    with pytest.raises(InputError, match=rf"g\.vcz/{name}/{lost}: this chunk file is missing"):
        open_genotypes(str(tmp_path / "g.vcz"))


def test_calls_that_a_vcf_zarr_may_have_lost_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Zarr writes no chunk where all alleles are the reference."""
    lost = without_a_chunk(tmp_path, "call_genotype")
    assert len(list(open_genotypes(str(tmp_path / "g.vcz")).records("chr1", 0, 100))) == 5
    assert (
        f"g.vcz/call_genotype has no chunk {lost}, so everyone has the reference allele in it" in caplog.text
    )


def without_a_chunk(folder: Path, name: str) -> str:
    """Write a VCF Zarr, and remove the last chunk of an array; returns its key."""
    lines = [f"chr1\t{position}\t.\tA\tC\t.\tPASS\t.\tGT\t0|1\t1|1\t1|0" for position in range(10, 60, 10)]
    path = to_vcf_zarr(write_text_vcf(folder / "g.vcf.gz", lines), folder / "g.vcz")
    array = Path(path, name)
    chunk = max(file for file in array.rglob("*") if file.name[0].isdigit())
    chunk.unlink()
    return str(chunk.relative_to(array))
