"""A LaTeX document from its first section to its end, without what is no text: repairs of :mod:`filters.latex`.

All of it is linear in the text.
"""

from __future__ import annotations

import re

from filters.latex_marks import group_end, marks
from redpajama_data.document import Document, Drop

_HEADER = re.compile(
    r"\\(?:chapter|part|(?:sub){0,2}section|(?:sub)?paragraph)(?![a-zA-Z@])\*?\s{0,20}(?:\[[^\]]{0,500}\]\s{0,20})?\{"
)
_TITLE = re.compile(r"\\title(?![a-zA-Z@])\s{0,20}(?:\[[^\]]{0,500}\]\s{0,20})?\{")
_TITLE_LONGEST = 1000
_ABSTRACT = ("\\begin{abstract}", "\\end{abstract}")
_END = re.compile(
    r"\\(?:begin\{(?P<block>thebibliography|references|REFERENCES)\}"
    r"|(?P<appendix>(?:appendix|appendices)(?![a-zA-Z@])|begin\{appendi(?:x|ces)\})"
    r"|(?:bibliography|bibliographystyle)\{[^{}]{0,1000}\}|printbibliography(?![a-zA-Z@])(?:\[[^\]]{0,500}\])?)"
)
# Two characters that stand for themselves at the begin: what the engine looks for as fast as for a word.
_BLANK_LINE = (re.compile(r"\n [ \t]*(?=\n)"), re.compile(r"\n\t[ \t]*(?=\n)"))
_BLANK_LINES = re.compile(r"\n\n\n+")


def any_header(doc: Document, *, keep_abstract: bool) -> Document:
    """Delete what precedes the first sectioning command of each source, ``\\paragraph`` among them, blanks before its
    bracket allowed. A source without one is kept from its ``\\begin{document}`` on; a file of a paper that was not put
    together (:func:`filters.latex_document.assemble_document`) and has neither becomes ``""``, as published.

    ``keep_abstract`` keeps the title and the abstract, which LLaMA's rule drops with all that lies before the first
    section.
    """
    whole = doc.work.get("assembled", False)
    doc.work["sources"] = [_from_header(source, whole, keep_abstract) for source in doc.work["sources"]]
    return doc


def _from_header(text: str, whole: bool, keep_abstract: bool) -> str:
    found = marks(text) if "{document}" in text else ()
    begin = next((mark.end for mark in found if mark.kind == "begin"), None)
    header = _HEADER.search(text, begin or 0)
    if header is None:
        return text[begin or 0 :] if whole or begin is not None else ""
    front = front_matter(text[: header.start()]) if keep_abstract else ""
    return front + text[header.start() :]


def front_matter(text: str) -> str:
    """The title and the abstract of what lies before the first section, each followed by an empty line."""
    parts = []
    if title := _TITLE.search(text):
        end = group_end(text, title.end(), title.end() + _TITLE_LONGEST)
        if end >= 0:
            parts.append(text[title.start() : end])
    begin = text.find(_ABSTRACT[0])
    end = text.find(_ABSTRACT[1], begin)
    if 0 <= begin < end:
        parts.append(text[begin : end + len(_ABSTRACT[1])])
    return "".join(f"{part}\n\n" for part in parts)


def bibliography_as_block(doc: Document, *, keep_appendix: bool, min_main_share: float) -> Document:
    """Take the bibliography out of each source and keep what follows it, such as acknowledgements.

    Cut at the appendix, as published, where at least ``min_main_share`` of the source lies before it (a supplement
    begins with it), unless ``keep_appendix``: LLaMA removes the bibliography alone. A bibliography without an end runs
    to the end of the source.
    """
    doc.work["sources"] = [_without_end(source, keep_appendix, min_main_share) for source in doc.work["sources"]]
    return doc


def _without_end(text: str, keep_appendix: bool, min_main_share: float) -> str:
    kept: list[str] = []
    at = 0
    while match := _END.search(text, at):
        if match["appendix"]:
            if not keep_appendix and match.start() >= min_main_share * len(text):
                return "".join(kept) + text[at : match.start()]
            kept.append(text[at : match.end()])
            at = match.end()
            continue
        kept.append(text[at : match.start()])
        at = match.end()
        if match["block"]:
            closing = f"\\end{{{match['block']}}}"
            end = text.find(closing, at)
            at = len(text) if end < 0 else end + len(closing)
    return "".join(kept) + text[at:]


def no_leftovers(doc: Document) -> Document:
    """Take out of each source what names files that are not in the text (``\\input``, ``\\include``) and what lies
    behind ``\\end{document}``; make one empty line of several, and none at the begin and the end."""
    doc.work["sources"] = [_without_leftovers(source) for source in doc.work["sources"]]
    return doc


def _without_leftovers(text: str) -> str:
    kept: list[str] = []
    at = 0
    for mark in marks(text):
        if mark.kind in ("input", "begin"):
            kept.append(text[at : mark.begin])
            at = mark.end
        elif mark.kind == "end":
            kept.append(text[at : mark.begin])
            at = len(text)
            break
    left = "".join([*kept, text[at:]])
    for blank in _BLANK_LINE:
        left = blank.sub("\n", left)
    stripped = _BLANK_LINES.sub("\n\n", left).strip("\n")
    return f"{stripped}\n" if stripped else ""


def not_blank(doc: Document) -> Document | Drop:
    """Drop a paper of which nothing but white space is left."""
    return doc if doc.text and not doc.text.isspace() else Drop("not_blank", 0, 1)
