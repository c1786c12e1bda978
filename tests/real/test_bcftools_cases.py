"""bcftools' own test cases of `consensus`, of those that Debian's bcftools 1.16 passes: the same haplotypes here.

What has no counterpart here, or another outcome by design, is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest

from seqstore.errors import InputError
from seqstore.genotypes import GenotypeSource, open_genotypes
from seqstore.haplotypes import ORIGIN, SIZE, START, STOP, resolve
from seqstore.nucleotides import decode, encode
from seqstore.records import calls_to_apply, is_applicable, table_of


@dataclass(frozen=True)
class Same:
    """The same sequences, of one haplotype of a sample, up to what is named."""

    haplotype: int
    sample: str | None = None
    missing_as: str | None = None  # bcftools' letter for a missing allele: N here
    but_not: str = ""  # a contig that differs by design, and why
    first_base: str = ""


#: By VCF and arguments.
CASES: dict[tuple[str, str], Same | str] = {
    # Without -H, bcftools takes the ALT of a homozygous call like -H 1 does.
    ("consensus.overlaps.1.vcf", "-s A"): Same(1, "A"),
    ("consensus.overlaps.1.vcf", "-s B"): Same(1, "B"),
    ("consensus.20.vcf", "-M . -s a"): Same(1, "a", missing_as="."),
    ("consensus.vcf", "-H 1"): Same(1, but_not="2"),  # has a <DEL>, which bcftools applies
    ("consensus2.vcf", "-H 1"): Same(1),
    ("consensus2.vcf", "-H 2"): Same(2),
    # Its first record has no ALT allele and is left out here, so that its base is not missing.
    ("consensus3.vcf", '-H 2 -M "?"'): Same(2, missing_as="?", first_base="C"),
    # Without a sample, bcftools applies all ALT alleles: those that haplotype 2 has.
    ("consensus.9.vcf", ""): Same(2),
    ("consensus.11.vcf", ""): Same(2),
    ("consensus7.vcf", "-H 1"): "calls of ploidy 4",
    ("consensus7.vcf", "-H 2"): "calls of ploidy 4",
    ("consensus7.vcf", "-H 3"): "calls of ploidy 4",
    ("consensus7.vcf", "-H 4"): "calls of ploidy 4",
    ("consensus7.vcf", "-H 1pIu"): "calls of ploidy 4",
    ("consensus7.vcf", "-H 2pIu"): "calls of ploidy 4",
    ("consensus.16.vcf", "-H I"): "calls of ploidy 3",
}
#: Options of bcftools for which there is nothing here: masks, marks, prefixes, absent regions, longest alleles.
NO_COUNTERPART = {"-m", "-a", "-p", "--haplotype", "--mark-ins"}


def cases(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "cases.tsv", sep="\t", quoting=3, keep_default_na=False)
    return table[table["debian_bcftools_1.16"] == "pass"]


@pytest.fixture(scope="module")
def folder(real: Path) -> Path:
    return real / "bcftools_consensus_tests"


def test_every_case_is_the_same_or_refused(folder: Path, tmp_path: Path) -> None:
    n_same = n_refused = 0
    for number, case in enumerate(cases(folder).itertuples()):
        if NO_COUNTERPART & set(case.args.split()):
            continue
        expected = CASES[case.vcf, case.args]
        path = tmp_path / f"{number}.vcf.gz"
        pysam.tabix_compress(str(folder / case.vcf), str(path))
        pysam.tabix_index(str(path), preset="vcf")
        genotypes = open_genotypes(str(path))
        if isinstance(expected, str):
            with pytest.raises(InputError, match=expected):
                list(sequences(genotypes, folder / case.fasta, Same(1)))
            n_refused += 1
            continue
        ours = dict(sequences(genotypes, folder / case.fasta, expected))
        theirs = dict(fasta(folder / case.expected))
        assert ours.keys() == theirs.keys()
        for name in theirs.keys() - {expected.but_not}:
            letters = theirs[name].upper()
            if expected.missing_as:
                letters = letters.replace(expected.missing_as, "N")
            if expected.first_base and name == "1":
                letters = expected.first_base + letters[1:]
            assert ours[name] == letters, (case.vcf, case.args, name)
        n_same += 1
    assert (n_same, n_refused) == (10, 7)


def fasta(path: Path) -> list[tuple[str, str]]:
    """Names and sequences of a FASTA file."""
    records = [text.split("\n", 1) for text in path.read_text().split(">")[1:]]
    return [(name.split()[0], bases.replace("\n", "")) for name, bases in records]


def sequences(genotypes: GenotypeSource, path: Path, case: Same) -> list[tuple[str, str]]:
    """A haplotype over the sequences of a FASTA, of which a name such as 1:2-501 is a part of a contig."""
    person = genotypes.individuals.index(case.sample) if case.sample else 0
    found = []
    for name, letters in fasta(path):
        contig, _, span = name.partition(":")
        start = int(span.split("-")[0]) - 1 if span else 0
        known = genotypes.records(contig, start, start + len(letters)) if contig in genotypes.contigs else []
        records = [record for record in known if is_applicable(record.alleles, "all")]
        width = max((len(record.alleles) for record in records), default=2)
        texts = np.array(
            [[*record.alleles, *[""] * (width - len(record.alleles))] for record in records], dtype=object
        )
        table = table_of([record.position for record in records], texts.reshape(-1, width), "all")
        genotype = np.array([record.genotype[person] for record in records], dtype=np.int8).reshape(-1, 1, 2)
        calls = calls_to_apply(genotype, None, table, missing_is_n=case.missing_as is not None)
        pieces, position = [], start
        codes = encode(letters)
        for edit in resolve(table, calls[:, 0, case.haplotype - 1]):
            pieces += [
                codes[position - start : edit[START] - start],
                table.bases[edit[ORIGIN] : edit[ORIGIN] + edit[SIZE]],
            ]
            position = int(edit[STOP])
        found.append((name, decode(np.concatenate([*pieces, codes[position - start :]]))))
    return found
