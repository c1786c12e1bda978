from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

import seqstore
from seqstore.nucleotides import decode, unpack
from seqstore.store import describe_store


def test_the_store_has_all_genes_and_people(real_store: Path) -> None:
    store = seqstore.open_store(real_store)
    assert dict(store.sizes) == {
        "assay": 1,
        "gene": 54,
        "individual": 503,
        "haplotype": 2,
        "byte": 24_576,
        "reference_byte": 25_600,
    }
    assert int((store.population == "FIN").sum()) == 99
    assert int(store.expression.notnull().any("individual").sum()) == 8
    described = describe_store(real_store)
    assert described["distinct_windows"] == 24_982
    assert described["bytes_per_window"] < 150
    assert described["reconciled"]["individuals_dropped_in_expression_only"] == 102


def test_every_published_consensus_sequence_is_in_the_store(real: Path, real_store: Path) -> None:
    """8 genes x 503 people x 2 haplotypes against `bcftools consensus` on SNPs."""
    truth = pd.read_csv(real / "truth/consensus_sha256.tsv.gz", sep="\t").query("variants == 'snps'")
    assert len(truth) == 8 * 503 * 2
    store = seqstore.open_store(real_store)
    reader = seqstore.HaplotypeReader(real_store)
    gene_position = {gene: i for i, gene in enumerate(store.gene.values)}
    people = {person: i for i, person in enumerate(store.individual.values)}
    wrong = []
    for gene, rows in truth.groupby("gene"):
        index = gene_position[gene]
        hashes = [hashlib.sha256(decode(unpack(w)).encode()).hexdigest() for w in reader.distinct(index)]
        ids = reader.haplotype_id(index)
        wrong += [
            (gene, row.sample, row.haplotype)
            for row in rows.itertuples()
            if hashes[ids[people[row.sample], row.haplotype - 1]] != row.sha256
        ]
    assert wrong == []


def test_the_reader_gives_what_xarray_gives(real_store: Path) -> None:
    store = seqstore.open_store(real_store)
    reader = seqstore.HaplotypeReader(real_store)
    rng = np.random.default_rng(0)
    genes, people = rng.integers(0, 54, 40), rng.integers(0, 503, 40)
    windows = reader.read(genes, people)
    for window, gene, person in zip(windows, genes, people, strict=True):
        np.testing.assert_array_equal(window, store.haplotype_sequence[gene, person].values)
        ids = store.haplotype_id[gene, person].values
        np.testing.assert_array_equal(window, reader.distinct(gene)[ids])
