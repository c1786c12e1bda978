"""The part of a store that a run reads: who trains which gene on what, with everything checked."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from seqstore.errors import InputError
from seqstore.reader import HaplotypeReader
from seqstore.splits import TRAIN, VALIDATION, open_split, split_fingerprint
from seqstore.store import open_store
from trainer.config import FitConfig
from trainer.crops import Crops

logger = logging.getLogger(__name__)

#: With fewer validation people a gene's r says little: the loss decides instead.
PEOPLE_FOR_R = 10


@dataclass(frozen=True)
class Cohort:
    """Genes x individuals as a run sees them.

    ``role`` (gene, individual) int8 is the split; ``expression`` (gene, individual) float32 of one assay,
    NaN = not measured; ``identity`` holds the fingerprints of store and split; ``context`` is in bases, and
    ``ambiguous`` what the model reads for an IUPAC base.
    """

    genes: npt.NDArray[np.object_]
    individuals: npt.NDArray[np.object_]
    role: npt.NDArray[np.int8]
    expression: npt.NDArray[np.float32]
    identity: dict[str, str]
    reader: HaplotypeReader
    context: int
    ambiguous: str

    def crops(self, genes: npt.NDArray[np.integer], margin: int = 0) -> Crops:
        """The distinct centre crops of some genes, with ``margin`` bases more on each side."""
        return Crops(self.reader, self.context, tqdm(genes.tolist(), "reading windows", disable=None), margin)


@dataclass(frozen=True)
class Learners:
    """Who a gene is learnt from: targets (gene, individual), and masks of the people with a target."""

    target: npt.NDArray[np.float32]
    train: npt.NDArray[np.bool_]
    validation: npt.NDArray[np.bool_]

    @property
    def genes(self) -> npt.NDArray[np.int64]:
        """Genes with at least two training people."""
        return np.flatnonzero(self.train.sum(axis=1) >= 2)


def open_cohort(config: FitConfig) -> Cohort:
    """Open what a config names.

    Raises:
        InputError: the store, the split or the assay is not there, or the context does not suit it.
    """
    store = open_store(config.store)
    length = int(store.attrs["length"])
    context = length if config.context is None else config.context
    if context > length:
        raise InputError(f"context: {context} bases, but the windows of {config.store} have {length}")
    config.head.check(config.trunk.bins(context))
    assays = [str(assay) for assay in store["assay"].values]
    if config.assay is None and len(assays) > 1:
        raise InputError(f"assay: {config.store} has {', '.join(assays)}; name one")
    assay = assays[0] if config.assay is None else config.assay
    if assay not in assays:
        raise InputError(f"assay: {config.store} has no {assay!r}; it has {', '.join(assays)}")
    split = open_split(config.store, config.split)
    role = split["split"].values
    if not (role == TRAIN).any():
        raise InputError(f"split: {config.split!r} of {config.store} has no training people")
    return Cohort(
        genes=store["gene"].values.astype(object),
        individuals=store["individual"].values.astype(object),
        role=role,
        expression=store["expression"].sel(assay=assay).values,
        identity={
            "store_fingerprint": str(store.attrs["fingerprint"]),
            "split_fingerprint": split_fingerprint(split),
        },
        reader=HaplotypeReader(config.store),
        context=context,
        ambiguous=config.ambiguous,
    )


def find_learners(cohort: Cohort, config: FitConfig) -> Learners:
    """The targets of a config's objective, and who has one.

    Raises:
        InputError: no gene has enough training people with a target and, in all, the people a batch needs.
    """
    train = _share(cohort.role == TRAIN, config)
    fit = train if config.objective.scaled_by == "train" else np.ones_like(train)
    target = config.objective.build().targets(cohort.expression, fit)
    known = np.isfinite(target)
    learners = Learners(target, train & known, (cohort.role == VALIDATION) & known)
    skipped = int(train.any(axis=1).sum()) - len(learners.genes)
    if len(learners.genes) == 0:
        raise InputError(
            f"split: no gene of {config.split!r} has two training people whose expression varies"
        )
    if skipped:
        logger.warning(
            "%d genes with training people are left out: expression constant or unmeasured", skipped
        )
    n_people = learners.train[learners.genes].sum(axis=1)
    if config.people is not None and config.people > n_people.min():
        gene = cohort.genes[learners.genes[n_people.argmin()]]
        raise InputError(
            f"people: {config.people} in a gene batch, but gene {gene} has {n_people.min()} to train"
        )
    n_validation = learners.validation[learners.genes].sum(axis=1)
    if not (n_validation >= 2).any():
        logger.warning("no gene has two validation people: the last checkpoint counts as the best")
    elif 2 * (n_validation >= PEOPLE_FOR_R).sum() < (n_validation > 0).sum():
        logger.warning(
            "most genes have fewer than %d validation people: their r is not reported (nan), and the loss chooses "
            "the checkpoint",
            PEOPLE_FOR_R,
        )
    return learners


def _share(train: npt.NDArray[np.bool_], config: FitConfig) -> npt.NDArray[np.bool_]:
    """The share of each gene's training people that a config takes; a smaller one is a part of a larger one."""
    if config.train_share == 1:
        return train
    chosen = np.zeros_like(train)
    for gene, of_gene in enumerate(train):
        people = np.random.default_rng([config.seed, 3, gene]).permutation(np.flatnonzero(of_gene))
        chosen[gene, people[: int(len(people) * config.train_share)]] = True
    return chosen
