"""``bcftools consensus`` on a piece of a contig, for comparison with a store.

The calls come from ``bcftools query``; what a build's policies leave out is left out of them, and ``bcftools
consensus`` puts the others into the reference. Where the TSS base is in the result, its chain file says.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pysam

from seqstore.config import BuildConfig
from seqstore.errors import InputError
from seqstore.slow_consensus import cut, is_put_in

#: The version whose rule for overlapping records is the store's.
RULE_OF = "1.16"
_HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=slice,length={length}>\n"
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{people}\n"
)


class NotExpressible(Exception):
    """bcftools has no way to say what a policy asks for, or does not tell enough."""


@dataclass(frozen=True)
class Bcftools:
    """A bcftools that runs."""

    path: str
    version: str


def find_bcftools() -> Bcftools | None:
    """The bcftools on PATH; None if there is none that runs."""
    path = shutil.which("bcftools")
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    words = said.stdout.split()
    return Bcftools(path, words[1]) if said.returncode == 0 and len(words) > 1 else None


class ConsensusSlice:
    """The haplotypes of some people on a piece of a contig.

    ``letters`` are the reference from base ``start`` (0-based) on, in upper case; no record that is used reaches
    over either end of them. Files are made in ``folder``. Contig and people are renamed there, as their names
    can hold what bcftools reads as something else.

    Raises:
        NotExpressible: bcftools cannot ask for these people.
        InputError: bcftools cannot read the genotypes.
    """

    def __init__(
        self,
        bcftools: Bcftools,
        folder: Path,
        *,
        genotypes: str,
        contig: str,
        start: int,
        letters: str,
        people: Sequence[str],
        config: BuildConfig,
    ) -> None:
        if odd := [label for label in people if not re.fullmatch(r"\w[\w.+:-]*", label)]:
            raise NotExpressible(f"the label {odd[0]!r}")
        self._bcftools, self._folder, self._config = bcftools, folder, config
        self._start, self._length = start, len(letters)
        self._number_of = {label: number for number, label in enumerate(people)}
        self._not_expressible: set[str] = set()
        reference = "\n".join(letters[i : i + 60] for i in range(0, len(letters), 60))
        (folder / "slice.fa").write_text(f">slice\n{reference}\n")
        (folder / "region").write_text(f"{contig}\t{start + 1}\t{start + len(letters)}\n")
        (folder / "people").write_text("\n".join(people) + "\n")
        lines = self._run(
            *("query", "-f", r"%POS\t%REF\t%ALT\t%FILTER[\t%GT]\n"),
            *("-R", str(folder / "region"), "-S", str(folder / "people"), genotypes),
        )
        names = "\t".join(f"p{number}" for number in range(len(people)))
        plain = folder / "slice.vcf"
        plain.write_text(
            _HEADER.format(length=len(letters), people=names)
            + "".join(filter(None, (self._line(line, list(people)) for line in lines.splitlines())))
        )
        self._calls = str(folder / "slice.vcf.gz")
        pysam.tabix_compress(str(plain), self._calls, force=True)
        pysam.tabix_index(self._calls, preset="vcf", force=True)

    def window(self, label: str, haplotype: int, *, tss: int, length: int, at_ends: tuple[bool, bool]) -> str:
        """The letters of someone's window round a TSS (0-based); haplotype 0 or 1.

        ``at_ends`` says whether the slice's left and right end are those of the contig, behind which stands N.

        Raises:
            NotExpressible: bcftools cannot say what this window is.
        """
        if label in self._not_expressible:
            raise NotExpressible("unphased alleles of which one is no A, C, G or T")
        chain = self._folder / "chain"
        which = f"{haplotype + 1}pIu" if self._config.unphased == "iupac" else str(haplotype + 1)
        try:
            fasta = self._run(
                *("consensus", "-f", str(self._folder / "slice.fa"), "-c", str(chain), "-H", which),
                *("-s", f"p{self._number_of[label]}"),
                *(("-M", "N") if self._config.missing == "n" else ()),
                self._calls,
            )
        except InputError as error:
            raise NotExpressible(str(error)) from error
        letters = "".join(fasta.split("\n")[1:])
        anchor = _lifted(chain.read_text(), tss - self._start)
        if anchor is None:
            raise NotExpressible("the TSS base is among bases that a record replaces")
        low, high = anchor - length // 2, anchor + length // 2
        if (low < 0 and not at_ends[0]) or (high > len(letters) and not at_ends[1]):
            raise NotExpressible("the slice is too short")
        return cut(letters, low, high)

    def _line(self, line: str, people: list[str]) -> str:
        """A line of the slice's VCF from one of bcftools query; "" if the store leaves the record out."""
        position, ref, alt, filters, *genotypes = line.split("\t")
        start, alts = int(position) - 1 - self._start, alt.split(",")
        put_in = [True, *(is_put_in(ref, text, self._config) for text in alts)]
        if not 0 <= start <= self._length - len(ref) or not any(put_in[1:]):
            return ""
        if not all(name in self._config.filter for name in filters.split(";")):
            return ""
        alleles = [ref.upper(), *(text.upper() for text in alts)]
        calls = []
        for label, genotype in zip(people, genotypes, strict=True):
            calls.append(call := self._call(genotype, put_in))
            letters = "".join(alleles[int(allele)] for allele in call.split("/") if allele.isdigit())
            if "/" in call and self._config.unphased == "iupac" and not set(letters) <= set("ACGT"):
                self._not_expressible.add(label)  # bcftools makes N of a base and an IUPAC letter
        if all(call == "0|0" for call in calls):
            return ""
        fields = ["slice", str(start + 1), ".", ref.upper(), ",".join(alleles[1:]), ".", "PASS", ".", "GT"]
        return "\t".join([*fields, *calls]) + "\n"

    def _call(self, genotype: str, put_in: list[bool]) -> str:
        """A genotype of two alleles that says to bcftools what it says to the build."""
        pair = [
            allele if allele == "." or put_in[int(allele)] else "0"
            for allele in genotype.replace("|", "/").split("/")
        ]
        if len(pair) == 1:  # no one asks for the second haplotype of someone who has none
            return f"{pair[0]}|{pair[0]}"
        unphased = "/" in genotype and pair[0] != pair[1]
        if unphased and "." in pair and self._config.unphased == "iupac":
            return "./."  # which haplotype lacks a call is not known
        return ("/" if unphased else "|").join(pair)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._bcftools.path, *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise InputError(f"bcftools {arguments[0]}: {last[-1]}")
        return done.stdout


def _lifted(chain: str, base: int) -> int | None:
    """Where a reference base is on the haplotype, by a UCSC chain; of a deleted one, the next that is not.

    None where the chain only says that some bases became some others.
    """
    at_reference = at_haplotype = 0
    for line in chain.splitlines():
        fields = line.split()
        if not fields or fields[0] == "chain":
            continue
        size, gap, inserted = (*map(int, fields), 0, 0)[:3]
        if base < at_reference + size:
            break
        at_reference, at_haplotype = at_reference + size, at_haplotype + size
        if base < at_reference + gap:
            return None if inserted else at_haplotype
        at_reference, at_haplotype = at_reference + gap, at_haplotype + inserted
    return at_haplotype + base - at_reference
