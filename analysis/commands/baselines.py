"""The command ``baselines``."""

from __future__ import annotations

import logging
from pathlib import Path

from analysis.commands.arguments import check_seed, refuse_existing
from seqstore import open_split, open_store, open_variants
from seqstore.errors import InputError
from seqstore.outputs import check_folder
from seqstore.splits import split_fingerprint

log = logging.getLogger(__name__)


def baselines(
    store: str,
    *,
    split: str,
    output: str,
    methods: str = "top1,enet",
    assay: str | None = None,
    maf: float = 0.05,
    length: int | None = None,
    jobs: int = 1,
    seed: int = 0,
) -> None:
    """Fit linear models on the training people of every gene and predict everybody.

    Args:
        store: store to read
        split: name of the split whose training people are fitted on
        output: folder for METHOD.zarr (predictions), METHOD.weights.tsv and METHOD.genes.tsv
        methods: names separated by commas, of top1 and enet
        assay: which expression, where the store has several
        maf: smallest minor allele frequency among a gene's training people
        length: bases of a narrower window round the TSS; default the window as built
        jobs: processes
        seed: seed of the cross-validation folds
    """
    from analysis.baselines import METHODS, fit_baselines
    from analysis.dosage import check_length
    from analysis.expression import expression_of
    from analysis.labels import unknown
    from seqstore.predictions import write_predictions

    check_seed(seed)
    names = list(dict.fromkeys(methods.split(",")))
    for method in names:
        if method not in METHODS:
            raise unknown("method", method, METHODS)
    if not 0 <= maf < 0.5:
        raise InputError(f"--maf {maf}: give a frequency from 0 up to 0.5")
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: give at least 1")
    folder = Path(output)
    for method in names:
        refuse_existing(folder / f"{method}.zarr")
    check_folder(folder)
    dataset, labels = open_store(store), open_split(store, split)
    check_length(length, int(dataset.attrs["length"]))
    expression = expression_of(dataset, assay=assay)
    fitted = fit_baselines(
        expression,
        open_variants(store),
        labels["split"],
        methods=names,
        maf=maf,
        length=length,
        seed=seed,
        jobs=jobs,
    )
    folder.mkdir(parents=True, exist_ok=True)
    n_genes = dataset.sizes["gene"]
    attrs = {
        "split": split,
        "split_fingerprint": split_fingerprint(labels),
        "store_fingerprint": dataset.attrs["fingerprint"],
        "maf": maf,
        "seed": seed,
    }
    for method in names:
        for table, stem in ((fitted.weights, "weights"), (fitted.genes, "genes")):
            rows = table[table["method"] == method].drop(columns="method")
            rows.to_csv(folder / f"{method}.{stem}.tsv", sep="\t", index=False, float_format="%.9g")
        write_predictions(
            folder / f"{method}.zarr",
            fitted.prediction.sel({"method": method}).values,
            gene=fitted.prediction["gene"].values,
            individual=fitted.prediction["individual"].values,
            name=method,
            attrs=attrs | {"length": length or int(dataset.attrs["length"])},
        )
        rows = fitted.genes[fitted.genes["method"] == method]
        constant = int((rows["n_weights"] == 0).sum())
        print(
            f"{method}: {len(rows)} of {n_genes} genes trained, {constant} of them constant; "
            f"{folder / f'{method}.zarr'}"
        )
        stopped = int(rows["note"].str.contains("converge").sum())
        if stopped:
            log.warning("%s: some fits of %d genes did not converge (%s.genes.tsv)", method, stopped, method)
