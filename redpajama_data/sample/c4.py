"""The C4 documents of the sample: two files of gzipped JSON lines ``{"text", "timestamp", "url"}``, text unescaped."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from redpajama_data.sample.lexicon import WORLDS
from redpajama_data.sample.planted import Planted
from redpajama_data.sample.prose import EXPOSITORY, WEB, Chance, paragraph, subject
from redpajama_data.sample.shared_pages import PAGES, changed

FILES = 2
PLAIN = 260  # ordinary documents, half in each file

PLANTED: tuple[Planted, ...] = (
    Planted("line cut off, in the first file", 1, "malformed"),
    Planted("blank line", 1, "malformed"),
    Planted("record without url", 1, "malformed"),
    Planted("record whose text is a number", 1, "malformed"),
    Planted("JSON array instead of an object", 1, "malformed"),
    Planted("text and url of an earlier document, later timestamp: C4 is taken as it is", 3, ""),
    Planted("empty text", 1, ""),
    Planted("text with U+2028, NEL, tab, control characters and an escaped surrogate pair", 1, ""),
    Planted("keys in another order", 1, ""),
    Planted("text of 40,000 chars", 1, ""),
    Planted("pages that Wikipedia or GitHub has word for word", 2, ""),
    Planted("a page that Wikipedia has in slightly other words", 1, ""),
    Planted("a page, and twice the same with a few words changed", 3, ""),
)


def _line(text: str, timestamp: str, url: str) -> str:
    return json.dumps({"text": text, "timestamp": timestamp, "url": url}, ensure_ascii=False, separators=(",", ":"))


def _moment(chance: Chance) -> str:
    day, hour = chance.between(18, 26), chance.below(24)
    return f"2019-04-{day:02d}T{hour:02d}:{chance.below(60):02d}:{chance.below(60):02d}Z"


def document(chance: Chance) -> tuple[str, str, str]:
    """Text, timestamp and url of one web page: a heading and two to six paragraphs, one a line."""
    name, world = subject(chance)
    noun, adjective = chance.pick(world.nouns), chance.pick(world.adjectives)
    body = [paragraph(chance, world, WEB + EXPOSITORY[:4], 2, 6) for _ in range(chance.between(2, 6))]
    host = f"{chance.pick(('www', 'blog', 'shop', 'news'))}.{adjective}-{name}.example"
    url = f"https://{host}/{chance.between(2009, 2019)}/{chance.between(1, 12):02d}/{noun}-{chance.between(2, 900)}"
    return "\n".join([f"The {adjective.capitalize()} {noun.capitalize()}", *body]), _moment(chance), url


def build(folder: Path) -> None:
    """Write ``c4-train.00000-of-00002.json.gz`` and ``c4-train.00001-of-00002.json.gz`` into ``folder``."""
    chance = Chance("c4")
    documents = [document(chance) for _ in range(PLAIN)]
    lines = [_line(*made) for made in documents]
    for text, _, url in chance.some(documents[: PLAIN // 2], 3):
        lines.append(_line(text, "2019-04-26T23:59:59Z", url))
    text, moment, url = document(chance)
    lines[40:40] = [lines[40][:-30], json.dumps({"text": text, "timestamp": moment})]
    lines[90:90] = [""]
    lines.append(json.dumps({"text": 2019, "timestamp": moment, "url": url}))
    lines.append(json.dumps([text, moment, url]))
    lines.append(_line("", moment, "https://www.empty.example/"))
    strange = "First\u2028line\u0085and\tthe\u000bnext \u0001 one, 価格 \u00a0 \U0001f600"
    lines.append(_line(strange, moment, "https://www.odd-characters.example/").replace("\U0001f600", "\\ud83d\\ude00"))
    lines.append(json.dumps({"url": url + "/reordered", "timestamp": moment, "text": text}))
    long = " ".join(paragraph(chance, WORLDS["court"], EXPOSITORY, 9, 9) for _ in range(80))[:40000]
    lines.append(_line(long, moment, "https://www.long-page.example/all"))
    texts = [PAGES[0], PAGES[2], changed(PAGES[1], "c4"), PAGES[3], changed(PAGES[3], "a"), changed(PAGES[3], "b")]
    for number, text in enumerate(texts):
        lines.insert(10 + 40 * number, _line(text, moment, f"https://www.elsewhere.example/{number}"))
    half = len(lines) // FILES
    for number, part in enumerate((lines[:half], lines[half:])):
        packed = gzip.compress("".join(line + "\n" for line in part).encode(), mtime=0)
        (folder / f"c4-train.{number:05d}-of-{FILES:05d}.json.gz").write_bytes(packed)
