"""What each repair of the published recipe changes, measured alone: leave-one-in, slice by slice.

    python scripts/repairs.py                              on the real input: a table
    python scripts/repairs.py github arxiv --examples 3    with documents before and after
    python scripts/repairs.py --write                      and keep it in docs/recipe.md
    python scripts/repairs.py --sample                     on the embedded sample, against tests/golden/repairs.json
    python scripts/repairs.py --sample --write             keep what this gives

The published recipe is run, then each repair by itself, then all together, into one root: what a repair does not touch
is not done again. Documents are told apart by their ids. Exit status 1 when the sample gives other numbers, 2 when the
real input is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from golden import working_folder
from realdata import DEFAULT, NAMES, raw_files, run_on, use_models_of

from redpajama_data.config import load_config, slice_settings
from redpajama_data.engine.receipts import load_all
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.tokens import resolve_tokenizer, tokenizer_for
from redpajama_data.sample import build
from redpajama_data.whole_run import run_parts
from slices import load
from slices.repairs import ALL, NONE, repairs_of

RECIPE = Path(__file__).resolve().parents[1] / "redpajama_data" / "docs" / "recipe.md"
BEGIN, END = "<!-- repairs -->\n", "<!-- end of repairs -->\n"
PATH = Path(__file__).resolve().parents[1] / "tests" / "golden" / "repairs.json"
AROUND = 120  # characters of an example before the first difference, and twice that behind

Texts = dict[str, str]  # by the id of the document
Run = Callable[[str, str, Path], None]  # of a slice with its repairs, into a root


@dataclass
class Effect:
    """Documents and tokens that a repair brings, takes and changes, against the published recipe."""

    slice: str
    repair: str
    documents: int
    gained: int
    lost: int
    changed: int
    tokens_gained: int
    tokens_lost: int
    tokens_changed: int  # of the changed documents, after less before
    examples: list[tuple[str, str, str]] = field(default_factory=list)  # id, before, after

    def numbers(self) -> list[int]:
        """All but the examples."""
        return [value for value in asdict(self).values() if isinstance(value, int)]


def measure(name: str, run: Run, root: Path, examples: int = 0) -> Iterator[Effect]:
    """The effect of each repair of a slice, then of all of them."""
    run(name, NONE, root)
    before = texts_of(root, name)
    repairs = [repair.name for repair in repairs_of(name)]
    for repair in [*repairs, *([ALL] if len(repairs) > 1 else [])]:
        run(name, repair, root)
        yield compare(name, repair, before, texts_of(root, name), examples)


def texts_of(root: Path, name: str) -> Texts:
    """The published texts of a slice by the ids of their documents."""
    found: Texts = {}
    for receipt in load_all(str(root), name):
        for role, out in receipt.outputs.items():
            if role.split(":")[0] == "published":
                ids = receipt.outputs[role.replace("published", "ids", 1)]
                lines = iter_lines(str(root / ids.path), max_bytes=1 << 20)
                for doc_id, record in zip(lines, read_jsonl(str(root / out.path)), strict=True):
                    assert isinstance(doc_id, bytes)
                    found[doc_id.decode()] = record["text"]
    return found


def compare(name: str, repair: str, before: Texts, after: Texts, examples: int) -> Effect:
    """What became of the documents."""
    gained = [doc for doc in after if doc not in before]
    lost = [doc for doc in before if doc not in after]
    changed = [doc for doc in before if doc in after and before[doc] != after[doc]]
    effect = Effect(
        name,
        repair,
        len(after),
        len(gained),
        len(lost),
        len(changed),
        tokens([after[doc] for doc in gained]),
        tokens([before[doc] for doc in lost]),
        tokens([after[doc] for doc in changed]) - tokens([before[doc] for doc in changed]),
    )
    for kind in (changed, gained, lost):
        for doc in kind[:: max(1, len(kind) // max(1, examples))][: examples - len(effect.examples)]:
            effect.examples.append((doc, *first_difference(before.get(doc, ""), after.get(doc, ""))))
    return effect


def first_difference(before: str, after: str) -> tuple[str, str]:
    """Both texts around the first place in which they differ."""
    pairs = enumerate(zip(before, after, strict=False))
    place = next((n for n, (one, other) in pairs if one != other), min(len(before), len(after)))
    around = slice(max(0, place - AROUND), place + 2 * AROUND)
    return before[around], after[around]


def tokens(texts: Sequence[str]) -> int:
    """GPT-NeoX tokens of all texts together."""
    return sum(tokenizer_for(resolve_tokenizer("gpt-neox-20b")).count(list(texts))) if texts else 0


# ------------------------------------------------------------------------------------------------ inputs


@contextmanager
def real_input(data: Path) -> Iterator[Run]:
    """Runs on the real input."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ.update(use_models_of(data, Path(cache)))

        def run(name: str, repairs: str, root: Path) -> None:
            run_on(name, raw_files(name, data), data, root, {"repairs": repairs})

        yield run


