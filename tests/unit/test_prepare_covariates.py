"""Covariate tables: both ways round, categories, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqstore.covariates import design_of, first_dependent, read_covariates, without_covariates
from seqstore.errors import InputError

PEOPLE = [f"P{number}" for number in range(8)]
ALL = np.ones(8, dtype=bool)
AGE = [31, 45, 27, 60, 52, 38, 41, 29]


def table_of(path: Path, columns: dict[str, list[object]], label: str = "individual") -> Path:
    lines = ["\t".join([label, *columns])]
    lines += ["\t".join(map(str, row)) for row in zip(PEOPLE, *columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def turned(path: Path) -> Path:
    """The same table with covariates as rows, as tensorQTL has it."""
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    rows[0][0] = ""
    other = path.with_name("turned.txt")
    other.write_text("\n".join("\t".join(cells) for cells in zip(*rows, strict=True)) + "\n")
    return other


def test_both_ways_round_are_the_same(tmp_path: Path) -> None:
    path = table_of(tmp_path / "c.tsv", {"age": AGE, "sex": list("mfmfmfmf")})
    for table in (read_covariates(path, PEOPLE), read_covariates(turned(path), PEOPLE)):
        assert list(table.columns) == ["age", "sex"]
        assert list(table.index) == PEOPLE
        assert table.loc["P3"].tolist() == ["60", "f"]


@pytest.mark.parametrize("label", ["sample", "#IID", "id", "donor"])
def test_the_label_column_has_several_names(tmp_path: Path, label: str) -> None:
    table = read_covariates(table_of(tmp_path / "c.tsv", {"age": AGE}, label), PEOPLE[::-1])
    assert table["age"].tolist() == [str(age) for age in AGE[::-1]]  # in the order that is asked for


def test_a_plink_file_has_a_family_that_is_no_covariate(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    rows = [f"F{number}\t{person}\t{number * number}" for number, person in enumerate(PEOPLE)]
    path.write_text("#FID\tIID\tPC1\n" + "\n".join(rows) + "\n")
    table = read_covariates(path, PEOPLE)
    assert list(table.columns) == ["PC1"]
    assert table["PC1"]["P3"] == "9"


def test_text_becomes_columns_of_its_levels(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {
        "age": [*AGE],
        "batch": [*"aabbccca"],
        "sex": [1, 2, 1, 2, 1, 2, 2, 2],
    }
    table = read_covariates(table_of(tmp_path / "c.tsv", columns), PEOPLE)
    design, names = design_of(table, ALL, "c.tsv")
    assert names == ["age", "batch=b", "batch=c", "sex"]
    np.testing.assert_allclose(design.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(design.std(axis=0), 1)
    assert (design[:, 1] > 0).tolist() == [False, False, True, True, False, False, False, False]
    assert (design[:, 3] > 0).tolist() == [False, True, False, True, False, True, True, True]


def test_numbers_are_scaled_by_the_fit_people(tmp_path: Path) -> None:
    fit = np.arange(8) < 6
    table = read_covariates(table_of(tmp_path / "c.tsv", {"age": AGE}), PEOPLE)
    design, _ = design_of(table, fit, "c.tsv")
    ages = np.array(AGE)
    np.testing.assert_allclose(design[:, 0], (ages - ages[:6].mean()) / ages[:6].std())


def test_who_has_no_covariates(tmp_path: Path) -> None:
    path = table_of(tmp_path / "c.tsv", {"age": [31, "NA", 27, "", 52, 38, 41, 29], "sex": list("mfmfmfm.")})
    table = read_covariates(path, ["P9", *PEOPLE])
    assert without_covariates(table, ["P9", *PEOPLE]) == ["P9", "P1", "P3", "P7"]


def refusal_of(path: Path, fit: np.ndarray = ALL) -> str:
    with pytest.raises(InputError) as refused:
        design_of(read_covariates(path, PEOPLE), fit, path.name)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.tsv"
    message = refusal_of(table_of(path, {"age": AGE, "site": ["LCL"] * 8}))
    assert message == "c.tsv: covariate 'site' is LCL for everyone fitted on: it explains nothing; remove it"
    message = refusal_of(table_of(path, {"age": AGE, "years": AGE}))
    assert message == (
        "c.tsv: covariate 'years' is a combination of those before it for the 8 people fitted on; remove one"
    )
    sexes: list[object] = [*"mfmfmmmf"]
    message = refusal_of(table_of(path, {"age": AGE, "sex": sexes, "male": [s == "m" for s in sexes]}))
    assert "covariate 'male=True' is a combination of those before it" in message
    months = [age * 12 - 5 for age in AGE]
    assert "covariate 'months' is a combination" in refusal_of(table_of(path, {"age": AGE, "months": months}))
    message = refusal_of(table_of(path, {"batch": [*"aabbaabc"]}), np.arange(8) < 7)
    assert (
        message == "c.tsv: covariate 'batch' of P7 is 'c', which nobody fitted on has: its effect is unknown"
    )
    assert "covariate 'age' holds a number that is not finite" in refusal_of(
        table_of(path, {"age": [*AGE[:7], "inf"]})
    )
    rng = np.random.default_rng(0)
    noise = {f"PC{number}": rng.normal(size=8).tolist() for number in range(6)}
    message = refusal_of(table_of(path, noise))
    assert (
        message
        == "c.tsv: 6 covariates (with those for levels) are too many for 8 people fitted on; give fewer"
    )
    noise.popitem()
    design_of(read_covariates(table_of(path, noise), PEOPLE), ALL, path)


def test_tables_that_are_refused(tmp_path: Path) -> None:
    path = table_of(tmp_path / "c.tsv", {"age": AGE, "sex": list("mfmfmfmf")})
    with pytest.raises(
        InputError, match=r"c.tsv: neither the header nor column 'individual' names an individ"
    ):
        read_covariates(path, ["HG1", "HG2"])
    other = turned(path)
    other.write_text(other.read_text().replace("sex", "age"))
    with pytest.raises(InputError, match="covariate 'age' stands there more than once"):
        read_covariates(other, PEOPLE)
    path.write_text(path.read_text().replace("P1", "P0"))
    with pytest.raises(InputError, match="individual 'P0' stands there more than once"):
        read_covariates(path, PEOPLE)
    path.write_text("FID\tIID\n" + "".join(f"F\t{person}\n" for person in PEOPLE))
    with pytest.raises(InputError, match=r"c.tsv: holds no covariates"):
        read_covariates(path, PEOPLE)
    with pytest.raises(InputError, match=r"none.tsv: no such covariate table"):
        read_covariates(tmp_path / "none.tsv", PEOPLE)


def test_the_first_column_that_others_make_up() -> None:
    rng = np.random.default_rng(1)
    design = rng.normal(size=(30, 4))
    assert first_dependent(design) is None
    assert first_dependent(design[:, :0]) is None
    assert first_dependent(np.column_stack([design, design[:, 0] - 2 * design[:, 3] + 7])) == 4
    assert first_dependent(np.column_stack([design[:, :2], np.ones(30), design[:, 2]])) == 2
    assert first_dependent(rng.normal(size=(4, 3))) is None
    assert first_dependent(rng.normal(size=(4, 4))) == 3
