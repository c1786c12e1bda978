"""`seqstore export`: a store for readers that have no seqstore, and for the scripts of the reference study."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr
from tqdm import tqdm
from zarr.codecs import ZstdCodec

from seqstore.errors import InputError
from seqstore.layout import open_group
from seqstore.locations import is_url, place_of
from seqstore.outputs import check_folder, written_aside
from seqstore.reader import HaplotypeReader
from seqstore.scales import percentiles, z_scores
from seqstore.splits import TEST, TRAIN, VALIDATION, open_split
from seqstore.store import check_store, open_store

logger = logging.getLogger(__name__)

_ROLES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
_SEQUENCE = "haplotype_sequence"
#: Rows of one-hot sequence in memory at once.
_ROWS = 16


def export(
    store: str,
    output: str,
    *,
    stock_codecs: bool = False,
    hdf5: bool = False,
    split: str | None = None,
    role: str | None = None,
    assay: str | None = None,
    unmeasured: bool = False,
) -> None:
    """Write a store in another form: Zarr with stock codecs, or HDF5 as the reference study has it.

    Args:
        store: path of the store
        output: what is written: a folder, or with --hdf5 a file
        stock_codecs: the same store with the windows compressed by zstd alone, which any Zarr v3 library reads
        hdf5: one row a gene and individual: seqs (float16 one-hot), genes, samples, ancestries, Y, Z, P
        split: with --hdf5: only the rows that have a role in this split
        role: with --split: train, validation or test
        assay: with --hdf5: which expression, where the store has several
        unmeasured: with --hdf5: write rows without expression too, whose Y, Z and P are NaN
    """
    if stock_codecs == hdf5:
        raise InputError("export: give one of --stock-codecs and --hdf5")
    if not hdf5 and (split or assay or unmeasured):
        raise InputError(
            "export: --split, --role, --assay and --unmeasured go with --hdf5; a store is exported whole"
        )
    if (role is not None and split is None) or (role is not None and role not in _ROLES):
        raise InputError(f"role: {role} goes with --split, and is one of {', '.join(_ROLES)}")
    check_store(store)
    place, target = place_of(store), place_of(output)
    if is_url(target):
        raise InputError(f"{output}: is a URL; export to this machine, and copy it there")
    if os.path.lexists(target):
        raise InputError(f"{output}: exists; choose another output or remove it")
    if Path(place).resolve() in Path(target).resolve().parents:
        raise InputError(f"{output}: is within the store; choose another output")
    check_folder(Path(target).parent)
    if hdf5:
        _export_hdf5(place, Path(target), _wanted(place, split, role), assay, unmeasured)
    else:
        _export_stock(place, Path(target))
    logger.info("%s: written", output)


def _export_stock(store: str, output: Path) -> None:
    if is_url(store):
        raise InputError(f"{store}: copy the store to this machine first")
    with written_aside(output) as aside:
        shutil.copytree(store, aside, ignore=lambda folder, _: [_SEQUENCE] if folder == store else [])
        source = open_group(store)[_SEQUENCE]
        with zarr.config.set({"array.write_empty_chunks": True}):
            target = zarr.open_group(aside, mode="r+").create_array(
                _SEQUENCE,
                shape=source.shape,
                chunks=source.chunks,
                dtype=source.dtype,
                compressors=(ZstdCodec(level=3, checksum=True),),
                fill_value=0,
                dimension_names=source.metadata.dimension_names,
                attributes=dict(source.attrs),
            )
            for gene in tqdm(range(source.shape[0]), "exporting", disable=None):
                target[gene] = source[gene]


def _wanted(store: str, split: str | None, role: str | None) -> npt.NDArray[np.bool_] | None:
    """The cells (gene, individual) of a split that are wanted; None = all."""
    if split is None:
        return None
    roles = open_split(store, split)["split"].transpose("gene", "individual").values
    wanted: npt.NDArray[np.bool_] = roles > 0 if role is None else roles == _ROLES[role]
    if not wanted.any():
        raise InputError(
            f"split: nobody has the role {role or 'train, validation or test'} in {split!r} of {store}"
        )
    return wanted


def _export_hdf5(
    store: str, output: Path, wanted: npt.NDArray[np.bool_] | None, assay: str | None, unmeasured: bool
) -> None:
    """The layout of the study's construct_h5_dataset.py: rows by gene, and by individual within a gene.

    Y is the expression as it is in the store; Z and P, its z-score and percentile, are of all measured people of the
    gene, as in the study, with those of the test. Without a population, ancestries are empty texts.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(f"export: --hdf5 needs h5py ({error}); pip install seqstore[hdf5]") from error
    ds = open_store(store)
    assays = [str(name) for name in ds["assay"].values]
    if assay is None and len(assays) > 1:
        raise InputError(f"assay: {store} has {', '.join(assays)}; name one")
    if assay is not None and assay not in assays:
        raise InputError(f"assay: {store} has no {assay!r}; it has {', '.join(assays)}")
    expression = ds["expression"].sel(assay=assay or assays[0]).transpose("gene", "individual").values
    known = np.isfinite(expression)
    z, percentile = z_scores(expression, known).astype(np.float32), percentiles(expression, known)
    chosen = np.ones_like(expression, dtype=bool) if wanted is None else wanted
    measured = chosen if unmeasured else chosen & known
    if not measured.any():
        raise InputError(
            f"{store}: expression of none of the {chosen.sum()} rows is measured; write them with --unmeasured"
        )
    cells = np.argwhere(measured)
    reader = HaplotypeReader(store)
    logger.info(
        "%d rows of %d bases, %.1f GB%s",
        *(len(cells), reader.length, len(cells) * 16 * reader.length / 1e9),
        f"; {chosen.sum() - len(cells)} without expression are left out" if chosen.sum() > len(cells) else "",
    )
    population = ds["population"].values if "population" in ds.coords else np.full(len(ds.individual), "")
    text = h5py.string_dtype()
    with written_aside(output) as aside, h5py.File(aside, "w") as file:
        n = len(cells)
        shape = (2, reader.length, 4)
        sequences = file.create_dataset("seqs", (n, *shape), "float16", maxshape=(None, *shape))
        for name, labels in (
            ("genes", ds["gene"].values[cells[:, 0]]),
            ("samples", ds["individual"].values[cells[:, 1]]),
            ("ancestries", population[cells[:, 1]]),
        ):
            file.create_dataset(name, data=[str(label) for label in labels], dtype=text, maxshape=(None,))
        for name, values in (("Y", expression), ("Z", z), ("P", percentile)):
            file.create_dataset(name, data=values[tuple(cells.T)], maxshape=(None,))
        for first in tqdm(range(0, n, _ROWS), "exporting", unit=f"{_ROWS} rows", disable=None):
            rows = cells[first : first + _ROWS]
            sequences[first : first + len(rows)] = reader.one_hot(*rows.T, dtype=np.float16)
