"""Stores that were written once and are kept: every format version has to stay readable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import seqstore
from seqstore.nucleotides import decode, unpack
from seqstore.store import describe_store
from seqstore.verify import verify_store

FIXTURES = Path(__file__).parents[1] / "fixtures"


class Kept(NamedTuple):
    """A store that was kept, and what is in it."""

    path: str
    expected: dict[str, Any]


@pytest.fixture(scope="module", params=[1, 2])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    name = FIXTURES / f"store_v{request.param}"
    path = tmp_path_factory.mktemp("kept") / "store.zarr"
    shutil.unpack_archive(name.with_suffix(".zip"), path)
    return Kept(str(path), json.loads(name.with_suffix(".json").read_text()))


def test_windows_are_those_of_bcftools(kept: Kept) -> None:
    store, reader = seqstore.open_store(kept.path), seqstore.HaplotypeReader(kept.path)
    labels = (store.gene.values.tolist(), store.individual.values.tolist())
    haploid, n_compared = kept.expected["haploid"], 0
    assert labels == (list(kept.expected["windows"]), kept.expected["individuals"])
    for gene, people in kept.expected["windows"].items():
        for person, windows in people.items():
            at = [[label.index(one)] for label, one in zip(labels, (gene, person), strict=True)]
            packed = reader.read(*at)[0]
            assert (packed == store.haplotype_sequence.sel(gene=gene, individual=person).values).all()
            for haplotype, letters in enumerate(windows):
                is_absent = bool(haplotype) and person == haploid["individual"]
                is_absent &= store.contig.sel(gene=gene).item() == haploid["contig"]
                assert (store.haplotype_id.sel(gene=gene, individual=person)[haplotype] == -1) == is_absent
                if letters is not None:  # else its TSS is deleted, where bcftools' chain has no answer
                    assert decode(unpack(packed[haplotype])) == letters
                    n_compared += 1
    assert n_compared > 90


def test_records_expression_and_splits(kept: Kept) -> None:
    store, variants = seqstore.open_store(kept.path), seqstore.open_variants(kept.path)
    records = kept.expected["records"]
    genotypes_of = {tuple(record[:4]): record[5] for record in records}
    for number, alleles in enumerate(variants.variant_allele.values):
        ref, *alts = [allele for allele in alleles.tolist() if allele]
        place = variants.variant_contig.values[number], int(variants.variant_position[number])
        texts = ["|".join(map(str, call[call != -2])) for call in variants.call_genotype.values[number]]
        assert texts == genotypes_of[*place, ref, ",".join(alts)]
    assert variants.sizes["variant"] > 20
    assert store.assay.values.tolist() == ["blood", "brain"]
    unmeasured = np.argwhere(np.isnan(store.expression.values)).tolist()
    assert unmeasured == [[1, 2, 0], [1, 2, 1]]
    assert (seqstore.open_split(kept.path, "main").split.values == kept.expected["split"]).all()


def test_it_is_described_and_verified(kept: Kept) -> None:
    described = describe_store(kept.path)
    assert (described["genes"], described["individuals"], described["splits"]) == (12, 5, ["main"])
    assert described["expression"] == {"blood": "as given", "brain": "as given"}
    assert verify_store(kept.path).is_sound
