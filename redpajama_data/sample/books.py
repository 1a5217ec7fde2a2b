"""The books of the sample: PG19 and Books3 as JSON lines, and a folder of Project Gutenberg text files.

Raw form: PG19 ``{"short_book_title", "publication_date", "url", "text"}`` in three splits, Books3 ``{"title",
"text"}``; line numbers matter, because the published recipe makes ids out of them and lets the two id spaces overlap.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from redpajama_data.sample.lexicon import WORLDS
from redpajama_data.sample.planted import Planted
from redpajama_data.sample.prose import NARRATIVE, SPEECH, Chance, paragraph, sentence, wrapped

PLANTED: tuple[Planted, ...] = (
    Planted("train line 2, a copy of line 0, is saved by the unrelated Books3 line 2 (same id)", 1, ""),
    Planted(
        "train line 3, unique, falls with Books3 line 3 (same id), a copy of train line 0", 1, "near_duplicate_book"
    ),
    Planted("Books3 line 3, the copy of train line 0", 1, "near_duplicate_book"),
    Planted("train line 6, a copy of line 1", 1, "near_duplicate_book"),
    Planted("validation line 0, a copy of test line 1", 1, "near_duplicate_book"),
    Planted("validation line 1, id 28003, loses against its copy in Books3 line 1, id 1", 1, "near_duplicate_book"),
    Planted("train line 5 and Books3 line 5 are copies with one id: equal ids never flag each other", 2, ""),
    Planted("train line 4 has no text; its line number is used up", 1, "malformed"),
    Planted("Books3 line 6 has a number for a text", 1, "malformed"),
    Planted("Books3 line 7, one chapter of train line 0 printed alone: too far from it to be a copy", 1, ""),
    Planted("Gutenberg file in Latin-1", 1, ""),
    Planted("Gutenberg file of a book that another file has in another edition", 1, "near_duplicate_book"),
    Planted("Gutenberg file without START and END lines", 1, ""),
)

TRAIN = ("harbour", "farm", "harbour:2", "railway", None, "mountain", "farm:6")
TEST = ("orchestra", "hospital")
VALIDATION = ("hospital:28002", "press")
BOOKS3 = ("garden", "press:1", "observatory", "harbour:3", "mill", "mountain:5", 1937, "harbour:chapter")
GUTENBERG = ("court", "kitchen", "forest", "kitchen:2", "school")

_TITLES = {
    "harbour": ("The Widow of Port Averil", 1871),
    "farm": ("Twelve Acre and Other Tales", 1864),
    "railway": ("The Signalman's Ledger", 1889),
    "mountain": ("A Season on the Weisszahn", 1878),
    "orchestra": ("The Second Oboist", 1902),
    "hospital": ("Ward Four", 1896),
    "press": ("The Evening Comet", 1911),
    "garden": ("Bellflower Walk", 1931),
    "observatory": ("The Night Assistant", 1928),
    "mill": ("Clough Bottom", 1934),
    "court": ("The Codicil", 1883),
    "kitchen": ("Dinner at the Blue Boar", 1899),
    "forest": ("La Légende du chêne creux, or The Hollow Oak", 1857),
    "school": ("Thornbury Hall", 1906),
}
_START = "*** START OF THE PROJECT GUTENBERG EBOOK {} ***"
_END = "*** END OF THE PROJECT GUTENBERG EBOOK {} ***"


def novel(name: str, seed: str = "") -> str:
    """The text of one book, 25 to 40 KB, on lines of at most 72 chars.

    Every book has a world and a third of the sentence patterns of its own: otherwise all would be near-duplicates.
    """
    chance = Chance(f"book {name}{seed}")
    world, patterns = WORLDS[name], chance.some(NARRATIVE, 9) + chance.some(SPEECH, 2)
    title, year = _TITLES[name]
    parts = [title.upper(), f"LONDON\n{year}"]
    for number in range(1, chance.between(6, 9)):
        parts.append(f"CHAPTER {number}\n\n{sentence(chance, world, chance.pick(patterns))[:-1].upper()}")
        for _ in range(chance.between(7, 11)):
            parts.append(wrapped(paragraph(chance, world, patterns, 3, 8)))
    return "\n\n".join([*parts, "THE END"]) + "\n"


def another_edition(text: str, seed: str) -> str:
    """The same book with a note of the editor, other quotation marks, and a word changed in about one line of eight."""
    chance = Chance(f"edition {seed}")
    lines = text.replace("THE END", "FINIS").split("\n")
    for at, line in enumerate(lines):
        words = line.split(" ")
        if len(words) > 6 and chance.below(8) == 0:
            words[chance.below(len(words))] = chance.pick(("indeed", "however", "[illegible]", "Sic"))
            lines[at] = " ".join(words)
    opening, closing = chance.pick((("\u201c", "\u201d"), ("'", "'"), ("``", "''")))
    body = "\n".join(lines).replace(' "', " " + opening).replace('\n"', "\n" + opening).replace('"', closing)
    return "Transcribed from the second edition. Obvious errors have been corrected.\n\n" + body


def _text(name: str) -> str:
    """``world`` is the book itself, ``world:chapter`` a piece of it, ``world:seed`` a near-duplicate of it."""
    world, _, seed = name.partition(":")
    if seed == "chapter":
        return "CHAPTER 1" + novel(world).split("CHAPTER 1")[1].split("CHAPTER 2")[0]
    return another_edition(novel(world), seed) if seed else novel(world)


def _pg19(number: int, name: str | None) -> dict[str, Any]:
    title, year = _TITLES[name.partition(":")[0]] if name else ("Lost Leaves", 1866)
    record: dict[str, Any] = {
        "short_book_title": title,
        "publication_date": year,
        "url": f"http://www.gutenberg.org/ebooks/{90000 + number}",
    }
    return record | {"text": _text(name)} if name else record


def _books3(name: str | int) -> dict[str, Any]:
    if isinstance(name, int):
        return {"title": "Tables of the Tides", "text": name}
    return {"title": _TITLES[name.partition(":")[0]][0], "text": _text(name)}


def gutenberg_file(number: int, name: str) -> bytes:
    """One file of Project Gutenberg: heading, START line, book, END line, licence; CRLF line ends.

    The forest is in Latin-1 (its title has accents), the school has no START and END line, the kitchen comes twice.
    """
    world = name.partition(":")[0]
    title, body = _TITLES[world][0], _text(name)
    encoding = "ISO-8859-1" if world == "forest" else "UTF-8"
    heading = f"The Project Gutenberg eBook of {title}\n\nTitle: {title}\n"
    heading += f"Release Date: May {1 + number}, 2011 [eBook #{91001 + number}]\n"
    heading += f"Language: English\nCharacter set encoding: {encoding}\n\n"
    licence = "\n\nThis ebook may be copied, given away and used again by anyone, at no cost and without restriction.\n"
    if world == "school":
        whole = body
    else:
        whole = f"{heading}\n{_START.format(title.upper())}\n\n\n{body}\n\n{_END.format(title.upper())}{licence}"
    mark = "\ufeff" if world == "kitchen" else ""
    return (mark + whole).replace("\n", "\r\n").encode(encoding)


def _lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def build(folder: Path) -> None:
    """Write ``pg19-{train,test,validation}.jsonl``, ``books3-train.jsonl`` and ``gutenberg/*.txt`` into ``folder``."""
    for split, names, first in (("train", TRAIN, 0), ("test", TEST, 28000), ("validation", VALIDATION, 28002)):
        records = [_pg19(first + number, name) for number, name in enumerate(names)]
        (folder / f"pg19-{split}.jsonl").write_bytes(_lines(records))
    (folder / "books3-train.jsonl").write_bytes(_lines([_books3(name) for name in BOOKS3]))
    (folder / "gutenberg").mkdir()
    for number, name in enumerate(GUTENBERG):
        (folder / "gutenberg" / f"pg{91001 + number}.txt").write_bytes(gutenberg_file(number, name))
