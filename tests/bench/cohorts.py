"""Simulated cohorts for build_memory.py and build_scaling.py.

Many genes are many copies of one simulated contig, so that records grow with genes as they do in a genome.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pysam
import yaml

from seqstore.simulate import simulate


def simulated(folder: Path, people: int, genes: int, length: int) -> Path:
    """Simulate people of Europe and a tenth of Africa, on one contig with insertions and deletions."""
    simulate(
        str(folder),
        european=people * 9 // 10,
        african=people - people * 9 // 10,
        contigs=1,
        genes=genes,
        negative_controls=0,
        length=length,
        indels=0.12,
    )
    return folder


def copied(cohort: Path, folder: Path, copies: int) -> Path:
    """A cohort with ``copies`` of the one contig of another, and of its genes."""
    folder.mkdir()
    names = [f"chr{number + 1}" for number in range(copies)]
    with pysam.FastaFile(str(cohort / "reference.fa")) as fasta:
        sequence = fasta.fetch("chr1")
    (folder / "reference.fa").write_text("".join(f">{name}\n{sequence}\n" for name in names))
    with pysam.TabixFile(str(cohort / "genotypes.vcf.gz")) as source:
        header = [line for line in source.header if not line.startswith("##contig")]
        header[1:1] = [f"##contig=<ID={name},length={len(sequence)}>" for name in names]
        records = [line.removeprefix("chr1") for line in source.fetch("chr1")]
    genotypes = str(folder / "genotypes.vcf.gz")
    with pysam.BGZFile(genotypes, "wb", None) as target:
        target.write("".join(line + "\n" for line in header).encode())
        for name in names:
            for record in records:
                target.write(f"{name}{record}\n".encode())
    pysam.tabix_index(genotypes, preset="vcf")
    for table in ("genes.tsv", "expression.tsv"):
        rows = pd.read_csv(cohort / table, sep="\t")
        copied = [rows.assign(gene=rows["gene"] + "_" + name) for name in names]
        if table == "genes.tsv":
            copied = [
                genes.assign(contig=name, gene_name=genes["gene"])
                for genes, name in zip(copied, names, strict=True)
            ]
        pd.concat(copied).to_csv(folder / table, sep="\t", index=False)
    shutil.copy(cohort / "samples.tsv", folder)
    keys = yaml.safe_load((cohort / "build.yaml").read_text())
    keys = {key: str(value).replace(str(cohort), str(folder)) for key, value in keys.items()}
    keys["length"] = int(keys["length"])
    (folder / "build.yaml").write_text(yaml.safe_dump(keys))
    return folder
