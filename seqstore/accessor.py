"""``ds.seq``: sequences, genotypes and dosages of a store at a prompt, by label.

    ds = seqstore.open_store("cohort.zarr")
    ds.seq.dna(gene="ENSG00000125835", individual="HG00096", haplotype=0)
    ds.seq.onehot(gene=["SNRPB", "NOP56"], individual=ds.population == "FIN")
    ds.seq.dosage("SNRPB")

Genes go by their label, or by their name or id (columns gene_name, gene_id) where only one gene has it. What is given
for a dimension may be a label, a list of labels, a slice of labels, a boolean mask, or nothing, which is all there is.
"""

from __future__ import annotations

import difflib
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from seqstore.dosage import dosage_of
from seqstore.nucleotides import decode, unpack
from seqstore.onehot import Ambiguous, one_hot
from seqstore.store import open_variants

_ABSENT = -1


#: Coordinates that a gene goes by, besides its label.
_OTHER_NAMES = ("gene_name", "gene_id")


@xr.register_dataset_accessor("seq")  # type: ignore[no-untyped-call]
class SequenceAccessor:
    """See the module. ``ds`` is a dataset of `seqstore.open_store`, or a selection of one."""

    def __init__(self, ds: xr.Dataset) -> None:
        if "haplotype_sequence" not in ds or "haplotype_id" not in ds:
            raise TypeError(
                "only datasets of seqstore.open_store, with haplotype_sequence and haplotype_id, have .seq"
            )
        self._ds = ds

    def onehot(
        self,
        gene: Any = None,
        individual: Any = None,
        haplotype: int | None = None,
        *,
        ambiguous: Ambiguous = "zero",
        dtype: npt.DTypeLike = np.float32,
    ) -> xr.DataArray:
        """One-hot windows (gene, individual, haplotype, position, nucleotide), of the + strand.

        Dimensions for which one label is given are left out. ``position`` counts from the TSS base, which is 0.
        A haplotype that does not exist is NaN, and zeros if ``dtype`` has none.

        Args:
            gene: genes
            individual: individuals
            haplotype: 0 or 1; by default both
            ambiguous: what a base of an IUPAC code is: ``zero`` nothing, ``fraction`` a share for each
                nucleotide, ``multihot`` 1 for each
            dtype: of the numbers

        Raises:
            KeyError: there is no such gene or individual; the message names those that are spelled alike.
        """
        chosen = self._chosen(gene, individual, haplotype)
        windows = chosen["haplotype_sequence"]
        values = one_hot(windows.values, ambiguous=ambiguous, dtype=dtype)
        if np.issubdtype(values.dtype, np.floating):
            values[chosen["haplotype_id"].values == _ABSENT] = np.nan
        half = windows.sizes["byte"]
        return xr.DataArray(
            values,
            dims=(*windows.dims[:-1], "position", "nucleotide"),
            coords={
                **{name: at for name, at in windows.coords.items() if "byte" not in at.dims},
                "position": np.arange(-half, half),
                "nucleotide": list("ACGT"),
            },
            name="onehot",
        )

    def dna(self, gene: Any = None, individual: Any = None, haplotype: int | None = None) -> Any:
        """Windows in letters, of the + strand: a str, or an array of them (gene, individual, haplotype).

        Dimensions for which one label is given are left out. A haplotype that does not exist is an empty text.

        Raises:
            KeyError: as `onehot`.
        """
        chosen = self._chosen(gene, individual, haplotype)
        windows, ids = chosen["haplotype_sequence"], chosen["haplotype_id"].values
        rows = windows.values.reshape(-1, windows.sizes["byte"])
        letters = [
            "" if number == _ABSENT else decode(unpack(row))
            for number, row in zip(ids.ravel(), rows, strict=True)
        ]
        if ids.ndim == 0:
            return letters[0]
        texts = np.array(letters, dtype=object).reshape(ids.shape)
        return chosen["haplotype_id"].copy(data=texts).rename("dna")

    def dosage(self, gene: str, *, individual: Any = None, length: int | None = None) -> xr.DataArray:
        """Copies of each ALT allele in a gene's window (individual, variant) float32; see `seqstore.dosage.dosage_of`.

        Args:
            gene: one gene
            individual: individuals
            length: bases of a narrower window round the TSS

        Raises:
            KeyError: as `onehot`.
        """
        dosage = dosage_of(self._variants(), self._gene(gene), length=length)["dosage"]
        people = self._ds["individual"].values
        return dosage.sel(
            individual=people if individual is None else people[self._positions("individual", individual)]
        )

    def variants(self, gene: str) -> xr.Dataset:
        """The records with POS in a gene's window: ``variant_contig``, ``variant_position``, ``call_genotype``, ….

        Raises:
            KeyError: as `onehot`.
        """
        label = self._gene(gene)
        variants = self._variants()
        number = variants.indexes["gene"].get_loc(label)
        rows = slice(*(int(variants[f"gene_variant_{end}"][number]) for end in ("start", "stop")))
        of_records = variants.drop_dims("gene")
        return of_records.isel(variant=rows).sel(individual=self._ds["individual"].values)

    def _variants(self) -> xr.Dataset:
        source = self._ds.encoding.get("source")
        if source is None:
            raise ValueError("this dataset does not know its store; open it with seqstore.open_store")
        return open_variants(source)

    def _gene(self, gene: str) -> str:
        if "gene" not in self._ds.dims:
            known = {str(self._ds[name].values) for name in ("gene", *_OTHER_NAMES) if name in self._ds}
            if gene not in known:
                raise KeyError(f"gene: this dataset has {self._ds['gene'].values} only, not {gene}")
            return str(self._ds["gene"].values)
        position = self._positions("gene", gene)
        if not isinstance(position, int):
            raise TypeError("gene: give the label of one gene")
        return str(self._ds["gene"].values[position])

    def _chosen(self, gene: Any, individual: Any, haplotype: int | None) -> xr.Dataset:
        wanted = {"gene": gene, "individual": individual}
        at = {name: self._positions(name, labels) for name, labels in wanted.items() if labels is not None}
        if haplotype is not None:
            if haplotype not in (0, 1):
                raise KeyError(f"haplotype: there is no {haplotype}; give 0 or 1")
            at["haplotype"] = haplotype
        if self._ds.sizes["byte"] != self._ds.attrs["length"] // 2:
            raise ValueError("byte: this dataset has a part of the windows only; take the whole dataset")
        # By lists: with several numbers xarray cannot index what is transposed and not loaded.
        alone = [name for name, position in at.items() if isinstance(position, int)]
        listed = {name: [position] if name in alone else position for name, position in at.items()}
        chosen = self._ds[["haplotype_sequence", "haplotype_id"]].isel(listed).squeeze(alone)
        return chosen.transpose("gene", "individual", "haplotype", "byte", missing_dims="ignore")

    def _positions(self, dimension: str, wanted: Any) -> Any:
        """Where labels are along a dimension: an int, a slice or an array."""
        if dimension not in self._ds.dims:
            label = str(self._ds[dimension].values)
            raise ValueError(
                f"{dimension}: this dataset has {label} only; leave it out, or take the whole dataset"
            )
        index = self._ds.indexes[dimension]
        if isinstance(wanted, slice):
            first, last = (self._known(dimension, end) for end in (wanted.start, wanted.stop))
            return index.slice_indexer(first, last, wanted.step)
        if isinstance(wanted, str):
            return int(cast("int", index.get_loc(self._known(dimension, wanted))))
        labels = np.asarray(wanted)
        if labels.dtype == bool:
            if labels.shape != (len(index),):
                raise ValueError(f"{dimension}: a mask of shape {labels.shape} for {len(index)}")
            if isinstance(wanted, xr.DataArray) and not wanted.indexes.get(dimension, index).equals(index):
                raise ValueError(
                    f"{dimension}: the mask is of another selection or order; make it of this dataset"
                )
            return np.flatnonzero(labels)
        if labels.ndim == 0:
            return int(cast("int", index.get_loc(self._known(dimension, str(labels)))))
        return index.get_indexer(pd.Index([self._known(dimension, str(label)) for label in labels.tolist()]))

    def _known(self, dimension: str, label: Any) -> Any:
        """A label of the dimension's index: the label itself, or that of the only gene of this name."""
        index = self._ds.indexes[dimension]
        if label is None or label in index:
            return label
        others = [name for name in _OTHER_NAMES if dimension == "gene" and name in self._ds]
        names = [str(one) for name in others for one in self._ds[name].values]
        at = np.flatnonzero(np.array(names, dtype=object) == label) % len(index)
        at = np.unique(at)
        if len(at) == 1:
            return index[at[0]]
        if len(at):
            ids = ", ".join(str(one) for one in index[at])
            raise KeyError(f"gene: {len(at)} genes are named {label}: {ids}; give the id of one")
        known = {str(one).lower(): str(one) for one in (*index, *names)}
        close = difflib.get_close_matches(str(label).lower(), known, n=3, cutoff=0.5)
        near = [known[one] for one in close]
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise KeyError(f"{dimension}: there is no {label} among {len(index)}{hint}")
