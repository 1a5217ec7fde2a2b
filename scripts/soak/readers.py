"""Damages raw files of the sample at random and reads them: it ends in time, and nothing is lost without a word.

    python scripts/soak/readers.py [--files 1000] [--seed 0] [--minutes M] [--only NAME] [--file N]

Each file is changed in one to four places (bits turned, bytes put in, taken out, set to zero, the end cut off, a part
twice), outside, or inside its compression and packed again. Held against the undamaged file: a reader ends within
``SECONDS``, with documents, rejections and damaged places, each of an id of its own, or with BrokenInput. Where a
checksum stands over the bytes (gzip, bzip2, 7z, damaged outside), a rejection or a damaged place says so where the
texts are not those of the undamaged file: no exit 0 where bytes were not read.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filters.stackexchange import Post
from redpajama_data import sample
from redpajama_data.document import Document, Rejected
from redpajama_data.errors import BrokenInput
from slices.c4 import read_c4
from slices.github import read_bigquery
from slices.readers.arxiv_reader import read_arxiv_tar
from slices.readers.books_reader import read_books
from slices.readers.gutenberg import read_gutenberg
from slices.readers.stackexchange_dump import read_posts
from slices.readers.wet import read_wet
from slices.readers.wikipedia_dump import read_pages

SECONDS = 30  # CPU time that a damaged file of the sample may take; the undamaged takes up to half a second

READERS: dict[str, tuple[str, str, Callable[[str], Iterator[Any]]]] = {
    "github": ("github", "github_*1.gz", partial(read_bigquery, max_record_bytes=1 << 20)),
    "c4": ("c4", "*00000*.json.gz", read_c4),
    "books": ("books", "pg19-test.jsonl", read_books),
    "gutenberg": ("books", "*.txt", read_gutenberg),
    "arxiv": ("arxiv", "*.tar", read_arxiv_tar),
    "wikipedia": ("wikipedia", "de*.bz2", partial(read_pages, language="de", timestamp="20230320")),
    "stackexchange 7z": ("stackexchange", "*.7z", read_posts),
    "stackexchange xml": ("stackexchange", "Posts.xml", read_posts),
    "common_crawl": ("common_crawl", "*.warc.wet.gz", read_wet),
}
LAYERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    ".gz": (gzip.decompress, partial(gzip.compress, compresslevel=1, mtime=0)),
    ".bz2": (bz2.decompress, bz2.compress),
}
CHECKED = (".gz", ".bz2", ".7z")  # a checksum over every byte
PIECES = (b"\0", b"\n", b"\r", b'"', b"{", b"<", b"]]>", b"<row ", b"<page>", b"WARC/1.0\r\n", b"\xff", b"\x1f\x8b\x08")


def changed(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four changes."""
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), int(4 ** (chance.random() * 6))
        how = chance.randrange(6)
        if how == 0 and at < len(data):  # one bit
            data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        elif how == 1:
            piece = chance.choice((*PIECES, chance.randbytes(length)))
            data = data[:at] + piece + data[at:]
        elif how == 2:
            data = data[:at] + data[at + length :]
        elif how == 3:
            data = data[:at] + bytes(len(data[at : at + length])) + data[at + length :]
        elif how == 4:
            data = data[: max(1, at)]
        else:
            data = data[: at + length] + data[at:]
    return data


class Read(NamedTuple):
    """What a reader made of a file: the texts, how many rejections and damaged places, and what is wrong with that."""

    texts: Counter[str]
    rejected: int
    damaged: int
    wrong: list[str]


def read(reader: Callable[[str], Iterator[Any]], path: Path) -> Read:
    """Read a file to its end. Whatever is no :class:`BrokenInput` passes."""
    texts: Counter[str] = Counter()
    seen: Counter[object] = Counter()
    rejected = damaged = 0
    try:
        for record in reader(str(path)):
            if isinstance(record, BrokenInput):
                damaged += 1
                continue
            seen[record.ordinal if isinstance(record, Post) else record.id] += 1
            if isinstance(record, Rejected):
                rejected += 1
            else:
                texts[record.text if isinstance(record, Document) else record.body] += 1
    except BrokenInput:
        damaged += 1
    twice = [key for key, count in seen.items() if count > 1]
    return Read(texts, rejected, damaged, [f"two records of one id: {twice[0]}"] if twice else [])


def losses(calm: Read, found: Read) -> list[str]:
    """Texts that changed without a word, where a checksum stands over the bytes."""
    foreign, missing = found.texts - calm.texts, calm.texts - found.texts
    told = found.rejected > calm.rejected or found.damaged > calm.damaged
    if told or not (foreign or missing):
        return []
    return [f"{missing.total()} texts are missing and {foreign.total()} are others, and no word of it"]


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def main() -> int:
    """Damage and read; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, default=1000, help="damaged files; default 1000")
    parser.add_argument("--minutes", type=float, help="no new file after that time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=READERS, help="this reader alone")
    parser.add_argument("--file", type=int, help="this file alone, kept")
    options = parser.parse_args()
    signal.signal(signal.SIGVTALRM, _too_long)
    began, done, slowest = time.monotonic(), Counter[str](), 0.0
    with tempfile.TemporaryDirectory(prefix="soak-readers-") as name:
        place = Path(name)
        with_small_bomb(place / "raw")
        calm: dict[str, Read] = {}
        for number in range(options.files) if options.file is None else [options.file]:
            if options.minutes and time.monotonic() - began > 60 * options.minutes:
                break
            chance = random.Random(f"{options.seed}/{number}")
            kind = options.only or chance.choice(list(READERS))
            folder, pattern, reader = READERS[kind]
            original = min((place / "raw" / folder).rglob(pattern))
            if kind not in calm:
                calm[kind] = read(reader, original)
            data, layer = original.read_bytes(), LAYERS.get(original.suffix)
            inside = layer is not None and chance.random() < 0.4
            data = layer[1](changed(layer[0](data), chance)) if inside and layer else changed(data, chance)
            path = place / original.name
            path.write_bytes(data)
            started = time.process_time()
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            try:
                found = read(reader, path)
            except Exception as error:
                found = Read(Counter(), 0, 0, [f"{type(error).__name__}: {error}"])
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            slowest = max(slowest, time.process_time() - started)
            wrong = found.wrong
            if not wrong and not inside and original.suffix in CHECKED:
                wrong = losses(calm[kind], found)
            done[kind] += 1
            if wrong:
                kept = Path(tempfile.mkdtemp(prefix="soak-file-")) / original.name
                kept.write_bytes(data)
                print(f"file {number}, {kind}, damaged {'inside' if inside else 'outside'}, kept at {kept}:", *wrong)
                return 1
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(done.items()))
    print(f"{done.total()} damaged files read, none lost a record without a word; slowest {slowest:.1f} s ({kinds})")
    return 0


def with_small_bomb(folder: Path) -> None:
    """The sample, with a bomb of 64 kB in its arXiv tar: every file would unpack it anew."""
    import redpajama_data.sample.arxiv as papers

    papers.BOMB_BYTES = 1 << 16
    sample.build(folder)


if __name__ == "__main__":
    sys.exit(main())
