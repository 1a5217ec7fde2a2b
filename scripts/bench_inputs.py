"""Real input made larger for the benchmarks: copies whose content differs, so that dedup takes none for a repeat."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import string
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from isal import igzip

_json = msgspec.json.Decoder(dict[str, Any]).decode
_UNIT = {"c4": 25}  # copies that make one unit: C4's sample has 1 MB, a file of the source 800


def enlarge(name: str, files: list[Path], folder: Path, units: int) -> list[Path]:
    """``units`` times the raw files of a slice, under new names; one unit is the files themselves (C4: 25 times)."""
    folder.mkdir(parents=True, exist_ok=True)
    make = _MAKERS.get(name, _copy)
    made = []
    for copy in range(units):
        for path in files:
            # The copy's number goes where no reader looks: behind the stem, before the endings.
            stem, _, endings = path.name.partition(".")
            target = folder / f"{stem}-{copy:03d}.{endings}"
            if name == "common_crawl":  # its folder is the dump
                target = folder / path.parent.name / target.name
                target.parent.mkdir(exist_ok=True)
            make(path, target, copy)
            made.append(target)
    return made


def _copy(path: Path, target: Path, copy: int) -> None:
    shutil.copyfile(path, target)


def _write_gz(target: Path, pieces: Iterator[bytes]) -> None:
    with igzip.open(target, "wb", compresslevel=3) as out:
        for piece in pieces:
            out.write(piece)


def _github(path: Path, target: Path, copy: int) -> None:
    """A last line more in each file."""

    def lines() -> Iterator[bytes]:
        with igzip.open(path) as file:
            for line in file:
                record = _json(line)
                if copy and record.get("content") is not None:
                    record["content"] += f"\n# copy {copy}"
                yield msgspec.json.encode(record) + b"\n"

    _write_gz(target, lines())


def _c4(path: Path, target: Path, copy: int) -> None:
    with igzip.open(path) as file:
        data = file.read()
    _write_gz(target, iter([data] * _UNIT["c4"]))


def _books(path: Path, target: Path, copy: int) -> None:
    """Letters moved on in the alphabet: no six-letter window in common with the original, everything else equal."""
    turned = {}
    for letters in (string.ascii_lowercase, string.ascii_uppercase):
        turned.update(str.maketrans(letters, letters[copy:] + letters[:copy]))
    with path.open("rb") as file, target.open("wb") as out:
        for line in file:
            record = _json(line)
            record["text"] = record["text"].translate(turned)
            out.write(msgspec.json.encode(record) + b"\n")


def _common_crawl(path: Path, target: Path, copy: int) -> None:
    """A word more at the end of each line: of letters, as the line hashes take all digits for one."""
    word = ("", *("".join(w) for w in product("aeiou", repeat=3)))[copy]
    suffix = f" {word}".encode() if word else b""

    def records() -> Iterator[bytes]:
        with igzip.open(path) as file:
            while line := file.readline():
                head = []
                while line.strip():
                    head.append(line.rstrip())
                    line = file.readline()
                length = next((int(h.split(b":")[1]) for h in head if h.lower().startswith(b"content-length:")), None)
                if length is None:
                    continue  # the empty lines between records
                body = file.read(length)
                if suffix and b"WARC-Type: conversion" in head:
                    body = b"\n".join(line + suffix for line in body.split(b"\n"))
                fields = [h for h in head if not h.lower().startswith(b"content-length:")]
                yield b"\r\n".join([*fields, b"Content-Length: %d" % len(body), b"", body]) + b"\r\n\r\n"

    _write_gz(target, records())


# ------------------------------------------------------------------------------------------ shards, for the jobs

SHARDS = 4  # a unit of documents; one of short records
DOCUMENT = 7000  # characters at most: the size of document that the published rate of the signals is for
SHORT = 200  # characters of a short record, about


def documents(texts: Iterator[str], folder: Path, units: int) -> list[Path]:
    """``units`` times the texts as JSONL shards, cut at line ends into documents of :data:`DOCUMENT` characters.

    In a copy every word of four letters or more has an ending of its own, so that duplicates and near-duplicates are
    those that the texts have, in each copy again, and none between copies.
    """
    made = [piece for text in texts for piece in _pieces(text, DOCUMENT)]
    return _shards(made, folder, units, SHARDS)


def short_records(texts: Iterator[str], folder: Path, units: int) -> list[Path]:
    """``units`` times the texts as JSONL shards of records of a line or a few, about :data:`SHORT` characters."""
    made = [piece for text in texts for piece in _pieces(text, SHORT)]
    return _shards(made, folder, units, 1)


def pages(texts: Iterator[str], folder: Path, units: int) -> list[Path]:
    """:func:`documents` as ``common_crawl_v2`` publishes them: named after dump, shard, language and bucket, with the
    digest of each text in its meta."""
    made = []
    for number, path in enumerate(documents(texts, folder, units)):
        target = path.with_name(f"2023-06_{number // 2:04d}_en_{('head', 'middle')[number % 2]}.jsonl.zst")
        with zstandard.open(path) as old, zstandard.open(target, "wb") as new:
            for line in io.BufferedReader(old):
                record = _json(line)
                digest = "sha1:" + hashlib.sha1(record["text"].encode(), usedforsecurity=False).hexdigest().upper()
                record["meta"] |= {"digest": digest, "source_domain": "example.org", "cc_segment": "crawl/wet.gz"}
                record["meta"] |= {"date_download": "2023-02-01T00:00:00Z", "language_score": 0.9, "perplexity": 300.0}
                new.write(msgspec.json.encode(record) + b"\n")
        path.unlink()
        made.append(target)
    return made


def _pieces(text: str, size: int) -> Iterator[str]:
    held: list[str] = []
    length = 0
    for line in text.splitlines(keepends=True):
        if held and length + len(line) > size:
            yield "".join(held)
            held, length = [], 0
        held.append(line[: 4 * size])
        length += len(held[-1])
    if length:
        yield "".join(held)


def _shards(texts: list[str], folder: Path, units: int, shards: int) -> list[Path]:
    made = []
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    for copy in range(units):
        ending = "" if not copy else string.ascii_lowercase[copy] * 2
        for shard in range(shards):
            target = folder / "documents" / f"{copy:03d}-{shard}.jsonl.zst"
            part = texts[shard * len(texts) // shards : (shard + 1) * len(texts) // shards]
            with target.open("wb") as file, zstandard.ZstdCompressor(3).stream_writer(file) as out:
                for n, text in enumerate(part):
                    own = re.sub(r"(\w{4,})", rf"\1{ending}", text) if ending else text
                    meta = {"url": f"https://example.org/{copy}/{shard}/{n}", "language": "en"}
                    out.write(msgspec.json.encode({"text": own, "meta": meta}) + b"\n")
            made.append(target)
    return made


_MAKERS: dict[str, Callable[[Path, Path, int], None]] = {
    "github": _github,
    "c4": _c4,
    "books": _books,
    "common_crawl": _common_crawl,
}
