"""Linear models of genes, and the tables in which they are handed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from analysis.labels import labels_of

FloatArray = npt.NDArray[np.float64]

WEIGHT_COLUMNS = ["method", "gene", "variant_id", "contig", "position", "ref", "alt", "weight"]
GENE_COLUMNS = ["method", "gene", "n_people", "n_variants", "n_weights", "intercept", "note"]


@dataclass(frozen=True)
class Model:
    """A linear model of one gene: expression = intercept + dosage @ weights."""

    weights: FloatArray  # (variant,), per ALT allele
    intercept: float
    n_people: int  # whom it was fitted on
    n_variants: int  # that could be chosen
    note: str = ""

    @property
    def n_weights(self) -> int:
        """How many weights are not 0."""
        return int(np.count_nonzero(self.weights))


@dataclass(frozen=True)
class Baselines:
    """Linear models of the genes of a store, and what they predict for everybody."""

    prediction: xr.DataArray  # (method, gene, individual) float32, NaN where the gene has no training people
    weights: pd.DataFrame  # one row a non-zero weight
    genes: pd.DataFrame  # one row a method and gene: people, variants, intercept, and why it is constant


class Collected:
    """Models of one gene after the other, in any order, that become `Baselines`."""

    def __init__(self, methods: Sequence[str], expression: xr.DataArray) -> None:
        self._genes = labels_of(expression, "gene")
        self._coords = {
            "method": list(methods),
            "gene": self._genes,
            "individual": labels_of(expression, "individual"),
        }
        shape = [len(labels) for labels in self._coords.values()]
        self._prediction = np.full(shape, np.nan, dtype=np.float32)
        self._weights: dict[int, pd.DataFrame] = {}
        self._rows: dict[int, list[tuple[Any, ...]]] = {}

    def add(self, number: int, window: xr.Dataset, models: dict[str, Model], predicted: FloatArray) -> None:
        """Take the models of gene ``number`` by method, and their predictions (method, individual).

        ``window`` has the coordinates of `seqstore.dosage.dosage_of`.
        """
        self._prediction[:, number] = predicted
        gene = self._genes[number]
        self._rows[number] = [
            (method, gene, m.n_people, m.n_variants, m.n_weights, m.intercept, m.note)
            for method, m in models.items()
        ]
        chosen = [np.flatnonzero(model.weights) for model in models.values()]
        variant = np.concatenate(chosen)
        if len(variant):
            columns = {
                "method": np.repeat(np.array(list(models), dtype=object), [len(one) for one in chosen]),
                "gene": gene,
                **{name: window[name].values[variant] for name in WEIGHT_COLUMNS[2:-1]},
                "weight": np.concatenate(
                    [m.weights[one] for m, one in zip(models.values(), chosen, strict=True)]
                ),
            }
            self._weights[number] = pd.DataFrame(columns)

    def leave_out(self, number: int, note: str) -> None:
        """Say why gene ``number``, which has training people, is not predicted."""
        methods = self._coords["method"]
        self._rows[number] = [(name, self._genes[number], 0, 0, 0, np.nan, note) for name in methods]

    def baselines(self) -> Baselines:
        """All that was collected, in the order of the genes."""
        weights = [self._weights[number] for number in sorted(self._weights)]
        return Baselines(
            prediction=xr.DataArray(
                self._prediction, dims=("method", "gene", "individual"), coords=self._coords
            ),
            weights=pd.concat(weights, ignore_index=True)
            if weights
            else pd.DataFrame(columns=WEIGHT_COLUMNS),
            genes=pd.DataFrame(
                [row for number in sorted(self._rows) for row in self._rows[number]], columns=GENE_COLUMNS
            ),
        )
