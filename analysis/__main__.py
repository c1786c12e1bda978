"""Command line: python -m analysis split | baselines | evaluate | heritability."""

from __future__ import annotations

from analysis.commands.baselines import baselines
from analysis.commands.evaluate import evaluate
from analysis.commands.heritability import heritability
from analysis.commands.split import split
from seqstore.commands import Command, run

COMMANDS: dict[str, Command] = {
    "split": split,
    "baselines": baselines,
    "evaluate": evaluate,
    "heritability": heritability,
}

if __name__ == "__main__":
    run("python -m analysis", COMMANDS)
