"""Prose for the sample: sentences filled with the words of one world, and the seeded choices behind everything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import TypeVar

from redpajama_data.sample.lexicon import WORLDS, World

T = TypeVar("T")
_SLOT = re.compile(r"@(\w+)@")


class Chance:
    """Seeded choices that are the same on every machine and with every Python.

    Built on ``Random.random()`` alone: it is the one method whose sequence for a seed Python promises to keep.
    """

    def __init__(self, seed: str) -> None:
        self._random = Random(seed).random

    def below(self, limit: int) -> int:
        """An integer in [0, limit)."""
        return int(self._random() * limit)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[T]) -> T:
        """One of ``items``."""
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """``count`` different ones of ``items``, in chance order (all of them when there are fewer)."""
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in range(min(count, len(pool)))]

    def digits(self, count: int, alphabet: str = "0123456789abcdef") -> str:
        """``count`` characters of ``alphabet``."""
        return "".join(self.pick(alphabet) for _ in range(count))


def fill(template: str, words: dict[str, str]) -> str:
    """Replace each ``@name@`` whose name is in ``words``; braces, dollars and percent signs are left alone."""
    return _SLOT.sub(lambda slot: words.get(slot[1], slot[0]), template)


NARRATIVE = (
    "@P@ @v@ the @a@ @n@ before the @m@ could be brought from @L@.",
    "At @L@ nobody had @v@ a @n@ since the winter of the @a@ @m@.",
    "It was @d@ that @p@ remembered the @n@, and by then the @a@ @m@ was lost.",
    "There lay, beside the @n@, a @a@ @m@ such as @p@ had never @v@.",
    "Between @L@ and the old @n@ one could count @k@ @ms@, each more @b@ than the last.",
    "@P@ turned @d@ away, for the @n@ was @a@ and the @m@ was not to be trusted.",
    "Having @v@ the @m@, they @w@ whatever @a@ @n@ remained.",
    "Of all the @ns@ in @L@, this was the only one that anyone had @v@.",
    "Some said that @p@ @v@ it for love of the @n@; others, that the @m@ had grown too @a@ to keep.",
    "Not a @n@ stirred; even the @b@ @m@ stood quiet, as though @p@ had @v@ it.",
    "The @n@ was @a@, the @m@ was @b@, and @p@ was tired of both.",
    "Everyone agreed that a @a@ @n@ must be @v@ @d@, and nobody offered to do it.",
    "Whenever rain fell on @L@, @p@ fetched the @n@ and @w@ the @ms@ one by one.",
    "No doubt the @m@ had been @v@ by someone who knew nothing of @ns@.",
    "In less than an hour @k@ @ns@ were @v@, and still @p@ called for another @m@.",
    "Little by little the @a@ @n@ gave place to a @b@ @m@.",
    "@P@ kept the @n@ under a @b@ cloth and @w@ it only on Sundays.",
    "What became of the @m@ is told differently at @L@, where @p@ is still called @a@.",
    "They spoke @d@ about @ns@, then about the price of a good @m@, and at last about @p@.",
    "Under the window stood the @n@ which @p@ had @v@ in happier years.",
    "A @a@ letter came from @L@, asking whether the @n@ had been @v@ and who would pay for the @m@.",
    "Late in the evening the @ns@ were @v@ again, more @d@ than before.",
    "How @a@ a @n@ may look to someone who has never @v@ one!",
    "With one hand @p@ held the @m@, and with the other @w@ the @n@.",
    "The way to @L@ was @b@, and the @k@ @ns@ they carried made it longer.",
    "If the @m@ was @a@, the @n@ was worse; @p@ said so @d@ and often.",
)
SPEECH = (
    '"You have @v@ my @n@," said @p@, "and I should like it back."',
    '"Is there a @n@ in the house?" asked @p@ @d@.',
    '"@k@ @ms@," cried @p@, "and not one of them @a@!"',
    '"Wait until they hear of this at @L@," @p@ whispered.',
    '"I never trusted a @a@ @n@," @p@ answered, "nor whoever @v@ it."',
    '"Then we must go to @L@," said @p@, "and look for the @m@ ourselves."',
)
EXPOSITORY = (
    "The @n@ is one of the oldest known @ms@ of the region around @L@.",
    "Early accounts describe it as @a@, although later writers considered a @b@ @m@ more likely.",
    "In @y@ the council of @L@ bought the @n@ and had it @v@ at public cost.",
    "Most @ns@ of this kind are @a@ and between @k@ and @j@ metres long.",
    "@P@ @v@ the first @m@ in @y@, but the design was not used until much later.",
    "A @n@ may be @v@ in several ways, of which the @b@ one is the most common.",
    "Its use declined after @y@, when the @m@ was replaced by a @a@ @n@.",
    "Unlike the @m@, which is @b@, a @n@ has to be @v@ at least once a year.",
    "Visitors come to @L@ to see the @a@ @n@ and the @k@ @ms@ beside it.",
    "The name is first recorded in @y@ in a letter by @p@.",
    "According to @p@, fewer than @k@ @ns@ were ever @v@.",
    "Since @y@ a small museum has shown how the @n@ was @v@.",
)
WEB = (
    "If you are looking for a @a@ @n@, this is the place to start.",
    "We @v@ three @ns@ over the weekend and the results may surprise you.",
    "Our shop at @L@ stocks more than @k@ @ms@, and every @n@ comes with a two year guarantee.",
    "Have you ever wondered why a @n@ needs a @m@?",
    "First, make sure that the @m@ has been @v@; otherwise the @n@ will not fit.",
    "I bought this @n@ for my sister in @y@ and she still uses it @d@.",
    "Tickets cost @k@ pounds, children under @j@ go free, and the @m@ is included.",
    "Please note that @L@ is closed on Mondays until the @a@ @n@ has been @v@.",
    "Thank you all for the comments about last week's @m@, it really helped.",
    "The best thing about a @b@ @n@ is that nobody has to be told how it was @v@.",
    "Call us today or send a message, and @p@ will be happy to help with your @n@.",
    "In this post we show step by step how we @v@ a @a@ @m@ for less than @k@ dollars.",
)


def plural(noun: str) -> str:
    """The plural of a regular English noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeou" else noun + "s"


