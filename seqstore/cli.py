"""The command line ``seqstore``."""

from __future__ import annotations

import json as json_text
from typing import NoReturn

from seqstore.commands import run
from seqstore.config import BuildConfig
from seqstore.simulate import simulate


def build(config: BuildConfig) -> None:
    """Build a store from genotypes, a reference, genes and expression; goes on where it was stopped."""
    from seqstore.build import build as build_store

    build_store(config)


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


def main() -> NoReturn:
    """Run the command line."""
    run("seqstore", {"build": build, "info": info, "simulate": simulate})


if __name__ == "__main__":
    main()
