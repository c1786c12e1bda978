"""Labels of people, which differ between the files of one cohort."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqstore.errors import InputError
from seqstore.tables import first_column_of, read_table, refuse_repeats

logger = logging.getLogger(__name__)

_FAMILY = "family_and_individual"
#: What tools put around a person's label, and the name of the rule that takes it off.
_DECORATIONS = (
    # PLINK writes family and individual into one label; without families both are the same, or the family is 0.
    (_FAMILY, re.compile(r"(?P<label>.+)_(?P=label)")),
    (_FAMILY, re.compile(r"0_(?P<label>.+)")),
    # Geuvadis assays: HG00096.1.M_111124_6 (mRNA) and HG00096.1.MI_120104_6 (miRNA).
    ("assay", re.compile(r"(?P<label>.+)\.\d+\.MI?_\d{6}_\d+")),
    # GTEx samples of a donor: GTEX-1117F-0226-SM-5GZZ7, GTEX-1117F-0011-R10b-SM-GI4VE.
    ("gtex_sample", re.compile(r"(?P<label>GTEX-[A-Z0-9]+)-\d{4}(?:-R\d+[a-z]?)?-SM-[A-Z0-9]+")),
)


@dataclass(frozen=True)
class MatchedIndividuals:
    """Which person each label of a file means.

    ``known`` (label of the file -> label among the known ones) holds the labels that matched, in the file's
    order. ``by_rule`` counts labels: exact, sample_map, family_and_individual, assay, gtex_sample and
    unmatched, those that occur.
    """

    known: dict[str, str]
    by_rule: dict[str, int]


def read_sample_map(path: str | Path) -> dict[str, str]:
    """Read a table with columns ``from`` (a label in an input) and ``to`` (the person's label in the genotypes).

    Raises:
        InputError: a column is missing, a cell is empty or a label stands twice in ``from``.
    """
    table = read_table(path, "sample map")
    source, target = first_column_of(table, ("from",)), first_column_of(table, ("to",))
    if source is None or target is None:
        raise InputError(f"{path}: a sample map has columns 'from' and 'to' (has {', '.join(table.columns)})")
    refuse_repeats(table[source], path, "label")
    for row, pair in enumerate(zip(table[source], table[target], strict=True), start=1):
        if not all(pair):
            raise InputError(f"{path}: row {row} of the sample map has an empty cell")
    return dict(zip(table[source], table[target], strict=True))


def reconcile_individuals(
    labels: Sequence[str],
    known: Sequence[str],
    *,
    path: str | Path,
    sample_map: Mapping[str, str] | None = None,
    remedy: str = "say which in a sample_map",
) -> MatchedIndividuals:
    """Find the person of ``known`` (the genotyped ones) that each label of another file means.

    A label that is known as it stands always means that person. Of the others, a ``sample_map`` (label ->
    known label) alone decides where it is given; those that it gives to somebody unknown are warned of. Else
    what well-known tools add to labels is taken off, on either side: PLINK's ``HG00096_HG00096`` and
    ``0_HG00096``, assays ``HG00096.1.M_111124_6``, GTEx samples ``GTEX-1117F-0226-SM-5GZZ7``.

    Raises:
        InputError: two labels of the file mean one person, a label can mean two, PLINK's way is not the only
            one in which labels are made of two parts, or the sample map gives a known label to another
            person. ``path`` is the file with the labels, ``remedy`` what to do about a label that can mean two.
    """
    people = set(known)
    by_bare: dict[str, list[str]] = defaultdict(list)
    for individual in known:
        by_bare[_undecorated(individual)[0]].append(individual)
    given, bare = set(labels), {_undecorated(label)[0] for label in labels}
    odd = _of_two_parts([label for label in labels if label not in people], by_bare) or _of_two_parts(
        [label for label in known if label not in given], bare
    )
    matched: dict[str, str] = {}
    label_of: dict[str, str] = {}
    by_rule: Counter[str] = Counter()
    for label in labels:
        person, rule = _match(label, people, by_bare, sample_map, path, remedy)
        by_rule[rule] += 1
        if person is None:
            continue
        by_decoration = rule not in ("exact", "sample_map")
        if odd and by_decoration and _FAMILY in (_undecorated(label)[1], _undecorated(person)[1]):
            raise InputError(
                f"{path}: {label} need not be individual {person}, because {odd} is there too (are labels "
                f"family_individual, or person_replicate?); {remedy}"
            )
        if person in label_of:
            raise InputError(
                f"{path}: {label_of[person]} and {label} are both individual {person}; keep one of them, or {remedy}"
            )
        matched[label], label_of[person] = person, label
    mapped = {label: sample_map[label] for label in labels if label in sample_map} if sample_map else {}
    strange = [f"{label} ({person})" for label, person in mapped.items() if person not in people]
    if strange:
        logger.warning(
            "warning: %s: by the sample map, %d of its labels are of people who are not genotyped, or not in the "
            "sample table: %s",
            path,
            len(strange),
            ", ".join(strange[:3]) + (", …" if len(strange) > 3 else ""),
        )
    return MatchedIndividuals(known=matched, by_rule=dict(by_rule))


def _match(
    label: str,
    people: set[str],
    by_bare: Mapping[str, list[str]],
    sample_map: Mapping[str, str] | None,
    path: str | Path,
    remedy: str,
) -> tuple[str | None, str]:
    """The person that a label means, and by which rule; None, "unmatched" if there is none."""
    if label in people:
        if sample_map is not None and sample_map.get(label, label) != label:
            raise InputError(
                f"{path}: the sample map makes {label} individual {sample_map[label]}, but {label} is itself a "
                "genotyped individual; rename the column or row there instead"
            )
        return label, "exact"
    if sample_map is not None:
        mapped = sample_map.get(label)
        return (mapped, "sample_map") if mapped in people else (None, "unmatched")
    bare, rule = _undecorated(label)
    found = by_bare.get(bare, [])
    if not found:
        return None, "unmatched"
    if len(found) > 1:
        raise InputError(f"{path}: {label} can be individual {found[0]} or {found[1]}; {remedy}")
    return found[0], rule or _undecorated(found[0])[1]


def _of_two_parts(labels: Collection[str], bare: Collection[str]) -> str | None:
    """A label of two different parts, one of which is a bare label of the other side: 1_2, or S1_2.

    Where there is one, 1_1 need not be individual 1 of family 1: it can be the first replicate of person 1,
    or a person whose family holds others.
    """
    for label in labels:
        for place in re.finditer("_", label):
            first, second = label[: place.start()], label[place.end() :]
            if first != second and (first in bare or (second in bare and first != "0")):
                return label
    return None


def _undecorated(label: str) -> tuple[str, str]:
    """A label without what a tool put around it, and the name of the rule that says so ("" = it is bare)."""
    for rule, pattern in _DECORATIONS:
        found = pattern.fullmatch(label)
        if found:
            return found["label"], rule
    return label, ""
