"""Tables as commands print them."""

from __future__ import annotations

import pandas as pd


def aligned(table: pd.DataFrame) -> str:
    """A table for a person to read: three decimals, ``-`` for what is not known."""
    return table.to_string(index=False, float_format="{:.3f}".format, na_rep="-")
