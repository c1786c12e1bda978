"""The arrays of a finished store, chunk by chunk: is every one there, and can it be decoded?

Zarr reads a chunk that is not there as the fill value, without a word; so the files are counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from tqdm import tqdm
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from seqstore.codec import WindowChunk, WindowCodec
from seqstore.errors import CorruptChunkError, InputError
from seqstore.findings import Findings
from seqstore.layout import open_group

SEQUENCE = "haplotype_sequence"
COUNTS = ("variants_applied", "variants_skipped", "genotypes_missing")
ROWS_OF_GENE = tuple(f"gene_{what}_{end}" for what in ("variant", "record") for end in ("start", "stop"))
#: The arrays that every store has.
ARRAYS = (
    *(SEQUENCE, "haplotype_id", *COUNTS, "reference_sequence", "expression", "assay", "individual", "built"),
    *("gene", "gene_name", "contig", "tss", "strand", "window_start", "reference_contig", "genotype_contig"),
    *("covered", "reach_start", "reach_stop", "tss_deleted"),
    *(f"variants/{name}" for name in (*ROWS_OF_GENE, "variant_contig", "variant_position", "variant_id")),
    *(f"variants/{name}" for name in ("variant_allele", "call_genotype", "call_skipped", "built")),
)


class StoreArrays:
    """The arrays of a finished store, and which of them can be read.

    ``of`` maps each array's path in the store to the array; ``broken`` are those that others cannot be compared
    with: a chunk is missing or cannot be decoded, or what it says of the others is wrong. Of `SEQUENCE` that may
    be a few people's windows, which `windows_of_gene` tells.
    """

    def __init__(self, path: str | Path, attributes: dict[str, Any]) -> None:
        self.path, self.attributes = path, attributes
        self.group: Any = open_group(str(path))
        self.of: dict[str, Any] = {}
        self.broken: set[str] = set()
        self._whole: dict[str, npt.NDArray[Any]] = {}
        self._block: dict[str, tuple[int, npt.NDArray[Any]]] = {}

    def can_read(self, *names: str) -> bool:
        """Whether all of these arrays can be relied on."""
        return all(name in self.of and name not in self.broken for name in names)

    def read(self, name: str) -> npt.NDArray[Any]:
        """All of a small array."""
        if name not in self._whole:
            self._whole[name] = np.asarray(self.of[name][...])
        return self._whole[name]

    def of_gene(self, name: str, gene: int) -> npt.NDArray[Any]:
        """One gene's part of an array with a few genes a chunk; those beside it stay at hand."""
        size = self.of[name].chunks[0]
        first = gene // size * size
        if name not in self._block or self._block[name][0] != first:
            self._block[name] = first, np.asarray(self.of[name][first : first + size])
        part: npt.NDArray[Any] = self._block[name][1][gene - first]
        return part

    @cached_property
    def genes(self) -> list[str]:
        """Labels of the genes; their numbers where these cannot be read."""
        return self._labels("gene", 0)

    @cached_property
    def individuals(self) -> list[str]:
        """Labels of the individuals; their numbers where these cannot be read."""
        return self._labels("individual", 1)

    def rows(self, gene: int, what: str) -> slice:
        """The rows of ``variants`` that are a gene's ``variant`` or ``record`` rows."""
        start, stop = (int(self.read(f"variants/gene_{what}_{end}")[gene]) for end in ("start", "stop"))
        return slice(start, stop)

    def windows_of_gene(self, gene: int, findings: Findings) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
        """The number of each individual whose windows (2, bytes) of a gene can be decoded, and these."""
        array, label = self.of[SEQUENCE], self.genes[gene]
        n_individuals, block = array.shape[1], array.chunks[1]
        for number, first in enumerate(range(0, n_individuals, block)):
            key = f"{SEQUENCE}/{array.metadata.encode_chunk_key((gene, number, 0, 0))}"
            try:
                windows = self._windows_of_chunk(array, gene, number)
            except Exception as error:  # CorruptChunkError, and whatever stock codecs raise
                findings.differ(SEQUENCE, f"chunk {key} cannot be decoded ({error})", gene=label)
                continue
            if windows is None:
                continue  # `check_arrays` names it
            for row, pair in enumerate(windows):
                individual = first + row
                if individual < n_individuals:
                    yield individual, pair
                elif pair.any():
                    findings.differ(SEQUENCE, f"chunk {key}: row {row} is padding but not empty", gene=label)

    def _windows_of_chunk(self, array: Any, gene: int, number: int) -> npt.NDArray[np.uint8] | None:
        """The windows (individual, 2, bytes) of a chunk, padding too; None if it is missing."""
        _, block, ploidy, n_bytes = array.chunks
        place = array.store_path / array.metadata.encode_chunk_key((gene, number, 0, 0))
        stored = sync(place.get(default_buffer_prototype()))
        if stored is None:
            return None
        if not isinstance(array.serializer, WindowCodec):  # exported with stock codecs
            windows: npt.NDArray[np.uint8] = array.get_block_selection((gene, number, 0, 0))[0]
            return windows
        chunk = WindowChunk(stored.to_bytes())
        if (chunk.n_rows, chunk.windows_a_row, chunk.window_bytes) != (block, ploidy, n_bytes):
            raise CorruptChunkError(
                f"it has {chunk.n_rows} rows of {chunk.windows_a_row} x {chunk.window_bytes} bytes"
            )
        return chunk.decode(np.arange(block))

    def _labels(self, name: str, dimension: int) -> list[str]:
        if self.can_read(name):
            return [str(label) for label in self.read(name)]
        n = self.of[SEQUENCE].shape[dimension] if SEQUENCE in self.of else 0
        return [f"number {number}" for number in range(n)]


