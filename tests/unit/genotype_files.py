"""The same few records in every genotype format, and what they must be read as."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import pysam.bcftools
import pytest
import zstandard

from seqstore.genotypes import GenotypeSource, Record

PEOPLE = ("a", "b", "c")
HEADER = (
    "##fileformat=VCFv4.2",
    '##FILTER=<ID=q10,Description="low">',
    '##FILTER=<ID=s50,Description="few">',
    *(f"##contig=<ID={name},length=1000000>" for name in ("chr1", "chr2", "chrX")),
    '##INFO=<ID=END,Number=1,Type=Integer,Description="end">',
    '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="depth">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">',
    "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *PEOPLE]),
)

#: contig, POS, ID, REF, ALT, FILTER, calls.
Line = tuple[str, int, str, str, str, str, str]
#: The same as read: contig, POS, ID, alleles, filters, genotype, phased.
Expected = tuple[str, int, str, tuple[str, ...], tuple[str, ...], list[list[int]], list[bool]]

DIPLOID: list[Line] = [
    ("chr1", 10, ".", "A", "C", ".", "0|0 0|1 1|0"),
    ("chr1", 20, "rs2", "ATG", "C,<DEL>", "q10;s50", "0|2 1/2 ./."),
    ("chr1", 22, "rs3", "G", "T", "PASS", "1|1 0|0 0/1"),
    ("chr1", 22, "rs4", "G", "T", "PASS", "0|0 1|1 0|0"),
    ("chr2", 7, "rs5", "T", "A,C,G", "PASS", "3|0 0|1 2|3"),
]
DIPLOID_READ: list[Expected] = [
    ("chr1", 10, "", ("A", "C"), (), [[0, 0], [0, 1], [1, 0]], [True] * 3),
    (
        *("chr1", 20, "rs2", ("ATG", "C", "<DEL>"), ("q10", "s50")),
        *([[0, 2], [1, 2], [-1, -1]], [True, False, False]),
    ),
    ("chr1", 22, "rs3", ("G", "T"), ("PASS",), [[1, 1], [0, 0], [0, 1]], [True, True, False]),
    ("chr1", 22, "rs4", ("G", "T"), ("PASS",), [[0, 0], [1, 1], [0, 0]], [True] * 3),
    ("chr2", 7, "rs5", ("T", "A", "C", "G"), ("PASS",), [[3, 0], [0, 1], [2, 3]], [True] * 3),
]
#: What PGEN cannot hold: haploid and half missing calls. A record of haploid calls only has one column a person.
HAPLOID: list[Line] = [
    ("chrX", 5, "x1", "A", "*", "PASS", ". 1 .|1"),
    ("chrX", 6, "x2", "A", "T", "PASS", "0 1 ."),
    ("chrX", 9, "x3", "A", ".", "PASS", "0/0 0 0|0"),
]
HAPLOID_READ: list[Expected] = [
    ("chrX", 5, "x1", ("A", "*"), ("PASS",), [[-1, -2], [1, -2], [-1, 1]], [True] * 3),
    ("chrX", 6, "x2", ("A", "T"), ("PASS",), [[0, -2], [1, -2], [-1, -2]], [True] * 3),
    ("chrX", 9, "x3", ("A",), ("PASS",), [[0, 0], [0, -2], [0, 0]], [False, True, True]),
]


def as_read(records: Iterator[Record]) -> list[Expected]:
    """Records as literals."""
    literals = []
    for record in records:
        assert (record.genotype.dtype, record.phased.dtype) == (np.int8, np.bool_)
        fields = (record.contig, record.position, record.id, record.alleles, record.filters)
        literals.append((*fields, record.genotype.tolist(), record.phased.tolist()))
    return literals


def all_of(source: GenotypeSource) -> list[Expected]:
    """Every record of a source."""
    return [record for contig in source.contigs for record in as_read(source.records(contig, 0, 100_000))]


def optional(package: str) -> Any:
    """A package that an extra brings; a test that needs it skips without it, except in CI."""
    try:
        return importlib.import_module(package)
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail(f"{package} is not installed; CI needs it")
        pytest.skip(f"{package} is not installed")


def write_text_vcf(path: Path, lines: Sequence[str], *, header: Sequence[str] = HEADER) -> str:
    """Write, compress and index a VCF of ready-made lines."""
    with pysam.BGZFile(str(path), "w") as file:  # type: ignore[arg-type]
        file.write("".join(f"{line}\n" for line in [*header, *lines]).encode())
    pysam.tabix_index(str(path), preset="vcf", force=True)
    return str(path)


def write_tiny_vcf(path: Path, lines: Sequence[Line] = (*DIPLOID, *HAPLOID)) -> str:
    """Write a few records as ``.vcf.gz`` with tbi."""
    texts = [
        "\t".join([contig, str(position), label, ref, alt, ".", flag, ".", "GT", *calls.split()])
        for contig, position, label, ref, alt, flag, calls in lines
    ]
    return write_text_vcf(path, texts)


def to_bcf(vcf: str) -> str:
    """The ``.bcf`` with csi of a ``.vcf.gz``, beside it."""
    path = vcf.removesuffix(".vcf.gz") + ".bcf"
    pysam.bcftools.view("-Ob", "-o", path, vcf, catch_stdout=False)  # type: ignore[attr-defined]
    pysam.bcftools.index("-f", path, catch_stdout=False)  # type: ignore[attr-defined]
    return path


def write_tiny_pgen(path: Path, lines: Sequence[Line] = tuple(DIPLOID), *, zstd: bool = False) -> str:
    """Write a few diploid records as ``.pgen`` with ``.pvar`` or ``.pvar.zst`` and ``.psam``."""
    pgenlib = optional("pgenlib")
    rows = ["##contig=<ID=chr1>", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    writer = pgenlib.PgenWriter(
        str(path).encode(),
        3,
        variant_ct=len(lines),
        nonref_flags=False,
        allele_ct_limit=4,
        hardcall_phase_present=True,
    )
    for contig, position, label, ref, alt, flag, calls in lines:
        rows.append(f"{contig}\t{position}\t{label}\t{ref}\t{alt}\t.\t{flag}\tA=1 2;B")
        codes = np.array(
            [-9 if code == "." else int(code) for code in calls if code in ".0123"], dtype=np.int32
        )
        phased = np.array(["|" in call for call in calls.split()], dtype=np.uint8)
        writer.append_partially_phased(codes, phased, 2 + alt.count(","))
    writer.close()
    text = ("\n".join(rows) + "\n").encode()
    if zstd:
        path.with_suffix(".pvar.zst").write_bytes(zstandard.compress(text))
    else:
        path.with_suffix(".pvar").write_bytes(text)
    path.with_suffix(".psam").write_text(
        "#FID\tIID\tSEX\n" + "".join(f"F\t{label}\tNA\n" for label in PEOPLE)
    )
    return str(path)


def to_vcf_zarr(vcf: str, path: Path, *, zarr_format: int = 2, rows: int = 2, people: int = 2) -> str:
    """The VCF Zarr of a VCF, made by bio2zarr, in small chunks."""
    optional("bio2zarr")
    from bio2zarr.vcf import convert

    convert([vcf], str(path), variants_chunk_size=rows, samples_chunk_size=people, zarr_format=zarr_format)
    return str(path)
