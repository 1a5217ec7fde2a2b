"""HTML to plain text, equal to ``BeautifulSoup(html, "lxml").get_text()`` without building its tree of Python objects.

The same parser (libxml2's, fed in the same way) builds its own tree, and one loop over it applies the three rules by
which BeautifulSoup (4.11 or newer) turns nodes into text: which nodes count, which white space collapses, nothing
between nodes. Measured on the 10,020 bodies and titles of the seven small dumps of the test data: equal on every one,
ten times faster. Three constructs reach BeautifulSoup as events which leave no trace in the tree; such input takes
the event path (:func:`events_to_text`), three times slower and equal by construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

HIDDEN = frozenset({"script", "style", "template", "rt", "rp"})  # their strings are no text for BeautifulSoup
PREFORMATTED = frozenset({"pre", "textarea"})  # white space stays as it is
ASCII_SPACES = " \n\t\f\r"
MAX_TREE_DEPTH = 2000  # libxml2 silently stops at 2,048 open elements, html and body included
MAX_EVENT_CHARS = 250_000  # unclosed and stray tags cost depth x length: 3 s at this size; the sites allow 30,000
MAX_DOUBTFUL_ATTRIBUTES = 10_000  # libxml2 compares each attribute with all before it in its tag: 0.6 s at this number

# A tag that ends at the same ">" however a parser takes quotes: it has none, or each stands where it should. It has a
# hundred attributes at most. The elements named hold text that looks like tags and is none.
_PLAIN_TAG = re.compile(
    r"""<(?!/?(?:script|style|textarea|title|xmp|iframe|noembed|noframes|noscript|plaintext)\b)
    (?: [^!?<>"']{1,300}
      | [a-z][a-z0-9:]*
        (?: [ \t\r\n]+ [a-z][\w:.-]* (?: =(?: "[^"\0]*" | '[^'\0]*' | [\w:.%-]+ ) )? ){0,100}
        [ \t\r\n]* /?
      | !--[^<>]*--
    )>""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
# Where one can begin: behind white space, a slash or a quote. Its name can be of quotes and "=".
_ATTRIBUTE = re.compile(r"""[\s/"'](?=[^ \t\n\f\r/>])""")


def html_to_text(html: str) -> str:
    """The text of an HTML fragment or page, exactly as ``BeautifulSoup(html, "lxml").get_text()`` gives it.

    Text nodes are joined without separator, ``<br>`` gives nothing, entities are decoded, NUL becomes U+FFFD. Comments,
    processing instructions, doctypes and the content of script, style, template, rt and rp are no text. A node of
    nothing but ASCII white space, outside pre and textarea, becomes one newline if it has one, otherwise one blank.

    Known differences: text or comments beyond 9.9 million characters in one node, where libxml2's own limits differ
    between tree and events.

    Raises ``ValueError`` for a lone surrogate (as BeautifulSoup does), and for markup that only the event path can
    read (nested deeper than 2,000 elements, something after ``</html>``, a doctype, white space after leading stray
    tags) and that is longer than 250,000 characters, and for one tag that may have more than 10,000 attributes.

    Source: method of RedPajama-Data-1T's Stack Exchange script (its call of BeautifulSoup with lxml).
    """
    html = html.removeprefix("\ufeff")  # BeautifulSoup takes one byte order mark off
    long = len(html) > 2 * MAX_DOUBTFUL_ATTRIBUTES  # each takes two characters at least
    if long and doubtful_attributes(html) > MAX_DOUBTFUL_ATTRIBUTES:
        raise ValueError(f"HTML of which one tag may have more than {MAX_DOUBTFUL_ATTRIBUTES:,} attributes")
    if not _needs_events(html):
        root = _tree(html)
        if root is None:
            return ""
        text = _tree_to_text(root)
        if text is not None:
            return text
    if len(html) > MAX_EVENT_CHARS:
        raise ValueError(f"irregular HTML of {len(html):,} characters: {MAX_EVENT_CHARS:,} is the limit")
    return events_to_text(html)


def bullet_lists(html: str) -> str:
    """Mark list items by an asterisk on a line of its own.

    Deliberately as published by RedPajama-Data-1T: plain replacement of the exact lower-case tags ``<li>`` and
    ``<ol>``, so tags with attributes keep no mark, ``<ul>`` is untouched, and an ``<ol>`` gives one asterisk more than
    it has items.
    """
    return html.replace("<li>", "\n*").replace("</li>", "").replace("<ol>", "\n*").replace("</ol>", "")


def events_to_text(html: str) -> str:
    """The slow exact path of :func:`html_to_text`: the parser's events, which are what BeautifulSoup itself consumes.

    Time grows with length times depth, so callers bound the length.
    """
    target: Any = _TextTarget()
    parser = etree.HTMLParser(target=target)
    try:
        parser.feed(html)
        return str(parser.close())
    except etree.ParserError:  # nothing in it
        return ""


def doubtful_attributes(html: str) -> int:
    """At most how many attributes one tag has, plain ones with their hundred aside. A count, no parse: behind the first
    tag that is not plain parsers differ on where quotes begin, so all that could be an attribute from there to the end
    counts for one tag."""
    at = html.find("<")
    while at >= 0:
        plain = _PLAIN_TAG.match(html, at)
        if plain is None:
            return sum(1 for _ in _ATTRIBUTE.finditer(html, at))
        at = html.find("<", plain.end())
    return 0


def _needs_events(html: str) -> bool:
    """True where the tree loses what the events have.

    The tree drops all that follows ``</html>``, joins the two texts around a doctype, and drops white space that comes
    while no element is open, which only stray end tags, comments, instructions or white space written as a reference
    (``&#10;``) at the very start can cause.
    """
    lowered = html.lower()
    if "</html" in lowered or "<!doctype" in lowered:
        return True
    start = html.lstrip()[:2]
    if start == "&#":
        return True
    return start[:1] in ("", "<") and not (start[1:].isascii() and start[1:].isalpha())


def _tree(html: str) -> etree._Element | None:
    parser = etree.HTMLParser(huge_tree=True)  # without it libxml2 stops at 256 open elements
    try:
        parser.feed(html)
        return parser.close()
    except etree.ParserError:  # no element and no text
        return None


def _tree_to_text(root: etree._Element) -> str | None:
    """Text of the tree, or None when it is so deep that libxml2 may have cut it."""
    out: list[str] = []
    hidden = preformatted = False
    siblings: Iterator[etree._Element] = iter((root,))
    above: list[tuple[Iterator[etree._Element], bool, bool, str | None]] = []
    while True:
        for node in siblings:
            tag = node.tag
            if isinstance(tag, str):  # comments and processing instructions have a function there
                inner_hidden = hidden or tag in HIDDEN
                inner_preformatted = preformatted or tag in PREFORMATTED
                text = node.text
                if text and not inner_hidden:
                    out.append(_collapse(text) if not inner_preformatted and text.isspace() else text)
                if len(node):
                    if len(above) >= MAX_TREE_DEPTH:
                        return None
                    above.append((siblings, hidden, preformatted, node.tail))
                    siblings, hidden, preformatted = iter(node), inner_hidden, inner_preformatted
                    break
            tail = node.tail
            if tail and not hidden:
                out.append(_collapse(tail) if not preformatted and tail.isspace() else tail)
        else:
            if not above:
                return "".join(out)
            siblings, hidden, preformatted, tail = above.pop()
            if tail and not hidden:
                out.append(_collapse(tail) if not preformatted and tail.isspace() else tail)


def _collapse(space: str) -> str:
    """One newline or blank for a run of ASCII white space; anything else, such as U+00A0, stays."""
    if space.strip(ASCII_SPACES):
        return space
    return "\n" if "\n" in space else " "


class _TextTarget:
    """Parser target that keeps text only; the boundaries between texts are those of BeautifulSoup."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.pending: list[str] = []
        self.hidden = 0
        self.preformatted = 0

    def start(self, tag: str, attributes: object) -> None:
        self.end_text()
        self.hidden += tag in HIDDEN
        self.preformatted += tag in PREFORMATTED

    def end(self, tag: str) -> None:
        self.end_text()
        self.hidden -= tag in HIDDEN
        self.preformatted -= tag in PREFORMATTED

    def data(self, data: str) -> None:
        self.pending.append(data)

    def comment(self, text: str) -> None:
        self.end_text()

    def pi(self, target: str, data: str | None = None) -> None:
        self.end_text()

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        self.end_text()

    def end_text(self) -> None:
        if self.pending and not self.hidden:
            text = "".join(self.pending)
            self.out.append(text if self.preformatted else _collapse(text))
        self.pending.clear()

    def close(self) -> str:
        self.end_text()
        return "".join(self.out)