def refuse_damaged(place: str, attributes: dict[str, Any]) -> None:
    """Refuse a store of which an array or a chunk is missing or cannot be decoded (those of windows: is missing).

    Raises:
        InputError: one is.
    """
    findings = Findings()
    check_arrays(StoreArrays(place, attributes), findings)
    if findings.differences:
        raise InputError(f"{place}/{findings.differences[0]}; see all of it with: seqstore verify {place}")


def check_arrays(arrays: StoreArrays, findings: Findings) -> None:
    """Open every array, and decode every chunk but those of windows (`StoreArrays.windows_of_gene`)."""
    keys = set(_keys(arrays.group))
    _open_arrays(arrays, keys, findings)
    expected: set[str] = set()
    for name, array in arrays.of.items():
        chunks = {f"{name}/{array.metadata.encode_chunk_key(chunk)}" for chunk in _grid(array)}
        for key in sorted(chunks - keys):
            findings.differ(name, f"chunk {key} is missing")
            if name != SEQUENCE:
                arrays.broken.add(name)
        expected |= chunks
    for key in sorted(keys - expected):
        if _is_of_build(key):
            findings.differ(key.split("/")[0], f"{key} was left behind by a build; remove it")
        elif "/c/" in key and key.split("/c/")[0] in arrays.of:
            findings.differ(key.split("/c/")[0], f"{key} is no chunk of it; remove it")
    n_decoded = 0
    for name in tqdm(arrays.of, desc="chunks", disable=None):
        if name != SEQUENCE:
            n_decoded += _decode_chunks(arrays, name, findings)
    findings.compared("chunk files", len(expected), f"the list of what {len(arrays.of)} arrays need")
    findings.compared("chunks of arrays other than windows", n_decoded, "their checksums, and decoded")
    bare = [name for name in arrays.of if name != SEQUENCE and not _has_checksums(arrays.of[name])]
    if bare:
        findings.leave_out(f"checksums of {len(bare)} arrays ({bare[0]}, …): their codec has none")
    _check_shapes(arrays, findings)


def _open_arrays(arrays: StoreArrays, keys: set[str], findings: Findings) -> None:
    known = {*ARRAYS, *arrays.attributes["coordinates"].split()}  # others are not of a build
    for key in sorted(keys):
        name, _, file = key.rpartition("/")
        is_known = name in known or name.startswith(("variants/", "splits/"))
        if file != "zarr.json" or not is_known or _is_of_build(key):
            continue
        try:
            node = arrays.group[name]
        except Exception as error:  # whatever JSON and zarr raise
            findings.differ(name, f"its zarr.json cannot be read ({error})")
            continue
        if isinstance(node, zarr.Array):
            arrays.of[name] = node
    for name in ARRAYS:
        if name not in arrays.of and not findings.n_of[name]:
            findings.differ(name, "is missing")


def _is_of_build(key: str) -> bool:
    """Whether a file is one that a build only needs until it is finished."""
    return ".partial" in key or key.startswith("spool/")


def _keys(group: Any) -> list[str]:
    """Every file of a store, by its path in it."""
    store, prefix = group.store_path.store, group.store_path.path
    prefix = f"{prefix}/" if prefix else ""

    async def listed() -> list[str]:
        return [key async for key in store.list_prefix(prefix)]

    return [key.removeprefix(prefix) for key in sync(listed())]


def _grid(array: Any) -> Iterator[tuple[int, ...]]:
    """The numbers of an array's chunks."""
    n = (-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True))
    return itertools.product(*map(range, n))


def _has_checksums(array: Any) -> bool:
    """Whether a codec of an array notices changed bytes."""
    return any(getattr(codec, "checksum", False) for codec in array.compressors)


def _decode_chunks(arrays: StoreArrays, name: str, findings: Findings) -> int:
    """Decode every chunk of an array with its own codecs; returns their number."""
    array, n = arrays.of[name], 0
    for chunk in _grid(array):
        try:
            _ = array.get_block_selection(chunk)
        except Exception as error:  # whatever zarr and its codecs raise
            key = array.metadata.encode_chunk_key(chunk)
            findings.differ(name, f"chunk {name}/{key} cannot be decoded ({error})")
            arrays.broken.add(name)
        n += 1
    return n


def _check_shapes(arrays: StoreArrays, findings: Findings) -> None:
    """Compare the sizes of all arrays along each dimension."""
    if SEQUENCE not in arrays.of:
        return
    sizes = dict(zip(("gene", "individual", "haplotype", "byte"), arrays.of[SEQUENCE].shape, strict=True))
    if sizes["byte"] != arrays.attributes["length"] // 2:
        findings.differ(
            SEQUENCE, f"has windows of {sizes['byte']} bytes, but the length is {arrays.attributes['length']}"
        )
    for name, array in arrays.of.items():
        for dimension, size in zip(array.metadata.dimension_names or (), array.shape, strict=True):
            known = sizes.setdefault(dimension, size)
            if known != size:
                findings.differ(name, f"has {size} along {dimension}, where other arrays have {known}")
                arrays.broken.add(name)
