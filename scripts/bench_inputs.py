"""Real input made larger for the benchmarks: copies whose content differs, so that dedup takes none for a repeat."""

from __future__ import annotations

import shutil
import string
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
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


_MAKERS: dict[str, Callable[[Path, Path, int], None]] = {
    "github": _github,
    "c4": _c4,
    "books": _books,
    "common_crawl": _common_crawl,
}
