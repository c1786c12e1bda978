"""Places of stores, as they are spelled and as they are used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import seqstore
from seqstore.append import append
from seqstore.build import build
from seqstore.claim import claimed
from seqstore.errors import InputError
from seqstore.locations import place_of
from tests.conftest import Cohort


@pytest.mark.parametrize(
    ("spelled", "place"),
    [
        ("a/store.zarr//", "a/store.zarr"),
        ("~/store.zarr", "HOME/store.zarr"),
        ("file:store.zarr", "store.zarr"),
        ("file:///x/store.zarr", "/x/store.zarr"),
        ("local:///x/store.zarr/", "/x/store.zarr"),
        ("s3://bucket/store.zarr/", "s3://bucket/store.zarr"),
        ("memory://", "memory://"),
        ("/", "/"),
        (".", "HERE"),
        ("link.zarr", "HERE/store.zarr"),
    ],
)
def test_a_place_has_one_form(
    spelled: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.chdir(tmp_path)
    Path("link.zarr").symlink_to("store.zarr")
    here = os.path.realpath(tmp_path)
    assert place_of(spelled) == place.replace("HOME", "/home/someone").replace("HERE", here)


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_place_is_refused_and_nothing_is_removed(
    empty: str, make_cohort: Callable[..., Cohort], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cohort = make_cohort()
    before = sorted(tmp_path.rglob("*"))
    for command in (build, append):
        with pytest.raises(InputError, match="store: is empty"):
            command(cohort.config(store=empty))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "place",
    [
        "zip:///x/store.zip",
        "tar://store.zarr::/x/y.tar",
        "simplecache::s3://b/s",
        "ZIP:///x/s.zip",
        "/x/a::b.zarr",
    ],
)
def test_a_place_in_an_archive_or_behind_a_cache_is_refused(place: str) -> None:
    with pytest.raises(InputError, match=f"{place}: a store lies in a folder or at a URL such as s3:"):
        place_of(place)


def test_a_link_to_nothing_is_where_the_store_is_built(
    make_cohort: Callable[..., Cohort], tmp_path: Path
) -> None:
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real.zarr")
    build(make_cohort().config(store=str(tmp_path / "link.zarr")))
    assert (tmp_path / "link.zarr").is_symlink()
    assert seqstore.open_store(tmp_path / "real.zarr").sizes["gene"] == 4


def test_a_store_is_claimed_by_any_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "real.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real.zarr")
    with (
        claimed(place_of(tmp_path / "real.zarr")),
        pytest.raises(InputError, match="is building it"),
        claimed(place_of(tmp_path / "link.zarr")),
    ):
        pass
