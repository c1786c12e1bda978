"""Labels of people that differ between files."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqstore.errors import InputError
from seqstore.labels import read_sample_map, reconcile_individuals

KNOWN = ["HG00096", "HG00097", "NA18486"]


@pytest.mark.parametrize(
    ("labels", "known", "expected", "by_rule"),
    [
        (["NA18486", "HG00096", "X"], KNOWN, ["NA18486", "HG00096", None], {"exact": 2, "unmatched": 1}),
        (["HG00096_HG00096", "0_HG00097"], KNOWN, ["HG00096", "HG00097"], {"family_and_individual": 2}),
        (["HG00096"], ["HG00096_HG00096"], ["HG00096_HG00096"], {"family_and_individual": 1}),
        (["0_HG00096"], ["HG00096_HG00096"], ["HG00096_HG00096"], {"family_and_individual": 1}),
        (["A_1_A_1"], ["A_1"], ["A_1"], {"family_and_individual": 1}),
        (
            ["HG00096.1.M_111124_6", "HG00097.7.MI_120219_2", "NA18486"],
            KNOWN,
            ["HG00096", "HG00097", "NA18486"],
            {"assay": 2, "exact": 1},
        ),
        (
            ["GTEX-1117F-0226-SM-5GZZ7", "GTEX-111CU-0011-R10b-SM-GI4VE"],
            ["GTEX-1117F", "GTEX-111CU"],
            ["GTEX-1117F", "GTEX-111CU"],
            {"gtex_sample": 2},
        ),
        (["1_1", "0_1"], ["1_1", "0_1"], ["1_1", "0_1"], {"exact": 2}),
        (["1_1", "2_2", "0_3"], ["1", "2", "3"], ["1", "2", "3"], {"family_and_individual": 3}),
        (["1_1", "1_2", "2_1"], ["1_1", "1_2", "2_1"], ["1_1", "1_2", "2_1"], {"exact": 3}),
        (["1_2", "2_1"], ["1", "2"], [None, None], {"unmatched": 2}),
        (
            ["S1_S1", "S2_S2", "other_batch"],
            ["S1", "S2"],
            ["S1", "S2", None],
            {"family_and_individual": 2, "unmatched": 1},
        ),
        (["HG00096_2", "case_HG00096", "HG00096.1"], KNOWN, [None] * 3, {"unmatched": 3}),
        ([], KNOWN, [], {}),
    ],
)
def test_labels_match_exactly_or_without_their_decoration(
    labels: list[str], known: list[str], expected: list[str | None], by_rule: dict[str, int]
) -> None:
    matched = reconcile_individuals(labels, known, path="e.tsv")
    assert [matched.known.get(label) for label in labels] == expected
    assert list(matched.known) == [label for label in labels if label in matched.known], "in the file's order"
    assert matched.by_rule == by_rule


@pytest.mark.parametrize(
    ("labels", "known", "message"),
    [
        # person_replicate
        (["1_1", "1_2", "2_1", "2_2"], ["1", "2"], "1_1 need not be individual 1, because 1_2 is there too"),
        (["0_1", "0_2", "1_1"], ["0", "1"], "0_1 need not be individual 1, because 0_1 is there too"),
        (["A_1_A_1", "A_1_A_2"], ["A_1"], "A_1_A_1 need not be individual A_1, because A_1_A_2 is there too"),
        # family_individual
        (["1", "2"], ["1_1", "1_2", "2_1", "2_2"], "1 need not be individual 1_1, because 1_2 is there too"),
        (
            ["1.1.M_111124_6"],
            ["1_1", "1_2"],
            "1.1.M_111124_6 need not be individual 1_1, because 1_2 is there too",
        ),
        (["S1_S1", "F1_S2"], ["S1", "S2"], "S1_S1 need not be individual S1, because F1_S2 is there too"),
    ],
)
def test_labels_of_two_parts_are_doubled_ids_only_if_nothing_says_otherwise(
    labels: list[str], known: list[str], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        reconcile_individuals(labels, known, path="e.tsv")
    assert str(refused.value) == (
        f"e.tsv: {message} (are labels family_individual, or person_replicate?); say which in a sample_map"
    )
    sample_map = {labels[-1]: known[0]}
    assert reconcile_individuals(labels, known, path="e.tsv", sample_map=sample_map).known == sample_map


def test_who_a_sample_map_names_in_vain_is_said(caplog: pytest.LogCaptureFixture) -> None:
    sample_map = {"E1": "HG00096", "E2": "HG0097", "E9": "nobody"}
    assert reconcile_individuals(["E1", "E2", "E3"], KNOWN, path="e.tsv", sample_map=sample_map).known == {
        "E1": "HG00096"
    }
    assert caplog.messages == [
        "warning: e.tsv: by the sample map, 1 of its labels are of people who are not genotyped, or not in the sample "
        "table: E2 (HG0097)"
    ]


def test_a_sample_map_decides_alone() -> None:
    labels = ["ERR188040", "HG00097", "NA18486.1.M_111124_6", "NA18486.2.M_111215_7", "ERR1"]
    sample_map = {"ERR188040": "HG00096", "NA18486.2.M_111215_7": "NA18486", "ERR1": "HG99999", "ERR2": "X"}
    matched = reconcile_individuals(labels, KNOWN, path="e.tsv", sample_map=sample_map)
    assert matched.known == {"ERR188040": "HG00096", "HG00097": "HG00097", "NA18486.2.M_111215_7": "NA18486"}
    assert matched.by_rule == {"sample_map": 2, "exact": 1, "unmatched": 2}
    same = reconcile_individuals(["HG00096"], KNOWN, path="e.tsv", sample_map={"HG00096": "HG00096"})
    assert same.by_rule == {"exact": 1}


@pytest.mark.parametrize(
    ("labels", "known", "sample_map", "message"),
    [
        (
            ["HG00096.1.M_111124_6", "HG00096.2.M_111215_7"],
            KNOWN,
            None,
            "HG00096.1.M_111124_6 and HG00096.2.M_111215_7 are both individual HG00096; keep one of them, or say which "
            "in a sample_map",
        ),
        (["HG00096", "0_HG00096"], KNOWN, None, "HG00096 and 0_HG00096 are both individual HG00096"),
        (["E1", "E2"], KNOWN, {"E1": "HG00096", "E2": "HG00096"}, "E1 and E2 are both individual HG00096"),
        (["E1", "HG00096"], KNOWN, {"E1": "HG00096"}, "E1 and HG00096 are both individual HG00096"),
        (
            ["A"],
            ["A_A", "0_A"],
            None,
            "A can be individual A_A or 0_A; say which in a sample_map",
        ),
        (
            ["HG00096"],
            KNOWN,
            {"HG00096": "HG00097"},
            "the sample map makes HG00096 individual HG00097, but HG00096 is itself a genotyped individual",
        ),
    ],
)
def test_labels_that_are_ambiguous_are_refused(
    labels: list[str], known: list[str], sample_map: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(InputError) as refused:
        reconcile_individuals(labels, known, path="e.tsv", sample_map=sample_map)
    assert str(refused.value).startswith("e.tsv: ")
    assert message in str(refused.value)


def test_a_sample_map_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.tsv"
    path.write_text("to\tfrom\tremark\nHG00096\tERR188040 \tx\nHG00097\t0010\t\n")
    assert read_sample_map(path) == {"ERR188040": "HG00096", "0010": "HG00097"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ERR188040\tHG00096\n", "a sample map has columns 'from' and 'to' (has ERR188040, HG00096)"),
        ("from\tto\nA\tB\nA\tC\n", "label 'A' stands there more than once"),
        ("from\tto\nA\tB\nC\t\n", "row 2 of the sample map has an empty cell"),
        ("from to\nA B\n", "a sample map needs several columns, separated by tabs"),
    ],
)
def test_sample_maps_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "map.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_sample_map(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
