"""What a verification finds: what was compared, and what differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

#: Differences of one array that are listed one by one; further ones are only counted.
LISTED = 100


@dataclass(frozen=True)
class Difference:
    """One place where a store is not what it should be.

    ``array`` is the array's path in the store (or an input file's), ``haplotype`` 0 or 1, ``base`` the index
    in the window of the first base that differs; None = does not apply.
    """

    array: str
    message: str
    gene: str | None = None
    individual: str | None = None
    haplotype: int | None = None
    base: int | None = None

    def __str__(self) -> str:
        names = ("gene", "individual", "haplotype", "base")
        place = [f"{name} {getattr(self, name)}" for name in names if getattr(self, name) is not None]
        return f"{self.array}: " + (f"{', '.join(place)}: " if place else "") + self.message


@dataclass(frozen=True)
class Check:
    """Something that was compared: ``n`` things, with what."""

    what: str
    n: int
    against: str

    def __str__(self) -> str:
        return f"{self.what}: {self.n:,} compared with {self.against}"


@dataclass
class Findings:
    """Everything that a verification has found so far.

    ``n_of`` counts the differences of each array; ``differences`` lists the first `LISTED` of each; ``left_out``
    says what was not compared, and why.
    """

    checks: list[Check] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    n_of: Counter[str] = field(default_factory=Counter)

    def differ(
        self,
        array: str,
        message: str,
        *,
        gene: str | None = None,
        individual: str | None = None,
        haplotype: int | None = None,
        base: int | None = None,
    ) -> None:
        """Note a difference."""
        self.n_of[array] += 1
        if self.n_of[array] <= LISTED:
            self.differences.append(Difference(array, message, gene, individual, haplotype, base))

    def compared(self, what: str, n: int, against: str) -> None:
        """Note what was compared with what, if anything was."""
        if n:
            self.checks.append(Check(what, n, against))

    def leave_out(self, what: str) -> None:
        """Note what was not compared, and why."""
        if what not in self.left_out:
            self.left_out.append(what)
