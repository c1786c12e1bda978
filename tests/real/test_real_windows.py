from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest
import xarray as xr

import seqstore
from seqstore.build import build
from seqstore.config import BuildConfig
from seqstore.haplotypes import ORIGIN, SIZE, START, STOP, resolve
from seqstore.nucleotides import Codes, decode, unpack
from seqstore.records import RecordTable, table_of
from seqstore.reference import Reference
from seqstore.store import describe_store
from tests.oracle import consensus

LENGTH = 49_152


@pytest.fixture(scope="session")
def truth(real: Path) -> pd.DataFrame:
    """SHA-256 of `bcftools consensus` on slices: 8 genes, 503 people, 2 haplotypes, with indels and without."""
    table = pd.read_csv(real / "truth/consensus_sha256.tsv.gz", sep="\t")
    assert len(table) == 16_096
    return table


def sha256(codes: Codes) -> str:
    return hashlib.sha256(decode(codes).encode()).hexdigest()


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
    assert described["variants"] == 13_524
    assert described["bytes_per_window"] < 150
    assert described["reconciled"]["individuals_dropped_in_expression_only"] == 102
    assert described["reconciled"]["records_left_out_by_kind"] == 821
    np.testing.assert_array_equal(store.reach_start, store.window_start)
    np.testing.assert_array_equal(store.reach_stop, store.window_start + LENGTH)


def test_the_store_with_indels(real_store: Path, real_store_all: Path) -> None:
    snps, everything = seqstore.open_store(real_store), seqstore.open_store(real_store_all)
    described = describe_store(real_store_all)
    assert described["distinct_windows"] == 28_165
    assert described["bytes_per_window"] < 150
    assert described["reconciled"]["records_left_out_by_kind"] == 0
    assert (everything.reach_start <= snps.reach_start).all()
    assert (everything.reach_stop >= snps.reach_stop).all()
    assert int((everything.reach_stop - everything.reach_start).max()) > LENGTH + 40
    assert not everything.tss_deleted.any()
    np.testing.assert_array_equal(everything.reference_sequence, snps.reference_sequence)
    np.testing.assert_array_equal(everything.expression, snps.expression)
    # All records of a window are applied or skipped, and none is missing.
    assert not everything.genotypes_missing.any()
    variants = seqstore.open_variants(real_store_all)
    assert variants.sizes["variant"] == described["variants"] == 14_349
    n_records = (variants.gene_record_stop - variants.gene_record_start).values[:, None, None]
    assert ((everything.variants_applied + everything.variants_skipped).values <= n_records).all()


def test_every_published_consensus_of_snps_is_in_the_store(truth: pd.DataFrame, real_store: Path) -> None:
    """8 genes x 503 people x 2 haplotypes."""
    rows = truth.query("variants == 'snps'")
    assert len(rows) == 8 * 503 * 2
    reader, store = seqstore.HaplotypeReader(real_store), seqstore.open_store(real_store)
    wrong = []
    for gene, of_gene in rows.groupby("gene"):
        index = store.indexes["gene"].get_loc(gene)
        hashes = [sha256(unpack(window)) for window in reader.distinct(index)]
        wrong += differing(of_gene, store.indexes["individual"], reader.haplotype_id(index), hashes)
    assert wrong == []


def test_every_published_consensus_with_indels_follows_from_the_store(
    truth: pd.DataFrame, real_store_all: Path, real_inputs: dict[str, str]
) -> None:
    """The truth was made on the slice of the window, so that rule is applied to the store's records here."""
    rows = truth.query("variants == 'all'")
    assert len(rows) == 8 * 503 * 2
    store, variants = seqstore.open_store(real_store_all), seqstore.open_variants(real_store_all)
    reference = Reference(real_inputs["reference"])
    wrong, n_skipped = [], 0
    for gene, of_gene in rows.groupby("gene"):
        index = store.indexes["gene"].get_loc(gene)
        start = int(store.window_start[index])
        codes = reference.codes("chr20", start, start + LENGTH)
        records, calls = records_of_slice(variants, index)
        columns, ids = np.unique(calls, axis=1, return_inverse=True)
        hashes = [sha256(slice_haplotype(records, column, codes, start)) for column in columns.T]
        wrong += differing(of_gene, store.indexes["individual"], ids.reshape(503, 2), hashes)
        skipped = np.array([np.count_nonzero(c) - len(resolve(records, c)) for c in columns.T])
        people = store.indexes["individual"].get_indexer(of_gene["sample"])
        ours = skipped[ids.reshape(503, 2)[people, of_gene["haplotype"] - 1]]
        np.testing.assert_array_equal(ours, of_gene["n_overlap_skipped"])
        n_skipped += int(ours.sum())
    assert wrong == []
    assert n_skipped > 0


def differing(
    rows: pd.DataFrame, people: pd.Index, ids: np.ndarray, hashes: list[str]
) -> list[tuple[str, str, int]]:
    """Rows of the truth whose hash is not that of the window, by ids (individual, 2)."""
    return [
        (row.gene, row.sample, row.haplotype)
        for row in rows.itertuples()
        if hashes[ids[people.get_loc(row.sample), row.haplotype - 1]] != row.sha256
    ]


def records_of_slice(variants: xr.Dataset, gene: int) -> tuple[RecordTable, np.ndarray]:
    """The records that start in a gene's reference window, and calls (record, haplotype)."""
    rows = slice(int(variants.gene_variant_start[gene]), int(variants.gene_variant_stop[gene]))
    mine = variants.isel(variant=rows)
    alleles = mine.variant_allele.values.astype(object)
    genotype = mine.call_genotype.values
    return table_of(mine.variant_position.values, alleles, "all"), genotype.reshape(len(genotype), -1)


