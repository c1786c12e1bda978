"""`seqstore import-hdf5`: HDF5 files in the layout of the reference study become a store with a split."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pysam
import yaml
from tqdm import tqdm

from seqstore.build import build as build_store
from seqstore.config import BuildConfig
from seqstore.contigs import reconcile
from seqstore.errors import InputError
from seqstore.expression import match_genes
from seqstore.genes import gene_ids, read_genes
from seqstore.hdf5_rows import Hdf5Rows
from seqstore.layout import attributes_of
from seqstore.nucleotides import pack, unpack
from seqstore.outputs import check_folder, written_aside
from seqstore.reader import HaplotypeReader
from seqstore.records_of_windows import NUCLEOTIDES, GeneWindows, write_records
from seqstore.reference import Reference
from seqstore.splits import TEST, TRAIN, UNUSED, VALIDATION, split_names, write_split
from seqstore.store import open_store

logger = logging.getLogger(__name__)

#: The split that the files make.
SPLIT = "imported"
_GENOTYPES = "genotypes"
#: Random cells whose windows are compared with the files in the end.
_CELLS = 200


def import_hdf5(
    output: str,
    *,
    genes: str,
    reference: str,
    train: list[str] | None = None,
    validation: list[str] | None = None,
    test: list[str] | None = None,
    unused: list[str] | None = None,
    build: str | None = None,
    workers: int = 0,
) -> None:
    """Make a store of HDF5 files that have seqs, genes, samples, ancestries and Y, as the reference study's; resumes.

    The windows are compared with the reference, which gives the people's SNPs. Writes ``genotypes/``,
    ``genes.tsv``, ``expression.tsv``, ``samples.tsv`` and ``build.yaml`` as for any cohort, builds ``store.zarr``
    of them, and adds the split "imported". Z and P are not taken: a store makes them of training people.

    Args:
        output: folder to make
        genes: gene table or annotation that has the genes of the files, by id or by name
        reference: FASTA that the windows were made of
        train: files whose rows are for training
        validation: files whose rows are for validation
        test: files whose rows are for testing, also those of unseen genes
        unused: files whose rows have no role
        build: genome build of the files (hg19, GRCh38, ...)
        workers: processes to build with; 0 = one a core

    Raises:
        InputError: an input cannot be used; the windows are not of this reference, or have indels; or something
            else stands at ``output``.
    """
    files = {TRAIN: train, VALIDATION: validation, TEST: test, UNUSED: unused}
    pairs = [(path, role) for role, paths in files.items() for path in paths or ()]
    role_of = dict(pairs)
    if not role_of:
        raise InputError("import-hdf5: names no file; give --train, --validation, --test or --unused")
    if len(role_of) < len(pairs):
        twice = next(path for path, _ in pairs if sum(path == other for other, _ in pairs) > 1)
        raise InputError(f"{twice}: is given twice; a row has one role")
    rows, fasta, folder = Hdf5Rows(list(role_of)), Reference(reference), Path(output)
    gene_table, gene_of = _genes_of(rows.table["gene"], read_genes(genes, build), genes, fasta)
    role = np.array(list(role_of.values()))[rows.table["file"]]
    cells = rows.table.assign(gene=rows.table["gene"].map(gene_of), role=role).dropna(subset="gene")
    config = BuildConfig(
        genotypes=str(folder / _GENOTYPES / "*.vcf.gz"),
        reference=reference,
        genes=str(folder / "genes.tsv"),
        expression=str(folder / "expression.tsv"),
        samples=str(folder / "samples.tsv"),
        store=str(folder / "store.zarr"),
        length=rows.length,
        missing="n",
        build=build,
        workers=workers,
    )
    files_now = {path: [Path(path).stat().st_size, role] for path, role in role_of.items()}
    is_new = _begin(folder, {"files": files_now, "reference": reference})
    try:
        _write_tables(config, gene_table, cells)
        _write_genotypes(folder / _GENOTYPES, rows, cells, gene_table, fasta)
    except InputError:
        if is_new:  # nothing of it is worth going on with
            shutil.rmtree(folder)
        raise
    if (attributes_of(config.store) or {}).get("status") != "complete":
        build_store(config)
    _check_windows(config.store, rows, cells)
    if set(role_of.values()) != {UNUSED} and SPLIT not in split_names(config.store):
        _write_split(config.store, cells, role_of)
    logger.info("%s: %d genes, %d people", config.store, len(gene_table), cells["individual"].nunique())


def _genes_of(
    labels: pd.Series[str], table: pd.DataFrame, path: str, fasta: Reference
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The genes of a table that the files have, sorted by place; and the gene that each label of the files means.

    The study's labels are names in lower case, or ids in lower case where a gene has no name.
    """
    there = pd.Index(labels.unique())
    spell = str.lower if all(label == label.lower() for label in there) else str
    known = {name: [spell(value) for value in table[name]] for name in ("gene", "gene_name")}
    ids = [spell(value) for value in gene_ids(table)]
    row = np.array(match_genes(known["gene"], known["gene_name"], there, "the HDF5 files", ids))
    table = table[row >= 0]
    gene_of = dict(zip(there[row[row >= 0]], table["gene"], strict=True))
    strange = there.difference(pd.Index(gene_of))
    if not len(table):
        raise InputError(f"{path}: has none of the genes of the HDF5 files ({', '.join(there[:3])}, ...)")
    if len(strange):
        logger.warning(
            "warning: %s: %d genes of the HDF5 files are not there, and are left out: %s",
            *(path, len(strange), ", ".join(strange[:3]) + (", ..." if len(strange) > 3 else "")),
        )
    contig = table["contig"].map({name: reconcile(name, fasta.lengths) for name in table["contig"].unique()})
    if contig.isna().any():
        gene = table[contig.isna()].iloc[0]
        raise InputError(f"{fasta.path}: has no contig {gene['contig']}, of gene {gene['gene']}")
    return table.assign(contig=contig).sort_values(["contig", "tss"], ignore_index=True), gene_of


