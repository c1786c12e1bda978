"""Which variants of a gene's window its training people show, and which only its test people have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from analysis.labels import labels_of
from seqstore.dosage import dosage_of
from seqstore.splits import TEST, TRAIN, UNUSED, VALIDATION

GENE_COLUMNS = [
    "gene", "gene_class", "n_train", "n_validation", "n_test", "n_variants", "seen_in_train", "only_in_validation",
    "only_in_test", "percent_seen_in_train", "percent_only_in_test", "unseen_alleles", "common_in_train",
]  # fmt: skip
VARIANT_COLUMNS = [
    "gene", "variant_id", "contig", "position", "ref", "alt", "seen_in", "alt_frequency_train", "maf_train",
    "alt_frequency_test", "unseen_alleles",
]  # fmt: skip
_ROLES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def variant_census(
    variants: xr.Dataset, split: xr.DataArray, gene: str, *, length: int | None = None
) -> pd.DataFrame:
    """The variants of one gene that anybody of its split carries: ``VARIANT_COLUMNS``, a row an ALT allele.

    Frequencies are of the ALT allele among the people whose call is known (NaN = nobody). ``seen_in`` names who
    carries it: train, validation and test, joined by +. ``unseen_alleles`` (0 to 2) are those, ALT or not, that test
    people carry and no training person does.

    Args:
        variants: the store's variants.
        split: (gene, individual) of a split.
        gene: the gene's label.
        length: bases of a narrower window round the TSS; default the window as built.
    """
    window = dosage_of(variants, gene, length=length)
    roles = split.sel(gene=gene).values
    dosage = window["dosage"].values[roles != UNUSED]
    roles = roles[roles != UNUSED]
    known = np.isfinite(dosage)
    called, carried, lacking, frequency = {}, {}, {}, {}
    for name, role in _ROLES.items():
        of = roles == role
        called[name] = known[of].sum(axis=0)
        copies = np.where(known[of], dosage[of], 0.0).sum(axis=0)
        carried[name] = copies > 0
        lacking[name] = copies < 2 * called[name]  # somebody has another allele
        frequency[name] = np.where(called[name] > 0, copies / np.maximum(2 * called[name], 1), np.nan)
    unseen = (carried["test"] & ~carried["train"]).astype(int) + (lacking["test"] & ~lacking["train"]).astype(
        int
    )
    table = pd.DataFrame(
        {
            "gene": gene,
            **{name: window[name].values for name in ("variant_id", "contig", "position", "ref", "alt")},
            "seen_in": ["+".join(n for n in _ROLES if carried[n][i]) for i in range(len(unseen))],
            "alt_frequency_train": frequency["train"],
            "maf_train": np.minimum(frequency["train"], 1 - frequency["train"]),
            "alt_frequency_test": frequency["test"],
            "unseen_alleles": unseen,
        }
    )
    return table.loc[table["seen_in"] != "", VARIANT_COLUMNS].reset_index(drop=True)


def census(
    variants: xr.Dataset, split: xr.Dataset, *, maf: float = 0.05, length: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count the variants of every gene that is used in a split.

    Args:
        variants: the store's variants.
        split: a split of the store.
        maf: smallest minor allele frequency among training people of ``common_in_train``.
        length: bases of a narrower window round the TSS; default the window as built.

    Returns:
        ``GENE_COLUMNS``, a row a gene, and ``VARIANT_COLUMNS`` of all of them. ``n_variants`` are the ALT alleles that
        anybody of the gene's people carries; ``only_in_test`` those of test people alone (in the study's table: "only
        seen during testing"); ``unseen_alleles`` also counts what test and validation people share, and where every
        training person has the ALT allele alone, the other one.
    """
    genes, classes = labels_of(split, "gene"), labels_of(split, "gene_class")
    roles = split["split"].transpose("gene", "individual").load()
    rows, tables = [], [pd.DataFrame(columns=VARIANT_COLUMNS)]
    used = np.flatnonzero((roles.values != UNUSED).any(axis=1)).tolist()
    for number in tqdm(used, desc="genes", unit="gene", disable=None):
        found = variant_census(variants, roles, genes[number], length=length)
        tables.append(found)
        people = [int((roles.values[number] == role).sum()) for role in _ROLES.values()]
        n, where = len(found), found["seen_in"]
        trained, tested = int(where.str.startswith("train").sum()), int((where == "test").sum())
        percent = (100 * trained / n, 100 * tested / n) if n else (np.nan, np.nan)
        common = int((found["maf_train"] >= maf).sum())
        rows.append(
            (
                genes[number], classes[number], *people, n, trained, int((where == "validation").sum()), tested,
                *percent, int(found["unseen_alleles"].sum()), common,
            )
        )  # fmt: skip
    tables = [table for table in tables if len(table)] or tables[:1]
    return pd.DataFrame(rows, columns=GENE_COLUMNS), pd.concat(tables, ignore_index=True)
