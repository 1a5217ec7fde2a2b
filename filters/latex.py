"""ArXiv sources cleaned as published: headers, comments, appendix, one paper out of its files.

Every expression of the published recipe is rewritten as a scan that never goes back: on 300 KB of unclosed
``\\section{`` the originals take longer than 8 s in any backtracking engine, these take time in proportion to the
text. The steps pass the sources of one paper along in ``doc.work["sources"]``, one entry per ``.tex`` file in archive
order. Source of all rules: RedPajama-Data-1T, data_prep/arxiv.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from redpajama_data.document import Document, Drop

_HEADER = re.compile(r"\\(?:chapter|part|(?:sub){0,2}section|(paragraph))\*?([\[{])")
_SUBPARAGRAPH = re.compile(r"\}\\subparagraph\*?([\[{])")
# "%" first, so that the engine jumps from one to the next; then the look at the character before it.
_INLINE_COMMENT = re.compile(r"%(?<=[^\\]%).+")
_CUTS = ("\\appendix", "\\begin{references}", "\\begin{REFERENCES}", "\\begin{thebibliography}")
_BIBLIOGRAPHY = "\\bibliography{"


def strict_utf8(doc: Document) -> Document | Drop:
    """Decode ``doc.work["sources"]`` from ``list[bytes]`` to ``list[str]``.

    Deliberate, as published: one file that is not UTF-8 (Latin-1, common before about 2010) drops the whole paper.
    """
    sources: list[bytes] = doc.work["sources"]
    try:
        doc.work["sources"] = [source.decode("utf-8") for source in sources]
    except UnicodeDecodeError as error:
        return Drop("strict_utf8", f"byte {error.object[error.start]:#04x} at offset {error.start}", "UTF-8")
    return doc


def _each(doc: Document, change: Callable[[str], str]) -> Document:
    doc.work["sources"] = [change(source) for source in doc.work["sources"]]
    return doc


def start_at_first_header(doc: Document) -> Document:
    """Delete what precedes the first sectioning command of each source; a source without one becomes ``""``.

    Deliberate, as published: abstracts and ``\\input`` fragments without a header are lost, and a header inside a
    comment counts.
    """

    def from_header(text: str) -> str:
        start = first_header(text)
        return "" if start is None else text[start:]

    return _each(doc, from_header)


def remove_comment_lines(doc: Document) -> Document:
    """Delete the lines that start with ``%`` in column 0, with their newline."""
    return _each(doc, without_comment_lines)


def remove_inline_comments(doc: Document) -> Document:
    """Delete unescaped ``%`` to the end of the line; see :func:`without_inline_comments` for what else goes."""
    return _each(doc, without_inline_comments)


def cut_at_appendix(doc: Document) -> Document:
    """Cut each source at its appendix or bibliography, whichever comes first."""
    return _each(doc, lambda text: text[: appendix_start(text)])


def join_sources(doc: Document) -> Document:
    """Join the sources with newlines into ``doc.text`` and let go of them.

    Deliberate, as published: sources that came out empty still count, so a paper of n files without any header is
    n - 1 newlines, and is written.
    """
    doc.text = "\n".join(doc.work.pop("sources"))
    return doc


def not_empty(doc: Document) -> Document | Drop:
    """Drop a paper whose text has length 0; whitespace is text, as published."""
    return doc if doc.text else Drop("not_empty", 0, 1)


def first_header(text: str) -> int | None:
    """Offset of the first sectioning command: ``\\section``, optional ``*``, optional ``[...]``, ``{...}``, no blanks.

    What is between the brackets may span lines and is otherwise free, so a command counts when its closing brace
    comes anywhere later. Linear: whether one comes is asked of its last occurrence, found once.
    """
    last_brace = text.rfind("}")
    last_option = text.rfind("]{", 0, last_brace) if last_brace >= 0 else -1  # its "{" lies before the last "}"
    pair: tuple[int, int] | None = None
    for match in _HEADER.finditer(text, 0, last_brace + 1):
        opening = match.end() - 1
        brace, option = last_brace, last_option
        if match[1]:
            if pair is None:
                pair = paragraph_needs_subparagraph(text, last_brace, last_option)
            brace, option = pair
        if opening < (brace if match[2] == "{" else option):
            return match.start()
    return None


def paragraph_needs_subparagraph(text: str, last_brace: int, last_option: int) -> tuple[int, int]:
    """Offsets of the last ``}`` and the last ``]{`` that can end a ``\\paragraph`` header; -1 where there is none.

    Deliberate, as published (a ``|`` is missing in its expression): ``\\paragraph{..}`` is a header only when
    ``\\subparagraph{..}`` follows its brace directly; neither counts alone. ``last_brace`` and ``last_option`` are the
    last ``}`` of the text and the last ``]{`` before it.
    """
    brace = -1
    for match in _SUBPARAGRAPH.finditer(text):
        if match.end() - 1 < (last_brace if match[1] == "{" else last_option):
            brace = match.start()
    return brace, text.rfind("]{", 0, brace) if brace >= 0 else -1


def without_comment_lines(text: str) -> str:
    """``text`` without the lines whose first character is ``%``; the newline before a last such line stays."""
    if not text.startswith("%") and "\n%" not in text:
        return text
    lines = text.split("\n")
    kept = [line for line in lines if not line.startswith("%")]
    if lines[-1].startswith("%") and kept:
        kept.append("")
    return "\n".join(kept)


def without_inline_comments(text: str) -> str:
    """``text`` without comments that follow something on their line.

    Deliberate, as published: the character before ``%`` goes too ("word% c" becomes "wor"); a ``%`` at the very end
    of a line stays, and ``\\%`` with what follows; a carriage return counts as a comment of one character; ``%`` in
    addresses and verbatim text is cut like any other.
    """
    kept: list[str] = []
    done = 0
    for comment in _INLINE_COMMENT.finditer(text):
        kept.append(text[done : comment.start() - 1])
        done = comment.end()
    kept.append(text[done:])
    return "".join(kept)


def appendix_start(text: str) -> int:
    """Offset where the appendix or the bibliography starts; the length of ``text`` when there is neither.

    Deliberate, as published: ``\\appendix`` is a prefix (``\\appendixpage`` cuts too, ``\\appendices`` does not),
    ``\\bibliography{`` needs a ``}`` anywhere later, and ``\\printbibliography`` and ``\\end{document}`` do not cut.
    """
    end = len(text)
    bibliography = text.find(_BIBLIOGRAPHY)
    if bibliography >= 0 and text.find("}", bibliography) >= 0:
        end = bibliography
    for mark in _CUTS:
        found = text.find(mark, 0, end + len(mark) - 1)
        if found >= 0:
            end = found
    return end
