from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from seqstore.memory import MUCH
from seqstore.nucleotides import encode, pack
from seqstore.onehot import Ambiguous, byte_table, one_hot
from seqstore.threads import Threads
from trainer.onehot import OneHot

Run = Callable[..., torch.Tensor]

BASES = {
    "A": "A",
    "C": "C",
    "G": "G",
    "T": "T",
    "N": "",
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "B": "CGT",
    "V": "ACG",
}
COMPLEMENT = dict(zip("ACGTNRYSBV", "TGCANYRSVB", strict=True))


def packed(*sequences: str) -> torch.Tensor:
    return torch.from_numpy(pack(np.stack([encode(sequence) for sequence in sequences])))


def decoded(sequence: str, ambiguous: str) -> np.ndarray:
    """One-hot of a sequence letter by letter, without anything of the package."""
    rows = []
    for letter in sequence:
        bases = BASES[letter]
        height = {"zero": float(len(bases) == 1), "fraction": 1 / max(len(bases), 1), "multihot": 1.0}[
            ambiguous
        ]
        rows.append([height * (base in bases) for base in "ACGT"])
    return np.array(rows)


@pytest.fixture(params=["compiled", "any device"])
def run(request: pytest.FixtureRequest) -> Callable[..., torch.Tensor]:
    """Calls a OneHot as it is on a CPU, or by the operations that it is made of on other devices."""

    def by_operations(one_hot: OneHot, windows: torch.Tensor, **options: Any) -> torch.Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        start = options.get("start", 0)
        length = options.get("length", 2 * windows.shape[1] - start)
        reverse = options.get("reverse", False)
        return one_hot._unpack(windows, start, length, reverse, one_hot.table.to(dtype))

    return (
        by_operations
        if request.param == "any device"
        else lambda one_hot, *args, **options: one_hot(*args, **options)
    )


@pytest.mark.parametrize("ambiguous", ["zero", "fraction", "multihot"])
def test_one_hot_is_the_sequence_letter_by_letter(run: Run, ambiguous: str) -> None:
    sequences = "ACGTNRYSBV", "TTVBAGCNNA"
    found = run(OneHot(ambiguous), packed(*sequences)).numpy()
    np.testing.assert_allclose(found, [decoded(s, ambiguous) for s in sequences], rtol=1e-6)


def test_the_other_strand_is_the_reverse_complement(run: Run) -> None:
    sequence = "AACGTNRYSBVT"
    other = "".join(COMPLEMENT[letter] for letter in reversed(sequence))
    one_hot = OneHot("multihot")
    assert torch.equal(run(one_hot, packed(sequence), reverse=True), run(one_hot, packed(other)))


def test_every_byte_is_two_bases(run: Run) -> None:
    found = run(OneHot("multihot"), torch.arange(256, dtype=torch.uint8)[:, None]).numpy()
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").reshape(
        256, 2, 4
    )
    assert np.array_equal(found, bits)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("start", range(-13, 14))
@pytest.mark.parametrize("length", [2, 8, 12, 20])
def test_any_stretch_is_shown(run: Run, start: int, length: int, reverse: bool) -> None:
    sequence = "AACGTNRYSBVT"
    shown = ("N" * 13 + sequence + "N" * 33)[13 + start : 13 + start + length]
    if reverse:
        shown = "".join(COMPLEMENT[letter] for letter in reversed(shown))
    found = run(OneHot("multihot"), packed(sequence), start=start, length=length, reverse=reverse)
    np.testing.assert_array_equal(found[0].numpy(), decoded(shown, "multihot"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_is_of_the_type_that_autocast_wants(run: Run, dtype: torch.dtype) -> None:
    one_hot, windows = OneHot(), packed("ACGTNRYSBV")
    with torch.autocast("cpu", dtype=dtype):
        found = run(one_hot, windows, start=1, length=6)
    assert found.dtype == dtype
    assert torch.equal(found.float(), run(one_hot, windows, start=1, length=6))


@pytest.mark.parametrize("ambiguous", ["zero", "fraction", "multihot"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("start", [-3, 0, 1, 4, 5])
@pytest.mark.parametrize("length", [1, 6, 7, 14, 40, 61])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_the_plain_function_shows_odd_lengths_too(
    ambiguous: Ambiguous, start: int, length: int, reverse: bool, dtype: type
) -> None:
    sequence = "AACGTNRYSBVTGGANCTACNNRATTACAGYVA" + "ACCTGTAGGC" * 3 + "N"
    shown = ("NNN" + sequence + "N" * 30)[3 + start : 3 + start + length]
    if reverse:
        shown = "".join(COMPLEMENT[letter] for letter in reversed(shown))
    windows = np.stack([pack(encode(sequence))] * 3)
    found = one_hot(
        windows[:, None], start=start, length=length, reverse=reverse, ambiguous=ambiguous, dtype=dtype
    )
    assert (found.shape, found.dtype) == ((3, 1, length, 4), dtype)
    expected = decoded(shown, ambiguous).astype(dtype)  # of a fraction, a whole number is 0
    np.testing.assert_allclose(found[2, 0], expected, rtol=1e-3 if dtype == np.float16 else 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("start", "length"), [(0, 40_000), (1, 39_998), (-6, 40_000), (3, 39_990)])
@pytest.mark.parametrize("skipped", [0, 1, 16])
def test_what_is_written_past_the_caches_is_the_same(
    dtype: torch.dtype, reverse: bool, start: int, length: int, skipped: int
) -> None:
    """More than a megabyte at once, at addresses of lines of memory and at others."""
    rng = np.random.default_rng(start + length)
    windows = torch.from_numpy(rng.integers(0, 256, (8, 20_000), dtype=np.uint8))
    room = torch.full((8 * length * 4 + skipped + 64,), 7, dtype=dtype)
    out = room[skipped : skipped + 8 * length * 4].view(8, length, 4)
    found = OneHot()(windows, start=start, length=length, reverse=reverse, out=out)
    assert found.nbytes > MUCH
    table = torch.from_numpy(byte_table())
    shown = OneHot._unpack(windows, start, length, reverse, table)
    assert torch.equal(found.float(), shown)
    assert (room[:skipped] == 7).all()
    assert (room[skipped + 8 * length * 4 :] == 7).all()


def test_threads_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqstore.threads.WORTH_A_THREAD", 1)
    windows = torch.randint(0, 256, (37, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    one = OneHot()
    many = OneHot()
    many._threads = Threads(4)
    assert torch.equal(one(windows, start=3, length=60), many(windows, start=3, length=60))


def test_an_unknown_rendering_is_refused() -> None:
    with pytest.raises(ValueError, match="none of zero, fraction, multihot"):
        OneHot("half")


def test_the_table_is_no_weight() -> None:
    assert OneHot().state_dict() == {}


@pytest.mark.parametrize("ambiguous", ["zero", "fraction", "multihot"])
def test_bits_of_bfloat16_are_those_of_torch(ambiguous: str) -> None:
    expected = torch.from_numpy(byte_table(ambiguous)).bfloat16()
    found = torch.from_numpy(byte_table(ambiguous, "bfloat16")).view(torch.bfloat16)
    assert torch.equal(found, expected)
