"""Every format that expression comes in, as its makers write it, every refusal, and how genes match."""

from __future__ import annotations

import builtins
import gzip
import importlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqstore.errors import InputError
from seqstore.expression import count_matches, match_genes, read_expression
from seqstore.genes import gene_ids, read_genes

DATA = Path(__file__).parent / "data"
NAN = float("nan")


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def check(table: pd.DataFrame, genes: list[str], people: list[str], values: list[list[float]]) -> None:
    assert table.index.tolist() == genes
    assert table.index.name == "gene"
    assert table.columns.tolist() == people
    assert set(table.dtypes) == {np.dtype(np.float32)}
    np.testing.assert_array_equal(table.to_numpy(), np.array(values, dtype=np.float32))


@pytest.fixture
def h5py() -> Any:
    """The package of the extra h5ad; a test that needs it skips without it, except in CI."""
    try:
        return importlib.import_module("h5py")
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("h5py is not installed; CI needs it")
        pytest.skip("h5py is not installed")


# The form of GD462.GeneQuantRPKM.50FN.samplename.resk10.txt.gz
GEUVADIS = (
    "TargetID\tGene_Symbol\tChr\tCoord\tHG00096\tHG00097\tNA18486\n"
    "ENSG00000152931.6\tENSG00000152931.6\t5\t59783540\t0.101857770668929\t-0.0781\t0.98\n"
    "ENSG00000183696.9\tENSG00000183696.9\t7\t48128225\t8.18380494047793\tNA\t1e-3\n"
)


@pytest.mark.parametrize("name", ["GD462.txt", "GD462.txt.gz", "GD462.csv", "GD462.csv.gz", "GD462.parquet"])
def test_a_table_with_columns_that_describe_the_gene(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pd.read_csv(written(tmp_path / "x", GEUVADIS), sep="\t").to_parquet(path)
    else:
        written(path, GEUVADIS.replace("\t", ",") if ".csv" in name else GEUVADIS)
    check(
        read_expression(path),
        ["ENSG00000152931", "ENSG00000183696"],
        ["HG00096", "HG00097", "NA18486"],
        [[0.101857770668929, -0.0781, 0.98], [8.18380494047793, NAN, 1e-3]],
    )


def test_missing_values_and_labels_that_look_missing(tmp_path: Path) -> None:
    missing = ["", ".", "NA", "N/A", "NaN", "nan", "NULL", "None", "#N/A"]
    people = [f"P{i}" for i in range(len(missing))]
    rows = [
        "\t".join(["id", *people, "NA"]),
        "\t".join(["NA", *missing, "7"]),
        "\t".join(["nan", *"123456789", "0"]),
    ]
    table = read_expression(written(tmp_path / "e.tsv", "\n".join(rows) + "\n"))
    check(table, ["NA", "nan"], [*people, "NA"], [[NAN] * 9 + [7], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]])


def test_a_table_with_separators_at_the_ends_quotes_and_blank_lines(tmp_path: Path) -> None:
    text = '"gene","HG 1",HG2,,\r\n"A",1,"2",,\r\n\r\nB , 3,4\r\n'
    check(read_expression(written(tmp_path / "e.csv", text)), ["A", "B"], ["HG 1", "HG2"], [[1, 2], [3, 4]])


def test_parquet_with_the_genes_in_the_index(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"HG1": pd.array([1, None], dtype="Int64"), "HG2": np.array([0.5, NAN], np.float32)},
        index=["ENSG00000000457.13_2", "B"],
    )
    expected = (["ENSG00000000457", "B"], ["HG1", "HG2"], [[1, 0.5], [NAN, NAN]])
    frame.to_parquet(tmp_path / "unnamed.parquet")
    check(read_expression(tmp_path / "unnamed.parquet"), *expected)
    frame.rename_axis("Name").to_parquet(tmp_path / "named.parquet")
    check(read_expression(tmp_path / "named.parquet"), *expected)
    frame.reset_index(names="Name").set_axis([4, 9]).to_parquet(tmp_path / "column.parquet")
    check(read_expression(tmp_path / "column.parquet"), *expected)
    frame[["HG2"]].assign(x=1.0).reset_index(drop=True).to_parquet(tmp_path / "floats.parquet")
    with pytest.raises(InputError, match="column 'HG2' holds numbers; the first column is to hold labels"):
        read_expression(tmp_path / "floats.parquet")
    dates = pd.to_datetime(["2020-01-01", None])
    for column in (dates, dates.to_period("M")):
        frame.assign(HG2=column).to_parquet(tmp_path / "dates.parquet")
        with pytest.raises(InputError, match="column 'HG2' holds dates or times; it is to hold numbers"):
            read_expression(tmp_path / "dates.parquet")


