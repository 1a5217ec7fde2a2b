"""The table of repairs: what is wrong in the published recipe, by what rule each defect is repaired, and how a slice's
settings name them.

The default of every slice is the published recipe, byte for byte. ``repairs=all`` chooses every repair of a slice,
``repairs=NAME,...`` some of them. A repair is a function beside the published one, chosen where the slice lists its
steps; so it is part of the lineage of the stage it is in, and choosing it redoes that stage and what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import AfterValidator

from slices.repairs import arxiv, books, common_crawl, github, references, stackexchange, wikipedia
from slices.repairs.table import Repair

ALL, NONE = "all", "none"
SETTING = "repairs of the published recipe: all, none or names of them (rpj help repairs)"
_OF_SLICES = (common_crawl, github, books, arxiv, wikipedia, stackexchange)
_OF_COMMANDS = (references,)  # chosen by an option of their command, by no slice
REPAIRS: tuple[Repair, ...] = tuple(repair for part in (*_OF_SLICES, *_OF_COMMANDS) for repair in part.REPAIRS)


def repairs_of(name: str) -> list[Repair]:
    """The repairs of a slice, in the order of the table."""
    return [repair for repair in REPAIRS if repair.slice == name]


def chosen_from(name: str) -> AfterValidator:
    """Validates the setting ``repairs`` of a slice: ``all``, ``none`` or names, as names in the order of the table.

    However they are spelled, the same repairs are the same setting. Raises ValueError for a name that the slice lacks.
    """

    def chosen(value: tuple[str, ...]) -> tuple[str, ...]:
        known = [repair.name for repair in repairs_of(name)]
        if value == (ALL,):
            return tuple(known)
        if value == (NONE,):
            return ()
        for wanted in value:
            if wanted not in known:
                raise ValueError(_unknown(wanted, name, known))
        return tuple(each for each in known if each in value)

    return AfterValidator(chosen)


def _unknown(wanted: str, name: str, known: Sequence[str]) -> str:
    if wanted in (ALL, NONE):
        return f"{wanted!r} stands alone"
    others = [repair.slice for part in _OF_SLICES for repair in part.REPAIRS if repair.name == wanted]
    if others:
        return f"{wanted!r} is a repair of {others[0]}: give {others[0]}.repairs={wanted}"
    return f"{wanted!r} is no repair of {name}; expected all, none or some of {', '.join(known) or 'no repairs yet'}"


def as_markdown(repairs: Iterable[Repair] = REPAIRS) -> str:
    """The table as a document, for ``rpj help repairs``. The first line is ``# title``."""
    lines = [
        "# Repairs of the published recipe: what was wrong, the rule, its source, a case",
        "",
        "The default is the recipe as published. `rpj run --all --set repairs=all` repairs all of it, and so does",
        "`recipe: corrected` in a configuration (`configs/redpajama-1t-corrected.yaml`). `--set github.repairs=NAME`",
        "chooses for one slice. A repair that is chosen later redoes the stage that it is in, and what follows.",
        "What each repair changes on real input: `rpj help recipe`.",
    ]
    for repair in repairs:
        given, published, repaired = map(repr, repair.case)
        lines += [
            "",
            f"## {repair.slice}: {repair.name}",
            "",
            f"- wrong: {repair.wrong}",
            f"- rule: {repair.rule}",
            f"- source: {repair.source}",
            f"- case: {given} gave {published}, gives {repaired}",
        ]
    return "\n".join(lines) + "\n"
