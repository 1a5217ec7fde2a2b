"""PG19's texts as the three JSON lines files that the published run read, in their order."""

from __future__ import annotations

import csv
import hashlib
import io
import os

import msgspec

from redpajama_data.download.plan import FILES, folder, wanted_files
from redpajama_data.errors import InputUnavailable
from redpajama_data.io import storage

SPLITS = ("train", "validation", "test")
METADATA = "metadata.csv"
TEXTS = "pg19/"  # below the slice's folder
NOTE = "pg19.json"  # in the download folder: what the files were made of


def write_splits(place: str) -> list[str]:
    """Write ``pg19-<split>.jsonl`` into the slice's folder of the texts of its plan; the paths written.

    A record is {short_book_title, publication_date, url, text}, its text with ``\\n`` for every end of a line, as the
    published builder read it. Nothing is written when the same plan has made the files that are there: a run would
    take them for new. Raises :class:`InputUnavailable` when a text or its metadata is not there.
    """
    to, name = os.path.split(place.rstrip("/"))
    texts = {split: [file.path for file in wanted_files(to, name) if _split(file.path) == split] for split in SPLITS}
    if not any(texts.values()):
        return []
    note = storage.join(folder(to, name), NOTE)
    plan = hashlib.sha256(storage.read_bytes(storage.join(folder(to, name), FILES)) or b"").hexdigest()
    if storage.read_bytes(note) == _note(plan, place):
        return []
    metadata = _metadata(storage.join(place, TEXTS + METADATA))
    written = []
    for split, paths in texts.items():
        if not paths:
            continue
        target = storage.join(place, f"pg19-{split}.jsonl")
        with storage.whole_file(target) as out:
            for path in paths:
                out.write(msgspec.json.encode(_record(place, path, metadata)) + b"\n")
        written.append(target)
    storage.write_bytes(note, _note(plan, place))
    return written


def _split(path: str) -> str:
    return path.removeprefix(TEXTS).partition("/")[0] if path.endswith(".text") else ""


def _note(plan: str, place: str) -> bytes:
    sizes = {split: _size(storage.join(place, f"pg19-{split}.jsonl")) for split in SPLITS}
    return msgspec.json.encode({"plan": plan, "sizes": sizes})


def _size(path: str) -> int | None:
    return os.path.getsize(storage.local(path)) if os.path.exists(storage.local(path)) else None


def _metadata(path: str) -> dict[str, list[str]]:
    """Rows of ``metadata.csv``, which has no head: id, short_book_title, publication_date, url."""
    data = storage.read_bytes(path)
    if data is None:
        raise InputUnavailable(f"{path}: not there. Run rpj download books again.")
    rows = csv.reader(io.StringIO(data.decode("utf-8")))
    return {row[0]: row for row in rows if len(row) >= 4}


def _record(place: str, path: str, metadata: dict[str, list[str]]) -> dict[str, object]:
    data = storage.read_bytes(storage.join(place, path))
    book = path.rsplit("/", 1)[-1].removesuffix(".text")
    row = metadata.get(book)
    if data is None or row is None or not row[2].strip().isdecimal():
        what = "the text" if data is None else "a whole row of it in metadata.csv"
        raise InputUnavailable(f"{path}: {what} is not there. Run rpj download books again.")
    text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return {"short_book_title": row[1], "publication_date": int(row[2]), "url": row[3], "text": text}
