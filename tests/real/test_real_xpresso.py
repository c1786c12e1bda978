"""The published Xpresso network for lymphoblastoid cells: its own numbers, and real promoters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest
import torch

from seqstore.nucleotides import encode, pack
from tests.keras_network import forward
from trainer.config import Xpresso, XpressoHead
from trainer.model import Model
from trainer.tiles import Span
from trainer.xpresso import XpressoTrunk

CONTEXT = 14_000


@pytest.fixture(scope="module")
def weights(real: Path) -> Path:
    return real / "pretrained/xpresso_GM12878.h5"


@pytest.fixture(scope="module")
def model(weights: Path) -> Model:
    trunk = Xpresso(str(weights)).build()
    return Model(trunk, XpressoHead(str(weights)).build(trunk.channels)).eval()


def test_every_layer_is_as_numpy_has_it(weights: Path, model: Model) -> None:
    promoter = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, 10_500)]
    expected = forward(weights, promoter=promoter, halflife=np.zeros(6))
    window = np.pad(promoter, ((0, 3_500), (0, 0)))
    found: dict[str, np.ndarray] = {}
    names = {"trunk.motifs": "conv1d_1", "trunk.pairs": "conv1d_2", "trunk.dense": "dense_1"}
    names |= {"head.narrow": "dense_2", "head.level": "dense_3"}
    for ours, theirs in names.items():

        def note(module: object, inputs: object, output: torch.Tensor, theirs: str = theirs) -> None:
            values = output.detach()[0].T if "conv" in theirs else output.detach().flatten()
            found[theirs] = values.numpy().copy()

        model.get_submodule(ours).register_forward_hook(note)
    trunk = model.trunk
    assert isinstance(trunk, XpressoTrunk)
    with torch.no_grad():
        model.head(trunk.embed(torch.from_numpy(window)[None]))
    assert found.keys() == set(names.values())
    for name, values in found.items():
        wanted = expected[name]
        if "conv" in name:  # Keras' layer has its ReLU in it
            values = np.maximum(values, 0)
        assert values.shape == wanted.shape
        np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    assert expected["dense_3"].item() != 0


@pytest.fixture(scope="module")
def levels(real: Path, model: Model) -> pd.DataFrame:
    """Of 54 genes, the level that is predicted from the reference, read on the gene's strand and on the other."""
    genes = pd.read_csv(real / "annot/genes.chr20_1-4Mb.tsv", sep="\t").set_index("gene")
    with pysam.FastaFile(str(real / "ref/chr20_1-10Mb.GRCh38.fa.gz")) as fasta:
        windows = [
            fasta.fetch("chr20", tss - 1 - CONTEXT // 2, tss - 1 + CONTEXT // 2)
            for tss in genes["tss_GRCh38"]
        ]
    packed = torch.from_numpy(pack(np.stack([encode(window) for window in windows])))
    index = torch.arange(len(packed))[:, None]
    span = Span(0, CONTEXT)
    with torch.no_grad():
        plus, minus = (model(packed, index, span, reverse).numpy() for reverse in (False, True))
    is_plus = genes["strand"] == "+"
    return pd.DataFrame(
        {"sense": np.where(is_plus, plus, minus), "antisense": np.where(is_plus, minus, plus)},
        index=genes.index,
    )


#: Protein-coding genes of the region that lymphoblastoid cells express, by the study's table.
EXPRESSED = ("FKBP1A", "NOP56", "PSMF1", "ITPA", "MRPS26", "DDRGK1", "C20orf27", "CPXM1", "AP5S1")
#: Genes that they do not: hormones of the hypothalamus, and others of a few tissues.
SILENT = ("OXT", "AVP", "PDYN", "GNRH2", "TGM3", "TGM6", "TMC2", "GFRA4", "ADAM33")


def test_expressed_genes_are_predicted_above_silent_ones(levels: pd.DataFrame) -> None:
    expressed, silent = levels.loc[list(EXPRESSED)], levels.loc[list(SILENT)]
    assert expressed["sense"].min() > silent["sense"].max() + 0.2
    # Read on the other strand they are not told apart.
    assert expressed["antisense"].min() < silent["antisense"].max()
    difference = (expressed.mean() - silent.mean()).round(2)
    assert difference["sense"] > 1.1
    assert difference["antisense"] < 0.8 * difference["sense"]


def test_predictions_follow_the_expression_level(real: Path, levels: pd.DataFrame) -> None:
    """Over the protein-coding genes of the region that are in the study's table, of mean ln TPM over its people."""
    table = pd.read_csv(real / "paper/observed_expression.random_split.csv.gz", index_col=0)
    level = (
        table.mean(axis=1)
        .reindex(levels.index.str.lower())
        .set_axis(levels.index)
        .drop("SDCBP2-AS1")  # codes none
        .dropna()
    )
    assert len(level) == 11
    assert (level[list(EXPRESSED)] > 1).all()
    r = np.corrcoef(level, levels.loc[level.index, "sense"])[0, 1]
    assert r > 0.5
