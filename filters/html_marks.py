"""What HTML says by marks alone, kept when it becomes text: which lines are a quote, where a link leads.

Repairs and settings of the Stack Exchange slice, whose published recipe keeps the words between tags and nothing else.
"""

from __future__ import annotations

import re

_BEGIN, _END = "\ufdd0", "\ufdd1"  # characters that no text has: what is between them is a quote
_UNMARK = dict.fromkeys(map(ord, _BEGIN + _END))
_REFERENCE = re.compile(r"&#(?:0{0,9}6497[67]|[xX]0{0,9}[fF][dD][dD][01])(?![0-9A-Fa-f]);?")
_ANY = re.compile(f"[{_BEGIN}{_END}]")
_OPENING = re.compile(r"<blockquote(?:[ \t\n][^<>]{0,500})?>")
_CLOSING = "</blockquote>"
_DEEPEST = 20  # quotes in each other; what is deeper is marked as this

_LINK = re.compile(r'<a[ \t\n](?:[^<>]{0,500}?[ \t\n])?href="(https?://[^"<>]{1,2000})"[^<>]{0,500}>|<a[ \t\n>]|</a>')
_TAG = re.compile(r"<[^<>]{0,500}>")
_ADDRESS = re.compile(r"\s*(?:https?://|www\.)", re.IGNORECASE)


def mark_quotes(html: str) -> str:
    """Mark the quotes of HTML, for :func:`quoted_lines` once it is text."""
    if "<blockquote" not in html:
        return html
    html = _REFERENCE.sub("", html.translate(_UNMARK) if _ANY.search(html) else html)
    return _OPENING.sub(lambda tag: tag[0] + _BEGIN, html).replace(_CLOSING, _END + _CLOSING)


def quoted_lines(text: str) -> str:
    """A ``>`` and a blank before each line of a quote, one more for a quote in a quote; it begins and ends a line."""
    if not _ANY.search(text):
        return text
    out: list[str] = []
    depth = at = 0
    for mark in [*_ANY.finditer(text), None]:
        part = text[at : mark.start()] if mark else text[at:]
        if depth:
            part = _with_prefix(part.strip(), "> " * min(depth, _DEEPEST))
        if part:
            if out and not (out[-1].endswith(("\n", "* ")) or part.startswith("\n")):
                out.append("\n")
            out.append(part)
        if mark:
            at = mark.end()
            depth = depth + 1 if mark[0] == _BEGIN else max(0, depth - 1)
    return "".join(out)


def _with_prefix(part: str, prefix: str) -> str:
    return "\n".join((prefix + _without_indent(line)).rstrip() for line in part.split("\n")) if part else ""


def _without_indent(line: str) -> str:
    """The line without the two blanks that an older renderer of the site put before it; code has four and more."""
    return line[2:] if line.startswith("  ") and line[2:3] != " " else line


def link_addresses(html: str) -> str:
    """Behind the words of each link its address in brackets, unless the words are one. Only ``http`` and ``https``."""
    if "<a " not in html:
        return html
    out: list[str] = []
    address, begin, at = "", 0, 0
    for tag in _LINK.finditer(html):
        if tag[0] != "</a>":
            address, begin = tag[1] or "", tag.end()
            continue
        words = _TAG.sub("", html[begin : tag.start()]) if address else ""
        if words.strip() and not _ADDRESS.match(words):
            out += [html[at : tag.end()], f" ({address})"]
            at = tag.end()
        address = ""
    return "".join([*out, html[at:]])
