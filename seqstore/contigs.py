"""Names of contigs and genome builds, which differ between the files of one cohort."""

from __future__ import annotations

from collections.abc import Iterable

_BUILD_OF_ALIAS = {
    "hg19": "GRCh37",
    "b37": "GRCh37",
    "grch37": "GRCh37",
    "hg38": "GRCh38",
    "b38": "GRCh38",
    "grch38": "GRCh38",
    "chm13": "T2T-CHM13",
    "hs1": "T2T-CHM13",
}


def reconcile(contig: str, available: Iterable[str]) -> str | None:
    """The name among ``available`` that means ``contig``, with or without ``chr``; None if there is none."""
    names = set(available)
    bare = contig.removeprefix("chr")
    spellings = [contig, bare, "chr" + bare]
    if bare in ("M", "MT"):
        spellings += ["MT", "M", "chrM", "chrMT"]
    return next((name for name in spellings if name in names), None)


def canonical_build(name: str) -> str:
    """One spelling for each genome build: hg38, GRCh38 and GRCh38.p14 are all GRCh38."""
    key = name.strip().lower()
    return next((build for alias, build in _BUILD_OF_ALIAS.items() if key.startswith(alias)), name.strip())
