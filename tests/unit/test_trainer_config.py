from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import seqstore
from seqstore.commands import run as run_command
from seqstore.errors import InputError
from tests.conftest import Cohort
from tests.unit.trainer_stores import fit_config, make_store
from trainer.cohort import open_cohort
from trainer.config import AttentionHead, Convolutional, Enformer, FitConfig, as_mapping
from trainer.fit import fit
from trainer.run import Run


@pytest.fixture
def store(make_cohort: Callable[..., Cohort], tmp_path: Path) -> str:
    return make_store(make_cohort, tmp_path)


def read(*argv: str) -> FitConfig:
    """The config that a command line gives."""
    given: list[FitConfig] = []

    def command(config: FitConfig) -> None:
        """Take the config."""
        given.append(config)

    with pytest.raises(SystemExit) as exit_:
        run_command("fit.py", command, list(argv))
    assert exit_.value.code == 0
    return given[0]


def test_components_are_chosen_by_class_and_overridden_by_option(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "store: s\nsplit: a\noutput: o\n"
        "trunk:\n  class_path: Enformer\n  init_args: {dim: 48, depth: 1, heads: 2, dim_divisible_by: 2}\n"
        "head: {class_path: AttentionHead, init_args: {bins: 2}}\n"
    )
    config = read("--config", str(file), "--trunk.depth", "3", "--steps", "7")
    assert config.trunk == Enformer(dim=48, depth=3, heads=2, dim_divisible_by=2)
    assert config.head == AttentionHead(bins=2)
    assert config.steps == 7


def test_defaults_are_those_of_the_convolutional_trunk() -> None:
    config = read("--store", "s", "--split", "a", "--output", "o")
    assert config.trunk == Convolutional()
    assert config.head == AttentionHead(bins=0, pooling="sum", zero=True)


@pytest.mark.parametrize("path", sorted(Path("configs").resolve().glob("*.yaml")), ids=lambda p: p.name)
def test_the_configs_that_ship_are_read(path: Path) -> None:
    keys = yaml.safe_load(path.read_text())
    if "split" not in keys:
        pytest.skip("not of the trainer")
    assert read("--config", str(path)).store == keys["store"]


def test_a_config_written_and_read_is_the_same(tmp_path: Path) -> None:
    config = fit_config("s", tmp_path / "run", people=5, trunk=Enformer(dim=48, heads=2, dim_divisible_by=8))
    run = Run(tmp_path / "run")
    run.create(config, "print")
    assert run.config() == config
    assert as_mapping(config)["trunk"]["class_path"] == "trainer.trunk_settings.Enformer"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--context", "63"], "context: 63 is not a positive even number"),
        (["--context", "512"], "context: 512 bases, but the windows of .* have 256"),
        (["--context", "80"], "context: 80 bases are not a whole number of bins of 64"),
        (["--split", "other"], "has no split 'other'; it has: few, main, tests"),
        (["--split", "tests"], "split: 'tests' of .* has no training people"),
        (["--split", "few"], "no gene of 'few' has two training people"),
        (["--assay", "liver"], "assay: .* has no 'liver'; it has expression"),
        (["--store", "nowhere"], "nowhere: no store here"),
        (["--people", "1"], "people: 1 in a gene batch; this objective needs 2"),
        (["--sampling", "everyone"], "sampling: everyone takes turns in gene batches of how many people"),
        (
            ["--sampling", "everyone", "--people", "4", "--draws_per_gene", "2"],
            "draws_per_gene: 2 draws, but",
        ),
        (["--draws_per_gene", "0"], "draws_per_gene: 0 is not positive"),
        (["--people", "13"], "people: 13 in a gene batch, but gene G1 has 12 to train"),
        (["--head.bins", "5"], "head.bins: 5 centre bins, but a window has 4"),
        (["--head.pooling", "max"], "pooling"),
        (["--trunk", "Resnet"], "Resnet"),
        (["--trunk.kernel", "4"], "trunk.kernel: 4 is not a positive odd"),
        (["--trunk", "Enformer", "--trunk.dim", "100"], "trunk.dim: 100 is not a multiple"),
        (
            ["--trunk", "Enformer", "--trunk.pretrained", "./gone"],
            "trunk.pretrained: gone is neither a folder",
        ),
        (["--trunk.width", "4"], "width"),
        (["--learning_rate", "fast"], "learning_rate"),
        (["--learning_rate", "0"], "learning_rate: 0.0 is not positive"),
        (["--reverse_complement", "2"], "reverse_complement: 2.0 is not a probability"),
        (["--precision", "8"], "precision"),
        (["--optimiser", "sgd"], "optimiser"),
        (["--steps", "-1"], "steps: -1 is negative"),
        (["--train_share", "0"], "train_share: 0.0 is no share"),
        (["--log", "[wandb]"], "log: wandb is not installed; pip install wandb"),
        (["--objective.gap", "3"], "gap"),
        (["--patience", "-1"], "patience: -1 is negative"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    everyone = seqstore.open_split(store, "main")["split"].values
    classes = ["random_split"] * 4
    few = everyone.copy()
    few[:, 1:][few[:, 1:] == 1] = 0
    seqstore.write_split(store, "few", split=few, gene_class=classes)
    seqstore.write_split(store, "tests", split=0 * everyone + 3, gene_class=classes)
    base = ["--store", store, "--split", "main", "--output", str(tmp_path / "run"), "--steps", "1"]
    with pytest.raises(SystemExit) as exit_:
        run_command("fit.py", fit, base + argv)
    assert exit_.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert re.search(message, error), error
    assert not (tmp_path / "run").exists()


def test_an_unknown_key_of_a_component_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "store: s\nsplit: a\noutput: o\ntrunk: {class_path: Convolutional, init_args: {width: 4}}\n"
    )
    with pytest.raises(SystemExit) as exit_:
        run_command("fit.py", fit, ["--config", str(file)])
    assert exit_.value.code == 2
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert "width" in error
    assert str(file) in error


def test_an_assay_must_be_named_where_there_are_several(store: str) -> None:
    import trainer.cohort

    def two_assays(path: str) -> Any:
        dataset = seqstore.open_store(path)
        both = dataset["expression"].reindex(assay=["expression", "liver"])
        return dataset.drop_vars(["expression", "assay"]).assign(expression=both)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.cohort, "open_store", two_assays)
        with pytest.raises(InputError, match="has expression, liver; name one"):
            open_cohort(fit_config(store, "unused"))
        assert open_cohort(fit_config(store, "unused", assay="expression")).genes.tolist() == [
            "G1",
            "G2",
            "G3",
            "G4",
        ]
