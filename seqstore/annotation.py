"""Genes of a GTF or GFF3 annotation (GENCODE, Ensembl, RefSeq)."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from seqstore.errors import InputError
from seqstore.tables import lines_of

_PAIR = re.compile(r'([^\s;]+)\s+(?:"([^"]*)"|([^\s;]+))')
_BUILD = r"(GRCh\d+|hg\d+|T2T-CHM13)"


def read_annotation(path: str | Path) -> pd.DataFrame:
    """Read the genes of a GTF or GFF3 file, plain or gzipped; their TSS is their 5' end.

    Returns columns ``gene`` (with its version, where the file has it there), ``gene_name``, ``contig``,
    ``tss`` (1-based, as text), ``strand`` and ``gene_type`` ("" = not given); the build that the header
    names becomes the column ``build``. Genes are the rows whose type is ``gene`` or, as Ensembl's GFF3 has
    them, ends so (``ncRNA_gene``, ``pseudogene``), and that have no parent. The copies on chrY that GENCODE
    keeps of pseudoautosomal genes have labels of their own (``…_PAR_Y``, before version 25 ``ENSGR…``).

    Raises:
        InputError: it cannot be read, has no genes, or one without label or strand.
    """
    rows: list[tuple[str, str, str, str, str, str]] = []
    build = ""
    for number, line in enumerate(lines_of(path, "gene annotation"), start=1):
        if line.startswith("#"):
            build = build or _build_of(line)
            continue
        if "gene\t" not in line:
            continue
        fields = line.split("\t")
        if len(fields) != 9 or not fields[2].endswith("gene"):
            continue
        contig, _, _, start, end, _, strand, _, text = fields
        attributes = _attributes(text)
        if "Parent" in attributes:
            continue
        # In GENCODE's GFF3 only ID tells the copy of a gene on chrY from the one on chrX.
        gene = re.sub("^gene[:-]", "", attributes.get("ID", attributes.get("gene_id", "")))
        if not gene:
            raise InputError(f"{path}: line {number} is a gene without gene_id or ID")
        if strand not in ("+", "-"):
            raise InputError(
                f"{path}: gene {gene} has strand {strand!r}; without + or - its TSS cannot be told"
            )
        name = _first_of(attributes, ("gene_name", "Name", "gene")) or gene
        gene_type = _first_of(attributes, ("gene_type", "gene_biotype", "biotype"))
        rows.append((gene, name, contig, start if strand == "+" else end, strand, gene_type))
    if not rows:
        raise InputError(f"{path}: holds no rows of type 'gene'")
    genes = pd.DataFrame(rows, columns=["gene", "gene_name", "contig", "tss", "strand", "gene_type"])
    return genes.assign(build=build) if build else genes


def _build_of(comment: str) -> str:
    """The genome build that a comment names; lifted annotations name the one they come from, too."""
    found = re.search(f"mapped to {_BUILD}", comment) or re.search(_BUILD, comment)
    return found[1] if found else ""


def _attributes(text: str) -> dict[str, str]:
    """The ninth column: GFF3's ``key=value;…`` or GTF's ``key "value"; …``."""
    if re.match(r"\s*[^\s=;]+=", text):
        pairs = (part.partition("=") for part in text.split(";"))
        return {key.strip(): unquote(value.strip()) for key, _, value in pairs}
    return {key: quoted or bare for key, quoted, bare in _PAIR.findall(text)}


def _first_of(attributes: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((attributes[key] for key in keys if attributes.get(key)), "")
