from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import LocalStore

import seqstore
import seqstore.build
from seqstore.build import build
from seqstore.coordinates import window_coordinates
from seqstore.errors import InputError, LostWorkersError
from seqstore.store import describe_store
from tests.conftest import Call, Cohort, hashes, write_cohort, write_vcf
from tests.random_cohorts import crowded_records

MakeCohort = Callable[..., Cohort]
SetChunks = Callable[..., None]


def random_files(folder: Path, rng: np.random.Generator, n_genes: int) -> Cohort:
    """A cohort with insertions and deletions that overlap, on two contigs of 400 bases."""
    contigs = {name: "".join(rng.choice(list("ACGTacgt"), 400)) for name in ("chr1", "chr2")}
    calls: list[Call] = []
    for contig, bases in contigs.items():
        for position, ref, alts in crowded_records(rng, bases.upper()):
            texts = ["|".join(map(str, rng.integers(0, len(alts) + 1, 2))) for _ in range(5)]
            calls.append((contig, position, ref, ",".join(alts), "PASS", texts))
    genes = [(str(rng.choice(list(contigs))), int(rng.integers(1, 401))) for _ in range(n_genes)]
    return write_cohort(folder, contigs, [f"P{number}" for number in range(5)], calls, genes)


def test_a_store_has_the_labels_of_its_inputs(make_cohort: MakeCohort) -> None:
    config = make_cohort().config()
    build(config)
    store = seqstore.open_store(config.store)
    assert store.gene.values.tolist() == ["G1", "G2", "G3", "G4"]
    assert store.gene_name.values.tolist() == ["ONE", "TWO", "THREE", "FOUR"]
    assert store.note.values.tolist() == ["x", "y", "", "z"]
    assert store.window_start.values.tolist() == [199, 249, 399, 829]
    assert store.population.values.tolist() == ["A", "B"] * 3
    assert store.age.values.tolist() == [20, 21, 22, 23, 24, 25]
    assert store.assay.values.tolist() == ["expression"]
    # rows ONE (a name), G2 and THREE: by label or name, with a version or without
    assert np.isfinite(store.expression.values[0]).all(axis=1).tolist() == [True, True, True, False]
    assert store.covered.values[3] < 1
    plain = xr.open_zarr(config.store, consolidated=False)
    assert {"tss", "population"} <= set(plain.coords)
    tree = xr.open_datatree(config.store, engine="zarr", consolidated=False)
    assert "call_genotype" in tree["variants"]


