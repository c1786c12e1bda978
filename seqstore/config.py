"""The configuration of a build: every key of the YAML file that ``seqstore build --config`` reads."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from seqstore.errors import InputError
from seqstore.tasks import cores


@dataclass(frozen=True)
class BuildConfig:
    """What to build a store from, and how. Relative paths are taken from the working directory.

    Args:
        genotypes: indexed .vcf.gz or .bcf, PLINK 2 .pgen, or VCF Zarr; a path, a glob, or a list of them (a contig
            in one file only)
        reference: FASTA, plain or bgzipped
        genes: table with columns gene, contig, tss (1-based), strand; GTF/GFF3; BED; or phenotype BED
        expression: table genes x individuals, first column the gene; phenotype BED, GCT, Parquet or .h5ad;
            or a mapping assay: table
        store: where the store is written
        samples: table with a column individual or sample, whose other columns (population, ...) are kept;
            1000 Genomes .panel, PLINK .psam, .fam or .ped, or an sdrf
        sample_map: table with columns from and to: labels of other inputs, and who they are in the genotypes
        measured_genes_only: leave out genes without a measured individual, instead of keeping their windows
        gene_types: only genes of these types (protein_coding, ...) of a table or annotation that has types
        length: bases of a window, even; the TSS base is at index length / 2
        variants: which alleles are put into sequences: snps, or all (indels too; symbolic alleles, breakends
            and * never). Everything else is left out and counted
        missing: a missing allele is the reference base, N, or an error
        unphased: a heterozygous call without phase is an error, the IUPAC code of its two bases on both
            haplotypes (SNPs only), or read as if it were phased
        filter: records whose FILTER is none of these are left out ("." is an empty FILTER)
        build: genome build of all inputs (GRCh38, hg19, ...); a gene table that names another is refused
        reference_margin: bases of reference stored on each side of a window
        min_covered: share of a window that must lie within the genotyped span; 0 warns below 1 only
        require_all: refuse individuals or genes that stand in one input only, instead of dropping them
        workers: processes to build with; 0 = one a core
        scheduler: address or scheduler file of a running dask cluster to build on, instead of processes here
    """

    genotypes: str | list[str]
    reference: str
    genes: str
    expression: str | dict[str, str]
    store: str
    samples: str | None = None
    sample_map: str | None = None
    measured_genes_only: bool = False
    gene_types: list[str] | None = None
    length: int = 49_152
    variants: Literal["snps", "all"] = "snps"
    missing: Literal["reference", "n", "error"] = "reference"
    unphased: Literal["error", "iupac", "as_phased"] = "error"
    filter: list[str] = field(default_factory=lambda: ["PASS", "."])
    build: str | None = None
    reference_margin: int = 1024
    min_covered: float = 0.0
    require_all: bool = False
    workers: int = 0
    scheduler: str | None = None

    def __post_init__(self) -> None:
        for key in fields(self):
            if getattr(self, key.name) is None and key.default is not None:
                raise InputError(f"{key.name}: has no value")
        if not self.genotypes:
            raise InputError("genotypes: names no file")
        if not self.filter:
            raise InputError('filter: would leave out every record; the default is ["PASS", "."]')
        if self.length < 2 or self.length % 2:
            raise InputError(f"length: {self.length} is not a positive even number of bases")
        if self.reference_margin < 0 or self.reference_margin % 2:
            raise InputError(f"reference_margin: {self.reference_margin} is not an even number of bases >= 0")
        if not 0 <= self.min_covered <= 1:
            raise InputError(f"min_covered: {self.min_covered} is not a share between 0 and 1")
        if self.workers < 0:
            raise InputError(f"workers: {self.workers} is negative; 0 means one a core")
        if self.workers and self.scheduler is not None:
            raise InputError("workers and scheduler: the cluster has its own workers; give one of the two")
        if not self.assays:
            raise InputError("expression: names no table")

    @property
    def assays(self) -> dict[str, str]:
        """Expression tables by assay; a single table without a name is the assay "expression"."""
        return {"expression": self.expression} if isinstance(self.expression, str) else dict(self.expression)

    @property
    def n_workers(self) -> int:
        """Number of processes."""
        return self.workers or cores()
