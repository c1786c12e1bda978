"""Which records the windows of a gene are made with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seqstore.haplotypes import Reach
from seqstore.reach import ContigRows, placed


def contig(offset: int, *records: tuple[int, int]) -> ContigRows:
    """From (POS, length of REF)."""
    position, ref_length = np.array(records, dtype=np.int32).reshape(-1, 2).T
    return ContigRows.of(offset, position, ref_length)


#: 1-based: 5-9, 6, 10 (next to it), 12-13, 13-15, 14, 20, 20-22
ROWS = contig(100, (5, 5), (6, 1), (10, 1), (12, 2), (13, 3), (14, 1), (20, 1), (20, 3))


def test_where_the_overlap_rule_can_start_anew() -> None:
    assert ROWS.start.tolist() == [4, 5, 9, 11, 12, 13, 19, 19]
    assert ROWS.reached.tolist() == [9, 9, 10, 13, 15, 15, 20, 22]
    # Record 6 is below 5-9; 13-15 below 12-13, and so 14 below both; the second at 20 depends on the first.
    assert ROWS.clean.tolist() == [0, 0, 2, 3, 3, 3, 6, 6]


@pytest.mark.parametrize(
    ("start", "stop", "rows"),
    [
        (0, 4, (0, 0)),
        (0, 5, (0, 1)),
        (8, 10, (0, 3)),  # 5-9 reaches in
        (9, 10, (2, 3)),
        (10, 11, (3, 3)),
        (14, 16, (3, 6)),  # 13-15 reaches in, and depends on 12-13
        (15, 19, (6, 6)),
        (15, 20, (6, 8)),
        (20, 21, (6, 8)),
        (22, 99, (8, 8)),
    ],
)
def test_records_that_decide_on_a_region(start: int, stop: int, rows: tuple[int, int]) -> None:
    assert ROWS.deciding(start, stop) == (100 + rows[0], 100 + rows[1])


def test_records_that_start_in_a_region() -> None:
    assert ROWS.starting_in(5, 12) == (101, 104)
    assert ROWS.starting_in(19, 20) == (106, 108)
    assert ROWS.starting_in(50, 60) == (108, 108)


def test_a_long_deletion_keeps_what_is_below_it_together() -> None:
    rows = contig(0, (5, 50), (10, 1), (20, 1), (54, 1), (55, 1))
    assert rows.clean.tolist() == [0, 0, 0, 0, 4]
    assert rows.deciding(30, 40) == (0, 3)
    assert rows.deciding(54, 60) == (4, 5)


def test_no_records() -> None:
    rows = contig(7)
    assert rows.deciding(0, 100) == (7, 7)
    assert rows.starting_in(0, 100) == (7, 7)


def test_genes_are_placed_by_their_reach_or_their_reference_window() -> None:
    genes = pd.DataFrame({"genotype_contig": ["a", "a", "b", "c"], "window_start": [10, 10, 3, 0]})
    rows = {"a": ROWS, "b": contig(108, (4, 1), (6, 1))}
    found = placed(genes, 4, rows, {0: Reach(4, 20, 3)})
    columns = ["record_start", "record_stop", "variant_start", "variant_stop", "reach_start", "reach_stop"]
    assert found[[*columns, "tss_deleted"]].to_numpy().tolist() == [
        [100, 108, 103, 106, 4, 20, 3],
        [103, 106, 103, 106, 10, 14, 0],
        [108, 110, 108, 110, 3, 7, 0],
        [0, 0, 0, 0, 0, 4, 0],
    ]
