"""Men and women on X and Y, and what calls without phase or allele become, from the file to the dosage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqstore
from seqstore.build import build
from seqstore.coordinates import window_coordinates
from seqstore.dosage import dosage_of
from seqstore.errors import InputError
from seqstore.nucleotides import decode, unpack
from tests.conftest import Call, Cohort, write_cohort
from tests.unit.genotype_files import PEOPLE as PEOPLE_OF_PGEN
from tests.unit.genotype_files import write_tiny_pgen

SetChunks = Callable[..., None]
BASES = "ACGT" * 25
PEOPLE = ["man", "woman", "other_man", "other_woman"]


def cohort_of(folder: Path, calls: dict[tuple[str, int, str, str], list[str]], tss: int = 50) -> Cohort:
    """One gene a contig; calls by contig, POS, REF and ALT."""
    rows: list[Call] = [
        (contig, position, ref, alt, "PASS", texts) for (contig, position, ref, alt), texts in calls.items()
    ]
    contigs = list(dict.fromkeys(contig for contig, *_ in calls))
    n_people = len(rows[0][-1])
    people = [*PEOPLE, *(f"P{number}" for number in range(4, n_people))][:n_people]
    return write_cohort(folder, dict.fromkeys(contigs, BASES), people, rows, [(c, tss) for c in contigs])


def built(cohort: Cohort, **keys: Any) -> tuple[list[list[str]], seqstore.HaplotypeReader]:
    """A store of windows of 8 bases; its first gene's windows as letters, "" = no such haplotype."""
    config = cohort.config(**({"length": 8} | keys))
    build(config)
    store, reader = seqstore.open_store(config.store), seqstore.HaplotypeReader(config.store)
    windows = reader.read(np.zeros(len(cohort.people), int), np.arange(len(cohort.people)))
    np.testing.assert_array_equal(windows, store.haplotype_sequence.values[0])
    ids = reader.haplotype_id(0)
    assert not windows[ids < 0].any()
    assert (store.haplotype_id.values[0] == ids).all()
    texts = [
        [decode(unpack(window)) if number >= 0 else "" for window, number in zip(*of, strict=True)]
        for of in zip(windows, ids, strict=True)
    ]
    return texts, reader


def test_haploid_men_on_x(tmp_path: Path) -> None:
    # The window is 46 to 53 (1-based): CGTACGTA.
    calls = {
        ("chrX", 48, "T", "G"): ["1", "0|1", "0", "1|1"],
        ("chrX", 50, "C", "CAA"): [".", "0|0", "1", ".|1"],
    }
    cohort = cohort_of(tmp_path, calls)
    texts, reader = built(cohort, variants="all")
    assert texts == [["CGGACGTA", ""], ["CGTACGTA", "CGGACGTA"], ["CGTACAAG", ""], ["CGGACGTA", "CGGACAAG"]]
    assert reader.haplotype_id(0).tolist() == [[0, -1], [1, 0], [2, -1], [0, 3]]
    store, variants = seqstore.open_store(reader.path), seqstore.open_variants(reader.path)
    assert store.variants_applied.values[0].tolist() == [[1, 0], [0, 1], [1, 0], [1, 2]]
    assert store.genotypes_missing.values[0].tolist() == [[1, 0], [0, 0], [0, 0], [1, 0]]
    assert store.attrs["reconciled"]["calls_haploid"] == 4
    assert store.attrs["reconciled"]["alleles_missing"] == 2
    assert variants.call_genotype.values.tolist() == [
        [[1, -2], [0, 1], [0, -2], [1, 1]],
        [[-1, -2], [0, 0], [1, -2], [-1, 1]],
    ]
    nan = np.nan
    np.testing.assert_array_equal(dosage_of(variants, "G0")["dosage"], [[2, nan], [1, 0], [0, 2], [2, nan]])
    np.testing.assert_array_equal(
        dosage_of(variants, "G0", haploid=1)["dosage"], [[1, nan], [1, 0], [0, 1], [2, nan]]
    )
    with pytest.raises(InputError, match="man has no haplotype 1 in the window of G0"):
        window_coordinates(reader.path, "G0", "man", 1)
    assert window_coordinates(reader.path, "G0", "man", 0).reference.tolist() == list(range(45, 53))


def test_a_missing_haploid_call_is_n_if_asked_for(tmp_path: Path) -> None:
    calls = {
        ("chrX", 48, "T", "G"): [".", "0|.", "0", "1|1"],
        ("chrX", 50, "C", "G"): ["1", ".", "0", "0|0"],
    }
    texts, _ = built(cohort_of(tmp_path, calls), missing="n")
    # The woman's lone dot at 50 is a missing diploid call.
    assert texts == [["CGNAGGTA", ""], ["CGTANGTA", "CGNANGTA"], ["CGTACGTA", ""], ["CGGACGTA", "CGGACGTA"]]