QTLTOOLS = (
    "#chr\tstart\tend\tpid\tgid\tstrand\tHG00096\tHG00097\n"
    "chr22\t16122719\t16122720\tENSG00000215270.3\tENSG00000215270.3\t+\t0.7878783927\tNA\n"
    "chr22\t17602256\t17602257\tENSG00000183307.3\tENSG00000183307.3\t-\t1.5\t-2\n"
)
TENSORQTL = (
    "#chr\tstart\tend\tphenotype_id\tHG00096\tHG00097\n"
    "chr22\t16122719\t16122720\tENSG00000215270.3\t0.7878783927\tNA\n"
    "chr22\t17602256\t17602257\tENSG00000183307.3\t1.5\t-2\n"
)


@pytest.mark.parametrize(
    "text", [QTLTOOLS, TENSORQTL, "## a remark\n" + TENSORQTL, TENSORQTL.replace("#", "")]
)
@pytest.mark.parametrize("name", ["e.bed", "e.bed.gz", "e.bed.parquet"])
def test_phenotype_beds(tmp_path: Path, text: str, name: str) -> None:
    path = written(tmp_path / name, text)
    if name.endswith("parquet"):
        pd.read_csv(written(tmp_path / "x", text.removeprefix("## a remark\n")), sep="\t").to_parquet(path)
    values = [[0.7878783927, NAN], [1.5, -2]]
    check(read_expression(path), ["ENSG00000215270", "ENSG00000183307"], ["HG00096", "HG00097"], values)


def test_tensorqtl_parquet_with_the_ids_in_the_index(tmp_path: Path) -> None:
    frame = pd.read_csv(written(tmp_path / "x", TENSORQTL), sep="\t", index_col="phenotype_id")
    frame.to_parquet(tmp_path / "e.bed.parquet")
    table = read_expression(tmp_path / "e.bed.parquet")
    values = [[0.7878783927, NAN], [1.5, -2]]
    check(table, ["ENSG00000215270", "ENSG00000183307"], ["HG00096", "HG00097"], values)


# The two forms of GTEx: all samples of a release, and the samples of one tissue.
GCT = (
    "#1.2\n2\t2\nName\tDescription\tGTEX-1117F-0226-SM-5GZZ7\tGTEX-111CU-1826-SM-5GZYN\n"
    "ENSG00000223972.5\tDDX11L1\t0\t0.1082\nENSG00000227232.5\tWASH7P\t8.764\t3.861\n"
)


@pytest.mark.parametrize("of_a_tissue", [False, True])
def test_gct(tmp_path: Path, of_a_tissue: bool) -> None:
    text = GCT.replace("Name", "id\tName").replace("\nENSG", "\n7\tENSG") if of_a_tissue else GCT
    check(
        read_expression(written(tmp_path / "gene_tpm_whole_blood.gct.gz", text)),
        ["ENSG00000223972", "ENSG00000227232"],
        ["GTEX-1117F-0226-SM-5GZZ7", "GTEX-111CU-1826-SM-5GZYN"],
        [[0, 0.1082], [8.764, 3.861]],
    )


def test_anndata(h5py: Any) -> None:
    """Files that anndata 0.12.19 wrote: 3 individuals (obs) x 2 genes (var), dense and sparse."""
    genes, people = ["ENSG00000000457", "ENSG00000000971"], ["HG00096", "HG00097", "NA18486"]
    check(read_expression(DATA / "expression.h5ad"), genes, people, [[1.5, NAN, 0], [0, 2, -3.25]])
    check(read_expression(DATA / "expression_sparse.h5ad"), genes, people, [[1.5, 0, 0], [0, 2, -3.25]])


