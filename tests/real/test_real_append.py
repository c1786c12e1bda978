"""The real cohort, of which a store is begun with a part: appended to, it is that of the whole."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import seqstore
from seqstore.append import append
from seqstore.build import build
from seqstore.config import BuildConfig
from tests.same_store import assert_same_store

N_PEOPLE, N_GENES = 400, 40


def test_a_real_store_grows_by_people_and_by_genes(
    real_inputs: dict[str, str], tmp_path: Path, bcftools: str
) -> None:
    """First with the records of 400 people and 40 genes only, as they come out of bcftools."""
    keys: dict[str, Any] = {
        "variants": "all",
        "length": 4096,
        "workers": 1,
        "store": str(tmp_path / "s.zarr"),
    }
    header, *people = Path(real_inputs["samples"]).read_text().splitlines(keepends=True)
    (tmp_path / "people.txt").write_text("".join(row.split("\t")[0] + "\n" for row in people[:N_PEOPLE]))
    small = str(tmp_path / "small.bcf")
    command = [bcftools, "view", "-S", str(tmp_path / "people.txt"), "-c", "1", "-Ob", "-o", small]
    subprocess.run([*command, real_inputs["genotypes"]], check=True, capture_output=True)
    subprocess.run([bcftools, "index", small], check=True)
    header, *genes = Path(real_inputs["genes"]).read_text().splitlines(keepends=True)
    few = tmp_path / "genes.tsv"
    few.write_text(header + "".join(genes[:N_GENES]))

    build(BuildConfig(**real_inputs | {"genotypes": small, "genes": str(few)}, **keys))
    begun = seqstore.open_store(keys["store"])
    n_variants = seqstore.open_variants(keys["store"]).sizes["variant"]
    ids, chunks = begun.haplotype_id.values, inodes(keys["store"])
    assert begun.sizes["individual"] == N_PEOPLE
    append(BuildConfig(**real_inputs | {"genes": str(few)}, **keys))
    assert seqstore.open_variants(keys["store"]).sizes["variant"] > n_variants, "of the added people"
    with_people = inodes(keys["store"])
    assert set(with_people) == set(chunks)
    assert not set(with_people.values()) & set(chunks.values()), "there is one block of people"
    append(BuildConfig(**real_inputs, **keys))
    assert with_people.items() <= inodes(keys["store"]).items()
    np.testing.assert_array_equal(
        seqstore.open_store(keys["store"]).haplotype_id.values[: len(ids), :N_PEOPLE], ids
    )
    anew = str(tmp_path / "anew.zarr")
    build(BuildConfig(**real_inputs, **keys | {"store": anew}))
    assert_same_store(keys["store"], anew)


def inodes(store: str) -> dict[str, int]:
    """The chunk files of the windows."""
    files = (Path(store) / "haplotype_sequence" / "c").rglob("*")
    return {str(file.relative_to(store)): file.stat().st_ino for file in files if file.is_file()}
