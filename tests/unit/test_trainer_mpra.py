"""MPRA variant effects: from tables to batches."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from seqstore.errors import InputError
from seqstore.nucleotides import decode, unpack
from trainer.convert_mpra import convert_mpra
from trainer.mpra import VariantEffects
from trainer.mpra_tables import as_dataset, read_cells, read_effects
from trainer.shuffled import Shuffled

LENGTH = 20


def variants(n: int, seed: int = 0, length: int = LENGTH) -> pd.DataFrame:
    """Ids and sequences; the alternative differs at one base."""
    rng = np.random.default_rng(seed)
    ref = rng.choice(list("ACGT"), (n, length))
    alt = ref.copy()
    alt[:, length // 2] = [{"A": "C", "C": "G", "G": "T", "T": "A"}[base] for base in ref[:, length // 2]]
    return pd.DataFrame(
        {
            "ref_ID": [f"1:{row:04d}:R" for row in range(n)],
            "alt_ID": [f"1:{row:04d}:A" for row in range(n)],
            "ref_seq": ["".join(row) for row in ref],
            "alt_seq": ["".join(row) for row in alt],
        }
    )


def write(path: Path, table: pd.DataFrame) -> str:
    table.to_csv(path, sep="," if ".csv" in path.name else "\t", index=False)
    return str(path)


@pytest.fixture
def table() -> pd.DataFrame:
    """40 variants; of HepG2 every third is missing."""
    rng = np.random.default_rng(1)
    effects = {"K562": rng.normal(0.2, 0.5, 40), "HepG2": rng.normal(0, 2, 40)}
    return variants(40).assign(**effects).assign(HepG2=lambda t: t["HepG2"].where(t.index % 3 > 0))


def convert(tmp_path: Path, table: pd.DataFrame, **options: Any) -> str:
    output = tmp_path / "effects.zarr"
    convert_mpra(str(output), table=write(tmp_path / "table.tsv", table), **options)
    return str(output)


@pytest.mark.parametrize("name", ["table.tsv", "table.csv", "table.tsv.gz", "table.parquet"])
def test_a_table_comes_back(tmp_path: Path, table: pd.DataFrame, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        table.to_parquet(path)
    else:
        write(path, table)
    found = read_effects(path)
    assert list(found.columns) == ["K562", "HepG2"]
    assert found.index.names == ["ref_id", "alt_id", "ref_sequence", "alt_sequence"]
    np.testing.assert_allclose(found, table[["K562", "HepG2"]])
    assert found.index.get_level_values("alt_sequence").tolist() == table["alt_seq"].tolist()


def test_columns_of_effects_are_known_by_their_ending_or_named(tmp_path: Path, table: pd.DataFrame) -> None:
    """As in the study's table, which has z-scores and a split too."""
    whole = table.rename(columns={"K562": "K562_Log2Skew"}).assign(
        split="train", HepG2_Log2Skew=table["HepG2"]
    )
    path = write(tmp_path / "table.csv", whole)
    assert list(read_effects(path).columns) == ["K562", "HepG2"]
    assert list(read_effects(path, ["HepG2"]).columns) == ["HepG2"]
    assert list(read_effects(path, ["K562_Log2Skew"]).columns) == ["K562"]
    with pytest.raises(
        InputError, match=r"table\.csv: has no effects in 'A549'; it has columns K562_Log2Skew"
    ):
        read_effects(path, ["A549"])
    with pytest.raises(InputError, match=r"row 1: split is 'train', no number; name the columns"):
        read_effects(write(tmp_path / "text.tsv", table.assign(split="train")))
    with pytest.raises(InputError, match="cell type 'K562' stands there more than once"):
        read_effects(write(tmp_path / "two.tsv", whole.assign(K562=1.0)), ["K562", "K562_Log2Skew"])
    with pytest.raises(InputError, match="has no column with effects"):
        read_effects(write(tmp_path / "bare.tsv", variants(3)))


