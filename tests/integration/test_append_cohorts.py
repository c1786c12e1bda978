"""Random cohorts: a store that is begun with some of the people or genes and appended to is that of all of them.

``SEQSTORE_COHORTS`` (500): the slow test does a fifth of it for each kind.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import seqstore
from seqstore.append import append
from seqstore.build import build
from seqstore.errors import InputError
from tests.conftest import Call, Cohort, hashes, random_snps, write_cohort
from tests.random_cohorts import RandomCohort, nasty_cohort
from tests.same_store import assert_same_store

N_SLOW = int(os.environ.get("SEQSTORE_COHORTS", "500"))
#: Cohorts of several people and genes, with enough known about them to be appended to.
SEEDS = (0, 37, 57, 58)
Kind = Literal["genes", "people"]
SetChunks = Callable[..., None]


@pytest.mark.parametrize("kind", ["genes", "people"])
def test_random_cohorts(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch, set_chunks: SetChunks
) -> None:
    done = [appended(tmp_path, kind, seed, monkeypatch, set_chunks) for seed in SEEDS]
    assert sum(done) >= 2  # the others are refused


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["genes", "people"])
def test_many_random_cohorts(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch, set_chunks: SetChunks
) -> None:
    done = [appended(tmp_path, kind, seed, monkeypatch, set_chunks) for seed in range(100, 100 + N_SLOW // 5)]
    assert sum(done) > len(done) / 3


def appended(
    folder: Path, kind: Kind, seed: int, monkeypatch: pytest.MonkeyPatch, set_chunks: SetChunks
) -> bool:
    """Append to a store of a part of a random cohort, in chunks of a random size; False if it has no parts."""
    rng = np.random.default_rng(seed)
    monkeypatch.setattr("seqstore.scan.FIRST_GROWTH", int(rng.choice([4, 2048])))
    set_chunks(
        individuals=int(rng.choice([1, 2, 3, 512])),
        genes=int(rng.choice([1, 2, 8])),
        sites=int(rng.choice([2, 5, 8192])),
        variants=int(rng.choice([2, 1024])),
    )
    cohort = nasty_cohort(rng)
    whole = write_cohort(folder / "whole", cohort.contigs, cohort.people, cohort.calls, cohort.genes)
    store, anew = str(folder / "store.zarr"), str(folder / "anew.zarr")
    try:
        return appended_to(rng, whole, cohort, kind, store, anew)
    finally:
        for path in (whole.folder, store, anew):
            shutil.rmtree(path, ignore_errors=True)


def appended_to(
    rng: np.random.Generator, whole: Cohort, cohort: RandomCohort, kind: Kind, store: str, anew: str
) -> bool:
    try:
        build(whole.config(store=anew, **cohort.keys))
        build(begun(rng, whole, cohort, kind).config(store=store, **cohort.keys))
    except InputError:  # no record is left
        return False
    n = {name: seqstore.open_store(store).sizes[name] for name in ("gene", "individual")}
    all_of = seqstore.open_store(anew).sizes
    if (n["gene"] < all_of["gene"]) == (n["individual"] < all_of["individual"]):
        return False  # nothing to append, or a contig had no records
    before = hashes(store)
    write_cohort(whole.folder, cohort.contigs, cohort.people, cohort.calls, cohort.genes)
    some_are_haploid = any(len(text) == 1 for call in cohort.calls for text in call[5])
    try:
        append(whole.config(store=store, **cohort.keys))
    except InputError as error:
        if "would change" not in str(error) or not some_are_haploid:
            raise
        assert hashes(store) == before  # someone without a known call turned out to be haploid
        shutil.rmtree(f"{store}.appending")
        return False
    rows = [seqstore.open_variants(store)[f"gene_record_{end}"].values for end in ("start", "stop")]
    if some_are_haploid and (rows[0] == rows[1]).any():
        return False  # who is haploid at a gene without records is told by those of its neighbours
    assert_same_store(store, anew)
    return True


def begun(rng: np.random.Generator, whole: Cohort, cohort: RandomCohort, kind: Kind) -> Cohort:
    """The inputs of a part of a cohort; of fewer people, without most of the records that none of them carries."""
    n = len(cohort.genes if kind == "genes" else cohort.people)
    some = np.sort(rng.permutation(n)[: rng.integers(1, n)]).tolist() if n > 1 else [0]
    if kind == "genes":
        table = whole.folder / "genes.tsv"
        header, *rows = table.read_text().splitlines(keepends=True)
        table.write_text(header + "".join(rows[row] for row in some))
        return whole
    reference = {"0|0", "0/0"}
    if cohort.keys["missing"] == "reference":
        reference |= {".|0", "0|.", ".|.", "./.", "./0", "0/."}
    calls: list[Call] = []
    repeats = Counter(call[:2] for call in cohort.calls)  # which of two equal records is gone cannot be told
    for *record, genotypes in cohort.calls:
        texts = [genotypes[person] for person in some]
        if not set(texts) <= reference or rng.random() < 0.2 or repeats[tuple(record[:2])] > 1:  # type: ignore[index]
            calls.append((*record, texts))  # type: ignore[arg-type]
    people = [cohort.people[person] for person in some]
    return write_cohort(whole.folder, cohort.contigs, people, calls, cohort.genes)


@pytest.mark.parametrize("variants", ["snps", "all"])
@pytest.mark.parametrize("sizes", [(5, 511), (511, 512), (512, 513), (513, 520, 1030)])
def test_the_edges_of_blocks_of_people(tmp_path: Path, sizes: tuple[int, ...], variants: str) -> None:
    rng = np.random.default_rng(sizes[0])
    contigs = {"chr1": "".join(rng.choice(list("ACGT"), 400))}
    people = [f"P{number}" for number in range(sizes[-1])]
    calls: list[Call] = []
    for number, (contig, position, ref, alts, flag, genotypes) in enumerate(
        random_snps(rng, contigs, len(people), 20)
    ):
        alleles = alts
        if variants == "all" and number % 3 == 0:
            alleles = ",".join(f"{alt}A" for alt in alts.split(","))
        calls.append((contig, position, ref, alleles, flag, genotypes))
    # A record that only the last person carries.
    private = next(place for place in range(190, 220) if place not in {call[1] for call in calls})
    ref = contigs["chr1"][private - 1]
    texts = ["0|0"] * (len(people) - 1) + ["0|1"]
    calls.append(("chr1", private, ref, "A" if ref != "A" else "C", "PASS", texts))
    calls.sort(key=lambda call: call[1])
    genes = [("chr1", 205), ("chr1", 320)]
    keys: dict[str, Any] = {"variants": variants, "length": 60, "store": str(tmp_path / "store.zarr")}
    ids: list[np.ndarray] = []
    for n in sizes:
        of_some = [(*call[:5], call[5][:n]) for call in calls]
        carried = [call for call in of_some if any(set(text) & set("123") for text in call[5])]
        cohort = write_cohort(tmp_path / str(n), contigs, people[:n], carried, genes)  # type: ignore[arg-type]
        (build if n == sizes[0] else append)(cohort.config(**keys))
        ids.append(seqstore.open_store(keys["store"]).haplotype_id.values)
        np.testing.assert_array_equal(ids[-1][:, : ids[0].shape[1]], ids[0])
    assert seqstore.open_store(keys["store"]).sizes["individual"] == sizes[-1]
    anew = keys | {"store": str(tmp_path / "anew.zarr")}
    build(cohort.config(**anew))
    assert_same_store(keys["store"], anew["store"])
    np.testing.assert_array_equal(ids[-1], seqstore.open_store(anew["store"]).haplotype_id.values)
