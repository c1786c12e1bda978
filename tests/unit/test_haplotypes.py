from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import seqstore
from seqstore.build import build
from seqstore.haplotypes import NOT_APPLIED, WindowEncoder, snp_codes
from seqstore.nucleotides import decode, encode, unpack


def texts(*rows: tuple[str, ...]) -> np.ndarray:
    return np.array(rows, dtype=object)


def haplotypes(
    reference: str, offsets: list[int], alleles: np.ndarray, genotype: list[list[list[int]]], **options: bool
) -> tuple[list[str], list[list[int]], WindowEncoder]:
    encoder = WindowEncoder(encode(reference), np.array(offsets), snp_codes(alleles), **options)
    block = encoder.encode(np.array(genotype, dtype=np.int8).transpose(0, 1, 2))
    windows = [decode(unpack(w)) for w in block.windows.reshape(-1, len(reference) // 2)]
    counts = [
        getattr(block, name).ravel().tolist() for name in ("haplotype_id", "applied", "skipped", "missing")
    ]
    return windows, counts, encoder


def test_alleles_that_are_no_snp_are_not_applied() -> None:
    codes = snp_codes(
        texts(("A", "C", "G", "t"), ("A", "AC", "*", "<DEL>"), ("AT", "A", "GT", ""), ("G", "", "", ""))
    )
    assert codes[0].tolist() == [0, 2, 4, 8]
    assert codes[1].tolist() == [0, NOT_APPLIED, NOT_APPLIED, NOT_APPLIED]
    assert codes[2].tolist() == [0, NOT_APPLIED, NOT_APPLIED, NOT_APPLIED]


def test_each_haplotype_gets_its_own_alleles_in_both_nibbles() -> None:
    windows, (ids, applied, skipped, missing), encoder = haplotypes(
        "AACCGGTT",
        [0, 3, 7],
        texts(("A", "T", ""), ("C", "A", "G"), ("T", "C", "")),
        [[[0, 1], [1, 1]], [[2, 1], [1, 1]], [[0, 0], [1, 1]]],
    )
    assert windows == ["AACGGGTT", "TACAGGTT", "TACAGGTC", "TACAGGTC"]
    assert ids == [0, 1, 2, 2]
    assert encoder.n_distinct == 3
    assert applied == [1, 2, 3, 3]
    assert skipped == missing == [0] * 4


def test_of_two_records_at_one_base_the_first_that_changes_it_counts() -> None:
    windows, (_, applied, skipped, _), _ = haplotypes(
        "ACGT",
        [1, 1],
        texts(("C", "A"), ("C", "G")),
        [[[0, 1], [1, 0]], [[1, 1], [0, 0]]],
    )
    assert windows == ["AGGT", "AAGT", "AAGT", "ACGT"]
    assert applied == [1, 1, 1, 0]
    assert skipped == [0, 1, 0, 0]


@pytest.mark.parametrize(("missing_is_n", "expected"), [(False, "ACGT"), (True, "ANGT")])
def test_a_missing_allele_is_reference_or_n(missing_is_n: bool, expected: str) -> None:
    windows, (ids, _, _, missing), _ = haplotypes(
        "ACGT", [1], texts(("C", "A")), [[[-1, 1], [0, -1]]], missing_is_n=missing_is_n
    )
    assert windows == [expected, "AAGT", "ACGT", expected]
    assert missing == [1, 0, 0, 1]
    assert ids == ([0, 1, 2, 0] if missing_is_n else [0, 1, 0, 0]), "equal windows have equal ids"


def test_ids_run_on_over_blocks_of_individuals() -> None:
    encoder = WindowEncoder(encode("ACGT"), np.array([0, 2]), snp_codes(texts(("A", "C"), ("G", "T"))))
    first = encoder.encode(np.array([[[0, 1]], [[0, 0]]], dtype=np.int8))
    second = encoder.encode(np.array([[[1, 1]], [[0, 1]]], dtype=np.int8))
    assert first.haplotype_id.tolist() == [[0, 1]]
    assert second.haplotype_id.tolist() == [[1, 2]]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("missing", ["reference", "n"])
def test_windows_equal_bcftools_consensus_on_the_whole_contig(
    make_cohort: Callable[..., object], bcftools: str, seed: int, missing: str
) -> None:
    cohort = make_cohort(seed=seed, missing=0.05)  # type: ignore[attr-defined]
    config = cohort.config(missing=missing)
    build(config)
    store = seqstore.open_store(config.store)
    for person in range(0, len(cohort.people), 2):
        for haplotype in (1, 2):
            consensus = run_consensus(
                bcftools, cohort.folder, cohort.people[person], haplotype, missing == "n"
            )
            for gene in range(store.sizes["gene"]):
                contig, start = str(store.contig.values[gene]), int(store.window_start.values[gene])
                padded = "N" * 200 + consensus[contig] + "N" * 200
                window = store.haplotype_sequence[gene, person, haplotype - 1].values
                assert decode(unpack(window)) == padded[start + 200 : start + 400].upper()


def run_consensus(
    bcftools: str, folder: Path, person: str, haplotype: int, missing_is_n: bool
) -> dict[str, str]:
    command = [bcftools, "consensus", "-s", person, "-H", str(haplotype), "-f", str(folder / "reference.fa")]
    command += ["-M", "N"] if missing_is_n else []
    out = subprocess.run(
        [*command, str(folder / "genotypes.vcf.gz")], capture_output=True, check=True, text=True
    )
    records = out.stdout.split(">")[1:]
    return {record.split("\n")[0].split()[0]: "".join(record.split("\n")[1:]) for record in records}
