"""`seqstore import-hdf5`: what is exported comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqstore
from seqstore.build import build
from seqstore.errors import InputError
from seqstore.export import export
from seqstore.import_hdf5 import SPLIT, import_hdf5
from seqstore.splits import open_split, write_split
from tests.conftest import Cohort, hashes, random_snps, write_vcf

h5py = pytest.importorskip("h5py")

ROLES = {"train": 1, "validation": 2, "test": 3}


@pytest.fixture
def cohort(make_cohort: Callable[..., Cohort]) -> Cohort:
    """Eight people of two populations, whose windows differ at some SNPs, some of them without a call."""
    cohort = make_cohort(n_people=8)
    calls = []
    for *site, genotypes in random_snps(np.random.default_rng(5), cohort.contigs, 8, 40, missing=0.1):
        if site[0] == "chr2":  # where P3 has one haplotype
            genotypes[3] = genotypes[3][:1]
        if (site[0], site[1]) not in {(call[0], call[1]) for call in calls}:
            calls.append((*site, genotypes))
    write_vcf(cohort.folder / "genotypes.vcf.gz", cohort.contigs, cohort.people, calls)
    return cohort


@pytest.fixture
def source(cohort: Cohort) -> str:
    """A store with a split: G1 tested by population, G2 at random, G3 unseen, G4 unused."""
    config = cohort.config(missing="n", store=str(cohort.folder / "source.zarr"))
    build(config)
    roles = [[1, 3, 1, 3, 2, 3, 1, 3], [1, 1, 2, 2, 3, 3, 1, 1], [3] * 8, [0] * 8]
    classes = ["population_split", "random_split", "unseen", "unused"]
    write_split(config.store, "main", split=roles, gene_class=classes)
    return config.store


def exported(store: str, folder: Path) -> dict[str, list[str]]:
    files = {}
    for role in ROLES:
        files[role] = [str(folder / f"{role}.h5")]
        export(store, files[role][0], hdf5=True, split="main", role=role, unmeasured=True)
    return files


def back(folder: Path, cohort: Cohort, files: dict[str, list[str]], **options: Any) -> None:
    """Import files into ``back``."""
    of_cohort = {"genes": "genes.tsv", "reference": "reference.fa"}
    known = {option: str(cohort.folder / name) for option, name in of_cohort.items()}
    import_hdf5(str(folder / "back"), **{**known, "workers": 1, **files, **options})


def test_what_was_exported_comes_back(source: str, cohort: Cohort, tmp_path: Path) -> None:
    back(tmp_path, cohort, exported(source, tmp_path))
    after = seqstore.open_store(tmp_path / "back/store.zarr")
    before = seqstore.open_store(source).sel(gene=after.gene, individual=after.individual)
    assert after.gene.values.tolist() == ["G1", "G2", "G3"]
    assert after.population.values.tolist() == ["A", "B"] * 4
    np.testing.assert_array_equal(after["haplotype_sequence"], before["haplotype_sequence"])
    np.testing.assert_array_equal(after["haplotype_id"] < 0, before["haplotype_id"] < 0)
    np.testing.assert_array_equal(after["expression"], before["expression"])
    was, now = open_split(source, "main"), open_split(tmp_path / "back/store.zarr", SPLIT)
    np.testing.assert_array_equal(now["split"], was["split"][:3])
    assert now["gene_class"].values.tolist() == ["population_split", "random_split", "unseen"]


def test_genotypes_come_back(source: str, cohort: Cohort, tmp_path: Path) -> None:
    back(tmp_path, cohort, exported(source, tmp_path))
    before, after = (called(path) for path in (source, tmp_path / "back/store.zarr"))
    assert len(after) >= 9
    assert {place: before[place] for place in after} == after


def called(store: str | Path) -> dict[tuple[str, int], list[str]]:
    """The letters of everybody's alleles at each place, "." = missing and "" = no such haplotype."""
    ds = seqstore.open_variants(store).load()
    found: dict[tuple[str, int], list[str]] = {}
    for row in range(ds.sizes["variant"]):
        place = str(ds.variant_contig.values[row]), int(ds.variant_position.values[row])
        letters = [*ds.variant_allele.values[row], "", "."]
        genotype = np.where(ds.call_skipped.values[row], 0, ds.call_genotype.values[row]).ravel()
        found[place] = [str(letters[allele]) for allele in genotype]
    return found


