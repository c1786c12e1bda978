"""Command line: python -m analysis split | census | heritability | baselines | evaluate."""

from __future__ import annotations

from analysis.commands.baselines import baselines
from analysis.commands.census import census
from analysis.commands.evaluate import evaluate
from analysis.commands.heritability import heritability
from analysis.commands.split import split
from seqstore.commands import Command, run

COMMANDS: dict[str, Command] = {
    "split": split,
    "census": census,
    "heritability": heritability,
    "baselines": baselines,
    "evaluate": evaluate,
}

if __name__ == "__main__":
    run("python -m analysis", COMMANDS)
