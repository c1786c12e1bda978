"""A store on S3: built, gone on with, described, split and read there, from a real server on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import yaml

import seqstore
from seqstore.build import build
from seqstore.errors import InputError
from seqstore.store import describe_store
from tests.conftest import Cohort, hashes

MakeCohort = Callable[..., Cohort]
CLASSES = ["random_split", "random_split", "unseen", "unused"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The file system of an S3 server; where it is and who one is there stands in the environment only.

    A test that needs it skips without moto and s3fs, except in CI.
    """
    try:
        import s3fs  # noqa: F401
        from moto.server import ThreadedMotoServer
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("moto[server] or s3fs is not installed; CI needs them")
        pytest.skip("moto[server] or s3fs is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    nowhere = str(tmp_path_factory.mktemp("aws") / "none")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_S3", "SEQSTORE_"))]:
            patch.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            patch.setenv(name, value)
        yield fsspec.filesystem("s3")
    server.stop()


@pytest.fixture
def s3(server: Any) -> Iterator[Any]:
    """The file system, with an empty bucket "cohorts"."""
    server.mkdir("cohorts")
    yield server
    server.invalidate_cache()
    server.rm("cohorts", recursive=True)


def objects(s3: Any, url: str) -> dict[str, str]:
    """The content of every object of a store by its path in it."""
    s3.invalidate_cache()
    root = url.removeprefix("s3://")
    return {
        name.removeprefix(root + "/"): hashlib.sha256(s3.cat_file(name)).hexdigest() for name in s3.find(root)
    }


