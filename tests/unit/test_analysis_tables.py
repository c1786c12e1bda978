"""Cohorts, splits and predictions out of tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analysis_datasets import store_of

from analysis.ceiling import against_heritability, ceiling_summary, read_heritability
from analysis.cohort import cohort_of_tables, with_expression
from analysis.gene_tables import expression_from_tables, read_gene_table
from analysis.predictions import read_predictions
from analysis.split_tables import read_split_table, split_for
from seqstore.errors import InputError
from seqstore.predictions import write_predictions

WIDE = ",p1,p2,p3\na,train,val,test\nb,test,test,test\nc,,NA,unused\n"
LONG = (
    "gene\tindividual\tsplit\na\tp1\ttrain\na\tp2\tval\na\tp3\ttest\nb\tp1\ttest\nb\tp2\ttest\nb\tp3\ttest\n"
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def store() -> xr.Dataset:
    """gene0 (ITPA), gene1 and gene2 (both MAVS), and four people."""
    dataset = store_of(["chr1"] * 3, 4)
    return dataset.assign_coords(gene_name=("gene", np.array(["ITPA", "MAVS", "MAVS"], dtype=object)))


def test_a_split_in_the_layout_of_the_study(tmp_path: Path) -> None:
    split = read_split_table(write(tmp_path / "splits.csv", WIDE))
    assert split["split"].values.tolist() == [[1, 2, 3], [3, 3, 3], [0, 0, 0]]
    assert split["gene_class"].values.tolist() == ["random_split", "unseen", "unused"]
    assert split["individual"].values.tolist() == ["p1", "p2", "p3"]


def test_a_long_split(tmp_path: Path) -> None:
    split = read_split_table(write(tmp_path / "splits.tsv", LONG))
    assert split["gene"].values.tolist() == ["a", "b"]
    assert split["split"].values.tolist() == [[1, 2, 3], [3, 3, 3]]
    classes = LONG.replace("split\n", "split\tgene_class\n", 1)
    lines = [f"{line}\t{'yri_split' if line[0] == 'a' else 'unseen'}" for line in classes.split("\n")[1:-1]]
    text = "\n".join([classes.split("\n")[0], *lines]) + "\n"
    assert read_split_table(write(tmp_path / "classes.tsv", text))["gene_class"].values.tolist() == [
        "population_split",
        "unseen",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WIDE.replace("val", "dev"), "'dev' is not train, val, test or unused"),
        (WIDE + "a,test,test,test\n", "gene 'a' stands there more than once"),
        (LONG.replace("\t", ",") + "b,p3,train\n", "more than once"),
        ("gene,individual,split,gene_class\na,p1,test,new\n", "gene a has no gene class 'new'"),
        (
            "gene,individual,split,gene_class\na,p1,test,unseen\na,p2,test,unused\n",
            "gene a is unseen and unused; keep one",
        ),
    ],
)
def test_bad_split_tables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_split_table(write(tmp_path / "splits.csv", text))


def test_a_split_of_some_genes_of_a_store(tmp_path: Path, store: xr.Dataset) -> None:
    text = ",person003,nobody,person001\nITPA,train,train,test\ngene2,test,test,test\nother,test,test,test\n"
    split = split_for(store, read_split_table(write(tmp_path / "s.csv", text)), "s.csv")
    assert split["split"].values.tolist() == [[0, 3, 0, 1], [0] * 4, [0, 3, 0, 3]]
    assert split["gene_class"].values.tolist() == ["random_split", "unused", "unseen"]
    alone = read_split_table(write(tmp_path / "t.csv", ",x,y\nMAVS,train,test\n"))
    with pytest.raises(InputError, match="the split table has no gene of the store"):
        split_for(store, alone, "t.csv")


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_tables_are_turned_and_matched(tmp_path: Path, store: xr.Dataset, ending: str) -> None:
    table = pd.DataFrame(
        [[1.5, np.nan, 7], [2.5, 3.5, 8]], ["ITPA", "gene1"], ["person000", "0_person002", "nobody"]
    )
    expected = np.full((3, 4), np.nan)
    expected[0, 0], expected[1, 0], expected[1, 2] = 1.5, 2.5, 3.5
    for number, turned in enumerate((table, table.T)):
        path = tmp_path / f"{number}{ending}"
        turned.to_csv(path, sep="," if ending == ".csv" else "\t", na_rep="NA")
        np.testing.assert_array_equal(read_gene_table(path, "prediction table", store), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",q1,q2\ngene0,1,2\n", "has no individual of the split"),
        (",person000,person001\nx,1,2\n", "has no gene of the split"),
        (
            ",person000,person001\ngene0,1,good\n",
            "'good' of gene gene0, individual person001 is not a finite",
        ),
        (",person000,person001\ngene0,1,inf\n", "is not a finite number"),
        (",person000,person001\ngene0,1,2\nITPA,1,2\n", "gene 'gene0' stands there more than once"),
    ],
)
def test_bad_tables(tmp_path: Path, store: xr.Dataset, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_gene_table(write(tmp_path / "table.csv", text), "prediction table", store)


def test_expression_of_several_tables_is_to_agree(tmp_path: Path, store: xr.Dataset) -> None:
    first = write(tmp_path / "a.csv", ",person000,person001\ngene0,1,2\n")
    second = write(tmp_path / "b.csv", ",person001,person002\ngene0,2,3\ngene1,5,\n")
    merged = expression_from_tables([first, second], store)
    np.testing.assert_array_equal(merged[:2], [[1, 2, 3, np.nan], [np.nan, 5, np.nan, np.nan]])
    write(tmp_path / "b.csv", ",person001,person002\ngene0,2.1,3\n")
    with pytest.raises(InputError, match=r"gene0 of individual person001 is 2\.1, but 2 in .*a\.csv"):
        expression_from_tables([first, second], store)
    bed = "#chr\tstart\tend\tphenotype_id\tperson002\nchr1\t9\t10\tgene2\t4.5\n"
    replaced = with_expression(store, [write(tmp_path / "c.bed", bed)])
    assert replaced["expression"].values[0, 2, 2] == 4.5
    assert np.isfinite(replaced["expression"].values).sum() == 1


def test_a_cohort_of_tables(tmp_path: Path) -> None:
    split = write(tmp_path / "splits.csv", WIDE)
    expression = write(tmp_path / "expression.csv", ",p1,p3\nb,1,2\nz,3,4\n")
    samples = write(tmp_path / "samples.tsv", "sample\tpopulation\np3\tFIN\np1\tGBR\n")
    classes = write(tmp_path / "classes.csv", "gene,class\na,yri_split\nb,unseen\n")
    cohort, (made,) = cohort_of_tables([split], [expression], gene_class=classes, samples=samples)
    assert cohort["gene"].values.tolist() == ["a", "b", "c"]
    assert cohort["population"].values.tolist() == ["GBR", "", "FIN"]
    np.testing.assert_array_equal(cohort["expression"][0, 1], [1, np.nan, 2])
    assert made["gene_class"].values.tolist() == ["population_split", "unseen", "unused"]
    write(tmp_path / "classes.csv", "gene,class\nd,unseen\n")
    with pytest.raises(InputError, match="no gene 'd': there is a, b, c"):
        cohort_of_tables([split], [expression], gene_class=classes)


def test_replicates_folds_and_formats_of_predictions(tmp_path: Path, store: xr.Dataset) -> None:
    zarr = tmp_path / "cv0.zarr"
    genes, people = ["gene2", "gene0"], ["person003", "person000", "x"]
    write_predictions(zarr, np.arange(6).reshape(2, 3), gene=genes, individual=people, name="m")
    table = write(tmp_path / "cv0.csv", ",person003,person001\ngene2,8,9\n")
    split = read_split_table(write(tmp_path / "s.csv", ",person000,person001\ngene0,train,test\n"))
    named = [f"m={zarr},{table}", f"t={tmp_path}/{{split}}.csv"]
    read = read_predictions(named, store, {"cv0": split})
    (m,), (t,) = read["m"], read["t"]
    assert m.dims == ("replicate", "gene", "individual")
    assert m.sel(gene="gene2", individual="person003").values.tolist() == [0, 8]
    assert t.sel(gene="gene2", individual="person001") == 9
    for entry, message in (
        ("m=", "give name=path"),
        ("m=a.csv,", "give name=path"),
        (f"m={tmp_path}/none.csv", "none.csv: no such prediction table"),
    ):
        with pytest.raises(InputError, match=message):
            read_predictions([entry], store, {"cv0": split})


def test_predictions_of_an_unknown_split_are_warned_of(
    tmp_path: Path, store: xr.Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    split = read_split_table(write(tmp_path / "s.csv", ",person000,person001\ngene0,train,test\n"))
    attrs = {"split": "main", "split_fingerprint": "0" * 64}
    write_predictions(
        tmp_path / "m.zarr", [[1.0]], gene=["gene0"], individual=["person001"], name="m", attrs=attrs
    )
    read_predictions([f"m={tmp_path}/m.zarr"], store, {"s": split})
    assert "trained on split 'main', which is not the one evaluated" in caplog.text


def test_heritability_of_both_layouts(tmp_path: Path) -> None:
    ours = read_heritability(
        write(tmp_path / "h.tsv", "gene\tn\th2\tse\tp\na\t9\t0.25\t0.1\t0.01\nb\t9\t\t\t\n")
    )
    assert ours["gene"].tolist() == ["a", "b"]
    assert ours.loc[0, ["h2", "se", "p"]].tolist() == [0.25, 0.1, 0.01]
    assert ours.loc[1, ["h2", "se", "p"]].isna().all()
    fusion = read_heritability(write(tmp_path / "h.hsq", "a 0.25 0.1 0.01 \nb -0.5 0.1 1\nc 0 0 0\n"))
    per_gene = pd.DataFrame(
        {"method": "m", "gene": ["a", "b", "c", "d", "e"], "gene_class": "unseen",
         "pearson_r": [0.4, 0.1, 0.1, 0.3, np.nan]}
    )  # fmt: skip
    table = against_heritability(per_gene, fusion)
    assert table["h"].tolist() == [0.5, 0, 0]
    assert table["r_over_h"].tolist()[0] == 0.8
    assert table["r_over_h"].isna().tolist() == [False, True, True]
    row = ceiling_summary(per_gene, fusion).iloc[0]
    assert row.tolist() == [
        "m",
        "unseen",
        3,
        pytest.approx(0.2),
        pytest.approx(0.5 / 3),
        pytest.approx(1.2),
        1,
    ]
    assert ceiling_summary(per_gene, ours)["n_genes"].item() == 1
    for text, message in (
        ("gene\tvalue\na\t1\n", "needs columns gene and h2"),
        ("a 1 2\n", "needs a header with gene and h2"),
        ("gene\th2\na\tlow\n", "h2 of gene a is 'low'"),
        ("a 1 2 3\na 1 2 3\n", "more than once"),
    ):
        with pytest.raises(InputError, match=message):
            read_heritability(write(tmp_path / "bad", text))
    with pytest.raises(InputError, match="no gene that is evaluated"):
        against_heritability(per_gene.assign(gene="x"), fusion)
