"""Windows as edits of another: every window comes back, and what people's windows differ in stays small."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqstore.codec import WindowChunk, encode_windows
from seqstore.edits import find_edits
from seqstore.nucleotides import encode, pack

Codes = npt.NDArray[np.uint8]


def bases(rng: np.random.Generator, n: int) -> Codes:
    return (1 << rng.integers(0, 4, n)).astype(np.uint8)


def made_again(windows: npt.NDArray[np.uint8], which: list[int] | None = None) -> npt.NDArray[np.uint8]:
    rows = np.arange(len(windows)) if which is None else np.array(which)
    return WindowChunk(encode_windows(windows, rows[:, None])).decode(np.arange(len(rows)))[:, 0]


def edited(template: Codes, *edits: tuple[int, int, str]) -> Codes:
    """A template (codes) with edits (start, bases deleted, bases inserted) from its end to its start."""
    codes = template
    for start, deleted, inserted in edits:
        codes = np.concatenate([codes[:start], encode(inserted), codes[start + deleted :]])
    return codes


@pytest.mark.parametrize(
    ("edits", "n_substitutions", "n_indels"),
    [
        ([], 0, 0),
        ([(700, 1, "R")], 1, 0),
        ([(701, 1, "N")], 1, 0),
        ([(700, 2, "RR")], 2, 0),
        ([(705, 1, "R"), (700, 1, "R")], 2, 0),
        ([(700, 0, "ACCGT")], 0, 1),
        ([(700, 3, "")], 0, 1),
        ([(700, 3, "NNNNN")], 0, 1),
        ([(700, 500, "")], 0, 1),
        ([(0, 1, "")], 0, 1),
        ([(0, 0, "N")], 0, 1),
        ([(1500, 1, "R"), (1400, 5, ""), (900, 1, "R"), (600, 0, "GNN"), (500, 1, "R")], 3, 2),
    ],
)
def test_edits_are_found(edits: list[tuple[int, int, str]], n_substitutions: int, n_indels: int) -> None:
    """Behind deletions a window goes on with bases that the template has not; that is one edit more."""
    genome = bases(np.random.default_rng(0), 3000)
    template, window = genome[:2000], edited(genome, *edits)[:2000]
    found = find_edits(pack(template), pack(np.stack([template, window])))
    longer = sum(deleted - len(inserted) for _, deleted, inserted in edits) > 0
    assert len(found.base) == n_substitutions
    assert len(found.start) == n_indels + longer
    np.testing.assert_array_equal(made_again(pack(np.stack([template, window])), [0, 0, 1])[2], pack(window))


def test_windows_share_edits() -> None:
    genome = bases(np.random.default_rng(1), 3000)
    variants = [(1900, 1, "R"), (1500, 4, ""), (1100, 1, "K"), (700, 0, "GNN"), (300, 1, "M")]
    rng = np.random.default_rng(2)
    people = [[variant for variant in variants if rng.random() < 0.4] for _ in range(40)]
    windows = np.unique([pack(edited(genome, *edits)[:2000]) for edits in people], axis=0)
    found = find_edits(pack(genome[:2000]), windows)
    assert len(windows) > 15
    assert len(found.base) == 3
    assert len(found.start) < 5, "two, and what stands behind the ends"
    np.testing.assert_array_equal(made_again(windows), windows)


def test_numbers_above_a_byte() -> None:
    """Windows with the first and the last of a thousand edits, and with all of them."""
    template = bases(np.random.default_rng(3), 60_000)
    everything = template.copy()
    everything[20::50] ^= 15
    ends = template.copy()
    ends[[20, 59_970]] ^= 15
    last = template.copy()
    last[59_970] ^= 15
    indels = edited(template, *((start, 0, "N") for start in range(59_000, 100, -150)))[:60_000]
    windows = pack(np.stack([template, everything, ends, last, indels]))
    found = find_edits(windows[0], windows)
    assert len(found.base) == 1200
    assert len(found.start) > 300
    np.testing.assert_array_equal(made_again(windows, [0, 0, 1, 2, 3, 4])[1:], windows)


def test_repeats_do_not_lead_astray() -> None:
    """Substitutions close together within copies of a repeat are not taken for jumps to another copy."""
    rng = np.random.default_rng(4)
    unit = bases(rng, 300)
    template = np.concatenate([np.concatenate([unit, bases(rng, 700)]) for _ in range(20)])
    windows = np.repeat(template[None], 50, axis=0)
    for window in windows[1:]:
        for start in rng.integers(0, len(template) - 12, 8):
            window[[start, start + 7, start + 11]] ^= 15
    found = find_edits(pack(template), pack(windows))
    assert len(found.start) == 0
    np.testing.assert_array_equal(made_again(pack(windows), [0, *range(50)])[1:], pack(windows))


@pytest.mark.parametrize("n_bases", [2, 4, 30, 64, 1000])
def test_windows_that_have_nothing_in_common(n_bases: int) -> None:
    windows = np.random.default_rng(5).integers(0, 256, (20, n_bases // 2), dtype=np.uint8)
    np.testing.assert_array_equal(made_again(windows), windows)


@st.composite
def relatives(draw: st.DrawFn) -> npt.NDArray[np.uint8]:
    """Packed windows that are edits of each other, over few or many kinds of bases, with repeats."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    length = 2 * draw(st.integers(1, 400))
    kinds = draw(st.sampled_from([[1, 2], [1, 2, 4, 8], list(range(16)), [0]]))
    genome = rng.choice(np.array(kinds, dtype=np.uint8), 3 * length)
    if draw(st.booleans()):
        genome = np.tile(genome[: int(rng.integers(1, 40))], 3 * length)[: 3 * length]
    windows = []
    for _ in range(draw(st.integers(1, 12))):
        codes = genome
        for _ in range(draw(st.integers(0, 8))):
            start = int(rng.integers(0, 2 * length))
            deleted, inserted = rng.integers(0, draw(st.sampled_from([2, 20, 300])), 2)
            codes = np.concatenate([codes[:start], rng.choice(genome, inserted), codes[start + deleted :]])
        first = int(rng.integers(0, 3))
        windows.append(np.resize(codes[first:], length))
    return pack(np.array(windows, dtype=np.uint8))


@settings(max_examples=300, deadline=None)
@given(relatives())
def test_any_windows_come_back(windows: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(made_again(windows), windows)
