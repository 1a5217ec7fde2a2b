"""The reference URLs of a Wikipedia dump: the pages behind them are the classifier's positive examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from redpajama_data.errors import BrokenInput
from redpajama_data.io.lines import TooLong, iter_lines
from redpajama_data.io.storage import whole_file

MAX_LINE = 64 << 20  # bytes; MediaWiki stores at most 2 MB a page, 10 MB when every character is escaped
_OPENED, _CLOSED = "&lt;ref&gt", "&lt;/ref&gt;"
_TRAILING = ".:?-"  # never the end of a URL

# A scheme at the start of a word, one URL character (or a backslash), then URL characters up to the first other one.
_URL = re.compile(r"\b((?:https?|telnet|gopher|file|wais|ftp):[\w/#~:.?+=&%@!\\-])([\w/#~:.?+=&%@!-]*)")


def extract_references(path: str) -> Iterator[str]:
    """The URLs inside plain ``<ref>`` elements of a Wikipedia XML dump (``.xml``, ``.xml.bz2``, ``.xml.gz``), in file
    order, repeats included, as a stream in the memory of one line.

    Recipe: RedPajama-Data-1T, cc/classifier/extract_urls.py. Bytes that are not UTF-8 are passed over.
    Raises :class:`BrokenInput` where the dump is damaged or a line is longer than any of MediaWiki's; what came before
    was given out.
    """
    for number, line in enumerate(iter_lines(path, max_bytes=MAX_LINE), 1):
        if isinstance(line, TooLong):
            raise BrokenInput(
                f"{path}:{number}: a line of {line.length} bytes. Is this a Wikipedia pages-articles dump?",
                f"line {number}",
            )
        if b"&lt;ref&gt" not in line:
            continue
        for part in line.decode("utf-8", "ignore").split("\r"):  # a text file's line ends there too
            yield from urls(between_references(part))


def between_references(line: str) -> str:
    """From the line's first plain ``<ref>`` to its last ``</ref>``, both included; "" without such a pair.

    Deliberate, as published: the text between two references belongs to the result, ``<ref name=...>`` alone opens
    nothing, and the pattern asks for ``&gt`` without its semicolon.
    """
    start = line.find(_OPENED)
    end = line.rfind(_CLOSED, start + len(_OPENED)) if start >= 0 else -1
    return line[start : end + len(_CLOSED)] if end >= 0 else ""


def urls(text: str) -> Iterator[str]:
    """The URLs of a text without line breaks, in linear time.

    Deliberate, as published: ``;`` ends a URL, so an escaped ``&amp;`` in it is cut after ``&amp``; a backslash can be
    its first character only; trailing ``. : ? -`` do not belong to it. The published pattern says so with a lazy repeat
    and a look-ahead, which takes quadratic time on a long run of dots; taking the whole run and cutting its end is the
    same.
    """
    for match in _URL.finditer(text):
        first, rest = match.groups()
        yield first + rest.rstrip(_TRAILING)


def write_references(urls: Iterable[str], out: str) -> int:
    """Write URLs to a file, one a line, whole or not at all; returns their number."""
    count = 0
    with whole_file(out) as file:
        for url in urls:
            file.write(url.encode("utf-8", "replace") + b"\n")
            count += 1
    return count
