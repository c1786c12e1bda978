"""Every format that people come in, as its makers write it, and every refusal."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from seqstore.errors import InputError
from seqstore.individuals import read_individuals


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def check(table: pd.DataFrame, expected: dict[str, dict[str, str]]) -> None:
    assert table.index.name == "individual"
    assert table.to_dict("index") == expected


# integrated_call_samples_v3.20130502.ALL.panel: its header ends in two tabs, its rows do not.
PANEL = (
    "sample\tpop\tsuper_pop\tgender\t\t\n"
    "HG00096\tGBR\tEUR\tmale\nHG00097\tGBR\tEUR\tfemale\nNA18486\tYRI\tAFR\tmale\n"
)


@pytest.mark.parametrize("name", ["ALL.panel", "ALL.panel.gz"])
def test_panel_of_1000_genomes(tmp_path: Path, name: str) -> None:
    check(
        read_individuals(written(tmp_path / name, PANEL)),
        {
            "HG00096": {"population": "GBR", "superpopulation": "EUR", "sex": "male"},
            "HG00097": {"population": "GBR", "superpopulation": "EUR", "sex": "female"},
            "NA18486": {"population": "YRI", "superpopulation": "AFR", "sex": "male"},
        },
    )


def test_psam(tmp_path: Path) -> None:
    """PLINK 2's own form, the one it makes of 1000 Genomes' panel, and one without header."""
    check(
        read_individuals(written(tmp_path / "a.psam", "#IID\tSEX\nHG00096\t1\nHG00097\t2\nHG00099\tNA\n")),
        {"HG00096": {"sex": "male"}, "HG00097": {"sex": "female"}, "HG00099": {"sex": ""}},
    )
    phase3 = "##a remark\n#IID\tPAT\tMAT\tSEX\tSuperPop\tPopulation\nNA19240\tNA19239\tNA19238\t2\tAFR\tYRI\n"
    check(
        read_individuals(written(tmp_path / "phase3.psam", phase3)),
        {
            "NA19240": {
                **{"father": "NA19239", "mother": "NA19238", "sex": "female"},
                **{"superpopulation": "AFR", "population": "YRI"},
            }
        },
    )
    with_family = "#FID IID SID PAT MAT SEX PHENO1 age\n0 HG1 . 0 0 0 -9 31\n"
    check(
        read_individuals(written(tmp_path / "family.psam", with_family)),
        {
            "HG1": {
                **{
                    "family": "0",
                    "SID": ".",
                    "father": "",
                    "mother": "",
                    "sex": "",
                    "phenotype": "",
                    "age": "31",
                }
            }
        },
    )
    bare = read_individuals(written(tmp_path / "bare.psam", "F1 HG1 0 0 1 2.5\n"))
    assert bare.loc["HG1", ["family", "sex", "phenotype"]].tolist() == ["F1", "male", "2.5"]


PEDIGREE = ("family", "father", "mother", "sex", "phenotype")


def test_fam_and_ped_of_plink(tmp_path: Path) -> None:
    expected = {
        "NA19240": dict(zip(PEDIGREE, ("Y117", "NA19239", "NA19238", "female", ""), strict=True)),
        "NA19239": dict(zip(PEDIGREE, ("Y117", "", "", "male", "1"), strict=True)),
    }
    fam = "Y117 NA19240 NA19239 NA19238 2 -9\nY117  NA19239 0 0 1 1\n"
    check(read_individuals(written(tmp_path / "a.fam", fam)), expected)
    check(read_individuals(written(tmp_path / "b.fam", fam.replace("  ", " ").replace(" ", "\t"))), expected)
    check(read_individuals(written(tmp_path / "six.ped", fam)), expected)
    genotypes = "\n".join(line + " A A G T" for line in fam.splitlines()) + "\n"
    check(read_individuals(written(tmp_path / "genotypes.ped", genotypes)), expected)


def test_ped_of_1000_genomes(tmp_path: Path) -> None:
    text = (  # 20130606_g1k.ped
        "Family ID\tIndividual ID\tPaternal ID\tMaternal ID\tGender\tPhenotype\tPopulation\tRelationship\tSiblings\t"
        "Second Order\tThird Order\tOther Comments\n"
        "HG00096\tHG00096\t0\t0\t1\t0\tGBR\tunrel\t0\t0\t0\t0\n"
        "Y117\tNA19240\tNA19239\tNA19238\t2\t0\tYRI\tchild\t0\t0\t0\t0\n"
    )
    table = read_individuals(written(tmp_path / "20130606_g1k.ped", text))
    shown = table[
        ["family", "father", "mother", "sex", "phenotype", "population", "Relationship", "Second Order"]
    ]
    assert shown.reset_index().to_numpy().tolist() == [
        ["HG00096", "HG00096", "", "", "male", "", "GBR", "unrel", "0"],
        ["NA19240", "Y117", "NA19239", "NA19238", "female", "", "YRI", "child", "0"],
    ]
    high_coverage = (  # 1kGP.3202_samples.pedigree_info and 20130606_g1k_3202_samples_ped_population
        "FamilyID SampleID FatherID MotherID Sex Population Superpopulation\nBB01 HG01879 0 0 1 ACB AFR\n"
    )
    table = read_individuals(written(tmp_path / "3202.ped", high_coverage))
    assert table.loc["HG01879", ["sex", "population", "superpopulation"]].tolist() == ["male", "ACB", "AFR"]


def test_igsr_table(tmp_path: Path) -> None:
    text = (
        "Sample name\tSex\tBiosample ID\tPopulation code\tPopulation name\tSuperpopulation code\n"
        "HG00271\tmale\tSAME123417\tFIN\tFinnish\tEUR\nHG00276\tfemale\tSAME123424\tFIN\tFinnish\tEUR\n"
    )
    table = read_individuals(written(tmp_path / "igsr_samples.tsv", text))
    assert table.columns.tolist() == [
        "sex",
        "Biosample ID",
        "population",
        "Population name",
        "superpopulation",
    ]
    assert table.loc["HG00276"].tolist() == ["female", "SAME123424", "FIN", "Finnish", "EUR"]


# E-GEUV-1.sdrf.txt: two rows a run (one a FASTQ file), two runs of NA06985 from two laboratories; columns such as
# Protocol REF and Term Source REF stand there several times.
SDRF_HEADER = (
    "Source Name\tComment[ENA_SAMPLE]\tProvider\tCharacteristics[organism]\tTerm Source REF\tTerm Accession Number\t"
    "Characteristics[sex]\tCharacteristics[ancestry category]\tCharacteristics[individual]\tMaterial Type\t"
    "Protocol REF\tProtocol REF\tExtract Name\tComment[LIBRARY_LAYOUT]\tProtocol REF\tPerformer\tAssay Name\t"
    "Comment[ENA_RUN]\tComment[FASTQ_URI]\tDerived Array Data File\tComment [Derived ArrayExpress FTP file]\t"
    "Factor Value[ancestry category]\tFactor Value[laboratory]\n"
)


def sdrf_rows(individual: str, sex: str, ancestry: str, assay: str, laboratory: int, run: str) -> str:
    return "".join(
        f"{individual}\tERS185276\tCoriell\tHomo sapiens\tEFO\t\t{sex}\t{ancestry}\t{individual}\tRNA\tP-GEUV-1\t"
        f"P-GEUV-2\t{assay} extract\tPAIRED\tP-GEUV-4\tLAB{laboratory}\t{assay}\t{run}\tftp://x/{run}_{mate}.fastq.gz\t"
        f"{assay}.bam\tftp://x/{assay}.bam\t{ancestry}\t{laboratory}\n"
        for mate in (1, 2)
    )


SDRF = (
    SDRF_HEADER
    + sdrf_rows("HG00096", "male", "British", "HG00096.1.M_111124_6", 1, "ERR188040")
    + sdrf_rows("NA06985", "female", "Utah", "NA06985.1.M_111124_6", 1, "ERR188401")
    + sdrf_rows("NA06985", "female", "Utah", "NA06985.2.M_111215_7", 2, "ERR188402")
)


@pytest.mark.parametrize("name", ["E-GEUV-1.sdrf.txt", "E-GEUV-1.sdrf.txt.gz"])
def test_sdrf_of_geuvadis(tmp_path: Path, name: str) -> None:
    check(
        read_individuals(written(tmp_path / name, SDRF)),
        {
            "HG00096": {"organism": "Homo sapiens", "sex": "male", "population": "British"},
            "NA06985": {"organism": "Homo sapiens", "sex": "female", "population": "Utah"},
        },
    )


def test_the_first_sdrf_of_geuvadis(tmp_path: Path) -> None:
    """Without individual and sex; the population as a code; some names with a blank before the bracket."""
    text = (
        "Source Name\tCharacteristics [Organism]\tCharacteristics[population]\tAssay Name\tComment[ENA_RUN]\n"
        'HG00096\tHomo sapiens\tGBR\tHG00096.1.M_111124_6\tERR188040\n"NA18486"\tHomo sapiens\tYRI\tx\ty\n'
        "HG00096\tHomo sapiens\tGBR\tHG00096.2.M_111215_7\tERR188041\n"
    )
    check(
        read_individuals(written(tmp_path / "E-GEUV-1.sdrf.txt", text)),
        {
            "HG00096": {"organism": "Homo sapiens", "population": "GBR"},
            "NA18486": {"organism": "Homo sapiens", "population": "YRI"},
        },
    )


def test_what_differs_between_the_samples_of_a_person_is_left_out(tmp_path: Path) -> None:
    text = "Source Name\tCharacteristics[organism part]\tCharacteristics[individual]\nS1\tblood\tP1\nS2\tlung\tP1\n"
    table = read_individuals(written(tmp_path / "x.sdrf.txt", text))
    assert table.index.tolist() == ["P1"]
    assert table.columns.tolist() == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.panel", PANEL.replace("HG00097", "HG00096"), "individual 'HG00096' stands there more than once"),
        ("a.panel", PANEL.replace("sample", "person"), "no column has the individuals (columns: person, pop, super"),
        ("a.panel", PANEL.replace("female", "3"), "individual HG00097 has sex '3'; use male, female, 1, 2 or NA"),
        ("a.panel", PANEL.replace("\tEUR\tfemale", "\tEUR"), "line 3 has 3 columns, but the header names 4"),
        ("a.panel", PANEL.replace("female", "female\tx"), "line 3 has 5 columns, but the header names 4"),
        ("a.panel", PANEL.replace("super_pop", "population"), "column 'population' stands there more than once"),
        ("a.psam", "", "holds no individuals"),
        ("a.psam", "#IID\tSEX\n", "holds no individuals"),
        ("a.psam", "#FID\tSEX\nF\t1\n", "no column has the individuals (columns: FID, SEX)"),
        ("a.psam", "#IID\tSEX\nHG1\n", "line 2 has 1 columns; it is to have 2 (#IID, SEX)"),
        ("a.psam", "#IID\tSEX\nHG1\t1\tx\n", "line 2 has 3 columns; it is to have 2"),
        ("a.psam", "#IID\tSEX\n\t1\n", "row 1 has no individual"),
        ("a.psam", "#IID\tSEX\nHG1\tx\n", "individual HG1 has sex 'x'"),
        ("a.fam", "F HG1 0 0 1\n", "line 1 has 5 columns; it is to have 6 (family, individual, father, mother, sex, "),
        ("a.fam", "F HG1 0 0 1 2 A A\n", "line 1 has 8 columns; it is to have 6"),
        ("a.fam", "F HG1 0 0 1 2\nG HG1 0 0 1 2\n", "individual 'HG1' stands there more than once"),
        ("a.ped", "F HG1 0 0 1 2 A A\nF HG2 0 0\n", "line 2 has 4 columns; it is to have 6"),
        ("a.sdrf.txt", "", "no column 'Characteristics[individual]' or 'Source Name'"),
        ("a.sdrf.txt", "Assay Name\nx\n", "no column 'Characteristics[individual]' or 'Source Name'"),
        (
            "a.sdrf.txt",
            SDRF + sdrf_rows("HG00096", "male", "Finnish", "x", 3, "y"),
            "the rows of individual HG00096 disagree on population: 'British', 'Finnish'",
        ),
        (
            "a.sdrf.txt",
            SDRF + sdrf_rows("HG00096", "", "British", "x", 3, "y"),
            "the rows of individual HG00096 disagree on sex: 'male', ''",
        ),
        ("a.sdrf.txt", SDRF + sdrf_rows("", "male", "British", "x", 3, "y"), "row 3 has no individual"),
        ("a.tsv", "who\tsex\nHG1\tM\n", "no column 'individual' or 'sample' (columns: who, sex)"),
        ("a.tsv", "sample\tsex\n\tM\n", "row 1 has no individual"),
        ("a.tsv", "sample\tsex\nHG1\tM\nHG1 \tM\n", "individual 'HG1' stands there more than once"),
    ],
)  # fmt: skip
def test_sample_tables_that_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = written(tmp_path / name, text)
    with pytest.raises(InputError) as refused:
        read_individuals(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *[("a.panel", "panel"), ("a.psam", "psam file"), ("a.fam", "fam file"), ("a.ped", "ped file")],
        *[("a.sdrf.txt", "SDRF file"), ("a.txt", "sample table"), ("a.parquet", "sample table")],
    ],
)
def test_sample_tables_that_are_not_there(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no such {what}$"):
        read_individuals(tmp_path / name)


def test_a_table_keeps_its_columns_and_their_spelling(tmp_path: Path) -> None:
    """As before: sex is not respelled in a table of the user's own."""
    text = "age,sample,sex\n31,HG1,M\n,0010,F\n"
    table = read_individuals(written(tmp_path / "samples.csv", text))
    check(table, {"HG1": {"age": "31", "sex": "M"}, "0010": {"age": "", "sex": "F"}})
    table.reset_index().to_parquet(tmp_path / "samples.parquet")
    check(read_individuals(tmp_path / "samples.parquet"), table.to_dict("index"))
