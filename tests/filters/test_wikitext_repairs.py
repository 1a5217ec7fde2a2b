"""Wikipedia's categories: what goes, in which language, and what is a link and stays."""

from __future__ import annotations

import pytest

from filters.wikitext import ALIASES, LinkNames, clean

CASES = [
    ("en", "a [[Category:B]] c", "a  c"),
    ("en", "a\n[[Category:B|C]]", "a"),
    ("en", "a\n[[ category : B ]]", "a"),
    ("en", "a\n[[CATEGORY:B]]\n[[Category:C]]", "a"),
    ("en", "a [[:Category:B|C]]", "a C"),
    ("en", "a [[Categoryless:B]]", "a Categoryless:B"),
    ("en", "a [[Kategorie:B]]", "a Kategorie:B"),
    ("en", "a\n[[File:B.png|thumb|[[Category:C]] d]]", "a"),
    ("de", "a\n[[Kategorie:B]]\n[[Category:C]]\n[[Bild:D.png|e]]", "a"),
    ("bg", "a\n[[Категория:А]]", "a"),
    ("en", "a\n{{b|c=[[Category:D]]}}\n[[Category:E]] f", "a\n\n f"),
    ("en", "a <nowiki>[[Category:B]]</nowiki>", "a [[Category:B]]"),
]


@pytest.mark.parametrize(("language", "text", "left"), CASES)
def test_categories_go(language: str, text: str, left: str) -> None:
    assert clean(text, language, categories=False) == left


@pytest.mark.parametrize("language", ALIASES)
def test_without_a_category_nothing_differs(language: str) -> None:
    text = "''A'' [[b|c]] [[File:D.png]] {{e}}\n\n== F ==\n[[:fr:G]] [[H:I]] <ref>j</ref>"
    assert clean(text, language, categories=False) == clean(text, language)


@pytest.mark.parametrize(("language", "names"), [(key, names.split()) for key, (_, names) in ALIASES.items() if names])
def test_every_name_of_a_language(language: str, names: list[str]) -> None:
    for name in names:
        assert clean(f"a\n[[{name}:B|C]]", language, categories=False) == "a"
        assert clean(f"a\n[[{name}:B|C]]", language) == "a\nC"


OWN = [  # names of the dump's own, the text, what is left with its categories, and without
    (LinkNames(("Fails",), ("Kategoreja",)), "a\n[[Fails:B.png|c]]", "a", "a"),
    (LinkNames(("Fails",), ("Kategoreja",)), "a\n[[Kategoreja:B]]", "a\nB", "a"),
    (LinkNames(("Fails",), ("Kategoreja",)), "a\n[[kategoreja : B]]", "a\nkategoreja : B", "a"),
    (LinkNames(("Fails",), ("Kategoreja",)), "a\n[[Category:B]] [[File:C.png]]", "a\nB", "a"),  # English everywhere
    (LinkNames(("Fails",), ("Kategoreja",)), "a [[:Kategoreja:B|C]]", "a C", "a C"),
    (LinkNames((), ("Two words",)), "a\n[[two_words:B]]", "a\nB", "a"),
    (LinkNames(("F.ls",), ()), "a [[Fails:B]]", "a Fails:B", "a Fails:B"),  # a name is no expression
    (LinkNames(), "a\n[[Kategoreja:B]]", "a\nKategoreja:B", "a\nKategoreja:B"),
]


@pytest.mark.parametrize(("own", "text", "left", "without"), OWN)
def test_names_of_the_dumps_own(own: LinkNames, text: str, left: str, without: str) -> None:
    assert clean(text, "ltg", own=own) == left
    assert clean(text, "ltg", own=own, categories=False) == without
