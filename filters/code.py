"""Source code: what the RedPajama-Data-1T scripts for GitHub do to a file, as pure functions.

Source of every rule and number: github/github_run_filter.py and github_clean_dedup_local.py of
togethercomputer/RedPajama-Data (branch rp_v1), and its query on BigQuery for the licences.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from filters._native import text_stats
from redpajama_data.document import Document, Drop

_FIRST_BLOCK_COMMENT = re.compile(r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/")
_LINE_COMMENTS = ("//", "#", "--")


def license_starts_with(doc: Document, *, prefixes: Sequence[str]) -> Document | Drop:
    """The published query's selection: ``meta["license"]`` begins with one of ``prefixes``."""
    found = doc.meta.get("license")
    if isinstance(found, str) and found.startswith(tuple(prefixes)):
        return doc
    return Drop("license_starts_with", found if isinstance(found, str) else None, ",".join(prefixes))


def path_not_in(doc: Document, *, names: Sequence[str], suffixes: Sequence[str]) -> Document | Drop:
    """Drops a path that equals one of ``names`` or ends with one of ``suffixes``, case-sensitive, before any hash is
    taken."""
    path = doc.meta["path"]
    if path in names or path.endswith(tuple(suffixes)):
        return Drop("path_not_in", path, ",".join((*names, *suffixes)))
    return doc


def content_hash(doc: Document) -> Document:
    """MD5 (hex) of the original content into ``work["content_hash"]``: the identity of a file in the published
    recipe."""
    doc.work["content_hash"] = hashlib.md5(doc.text.encode(), usedforsecurity=False).hexdigest()
    return doc


def content_key(doc: Document) -> bytes:
    """The 16 bytes of the content hash: the key of exact dedup."""
    return bytes.fromhex(doc.work["content_hash"])


def cleaned_key(doc: Document) -> bytes:
    """The 16 bytes by which files are told apart once their headers are off: MD5 of the text with plain line ends and
    without white space at its end. The repair of :func:`content_key`."""
    text = doc.text.replace("\r\n", "\n").rstrip()
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()


def strip_copyright_header(doc: Document) -> Document:
    """Remove the head of the file as published, with its oddities.

    The first C block comment anywhere decides: when it says "copyright" it goes, and in any case line comments then
    stay. Without a block comment every leading line goes that starts with ``//``, ``#`` or ``--`` or is empty, which
    takes shebangs, ``#include`` heads and Markdown titles along.
    """
    doc.text = _strip_header(doc.text)
    return doc


def _strip_header(text: str) -> str:
    # The expression is linear only from a real "/*"; str.find skips the files that have none at memory speed.
    start = text.find("/*")
    if start >= 0:
        match = _first_block_comment(text, start)
        if match is not None:
            begin, end = match
            return text[:begin] + text[end:] if "copyright" in text[begin:end].lower() else text
    place, length = 0, len(text)
    while place < length:
        if text.startswith("\n", place):
            place += 1
            continue
        if not text.startswith(_LINE_COMMENTS, place):
            return text[place:]
        end = text.find("\n", place)
        if end < 0:
            return ""
        place = end + 1
    return ""


def _first_block_comment(text: str, start: int) -> tuple[int, int] | None:
    """Span of the first ``/* ... */``: the published expression, found by two searches (it backtracks on a head
    without an end)."""
    end = text.find("*/", start + 2)
    return None if end < 0 else (start, end + 2)


def measure_lines(doc: Document) -> Document:
    """The published statistics of the stripped text, into ``meta`` before the input's own fields.

    ``line_count`` and ``max_line_length`` by ``str.splitlines``; ``avg_line_length`` counts the line ends in its
    numerator, as published; ``alnum_prop`` is the share of ``str.isalnum`` characters. All are 0 for an empty text.
    ``work["alpha"]`` is the number of ``str.isalpha`` characters. An input field of the same name takes the value but
    not the place.
    """
    text = doc.text
    lines, longest, alnum, alpha = text_stats(text)
    doc.work["alpha"] = alpha
    doc.meta = {
        "content_hash": doc.work["content_hash"],
        "timestamp": "",
        "source": "github",
        "line_count": lines,
        "max_line_length": longest,
        "avg_line_length": len(text) / lines if lines else 0,
        "alnum_prop": alnum / len(text) if text else 0,
        **doc.meta,
    }
    return doc


def not_empty(doc: Document) -> Document | Drop:
    """Drops a file of which nothing is left."""
    return doc if doc.text else Drop("not_empty", 0, 1)


def extension_in(doc: Document, *, allowed: Sequence[str]) -> Document | Drop:
    """Keeps a path that ends with one of ``allowed``, case-sensitive and on the whole path ("myMakefile" passes)."""
    path = doc.meta["path"]
    return doc if path.endswith(tuple(allowed)) else Drop("extension_in", path)


def min_characters(doc: Document, *, limit: int) -> Document | Drop:
    """Trivial files (``require "x"``, ``{}``), in characters. The published recipe keeps them; it is a repair."""
    return Drop("min_characters", len(doc.text), limit) if len(doc.text) < limit else doc


def max_line_length(doc: Document, *, limit: int) -> Document | Drop:
    """Minified or generated files: one very long line, in characters."""
    longest = doc.meta["max_line_length"]
    return Drop("max_line_length", longest, limit) if longest > limit else doc


def avg_line_length(doc: Document, *, limit: float) -> Document | Drop:
    """Data rather than code: long lines on average, in characters."""
    average = doc.meta["avg_line_length"]
    return Drop("avg_line_length", average, limit) if average > limit else doc


def min_alnum_prop(doc: Document, *, limit: float) -> Document | Drop:
    """Tables of numbers and symbols: too few alphanumeric characters, as a share of all."""
    share = doc.meta["alnum_prop"]
    return Drop("min_alnum_prop", share, limit) if share < limit else doc


def min_alpha_per_token(doc: Document, *, limit: float) -> Document | Drop:
    """Encoded data: fewer letters a token than ``limit``; ``work["tokens"]`` are tokens of the GPT-NeoX tokenizer."""
    ratio = doc.work["alpha"] / doc.work["tokens"]
    return Drop("min_alpha_per_token", ratio, limit) if ratio < limit else doc