def test_expression_is_found_by_the_gene_id_beside_a_symbol(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    genes = cohort.folder / "genes.tsv"
    ids = {"gene": "gene_id", "G1": "1", "G2": "ENSG00000000002.3", "G3": "", "G4": "ENSG00000000004.1"}
    lines = [line.split("\t") for line in genes.read_text().splitlines()]
    genes.write_text("".join("\t".join([*line, ids[line[0]]]) + "\n" for line in lines))
    expression = cohort.folder / "expression.tsv"
    header = "\t".join(["gene", *cohort.people])
    rows = [[label, *["1"] * len(cohort.people)] for label in ("1", "ENSG00000000002.9", "THREE", "G4")]
    expression.write_text("\n".join([header, *map("\t".join, rows)]) + "\n")
    config = cohort.config()
    build(config)
    store = seqstore.open_store(config.store)
    assert np.isfinite(store.expression.values[0]).all(axis=1).tolist() == [True] * 4
    reconciled = store.attrs["reconciled"]
    assert reconciled["genes_in_expression_matched_by_gene_id"] == 2
    assert reconciled["genes_in_expression_matched_by_name"] == 1


@pytest.mark.parametrize("sites", [8, 65_536])
def test_genotypes_are_those_of_the_file(make_cohort: MakeCohort, set_chunks: SetChunks, sites: int) -> None:
    from cyvcf2 import VCF

    set_chunks(sites=sites)
    cohort = make_cohort(n_people=5, missing=0.1)
    config = cohort.config(length=400)
    build(config)
    variants = seqstore.open_variants(config.store)
    store = seqstore.open_store(config.store)
    in_file = {(v.CHROM, v.POS, v.REF, *v.ALT): v.genotype.array()[:, :2] for v in VCF(config.genotypes)}
    seen = set()
    for gene in range(4):
        start, stop = int(variants.gene_variant_start[gene]), int(variants.gene_variant_stop[gene])
        contig, first = str(store.contig.values[gene]), int(store.window_start.values[gene])
        expected = [key for key in in_file if key[0] == contig and first < key[1] <= first + 400]
        block = variants.isel(variant=slice(start, stop))
        alleles = [tuple(filter(None, row)) for row in block.variant_allele.values]
        keys = [
            (str(c), int(p), *a)
            for c, p, a in zip(
                block.variant_contig.values, block.variant_position.values, alleles, strict=True
            )
        ]
        assert keys == expected
        for key, calls in zip(keys, block.call_genotype.values, strict=True):
            np.testing.assert_array_equal(calls, in_file[key])
            seen.add(key)
    assert len(seen) == variants.sizes["variant"], "every stored record is in some window, once"
    assert variants.individual.values.tolist() == cohort.people
    applied = store.variants_applied.values + store.variants_skipped.values + store.genotypes_missing.values
    assert (applied <= (variants.gene_variant_stop - variants.gene_variant_start).values[:, None, None]).all()
    assert store.genotypes_missing.values.sum() > 0


def test_a_build_ends_in_the_same_bytes_whenever_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_chunks: SetChunks
) -> None:
    set_chunks(genes=1, variants=2, sites=4)
    monkeypatch.setattr("seqstore.scan.SCAN_BASES", 100)
    monkeypatch.setattr("seqstore.scan.FIRST_GROWTH", 4)
    cohort = random_files(tmp_path, np.random.default_rng(5), n_genes=5)
    whole = cohort.config(store=str(tmp_path / "whole.zarr"), variants="all", length=60)
    real, writes = LocalStore.set, 0

    async def counted(self: Any, *arguments: Any, **options: Any) -> None:
        nonlocal writes
        writes += 1
        await real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", counted)
        build(whole)
    expected = hashes(whole.store)
    n_steps = sum("/built/c/" in name or name.startswith("built/c/") for name in expected)
    assert n_steps > 8
    assert writes > 150
    for fail_at in np.linspace(0, writes - 1, 7).astype(int).tolist():
        config = dataclasses.replace(whole, store=str(tmp_path / f"broken{fail_at}.zarr"))
        left = fail_at

        async def failing(self: Any, *arguments: Any, **options: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(28, "No space left on device")
            await real(self, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "set", failing)
            with pytest.raises(InputError, match="no space left on device; make room"):
                build(config)
        if (Path(config.store) / "zarr.json").exists():
            with pytest.raises(InputError, match="unfinished"):
                seqstore.open_store(config.store)
        build(config)
        assert hashes(config.store) == expected


def test_a_store_is_the_same_with_one_worker_and_two(tmp_path: Path) -> None:
    cohort = random_files(tmp_path, np.random.default_rng(3), n_genes=20)
    stores = [str(cohort.folder / f"{n}.zarr") for n in (1, 2)]
    for n, store in enumerate(stores, start=1):
        build(cohort.config(store=store, workers=n, variants="all", length=100))
    assert hashes(stores[0]) == hashes(stores[1])


def test_an_unfinished_build_of_another_config_or_changed_input_is_refused(
    make_cohort: MakeCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = make_cohort()
    config = cohort.config()

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(seqstore.build, "_fill", stopped)
        with pytest.raises(KeyboardInterrupt):
            build(config)
    assert describe_store(config.store)["built"] == 0
    with pytest.raises(InputError, match="length 200, not 300"):
        build(cohort.config(length=300))
    with monkeypatch.context() as patch:
        patch.setattr("seqstore.build.FORMAT_VERSION", 3)
        with pytest.raises(InputError, match="another version of seqstore began"):
            build(config)
    with (cohort.folder / "genes.tsv").open("a") as genes:
        genes.write("G5\tFIVE\tchr2\t700\t+\t\n")
    with pytest.raises(InputError, match=r"genes.tsv changed since"):
        build(config)


def test_repeats_of_a_record_keep_their_own_calls_over_blocks(
    make_cohort: MakeCohort, set_chunks: SetChunks
) -> None:
    set_chunks(variants=2, sites=2)
    cohort = make_cohort(n_people=2)
    base = cohort.contigs["chr1"][299].upper()
    alt = "A" if base != "A" else "C"
    genotypes = ["0|0", "0|1", "1|0", "1|1", ".|."]
    calls = [("chr1", 300, base, alt, "PASS", [text, text]) for text in genotypes]
    write_vcf(cohort.folder / "genotypes.vcf.gz", cohort.contigs, cohort.people, calls)
    config = cohort.config()
    build(config)
    found = seqstore.open_variants(config.store).call_genotype.values[:, 0].tolist()
    assert found == [[0, 0], [0, 1], [1, 0], [1, 1], [-1, -1]]


def test_what_is_skipped_on_one_contig_does_not_depend_on_another(tmp_path: Path) -> None:
    """chr1 ends further right than chr2 begins, and both are in one block of variants."""
    bases = "ACGT" * 25
    calls: list[Call] = [
        ("chr1", 61, "ACGT" * 8, "A", "PASS", ["1|1"]),
        ("chr1", 63, "G", "T", "PASS", ["0|1"]),
        ("chr2", 5, "A", "C", "PASS", ["1|1"]),
        ("chr2", 63, "G", "T", "PASS", ["1|1"]),
        ("chr2", 63, "G", "C", "PASS", ["1|0"]),
    ]
    genes = [("chr1", 61), ("chr2", 5), ("chr2", 63)]
    cohort = write_cohort(tmp_path, {"chr1": bases, "chr2": bases}, ["P"], calls, genes)
    config = cohort.config(length=40, variants="all")
    build(config)
    skipped = seqstore.open_variants(config.store).call_skipped.values[:, 0].tolist()
    assert skipped == [[False, False], [False, True], [False, False], [False, False], [True, False]]


def test_a_missing_chunk_file_is_an_error_not_n(make_cohort: MakeCohort) -> None:
    config = make_cohort().config()
    build(config)
    (Path(config.store) / "haplotype_sequence/c/2/0/0/0").unlink()
    windows = seqstore.open_store(config.store).haplotype_sequence
    assert windows[1, 0].values.any()
    with pytest.raises(seqstore.CorruptChunkError, match="is missing"):
        _ = windows[2, 0].values


def test_contig_names_with_and_without_chr_are_one(
    make_cohort: MakeCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []  # caplog is deaf here: distributed silences every handler while it runs
    monkeypatch.setattr("seqstore.plan.logger.info", lambda text, *values: said.append(text % values))
    cohort = make_cohort()
    table = (cohort.folder / "genes.tsv").read_text()
    (cohort.folder / "bare.tsv").write_text(table.replace("chr", ""))
    build(cohort.config())
    build(cohort.config(genes=str(cohort.folder / "bare.tsv"), store=str(cohort.folder / "bare.zarr")))
    assert "contig 1: chr1 in the reference, chr1 in the genotypes" in said
    one, other = (seqstore.open_store(cohort.folder / name) for name in ("store.zarr", "bare.zarr"))
    np.testing.assert_array_equal(one.haplotype_sequence.values, other.haplotype_sequence.values)


def test_records_are_left_out_by_filter_and_kind_and_counted(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(calls=[])
    ref = cohort.contigs["chr1"]
    base = [ref[p - 1].upper() for p in range(1, 1001)]
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    people = [["0|1"] * 6]
    calls = [
        ("chr1", 280, base[279], other[base[279]], "PASS", *people),
        ("chr1", 285, base[284], other[base[284]], ".", *people),
        ("chr1", 290, base[289], other[base[289]], "q10", *people),
        ("chr1", 295, base[294], base[294] + "A", "PASS", *people),
        ("chr1", 300, base[299], "<DEL>", "PASS", *people),
        ("chr1", 305, base[304], f"{other[base[304]]},*", "PASS", ["0|2"] * 6),
    ]
    contigs = dict(list(cohort.contigs.items()))
    write_vcf(cohort.folder / "genotypes.vcf.gz", contigs, cohort.people, calls)
    (cohort.folder / "genes.tsv").write_text("gene\tcontig\ttss\tstrand\nONE\tchr1\t300\t+\n")
    config = cohort.config()
    build(config)
    store, variants = seqstore.open_store(config.store), seqstore.open_variants(config.store)
    assert variants.variant_position.values.tolist() == [280, 285, 305]
    assert store.attrs["reconciled"]["records_left_out_by_filter"] == 1
    assert store.attrs["reconciled"]["records_left_out_by_kind"] == 2
    assert store.variants_applied.values[0, 0].tolist() == [0, 2]
    for name, kept in ((".", 285), ("q10", 290)):
        build(cohort.config(filter=[name], store=str(cohort.folder / f"{name}.zarr")))
        only = seqstore.open_variants(cohort.folder / f"{name}.zarr")
        assert only.variant_position.values.tolist() == [kept]
    assert store.variants_skipped.values[0, 0].tolist() == [0, 1]


def test_labels_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    """Entrez ids of genes, numbers as sample ids and contigs, as GRCh37 has them."""
    bases = "ACGT" * 25
    calls: list[Call] = [("20", 61, "A", "C", "PASS", ["1|1", "0|1"])]
    cohort = write_cohort(tmp_path, {"20": bases}, ["1001", "1002"], calls, [("20", 61), ("20", 70)])
    for name in ("genes.tsv", "expression.tsv"):
        (tmp_path / name).write_text((tmp_path / name).read_text().replace("\nG", "\n710"))
    (tmp_path / "samples.tsv").write_text("sample\tpopulation\tage\n1001\t1\t33\n1002\t2\t44\n")
    config = cohort.config(length=20)
    build(config)
    for opened in (seqstore.open_store(config.store), seqstore.open_variants(config.store)):
        assert opened.gene.values.tolist() == ["7100", "7101"]
        assert opened.individual.values.tolist() == ["1001", "1002"]
        assert set(opened.contig.values) == set(opened.genotype_contig.values) == {"20"}
        assert opened.age.values.tolist() == [33, 44]
    assert window_coordinates(config.store, "7100", "1002", 1).reference[10] == 60


def test_a_gene_without_variants_is_the_reference_for_everyone(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(calls=[])
    base = cohort.contigs["chr1"][899].upper()
    call = ("chr1", 900, base, "A" if base != "A" else "C", "PASS", ["0|1"] * 6)
    write_vcf(cohort.folder / "genotypes.vcf.gz", cohort.contigs, cohort.people, [call])
    (cohort.folder / "genes.tsv").write_text(
        "gene\tcontig\ttss\tstrand\nONE\tchr1\t30\t+\nG2\tchr1\t900\t+\n"
    )
    config = cohort.config()
    build(config)
    store = seqstore.open_store(config.store)
    assert (store.haplotype_id.values[0] == 0).all()
    assert (store.haplotype_id.values[1] == [0, 1]).all()
    from seqstore.nucleotides import decode, unpack

    window = decode(unpack(store.haplotype_sequence.values[0, 3, 1]))
    assert window == "N" * 71 + cohort.contigs["chr1"][:129].upper()
    assert window[100] == cohort.contigs["chr1"][29].upper(), "the TSS base is at length / 2"
    reference = decode(unpack(store.reference_sequence.values[0]))
    assert reference[32:-32] == window
    assert store.covered.values[0] == 0


def test_the_reader_equals_xarray_over_blocks_of_individuals(
    make_cohort: MakeCohort, set_chunks: SetChunks
) -> None:
    set_chunks(individuals=4)
    config = make_cohort(n_people=9).config()
    build(config)
    store, reader = seqstore.open_store(config.store), seqstore.HaplotypeReader(config.store)
    assert store.haplotype_sequence.encoding["chunks"] == (1, 4, 2, 100)
    everything = store.haplotype_sequence.values
    genes, people = np.divmod(np.random.default_rng(0).permutation(4 * 9), 9)
    np.testing.assert_array_equal(reader.read(genes, people), everything[genes, people])
    for gene in range(4):
        distinct, ids = reader.distinct(gene), reader.haplotype_id(gene)
        assert len(np.unique(distinct, axis=0)) == len(distinct)
        np.testing.assert_array_equal(distinct[ids], everything[gene])
    assert reader.read(np.array([], int), np.array([], int)).shape == (0, 2, 100)
    for bad in ([4], [-1]):
        with pytest.raises(IndexError):
            reader.read(bad, [0])
    with pytest.raises(ValueError, match="2, 1 positions do not go together"):
        reader.read([0, 1], [0])


def test_damage_to_a_chunk_file_is_named(make_cohort: MakeCohort) -> None:
    import pickle

    config = make_cohort().config()
    build(config)
    reader = seqstore.HaplotypeReader(config.store)
    reader.read([0], [0])
    path = Path(config.store) / "haplotype_sequence/c/2/0/0/0"
    intact = path.read_bytes()
    path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    with pytest.raises(seqstore.CorruptChunkError, match="haplotype_sequence/c/2/0/0/0"):
        pickle.loads(pickle.dumps(reader)).read([2], [5])
    path.write_bytes(intact[:-3])
    with pytest.raises(seqstore.CorruptChunkError, match="haplotype_sequence/c/2/0/0/0"):
        pickle.loads(pickle.dumps(reader)).read([2], [0])
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        reader.read([2], [0])


def test_splits_stand_side_by_side(make_cohort: MakeCohort) -> None:
    config = make_cohort().config()
    build(config)
    split = np.tile([1, 1, 1, 2, 3, 0], (4, 1))
    classes = ["random_split", "random_split", "unseen", "unused"]
    seqstore.write_split(config.store, "first", split=split, gene_class=classes, attrs={"seed": 7})
    seqstore.write_split(config.store, "second", split=split * 0, gene_class=classes)
    opened = seqstore.open_split(config.store, "first")
    np.testing.assert_array_equal(opened.split.values, split)
    assert opened.gene_class.values.tolist() == classes
    assert opened.attrs["seed"] == 7
    assert opened.individual.values.tolist() == [f"P{i}" for i in range(6)]
    assert opened.tss.values.tolist() == [300, 350, 500, 930]
    assert describe_store(config.store)["splits"] == ["first", "second"]
    with pytest.raises(InputError, match="already"):
        seqstore.write_split(config.store, "first", split=split, gene_class=classes)
    with pytest.raises(InputError, match=r"no split 'x'.*first, second"):
        seqstore.open_split(config.store, "x")
    for name in ("", "a/b", ".a", "b.partial"):
        with pytest.raises(InputError, match="plain folder name"):
            seqstore.write_split(config.store, name, split=split, gene_class=classes)
    with pytest.raises(InputError, match="0 to 3"):
        seqstore.write_split(config.store, "c", split=split + 1, gene_class=classes)
    with pytest.raises(InputError, match="gene classes are"):
        seqstore.write_split(config.store, "c", split=split, gene_class=["seen"] * 4)


def test_two_assays_from_two_tables(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    (cohort.folder / "liver.csv").write_text("gene,P3,P1,ZZ\nFOUR,1.5,NA,3\nG1,2,4,5\n")
    tables = {"blood": str(cohort.folder / "expression.tsv"), "liver": str(cohort.folder / "liver.csv")}
    config = cohort.config(expression=tables)
    build(config)
    store = seqstore.open_store(config.store)
    assert store.assay.values.tolist() == ["blood", "liver"]
    liver = store.expression.sel(assay="liver")
    assert liver.sel(gene="G4", individual="P3") == 1.5
    assert np.isnan(liver.sel(gene="G4", individual="P1"))
    assert liver.notnull().sum() == 3
    assert store.attrs["reconciled"]["individuals_dropped_in_liver_only"] == 1


@pytest.mark.skipif(os.name != "posix", reason="reads /proc")
def test_reading_does_not_load_a_chunk_whole(tmp_path: Path) -> None:
    """Many reads of single people add next to nothing to the resident set."""
    from seqstore.codec import WindowCodec

    rng = np.random.default_rng(0)
    length, people = 49_152, 512
    window = rng.integers(1, 255, length // 2, dtype=np.uint8)
    windows = np.repeat(window[None], 2 * people, axis=0).reshape(1, people, 2, -1)
    group = zarr.create_group(
        tmp_path / "s.zarr",
        attributes={
            "format": "seqstore",
            "format_version": 1,
            "status": "complete",
            "length": length,
            **dict.fromkeys(
                ("config", "inputs", "policies", "reconciled", "expression_recipe", "fingerprint")
            ),
        },
    )
    array = group.create_array(
        "haplotype_sequence",
        shape=windows.shape,
        chunks=windows.shape,
        dtype="uint8",
        serializer=WindowCodec(),
        compressors=None,
        filters=None,
    )
    array[:] = windows
    reader = seqstore.HaplotypeReader(tmp_path / "s.zarr")
    reader.read([0], [0])

    def resident() -> int:
        fields = Path("/proc/self/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    for person in range(people):
        np.testing.assert_array_equal(reader.read([0], [person])[0], windows[0, person])
        assert array[0, person, 1, 5] == windows[0, person, 1, 5]
    assert resident() - before < windows.nbytes / 5


def test_lost_workers_cost_nothing_of_what_was_scanned(
    make_cohort: Callable[..., Cohort], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_cohort().config()
    build(config)
    expected = hashes(config.store)
    shutil.rmtree(config.store)

    def lost(*arguments: Any) -> Any:
        raise LostWorkersError("workers: all processes were killed")

    with monkeypatch.context() as patch:
        patch.setattr("seqstore.build._rows_of_windows", lost)
        with pytest.raises(LostWorkersError):
            build(config)
    assert any(name.startswith("spool/") for name in hashes(config.store))
    build(config)
    assert hashes(config.store) == expected


def test_an_input_that_changes_while_a_store_is_built_is_refused(
    make_cohort: Callable[..., Cohort], monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = make_cohort()
    table = cohort.folder / "expression.tsv"
    real = seqstore.build.create_arrays

    def meanwhile(*arguments: Any) -> None:
        real(*arguments)
        table.write_text(table.read_text() + "\n")

    monkeypatch.setattr("seqstore.build.create_arrays", meanwhile)
    with pytest.raises(InputError, match=r"expression.tsv changed since this build was begun"):
        build(cohort.config())
    with pytest.raises(InputError, match="its build is unfinished"):
        seqstore.open_store(cohort.config().store)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"node_type": "group", "attributes": {"format": "seqstore"}}']
)
def test_damaged_metadata_is_said_in_a_line(make_cohort: Callable[..., Cohort], content: str) -> None:
    config = make_cohort().config()
    build(config)
    Path(config.store, "zarr.json").write_text(content)
    with pytest.raises(InputError, match=r"zarr.json: is damaged" if content else "no store here"):
        seqstore.open_store(config.store)


def test_a_store_that_lost_a_chunk_file_is_not_opened(make_cohort: Callable[..., Cohort]) -> None:
    """Zarr would read what was in it as fill values."""
    config = make_cohort().config()
    build(config)
    seqstore.write_split(config.store, "main", split=np.ones((4, 6), np.int8), gene_class=["unseen"] * 4)
    store = Path(config.store)
    known = sorted(path for path in store.rglob("*") if path.is_file() and path.name != "zarr.json")
    arrays = {path.relative_to(store).parts[0] for path in known} - {"haplotype_sequence"}
    assert len(arrays) > 15
    for path in known:
        if path.relative_to(store).parts[0] == "haplotype_sequence":
            continue
        content = path.read_bytes()
        path.unlink()
        name = str(path.relative_to(store))
        with pytest.raises(InputError, match=f"{name}: this chunk file is missing; take it from a copy"):
            seqstore.open_store(config.store)
        path.write_bytes(content)
    seqstore.open_store(config.store).load()


def test_arrays_of_others_may_be_empty(make_cohort: Callable[..., Cohort]) -> None:
    config = make_cohort().config()
    build(config)
    zarr.open_group(config.store, mode="r+").create_array(
        "mine", shape=(4,), dtype="int8", dimension_names=("gene",)
    )
    assert (seqstore.open_store(config.store).mine.values == 0).all()
