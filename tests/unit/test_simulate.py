"""The simulated cohort: files that other software reads, human-like variation, effects as asked for."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from pathlib import Path

import cyvcf2
import numpy as np
import pandas as pd
import pysam
import pytest
import yaml

from seqstore import commands
from seqstore.errors import InputError
from seqstore.simulate import MARGIN, simulate
from seqstore.simulated_expression import (
    GRAMMAR,
    bases_of,
    grammar_score,
    may_be_causal,
    simulate_gene,
)
from seqstore.simulated_genomes import LONGEST_INDEL, Contig, simulate_contig

LENGTH = 2048
HERITABILITY = 0.5
OPTIONS = {
    "european": 150,
    "african": 100,
    "contigs": 2,
    "genes": 7,
    "negative_controls": 2,
    "length": LENGTH,
    "heritability": HERITABILITY,
    "seed": 3,
}
FILES = {
    "genotypes.vcf.gz",
    "genotypes.vcf.gz.tbi",
    "reference.fa",
    "reference.fa.fai",
    "genes.tsv",
    "expression.tsv",
    "samples.tsv",
    "truth.tsv",
    "build.yaml",
}


class Cohort:
    """A simulated cohort, read back by software that is not ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = yaml.safe_load((path / "build.yaml").read_text())["length"]
        self.genes = pd.read_csv(path / "genes.tsv", sep="\t")
        self.samples = pd.read_csv(path / "samples.tsv", sep="\t")
        self.truth = pd.read_csv(path / "truth.tsv", sep="\t")
        self.expression = pd.read_csv(path / "expression.tsv", sep="\t", index_col="gene")
        self.records = pd.DataFrame(
            [
                (r.CHROM, r.POS, r.ID, r.REF, r.ALT[0], np.array(r.genotypes)[:, :2])
                for r in cyvcf2.VCF(str(path / "genotypes.vcf.gz"))
            ],
            columns=["contig", "position", "id", "ref", "alt", "calls"],
        )

    def window(self, gene: str) -> tuple[str, int, int]:
        """Contig and half-open 0-based range of a gene's window."""
        row = self.genes.set_index("gene").loc[gene]
        start = row["tss"] - 1 - self.length // 2
        return row["contig"], start, start + self.length

    def records_in(self, contig: str, start: int, stop: int) -> pd.DataFrame:
        at = self.records
        return at[(at["contig"] == contig) & (at["position"] > start) & (at["position"] <= stop)]

    def genetic(self, gene: str) -> np.ndarray:
        """What the truth table says about each person's expression, less a constant."""
        causes = self.truth[self.truth["gene"] == gene].merge(self.records, on="id")
        dosage = np.stack([calls.sum(axis=1) for calls in causes["calls"]])
        return np.asarray(causes["effect"].to_numpy() @ dosage)

    def affected(self) -> list[str]:
        return list(self.genes.loc[~self.genes["negative_control"], "gene"])


