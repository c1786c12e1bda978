"""`seqstore simulate`: a cohort as files, with known causal variants.

The files are those that a user of `seqstore build` brings, so all that follows runs as on real data.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pysam
import yaml
from tqdm import tqdm

from seqstore.errors import InputError
from seqstore.outputs import check_folder, written_aside
from seqstore.simulated_expression import (
    ARCHITECTURES,
    WORD_LENGTH,
    Architecture,
    SimulatedGene,
    may_be_causal,
    simulate_gene,
    simulate_negative_control,
)
from seqstore.simulated_genomes import POPULATIONS, Contig, simulate_contig

logger = logging.getLogger(__name__)

#: Bases of contig for each gene (more for long windows).
GENE_SPACING = 20_000
#: Bases at least between a window and the end of its gene's share of the contig: windows never meet, and the
#: reference margin of a store lies on the contig.
MARGIN = 1_024

LONGEST_CONTIG = 2**29  # what a tabix index can address

#: Share of indels at most: causal variants are SNPs, and every gene needs one.
MAX_INDELS = 0.5

_CONTIG_TRIES = 20
_RECORDS_AT_ONCE = 1024
_FASTA_LINE = 60


def simulate(
    output: str,
    *,
    european: int = 320,
    african: int = 80,
    contigs: int = 6,
    genes: int = 60,
    negative_controls: int = 12,
    length: int = 4096,
    heritability: float = 0.4,
    architecture: Architecture = "private",
    indels: float = 0.0,
    tss_deletions: int = 0,
    seed: int = 1,
) -> None:
    """Simulate a cohort as files: genotypes, reference, genes, expression, samples, and the truth.

    Writes ``genotypes.vcf.gz`` and its index (phased, biallelic), ``reference.fa`` and its index,
    ``genes.tsv``, ``expression.tsv`` (ln TPM), ``samples.tsv``, ``truth.tsv`` (causal variants: what a
    copy of ALT adds to expression, and ALT frequency by population) and ``build.yaml``, a config for
    ``seqstore build``. The same options and seed give the same decompressed content on every machine.

    Args:
        output: Folder to make.
        european: People of a European-like population (CEU of the out-of-Africa model).
        african: People of a West-African-like population (YRI of that model).
        contigs: Chromosomes, named chr1, chr2, ...; genes are spread evenly over them.
        genes: Genes in all.
        negative_controls: How many of the genes no variant affects, spread evenly too.
        length: Bases around the TSS in which causal variants are drawn, uniformly over those with
            a minor allele frequency of 0.05 or more; also the length in build.yaml.
        heritability: Share of the variance of expression that causal variants explain.
        architecture: Where effects come from: drawn for each variant (private), or from a sequence
            grammar that all genes share (motif).
        indels: Share of the variants that are insertions or deletions, of human-like lengths (in people
            about 0.12); they have no effect on expression.
        tss_deletions: How many of the genes have a deletion over their TSS base, spread evenly; with
            indels others may have one by chance.
        seed: Seed of everything random.

    Raises:
        InputError: an option cannot be used, or ``output`` exists and is not an empty folder.
    """
    individuals = {"CEU": european, "YRI": african}
    _check_cohort(individuals, contigs, genes, negative_controls, seed)
    _check_architecture(length, heritability, architecture)
    _check_indels(indels, tss_deletions, genes)
    spacing = max(GENE_SPACING, 2 * (length + MARGIN))
    if -(-genes // contigs) * spacing > LONGEST_CONTIG:
        raise InputError(f"--contigs {contigs}: too few for {genes} genes of {spacing} bases; give more")
    path = _check_output(output)

    sample_seed, *contig_seeds = np.random.SeedSequence(seed).spawn(1 + contigs)
    samples = _sample_table(individuals, np.random.default_rng(sample_seed))
    gene_table = _gene_table(contigs, genes, negative_controls, heritability)
    loses_tss = _spread(tss_deletions, genes)
    expression, truth = np.empty((genes, len(samples))), []
    contig_genes = {str(name): rows.index for name, rows in gene_table.groupby("contig", sort=False)}
    contig_lengths = {name: len(rows) * spacing for name, rows in contig_genes.items()}
    check_folder(path.parent)
    with written_aside(path) as aside:
        aside.mkdir()
        vcf_path, fasta_path = str(aside / "genotypes.vcf.gz"), str(aside / "reference.fa")
        with pysam.BGZFile(vcf_path, "wb", None) as vcf, open(fasta_path, "w", encoding="ascii") as fasta:
            vcf.write(_vcf_header(contig_lengths, samples["sample"]))
            progress = tqdm(contig_genes.items(), unit="contig", disable=None)
            for (name, rows), contig_seed in zip(progress, contig_seeds, strict=True):
                rng = np.random.default_rng(contig_seed)
                contig, candidate, starts = _contig_with_windows(
                    name, loses_tss[rows], spacing, length, individuals, architecture, indels, rng
                )
                for row, start in zip(rows, starts, strict=True):
                    if gene_table.at[row, "negative_control"] == "true":
                        gene = simulate_negative_control(len(samples), rng)
                    else:
                        gene = simulate_gene(
                            contig,
                            (start, start + length),
                            candidate,
                            architecture=architecture,
                            heritability=heritability,
                            rng=rng,
                        )
                    gene_table.at[row, "tss"] = start + length // 2 + 1
                    gene_table.at[row, "strand"] = "+-"[rng.integers(2)]
                    expression[row] = gene.expression
                    truth.append(_truth(gene_table["gene"][row], gene, contig, samples["population"]))
                _write_variants(vcf, contig)
                _write_reference(fasta, contig)
        pysam.tabix_index(vcf_path, preset="vcf")
        pysam.faidx(fasta_path)
        _write_table(gene_table, aside / "genes.tsv")
        _write_table(samples, aside / "samples.tsv")
        _write_table(pd.concat(truth), aside / "truth.tsv")
        by_gene = pd.DataFrame(expression, index=gene_table["gene"], columns=samples["sample"])
        _write_table(by_gene.reset_index(), aside / "expression.tsv")
        (aside / "build.yaml").write_text(_build_config(output, length), encoding="utf-8")
    logger.info(
        "%s: %d people, %d genes, %d causal variants; go on with: seqstore build --config %s",
        *(output, len(samples), genes, sum(map(len, truth)), Path(output) / "build.yaml"),
    )


def _check_cohort(
    individuals: Mapping[str, int], contigs: int, genes: int, negative_controls: int, seed: int
) -> None:
    """Raise an InputError about the first number that makes no cohort."""
    european, african = individuals.values()
    if min(european, african) < 0 or european + african < 2:
        raise InputError(
            f"--european {european} --african {african}: give 0 or more people each, 2 in all at least"
        )
    if genes < 1:
        raise InputError(f"--genes {genes}: simulate 1 gene at least")
    if not 1 <= contigs <= genes:
        raise InputError(f"--contigs {contigs}: give 1 to --genes ({genes}), so that each contig has a gene")
    if not 0 <= negative_controls <= genes:
        raise InputError(f"--negative-controls {negative_controls}: give 0 to --genes ({genes})")
    if seed < 0:
        raise InputError(f"--seed {seed}: give 0 or more")


def _check_architecture(length: int, heritability: float, architecture: str) -> None:
    """Raise an InputError about the first option that makes no gene."""
    if length % 2 or length < 2 * WORD_LENGTH:
        raise InputError(f"--length {length}: give an even number of bases, {2 * WORD_LENGTH} or more")
    if not 0 < heritability <= 1:
        raise InputError(
            f"--heritability {heritability}: give a share above 0, at most 1 "
            "(for genes without any effect raise --negative-controls)"
        )
    if architecture not in ARCHITECTURES:
        raise InputError(f"--architecture {architecture}: choose {' or '.join(ARCHITECTURES)}")


def _check_indels(indels: float, tss_deletions: int, genes: int) -> None:
    """Raise an InputError about the first option that makes no indels."""
    if not 0 <= indels <= MAX_INDELS:
        raise InputError(
            f"--indels {indels}: give a share of 0 to {MAX_INDELS} (about 0.12 of human variants are indels)"
        )
    if not 0 <= tss_deletions <= genes:
        raise InputError(f"--tss-deletions {tss_deletions}: give 0 to --genes ({genes})")
    if tss_deletions and not indels:
        raise InputError(
            f"--tss-deletions {tss_deletions}: needs deletions; give --indels too, for example 0.12"
        )


def _check_output(output: str) -> Path:
    """The absolute path of a folder that can be made there."""
    path = Path(output).resolve()
    if path.is_dir() and not any(path.iterdir()):
        if path == Path.cwd():
            raise InputError(f"{output}: is the folder you are in; name a new one in it")
    elif path.exists():
        raise InputError(f"{output}: exists and is not an empty folder; name a new one")
    return path


def _sample_table(individuals: Mapping[str, int], rng: np.random.Generator) -> pd.DataFrame:
    """One row a person, in the order of the genotypes."""
    rows = [
        (f"{POPULATIONS[population]}{number:05d}", population, POPULATIONS[population])
        for population, n in individuals.items()
        for number in range(1, n + 1)
    ]
    samples = pd.DataFrame(rows, columns=["sample", "population", "superpopulation"])
    return samples.assign(sex=rng.choice(["F", "M"], size=len(samples)))


def _gene_table(contigs: int, genes: int, negative_controls: int, heritability: float) -> pd.DataFrame:
    """One row a gene, TSS and strand still to be drawn; contigs and controls are spread evenly."""
    number = np.arange(genes)
    control = _spread(negative_controls, genes)
    return pd.DataFrame(
        {
            "gene": [f"SIMG{n + 1:05d}" for n in number],
            "gene_name": [f"SIM{n + 1}" for n in number],
            "contig": [f"chr{1 + n * contigs // genes}" for n in number],
            "tss": 0,
            "strand": "+",
            "negative_control": np.where(control, "true", "false"),
            "heritability": np.where(control, 0.0, heritability),
        }
    )


def _spread(n: int, genes: int) -> npt.NDArray[np.bool_]:
    """Which of the genes (gene,) are the ``n`` chosen ones, spread evenly."""
    chosen = np.zeros(genes, dtype=np.bool_)
    chosen[np.arange(n) * genes // max(n, 1)] = True
    return chosen


def _contig_with_windows(
    name: str,
    loses_tss: npt.NDArray[np.bool_],
    spacing: int,
    length: int,
    individuals: Mapping[str, int],
    architecture: Architecture,
    indels: float,
    rng: np.random.Generator,
) -> tuple[Contig, npt.NDArray[np.bool_], list[int]]:
    """A contig, which of its variants may be causal, and for each gene the 0-based start of its window.

    Each gene has its own ``spacing`` bases, and its window is uniform over the places there that hold a
    variant that may be causal and, for a gene that ``loses_tss`` (gene,), where a deletion takes the TSS
    base. A contig where a gene has no such place is simulated again.
    """
    for _ in range(_CONTIG_TRIES):
        contig = simulate_contig(name, len(loses_tss) * spacing, individuals, rng, indels)
        candidate = may_be_causal(contig, architecture)
        position, deletable = contig.position[candidate], contig.deletable()
        starts = []
        for gene, loses in enumerate(loses_tss):
            places = np.arange(gene * spacing + MARGIN, (gene + 1) * spacing - MARGIN - length + 1)
            fits = np.searchsorted(position, places + length) > np.searchsorted(position, places)
            if loses:
                fits &= deletable[places + length // 2]
            if not fits.any():
                break
            starts.append(int(rng.choice(places[fits])))
        else:
            return contig, candidate, starts
    raise InputError(
        f"{name}: in {_CONTIG_TRIES} tries a gene had no common variant near it"
        f"{', or no deletion to lose its TSS to' if loses_tss.any() else ''}; "
        "simulate more people, or fewer genes a contig"
    )


def _truth(gene: str, simulated: SimulatedGene, contig: Contig, population: pd.Series[str]) -> pd.DataFrame:
    """The causal variants of a gene, one row each."""
    chosen = contig.subset(simulated.variant)
    ref, alt = chosen.alleles()
    table = pd.DataFrame(
        {
            "gene": gene,
            "contig": contig.name,
            "position": chosen.position + 1,
            "id": chosen.variant_ids(),
            "ref": ref,
            "alt": alt,
            "effect": simulated.effect,
        }
    )
    for label in POPULATIONS:
        calls = chosen.calls[:, population == label]
        table[f"af_{label}"] = calls.mean(axis=(1, 2)) if calls.size else np.nan
    return table


def _vcf_header(contig_lengths: Mapping[str, int], samples: pd.Series[str]) -> bytes:
    lines = [
        "##fileformat=VCFv4.2",
        '##FILTER=<ID=PASS,Description="All filters passed">',
        *(f"##contig=<ID={name},length={length}>" for name, length in contig_lengths.items()),
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]),
    ]
    return "".join(line + "\n" for line in lines).encode()


def _write_variants(vcf: pysam.BGZFile, contig: Contig) -> None:
    """Write a contig's phased records."""
    sites = zip(contig.position, contig.variant_ids(), *contig.alleles(), strict=True)
    for first in range(0, len(contig.calls), _RECORDS_AT_ONCE):
        calls = contig.calls[first : first + _RECORDS_AT_ONCE]
        text = np.full((*calls.shape[:2], 4), ord("|"), dtype=np.uint8)  # "0|1\t"
        text[:, :, [0, 2]] = calls + ord("0")
        text[:, :, 3] = ord("\t")
        text[:, -1, 3] = ord("\n")
        for row, (position, label, ref, alt) in zip(text, sites, strict=False):
            vcf.write(f"{contig.name}\t{position + 1}\t{label}\t{ref}\t{alt}\t.\tPASS\t.\tGT\t".encode())
            vcf.write(row.tobytes())


def _write_reference(fasta: TextIO, contig: Contig) -> None:
    sequence = contig.sequence()
    fasta.write(f">{contig.name}\n")
    fasta.writelines(sequence[i : i + _FASTA_LINE] + "\n" for i in range(0, len(sequence), _FASTA_LINE))


def _write_table(table: pd.DataFrame, path: Path) -> None:
    """Write tab-separated text with fixed decimals: the same bytes on every machine."""
    table.to_csv(path, sep="\t", index=False, float_format="%.5f", na_rep="NA", lineterminator="\n")


def _build_config(output: str, length: int) -> str:
    """The YAML that `seqstore build` reads; paths as the user gave them, from where the command ran."""
    folder = Path(output)
    config = {
        "genotypes": str(folder / "genotypes.vcf.gz"),
        "reference": str(folder / "reference.fa"),
        "genes": str(folder / "genes.tsv"),
        "expression": str(folder / "expression.tsv"),
        "samples": str(folder / "samples.tsv"),
        "store": str(folder / "store.zarr"),
        "length": length,
    }
    return yaml.safe_dump(config, sort_keys=False)
