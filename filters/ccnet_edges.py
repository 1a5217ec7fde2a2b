"""The first and last lines of a page in another language than the page: navigation of a site whose text was not
translated. A repair of the Common Crawl slice, whose published recipe tells languages by the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from filters._fasttext import Model
from filters.language import load_lid, predict_language
from redpajama_data.document import Document
from redpajama_data.models.model_file import ModelFile

# Measured on 92 pages: of 168 lines that go 2 are English, among others; at 0.7 lines like "npm adduser" would go.
SURELY = 0.8  # score of another language that one of the lines has at least
RATHER = 0.5  # score from which a line counts as of a language at all, CCNet's own limit for pages


# "Volgende8.7. Printer Configuration": a link and its target, glued by the page. The link's word is what tells.
_GLUED = re.compile(r"\W{0,9}([^\W\d_]{2,30})(?=(?:\d{1,4}|[A-Z])\.)")


def no_foreign_edges(doc: Document, *, model: ModelFile) -> Document:
    """Cut the first and the last lines off that are in another language than ``doc.meta["language"]``.

    At each end the lines up to the first one that is of the page's language are looked at (:data:`RATHER`). If one of
    them is surely of another (:data:`SURELY`), those go up to the last that is rather of another. A page of which no
    line is of its own language stays. A word that is glued to the number of a chapter speaks for its line. The numbers
    of lines and characters in meta follow.
    """
    lines, meta = doc.text.split("\n"), doc.meta
    begin, end = own_lines(lines, meta["language"], load_lid(model))
    if end - begin < len(lines):
        doc.text = "\n".join(lines[begin:end])
        meta["nlines"], meta["length"] = end - begin, len(doc.text)
        meta["line_ids"] = meta["line_ids"][begin:end]
    return doc


def own_lines(lines: Sequence[str], own: str, lid: Model) -> tuple[int, int]:
    """The first line that stays, and the one behind the last."""
    return _foreign(lines, own, lid), len(lines) - _foreign(reversed(lines), own, lid)


def _foreign(lines: Iterable[str], own: str, lid: Model) -> int:
    """How many of the first lines go."""
    foreign, surely = 0, False
    for number, line in enumerate(lines, 1):
        glued = _GLUED.match(line)
        language, score = predict_language(lid, glued[1].lower() if glued else line)
        if score < RATHER:
            continue
        if language == own:
            return foreign if surely else 0
        foreign, surely = number, surely or score >= SURELY
    return 0
