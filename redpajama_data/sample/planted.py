"""What the sample holds on purpose."""

from __future__ import annotations

from typing import NamedTuple


class Planted(NamedTuple):
    """One kind of planted record: what it is, how many there are, and the rule that drops them ("" = they are kept)."""

    what: str
    number: int
    rule: str