def test_tables_of_cells_are_merged(tmp_path: Path) -> None:
    known = variants(5)

    def rows(*chosen: int, skew: list[Any]) -> pd.DataFrame:
        return known.iloc[list(chosen)].assign(Log2Skew=skew, other="x")

    k562 = [
        write(tmp_path / "k1.tsv", rows(0, 1, 1, skew=[1.0, 2.0, 4.0])),
        # Measured again; the same measurement again, in small letters; none; one that is not finite.
        write(tmp_path / "k2.tsv", rows(0, 0, 2, 3, skew=[4.0, 1.0, "NA", "inf"]).assign(
            ref_seq=lambda t: t["ref_seq"].str.lower())),
    ]  # fmt: skip
    with gzip.open(tmp_path / "h.csv.gz", "wt") as file:
        rows(4, 0, skew=[-1.0, 7.5]).rename(columns={"Log2Skew": "HepG2_Log2Skew"}).to_csv(file, index=False)
    found = read_cells({"K562": k562, "HepG2": [tmp_path / "h.csv.gz"]})
    assert list(found.columns) == ["K562", "HepG2"]
    assert found.index.get_level_values("ref_id").tolist() == ["1:0000:R", "1:0001:R", "1:0004:R"]
    np.testing.assert_array_equal(found, [[2.5, 7.5], [3.0, np.nan], [np.nan, -1.0]])
    turned = read_cells({"K562": k562[::-1], "HepG2": [tmp_path / "h.csv.gz"]})
    pd.testing.assert_frame_equal(found, turned)


def test_one_id_with_two_sequences_is_two_variants(tmp_path: Path) -> None:
    known = pd.concat([variants(1, seed=0), variants(1, seed=1)]).assign(Log2Skew=[1.0, 2.0])
    found = read_cells({"K562": [write(tmp_path / "a.tsv", known)]})
    assert sorted(found["K562"]) == [1.0, 2.0]


def test_the_dataset(tmp_path: Path, table: pd.DataFrame) -> None:
    path = convert(tmp_path, table)
    group = xr.open_zarr(path, consolidated=False).load()
    assert dict(group.sizes) == {"variant": 40, "byte": 10, "cell": 2}
    assert [decode(unpack(packed)) for packed in group["ref_sequence"].values] == table["ref_seq"].tolist()
    assert [decode(unpack(packed)) for packed in group["alt_sequence"].values] == table["alt_seq"].tolist()
    for cell in ("K562", "HepG2"):
        z = (table[cell] - table[cell].mean()) / table[cell].std()
        one = group.isel(cell=group["cell"].values.tolist().index(cell))
        np.testing.assert_allclose(one["effect"], z, rtol=1e-6)
        assert float(one["effect_mean"]) == pytest.approx(table[cell].mean())
        assert float(one["effect_sd"]) == pytest.approx(table[cell].std())
    assert group["effect"].dtype == np.float32
    assert group["ref_id"].values.tolist() == table["ref_ID"].tolist()
    counts = dict(zip(*np.unique(group["split"].values.astype(object), return_counts=True), strict=True))
    assert counts == {"train": 36, "valid": 2, "test": 2}
    assert group.attrs["length"] == 20
    assert group.attrs["source"] == [
        {"path": str(tmp_path / "table.tsv"), "size": (tmp_path / "table.tsv").stat().st_size}
    ]


def test_the_split_depends_on_the_seed_only(table: pd.DataFrame, tmp_path: Path) -> None:
    effects = read_effects(write(tmp_path / "table.tsv", table))
    splits = [as_dataset(effects, seed=seed, test=0.25)["split"].values.tolist() for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]
    assert splits[0].count("test") == 10
    with pytest.raises(InputError, match=r"0\.5 and 0\.5 of 40 variants leave none to train"):
        as_dataset(effects, seed=0, validation=0.5, test=0.5)
    as_given = as_dataset(effects, seed=0, zscore=False)
    np.testing.assert_allclose(as_given["effect"], table[["K562", "HepG2"]], rtol=1e-6)