def test_women_have_no_haplotype_on_y(tmp_path: Path) -> None:
    calls = {
        ("chrY", 48, "T", "G"): ["1", ".", "0", "."],
        ("chrY", 50, "C", "G"): [".", ".", "1", "."],
    }
    cohort = cohort_of(tmp_path, calls)
    texts, reader = built(cohort)
    assert texts == [["CGGACGTA", ""], ["", ""], ["CGTAGGTA", ""], ["", ""]]
    store = seqstore.open_store(reader.path)
    assert store.genotypes_missing.values[0].tolist() == [[1, 0], [0, 0], [0, 0], [0, 0]]
    assert np.isnan(dosage_of(seqstore.open_variants(reader.path), "G0")["dosage"].values[1]).all()
    with pytest.raises(InputError, match="woman has no haplotype 0"):
        window_coordinates(reader.path, "G0", "woman", 0)


def test_who_is_there_does_not_depend_on_blocks_of_individuals(tmp_path: Path, set_chunks: SetChunks) -> None:
    """The only man stands in another chunk than the women."""
    set_chunks(individuals=2)
    calls = {("chrY", 48, "T", "G"): [".", ".", ".", "1", "."]}
    texts, _ = built(cohort_of(tmp_path, calls))
    assert texts == [["", ""]] * 3 + [["CGGACGTA", ""], ["", ""]]


def test_lone_dots_of_a_diploid_cohort_are_missing_calls(tmp_path: Path, set_chunks: SetChunks) -> None:
    set_chunks(individuals=2)
    texts, _ = built(cohort_of(tmp_path, {("chr1", 48, "T", "G"): [".", ".", "0|1", ".|."]}))
    assert texts == [["CGTACGTA"] * 2, ["CGTACGTA"] * 2, ["CGTACGTA", "CGGACGTA"], ["CGTACGTA"] * 2]


def test_a_window_without_records_has_the_ploidy_of_those_beside_it(tmp_path: Path) -> None:
    calls = {
        ("chr1", 20, "T", "G"): ["0|1", "0|1"],
        ("chrX", 10, "C", "G"): ["1", "0|1"],
        ("chrX", 90, "C", "G"): ["0", "1|1"],
        ("chrY", 90, "C", "G"): ["0", "."],
    }
    cohort = cohort_of(tmp_path, calls)
    (tmp_path / "genes.tsv").write_text(
        "gene\tcontig\ttss\tstrand\nG0\tchrX\t50\t+\nG1\tchrX\t10\t+\nG2\tchr1\t90\t+\nG3\tchrY\t50\t+\n"
        "G4\tchrY\t90\t+\nG5\tchrX\t90\t+\nG6\tchr1\t20\t+\n"
    )
    (tmp_path / "expression.tsv").write_text("gene\tman\twoman\nG0\t1\t2\n")
    texts, reader = built(cohort)
    assert texts == [["CGTACGTA", ""], ["CGTACGTA", "CGTACGTA"]]
    assert reader.haplotype_id(2).tolist() == [[0, 0], [0, 0]], "an autosome"
    assert reader.haplotype_id(3).tolist() == [[0, -1], [-1, -1]], "Y"


def test_a_man_across_the_end_of_a_pseudoautosomal_region_has_one_haplotype(tmp_path: Path) -> None:
    calls = {
        ("chrX", 48, "T", "G"): ["0|1", "0|1"],
        ("chrX", 50, "C", "G"): ["1", "1|1"],
    }
    texts, _ = built(cohort_of(tmp_path, calls))
    assert texts == [["CGTAGGTA", ""], ["CGTAGGTA", "CGGAGGTA"]]


def test_pgen_is_for_autosomes(tmp_path: Path) -> None:
    """PLINK 2 stores men on X like homozygous women: its stores would give them two haplotypes."""
    calls = "0|1 1|1 0|0"
    lines = [(contig, 48, ".", "T", "G", "PASS", calls) for contig in ("chr1", "chrX")]
    genotypes = write_tiny_pgen(tmp_path / "g.pgen", lines)
    cohort = write_cohort(
        tmp_path, {"chr1": BASES, "chrX": BASES}, list(PEOPLE_OF_PGEN), [], [("chr1", 50), ("chrX", 50)]
    )
    with pytest.raises(
        InputError, match=r"g\.pgen: contig chrX: PGEN does not say whose calls are haploid; give"
    ):
        build(cohort.config(genotypes=genotypes, length=8))
    assert not Path(cohort.config().store).exists()
    (tmp_path / "genes.tsv").write_text("gene\tcontig\ttss\tstrand\nG0\tchr1\t50\t+\n")
    texts, _ = built(cohort, genotypes=genotypes)
    assert texts == [["CGTACGTA", "CGGACGTA"], ["CGGACGTA"] * 2, ["CGTACGTA"] * 2]


