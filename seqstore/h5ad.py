"""AnnData files: the matrix X of an ``.h5ad``, individuals x genes.

Read with h5py, by AnnData's documented layout on disk, because the package anndata ties down pandas.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqstore.errors import InputError


def read_h5ad(path: str | Path) -> pd.DataFrame:
    """Read X of an AnnData file as genes x individuals: obs are the individuals, var the genes.

    Raises:
        InputError: h5py is not installed, or the file is none that AnnData 0.8 or later writes.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f'{path}: reading .h5ad needs h5py; pip install "seqstore[h5ad]"') from None
    if not Path(path).is_file():
        raise InputError(f"{path}: no such AnnData file")
    try:
        with h5py.File(path, "r") as file:
            values = _matrix(file["X"])
            return pd.DataFrame(values.T, index=_labels(file["var"]), columns=_labels(file["obs"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as an AnnData file with X, obs and var ({reason})"
        ) from error


def _matrix(stored: Any) -> np.ndarray:
    """X, dense or sparse."""
    kind = stored.attrs["encoding-type"]
    if kind == "array":
        return np.asarray(stored[()])
    import scipy.sparse

    sparse = {"csr_matrix": scipy.sparse.csr_matrix, "csc_matrix": scipy.sparse.csc_matrix}.get(kind)
    if sparse is None:
        raise ValueError(f"X is stored as {kind}")
    parts = tuple(stored[name][()] for name in ("data", "indices", "indptr"))
    matrix = sparse(parts, shape=tuple(stored.attrs["shape"]))
    matrix.check_format(full_check=True)  # an index out of range would be written to, whatever is there
    return np.asarray(matrix.toarray())


def _labels(frame: Any) -> list[str]:
    """The index of obs or var."""
    index = frame[frame.attrs["_index"]]
    index = index["values"] if index.attrs["encoding-type"] == "nullable-string-array" else index
    return [str(label) for label in index.asstr()[()]]