def test_effects_that_do_not_vary_are_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    effects = read_effects(write(tmp_path / "table.tsv", table.assign(HepG2=0.5)))
    with pytest.raises(InputError, match="those of HepG2 do not vary"):
        as_dataset(effects, seed=0)
    as_dataset(effects, seed=0, zscore=False)
    with pytest.raises(InputError, match="no variant has one"):
        as_dataset(effects.assign(K562=np.nan, HepG2=np.nan), seed=0)


def change(table: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    changed = table.astype({column: object})
    changed.loc[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (
            6,
            "ref_seq",
            "ACGT" * 4 + "AC!T",
            r"row 7: ref_sequence has '!' at base 19, which is no nucleotide",
        ),
        (6, "alt_seq", "ACGT" * 4 + "ACUT", r"row 7: alt_sequence has 'U' at base 19"),
        (0, "alt_seq", "", r"row 1 has no alt_sequence"),
        (
            6,
            "alt_seq",
            "A" * 19,
            r"row 7: alt_sequence has 19 bases, the first of the table 20; so have 1 rows",
        ),
        (6, "K562", "high", r"row 7: K562 is 'high', no number"),
    ],
)
def test_bad_rows_are_named(
    tmp_path: Path, table: pd.DataFrame, row: int, column: str, value: Any, message: str
) -> None:
    path = write(tmp_path / "table.tsv", change(table, row, column, value))
    with pytest.raises(InputError, match=rf"table\.tsv: {message}") as refused:
        convert_mpra(str(tmp_path / "out.zarr"), table=path)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("out*"))


def test_iupac_letters_and_small_ones_are_nucleotides(tmp_path: Path, table: pd.DataFrame) -> None:
    path = convert(tmp_path, change(table, 3, "ref_seq", "acgtRYKMacgtRYKMnnnn"))
    first = xr.open_zarr(path, consolidated=False)["ref_sequence"].values[3]
    assert decode(unpack(first)) == "ACGTRYKMACGTRYKMNNNN"


def test_sequences_of_several_lengths_are_padded_when_asked(tmp_path: Path) -> None:
    short = variants(3, seed=1, length=17).assign(K562=[1.0, 2.0, 4.0])
    with pytest.raises(InputError, match="row 1: sequences have 17 bases, an odd number"):
        convert_mpra(str(tmp_path / "a.zarr"), table=write(tmp_path / "short.tsv", short))
    convert_mpra(str(tmp_path / "a.zarr"), table=write(tmp_path / "short.tsv", short), pad=True)
    group = xr.open_zarr(tmp_path / "a.zarr", consolidated=False)
    assert decode(unpack(group["alt_sequence"].values[1])) == short["alt_seq"][1] + "N"
    long = variants(3).assign(Log2Skew=[1.0, 2.0, 4.0])
    cells = {
        "K562": [write(tmp_path / "long.tsv", long)],
        "HepG2": [write(tmp_path / "other.tsv", variants(2, length=16).assign(Log2Skew=[1.0, 2.0]))],
    }
    with pytest.raises(InputError, match="have sequences of 16 and 20 bases"):
        as_dataset(read_cells(cells), seed=0)
    assert as_dataset(read_cells(cells, pad=True), seed=0, pad=True).sizes["byte"] == 10


def test_the_command(tmp_path: Path, table: pd.DataFrame) -> None:
    script = Path(__file__).parents[2] / "trainer/convert_mpra.py"
    paths = [
        f"{cell}={write(tmp_path / f'{cell}.tsv', table.rename(columns={cell: 'Log2Skew'}))}"
        for cell in ("K562", "HepG2")
    ]
    output = str(tmp_path / "effects.zarr")
    command = [sys.executable, str(script), output, "--cells", *paths, "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=script.parents[1])
    assert done.stderr == f"{output}: 40 variants of 20 bases; with an effect in K562 40, HepG2 26\n"
    effects = VariantEffects(output, bin_width=16)
    assert effects.cells == ["K562", "HepG2"]
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=script.parents[1])
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one of --table"),
        ({"table": "a", "cells": ["K562=b"]}, "give one of --table"),
        ({"cells": ["K562=b"], "effects": ["c"]}, "give one of --table"),
        ({"cells": ["K562"]}, "cells: 'K562' is not CELL=TABLE"),
        ({"table": "nothing.tsv"}, "no such table of variant effects"),
        ({"cells": ["K562=nothing.tsv"]}, "no such table of variant effects"),
    ],
)
def test_other_command_lines_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert_mpra(str(tmp_path / "a.zarr"), **options)