def test_genes_of_pseudoautosomal_regions_are_named_where_the_build_is_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """PAR1 begins at chrX:10,001 in GRCh38."""
    bases = "ACGT" * 2750
    calls: list[Call] = [("chrX", 10_001, "A", "G", "PASS", ["0|1", "1|1"])]
    genes = [("chrX", 5_000), ("chrX", 9_999), ("chrX", 10_001), ("chrX", 10_500)]
    cohort = write_cohort(tmp_path, {"chrX": bases}, PEOPLE[:2], calls, genes)
    config = cohort.config(length=20, build="GRCh38")
    build(config)
    assert seqstore.open_store(config.store).pseudoautosomal.values.tolist() == ["", "", "PAR1", "PAR1"]
    crossing = [text for text in caplog.messages if "crosses a boundary" in text]
    assert [text.split(";")[0] for text in crossing] == [
        f"warning: the window of gene {gene} crosses a boundary of PAR1" for gene in ("G1", "G2")
    ]
    config = cohort.config(length=20, store=str(tmp_path / "unknown.zarr"))
    build(config)
    assert "pseudoautosomal" not in seqstore.open_store(config.store).coords


@pytest.mark.parametrize(
    ("unphased", "expected"),
    [
        ("as_phased", [["CGTAGGTA", "CGGACGTA"], ["CGTACGTA", "CGGACGTA"], ["CGTAGGTA", ""]]),
        ("iupac", [["CGKASGTA", "CGKASGTA"], ["CGTACGTA", "CGTACGTA"], ["CGTAGGTA", ""]]),
    ],
)
def test_calls_without_phase(tmp_path: Path, unphased: str, expected: list[list[str]]) -> None:
    calls = {
        ("chr1", 48, "T", "G"): ["0/1", "./1", "0"],
        ("chr1", 50, "C", "G"): ["1/0", "0/0", "1"],
    }
    texts, reader = built(cohort_of(tmp_path, calls), unphased=unphased)
    assert texts == expected
    variants = seqstore.open_variants(reader.path)
    assert variants.call_genotype.values.tolist() == [[[0, 1], [-1, 1], [0, -2]], [[1, 0], [0, 0], [1, -2]]]
    if unphased == "iupac":
        phased = variants.call_genotype_phased.values.tolist()
        assert phased == [[False, False, True], [False, False, True]]
    else:
        assert "call_genotype_phased" not in variants
    applied = seqstore.open_store(reader.path).variants_applied.values[0]
    assert applied.tolist() == (
        [[1, 1], [0, 1], [1, 0]] if unphased == "as_phased" else [[2, 2], [0, 0], [1, 0]]
    )
    np.testing.assert_array_equal(dosage_of(variants, "G0")["dosage"], [[1, 1], [np.nan, 0], [0, 2]])


def test_skipped_alleles_are_marked_where_dosage_and_sequence_disagree(tmp_path: Path) -> None:
    calls = {
        ("chr1", 47, "GT", "G"): ["1|0", "1|1"],
        ("chr1", 48, "T", "G,*"): ["2|1", "1|0"],
        ("chr1", 50, "C", "<DEL>"): ["1|0", "0|0"],
    }
    texts, reader = built(cohort_of(tmp_path, calls), variants="all")
    assert texts == [["ACGACGTA", "CGGACGTA"], ["ACGACGTA", "ACGACGTA"]]
    variants, store = seqstore.open_variants(reader.path), seqstore.open_store(reader.path)
    assert variants.variant_position.values.tolist() == [47, 48]
    assert variants.call_skipped.values.tolist() == [
        [[False, False], [False, False]],
        [[True, False], [True, False]],
    ]
    assert store.attrs["reconciled"]["records_left_out_by_kind"] == 1
    assert store.variants_skipped.values[0].tolist() == [[1, 0], [1, 0]]
    window = dosage_of(variants, "G0")
    assert window["alt"].values.tolist() == ["G", "G", "*"]
    np.testing.assert_array_equal(window["dosage"], [[1, 1, 1], [2, 1, 0]])
    assert window["n_skipped"].values.tolist() == [0, 1, 1]
