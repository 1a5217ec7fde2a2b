"""Wikitext to plain text in one pass over the tokens of mwparserfromhell's C tokenizer.

The published script builds mwparserfromhell's tree, searches it for links and tags to remove, and renders it. The
tokenizer takes about a twelfth of that time, and its flat token stream already holds every decision of the parser:
which brackets are a link, which apostrophes are bold, where a tag ends. This module renders the same text from that
stream. ``tests/test_wikitext.py`` holds the slow way and asserts equality on real pages and on hostile markup.

Two things make "the same text" more than a walk:

* **A removal hides the next sibling.** The published script removes nodes from a list while iterating over it. Below
  the top level (where the library iterates over a copy) the node after a removed one is therefore never looked at: of
  ``<b>x<ref>1</ref><ref>2</ref></b>`` the second reference stays, as text. There are two such searches, first for
  links, then for tags, so every node list carries two flags (does either search look at it), and each search its own
  "skip the next one".
* **A category's text is parsed again.** The displayed text of a category link, prefix cut off, is assigned as a string,
  which the library parses as wikitext: the sort key ``*`` becomes a list mark and vanishes.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Callable
from typing import Any

from mwparserfromhell import definitions
from mwparserfromhell.parser import ParserError, tokens
from mwparserfromhell.parser._tokenizer import CTokenizer

Token = dict[str, Any]  # the library's tokens are dicts; their attribute access costs three times as much

_REMOVED_TAGS = frozenset({"ref", "table"})  # recipe: compared as written, so <REF> stays
_INVISIBLE_TAGS = frozenset(definitions.INVISIBLE_TAGS)  # compared in lower case
_CODEPOINT = html.entities.name2codepoint
_NEWLINES = re.compile("\n{3,}")
_MARKUP = re.compile(r"""[{}\[\]<>|=&'"#*;:/\-!\n\\]""")  # a string without any of these is one text token

_Text: type = tokens.Text
_WikilinkOpen: type = tokens.WikilinkOpen
_WikilinkSeparator: type = tokens.WikilinkSeparator
_WikilinkClose: type = tokens.WikilinkClose
_TemplateOpen: type = tokens.TemplateOpen
_TemplateClose: type = tokens.TemplateClose
_TagOpenOpen: type = tokens.TagOpenOpen
_TagCloseOpen: type = tokens.TagCloseOpen
_TagOpenClose: type = tokens.TagOpenClose
_TagCloseClose: type = tokens.TagCloseClose
_TagCloseSelfclose: type = tokens.TagCloseSelfclose
_HeadingStart: type = tokens.HeadingStart
_HTMLEntityStart: type = tokens.HTMLEntityStart
_CommentStart: type = tokens.CommentStart
_ExternalLinkOpen: type = tokens.ExternalLinkOpen
_ArgumentOpen: type = tokens.ArgumentOpen


class UnparsableError(Exception):
    """mwparserfromhell gives up on the page (the published script leaves such a page out)."""


class _End(dict[str, Any]):
    """Closes every token stream, so that an unclosed construct meets a token that is not the one it expects."""


def tokenize(wikitext: str) -> list[Token]:
    """Return the flat token list of ``wikitext``; raises :class:`UnparsableError` when the tokenizer gives up."""
    try:
        stream: list[Token] = CTokenizer().tokenize(wikitext, 0, False)
    except ParserError as error:
        raise UnparsableError(str(error)) from error
    return stream


def sections(wikitext: str, media: re.Pattern[str], category: re.Pattern[str]) -> list[str]:
    """Render each section of a page: the lead (possibly empty), then one per top-level heading, heading included.

    ``media`` and ``category`` match the beginning of a link's title up to its colon: links of the first kind are
    removed, of the second shown as their text without the prefix. Raises :class:`UnparsableError` for markup the parser
    gives up on. Source: RedPajama-Data-1T's Wikipedia script (``get_sections(flat=True, include_lead=True,
    include_headings=True)``, then ``strip_code()`` of each).
    """
    renderer = _Renderer(media, category)
    try:
        return renderer.page(tokenize(wikitext))
    except (RecursionError, StopIteration) as error:  # categories inside categories; a token stream cut short
        raise UnparsableError(type(error).__name__) from error


def _joined(parts: list[str]) -> str:
    """What ``strip_code`` makes of a list of rendered nodes: no newline at either end, never three in a row."""
    text = (parts[0] if len(parts) == 1 else "".join(parts)).strip("\n")
    return _NEWLINES.sub("\n\n", text) if "\n\n\n" in text else text


class _Renderer:
    """One pass over one token stream. ``links`` and ``tags`` say whether the two searches look at a node list."""

    __slots__ = ("category", "media", "next")

    def __init__(self, media: re.Pattern[str], category: re.Pattern[str]) -> None:
        self.media = media
        self.category = category
        self.next: Callable[[], Token]

    def page(self, stream: list[Token]) -> list[str]:
        """Render the top level, cut into sections at its headings."""
        self.next = iter([*stream, _End()]).__next__
        texts: list[str] = []
        parts: list[str] = []
        while (kind := self.nodes(parts, True, True, False)) is _HeadingStart:
            texts.append(_joined(parts))
            parts = []
            self.heading(parts, True, True)
        self.expect(kind, _End)
        texts.append(_joined(parts))
        return texts

    @staticmethod
    def expect(kind: type, wanted: type) -> None:
        """Raise :class:`UnparsableError` when a construct ends with a token of another kind."""
        if kind is not wanted:
            raise UnparsableError(f"{kind.__name__} where {wanted.__name__} was due")

    def nodes(self, out: list[str], links: bool, tags: bool, nested: bool, token: Token | None = None) -> type:
        """Render nodes into ``out`` up to a token that opens none; return that token's kind (a separator or close).

        ``token`` is the first one when the caller has read it already. The top level (``nested`` false) also stops at
        a heading.
        """
        next_token = self.next
        hide_link = hide_tag = False  # was the node before removed by the search for links, for tags
        if token is None:
            token = next_token()
        while True:
            kind = type(token)
            if kind is _Text:
                out.append(token["text"])
            elif kind is _WikilinkOpen:
                if self.wikilink(out, links and not hide_link, tags and not hide_tag):
                    hide_link = nested  # and hide_tag stays: the search for tags never meets this link
                    token = next_token()
                    continue
            elif kind is _TagOpenOpen:
                if self.tag(out, links and not hide_link, tags and not hide_tag):
                    hide_link, hide_tag = False, nested
                    token = next_token()
                    continue
            elif kind is _TemplateOpen:
                self.skip(_TemplateOpen, _TemplateClose)
            elif kind is _HTMLEntityStart:
                out.append(self.entity())
            elif kind is _ExternalLinkOpen:
                self.external_link(out, token["brackets"], links and not hide_link, tags and not hide_tag)
            elif kind is _HeadingStart:
                if not nested:
                    return kind
                self.heading(out, links and not hide_link, tags and not hide_tag)
            elif kind is _CommentStart:
                self.skip(_CommentStart, tokens.CommentEnd)
            elif kind is _ArgumentOpen:
                self.argument(out, links and not hide_link, tags and not hide_tag)
            else:
                return kind
            hide_link = hide_tag = False
            token = next_token()

    def skip(self, opening: type, closing: type) -> None:
        """Read past the close that matches an ``opening`` just read."""
        next_token = self.next
        depth = 1
        while depth:
            kind = type(next_token())
            if kind is closing:
                depth -= 1
            elif kind is opening:
                depth += 1
            elif kind is _End:
                raise UnparsableError(f"{opening.__name__} without {closing.__name__}")

    def wikilink(self, out: list[str], links: bool, tags: bool) -> bool:
        """Render a link by its text, or else its title; return True when the search for links removes it."""
        token = self.next()
        shown: list[str] = []
        while (kind := type(token)) is _Text:
            shown.append(token["text"])
            token = self.next()
        category = False
        if links and shown:
            title = "".join(shown)
            if ":" in title:
                if self.media.match(title):
                    if kind is not _WikilinkClose:
                        self.skip(_WikilinkOpen, _WikilinkClose)
                    return True
                category = self.category.match(title) is not None
        if category:  # its old text is rendered before either search has looked inside
            links = below = False
        else:
            below = tags
        if kind is not _WikilinkClose and kind is not _WikilinkSeparator:
            kind = self.nodes(shown, links, below, True, token)
        if kind is _WikilinkSeparator:
            shown = []
            kind = self.nodes(shown, links, below, True)
        self.expect(kind, _WikilinkClose)
        text = _joined(shown)
        out.append(self.parsed_again(self.category.sub("", text), tags) if category else text)
        return False

    def parsed_again(self, text: str, tags: bool) -> str:
        """Deliberate, as published: the text given to a category link is read as wikitext once more."""
        if not _MARKUP.search(text):
            return text
        outer = self.next
        self.next = iter([*tokenize(text), _End()]).__next__
        shown: list[str] = []
        self.expect(self.nodes(shown, True, tags, True), _End)
        self.next = outer
        return _joined(shown)

    def tag(self, out: list[str], links: bool, tags: bool) -> bool:
        """Render a tag by its contents; return True when the search for tags removes it."""
        next_token = self.next
        name = ""
        while (kind := type(token := next_token())) is _Text:
            name += token["text"]
        if kind is not _TagCloseSelfclose and kind is not _TagCloseOpen:
            kind = self.attributes(kind)
        removed = tags and name in _REMOVED_TAGS
        if kind is _TagCloseSelfclose:
            return removed
        if removed or name.lower() in _INVISIBLE_TAGS:
            self.skip_tag()
            return removed
        shown: list[str] = []
        self.expect(self.nodes(shown, links, tags, True), _TagOpenClose)
        while (kind := type(next_token())) is _Text:
            pass
        self.expect(kind, _TagCloseClose)
        out.append(_joined(shown))
        return False

    def attributes(self, kind: type) -> type:
        """Read past a tag's attributes; return the kind of the token that ends its open part."""
        next_token = self.next
        while kind is not _TagCloseOpen and kind is not _TagCloseSelfclose:
            if kind is _TagOpenOpen:  # a tag inside an attribute
                self.skip_tag()
            elif kind is _End:
                raise UnparsableError("a tag without its end")
            kind = type(next_token())
        return kind

    def skip_tag(self) -> None:
        """Read past the end of a tag whose open token was read."""
        next_token = self.next
        depth = 1
        while depth:
            kind = type(next_token())
            if kind is _TagCloseClose or kind is _TagCloseSelfclose:
                depth -= 1
            elif kind is _TagOpenOpen:
                depth += 1
            elif kind is _End:
                raise UnparsableError("a tag without its end")

    def external_link(self, out: list[str], brackets: bool, links: bool, tags: bool) -> None:
        """Render ``[url label]`` by its label, a bare URL by itself, ``[url]`` not at all."""
        url: list[str] = []
        label: list[str] = []
        kind = self.nodes(url, links, tags, True)
        if kind is tokens.ExternalLinkSeparator:
            kind = self.nodes(label, links, tags, True)
        self.expect(kind, tokens.ExternalLinkClose)
        out.append(_joined(label if brackets else url))

    def heading(self, out: list[str], links: bool, tags: bool) -> None:
        """Render a heading by its title."""
        title: list[str] = []
        self.expect(self.nodes(title, links, tags, True), tokens.HeadingEnd)
        out.append(_joined(title))

    def argument(self, out: list[str], links: bool, tags: bool) -> None:
        """Render ``{{{name|default}}}`` by its default, without one not at all."""
        default: list[str] = []
        kind = self.nodes([], links, tags, True)
        if kind is tokens.ArgumentSeparator:
            kind = self.nodes(default, links, tags, True)
        self.expect(kind, tokens.ArgumentClose)
        out.append(_joined(default))

    def entity(self) -> str:
        """Decode an HTML entity (the tokenizer lets only existing ones through)."""
        next_token = self.next
        token = next_token()
        base = 0
        if type(token) is tokens.HTMLEntityNumeric:
            base = 10
            token = next_token()
            if type(token) is tokens.HTMLEntityHex:
                base = 16
                token = next_token()
        value: str = token["text"]
        next_token()  # its end
        return chr(int(value, base)) if base else chr(_CODEPOINT[value])
