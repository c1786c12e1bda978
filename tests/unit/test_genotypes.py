from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seqstore.errors import InputError
from seqstore.genotypes import ABSENT, MISSING, GenotypeSource, open_genotypes
from tests.unit.genotype_files import (
    DIPLOID,
    DIPLOID_READ,
    HAPLOID,
    HAPLOID_READ,
    HEADER,
    PEOPLE,
    all_of,
    as_read,
    to_bcf,
    to_vcf_zarr,
    write_text_vcf,
    write_tiny_pgen,
    write_tiny_vcf,
)

#: Writes some lines into a folder in one format and returns the path.
Write = Callable[[Path, list], str]

WRITERS: dict[str, Write] = {
    "vcf.gz": lambda folder, lines: write_tiny_vcf(folder / "g.vcf.gz", lines),
    "vcf.bgz": lambda folder, lines: write_tiny_vcf(folder / "g.vcf.bgz", lines),
    "bcf": lambda folder, lines: to_bcf(write_tiny_vcf(folder / "g.vcf.gz", lines)),
    "pgen": lambda folder, lines: write_tiny_pgen(folder / "g.pgen", lines),
    "pgen, zstd": lambda folder, lines: write_tiny_pgen(folder / "g.pgen", lines, zstd=True),
    "vcf zarr 2": lambda folder, lines: to_vcf_zarr(
        write_tiny_vcf(folder / "g.vcf.gz", lines), folder / "g.vcz"
    ),
    "vcf zarr 3": lambda folder, lines: to_vcf_zarr(
        write_tiny_vcf(folder / "g.vcf.gz", lines), folder / "g", zarr_format=3
    ),
}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Write:
    return WRITERS[request.param]


@pytest.fixture
def source(write: Write, tmp_path: Path) -> GenotypeSource:
    return open_genotypes(write(tmp_path, DIPLOID))


def test_every_format_reads_the_same_records(source: GenotypeSource, tmp_path: Path) -> None:
    assert (source.individuals, source.contigs) == (PEOPLE, ("chr1", "chr2"))
    assert all_of(source) == DIPLOID_READ
    assert source.path_of("chr1") in source.paths
    assert all(Path(path).exists() for path in source.paths)
    assert (source.span("chr1"), source.span("chr2")) == ((10, 22), (7, 7))


def test_regions_are_of_pos_0_based_and_half_open(source: GenotypeSource) -> None:
    def positions(start: int, stop: int) -> list[int]:
        return [record.position for record in source.records("chr1", start, stop)]

    assert positions(9, 10) == [10]
    assert positions(10, 19) == []
    assert positions(20, 21) == [], "the record at 20 only reaches into it"
    assert positions(19, 22) == [20, 22, 22]
    assert positions(-100, 10**9) == [10, 20, 22, 22]
    assert positions(90_000, 95_000) == []