def test_other_tables_are_refused(tmp_path: Path, table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"a\.tsv: has no column alt_sequence \(or alt_seq\)"):
        read_effects(write(tmp_path / "a.tsv", table.drop(columns="alt_seq")))
    with pytest.raises(InputError, match=r"a\.tsv: has no column Log2Skew"):
        read_cells({"A549": [write(tmp_path / "a.tsv", table)]})
    convert(tmp_path, table)
    with pytest.raises(InputError, match="exists"):
        convert(tmp_path, table)


# Batches


@pytest.mark.parametrize(("bin_width", "bins"), [(16, 2), (128, 1), (20, 1), (2, 10)])
@pytest.mark.parametrize("margin", [0, 4])
def test_sequences_are_in_the_middle_of_whole_bins(
    tmp_path: Path, table: pd.DataFrame, bin_width: int, bins: int, margin: int
) -> None:
    effects = VariantEffects(convert(tmp_path, table), bin_width=bin_width, margin=margin)
    assert (effects.bins, effects.length) == (bins, bins * bin_width)
    numbers = np.array([7, 30, 7])
    ref, alt, effect = effects.batch(numbers)
    wide = bins * bin_width + 2 * margin
    for row, number in enumerate(numbers.tolist()):
        for packed, column in ((ref, "ref_seq"), (alt, "alt_seq")):
            assert decode(unpack(packed[row])) == table[column][number].center(wide, "N")
    assert ref.shape == alt.shape == (3, wide // 2)
    assert effect.shape == (3, 2)
    assert effect.dtype == np.float32
    values = table[["K562", "HepG2"]]
    z = (values - values.mean()) / values.std()
    np.testing.assert_allclose(effect, z.to_numpy()[numbers], rtol=1e-5)
    assert np.isnan(effect[1, 1])


def test_cells_are_chosen_and_variants_without_effect_left_out(tmp_path: Path, table: pd.DataFrame) -> None:
    path = convert(tmp_path, table)
    both, one = VariantEffects(path, bin_width=16), VariantEffects(path, bin_width=16, cells=["HepG2"])
    assert one.cells == ["HepG2"]
    split = xr.open_zarr(path, consolidated=False)["split"].values.astype(object)
    assert both.examples("train").tolist() == np.flatnonzero(split == "train").tolist()
    assert one.examples("train").tolist() == [n for n in np.flatnonzero(split == "train") if n % 3]
    np.testing.assert_array_equal(
        one.batch(np.arange(40))[2][:, 0],
        both.batch(np.arange(40))[2][:, both.cells.index("HepG2")],
    )
    order = Shuffled(one.examples("train"), per_step=5, seed=0)
    assert order.n == len(one.examples("train"))
    assert set(order.numbers(0).tolist()) <= set(one.examples("train").tolist())
    with pytest.raises(InputError, match=r"cell type 'A549': .* has K562, HepG2"):
        VariantEffects(path, bin_width=16, cells=["A549"])
    with pytest.raises(InputError, match="for 'validation'; its splits are test, train, valid"):
        both.examples("validation")
    with pytest.raises(InputError, match="bin_width, margin: 15 and 0"):
        VariantEffects(path, bin_width=15)


def test_lost_and_changed_files_are_found(tmp_path: Path, table: pd.DataFrame) -> None:
    path = convert(tmp_path, table)
    chunk = next(file for file in (Path(path) / "effect/c").rglob("*") if file.is_file())
    content = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(InputError, match="files of it are missing or changed"):
        VariantEffects(path, bin_width=16)
    chunk.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="is damaged"):
        VariantEffects(path, bin_width=16)
    with pytest.raises(InputError, match="no variant effects here"):
        VariantEffects(tmp_path / "nothing", bin_width=16)
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="is no group of variant effects"):
        VariantEffects(tmp_path / "other.zarr", bin_width=16)