def test_anndata_with_labels_as_pandas_3_has_them(h5py: Any, tmp_path: Path) -> None:
    path = tmp_path / "e.h5ad"
    shutil.copy(DATA / "expression.h5ad", path)
    with h5py.File(path, "r+") as file:
        labels = file["obs/_index"][()]
        del file["obs/_index"]
        index = file["obs"].create_group("_index")
        index.attrs["encoding-type"] = "nullable-string-array"
        index["values"], index["mask"] = labels, np.zeros(3, dtype=bool)
    assert read_expression(path).columns.tolist() == ["HG00096", "HG00097", "NA18486"]


def test_anndata_that_is_refused(h5py: Any, tmp_path: Path) -> None:
    path = tmp_path / "e.h5ad"
    with pytest.raises(InputError, match=r"e\.h5ad: no such AnnData file"):
        read_expression(path)
    path.write_text("hello")
    with pytest.raises(InputError, match=r"e\.h5ad: cannot be read as an AnnData file with X, obs and var"):
        read_expression(path)
    for spoilt in ("X", "obs", "var/_index"):
        shutil.copy(DATA / "expression.h5ad", path)
        with h5py.File(path, "r+") as file:
            del file[spoilt]
        with pytest.raises(InputError, match="cannot be read as an AnnData file"):
            read_expression(path)
    shutil.copy(DATA / "expression.h5ad", path)
    with h5py.File(path, "r+") as file:
        del file["obs/_index"]
        file["obs/_index"] = np.arange(3)
        file["obs/_index"].attrs["encoding-type"] = "array"
    with pytest.raises(InputError, match="cannot be read as an AnnData file"):
        read_expression(path)
    shutil.copy(DATA / "expression.h5ad", path)
    with h5py.File(path, "r+") as file:
        file["X"].attrs["encoding-type"] = "awkward-array"
    with pytest.raises(InputError, match="X is stored as awkward-array"):
        read_expression(path)


def test_anndata_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_h5py(name: str, *arguments: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_h5py)
    path = DATA / "expression.h5ad"
    with pytest.raises(InputError) as refused:
        read_expression(path)
    assert str(refused.value) == f'{path}: reading .h5ad needs h5py; pip install "seqstore[h5ad]"'


@pytest.mark.parametrize(
    "describing",
    [
        ("gene_length",),
        ("entrezgene_id", "chromosome_name", "start_position", "end_position", "hgnc_symbol"),  # biomaRt
        ("Gene start (bp)", "Gene end (bp)", "Chromosome/scaffold name", "Gene % GC content"),  # BioMart
        ("Chr", "Start", "End", "Strand", "Length"),  # featureCounts
        ("transcript_id(s)", "length", "effective_length"),  # RSEM
        ("gene_id", "bp_length", "symbol"),  # recount
        ("Description",),  # GTEx
    ],
)
@pytest.mark.parametrize("at_end", [False, True])
def test_numbers_that_describe_genes_are_no_people(
    tmp_path: Path, describing: tuple[str, ...], at_end: bool
) -> None:
    people = ["HG1", "HG2"]
    columns = [*people, *describing] if at_end else [*describing, *people]
    rows = [
        ["gene", *columns],
        *([gene, *("1" if c in people else "1500" for c in columns)] for gene in "AB"),
    ]
    path = written(tmp_path / "e.tsv", "".join("\t".join(row) + "\n" for row in rows))
    check(read_expression(path), ["A", "B"], people, [[1, 1], [1, 1]])


def test_individuals_x_genes_are_refused(tmp_path: Path) -> None:
    genes = [f"ENSG{number:011d}.3" for number in range(3)]
    text = "\t".join(["sample", *genes]) + "\nHG1\t1\t2\t3\nHG2\t1\t2\t3\n"
    path = written(tmp_path / "e.tsv", text)
    with pytest.raises(InputError) as refused:
        read_expression(path)
    assert str(refused.value) == (
        f"{path}: its columns are genes (ENSG00000000000.3, …) and its rows are not (HG1, …); transpose it to "
        "genes x individuals"
    )


