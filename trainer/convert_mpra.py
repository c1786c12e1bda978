"""Make MPRA variant effects ready for training: ``python trainer/convert_mpra.py OUTPUT.zarr --table TABLE``.

Or from a table or several for each cell type: ``--cells K562=a.tsv K562=b.tsv HepG2=c.tsv.gz``.
"""

from __future__ import annotations

import logging
from pathlib import Path

import zarr

from seqstore.commands import run as run_command
from seqstore.errors import InputError
from seqstore.layout import encoding_of
from seqstore.outputs import check_folder, written_aside
from trainer.mpra_tables import as_dataset, read_cells, read_effects

logger = logging.getLogger("trainer.convert_mpra")


def convert_mpra(
    output: str,
    *,
    table: str | None = None,
    effects: list[str] | None = None,
    cells: list[str] | None = None,
    seed: int = 97,
    validation: float = 0.05,
    test: float = 0.05,
    as_given: bool = False,
    pad: bool = False,
) -> None:
    """Convert tables of variant effects into a Zarr group that training reads, with a split of the variants.

    Args:
        output: Zarr group to write
        table: one table: ref_sequence, alt_sequence and a column of effects for each cell type
        effects: with --table: its columns of effects
        cells: tables of one cell type each: CELL=TABLE with ref_ID, alt_ID, ref_seq, alt_seq, Log2Skew
        seed: of the split
        validation: share of the variants for validation
        test: share of the variants for testing
        as_given: leave the effects as they are; by default they become z-scores of each cell type
        pad: lengthen shorter sequences to the longest with N

    Raises:
        InputError: a table cannot be used, or something stands at ``output``.
    """
    target = Path(output)
    if target.exists():
        raise InputError(f"{output}: exists; choose another output or remove it")
    check_folder(target.parent)
    if (table is None) == (cells is None) or (effects is not None and table is None):
        raise InputError("convert_mpra: give one of --table (with or without --effects) and --cells")
    of_cell = _tables_of_cells(cells or [])
    found = read_cells(of_cell, pad=pad) if table is None else read_effects(table, effects, pad=pad)
    dataset = as_dataset(found, seed=seed, validation=validation, test=test, zscore=not as_given, pad=pad)
    paths = [Path(table)] if table is not None else [Path(p) for of in of_cell.values() for p in of]
    dataset.attrs["source"] = [{"path": str(path), "size": path.stat().st_size} for path in paths]
    with written_aside(target) as aside, zarr.config.set({"array.write_empty_chunks": True}):
        dataset.to_zarr(aside, zarr_format=3, consolidated=False, encoding=encoding_of(dataset))
    known = dataset["effect"].notnull().sum("variant").values.tolist()
    logger.info(
        "%s: %d variants of %d bases; with an effect in %s",
        *(output, dataset.sizes["variant"], dataset.attrs["length"]),
        ", ".join(f"{cell} {n}" for cell, n in zip(dataset["cell"].values, known, strict=True)),
    )


def _tables_of_cells(named: list[str]) -> dict[str, list[str]]:
    """The tables of each cell type, of CELL=TABLE."""
    tables: dict[str, list[str]] = {}
    for one in named:
        cell, equals, path = one.partition("=")
        if not (cell and equals and path):
            raise InputError(f"cells: {one!r} is not CELL=TABLE")
        tables.setdefault(cell, []).append(path)
    return tables


if __name__ == "__main__":
    run_command("convert_mpra.py", convert_mpra)