def with_article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def sentence(chance: Chance, world: World, template: str) -> str:
    """``template`` filled with words of ``world``."""
    (noun, other), (verb, second) = chance.some(world.nouns, 2), chance.some(world.verbs, 2)
    adjective, another = chance.some(world.adjectives, 2)
    person = chance.pick(world.people)
    words = {
        "n": noun, "m": other, "ns": plural(noun), "ms": plural(other), "v": verb, "w": second, "a": adjective,
        "b": another, "p": person, "P": person[0].upper() + person[1:], "L": chance.pick(world.places),
        "d": chance.pick(world.adverbs),
        "k": str(chance.between(11, 99)), "j": str(chance.between(100, 480)), "y": str(chance.between(1702, 1998)),
    }  # fmt: skip
    return re.sub(r"\b([Aa]) (?=[aeiouAEIO])", r"\1n ", fill(template, words))


def paragraph(chance: Chance, world: World, templates: Sequence[str], low: int = 3, high: int = 7) -> str:
    """``low`` to ``high`` sentences on one line, of different templates as far as there are enough."""
    chosen = chance.some(templates, chance.between(low, high))
    return " ".join(sentence(chance, world, template) for template in chosen)


def wrapped(text: str, width: int = 72) -> str:
    """The text broken at blanks into lines of at most ``width`` chars (one word longer than that keeps its line)."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return "\n".join(lines)


def subject(chance: Chance) -> tuple[str, World]:
    """One of the worlds with its name."""
    name = chance.pick(list(WORLDS))
    return name, WORLDS[name]
