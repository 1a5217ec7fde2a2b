"""Pages that more than one source of the sample has, word for word or with a few words changed: what dedup across
slices is to find.

================  =============================================  =====================
page              where it is word for word                      where with changes
================  =============================================  =====================
``PAGES[0]``      Wikipedia (an article), C4
``PAGES[1]``      Wikipedia (an article)                         C4
``PAGES[2]``      GitHub (a file of documentation), C4
``PAGES[3]``      C4                                             C4, twice
================  =============================================  =====================
"""

from __future__ import annotations

from redpajama_data.sample.lexicon import WORLDS
from redpajama_data.sample.prose import EXPOSITORY, Chance, paragraph, wrapped

CHANGED_EVERY = 60  # words: a change to each leaves about 85 % of the runs of five words as they were


FILE = 2  # the page that GitHub has: its lines are short, or a rule on lines would drop it


def _page(number: int) -> str:
    chance = Chance(f"shared page {number}")
    world = WORLDS[sorted(WORLDS)[number]]
    paragraphs = [paragraph(chance, world, EXPOSITORY, 7, 9) for _ in range(5)]
    return "\n".join(map(wrapped, paragraphs) if number == FILE else paragraphs)


PAGES = tuple(_page(number) for number in range(4))


def changed(page: str, salt: str) -> str:
    """The page with one word in :data:`CHANGED_EVERY` replaced."""
    chance = Chance(f"changed {salt}")
    words = page.split(" ")
    for start in range(0, len(words), CHANGED_EVERY):
        words[min(start + chance.below(CHANGED_EVERY), len(words) - 1)] = "quite"
    return " ".join(words)
