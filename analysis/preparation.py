"""How measured expression was prepared, and whether on people who test: said beside every result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seqstore.recipe import describe_fit, describe_recipe


@dataclass(frozen=True)
class Preparation:
    """How the expression that predictions are compared with was prepared, and on whom."""

    recipe: dict[str, Any]  # see seqstore.recipe
    seen: dict[str, tuple[int, int]]  # by gene class: people who test it and were fitted on, who test it

    def fitted_on(self, gene_class: str) -> str:
        """On whom the recipe was fitted, and how many of those who test a gene class are among them."""
        return f"{describe_fit(self.recipe)}, {self._among(gene_class)} test people among them"

    def __str__(self) -> str:
        among = ", ".join(f"{self._among(gene_class)} ({gene_class})" for gene_class in self.seen)
        return f"{describe_recipe(self.recipe)}; test people among them: {among}"

    def _among(self, gene_class: str) -> str:
        n_seen, n_tested = self.seen[gene_class]
        return f"{n_seen} of {n_tested}"