def test_labels_in_lower_case_are_names(source: str, cohort: Cohort, tmp_path: Path) -> None:
    files = exported(source, tmp_path)
    names = {"G1": "one", "G2": "g2", "G3": "three"}
    for paths in files.values():
        with h5py.File(paths[0], "r+") as file:
            file["genes"][:] = [names[gene] for gene in file["genes"].asstr()[:]]
    back(tmp_path, cohort, files)
    assert seqstore.open_store(tmp_path / "back/store.zarr").gene.values.tolist() == ["G1", "G2", "G3"]


def test_an_import_goes_on_where_it_was_stopped(
    source: str, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = exported(source, tmp_path)
    (tmp_path / "whole").mkdir()
    back(tmp_path / "whole", cohort, files)
    for stop in ("_write_tables", "pysam.tabix_index", "build_store", "_check_windows", "write_split"):
        with monkeypatch.context() as patched:
            patched.setattr(f"seqstore.import_hdf5.{stop}", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                back(tmp_path, cohort, files)
    back(tmp_path, cohort, files)
    again = hashes(tmp_path / "back")
    back(tmp_path, cohort, files)  # nothing is left to do
    assert hashes(tmp_path / "back") == again
    whole = hashes(tmp_path / "whole/back")
    assert whole.keys() == again.keys()
    differ = {name for name in whole if whole[name] != again[name]}
    assert differ == {"build.yaml", "store.zarr/zarr.json"}  # which name the folder
    with pytest.raises(InputError, match="nor this import, begun"):
        back(tmp_path, cohort, files | {"test": []})


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_rows_that_are_not_there_are_missing(
    source: str, cohort: Cohort, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = exported(source, tmp_path)
    back(tmp_path, cohort, {"train": files["train"]})
    assert "3 of 10 pairs of gene and individual are not in the HDF5 files" in caplog.text
    after = seqstore.open_store(tmp_path / "back/store.zarr")
    before = seqstore.open_store(source).sel(gene=after.gene, individual=after.individual)
    split = open_split(source, "main")["split"].sel(gene=after.gene, individual=after.individual).values
    given = split == 1
    same = (after.haplotype_sequence.values == before.haplotype_sequence.values).all(axis=(2, 3))
    assert same[given].all()
    assert np.isnan(after.expression.values[0][~given]).all()


def broken(files: dict[str, list[str]], role: str, change: Callable[[Any], None]) -> None:
    with h5py.File(files[role][0], "r+") as file:
        change(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["seqs"].write_direct(np.full((1, 2, 200, 4), 0.25, np.float16), dest_sel=np.s_[2:3]),
         r"test\.h5: seqs\[2, 0, 0\] is \[0\.25, 0\.25, 0\.25, 0\.25\], not the one-hot"),
        (lambda f: f["seqs"].write_direct(np.ones((1, 1, 1, 4), np.float16), dest_sel=np.s_[1:2, 1:2, 7:8]),
         r"test\.h5: seqs\[1, 1, 7\] is \[1\.0, 1\.0, 1\.0, 1\.0\], not the one-hot"),
        (lambda f: f["seqs"].write_direct(np.roll(f["seqs"][0], 1, axis=1)[None], dest_sel=np.s_[:1]),
         r"reference\.fa: the windows of gene G., P\d, differ at \d+% of chr.:.* Windows with indels cannot"),
        (lambda f: f["samples"].__setitem__(1, f["samples"][0]), r"test\.h5: row 1, gene G1 .* stands twice"),
        (lambda f: f["ancestries"].__setitem__(0, "elsewhere"), r"ancestries of P1 are"),
        (lambda f: f.__delitem__("Y"), r"test\.h5: has no 'Y'"),
        (lambda f: f.move("seqs", "sequences"), r"test\.h5: has no 'seqs'"),
        (lambda f: f["genes"].__setitem__(slice(None), ["X"] * len(f["genes"])), None),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(
    source: str, cohort: Cohort, tmp_path: Path, change: Any, message: str | None
) -> None:
    files = exported(source, tmp_path)
    broken(files, "test", change)
    message = message or "stands twice"
    with pytest.raises(InputError, match=message):
        back(tmp_path, cohort, files)
    assert not (tmp_path / "back").exists()


def test_a_base_that_is_only_ever_missing_stays_missing(
    make_cohort: Callable[..., Cohort], tmp_path: Path
) -> None:
    """Its record has no ALT allele."""
    cohort = make_cohort()
    calls = []
    for position, first in ((250, "0|1"), (260, ".|0"), (420, ".|.")):
        ref = cohort.contigs["chr1"][position - 1].upper()
        calls.append(("chr1", position, ref, "A" if ref != "A" else "C", "PASS", [first, *["0|0"] * 5]))
    write_vcf(cohort.folder / "genotypes.vcf.gz", cohort.contigs, cohort.people, calls)
    config = cohort.config(missing="n", store=str(cohort.folder / "source.zarr"))
    build(config)
    export(config.store, str(tmp_path / "all.h5"), hdf5=True, unmeasured=True)
    back(tmp_path, cohort, {"unused": [str(tmp_path / "all.h5")]})
    before, after = (seqstore.open_store(store) for store in (config.store, tmp_path / "back/store.zarr"))
    assert (before.haplotype_sequence != after.haplotype_sequence).sum() == 0
    assert after.seq.dna(gene="G1", individual="P0").values[0][60] == "N"
    assert seqstore.splits.split_names(str(tmp_path / "back/store.zarr")) == []


def test_overlapping_windows_that_disagree_are_refused(source: str, cohort: Cohort, tmp_path: Path) -> None:
    files = exported(source, tmp_path)  # the windows of G1 (tss 300) and G2 (350) share 150 bases

    def change(file: Any) -> None:
        row = file["genes"].asstr()[:].tolist().index("G2")
        one_hot = file["seqs"][row]
        base = int(one_hot[0, 20].argmax())
        one_hot[0, 20] = np.eye(4)[(base + 1) % 4]
        file["seqs"][row] = one_hot

    broken(files, "train", change)
    with pytest.raises(
        InputError, match=r"at chr1:270 the window of P0 has another base than that of a gene"
    ):
        back(tmp_path, cohort, files)


def test_other_inputs_are_refused(source: str, cohort: Cohort, tmp_path: Path) -> None:
    files = exported(source, tmp_path)
    with pytest.raises(InputError, match="names no file"):
        back(tmp_path, cohort, {})
    for options in ({"train": files["train"] * 2}, {"train": files["train"], "test": files["train"]}):
        with pytest.raises(InputError, match=r"train\.h5: is given twice; a row has one role"):
            back(tmp_path, cohort, options)
    (tmp_path / "text.h5").write_text("no HDF5")
    for name in ("text", "none"):
        with pytest.raises(InputError, match=rf"{name}\.h5: cannot be read as HDF5"):
            back(tmp_path, cohort, {"train": [str(tmp_path / f"{name}.h5")]})
    other = cohort.folder / "others.tsv"
    other.write_text("gene\tcontig\ttss\tstrand\nG9\tchr1\t300\t+\n")
    with pytest.raises(InputError, match=r"others\.tsv: has none of the genes of the HDF5 files \(G1, G2"):
        back(tmp_path, cohort, files, genes=str(other))
    other.write_text("gene\tcontig\ttss\tstrand\nG1\tchr9\t300\t+\n")
    with pytest.raises(InputError, match=r"reference\.fa: has no contig chr9, of gene G1"):
        back(tmp_path, cohort, files, genes=str(other))
    assert not (tmp_path / "back").exists()
