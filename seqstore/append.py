"""``seqstore append``: a finished store, and the genes or the people that a config has and the store has not.

A store of all of them is built beside the one that there is, like any other but for what is taken over from it
(`seqstore.earlier`), and then put in its place (`seqstore.swap`). Until then nothing of the old store is touched;
killed at any moment and started again it goes on.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import zarr

from seqstore.additions import plan_with_additions
from seqstore.build import check_same_build, fill_store, what_stands
from seqstore.claim import Claim, claimed
from seqstore.codec import WindowCodec
from seqstore.config import BuildConfig
from seqstore.earlier import EarlierStore
from seqstore.errors import InputError
from seqstore.layout import RESERVED, attributes_of, identity_of_build
from seqstore.locations import check_writable, failures_named, is_url, place_of
from seqstore.plan import Plan
from seqstore.splits import copy_splits
from seqstore.store import check_store
from seqstore.store_arrays import refuse_damaged
from seqstore.swap import beside, check_replaceable, remove_replaced, swap

logger = logging.getLogger(__name__)

#: Keys of a config that say which genes and people there are, and may be others than the store's.
_OF_INPUTS = (
    *("genotypes", "reference", "genes", "gene_types", "measured_genes_only"),
    *("expression", "samples", "sample_map"),
)


def append(config: BuildConfig) -> None:
    """Add the genes or the people of ``config`` that the store at ``config.store`` does not have.

    What the store has keeps its place, its windows and their ids, its expression and its splits, in which
    what is added is not used. The result holds what a build of all of them would.

    Raises:
        InputError: there is no finished store, an input cannot be used, there are both new genes and new
            people, or something of what the store has would have to change.
    """
    place = place_of(config.store)
    if is_url(place):
        raise InputError(
            f"{place}: is at a URL, where a store cannot be replaced in one step; copy it to a disk, append there, "
            "and copy it back"
        )
    with failures_named(place):
        check_store(place)
        with claimed(place) as claim:
            _append(config, place, claim)


def _append(config: BuildConfig, place: str, claim: Claim) -> None:
    attributes = check_store(place)
    check_replaceable(place)
    remove_replaced(place)
    _check_policies(config, attributes)
    _check_contents(place, attributes)
    refuse_damaged(place, attributes)
    plan = plan_with_additions(dataclasses.replace(config, store=beside(place)), place)
    earlier = _what_grows(place, plan)
    _check_inputs(plan, attributes, earlier)
    if earlier is None:
        logger.info("%s: has every gene and individual of these inputs", place)
        return
    states = [*attributes.get("earlier", []), _state(attributes, earlier)]
    plan = dataclasses.replace(plan, earlier=states)
    status = _status_beside(plan, attributes)
    fill_store(plan.config, status, plan, earlier)
    claim.check()
    copy_splits(place, beside(place))
    swap(place)
    n_added = len(plan.genes) - earlier.n_genes + len(plan.individuals) - earlier.n_individuals
    logger.info("%s: complete, with %d more %s", place, n_added, earlier.grows_by)


def _check_policies(config: BuildConfig, attributes: Mapping[str, Any]) -> None:
    """Refuse keys that say how windows are made, if they are others than the store's."""
    was, now = attributes["config"], identity_of_build(config, [])["config"]
    for key in now:
        if key not in _OF_INPUTS and key in was and now[key] != was[key]:
            raise InputError(
                f"{key}: {now[key]!r}, but the store was built with {was[key]!r}; append with the same, or build "
                "another store"
            )


def _check_contents(place: str, attributes: Mapping[str, Any]) -> None:
    """Refuse a store with arrays or groups that no build makes: they would be gone."""
    group: Any = zarr.open_group(place, mode="r")
    if not isinstance(group["haplotype_sequence"].serializer, WindowCodec):
        raise InputError(f"{place}: was exported with stock codecs; append to the store itself")
    known = {*RESERVED, *attributes["coordinates"].split()}
    if strange := sorted(set(group.keys()) - known):
        raise InputError(
            f"{place}/{strange[0]}: is nothing that seqstore knows, and would be lost; move it elsewhere"
        )


def _what_grows(place: str, plan: Plan) -> EarlierStore | None:
    """The store that is appended to, and whether by genes or by individuals; None if there is nothing new."""
    group: Any = zarr.open_group(place, mode="r")
    n_genes, n_individuals = (group[name].shape[0] for name in ("gene", "individual"))
    genes, people = plan.genes["gene"][n_genes:], plan.individuals.index[n_individuals:]
    if len(genes) and len(people):
        raise InputError(
            f"{place}: lacks both {len(genes)} genes ({genes.iloc[0]}, …) and {len(people)} individuals "
            f"({people[0]}, …) of these inputs; append one after the other (genes: or samples: that leaves the "
            "others out)"
        )
    if not len(genes) and not len(people):
        return None
    return EarlierStore(place, n_genes, n_individuals, "genes" if len(genes) else "individuals")


def _check_inputs(plan: Plan, attributes: Mapping[str, Any], earlier: EarlierStore | None) -> None:
    """Refuse another reference; other genotype files too, unless there are new people. Say what else changed."""
    was, now = (
        _by_role(identity["config"], identity["inputs"])
        for identity in (attributes, identity_of_build(plan.config, plan.inputs))
    )
    if _contents(was["reference"]) != _contents(now["reference"]):
        raise InputError(
            f"{plan.config.reference}: is not the FASTA that the store was built with; append with that one"
        )
    if earlier is None or earlier.grows_by == "genes":
        for file in was["genotypes"]:
            if not _contents([file]) <= _contents(now["genotypes"]):
                raise InputError(
                    f"{file['path']}: changed since the store was built, or is not among the genotypes any more; "
                    "genotypes may be others only where they have new people"
                )
    for role, files in now.items():
        for file in files:
            if not _contents([file]) <= _contents(was.get(role, [])):
                logger.info("%s: is new, or changed since the store was built", file["path"])


def _by_role(config: Mapping[str, Any], inputs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The described input files (`seqstore.plan.describe_inputs`) by the key of the config that names them."""
    tables = config["expression"]
    n_assays = 1 if isinstance(tables, str) else len(tables)
    numbers = {"reference": 1, "genes": 1, "expression": n_assays}
    numbers |= {key: 1 for key in ("samples", "sample_map") if config.get(key)}
    by_role = {"genotypes": inputs[: len(inputs) - sum(numbers.values())]}
    first = len(by_role["genotypes"])
    for role, n in numbers.items():
        by_role[role] = inputs[first : first + n]
        first += n
    return by_role


def _contents(files: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """What files hold, wherever they are."""
    return {(file["size"], file.get("sha256"), file.get("modified")) for file in files}


def _state(attributes: Mapping[str, Any], earlier: EarlierStore) -> dict[str, Any]:
    """What a store keeps of how it was before something was appended."""
    kept = ("fingerprint", "config", "inputs", "reconciled", "expression_recipe", "versions")
    return {
        "n_genes": earlier.n_genes,
        "n_individuals": earlier.n_individuals,
        **{key: attributes[key] for key in kept},
    }


def _status_beside(plan: Plan, attributes: Mapping[str, Any]) -> str | None:
    """How far an earlier run of the same append has come; None if there was none."""
    place = plan.config.store
    status = what_stands(place)
    if status is None:
        check_writable(place)
        return None
    begun = attributes_of(place) or {}
    if begun.get("earlier", [{}])[-1].get("fingerprint") != attributes["fingerprint"]:
        raise InputError(
            f"{place}: is where the larger store is made, but what stands there was not begun on the store as it "
            "is; remove it"
        )
    check_same_build(place, plan.config)
    return status
