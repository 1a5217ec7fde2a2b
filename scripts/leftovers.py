"""Leftovers of the raw form in published texts, counted by eyes of their own: nothing here knows how a slice cleans.

    python scripts/leftovers.py                    run both recipes on the real input: published against corrected
    python scripts/leftovers.py github arxiv
    python scripts/leftovers.py --write            and keep the table in docs/recipe.md
    python scripts/leftovers.py --root OUT         count in the shards of a root

A document counts once for each kind of leftover that it has. The patterns are what a reader would stumble over, so a
few documents have them by right: a paper on LaTeX, a file about licences.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from realdata import DEFAULT, NAMES, raw_files, run_on, use_models_of

from redpajama_data.io.shards import read_jsonl

RECIPE = Path(__file__).resolve().parents[1] / "redpajama_data" / "docs" / "recipe.md"
BEGIN, END = "<!-- leftovers -->\n", "<!-- end of leftovers -->\n"
HEAD = 1500  # characters in which a licence header stands
LICENCE = re.compile(r"copyright|licensed under|all rights reserved|permission is hereby granted|SPDX-", re.IGNORECASE)
COMMENT = re.compile(r"^\s*(?:/\*|\*|//|#|--|;|%|<!--)", re.MULTILINE)

GUTENBERG = r"Project Gutenberg(?:-tm|\u2122)? (?:License|Literary)|\*\*\* ?(?:START|END) OF"
# The first or the last line begins with "next" or "back" of another language, or with a letter that English lacks.
_NEXT = (
    "Zur\u00fcck|Weiter|Terug|Volgende|Pr\u00e9c\u00e9dent|Suivant|Anterior|Siguiente|Indietro|Avanti|Poprzedni|Nast\u0119pny"
    "|P\u0159edch\u00e1zej\u00edc\u00ed|Dal\u0161\u00ed|N\u00e6ste|Forrige|F\u00f6reg\u00e5ende|N\u00e4sta|\u00cenapoi|\u00cenainte|\u00d6nceki|Sonraki|Natrag|Naprijed"
    "|Tr\u01b0\u1edbc|K\u1ebf ti\u1ebfp|[\u0370-\u1fff\u3040-\ud7ff]"
)
NAVIGATION = rf"(?i:\A(?:{_NEXT})|\n(?:{_NEXT})[^\n]*\Z)"
DANGLING = r"\n\n(?:See also|References|External links|Notes)\s*(?:\n\n\S[^\n]{0,40}\n\n|\Z)"

Record = dict[str, Any]
Kind = Callable[[Record], bool]


def has(pattern: str, flags: int = 0) -> Kind:
    """A text in which the pattern is found."""
    find = re.compile(pattern, flags).search
    return lambda record: find(record["text"]) is not None


def licence_in_a_comment(record: Record) -> bool:
    """A line of comment at the head that speaks of copyright or licence."""
    lines = record["text"][:HEAD].split("\n")
    return any(COMMENT.match(line) and LICENCE.search(line) for line in lines)


def broken_lines(record: Record) -> bool:
    """Most lines of the book end in the middle of a sentence, at 40 to 80 characters."""
    lines = [line for line in record["text"].split("\n") if line.strip()]
    cut = sum(40 <= len(line) <= 80 and line.rstrip()[-1].isalpha() for line in lines)
    return cut > 0.3 * len(lines)


def names_at_the_end(record: Record) -> bool:
    """Three short lines at the end that begin with a capital and have no full stop: names of categories."""
    tail = [line for line in record["text"].rstrip().split("\n") if line.strip()][-3:]
    return len(tail) == 3 and all(len(line) < 60 and line[0].isupper() and line.rstrip()[-1].isalnum() for line in tail)


def no_way_back(record: Record) -> bool:
    """A record without the address that it is from."""
    return not (record.get("meta") or {}).get("url")


END_OF_TEXT = ("literal <|endoftext|>", has(re.escape("<|endoftext|>")))
KINDS: dict[str, list[tuple[str, Kind]]] = {
    "common_crawl": [("no address", no_way_back), ("navigation in another language", has(NAVIGATION)), END_OF_TEXT],
    "c4": [END_OF_TEXT],
    "github": [("licence in a comment at the head", licence_in_a_comment), END_OF_TEXT],
    "books": [
        ("licence of Project Gutenberg", has(GUTENBERG)),
        ("lines broken at a width", broken_lines),
        ("_italics_", has(r"(?<!\w)_[^\W_][^_\n]*_(?!\w)")),
    ],
    "arxiv": [
        ("\\input or \\include", has(r"\\(?:input|include)\s*\{")),
        ("\\end{document}", has(r"\\end\{document\}")),
        ("three empty lines and more", has(r"\n[ \t]*\n[ \t]*\n[ \t]*\n")),
        ("a comment", has(r"(?<!\\)%(?![0-9A-Fa-f]{2}|\|)[^\n]*$", re.MULTILINE)),
        ("nothing but white space", lambda record: not record["text"].strip()),
    ],
    "wikipedia": [
        ("empty brackets", has(r"\(\s*[,;:]*\s*\)|\(\s*[,;]\s")),
        ("double blanks in a sentence", has(r"[a-z]  [a-z]")),
        ("names of categories at the end", names_at_the_end),
        ("heading with nothing below", has(DANGLING)),
    ],
    "stackexchange": [
        ("words glued at a line end", has(r"[a-z][.?!:][A-Z][a-z]+ [a-z]")),
        ("a bullet with nothing", has(r"^\*\s*$", re.MULTILINE)),
        END_OF_TEXT,
    ],
}  # fmt: skip


def count(name: str, records: Iterable[Record]) -> tuple[int, Counter[str]]:
    """Documents of a slice, and how many of them have each kind of leftover."""
    found: Counter[str] = Counter()
    documents = 0
    for record in records:
        documents += 1
        found.update(kind for kind, test in KINDS[name] if test(record))
    return documents, found


def records_of(root: Path, name: str) -> Iterable[Record]:
    """The published records of a slice in a root."""
    for shard in sorted((root / name).rglob("*.jsonl.zst")):
        yield from read_jsonl(str(shard))


def percent(part: int, whole: int) -> str:
    """A share in words."""
    return f"{part:,} of {whole:,}" + (f" ({100 * part / whole:.1f} %)" if whole else "")


def compare(name: str, data: Path, scratch: Path) -> list[tuple[str, ...]]:
    """Rows of the table: slice, leftover, share in the published recipe, share in the corrected one."""
    counted = []
    for repairs in ("none", "all"):
        run_on(name, raw_files(name, data), data, scratch, {"repairs": repairs})
        counted.append(count(name, records_of(scratch, name)))
    return [(name, kind, *(percent(found[kind], documents) for documents, found in counted)) for kind, _ in KINDS[name]]


def with_table(document: str, rows: Sequence[tuple[str, ...]]) -> str:
    """The document with these rows in its table; those of slices that were not counted stay."""
    before, _, rest = document.partition(BEGIN)
    old, _, after = rest.partition(END)
    kept = [tuple(line.strip("| ").split(" | ")) for line in old.splitlines() if line.startswith("|")][2:]
    counted = {row[0] for row in rows}
    every = sorted([*rows, *(row for row in kept if row[0] not in counted)], key=lambda row: NAMES.index(row[0]))
    head = [("slice", "leftover", "published", "corrected"), ("---", "---", "--:", "--:")]
    return before + BEGIN + "".join(f"| {' | '.join(row)} |\n" for row in [*head, *every]) + END + after


def main() -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slices", nargs="*", metavar="SLICE", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--root", type=Path, help="count in this root, run nothing")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/recipe.md")
    given = parser.parse_args()
    names = given.slices or list(NAMES)
    if given.root:
        for name in names:
            documents, found = count(name, records_of(given.root, name))
            for kind, _ in KINDS[name] if documents else ():
                print(f"{name:14} {kind:40} {percent(found[kind], documents)}")
        return 0
    if not all(raw_files(name, given.data) for name in names):
        print(f"{given.data}: no input for {', '.join(names)}. Give --data DIR or --root.", file=sys.stderr)
        return 2
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(use_models_of(given.data, Path(scratch) / "models"))
        for name in names:
            rows += compare(name, given.data.resolve(), Path(scratch) / "root")
    for name, kind, *shares in rows:
        print(f"{name:14} {kind:40} {shares[0]:>24} {shares[1]:>24}")
    if given.write:
        RECIPE.write_text(with_table(RECIPE.read_text(), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