def test_a_subset_gives_its_individuals_in_its_order(source: GenotypeSource) -> None:
    for labels in (["c", "a"], ["b"], ["c", "b", "a"], ["a", "b"], list(PEOPLE)):
        columns = [PEOPLE.index(label) for label in labels]
        some = source.subset(labels)
        assert some.individuals == tuple(labels)
        expected = [
            (*fields, [genotype[column] for column in columns], [phased[column] for column in columns])
            for *fields, genotype, phased in DIPLOID_READ
        ]
        assert all_of(some) == [tuple(record) for record in expected]
        assert all_of(some.subset(labels[:1])) == all_of(source.subset(labels[:1]))
    assert all_of(source) == DIPLOID_READ, "the whole is left as it was"
    with pytest.raises(InputError, match=r"g[^:]*: has no individual nobody$"):
        source.subset(["a", "nobody"])
    with pytest.raises(InputError, match=r"g[^:]*: individual a is named 2 times$"):
        source.subset(["a", "b", "a"])


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # Python 3.12 warns of a fork beside threads
@pytest.mark.parametrize("form", ["vcf.gz", "bcf", "pgen", "vcf zarr 2"])
def test_a_source_travels_to_other_processes_and_threads(form: str, tmp_path: Path) -> None:
    source = open_genotypes(WRITERS[form](tmp_path, DIPLOID))
    assert all_of(source) == DIPLOID_READ
    assert len(pickle.dumps(source)) < 2000
    assert all_of(pickle.loads(pickle.dumps(source))) == DIPLOID_READ
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply(all_of, (source,)) == DIPLOID_READ
    found: list[list] = []
    threads = [threading.Thread(target=lambda: found.append(all_of(source))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [DIPLOID_READ] * 6


def test_iterations_of_one_file_do_not_disturb_each_other(source: GenotypeSource) -> None:
    outer = source.records("chr1", 0, 100)
    first = next(outer)
    assert as_read(source.records("chr2", 0, 100)) == DIPLOID_READ[4:]
    assert source.first_reaching("chr1", 21) == 19
    inner = source.records("chr1", 0, 100)
    next(inner)
    assert [(*as_read(iter([first])),), as_read(outer)] == [(DIPLOID_READ[0],), DIPLOID_READ[1:4]]
    assert as_read(inner) == DIPLOID_READ[1:4]


@pytest.mark.parametrize("form", [form for form in WRITERS if "pgen" not in form])
def test_haploid_calls_and_lone_dots(form: str, tmp_path: Path) -> None:
    source = open_genotypes(WRITERS[form](tmp_path, HAPLOID))
    assert all_of(source) == HAPLOID_READ
    assert (MISSING, ABSENT) == (-1, -2)
    assert as_read(source.subset(["c", "b"]).records("chrX", 5, 6)) == [
        (*HAPLOID_READ[1][:5], [[-1, -2], [1, -2]], [True, True])
    ]


def test_a_bcf_of_haploid_calls_only(tmp_path: Path) -> None:
    lines = [("chrX", 6 + i, "x", "A", "T", "PASS", calls) for i, calls in enumerate(("0 1 .", "1 1 0"))]
    source = open_genotypes(to_bcf(write_tiny_vcf(tmp_path / "g.vcf.gz", lines)))
    assert [record[5] for record in all_of(source)] == [
        [[0, -2], [1, -2], [-1, -2]],
        [[1, -2], [1, -2], [0, -2]],
    ]


def overlapping_deletions(rng: np.random.Generator) -> list:
    """Deletions of many lengths on chr1, so that some reach over others."""
    starts = np.sort(rng.choice(400, 60)) + 1
    lengths = np.where(rng.random(60) < 0.5, 1, rng.integers(2, 12, 60))
    lengths[rng.choice(60, 3)] = 70
    return [
        (
            "chr1",
            int(start),
            ".",
            "A" * int(length),
            "<DEL>" if length % 2 else "A" * (int(length) + 1),
            ".",
            "0|0 0|1 1|1",
        )
        for start, length in zip(starts, lengths, strict=True)
    ]


def test_first_reaching_is_transitive(write: Write, tmp_path: Path) -> None:
    lines = overlapping_deletions(np.random.default_rng(3))
    source = open_genotypes(write(tmp_path, lines))
    extents = [(line[1] - 1, line[1] - 1 + len(line[3])) for line in lines]
    moved = 0
    for position in range(0, 500):
        expected = position
        while reaching := [start for start, stop in extents if start < expected < stop]:
            expected = min(reaching)
        assert source.first_reaching("chr1", position) == expected
        moved += position - expected > 12
    assert moved > 20, "chains of records occur"


def test_info_end_does_not_reach(tmp_path: Path) -> None:
    lines = [
        "chr1\t10\t.\tA\t<DEL>\t.\t.\tEND=5000\tGT\t0|1\t0|0\t0|0",
        "chr1\t100\t.\tACGT\tA\t.\t.\t.\tGT\t0|1\t0|0\t0|0",
    ]
    path = write_text_vcf(tmp_path / "g.vcf.gz", lines)
    for source in (open_genotypes(path), open_genotypes(to_bcf(path))):
        assert source.first_reaching("chr1", 4000) == 4000
        assert source.first_reaching("chr1", 101) == 99
        assert [record.position for record in source.records("chr1", 50, 200)] == [100]
        assert source.span("chr1") == (10, 100)


@pytest.mark.parametrize(
    ("form", "ending"), [("vcf.gz", "vcf.gz"), ("bcf", "bcf"), ("pgen", "pgen"), ("vcf zarr 2", "vcz")]
)
def test_contigs_in_files_of_their_own(form: str, ending: str, tmp_path: Path) -> None:
    paths = []
    for contig in ("chr1", "chr2"):
        folder = tmp_path / contig
        folder.mkdir()
        paths.append(WRITERS[form](folder, [line for line in DIPLOID if line[0] == contig]))
    for given in (f"{tmp_path}/chr*/g.{ending}", paths, [f"{tmp_path}/chr1/*.{ending}", paths[1], paths[0]]):
        source = open_genotypes(given)
        assert all_of(source) == DIPLOID_READ
        assert [source.path_of(contig) for contig in source.contigs] == paths
        assert set(paths) <= set(source.paths)
        assert all_of(source.subset(["b"])) == [(*r[:5], [r[5][1]], [r[6][1]]) for r in DIPLOID_READ]
        assert source.first_reaching("chr1", 21) == 19
    with pytest.raises(InputError, match=r"no genotype file matches"):
        open_genotypes([paths[0], f"{tmp_path}/chr9/*.{ending}"])


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    vcf = write_tiny_vcf(tmp_path / "g.vcf.gz")
    pgen = write_tiny_pgen(tmp_path / "p.pgen")
    with pytest.raises(
        InputError, match=r"p\.pgen: is of another format than .*g\.vcf\.gz; give files of one"
    ):
        open_genotypes([vcf, pgen])
    again = write_tiny_vcf(tmp_path / "again.vcf.gz", DIPLOID[:1])
    with pytest.raises(
        InputError, match=r"again\.vcf\.gz: contig chr1 stands in .*g\.vcf\.gz too; give it once"
    ):
        open_genotypes([vcf, again])
    header = [line.replace("\ta\tb\tc", "\ta\tc\tb") for line in HEADER]
    other = write_text_vcf(tmp_path / "o.vcf.gz", ["chr2\t1\t.\tA\tC\t.\t.\t.\tGT\t0\t0\t0"], header=header)
    with pytest.raises(InputError, match=r"o\.vcf\.gz: its individuals differ from those of .*again"):
        open_genotypes([again, other])
    both = [
        write_tiny_vcf(tmp_path / "one.vcf.gz", DIPLOID[:4]),
        to_bcf(write_tiny_vcf(tmp_path / "two.vcf.gz", DIPLOID[4:])),
    ]
    assert all_of(open_genotypes(both)) == DIPLOID_READ, "VCF and BCF are one format"


def test_one_contig_under_two_names(tmp_path: Path) -> None:
    def named(name: str, *contigs: str) -> str:
        header = [
            *HEADER[:3],
            *(f"##contig=<ID={c},length=99>" for c in ("1", "chr1", "M", "chrMT")),
            *HEADER[6:],
        ]
        lines = [f"{contig}\t5\t.\tA\tC\t.\t.\t.\tGT\t0|1\t0|0\t0|0" for contig in contigs]
        return write_text_vcf(tmp_path / name, lines, header=header)

    with_chr, without = named("a.vcf.gz", "chr1"), named("b.vcf.gz", "1")
    assert open_genotypes(with_chr).contigs == ("chr1",), "the header alone may have both"
    with pytest.raises(
        InputError, match=r"b\.vcf\.gz: contig 1 stands in .*a\.vcf\.gz too, as chr1; give it once"
    ):
        open_genotypes([with_chr, without])
    with pytest.raises(InputError, match=r"c\.vcf\.gz: contig chr1 stands in .*c\.vcf\.gz too, as 1; give"):
        open_genotypes(named("c.vcf.gz", "1", "chr1"))
    with pytest.raises(InputError, match=r"d\.vcf\.gz: contig chrMT stands in .*d\.vcf\.gz too, as M; give"):
        open_genotypes(named("d.vcf.gz", "M", "chrMT"))


@pytest.mark.parametrize("form", ["vcf.gz", "bcf", "vcf zarr"])
def test_phase_sets(form: str, tmp_path: Path) -> None:
    header = [*HEADER[:-1], '##FORMAT=<ID=PS,Number=1,Type=Integer,Description="set">', HEADER[-1]]
    lines = [
        "chr1\t5\t.\tA\tC\t.\t.\t.\tGT:PS\t0|1:5\t0|1:.\t0|0:7",
        "chr1\t9\t.\tA\tC\t.\t.\t.\tGT:PS\t0|1:9\t0|1:3\t0|0:8",
    ]
    path = write_text_vcf(tmp_path / "g.vcf.gz", lines, header=header)
    if form != "vcf.gz":
        path = to_bcf(path) if form == "bcf" else to_vcf_zarr(path, tmp_path / "g.vcz")
    source = open_genotypes(path)
    sets = [record.phase_set for record in source.subset(["c", "a"]).records("chr1", 0, 10)]
    np.testing.assert_array_equal(sets, [[7, 5], [8, 9]])
    assert next(source.records("chr1", 0, 10)).phase_set[1] < 0, "missing"  # type: ignore[index]
    (without,) = open_genotypes(write_tiny_vcf(tmp_path / "n.vcf.gz")).records("chr1", 0, 10)
    assert without.phase_set is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("g.vcf", r"g\.vcf: is no \.vcf\.gz.*; make one that can be with: bcftools view -Oz"),
        ("g.bed", r"g\.bed: is no .*plink2 --bfile"),
        ("g.txt", r"g\.txt: is no \.vcf\.gz, \.vcf\.bgz, \.bcf, \.pgen or VCF Zarr \(\.vcz, \.zarr\)"),
        ("nope.vcf.gz", r"nope\.vcf\.gz: no such genotype file"),
        ("nope.bcf", r"nope\.bcf: no such genotype file"),
        ("nope.pgen", r"nope\.pgen: no such genotype file"),
        ("nope.vcz", r"nope\.vcz: no such folder"),
        ("*.nope", r"\*\.nope: no genotype file matches"),
    ],
)
def test_names_that_cannot_be_read(name: str, message: str, tmp_path: Path) -> None:
    for existing in ("g.vcf", "g.bed", "g.txt"):
        (tmp_path / existing).touch()
    with pytest.raises(InputError, match=message):
        open_genotypes(str(tmp_path / name))


def test_no_file_at_all() -> None:
    with pytest.raises(InputError, match="no file is given"):
        open_genotypes([])
