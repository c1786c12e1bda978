"""Names of contigs and genome builds, which differ between the files of one cohort."""

from __future__ import annotations

from collections.abc import Iterable

#: How names of a build begin, in lower case: hs37d5, human_g1k_v37 and Homo_sapiens_assembly38 are references.
_BUILD_OF_ALIAS = {
    **dict.fromkeys(
        ("grch37", "hg19", "b37", "ncbi37", "hs37", "human_g1k_v37", "homo_sapiens_assembly19"), "GRCh37"
    ),
    **dict.fromkeys(("grch38", "hg38", "b38", "ncbi38", "hs38", "homo_sapiens_assembly38"), "GRCh38"),
    **dict.fromkeys(("t2t-chm13", "chm13", "hs1"), "T2T-CHM13"),
}

#: The pseudoautosomal regions of X and Y (1-based, both ends included; Genome Reference Consortium, T2T
#: Consortium): there, and nowhere else on X and Y, men have two haplotypes.
_PSEUDOAUTOSOMAL = {
    "GRCh37": {
        "X": {"PAR1": (60_001, 2_699_520), "PAR2": (154_931_044, 155_260_560)},
        "Y": {"PAR1": (10_001, 2_649_520), "PAR2": (59_034_050, 59_363_566)},
    },
    "GRCh38": {
        "X": {"PAR1": (10_001, 2_781_479), "PAR2": (155_701_383, 156_030_895)},
        "Y": {"PAR1": (10_001, 2_781_479), "PAR2": (56_887_903, 57_217_415)},
    },
    "T2T-CHM13": {
        "X": {"PAR1": (1, 2_394_410), "PAR2": (153_925_835, 154_259_566)},
        "Y": {"PAR1": (1, 2_458_320), "PAR2": (62_122_810, 62_460_029)},
    },
}


def pseudoautosomal_regions(contig: str, build: str | None) -> dict[str, tuple[int, int]]:
    """The pseudoautosomal regions of a contig by name, 1-based; none for autosomes and unknown builds."""
    of_build = _PSEUDOAUTOSOMAL.get(canonical_build(build) if build else "", {})
    return of_build.get(contig.removeprefix("chr"), {})


def knows_pseudoautosomal(build: str) -> bool:
    """Whether the pseudoautosomal regions of a build are known."""
    return canonical_build(build) in _PSEUDOAUTOSOMAL


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