def test_a_quote_that_is_not_closed_on_a_wide_line(tmp_path: Path) -> None:
    n = 20_000
    header = "\t".join(["gene", *(f"HG{number}" for number in range(n))])
    row = '"A\t' + "\t".join(["0.1234567"] * n)
    for text, line in ((f"{header}\n{row}\n", 2), (f'"{header}{header}\n', 1)):
        path = written(tmp_path / "e.tsv", text)
        with pytest.raises(
            InputError, match=rf'line {line} cannot be split .*; is a quote \("\) not closed\?'
        ):
            read_expression(path)


TABLE = "gene\tHG1\tHG2\nENSG00000000457.13\t1\t2\nB\t3\t4\n"
NOT_FINITE = "is not a finite number (write NA for not measured)"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.tsv", TABLE.replace("4\n", "lots\n"), f"'lots' of gene B, individual HG2 {NOT_FINITE}"),
        ("e.tsv", TABLE.replace("4\n", "inf\n"), f"inf of gene B, individual HG2 {NOT_FINITE}"),
        ("e.tsv", TABLE.replace("4\n", "-Inf\n"), f"-inf of gene B, individual HG2 {NOT_FINITE}"),
        ("e.tsv", TABLE.replace("4\n", "1e39\n"), f"1e+39 of gene B, individual HG2 {NOT_FINITE}"),
        ("e.tsv", TABLE.replace("\t3", "\t1,5"), f"'1,5' of gene B, individual HG1 {NOT_FINITE}"),
        ("e.tsv", TABLE.replace("\t2\n", "\tTrue\n").replace("4\n", "False\n"), "'True' of gene ENSG00000000457"),
        ("e.tsv", TABLE.replace("\nB", "\nENSG00000000457.2"), "gene 'ENSG00000000457' stands there more than once"),
        ("e.tsv", TABLE.replace("HG2", "HG1"), "column 'HG1' stands there more than once"),
        ("e.tsv", TABLE.replace("\nB", "\n"), "gene 2 has no label"),
        ("e.tsv", TABLE.replace("HG1", ""), "individual 1 has no label"),
        ("e.tsv", TABLE.replace("\t4", ""), "line 3 has 2 columns, but the header names 3"),
        ("e.tsv", TABLE.replace("\t4", "\t4\t5"), "line 3 has 4 columns, but the header names 3"),
        ("e.tsv", "gene\tHG1\n", "has no gene"),
        ("e.tsv", "gene\tgene_name\nA\tB\n", "has no individual"),
        ("e.csv", TABLE, "needs several columns, separated by tabs (or commas in .csv files)"),
        ("e.tsv.gz", "", "cannot be read as an expression table (it is empty)"),
        ("e.bed", "chr1\t5\t6\tA\t0\t+\n", "has no header line (#chr, start, end, id, then the individuals)"),
        ("e.bed", "", "has no header line"),
        ("e.bed", "#chr\tstart\tend\tname\tscore\tstrand\nchr1\t5\t6\tA\t0\t+\n", "has no individual"),
        ("e.bed", QTLTOOLS.replace("\t-2", "\tx"), f"'x' of gene ENSG00000183307, individual HG00097 {NOT_FINITE}"),
        ("e.bed", QTLTOOLS.replace("183307", "215270"), "gene 'ENSG00000215270' stands there more than once"),
        ("e.gct", GCT.replace("#1.2", "#1.3"), "begins with '#1.3'; a GCT file that can be read begins with #1.2"),
        ("e.gct", "", "begins with ''"),
        ("e.gct", GCT.replace("2\t2", "3\t2"), "holds 2 genes and 2 individuals, but its second line says 3 and 2; is"),
        ("e.gct", GCT.replace("2\t2", ""), "but its second line says nothing"),
        ("e.gct", GCT.replace("Name\t", "Gene\t"), "its columns do not begin with Name and Description"),
        ("e.gct", GCT.replace("\t3.861", ""), "line 5 has 3 columns, but the header names 4"),
        ("e.gct", GCT.replace("3.861", "high"), "'high' of gene ENSG00000227232, individual GTEX-111CU"),
    ],
)  # fmt: skip
def test_expression_that_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = written(tmp_path / name, text)
    with pytest.raises(InputError) as refused:
        read_expression(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [("e.tsv", "expression table"), ("e.parquet", "expression table"), ("e.bed.gz", "BED file"), ("e.gct", "GCT file")],
)  # fmt: skip
def test_expression_that_is_not_there(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no such {what}"):
        read_expression(tmp_path / name)


def test_matches_are_counted_by_rule(tmp_path: Path) -> None:
    table = (
        "gene_id\tgene_name\tcontig\ttss\tstrand\n"
        "ENSG00000000457.13\tSCYL3\t1\t5\t+\nENSG00000000971.15\tCFH\t1\t6\t+\nENSG00000001036\tFUCA2\t6\t7\t-\n"
        "ENSG00000001084.10\tGCLC\t6\t8\t-\nX1\tNFYA\t6\t9\t+\nX2\tNO\t6\t9\t+\n"
    )
    genes = read_genes(written(tmp_path / "genes.tsv", table))
    expression = (
        "gene\tHG1\nENSG00000000457.13\t1\nENSG00000000971.2_1\t2\nENSG00000001036\t3\n"
        "ENSG00000001084\t4\nNFYA\t5\nELSE\t6\n"
    )
    path = written(tmp_path / "expression.tsv", expression)
    measured = read_expression(path)
    rows = match_genes(genes["gene"].tolist(), genes["gene_name"].tolist(), measured.index, path)
    assert rows == [0, 1, 2, 3, 4, -1]
    expected = {"id": 2, "id_without_version": 2, "name": 1, "unmatched": 1}
    assert count_matches(genes, measured, rows) == expected
    later = genes[genes["gene"] != "X2"].reset_index(drop=True).assign(window_start=0)
    assert count_matches(later, measured, rows[:5]) == {"id": 2, "id_without_version": 2, "name": 1}


def test_an_id_beside_the_label_matches_before_the_name(tmp_path: Path) -> None:
    table = (  # the layout of genes whose labels are symbols; here with ids of Entrez, too
        "gene\tgene_id\tcontig\ttss\tstrand\nITPA\tENSG00000125877.1\t1\t5\t+\nMAVS\t57506\t1\t6\t+\n"
        "ENSG00000230000\tENSG00000230000\t1\t7\t+\nB\tNA\t1\t8\t+\nC\t\t1\t9\t+\n"
    )
    genes = read_genes(written(tmp_path / "genes.tsv", table))
    assert gene_ids(genes) == ["ENSG00000125877", "57506", "ENSG00000230000", "", ""]
    assert gene_ids(pd.DataFrame({"gene_id": [57506.0, NAN]})) == ["57506", ""], "as a store has them"
    text = "gene\tHG1\nENSG00000125877.9\t1\n57506\t2\nENSG00000230000.1\t3\nB\t4\nNA\t5\n"
    path = written(tmp_path / "e.tsv", text)
    measured = read_expression(path)
    labels, names = genes["gene"].tolist(), genes["gene_name"].tolist()
    rows = match_genes(labels, names, measured.index, path, gene_ids(genes))
    assert rows == [0, 1, 2, 3, -1]
    expected = {"gene_id": 2, "id_without_version": 1, "id": 1, "unmatched": 1}
    assert count_matches(genes, measured, rows) == expected


def test_a_copy_on_y_does_not_take_the_name_of_its_gene() -> None:
    labels = ["ENSG00000182378", "ENSG00000182378_PAR_Y", "ENSGR0000178605"]
    names = ["PLCXD1", "PLCXD1", "GTPBP6"]
    assert match_genes(labels, names, pd.Index(["PLCXD1", "GTPBP6"]), "e") == [0, -1, -1]
    assert match_genes(labels, names, pd.Index([labels[1], labels[0]]), "e") == [1, 0, -1]


def test_two_genes_of_one_name_are_refused() -> None:
    with pytest.raises(InputError) as refused:
        match_genes(["G2", "G3"], ["Y_RNA", "Y_RNA"], pd.Index(["Y_RNA"]), "e.tsv")
    assert str(refused.value) == (
        "e.tsv: row Y_RNA matches two genes, G2 and G3; label it by gene id, or keep one of the genes"
    )
