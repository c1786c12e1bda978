"""The command ``baselines``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analysis.commands.arguments import check_seed, refuse_existing
from seqstore import open_split, open_store, open_variants
from seqstore.errors import InputError
from seqstore.outputs import check_folder, written_aside
from seqstore.splits import split_fingerprint

if TYPE_CHECKING:
    import xarray as xr

    from analysis.linear_models import Baselines

log = logging.getLogger(__name__)

ANCESTRY = "pcs"  # predicts from genotype principal components of all windows, not from a gene's own


def baselines(
    store: str,
    *,
    split: str,
    output: str,
    methods: str | None = None,
    assay: str | None = None,
    maf: float = 0.05,
    length: int | None = None,
    import_fusion: str | None = None,
    weights_per: Literal["standardised", "allele"] = "standardised",
    jobs: int = 1,
    seed: int = 0,
) -> None:
    """Fit linear models on the training people of every gene and predict everybody, or predict with FUSION's weights.

    Args:
        store: store to read
        split: name of the split whose training people are fitted on
        output: folder for METHOD.zarr (predictions), METHOD.weights.tsv and METHOD.genes.tsv
        methods: names separated by commas, of top1, lasso, enet, blup, bslmm and pcs (ancestry alone: genotype
            principal components; predictions only); default top1,enet. With --import-fusion models, default all
        assay: which expression, where the store has several
        maf: smallest minor allele frequency among a gene's training people
        length: bases of a narrower window round the TSS; default the window as built
        import_fusion: folder of weights to predict with instead of fitting: FUSION's GENE.wgt.RDat,
            GENE.MODEL.weights.txt, or NAME.weights.tsv as written here; each model is called fusion_MODEL
        weights_per: what imported weights are the effect of: a standard deviation of dosage among training people
            (FUSION's), or an allele (those written here)
        jobs: processes
        seed: seed of cross-validation folds and Markov chains
    """
    from analysis.ancestry import predict_from_ancestry
    from analysis.baselines import METHODS, fit_baselines, measured_training_people
    from analysis.dosage import check_length
    from analysis.expression import expression_of
    from analysis.fusion import predict_from_fusion
    from analysis.labels import unknown

    check_seed(seed)
    if not 0 <= maf < 0.5:
        raise InputError(f"--maf {maf}: give a frequency from 0 up to 0.5")
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: give at least 1")
    folder = Path(output)
    names = list(dict.fromkeys(methods.split(","))) if methods else []
    if import_fusion is None:
        names = names or ["top1", "enet"]
        for method in names:
            if method not in (*METHODS, ANCESTRY):
                raise unknown("method", method, (*METHODS, ANCESTRY))
            refuse_existing(folder / f"{method}.zarr")
    else:
        if length is not None:
            raise InputError("--length: imported weights are of certain variants; leave it out")
        for path in sorted(folder.glob("fusion_*.zarr")):
            refuse_existing(path)
    check_folder(folder)
    dataset, labels = open_store(store), open_split(store, split)
    check_length(length, int(dataset.attrs["length"]))
    expression, variants = expression_of(dataset, assay=assay), open_variants(store)
    attrs = {
        "split": split,
        "split_fingerprint": split_fingerprint(labels),
        "store_fingerprint": dataset.attrs["fingerprint"],
    }
    if import_fusion is not None:
        fitted = predict_from_fusion(
            import_fusion, expression, variants, labels["split"], models=names or None, per=weights_per
        )
        _write(folder, fitted, attrs | {"weights": import_fusion}, imported=True)
        return
    measured_training_people(expression, variants, labels["split"])  # before anything is written
    attrs |= {"maf": maf, "seed": seed, "length": length or int(dataset.attrs["length"])}
    of_windows = [name for name in names if name != ANCESTRY]
    if of_windows:
        options: dict[str, Any] = {"maf": maf, "length": length, "seed": seed, "jobs": jobs}
        _write(
            folder, fit_baselines(expression, variants, labels["split"], methods=of_windows, **options), attrs
        )
    if ANCESTRY in names:
        predicted = predict_from_ancestry(expression, variants, labels, maf=maf)
        _write_predictions(folder, ANCESTRY, predicted, attrs)
        n_predicted = int(predicted.notnull().any("individual").sum())
        print(f"{ANCESTRY}: {n_predicted} of {len(predicted)} genes trained; {folder / ANCESTRY}.zarr")


def _write(folder: Path, fitted: Baselines, attrs: dict[str, Any], *, imported: bool = False) -> None:
    """Write the tables and predictions of every method, and print how many genes it has."""
    for method in fitted.prediction["method"].values.tolist():
        for table, stem in ((fitted.weights, "weights"), (fitted.genes, "genes")):
            rows = table[table["method"] == method].drop(columns="method")
            with written_aside(folder / f"{method}.{stem}.tsv") as path:
                rows.to_csv(path, sep="\t", index=False, float_format="%.9g")
        _write_predictions(folder, method, fitted.prediction.sel({"method": method}), attrs)
        rows = fitted.genes[fitted.genes["method"] == method]
        trained = rows[rows["n_people"] > 0]
        n_genes, constant = fitted.prediction.sizes["gene"], int((trained["n_weights"] == 0).sum())
        found = (
            f", {trained['n_weights'].sum()} of {trained['n_variants'].sum()} variants found"
            if imported
            else ""
        )
        print(
            f"{method}: {len(trained)} of {n_genes} genes trained, {constant} of them constant{found}; "
            f"{folder / method}.zarr"
        )
        if imported and 2 * trained["n_weights"].sum() < trained["n_variants"].sum():
            log.warning(
                "%s: most variants are not in the store; are positions of another genome build?", method
            )
        stopped = int(rows["note"].str.contains("did not converge").sum())
        if stopped:
            log.warning("%s: did not converge for %d genes (notes in %s.genes.tsv)", method, stopped, method)


def _write_predictions(folder: Path, method: str, prediction: xr.DataArray, attrs: dict[str, Any]) -> None:
    from seqstore.predictions import write_predictions

    genes, people = (prediction[dim].values for dim in ("gene", "individual"))
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(
        folder / f"{method}.zarr", prediction.values, gene=genes, individual=people, name=method, attrs=attrs
    )
