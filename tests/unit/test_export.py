"""`seqstore export`: the same store for others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from scipy import stats

import seqstore
from seqstore.build import build
from seqstore.errors import InputError
from seqstore.export import export
from seqstore.splits import write_split
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
    export(store, str(tmp_path / "all.h5"), hdf5=True)
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
        export(store, str(path), hdf5=True, split="main", role=role)
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
        ({"stock_codecs": True, "split": "main"}, "--split, --role and --assay go with --hdf5"),
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