def copied(cohort: Cohort, s3: Any) -> tuple[str, Path]:
    """A store at a URL and on this machine."""
    local = cohort.folder / "local.zarr"
    build(cohort.config(store=str(local)))
    s3.put(str(local), "cohorts/store.zarr", recursive=True)
    return "s3://cohorts/store.zarr", local


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_build_on_s3_is_gone_on_with_by_two_workers(
    make_cohort: MakeCohort, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = make_cohort()
    url, local = "s3://cohorts/some/where/store.zarr", cohort.folder / "local.zarr"
    config = cohort.config(store=url + "/")
    for step, missing in (
        ("scan_windows", "the genotypes are not all read yet"),
        ("write_windows", "4 of 4 genes have no windows yet"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(seqstore.build, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                build(config)
        with pytest.raises(InputError, match=rf"{url}: .* unfinished: {missing}; .* again to go on"):
            seqstore.open_store(url)
        assert describe_store(url)["missing"] == missing
    keys = {key: value for key, value in vars(config).items() if key not in ("workers", "scheduler")}
    (cohort.folder / "build.yaml").write_text(yaml.safe_dump(keys))
    command = ["seqstore.cli", "build", "--config", str(cohort.folder / "build.yaml"), "--workers", "2"]
    done = subprocess.run([sys.executable, "-m", *command], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{url}: going on with an unfinished build" in done.stderr
    build(cohort.config(store=f"file://{local}"))
    assert objects(s3, url) == hashes(local)
    assert s3.ls("cohorts/some/where", refresh=True) == ["cohorts/some/where/store.zarr"]
    build(config)  # nothing is left to do
    with pytest.raises(InputError, match=r"store\.zarr: a finished store stands there already"):
        build(dataclasses.replace(config, length=180))
    assert objects(s3, url) == hashes(local)


def test_a_store_on_s3_is_read_described_and_split(make_cohort: MakeCohort, s3: Any) -> None:
    url, local = copied(make_cohort(), s3)
    there, here = seqstore.open_store(url), seqstore.open_store(local)
    assert there.identical(here)
    assert seqstore.open_variants(url).identical(seqstore.open_variants(local))
    assert describe_store(url) == describe_store(local) | {"store": url}
    genes, people = np.divmod(np.random.default_rng(0).permutation(4 * 6), 6)
    reader = seqstore.HaplotypeReader(url)
    np.testing.assert_array_equal(reader.read(genes, people), here.haplotype_sequence.values[genes, people])
    np.testing.assert_array_equal(reader.distinct(2), seqstore.HaplotypeReader(local).distinct(2))
    split = np.tile([1, 1, 1, 2, 3, 0], (4, 1))
    for name in ("first", "second"):
        for store in (url, local):
            seqstore.write_split(store, name, split=split, gene_class=CLASSES, attrs={"seed": 7})
    assert seqstore.open_split(url, "second").identical(seqstore.open_split(local, "second"))
    assert describe_store(url)["splits"] == ["first", "second"]
    assert objects(s3, url) == hashes(local)
    with pytest.raises(InputError, match="has a split 'first' already"):
        seqstore.write_split(url, "first", split=split, gene_class=CLASSES)


def test_a_split_that_was_being_renamed_is_not_there(make_cohort: MakeCohort, s3: Any) -> None:
    url, _ = copied(make_cohort(), s3)
    split = np.ones((4, 6), dtype=int)
    seqstore.write_split(url, "whole", split=split, gene_class=CLASSES)
    for name in s3.find("cohorts/store.zarr/splits/whole"):
        if not name.endswith("whole/zarr.json"):  # the one that is copied last
            s3.cp_file(name, name.replace("/whole/", "/half/"))
    assert describe_store(url)["splits"] == ["whole"]
    with pytest.raises(InputError, match="no split 'half'"):
        seqstore.open_split(url, "half")
    seqstore.write_split(url, "half", split=2 * split, gene_class=CLASSES)
    assert (seqstore.open_split(url, "half").split == 2).all()


def test_the_reader_keeps_copies_of_chunks(
    make_cohort: MakeCohort, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, cache = make_cohort(), tmp_path / "cache"
    url, local = copied(cohort, s3)
    here = seqstore.open_store(local).haplotype_sequence.values
    reader = seqstore.HaplotypeReader(url, cache=cache)
    np.testing.assert_array_equal(reader.read([0, 2, 2], [1, 2, 3]), here[[0, 2, 2], [1, 2, 3]])
    kept = sorted(
        str(path.relative_to(cache)).split("/", 1)[1] for path in cache.rglob("0") if path.is_file()
    )
    assert kept == ["haplotype_sequence/c/0/0/0/0", "haplotype_sequence/c/2/0/0/0"]
    assert not list(cache.rglob("*.partial"))
    s3.rm("cohorts/store.zarr/haplotype_sequence/c", recursive=True)
    monkeypatch.setenv("SEQSTORE_CACHE", str(cache))
    for other in (seqstore.HaplotypeReader(url), pickle.loads(pickle.dumps(reader))):
        np.testing.assert_array_equal(other.read([2], [5]), here[[2], [5]])
        with pytest.raises(InputError, match=r"c/1/0/0/0: this chunk file of the store is missing"):
            other.read([1, 2], [0, 0])
    # Another store under the same name is not taken for the one whose copies are there.
    s3.rm("cohorts/store.zarr", recursive=True)
    build(cohort.config(store=str(tmp_path / "other.zarr"), length=100))
    s3.put(str(tmp_path / "other.zarr"), "cohorts/store.zarr", recursive=True)
    np.testing.assert_array_equal(seqstore.HaplotypeReader(url).read([2], [5]), here[[2], [5], :, 25:75])
    monkeypatch.delenv("SEQSTORE_CACHE")
    reader = seqstore.HaplotypeReader(url)
    reader.read([3], [0])
    folder = reader._files.path("")
    assert folder.exists()
    del reader
    assert not folder.exists()


def test_a_copy_that_is_damaged_is_fetched_anew(
    make_cohort: MakeCohort, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, local = copied(make_cohort(), s3)
    here = seqstore.open_store(local).haplotype_sequence.values
    seqstore.HaplotypeReader(url, cache=tmp_path / "cache").read([1], [0])
    copy = next(path for path in (tmp_path / "cache").rglob("0") if path.is_file())
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1])
    reader = seqstore.HaplotypeReader(url, cache=tmp_path / "cache")
    np.testing.assert_array_equal(reader.read([1], [3]), here[[1], [3]])
    assert copy.read_bytes() == whole
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"chunk files of the store cannot be kept here .* SEQSTORE_CACHE"):
        seqstore.HaplotypeReader(url, cache=tmp_path / "file").read([1], [0])
    monkeypatch.setenv("HOME", str(tmp_path))
    seqstore.HaplotypeReader(url, cache="~/mine").read([1], [0])
    assert (tmp_path / "mine").is_dir()


_kept: list[seqstore.HaplotypeReader] = []


def _folder_of_reader(url: str) -> str:
    _kept.append(seqstore.HaplotypeReader(url))
    _kept[0].read([1], [0])
    return str(_kept[0]._files.path(""))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_copies_go_with_a_process(make_cohort: MakeCohort, s3: Any, method: str) -> None:
    url, _ = copied(make_cohort(), s3)
    pool = multiprocessing.get_context(method).Pool(1)
    folder = Path(pool.apply(_folder_of_reader, (url,)))
    assert folder.exists()
    pool.close()
    pool.join()
    assert not folder.exists()


def test_a_place_that_cannot_be_used_is_named(make_cohort: MakeCohort, s3: Any) -> None:
    cohort = make_cohort()
    for url, changes, expected in (
        ("s3://nobucket/store.zarr", {}, "cannot be used (The specified bucket does not exist)"),
        ("nonsense://cohorts/store.zarr", {}, "nonsense:// is no kind of URL that fsspec knows"),
        ("memory://store.zarr", {"workers": 2}, "is in the memory of one process; set workers: 1"),
        ("memory://store.zarr", {"workers": 0, "scheduler": "tcp://a:1"}, "is in the memory of one process"),
    ):
        with pytest.raises(InputError) as caught:
            build(cohort.config(store=url, **changes))
        assert str(caught.value).startswith(f"{url}: {expected}")
    for url in ("s3://nobucket/store.zarr", "s3://cohorts/store.zarr", "memory://cohorts/store.zarr"):
        for use in (seqstore.open_store, seqstore.HaplotypeReader, describe_store):
            with pytest.raises(InputError, match=rf"^{url}: no store here"):
                use(url)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AWS_ACCESS_KEY_ID": None}, "Unable to locate credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
        ({"PYTHONPATH": "without_s3fs"}, "seqstore[s3] has what s3:// needs"),
    ],
)
def test_what_s3_lacks_is_one_line(
    s3: Any, tmp_path: Path, environment: dict[str, str | None], expected: str
) -> None:
    folder = tmp_path / "without_s3fs"
    folder.mkdir()
    (folder / "s3fs.py").write_text("raise ImportError('no s3fs')\n")
    changed = os.environ | environment
    done = subprocess.run(
        [sys.executable, "-m", "seqstore.cli", "info", "s3://cohorts/store.zarr"],
        **{"check": False, "capture_output": True, "text": True},
        env={name: value for name, value in changed.items() if value is not None}
        | ({"PYTHONPATH": str(folder)} if "PYTHONPATH" in environment else {}),
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: s3://cohorts/store.zarr: ")
    assert expected in line


def test_what_is_no_store_is_let_alone(make_cohort: MakeCohort, s3: Any) -> None:
    s3.pipe_file("cohorts/store.zarr/notes.txt", b"mine")
    with pytest.raises(InputError, match="something that is not a store stands there"):
        build(make_cohort().config(store="s3://cohorts/store.zarr"))
    assert s3.cat_file("cohorts/store.zarr/notes.txt") == b"mine"


def test_bad_input_leaves_nothing_on_s3(make_cohort: MakeCohort, s3: Any) -> None:
    cohort = make_cohort()
    with pytest.raises(InputError, match="no variant is left in any window"):
        build(cohort.config(store="s3://cohorts/store.zarr", filter=["q10"]))
    assert s3.find("cohorts") == []


def test_a_store_in_memory(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    places = [str(cohort.folder / "local.zarr"), "memory://cohorts/store.zarr"]
    for place in places:
        build(cohort.config(store=place))
    local, there = map(seqstore.open_store, places)
    assert there.identical(local)
    readers = map(seqstore.HaplotypeReader, places)
    np.testing.assert_array_equal(*(reader.read([0, 3], [1, 5]) for reader in readers))
    fsspec.filesystem("memory").rm("cohorts", recursive=True)


def test_s3_is_not_imported_for_a_local_store(make_cohort: MakeCohort) -> None:
    code = (
        "import sys, seqstore.cli, seqstore.build, seqstore.store;"
        "print([name for name in ('s3fs', 'botocore', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
