"""The command line ``seqstore``."""

from __future__ import annotations

import json as json_text
from typing import NoReturn

from seqstore.commands import run
from seqstore.config import BuildConfig
from seqstore.export import export
from seqstore.import_hdf5 import import_hdf5
from seqstore.prepare import prepare_expression
from seqstore.simulate import simulate


def build(config: BuildConfig) -> None:
    """Build a store from genotypes, a reference, genes and expression; goes on where it was stopped."""
    from seqstore.build import build as build_store

    build_store(config)


def append(config: BuildConfig) -> None:
    """Add the genes or the people of a build file that a finished store does not have; goes on where it was stopped."""
    from seqstore.append import append as append_to_store

    append_to_store(config)


def info(store: str, *, json: bool = False) -> None:
    """Say what a store holds.

    Args:
        store: path of the store
        json: print JSON instead of text
    """
    from seqstore.store import describe_store

    described = describe_store(store)
    if json:
        print(json_text.dumps(described, indent=2))
        return
    for key, value in described.items():
        if isinstance(value, dict):
            print(f"{key}:", *(f"  {inner}: {text}" for inner, text in value.items()), sep="\n")
        else:
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


def verify(store: str, *, cells: int = 100, seed: int = 0, json: bool = False) -> None:
    """Compare a store with itself and its inputs; exit code 1 if anything differs.

    Args:
        store: path of the store
        cells: random windows, and as many random records, that are made again from the genotypes
        seed: of the draw
        json: print JSON instead of text
    """
    from seqstore.verify import verify_store

    report = verify_store(store, cells=cells, seed=seed)
    print(json_text.dumps(report.as_dict(), indent=2) if json else "\n".join(report.lines()))
    if not report.is_sound:
        raise SystemExit(1)


def main() -> NoReturn:
    """Run the command line."""
    run(
        "seqstore",
        {
            "build": build,
            "append": append,
            "info": info,
            "verify": verify,
            "export": export,
            "import-hdf5": import_hdf5,
            "expression": prepare_expression,
            "simulate": simulate,
        },
    )


if __name__ == "__main__":
    main()
