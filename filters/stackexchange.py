"""Stack Exchange: a question and its answers become one document.

Source: RedPajama-Data-1T, data_prep/stack_exchange (filter and post-processing scripts). The first script collects each
question with its answers, the second orders the answers, turns HTML into text and writes the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from filters.html_marks import link_addresses, mark_quotes, quoted_lines
from filters.html_text import bullet_lists, html_to_text
from redpajama_data.document import Document, Drop

_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_BREAK = re.compile(r"<br[ \t\n]{0,9}/?>\n?", re.IGNORECASE)
_ITEM = re.compile(r"<li(?:[ \t\n][^<>]{0,500})?>[ \t\n]{0,99}")


class Post(NamedTuple):
    """One row of Posts.xml. Attributes are the row's strings; None where the row has no such attribute.

    ``ordinal`` is the 0-based number of the record in its file. A post with a ``parent`` is an answer, whatever its
    PostTypeId says (as published); answers always have a body and a score.
    """

    ordinal: int
    id: str
    parent: str | None
    title: str | None
    body: str | None
    score: str | None


def no_title(question: Post) -> Drop | None:
    """A post that is neither question nor answer (tag wikis, moderator elections), or a question that lost its title.

    The published script drops the first kind and stops with a KeyError at a post of this kind that has answers; here
    both are dropped.
    """
    return Drop("no_title", "absent", "present") if question.title is None else None


def orphan_answer(answer: Post) -> Drop:
    """The drop of an answer whose question is not in the dump; the published script loses it without a word."""
    return Drop("orphan_answer", answer.parent, "a question of the same file")


def order_by_score_text(answers: Iterable[Post]) -> list[Post]:
    """Answers by score, highest first, file order among equals.

    Deliberately as published: scores are compared as strings, so "9" > "85" > "100" > "10" > "0" > "-5" > "-1".
    """
    return sorted(answers, key=lambda answer: answer.score or "", reverse=True)  # reverse keeps equals in order


def order_by_score(answers: Iterable[Post]) -> list[Post]:
    """Answers by score, highest first, file order among equals: the repair of :func:`order_by_score_text`. A score that
    is missing or no whole number counts as 0."""
    return sorted(answers, key=_score, reverse=True)


def _score(answer: Post) -> int:
    score = answer.score or ""
    return int(score) if _WHOLE.fullmatch(score) else 0


ReadHtml = Callable[[str | None, str], str]
"""Gives the text of a post from its title (None for an answer) and its body."""


def published_html(title: str | None, body: str) -> str:
    """Title and body as the published script reads them.

    The title is plain text in the dump and yet goes through the HTML parser with the body, so "List<String>" becomes
    "List" (as published).
    """
    return html_to_text(bullet_lists(body if title is None else f"{title} {body}"))


def readable_html(title: str | None, body: str, *, repairs: tuple[str, ...], addresses: bool = False) -> str:
    """Title and body with some of these repairs of :func:`published_html`, and with ``addresses`` those of links:

    ``plain_title``: the title stays as it is, on a line of its own. ``line_breaks``: ``<br>`` ends a line, where it
    glued two words. ``list_items``: every ``<li>`` has an asterisk and a blank before its text; ``<ol>`` has none.
    ``quote_marks``: the lines of a quote begin with ``>``.
    """
    lists = list_items if "list_items" in repairs else bullet_lists
    own_line = "plain_title" in repairs and title
    html = body if own_line or title is None else f"{title} {body}"
    if "line_breaks" in repairs:
        html = line_breaks(html)
    if addresses:
        html = link_addresses(html)
    if "quote_marks" in repairs:
        text = quoted_lines(html_to_text(lists(mark_quotes(html))))
    else:
        text = html_to_text(lists(html))
    return f"{title}\n{text}" if own_line else text


def line_breaks(html: str) -> str:
    """``<br>`` as a line end, with the one that may follow it."""
    return _BREAK.sub("\n", html) if "<br" in html or "<BR" in html else html


def list_items(html: str) -> str:
    """An asterisk on a line of its own text for every list item, whatever its attributes."""
    return _ITEM.sub("\n* ", html).replace("</li>", "") if "<li" in html else html


def site_of_stem(stem: str) -> str:
    """The site named in the URL, from a dump file's name without its ending.

    Deliberately as published: only the parts called stackoverflow_part... are mapped to stackoverflow.com, so the
    usual stackoverflow.com-Posts stays in the URL.
    """
    return "stackoverflow.com" if "stackoverflow_part" in stem else stem


def thread_text(question: Post, answers: Iterable[Post], read_html: ReadHtml = published_html) -> str:
    """Title and body after "Q: ", then each answer, in the order given, after "\\nA: "; HTML turned into text.

    Raises ``ValueError`` where :func:`filters.html_text.html_to_text` does.
    """
    asked = read_html(question.title or "", question.body or "")
    return "Q: " + "\nA: ".join([asked, *(read_html(None, answer.body or "") for answer in answers)])


def assemble(
    question: Post,
    answers: Iterable[Post],
    *,
    path: str,
    stem: str,
    timestamp: str,
    order: Callable[[Iterable[Post]], list[Post]] = order_by_score_text,
    read_html: ReadHtml = published_html,
) -> Document | Drop:
    """The document of a question and its answers (in file order), or why there is none.

    ``path`` is the raw file as given, ``stem`` its name without ending, ``timestamp`` the date that every record
    carries. ``meta["language"]`` is left empty for the language step; a question without score gets the integer 0
    (as published). Drops: ``no_title``, and ``malformed`` for HTML that is irregular and over the parser's limit.
    """
    untitled = no_title(question)
    if untitled:
        return untitled
    try:
        text = thread_text(question, order(answers), read_html)
    except ValueError as error:
        return Drop("malformed", str(error), "readable HTML")
    meta = {
        "language": "",
        "url": f"https://{site_of_stem(stem)}/questions/{question.id}",
        "timestamp": timestamp,
        "source": "stackexchange",
        "question_score": 0 if question.score is None else question.score,
    }
    return Document(f"{path}#{question.ordinal}", text, meta)
