"""Gene classes and held-out people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from analysis_datasets import store_of

from analysis.gene_classes import (
    classes_by_contig,
    classes_by_share,
    classes_from_table,
    rest_unseen,
    sampled,
    unseen_apart,
)
from analysis.splits import counts_of, listed_people, split_people, training_subsets
from seqstore.errors import InputError


def genes_on(**sizes: int) -> xr.Dataset:
    return store_of([contig for contig, n in sizes.items() for _ in range(n)], 10)


def people_with(split: xr.Dataset, gene: str, code: int) -> set[str]:
    labels = split["split"].sel(gene=gene)
    return set(split["individual"].values[labels.values == code])


def test_contigs_go_by_size_to_the_first_class_with_room() -> None:
    store = genes_on(chr1=3, chr2=4, chr3=2, chr4=1)
    # Targets are 4 and 4 of 10: chr2 fills random_split, chr1 fits population_split, chr3 neither, chr4 does.
    classes = dict(zip(store["contig"].values, classes_by_share(store, population=True), strict=True))
    assert classes == {
        "chr1": "population_split",
        "chr2": "random_split",
        "chr3": "unseen",
        "chr4": "population_split",
    }


def test_without_a_population_the_random_split_takes_both_shares() -> None:
    store = genes_on(chr1=3, chr2=4, chr3=2, chr4=1)
    classes = dict(zip(store["contig"].values, classes_by_share(store, population=False), strict=True))
    assert classes == {
        "chr1": "random_split",
        "chr2": "random_split",
        "chr3": "unseen",
        "chr4": "random_split",
    }


def test_a_single_contig_is_not_all_unseen() -> None:
    assert classes_by_share(genes_on(chr20=3), population=False) == ["random_split"] * 3
    assert classes_by_share(genes_on(chr20=3), population=True) == ["population_split"] * 3


def test_contigs_too_uneven_for_the_rule_are_refused() -> None:
    with pytest.raises(InputError, match="random_split and population_split would have no genes"):
        classes_by_share(genes_on(chr1=5, chr2=5), population=True)


def test_named_contigs_with_or_without_chr_and_the_rest_unused() -> None:
    store = genes_on(chr1=1, chr2=1, chr3=1, chr4=1)
    classes = classes_by_contig(store, random=["1"], population=["chr2"], unseen=["chr3"])
    assert classes == ["random_split", "population_split", "unseen", "unused"]


def test_unknown_and_twice_named_contigs_are_refused() -> None:
    store = genes_on(chr1=1, chr2=1)
    with pytest.raises(InputError, match="no gene on contig 'chr5': there is chr1, chr2"):
        classes_by_contig(store, random=["chr5"])
    with pytest.raises(InputError, match="'1' is named for random_split and unseen"):
        classes_by_contig(store, random=["chr1"], unseen=["1"])


def test_classes_from_a_table(tmp_path: Path) -> None:
    store = genes_on(chr1=3)
    table = tmp_path / "classes.tsv"
    table.write_text("gene\tgene_class\ngene2\tunseen\ngene0\trandom_split\n")
    assert classes_from_table(store, table) == ["random_split", "unused", "unseen"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gene\tgene_class\ngene9\tunseen\n", "no gene 'gene9': there is gene0, gene1, gene2"),
        ("gene\tgene_class\ngene1\tfin_split\n", "gene gene1 has no gene class 'fin_split'"),
        ("gene\tgene_class\ngene1\tunseen\ngene1\tunseen\n", "more than once"),
        ("gene\tkind\ngene1\tunseen\n", "needs columns gene and gene_class"),
    ],
)
def test_bad_class_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "classes.tsv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        classes_from_table(genes_on(chr1=3), table)


def test_the_same_people_are_held_out_of_every_gene() -> None:
    store = store_of(["chr1"] * 3, 100)
    split = split_people(store, ["random_split", "unseen", "random_split"], seed=3)["split"].values
    np.testing.assert_array_equal(split[0], split[2])
    np.testing.assert_array_equal(split[1], 3)
    assert np.bincount(split[0]).tolist() == [0, 76, 4, 20]  # 20% test, 5% of the other 80 validate


def test_the_study_counts() -> None:
    split = split_people(store_of(["chr1"], 421), ["random_split"], test_share=77 / 421)
    counts = counts_of(split).iloc[0]
    assert (counts["train"], counts["validation"], counts["test"]) == (327, 17, 77)


def test_a_population_is_held_out_by_either_column() -> None:
    store = store_of(["chr1"], 40)
    for population in ("AFRI", "AFR"):
        split = split_people(store, ["population_split"], test_population=population)
        assert people_with(split, "gene0", 3) == {f"person{i:03d}" for i in range(1, 40, 2)}
        assert len(people_with(split, "gene0", 2)) == 1


def test_draws_depend_on_labels_not_on_order() -> None:
    store = store_of(["chr1", "chr1"], 50)
    turned = store.isel(gene=[1, 0], individual=slice(None, None, -1))
    for per_gene in (False, True):
        first = split_people(store, ["random_split"] * 2, per_gene=per_gene, seed=1)
        second = split_people(turned, ["random_split"] * 2, per_gene=per_gene, seed=1)
        for gene in ("gene0", "gene1"):
            for code in (1, 2, 3):
                assert people_with(first, gene, code) == people_with(second, gene, code)
        other = split_people(store, ["random_split"] * 2, per_gene=per_gene, seed=2)
        assert people_with(first, "gene0", 3) != people_with(other, "gene0", 3)


def test_per_gene_draws_differ_between_genes() -> None:
    split = split_people(store_of(["chr1"] * 2, 50), ["random_split"] * 2, per_gene=True)
    assert people_with(split, "gene0", 3) != people_with(split, "gene1", 3)


def test_folds_test_everybody_once() -> None:
    store = store_of(["chr1", "chr2"], 23)
    folds = [split_people(store, ["random_split", "unseen"], fold=(i, 5), seed=4) for i in range(5)]
    tested = np.stack([fold["split"].values[0] == 3 for fold in folds])
    np.testing.assert_array_equal(tested.sum(axis=0), 1)
    assert sorted(tested.sum(axis=1)) == [4, 4, 5, 5, 5]
    validating = [people_with(fold, "gene0", 2) for fold in folds]
    assert all(validating[0] != other for other in validating[1:]) or not validating[0]
    assert folds[2].attrs["fold"] == 2
    assert folds[2].attrs["folds"] == 5


def test_counts_by_class() -> None:
    store = store_of(["chr1"] * 4, 100)
    split = split_people(store, ["unseen", "random_split", "unused", "random_split"])
    assert counts_of(split).to_numpy().tolist() == [
        ["random_split", 2, 76, 4, 20],
        ["unseen", 1, 0, 0, 100],
        ["unused", 1, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        (["random_split"], {"test_share": 0.01}, "no test people"),
        (["random_split"], {"test_share": 1.5}, "test share 1.5"),
        (["random_split"], {"validation_share": -0.1}, "validation share -0.1"),
        (["random_split"], {"fold": (0, 50)}, "50 folds"),
        (["unseen"], {"fold": (0, 5)}, "there are none"),
        (["random_split"], {"test_population": "AFRI"}, "no gene would have population AFRI held out"),
        (["population_split"], {}, "give --test-population"),
        (
            ["population_split"],
            {"test_population": "FIN"},
            "no population 'FIN': there is AFR, AFRI, EUR, EURO",
        ),
        (["unused"], {}, "every gene would be unused"),
    ],
)
def test_impossible_rules_are_refused(classes: list[str], options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_people(store_of(["chr1"], 20), classes, **options)  # type: ignore[arg-type]


def test_a_population_holding_everybody_leaves_nobody_to_train() -> None:
    store = store_of(["chr1"], 20, populations=["EURO"])
    with pytest.raises(InputError, match="no training people"):
        split_people(store, ["population_split"], test_population="EURO")


def test_a_store_without_populations() -> None:
    store = store_of(["chr1"], 20).drop_vars(["population", "superpopulation"])
    with pytest.raises(InputError, match="build it with a sample table"):
        split_people(store, ["population_split"], test_population="FIN")


def test_a_number_of_genes_is_drawn_by_label() -> None:
    store = genes_on(chr1=30, chr2=10, chr3=10)
    classes = ["random_split"] * 30 + ["unseen"] * 20
    drawn = sampled(store, classes, {"random_split": 5, "unseen": 3}, seed=1)
    assert [drawn.count(name) for name in ("random_split", "unseen", "unused")] == [5, 3, 42]
    turned = sampled(
        store.isel(gene=slice(None, None, -1)), classes[::-1], {"random_split": 5, "unseen": 3}, seed=1
    )
    assert drawn == turned[::-1]
    assert drawn != sampled(store, classes, {"random_split": 5, "unseen": 3}, seed=2)
    rest = rest_unseen(store, classes, drawn)
    assert rest.count("unseen") == 17
    assert not any(a == "unseen" and b != "unused" for a, b in zip(rest, drawn, strict=True))
    # A contig on which a gene is trained is not untouched.
    classes[-1] = drawn[-1] = "random_split"
    assert rest_unseen(store, classes, drawn).count("unseen") == 10 - drawn[30:40].count("unseen")
    with pytest.raises(InputError, match="40 genes of class unseen: give from 1 up to its 19 genes"):
        sampled(store, classes, {"unseen": 40})


def test_unseen_genes_near_a_trained_one_are_unused() -> None:
    # Windows are 1,000 bases long.
    store = store_of(["chr1"] * 4 + ["chr2"], 5, tss=[10_000, 10_999, 9_000, 30_000, 10_000])
    classes, n = unseen_apart(store, ["random_split", "unseen", "unseen", "unseen", "unseen"])
    assert classes == ["random_split", "unused", "unseen", "unseen", "unseen"]
    assert n == 1
    assert unseen_apart(store, ["unseen"] * 5) == (["unseen"] * 5, 0)


def test_families_are_kept_together() -> None:
    store = store_of(["chr1"], 100)
    families = np.arange(100) // 4
    for options in ({}, {"fold": (1, 5)}, {"per_gene": True}):
        for seed in range(5):
            split = split_people(store, ["random_split"], families=families, seed=seed, **options)  # type: ignore[arg-type]
            roles = split["split"].values[0].reshape(25, 4)
            assert (roles == roles[:, :1]).all()
            assert (roles == 3).sum() == 20
            assert (roles == 2).sum() == 4
            assert split.attrs["families"] == "kept together"
    folds = [split_people(store, ["random_split"], families=families, fold=(i, 3)) for i in range(3)]
    tested = np.stack([fold["split"].values[0] == 3 for fold in folds])
    np.testing.assert_array_equal(tested.sum(axis=0), 1)
    alone = split_people(store, ["random_split"], families=np.arange(100))
    np.testing.assert_array_equal(alone["split"], split_people(store, ["random_split"])["split"])


def test_people_as_listed(tmp_path: Path) -> None:
    store = store_of(["chr1"] * 2, 20)
    (tmp_path / "test.txt").write_text("person003\n\nperson001\n")
    test = listed_people(store, tmp_path / "test.txt")
    assert np.flatnonzero(test).tolist() == [1, 3]
    validation = np.arange(20) < 3
    split = split_people(store, ["random_split", "unseen"], test_people=test, validation_people=validation)
    assert people_with(split, "gene0", 3) == {"person001", "person003"}
    assert people_with(split, "gene0", 2) == {"person000", "person002"}
    assert split["split"].values[1].tolist() == [3] * 20
    assert split.attrs["test_share"] == "people as listed"
    (tmp_path / "test.txt").write_text("person003\nnobody\n")
    with pytest.raises(InputError, match="no individual 'nobody'"):
        listed_people(store, tmp_path / "test.txt")
    (tmp_path / "test.txt").write_text("\n")
    with pytest.raises(InputError, match="names nobody"):
        listed_people(store, tmp_path / "test.txt")


@pytest.mark.parametrize("per_gene", [False, True])
def test_subsets_of_the_training_people_are_nested(per_gene: bool) -> None:
    store = store_of(["chr1"] * 3, 103)
    split = split_people(store, ["random_split", "unseen", "random_split"], per_gene=per_gene)
    subsets = training_subsets(split, [0.2, 0.6, 0.4], per_gene=per_gene, seed=3)
    whole = split["split"].values
    train = [subset["split"].values == 1 for subset in subsets]
    n = (whole[0] == 1).sum()
    assert [of[0].sum() for of in train] == [int(0.2 * n), int(0.6 * n), int(0.4 * n)]
    assert (train[0] <= train[2]).all()
    assert (train[2] <= train[1]).all()
    assert (train[1] <= (whole == 1)).all()
    for subset in subsets:
        np.testing.assert_array_equal(subset["split"].values >= 2, whole >= 2)
        np.testing.assert_array_equal(subset["gene_class"], split["gene_class"])
    assert (train[0][0] == train[0][2]).all() != per_gene
    assert subsets[0].attrs["training_share"] == 0.2
    turned = training_subsets(split.isel(individual=slice(None, None, -1)), [0.2], per_gene=per_gene, seed=3)[
        0
    ]
    assert people_with(turned, "gene0", 1) == people_with(subsets[0], "gene0", 1)
    for shares, message in (
        ([1.2], "training share 1.2"),
        ([0.3, 0.3], "different"),
        ([0.001], "leaves nobody"),
    ):
        with pytest.raises(InputError, match=message):
            training_subsets(split, shares)
