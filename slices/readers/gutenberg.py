"""Reads a folder of Project Gutenberg text files: character set found, header, small print and licence taken off.

Also zip archives with one text file, as the mirrors had them. What is no text is named by its first bytes.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from typing import BinaryIO

from filters.book_lines import plain_line_ends
from redpajama_data.document import Document, Drop, Rejected
from redpajama_data.errors import BrokenInput
from redpajama_data.io import memory
from redpajama_data.io.first_bytes import LOOK, known, not_that
from redpajama_data.io.storage import open_input, stat, without_query
from redpajama_data.io.streams import open_decompressed
from slices.readers.gutenberg_marks import HEAD, bodies
from slices.readers.text_encoding import decode_text

_NAMES = ("*.txt", "*.TXT", "*.txt.utf-8", "*.txt.utf8")
# Zip archives of texts end in the number or character set of their file (1342.zip, 1342-8.zip), those of HTML in "-h".
PATTERNS = (
    *(name + ending for name in _NAMES for ending in ("", ".gz", ".zst", ".bz2")),
    *("*[0-9].zip", "*[0-9].ZIP"),
)
MAX_BYTES = 1 << 30  # of one book; 40 times the largest text of the collection
_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 100  # a book that passes both is a bomb (texts shrink two to four times)
_TEXT = re.compile(r"\.txt(?:\.utf-?8)?$", re.IGNORECASE)

_CREDIT = re.compile(
    r"(?:This e-?(?:book|text) was )?(?:Produced|E-?text prepared|Transcribed|Prepared) (?:by|from)\b", re.I
)
_FIELD = re.compile(r"^(Title|Author|Language):[ \t]*([^\n]{0,500}(?:\n[ \t]{2,}[^\n]{1,500}){0,5})", re.M)
_NUMBER = re.compile(r"\[(?:e-?book|e-?text) ?#? ?(\d{1,6})\]", re.I)
_FIRST_LINE = re.compile(
    r"^\W{0,10}(?:The )?Project Gutenberg(?:['\u2019]s (?:e-?(?:text|book) of )?|(?:['\u2019]s)? e-?(?:text|book) of )"
    r"([^\n]{1,300}?)(?:,? by [^\n]*)?$",
    re.M | re.I,
)


def strip_licence(text: str) -> str:
    """A Gutenberg text without its header, small print, credits and licence; as it is when it has no such marks. Of a
    file with several books all of them, one after another."""
    return _books(text)[0]


def strip_gutenberg(doc: Document) -> Document | Drop:
    """Take header, small print, credits and licence off a book that came from Project Gutenberg by another way, such as
    JSON lines; a text without such marks stays as it is. Drops one of which nothing is left."""
    whole = plain_line_ends(doc.text)
    text = strip_licence(whole)
    if text == whole.strip("\n\f "):
        return doc
    if not text:
        return Drop("strip_gutenberg", "no text between header and licence", "a book")
    doc.text = text
    return doc


def split_book(text: str) -> tuple[str, dict[str, str]]:
    """What :func:`strip_licence` and :func:`header_fields` say of a text."""
    book, header = _books(text)
    return book, _fields(text[: header or HEAD])


def _books(text: str) -> tuple[str, int]:
    """The books of a text as one, and where its first header ends."""
    books, header = bodies(text)
    if header:
        books = [_without_credits(book) for book in books]
    return "\n\n\n".join(book for book in books if book), header


def _without_credits(book: str) -> str:
    while _CREDIT.match(book):  # "Produced by ... and the Online Distributed Proofreading Team"
        book = book.partition("\n\n")[2].lstrip("\n\f ")
    return book


def header_fields(text: str) -> dict[str, str]:
    """title, author, language and url from a Gutenberg header, each "" where it says none."""
    return split_book(text)[1]


def _fields(head: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(head):
        fields.setdefault(name.lower(), " ".join(value.split()))
    title = fields.get("title") or ((first := _FIRST_LINE.search(head[:2000])) and first[1].strip(" *")) or ""
    number = _NUMBER.search(head)
    return {
        "title": title,
        "author": fields.get("author", ""),
        "language": fields.get("language", ""),
        "url": f"https://www.gutenberg.org/ebooks/{number[1]}" if number else "",
    }


def read_gutenberg(path: str) -> Iterator[Document | Rejected]:
    """One text file as one book, ``<path>#0``: line ends become newlines; ``work["encoding"]`` is what was found.

    A file above 1 GiB, or with nothing between header and licence, is rejected.
    Raises :class:`BrokenInput` when the file is damaged or no text.
    """
    data = _unzipped(path) if without_query(path).lower().endswith(".zip") else _read(path)
    if len(data) > MAX_BYTES:
        yield Rejected(f"{path}#0", Drop("malformed", f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES} bytes"))
        return
    head = data[:LOOK]
    kind = known(head)
    if kind and not head.lstrip().startswith((b"{", b"[", b"<?xml")):  # these may begin a book
        raise not_that(path, head, "a book's text")
    text, encoding = decode_text(data)
    del data
    text = plain_line_ends(text)
    body, fields = split_book(text)
    if not body:
        yield Rejected(f"{path}#0", Drop("malformed", "no text between header and licence", "a book"))
        return
    yield Document(f"{path}#0", body, fields, {"encoding": encoding})


def _read(path: str) -> bytes:
    packed = stat(path).bytes
    with open_decompressed(path) as stream:
        return _up_to_limit(path, stream, max(_BOMB_BYTES, _BOMB_RATIO * packed))


def _up_to_limit(path: str, stream: BinaryIO, most: int) -> bytes:
    """The bytes of a book. Raises MemoryError for one that the task has no memory for, :class:`BrokenInput` for one of
    more than ``most`` bytes."""
    pieces, held, limit = [], 0, memory.line_limit(MAX_BYTES)
    while held <= min(limit, most) and (piece := stream.read(1 << 20)):
        pieces.append(piece)
        held += len(piece)
    if held > most:
        raise _bomb(path, f"unpacks to over {most:,} bytes", "")
    if limit < held <= MAX_BYTES:
        raise memory.refuse_line(path, held)
    return b"".join(pieces)


def _bomb(path: str, found: str, place: str) -> BrokenInput:
    advice = "which counts as a decompression bomb. Unpack it yourself if it is genuine."
    return BrokenInput(f"{path}: {found}, {advice}", place)


def _unzipped(path: str) -> bytes:
    """The one text file of a zip archive. Raises :class:`BrokenInput` when there is none or several, for damage, and
    for a decompression bomb."""
    with open_input(path) as raw:
        head = raw.read(LOOK)
        if not head.startswith(b"PK"):
            raise not_that(path, head, "a zip archive")
        try:
            with zipfile.ZipFile(raw) as archive:
                texts = [item for item in archive.infolist() if _is_text(item.filename)]
                if len(texts) != 1:
                    names = ", ".join(archive.namelist())[:200] or "nothing"
                    raise BrokenInput(f"{path}: {len(texts)} text files in it ({names}). Unpack it and give the .txt.")
                size, packed = texts[0].file_size, texts[0].compress_size
                most = max(_BOMB_BYTES, _BOMB_RATIO * packed)
                if size > most:
                    raise _bomb(path, f"said to unpack {packed:,} to {size:,} bytes", texts[0].filename)
                with archive.open(texts[0]) as stream:
                    return _up_to_limit(path, stream, most)  # type: ignore[arg-type]
        except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, ValueError, OSError) as error:  # OSError is bz2's
            raise BrokenInput(f"{path}: damaged zip archive ({error}). Fetch it again, then run again.") from error
        except (NotImplementedError, RuntimeError) as error:  # a method that is not known; a password
            raise BrokenInput(f"{path}: {error}. Unpack it yourself and give the .txt.") from error


def _is_text(name: str) -> bool:
    own = name.rsplit("/", 1)[-1]
    return bool(_TEXT.search(own)) and not own.startswith("._")