def _begin(folder: Path, identity: dict[str, Any]) -> bool:
    """Make the folder, or see that what stands there is this import, begun; whether it was made."""
    check_folder(folder)
    note = folder / "import.json"
    if note.is_file() and json.loads(note.read_text()) == identity:
        logger.info("%s: going on with an unfinished import", folder)
        return False
    if folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder}: exists and is not an empty folder, nor this import, begun; name a new one"
        )
    (folder / _GENOTYPES).mkdir(parents=True, exist_ok=True)
    with written_aside(note) as aside:
        aside.write_text(json.dumps(identity, indent=1))
    return True


def _write_tables(config: BuildConfig, gene_table: pd.DataFrame, cells: pd.DataFrame) -> None:
    """Write the tables of genes, people and expression, and the config of the build."""
    expression = cells.pivot(index="gene", columns="individual", values="expression")
    people = cells.groupby("individual")["population"].unique()
    many = people[people.str.len() > 1]
    if len(many):
        raise InputError(f"the HDF5 files: ancestries of {many.index[0]} are {' and '.join(many.iloc[0])}")
    tables = {
        config.genes: gene_table,
        config.assays["expression"]: expression.loc[gene_table["gene"]].reset_index(),
        str(config.samples): people.str[0].reset_index(),
    }
    for path, table in tables.items():
        with written_aside(Path(path)) as aside:  # float32 in so many digits is what it was
            table.to_csv(aside, sep="\t", index=False, float_format="%.9g", na_rep="NA", lineterminator="\n")
    with written_aside(Path(config.store).with_name("build.yaml")) as aside:
        keys = {key: value for key, value in vars(config).items() if value != getattr(BuildConfig, key, None)}
        aside.write_text(yaml.safe_dump(keys, sort_keys=False))


