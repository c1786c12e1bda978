"""`seqstore export`: the same store for others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from scipy import stats

import seqstore
from seqstore.append import append
from seqstore.build import build
from seqstore.commands import run
from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.export import export
from seqstore.splits import write_split
from seqstore.verify import verify_store
from tests.conftest import Cohort


@pytest.fixture
def store(make_cohort: Callable[..., Cohort]) -> str:
    config = make_cohort(n_people=6).config(variants="all")
    build(config)
    return config.store


def test_stock_codecs_hold_the_same(store: str, tmp_path: Path) -> None:
    output = str(tmp_path / "stock.zarr")
    export(store, output, stock_codecs=True)
    array = zarr.open_group(output)["haplotype_sequence"]
    names = [codec.to_dict()["name"] for codec in array.metadata.codecs]
    assert names == ["bytes", "zstd"]
    xr.testing.assert_identical(seqstore.open_store(output).load(), seqstore.open_store(store).load())
    xr.testing.assert_identical(seqstore.open_variants(output).load(), seqstore.open_variants(store).load())
    with pytest.raises(InputError, match=r"stock\.zarr: was exported with stock codecs; read it with xarray"):
        seqstore.HaplotypeReader(output)


def test_hdf5_is_as_the_study_has_it(store: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    export(store, str(tmp_path / "all.h5"), hdf5=True, unmeasured=True)
    ds = seqstore.open_store(store)
    n_genes, n_people = ds.sizes["gene"], ds.sizes["individual"]
    with h5py.File(tmp_path / "all.h5") as file:
        assert set(file) == {"seqs", "genes", "samples", "ancestries", "Y", "Z", "P"}
        assert file["seqs"].dtype == np.float16
        assert file["seqs"].maxshape == (None, 2, 200, 4)
        genes, samples = (file[name].asstr()[:] for name in ("genes", "samples"))
        assert genes.tolist() == np.repeat(ds.gene.values, n_people).tolist()
        assert samples.tolist() == ds.individual.values.tolist() * n_genes
        for row in range(n_genes * n_people):
            shown = ds.seq.onehot(gene=genes[row], individual=samples[row]).fillna(0).values
            np.testing.assert_array_equal(file["seqs"][row], shown)
        measured = ds.expression.values[0].ravel()
        np.testing.assert_array_equal(file["Y"][:], measured)
        for first in range(0, n_genes * n_people, n_people):
            of_gene = measured[first : first + n_people]
            known = np.isfinite(of_gene)
            if known.all() and of_gene.std() > 0:
                z, p = file["Z"][first : first + n_people], file["P"][first : first + n_people]
                np.testing.assert_allclose(z, stats.zscore(of_gene), rtol=1e-5)
                np.testing.assert_allclose(p, stats.percentileofscore(of_gene, of_gene))


def test_hdf5_of_a_role(store: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    ds = seqstore.open_store(store)
    roles = (np.arange(ds.sizes["gene"] * 6) % 4).reshape(-1, 6)
    write_split(store, "main", split=roles, gene_class=["random_split"] * len(roles), attrs={})
    for role, number in (("train", 1), ("validation", 2), ("test", 3), (None, None)):
        path = tmp_path / f"{role}.h5"
        export(store, str(path), hdf5=True, split="main", role=role, unmeasured=True)
        wanted = roles > 0 if number is None else roles == number
        gene, person = np.nonzero(wanted)
        with h5py.File(path) as file:
            assert file["genes"].asstr()[:].tolist() == ds.gene.values[gene].tolist()
            assert file["samples"].asstr()[:].tolist() == ds.individual.values[person].tolist()
            assert file["seqs"].shape == (wanted.sum(), 2, 200, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "export: give one of --stock-codecs and --hdf5"),
        ({"hdf5": True, "stock_codecs": True}, "export: give one of"),
        ({"stock_codecs": True, "split": "main"}, "--split, --role, --assay and --unmeasured go with --hdf5"),
        ({"stock_codecs": True, "unmeasured": True}, "--split, --role, --assay and --unmeasured go with"),
        ({"hdf5": True, "role": "train"}, "role: train goes with --split"),
        ({"hdf5": True, "split": "main", "role": "val"}, "is one of train, validation, test"),
        ({"hdf5": True, "split": "main"}, "has no split 'main'"),
        ({"hdf5": True, "assay": "liver"}, "assay: .* has no 'liver'"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    store: str, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        export(store, str(tmp_path / "out"), **options)
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_overwritten(store: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out: exists"):
        export(store, str(tmp_path / "out"), stock_codecs=True)
    assert (tmp_path / "out").read_text() == "mine"


def test_an_export_that_fails_leaves_nothing(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("seqstore.export.tqdm", fail)
    for options in ({"stock_codecs": True}, {"hdf5": True}):
        with pytest.raises(KeyboardInterrupt):
            export(store, str(tmp_path / "out"), **options)
        assert sorted(tmp_path.iterdir()) == before


def test_an_export_may_make_its_folder(store: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    for number, options in enumerate(({"stock_codecs": True}, {"hdf5": True})):
        output = tmp_path / f"new{number}/folder/out"
        export(f"file://{store}", str(output), **options)
        assert output.exists()


def test_numbers_may_name_populations(make_cohort: Callable[..., Cohort], tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    cohort = make_cohort()
    rows = [f"{person}\t{number % 3}\n" for number, person in enumerate(cohort.people)]
    (cohort.folder / "samples.tsv").write_text("sample\tpopulation\n" + "".join(rows))
    build(cohort.config())
    export(cohort.config().store, str(tmp_path / "out.h5"), hdf5=True)
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["ancestries"].asstr()[:6].tolist() == ["0", "1", "2", "0", "1", "2"]


def test_places_that_are_no_outputs_are_refused(store: str) -> None:
    with pytest.raises(InputError, match=r"s3://bucket/x\.zarr: is a URL; export to this machine"):
        export(store, "s3://bucket/x.zarr", stock_codecs=True)
    with pytest.raises(InputError, match=r"inside\.zarr: is within the store"):
        export(store, f"{store}/inside.zarr", stock_codecs=True)


def test_an_export_with_stock_codecs_is_sound_and_stays_as_it_is(store: str, tmp_path: Path) -> None:
    output = str(tmp_path / "stock.zarr")
    export(store, output, stock_codecs=True)
    report = verify_store(output, cells=20)
    assert report.is_sound, report.lines()
    config = dataclasses.replace(
        BuildConfig(**seqstore.open_store(store).attrs["config"] | {"store": output})
    )
    with pytest.raises(InputError, match=r"stock\.zarr: was exported with stock codecs; append to the store"):
        append(config)


def test_a_damaged_store_is_one_line(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py")
    path = Path(store, "haplotype_sequence/c/2/0/0/0")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for option in ("--hdf5", "--stock-codecs"):
        with pytest.raises(SystemExit) as ended:
            run("seqstore", {"export": export}, ["export", store, str(tmp_path / "out"), option])
        assert ended.value.code == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("error: ")
        assert line.endswith("haplotype_sequence/c/2/0/0/0: the chunk does not match its checksum")


def test_what_is_not_measured_is_left_out(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    h5py = pytest.importorskip("h5py")
    ds = seqstore.open_store(store)
    gene, person = np.nonzero(np.isfinite(ds.expression.values[0]))
    n_lacking = ds.expression.size - len(gene)
    assert n_lacking > 0
    with caplog.at_level("INFO"):
        export(store, str(tmp_path / "out.h5"), hdf5=True)
    assert f"{len(gene)} rows of 200 bases" in caplog.text
    assert f"{n_lacking} without expression are left out" in caplog.text
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["genes"].asstr()[:].tolist() == ds.gene.values[gene].tolist()
        assert file["samples"].asstr()[:].tolist() == ds.individual.values[person].tolist()
        assert np.isfinite(file["Y"][:]).all()
    roles = np.zeros((4, 6), dtype=np.int8)
    roles[3] = 1
    write_split(store, "last", split=roles, gene_class=["unused"] * 4)
    with pytest.raises(
        InputError, match="expression of none of the 6 rows is measured; write them with --unm"
    ):
        export(store, str(tmp_path / "none.h5"), hdf5=True, split="last")