@contextmanager
def sample() -> Iterator[Run]:
    """Runs on the embedded sample, in a folder of its own."""
    with working_folder():
        build(Path("raw"))

        def run(name: str, repairs: str, root: Path) -> None:
            config = load_config("raw/rpj.yaml", {"root": str(root), "executor": "serial"})
            part = load(name)
            run_parts(
                [(part, slice_settings(part.settings, name, config, {"repairs": repairs}, "raw/rpj.yaml"))],
                config,
                quiet=True,
            )

        yield run


# ------------------------------------------------------------------------------------------------ output

HEAD = ("slice", "repair", "documents", "gained", "lost", "changed", "tokens +", "tokens -", "in changed")


def rows(effects: Sequence[Effect]) -> list[tuple[str, ...]]:
    """The cells of a table."""
    return [(e.slice, e.repair, *(f"{n:,}" for n in e.numbers()[:-1]), f"{e.tokens_changed:+,}") for e in effects]


def table(effects: Sequence[Effect]) -> str:
    """For a terminal."""
    cells = [HEAD, *rows(effects)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    )


def with_table(document: str, effects: Sequence[Effect]) -> str:
    """The document with these effects in its table; those of slices that were not measured stay."""
    before, _, rest = document.partition(BEGIN)
    old, _, after = rest.partition(END)
    kept = [tuple(line.strip("| ").split(" | ")) for line in old.splitlines() if line.startswith("|")][2:]
    measured = {effect.slice for effect in effects}
    found = [*rows(effects), *(row for row in kept if row[0] not in measured)]
    found.sort(key=lambda row: NAMES.index(row[0]))
    cells = [HEAD, ("---", "---", *["--:"] * 7), *found]
    return before + BEGIN + "".join(f"| {' | '.join(row)} |\n" for row in cells) + END + after


def show(effect: Effect) -> str:
    """Examples for a person to read."""
    parts = [f"\n== {effect.slice}: {effect.repair}"]
    for doc, before, after in effect.examples:
        parts += [f"-- {doc}", "before:", before, "after:", after]
    return "\n".join(parts)


def main() -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", nargs="*", metavar="SLICE", help=f"of {', '.join(NAMES)}; default: all with repairs")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--sample", action="store_true", help="the embedded sample instead")
    parser.add_argument("--write", action="store_true", help="keep the numbers, of the sample or of the document")
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="documents of each repair to show")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    names = [name for name in (given.slices or NAMES) if repairs_of(name)]
    if not given.sample and not all(raw_files(name, given.data) for name in names):
        print(f"{given.data}: no input for {', '.join(names)}. Give --data DIR or --sample.", file=sys.stderr)
        return 2
    effects = []
    with (
        sample() if given.sample else real_input(given.data.resolve()) as run,
        tempfile.TemporaryDirectory() as root,
    ):
        for name in names:
            for effect in measure(name, run, Path(root), given.examples):
                effects.append(effect)
                print(f"{name}: {effect.repair}", file=sys.stderr)
    if given.json:
        print(json.dumps([asdict(effect) for effect in effects], indent=1))
    else:
        print(table(effects))
        print("".join(show(effect) for effect in effects if effect.examples))
    if given.sample:
        return check(effects, write=given.write)
    if given.write:
        RECIPE.write_text(with_table(RECIPE.read_text(), effects))
    return 0


def check(effects: Sequence[Effect], *, write: bool) -> int:
    """Hold the numbers of the sample against those that are kept, or keep them."""
    found = {f"{effect.slice}: {effect.repair}": effect.numbers() for effect in effects}
    if write:
        PATH.write_text("{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}\n")
        return 0
    wrong = problems(json.loads(PATH.read_text()), found)
    print("\n".join(wrong) or "As kept.")
    return 1 if wrong else 0


def problems(kept: Mapping[str, list[int]], found: Mapping[str, list[int]]) -> list[str]:
    """What differs, and what to do."""
    wrong = [f"{name}: was {kept.get(name)}, is {now}" for name, now in found.items() if kept.get(name) != now]
    return [*wrong, "If that is meant: python scripts/repairs.py --sample --write"] if wrong else []


if __name__ == "__main__":
    sys.exit(main())