@pytest.fixture(scope="module", params=["private", "motif"])
def cohort(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    path = tmp_path_factory.mktemp(request.param) / "cohort"
    simulate(str(path), architecture=request.param, **OPTIONS)
    return Cohort(path)


@pytest.fixture(scope="module")
def motif(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    path = tmp_path_factory.mktemp("motif_more_genes") / "cohort"
    simulate(str(path), architecture="motif", **OPTIONS | {"genes": 30, "contigs": 3})
    return Cohort(path)


def test_the_folder_holds_all_files_and_nothing_stands_beside_it(cohort: Cohort) -> None:
    assert {file.name for file in cohort.path.iterdir()} == FILES
    assert list(cohort.path.parent.iterdir()) == [cohort.path]


def test_people_are_the_same_and_in_the_same_order_everywhere(cohort: Cohort) -> None:
    assert list(cohort.samples["sample"]) == cyvcf2.VCF(str(cohort.path / "genotypes.vcf.gz")).samples
    assert list(cohort.samples["sample"]) == list(cohort.expression.columns)
    counts = cohort.samples.groupby(["population", "superpopulation"]).size().to_dict()
    assert counts == {("CEU", "EUR"): 150, ("YRI", "AFR"): 100}
    assert set(cohort.samples["sex"]) == {"F", "M"}


def test_vcf_is_indexed_phased_biallelic_and_agrees_with_the_reference(cohort: Cohort) -> None:
    fasta = pysam.FastaFile(str(cohort.path / "reference.fa"))
    vcf = pysam.VariantFile(str(cohort.path / "genotypes.vcf.gz"))
    n = 0
    for contig in fasta.references:
        assert vcf.header.contigs[contig].length == fasta.get_reference_length(contig)
        sequence, before = fasta.fetch(contig), 0
        assert set(sequence) == set("ACGT")
        for record in vcf.fetch(contig):
            assert record.ref == sequence[record.pos - 1]
            assert record.alts is not None
            assert len(record.alts) == 1
            assert record.alts[0] in set("ACGT") - {record.ref}
            assert record.id == f"{contig}_{record.pos}_{record.ref}_{record.alts[0]}"
            assert record.pos > before
            assert all(sample.phased for sample in record.samples.values())
            before, n = record.pos, n + 1
    assert n == len(cohort.records) > 1000


def test_variation_is_human_like(cohort: Cohort) -> None:
    records = cohort.records
    transition = (records["ref"] + records["alt"]).isin(["AG", "GA", "CT", "TC"])
    assert 1.7 < transition.sum() / (~transition).sum() < 2.4
    european = (cohort.samples["population"] == "CEU").to_numpy()
    calls = np.stack(list(records["calls"]))
    frequency = {"CEU": calls[:, european].mean(axis=(1, 2)), "YRI": calls[:, ~european].mean(axis=(1, 2))}
    heterozygosity = {name: (2 * p * (1 - p)).sum() / 140_000 for name, p in frequency.items()}
    # Per base: about 0.0008 and 0.0011 in people (1000 Genomes); few contigs, so a wide band.
    assert 0.0004 < heterozygosity["CEU"] < heterozygosity["YRI"] < 0.0016
    between = ((frequency["CEU"] - frequency["YRI"]) ** 2).sum()
    total = sum((p * (1 - q) + q * (1 - p)).sum() for p, q in [(frequency["CEU"], frequency["YRI"])])
    assert 0.05 < between / total < 0.3  # FST of Hudson; 0.15 in people


def test_neighbouring_variants_are_in_linkage_disequilibrium(cohort: Cohort) -> None:
    european = (cohort.samples["population"] == "CEU").to_numpy()
    records = cohort.records[cohort.records["contig"] == "chr1"]
    haplotypes = np.stack(list(records["calls"]))[:, european].reshape(len(records), -1)
    frequency = haplotypes.mean(axis=1)
    common = np.minimum(frequency, 1 - frequency) >= 0.05
    squared = np.corrcoef(haplotypes[common]) ** 2
    position = records["position"].to_numpy()[common]
    apart = np.abs(position[:, None] - position)
    near = squared[(apart > 0) & (apart < 2000)].mean()
    far = squared[apart > 40_000].mean()
    assert near > 0.15
    assert near > 2 * far


def test_windows_lie_on_their_contigs_and_apart(cohort: Cohort) -> None:
    fasta = pysam.FastaFile(str(cohort.path / "reference.fa"))
    ends: dict[str, int] = {}
    for gene in cohort.genes["gene"]:
        contig, start, stop = cohort.window(gene)
        assert start >= ends.get(contig, 0) + MARGIN
        assert stop + MARGIN <= fasta.get_reference_length(contig)
        ends[contig] = stop
    assert cohort.genes["contig"].value_counts().to_dict() == {"chr1": 4, "chr2": 3}
    assert cohort.genes["gene"].is_unique
    assert set(cohort.genes["strand"]) == {"+", "-"}


def test_negative_controls_are_spread_over_contigs_and_have_no_truth(cohort: Cohort) -> None:
    controls = cohort.genes[cohort.genes["negative_control"]]
    assert list(controls["contig"]) == ["chr1", "chr1"] or list(controls["contig"]) == ["chr1", "chr2"]
    assert set(controls["heritability"]) == {0.0}
    assert set(cohort.truth["gene"]) == set(cohort.affected())


def test_truth_names_variants_of_the_gene_window_and_their_frequencies(cohort: Cohort) -> None:
    merged = cohort.truth.merge(cohort.records, on=["contig", "position", "id", "ref", "alt"])
    assert len(merged) == len(cohort.truth)
    for _, row in merged.iterrows():
        contig, start, stop = cohort.window(row["gene"])
        assert (row["contig"], start < row["position"] <= stop) == (contig, True)
        for population in ("CEU", "YRI"):
            people = (cohort.samples["population"] == population).to_numpy()
            assert row[f"af_{population}"] == pytest.approx(row["calls"][people].mean(), abs=1e-5)


def test_cis_variants_explain_the_heritability(cohort: Cohort) -> None:
    share, explained = [], []
    for gene in cohort.affected():
        genetic, expression = cohort.genetic(gene), cohort.expression.loc[gene]
        residual = expression - genetic
        share.append(genetic.var() / (genetic.var() + residual.var(ddof=0)))
        explained.append(np.corrcoef(genetic, expression)[0, 1] ** 2)
    # Noise is drawn for each person: its variance over 250 people has a standard error of 9 %.
    assert share == pytest.approx(np.full(len(share), HERITABILITY), abs=0.1)
    assert np.mean(explained) == pytest.approx(HERITABILITY, abs=0.06)


def test_negative_controls_have_no_association(cohort: Cohort) -> None:
    for gene in cohort.genes.loc[cohort.genes["negative_control"], "gene"]:
        records = cohort.records_in(*cohort.window(gene))
        dosage = np.stack([calls.sum(axis=1) for calls in records["calls"]]).astype(float)
        dosage = dosage[np.minimum(dosage.mean(axis=1), 2 - dosage.mean(axis=1)) >= 0.1]
        r = [np.corrcoef(row, cohort.expression.loc[gene])[0, 1] for row in dosage]
        assert np.abs(r).max() < 0.25  # 4 standard errors


def test_build_config_names_the_files_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    simulate("deep/cohort", **OPTIONS | {"genes": 2})
    assert yaml.safe_load(Path("deep/cohort/build.yaml").read_text()) == {
        "genotypes": "deep/cohort/genotypes.vcf.gz",
        "reference": "deep/cohort/reference.fa",
        "genes": "deep/cohort/genes.tsv",
        "expression": "deep/cohort/expression.tsv",
        "samples": "deep/cohort/samples.tsv",
        "store": "deep/cohort/store.zarr",
        "length": LENGTH,
    }


@pytest.fixture(scope="module")
def indels(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    path = tmp_path_factory.mktemp("indels") / "cohort"
    simulate(
        str(path), **OPTIONS | {"indels": 0.12, "tss_deletions": 4, "genes": 40, "length": 16_384, "seed": 1}
    )
    return Cohort(path)


def indel_length(records: pd.DataFrame) -> pd.Series[int]:
    """Bases that ALT has more than REF, by record."""
    return records["alt"].str.len() - records["ref"].str.len()


def test_indels_are_anchored_and_human_like(indels: Cohort) -> None:
    fasta = pysam.FastaFile(str(indels.path / "reference.fa"))
    records = indels.records
    length = indel_length(records)
    for row in records[length != 0].itertuples():
        assert row.ref == fasta.fetch(row.contig, row.position - 1, row.position - 1 + len(row.ref))
        assert row.ref[0] == row.alt[0]
        assert min(len(row.ref), len(row.alt)) == 1
    assert (length != 0).mean() == pytest.approx(0.12, abs=0.01)
    size = length[length != 0].abs()
    assert (length[length != 0] > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert (size == 1).mean() == pytest.approx(0.57, abs=0.05)
    assert (size <= 4).mean() == pytest.approx(0.84, abs=0.03)
    assert 100 < size.max() <= LONGEST_INDEL
    assert (records["ref"].str.len() == 1)[length == 0].all()


def carried_with_deletions(cohort: Cohort) -> tuple[np.ndarray, np.ndarray]:
    """Copies (individual, haplotype) of records inside deletions that it carries too, and that it does not."""
    with_deletion, without = (np.zeros((len(cohort.samples), 2), dtype=int) for _ in range(2))
    for deletion in cohort.records[indel_length(cohort.records) < 0].itertuples():
        last = deletion.position + len(deletion.ref) - 1
        for inside in cohort.records_in(deletion.contig, deletion.position, last).itertuples():
            with_deletion += inside.calls * deletion.calls
            without += inside.calls * (1 - deletion.calls)
    return with_deletion, without


def test_records_stand_inside_deletions_on_the_same_haplotype_and_on_another(indels: Cohort) -> None:
    with_deletion, without = carried_with_deletions(indels)
    assert min(with_deletion.sum(), without.sum()) > 10


def tss_deleted(cohort: Cohort, gene: str) -> bool:
    """Whether a deletion takes the TSS base of a gene on some haplotype."""
    contig, start, _ = cohort.window(gene)
    tss = start + cohort.length // 2 + 1
    before = cohort.records_in(contig, tss - 1 - LONGEST_INDEL, tss - 1)
    return any(indel_length(before).lt(0) & (before["position"] + before["ref"].str.len() > tss))


def test_deletions_take_the_tss_of_as_many_genes_as_asked_for(indels: Cohort) -> None:
    lose = [gene for gene in indels.genes["gene"] if tss_deleted(indels, gene)]
    assert {"SIMG00001", "SIMG00011", "SIMG00021", "SIMG00031"} <= set(lose)
    assert len(lose) < len(indels.genes)


def test_net_deletions_pull_records_into_windows(indels: Cohort) -> None:
    """A haplotype that lost bases takes as many from behind the window, and carries a record there."""
    pulled = {"left": 0, "right": 0}
    for gene in indels.genes["gene"]:
        contig, start, stop = indels.window(gene)
        middle = start + indels.length // 2
        for side, (first, last) in {"left": (start, middle), "right": (middle, stop)}.items():
            half = indels.records_in(contig, first, last)
            lost = -np.tensordot(indel_length(half), np.stack(list(half["calls"])), 1)
            for distance in range(1, int(lost.max()) + 1):
                position = start - distance + 1 if side == "left" else stop + distance
                behind = indels.records_in(contig, position - 1, position)
                pulled[side] += sum(int((calls[lost >= distance] > 0).sum()) for calls in behind["calls"])
    assert min(pulled.values()) > 0


def test_causal_variants_are_snps_in_no_deletion(indels: Cohort) -> None:
    records, truth = indels.records, indels.truth
    assert (truth["ref"].str.len() + truth["alt"].str.len() == 2).all()
    deletions = records[indel_length(records) < 0]
    for row in truth.itertuples():
        over = (deletions["contig"] == row.contig) & (deletions["position"] < row.position)
        assert not (over & (row.position < deletions["position"] + deletions["ref"].str.len())).any()


def test_other_software_takes_the_indels(indels: Cohort, bcftools: str) -> None:
    vcf, fasta = indels.path / "genotypes.vcf.gz", indels.path / "reference.fa"
    checked = subprocess.run(
        [bcftools, "norm", "-c", "e", "-f", fasta, "-Ou", "-o", "/dev/null", vcf],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert f"total/split/realigned/skipped:\t{len(indels.records)}/0/" in checked.stderr
    # A haplotype with a record in its own deletion: that one is skipped.
    individual, haplotype = np.argwhere(carried_with_deletions(indels)[0] > 0)[0]
    arguments = ["-H", str(haplotype + 1), "-s", indels.samples["sample"][individual], "-f", fasta, vcf]
    consensus = subprocess.run([bcftools, "consensus", *arguments], capture_output=True, text=True)
    assert consensus.returncode == 0, consensus.stderr
    n_carried = sum(int(calls[individual, haplotype]) for calls in indels.records["calls"])
    n_applied = int(consensus.stderr.split("Applied ")[1].split()[0])
    assert n_carried - 10 < n_applied < n_carried


def test_people_and_reference_are_the_same_with_any_share_of_indels() -> None:
    plain, some = (
        simulate_contig("chr1", 50_000, {"CEU": 20, "YRI": 5}, np.random.default_rng(2), share)
        for share in (0.0, 0.3)
    )
    np.testing.assert_array_equal(plain.position, some.position)
    np.testing.assert_array_equal(plain.calls, some.calls)
    np.testing.assert_array_equal(plain.reference, some.reference)
    assert plain.is_snp.all()
    np.testing.assert_array_equal(plain.change[some.is_snp], some.change[some.is_snp])
    assert 0.6 < some.is_snp.mean() < 0.8


def contents(path: Path) -> dict[str, str]:
    """SHA-256 of each file's decompressed content."""
    digests = {}
    for file in sorted(path.iterdir()):
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        if file.suffix not in (".tbi", ".fai", ".yaml"):
            digests[file.name] = hashlib.sha256(raw).hexdigest()
    return digests


@pytest.mark.parametrize(("architecture", "indels"), [("private", 0.1), ("motif", 0.0)])
def test_a_seed_fixes_every_file(tmp_path: Path, architecture: str, indels: float) -> None:
    options = OPTIONS | {"architecture": architecture, "indels": indels}
    for name, seed in [("a", 3), ("b", 3), ("c", 4)]:
        simulate(str(tmp_path / name), **options | {"seed": seed})  # type: ignore[arg-type]
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())


def test_content_is_that_of_other_machines(tmp_path: Path) -> None:
    simulate(str(tmp_path / "cohort"), european=3, african=2, contigs=1, genes=1, negative_controls=0, seed=1)
    joined = "".join(contents(tmp_path / "cohort").values())
    assert hashlib.sha256(joined.encode()).hexdigest() == (
        "78a956884424bc8b6dff24721745b61677165394398a4c7592e226acd9fa1f01"
    )


def test_private_effects_differ_between_genes_and_motif_effects_do_not(motif: Cohort, tmp_path: Path) -> None:
    simulate(str(tmp_path / "private"), **OPTIONS)
    private = Cohort(tmp_path / "private").truth["effect"]
    assert private.abs().nunique() == len(private)
    sizes = {abs(weight) for weight in GRAMMAR.values()}
    assert motif.truth["effect"].abs().isin(sizes).mean() > 0.95  # now and then one hits two words


def test_one_grammar_scores_the_personal_sequences_of_every_gene(motif: Cohort) -> None:
    """An unseen gene is predictable: the same words, counted in people's own sequences, give its expression."""
    fasta = pysam.FastaFile(str(motif.path / "reference.fa"))
    r = []
    for gene in motif.affected():
        contig, start, stop = motif.window(gene)
        records = motif.records_in(contig, start, stop)
        people = {}
        calls = np.stack(list(records["calls"]))
        for key in {calls[:, i, h].tobytes() for i in range(calls.shape[1]) for h in (0, 1)}:
            sequence = list(fasta.fetch(contig, start, stop))
            for position, alt, carried in zip(
                records["position"], records["alt"], np.frombuffer(key, calls.dtype), strict=True
            ):
                if carried:
                    sequence[position - 1 - start] = alt
            people[key] = word_count_score("".join(sequence))
        score = np.array(
            [sum(people[calls[:, i, h].tobytes()] for h in (0, 1)) for i in range(calls.shape[1])]
        )
        genetic = motif.genetic(gene)
        np.testing.assert_allclose(score - score.mean(), genetic - genetic.mean(), atol=1e-6)
        r.append(np.corrcoef(score, motif.expression.loc[gene])[0, 1])
    assert np.mean(r) == pytest.approx(HERITABILITY**0.5, abs=0.05)
    assert min(r) > 0.5


def word_count_score(sequence: str) -> float:
    """The grammar's score, by plain text search."""
    opposite = sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))
    strands = (sequence, opposite)
    return sum(
        weight * sum(strand.startswith(word, i) for strand in strands for i in range(len(strand)))
        for word, weight in GRAMMAR.items()
    )


def test_grammar_score_of_literal_sequences() -> None:
    assert grammar_score(bases_of("TTACCGGAAGTT")) == 0.5
    assert grammar_score(bases_of("TTCTTCCGGTTT")) == 0.5  # the other strand
    assert grammar_score(bases_of("ACCGGAAGTACCGGAAGCGCAGGTGT")) == 0.5
    assert grammar_score(bases_of("ACCGGAAC")) == 0.0
    assert grammar_score(bases_of("ACCG")) == 0.0


def test_no_word_is_one_substitution_from_another() -> None:
    for word in GRAMMAR:
        bases = bases_of(word)
        for site in range(len(word)):
            for change in (1, 2, 3):
                other = bases.copy()
                other[site] ^= change
                assert grammar_score(other) == 0.0


def test_causal_variants_are_uniform_over_the_common_ones_of_the_window() -> None:
    rng = np.random.default_rng(5)
    contig = simulate_contig("chr1", 40_000, {"CEU": 40, "YRI": 10}, rng)
    candidate = may_be_causal(contig, "private")
    inside = np.flatnonzero((contig.position >= 10_000) & (contig.position < 30_000) & candidate)
    drawn = [
        simulate_gene(
            contig, (10_000, 30_000), candidate, architecture="private", heritability=0.4, rng=rng
        ).variant
        for _ in range(1500)
    ]
    assert {len(variants) for variants in drawn} == {1, 2, 3}
    counts = np.bincount(np.concatenate(drawn), minlength=len(contig.position))
    assert len(inside) > 10
    assert counts.sum() == counts[inside].sum()
    expected = counts.sum() / len(inside)
    assert np.abs(counts[inside] - expected).max() < 5 * np.sqrt(expected)


def contig_of(
    position: list[int],
    calls: list[list[list[int]]],
    deleted: dict[int, int] | None = None,
    inserted: dict[int, str] | None = None,
) -> Contig:
    """A contig of 100 A with A>G at each position, or an indel where one is named."""
    deleted, inserted = deleted or {}, inserted or {}
    return Contig(
        name="chr1",
        reference=np.zeros(100, dtype=np.uint8),
        position=np.array(position),
        change=np.array([0 if p in deleted | inserted else 2 for p in position], dtype=np.uint8),
        deleted=np.array([deleted.get(p, 0) for p in position]),
        inserted=np.array([inserted.get(p, "") for p in position], dtype=object),
        calls=np.array(calls, dtype=np.int8),
    )


def test_alleles_of_literal_variants() -> None:
    contig = contig_of([3, 10, 20], [[[0, 1]]] * 3, deleted={10: 2}, inserted={20: "CT"})
    contig.reference[:] = bases_of("ACGT" * 25)
    assert contig.alleles() == (["T", "GTA", "A"], ["C", "G", "ACT"])
    assert contig.variant_ids() == ["chr1_4_T_C", "chr1_11_GTA_G", "chr1_21_A_ACT"]
    assert contig.end.tolist() == [4, 13, 21]
    assert contig.is_snp.tolist() == [True, False, False]
    assert np.flatnonzero(contig.deletable()).tolist() == [11, 12]
    contig.reference[11:12] = bases_of("C")  # a word written over a variant is in its alleles
    assert contig.alleles()[0] == ["T", "GCA", "A"]


def test_candidates_are_neither_indels_nor_what_a_deletion_may_take() -> None:
    calls = [[[0, 0], [0, 1]]] * 7
    contig = contig_of([10, 20, 25, 28, 32, 40, 60], calls, deleted={20: 10, 25: 1}, inserted={60: "A"})
    assert may_be_causal(contig, "private").tolist() == [True, False, False, False, True, True, False]
    assert may_be_causal(contig, "motif").tolist() == [True, False, False, False, False, True, False]
    contig = contig_of([10, 20, 40, 49], calls[:4], deleted={20: 22}, inserted={10: "CC"})
    assert may_be_causal(contig, "motif").tolist() == [False, False, False, False]
    assert may_be_causal(contig, "private").tolist() == [False, False, False, True]


def test_candidates_are_common_and_under_motif_alone() -> None:
    contig = contig_of(
        [10, 30, 37, 60, 80],
        [
            [[0, 0], [0, 1]],
            [[0, 1], [0, 0]],
            [[1, 1], [0, 0]],
            [[0, 1], [1, 0]],  # everyone has one copy: nothing to see
            [[1, 1], [0, 1]],
        ],
    )
    assert may_be_causal(contig, "private").tolist() == [True, True, True, False, True]
    assert may_be_causal(contig, "motif").tolist() == [True, False, False, False, True]
    assert contig.alleles() == (["A"] * 5, ["G"] * 5)


def test_effects_that_cancel_in_linkage_disequilibrium_are_drawn_again() -> None:
    rng = np.random.default_rng(0)
    people = rng.integers(0, 2, size=(50, 2)).tolist()
    contig = contig_of([20, 40, 60], [people, people, people])
    for architecture in ("private", "motif"):
        candidate = may_be_causal(contig, architecture)  # type: ignore[arg-type]
        for _ in range(50):
            gene = simulate_gene(
                contig,
                (0, 100),
                candidate,
                architecture=architecture,  # type: ignore[arg-type]
                heritability=1.0,
                rng=rng,
            )
            assert abs(gene.effect.sum()) > 0.3 * np.linalg.norm(gene.effect)
            assert gene.expression.std() > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"european": 0, "african": 0}, "--european 0 --african 0: .*people"),
        ({"european": -1}, "--european -1"),
        ({"genes": 0}, "--genes 0"),
        ({"contigs": 0}, "--contigs 0"),
        ({"contigs": 8}, "--contigs 8"),
        ({"negative_controls": 8}, "--negative-controls 8"),
        ({"negative_controls": -1}, "--negative-controls -1"),
        ({"length": 4095}, "--length 4095: .*even"),
        ({"length": 0}, "--length 0"),
        ({"length": 2**28}, "--contigs 2: too few"),
        ({"heritability": 0.0}, "--heritability 0.0"),
        ({"heritability": 1.1}, "--heritability 1.1"),
        ({"heritability": float("nan")}, "--heritability nan"),
        ({"indels": -0.1}, "--indels -0.1"),
        ({"indels": 0.6}, "--indels 0.6: .*0.12"),
        ({"indels": float("nan")}, "--indels nan"),
        ({"tss_deletions": 8, "indels": 0.1}, "--tss-deletions 8: .*7"),
        ({"tss_deletions": -1, "indels": 0.1}, "--tss-deletions -1"),
        ({"tss_deletions": 1}, "--tss-deletions 1: .*--indels"),
        ({"architecture": "both"}, "--architecture both: .*private or motif"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(
    tmp_path: Path, change: dict[str, float | str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        simulate(str(tmp_path / "cohort"), **OPTIONS | change)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    (folder / "notes").touch()
    file.touch()
    with pytest.raises(InputError, match="folder: exists"):
        simulate(str(folder), **OPTIONS)
    with pytest.raises(InputError, match="file: exists"):
        simulate(str(file), **OPTIONS)
    with pytest.raises(InputError, match="is a file, not a folder"):
        simulate(str(file / "cohort"), **OPTIONS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="folder you are in"):
        simulate(".", **OPTIONS)
    assert sorted(f.name for f in tmp_path.rglob("*")) == ["file", "folder", "here", "notes"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    simulate(str(tmp_path), **OPTIONS | {"genes": 2})
    assert {file.name for file in tmp_path.iterdir()} == FILES


def test_an_interrupted_simulation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        assert len(list(tmp_path.iterdir())) == 1  # work has begun, under another name
        assert not (tmp_path / "cohort").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("seqstore.simulate._write_reference", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate(str(tmp_path / "cohort"), **OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_a_contig_without_common_variants_is_simulated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def sparse_then_right(*arguments: object) -> Contig:
        contig = simulate_contig(*arguments)  # type: ignore[arg-type]
        calls.append(contig)
        return contig.subset(np.arange(0)) if len(calls) < 3 else contig

    monkeypatch.setattr("seqstore.simulate.simulate_contig", sparse_then_right)
    simulate(str(tmp_path / "a"), **OPTIONS | {"contigs": 1, "negative_controls": 0})
    assert len(calls) == 3
    assert Cohort(tmp_path / "a").truth["gene"].nunique() == 7
    monkeypatch.setattr(
        "seqstore.simulate.simulate_contig",
        lambda *arguments: simulate_contig(*arguments).subset(np.arange(0)),
    )
    with pytest.raises(InputError, match="chr1: in 20 tries a gene had no common variant near it; "):
        simulate(str(tmp_path / "b"), **OPTIONS)
    assert not (tmp_path / "b").exists()
    with pytest.raises(InputError, match="no deletion to lose its TSS to"):
        simulate(str(tmp_path / "b"), **OPTIONS | {"indels": 0.1, "tss_deletions": 1})


@pytest.mark.parametrize("people", [(0, 30), (30, 0), (2, 0)])
def test_one_population_may_be_empty(tmp_path: Path, people: tuple[int, int]) -> None:
    european, african = people
    simulate(str(tmp_path / "cohort"), **OPTIONS | {"european": european, "african": african, "length": 16})
    truth = pd.read_csv(tmp_path / "cohort" / "truth.tsv", sep="\t")
    assert truth["af_CEU"].isna().all() == (european == 0)
    assert truth["af_YRI"].isna().all() == (african == 0)


def test_all_genes_may_be_negative_controls(tmp_path: Path) -> None:
    simulate(str(tmp_path / "cohort"), **OPTIONS | {"negative_controls": 7})
    truth = (tmp_path / "cohort" / "truth.tsv").read_text()
    assert truth == "gene\tcontig\tposition\tid\tref\talt\teffect\taf_CEU\taf_YRI\n"


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = f"{tmp_path}/cohort --european 5 --african 5 --contigs 1 --genes 2 --negative-controls 1".split()
    with pytest.raises(SystemExit) as done:
        commands.run("simulate", simulate, [*argv, "--architecture", "motif"])
    assert done.value.code == 0
    assert {file.name for file in (tmp_path / "cohort").iterdir()} == FILES
    with pytest.raises(SystemExit) as refused:
        commands.run("simulate", simulate, argv)
    assert refused.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