def _write_genotypes(
    folder: Path, rows: Hdf5Rows, cells: pd.DataFrame, gene_table: pd.DataFrame, fasta: Reference
) -> None:
    """Write the records of every contig that has none yet."""
    people = sorted(cells["individual"].unique())
    of_gene = dict(tuple(cells.groupby("gene")))
    lacking = len(of_gene) * len(people) - len(cells)
    if lacking:
        logger.warning(
            "warning: %d of %d pairs of gene and individual are not in the HDF5 files; their genotypes are missing, "
            "and N in windows",
            *(lacking, len(of_gene) * len(people)),
        )
    with tqdm(total=len(gene_table), desc="genes", disable=None) as progress:
        for contig, genes in gene_table.groupby("contig", sort=False):
            path = folder / f"{contig}.vcf.gz"
            if not path.with_name(f"{path.name}.tbi").is_file():

                def windows(genes: pd.DataFrame = genes) -> Iterator[GeneWindows]:
                    for gene, tss in zip(genes["gene"], genes["tss"].tolist(), strict=True):
                        yield _windows_of(rows, of_gene[gene], people, tss)
                        progress.update()

                with written_aside(path) as aside:
                    write_records(
                        aside, contig=str(contig), genes=windows(), individuals=people, reference=fasta
                    )
                # Last, so that records with an index are whole.
                pysam.tabix_index(str(path), preset="vcf", force=True)


def _windows_of(rows: Hdf5Rows, cells: pd.DataFrame, people: Sequence[str], tss: int) -> GeneWindows:
    """The windows of one gene, of everyone in ``people``."""
    windows = np.zeros((len(people), 2, rows.length // 2), dtype=np.uint8)
    known = np.zeros(len(people), dtype=bool)
    person = np.searchsorted(people, cells["individual"].to_numpy())
    known[person] = True
    for number, packed in rows.windows(cells):
        windows[person[number]] = packed
    return GeneWindows(cells["gene"].iloc[0], tss - 1 - rows.length // 2, windows, known)


def _check_windows(store: str, rows: Hdf5Rows, cells: pd.DataFrame) -> None:
    """Compare windows of the store with those in the files: some, drawn at random."""
    chosen = cells.sample(min(_CELLS, len(cells)), random_state=0)
    gene, person = _positions(store, chosen)
    stored = HaplotypeReader(store).read(gene, person)
    for number, packed in rows.windows(chosen):
        codes = unpack(stored[number])
        # IUPAC letters of the reference are zeros in the study's files.
        if not np.array_equal(pack(np.where(np.isin(codes, NUCLEOTIDES), codes, 0)), packed):
            cell = chosen.iloc[number]
            raise InputError(
                f"{store}: gene {cell['gene']}, individual {cell['individual']}: its windows are not those of row "
                f"{cell['row']} of {rows.paths[cell['file']]}; please report this"
            )


def _write_split(store: str, cells: pd.DataFrame, role_of: dict[str, int]) -> None:
    """The files' roles as a split; genes are of the study's classes, as far as the roles tell."""
    ds = open_store(store)
    split = np.full((ds.sizes["gene"], ds.sizes["individual"]), UNUSED, dtype=np.int8)
    split[_positions(store, cells)] = cells["role"]
    population = ds["population"].values
    classes = [_class_of(roles, population) for roles in split]
    attrs = {"rule": "roles of HDF5 files", "files": role_of}
    write_split(store, SPLIT, split=split, gene_class=classes, attrs=attrs)


def _class_of(roles: npt.NDArray[np.int8], population: npt.NDArray[np.object_]) -> str:
    """The class of a gene, by who trains and who tests it."""
    seen, tested = np.isin(roles, (TRAIN, VALIDATION)), roles == TEST
    if not seen.any():
        return "unseen" if tested.any() else "unused"
    apart = tested.any() and not set(population[seen]) & set(population[tested])
    return "population_split" if apart else "random_split"


def _positions(store: str, cells: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The genes' and the individuals' positions in a store of some cells."""
    ds = open_store(store)
    return (
        ds.indexes["gene"].get_indexer(pd.Index(cells["gene"])),
        ds.indexes["individual"].get_indexer(pd.Index(cells["individual"])),
    )
