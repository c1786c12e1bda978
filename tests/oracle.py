"""The truth that windows are compared with: `bcftools consensus` on whole contigs.

Nothing of seqstore is used here, neither its overlap rule nor its coordinates.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.conftest import Call


@dataclass(frozen=True)
class Consensus:
    """One haplotype of a contig.

    ``blocks`` are the bases that bcftools' chain aligns: (first in the reference, first in the sequence,
    number), 0-based.
    """

    sequence: str
    blocks: tuple[tuple[int, int, int], ...]

    def position_of(self, reference_position: int) -> int | None:
        """Where a reference base (0-based) is in the sequence; None in a gap of the chain."""
        for first, at, n in self.blocks:
            if first <= reference_position < first + n:
                return at + reference_position - first
        return None

    def window(self, tss: int, length: int) -> str | None:
        """The bases round a TSS (0-based), which is at index length // 2; None in a gap of the chain."""
        middle = self.position_of(tss)
        if middle is None:
            return None
        start = middle - length // 2
        before, after = max(-start, 0), max(start + length - len(self.sequence), 0)
        inside = self.sequence[max(start, 0) : max(start + length, 0)]
        return "N" * min(before, length) + inside + "N" * min(after, length)

    def padded(self, n: int) -> str:
        """The sequence with what stands past the contig's ends."""
        return "N" * n + self.sequence + "N" * n


@dataclass(frozen=True)
class Genome:
    """One haplotype of all contigs; ``n_applied`` records were put in."""

    contigs: dict[str, Consensus]
    n_applied: int


def consensus(
    bcftools: str,
    folder: Path,
    person: str,
    haplotype: str,
    *,
    missing_is_n: bool = False,
) -> Genome:
    """All contigs of ``folder/reference.fa`` for one person and ``-H haplotype`` (1, 2, 1pIu, 2pIu).

    The FASTA is best in upper case: otherwise bcftools 1.16 loses a SNP below an insertion at its base.
    """
    command = [bcftools, "consensus", "-s", person, "-H", haplotype, "-f", str(folder / "reference.fa")]
    command += ["-M", "N"] if missing_is_n else []
    command += ["-c", str(folder / "chain"), str(folder / "genotypes.vcf.gz")]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    sequences = {
        lines[0].split()[0]: "".join(lines[1:])
        for lines in (record.split("\n") for record in out.stdout.split(">")[1:])
    }
    blocks = _blocks((folder / "chain").read_text())
    contigs = {contig: Consensus(sequence, blocks[contig]) for contig, sequence in sequences.items()}
    applied = re.search(r"Applied (\d+) variants", out.stderr)
    assert applied is not None, out.stderr
    return Genome(contigs, int(applied[1]))


def _blocks(chain: str) -> dict[str, tuple[tuple[int, int, int], ...]]:
    """The aligned blocks of every contig of a chain file (https://genome.ucsc.edu/goldenPath/help/chain.html)."""
    found = {}
    for text in chain.strip().split("\n\n"):
        head, *lines = text.split("\n")
        _, _, contig, _, _, first, _, _, _, _, at, *_ = head.split()
        reference, sequence, blocks = int(first), int(at), []
        for line in lines:
            n, reference_gap, sequence_gap = (*map(int, line.split()), 0, 0)[:3]
            blocks.append((reference, sequence, n))
            reference += n + reference_gap
            sequence += n + sequence_gap
        found[contig] = tuple(blocks)
    return found


def comparable(
    calls: Iterable[Call],
    variants: Literal["snps", "all"],
    *,
    unphased: str = "error",
    filters: Sequence[str] = ("PASS", "."),
) -> list[Call]:
    """The calls that mean to bcftools what ``calls`` mean to a build.

    Alleles that a build does not put in become REF (bcftools writes ``*`` and applies ``<DEL>``); records that
    it leaves out, by FILTER or because it puts in none of their alleles, are left out. A half-missing call
    without phase is missing to a build (bcftools -H 1pIu writes the other allele).
    """
    kept = []
    for contig, position, ref, alts, flag, genotypes in calls:
        pattern = "[ACGT]" if variants == "snps" else "[ACGTN]+"
        is_put_in = [
            re.fullmatch(pattern, alt, re.IGNORECASE) is not None and (variants == "all" or len(ref) == 1)
            for alt in alts.split(",")
        ]
        if flag not in filters or not any(is_put_in):
            continue
        gone = {str(number) for number, put_in in enumerate(is_put_in, start=1) if not put_in}
        texts = [
            re.sub(r"\d+", lambda m, gone=gone: "0" if m[0] in gone else m[0], text)  # type: ignore[misc]
            for text in genotypes
        ]
        if unphased == "iupac":
            texts = ["./." if re.fullmatch(r"\d+/\.|\./\d+", text) else text for text in texts]
        some = alts.split(",")[is_put_in.index(True)]  # stands for those that nobody has now
        letters = ",".join(
            alt if put_in else some for alt, put_in in zip(alts.split(","), is_put_in, strict=True)
        )
        kept.append((contig, position, ref, letters, flag, texts))
    return kept
