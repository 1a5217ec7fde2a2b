"""What a row of the table of repairs says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Repair:
    """One repair. ``name`` is what the setting ``repairs`` calls it, and the function where one does it alone.

    ``wrong`` is what the published scripts do, ``rule`` what is done instead, ``source`` where the rule is from and
    ``case`` an example: the input, what the published recipe makes of it, what the repair makes of it.
    """

    name: str
    slice: str
    wrong: str
    rule: str
    source: str
    case: tuple[str, str, str]