def slice_haplotype(records: RecordTable, calls: np.ndarray, codes: Codes, start: int) -> Codes:
    """A haplotype of a slice of the reference, as long as it gets.

    An allele that reaches past the slice's end is cut there, as bcftools does it.
    """
    pieces, position, stop = [], start, start + len(codes)
    for edit in resolve(records, calls):
        left = stop - int(edit[START])
        size = int(edit[SIZE]) if edit[STOP] <= stop else min(int(edit[SIZE]), left)
        pieces += [
            codes[position - start : edit[START] - start],
            records.bases[edit[ORIGIN] : edit[ORIGIN] + size],
        ]
        position = int(edit[STOP])
    return np.concatenate([*pieces, codes[position - start :]])


def test_windows_with_indels_equal_bcftools_on_the_whole_contig(
    bcftools: str, real: Path, real_store_all: Path, real_inputs: dict[str, str], tmp_path: Path
) -> None:
    """All 54 genes of the 8 people whose sequences are published, and all of the cohort's for two haplotypes."""
    names = pysam.FastxFile(str(real / "truth/consensus_windows.8samples.fa.gz"))
    people = sorted({record.name.split("|")[1] for record in names})
    assert len(people) == 8
    # The contig's beginning, as far as the records go, is enough; in upper case because of bcftools' own case.
    with pysam.FastaFile(real_inputs["reference"]) as fasta:
        (tmp_path / "reference.fa").write_text(f">chr20\n{fasta.fetch('chr20', 0, 4_200_000).upper()}\n")
    for ending in ("", ".tbi"):
        (tmp_path / f"genotypes.vcf.gz{ending}").symlink_to(Path(real_inputs["genotypes"] + ending).resolve())
    store, reader = seqstore.open_store(real_store_all), seqstore.HaplotypeReader(real_store_all)
    starts = store.window_start.values.tolist()
    n_moved = 0
    for person in people:
        number = store.indexes["individual"].get_loc(person)
        windows = reader.read(np.arange(54), np.full(54, number))
        for haplotype in (0, 1):
            contig = consensus(bcftools, tmp_path, person, str(haplotype + 1)).contigs["chr20"]
            for gene, start in enumerate(starts):
                expected = contig.window(start + LENGTH // 2, LENGTH)
                assert expected is not None, "no TSS base is deleted here"
                assert decode(unpack(windows[gene, haplotype])) == expected
                n_moved += contig.position_of(start) != contig.position_of(start + LENGTH // 2) - LENGTH // 2
    assert n_moved > 400, "most windows have insertions or deletions left of the TSS"


@pytest.mark.parametrize("variants", ["snps", "all"])
def test_the_same_windows_in_grch37(
    real: Path, real_store: Path, real_store_all: Path, tmp_path: Path, variants: str
) -> None:
    """Contig 20, of which the FASTA holds 1,000,001 to 2,000,000: the genes whose windows lie within."""
    genes = pd.read_csv(real / "annot/genes.GRCh37.tsv", sep="\t", dtype={"contig": str})
    within = genes["tss"].between(1_000_001 + LENGTH // 2 + 3000, 2_000_000 - LENGTH // 2 - 3000)
    genes[within].to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    config = BuildConfig(
        genotypes=str(real / "geno/eur503.chr20_1-4Mb.GRCh37.vcf.gz"),
        reference=str(real / "ref/chr20_1-2Mb.GRCh37.fa.gz"),
        genes=str(tmp_path / "genes.tsv"),
        expression=str(real / "expr/expression.chr20.tsv"),
        samples=str(real / "annot/samples.tsv"),
        store=str(tmp_path / "grch37.zarr"),
        build="GRCh37",
        variants=variants,
        workers=1,
    )
    build(config)
    old = seqstore.open_store(config.store)
    new_path = real_store_all if variants == "all" else real_store
    new = seqstore.open_store(new_path)
    assert old.sizes["gene"] == within.sum() > 8
    assert set(old.contig.values) == {"20"}
    assert old.individual.values.tolist() == new.individual.values.tolist()
    readers = [seqstore.HaplotypeReader(path) for path in (config.store, new_path)]
    n_same = 0
    for number, gene in enumerate(old.gene.values):
        other = new.indexes["gene"].get_loc(gene)
        # With its flanks, which windows with deletions draw on.
        if (old.reference_sequence[number].values != new.reference_sequence[other].values).any():
            continue
        one, two = readers[0], readers[1]
        windows = one.distinct(number)[one.haplotype_id(number)]
        np.testing.assert_array_equal(windows, two.distinct(other)[two.haplotype_id(other)])
        n_same += 1
    assert n_same == 7, "the builds differ within the windows of the others"


def test_the_reader_gives_what_xarray_gives(real_store_all: Path) -> None:
    store = seqstore.open_store(real_store_all)
    reader = seqstore.HaplotypeReader(real_store_all)
    rng = np.random.default_rng(0)
    genes, people = rng.integers(0, 54, 40), rng.integers(0, 503, 40)
    windows = reader.read(genes, people)
    for window, gene, person in zip(windows, genes, people, strict=True):
        np.testing.assert_array_equal(window, store.haplotype_sequence[gene, person].values)
        ids = store.haplotype_id[gene, person].values
        np.testing.assert_array_equal(window, reader.distinct(gene)[ids])
