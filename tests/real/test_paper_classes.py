"""The study's gene classes, out of its own gene list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analysis.splits import classes_by_share

GENES = Path(__file__).parents[2].parent / "shared/real/paper/gene_list.csv.gz"


@pytest.mark.skipif(not GENES.exists(), reason="needs ../shared/real")
def test_classes_of_the_study() -> None:
    contigs = pd.read_csv(GENES, header=None, dtype=str)[1].to_numpy(dtype=object)
    classes = classes_by_share(xr.Dataset(coords={"contig": ("gene", contigs)}), population=True)
    chromosomes = {
        gene_class: sorted(int(c) for c in set(contigs[np.array(classes) == gene_class]))
        for gene_class in ("random_split", "population_split", "unseen")
    }
    assert chromosomes == {
        "random_split": [1, 6, 11, 17, 19, 21],
        "population_split": [2, 3, 4, 5, 7, 9, 10, 12, 13],
        "unseen": [8, 14, 15, 16, 18, 20, 22],
    }
    assert Counter(classes) == {"random_split": 1302, "population_split": 1287, "unseen": 670}
