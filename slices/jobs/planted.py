"""Near-duplicates made of the input's own texts by known edits: what an audit looks for (slices/jobs/audit.py)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import NamedTuple

from filters.minhash import WITHOUT_SPACES, Scheme, jaccard

LEAST_WORDS = 40  # of a text that is edited: a word more or less changes a shorter one out of proportion
MOST_CHARACTERS = 1_000_000  # the units of a text are held in memory, 60 bytes a word
STRANGERS = 20_000  # characters of another text that foreign words come from
BELOW = 0.1  # how far below the threshold planted pairs begin

_ALONE = "".join(f"{chr(first)}-{chr(last)}" for first, last in WITHOUT_SPACES) + "\U00020000-\U0003fffd"
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")
_UNIT = re.compile(rf"{_WORD.pattern}|[\W_]+?(?=[^\W_]|[{_ALONE}]|\Z)")
_SENTENCE_END = re.compile(r"((?<=[.!?])\s+|(?<=[。！？])|\n+)")


class Planted(NamedTuple):
    """A near-duplicate of ``texts[source]``: its text, the edit that made it, the true Jaccard of both."""

    source: int
    edit: str
    text: str
    true: float


def plant(texts: Sequence[str], *, scheme: Scheme, count: int, seed: int) -> list[Planted]:
    """``count`` near-duplicates of the texts, each of one text by one edit; the same for the same arguments.

    Edits take turns: words substituted, deleted or inserted, neighbouring sentences swapped, a header and footer of
    another text's words, the end cut off, case and punctuation changed. How much is drawn so that true Jaccard spreads
    evenly from a little below the threshold to 1; it is then measured. Texts of fewer than ``LEAST_WORDS`` words or
    more than ``MOST_CHARACTERS`` are left alone. There are fewer than ``count`` where edits find nothing to change.
    """
    generator = random.Random(seed)
    order = [i for i, text in enumerate(texts) if len(text) <= MOST_CHARACTERS and _has_words(text)]
    planted: list[Planted] = []
    for turn in range(4 * count if order else 0):  # an edit may change nothing: a text without sentences
        if len(planted) == count:
            break
        if turn % len(order) == 0:
            generator.shuffle(order)
        source, other = order[turn % len(order)], generator.choice(order)
        edit = list(EDITS)[turn % len(EDITS)]
        target = generator.uniform(max(0.0, scheme.threshold - BELOW), 1)
        units = _UNIT.findall(texts[source])
        words = [i for i, unit in enumerate(units) if _is_word(unit)]
        strangers = list(filter(_is_word, _WORD.findall(texts[other][:STRANGERS]))) or [units[i] for i in words]
        text = EDITS[edit](_Task(units, words, strangers, target, scheme.ngram, generator))
        if text != texts[source]:
            planted.append(Planted(source, edit, text, jaccard(texts[source], text, ngram=scheme.ngram)))
    return planted


def _has_words(text: str) -> bool:
    words = (match for match in _WORD.finditer(text) if _is_word(match.group()))
    return sum(1 for _ in islice(words, LEAST_WORDS)) == LEAST_WORDS


def _is_word(unit: str) -> bool:
    return unit[0].isalnum()


class _Task(NamedTuple):
    """What an edit gets."""

    units: list[str]  # the text's words and what is between them
    words: list[int]  # where the words are among them; at least one
    strangers: list[str]  # words of another text; at least one
    target: float  # true Jaccard, about
    ngram: int
    random: random.Random

    def lost(self) -> float:
        """The share of shingles that must go for the target, as many new ones coming: 1 - q where J = q / (2 - q)."""
        return 1 - 2 * self.target / (1 + self.target)


def _at_some_words(task: _Task, change: Callable[[str], str]) -> str:
    """Change words so far apart on average that the target's share of shingles has none of them; at least one."""
    rate = 1 - (1 - task.lost()) ** (1 / task.ngram)
    chosen = [i for i in task.words if task.random.random() < rate] or [task.random.choice(task.words)]
    units = list(task.units)
    for i in chosen:
        units[i] = change(units[i])
    return "".join(units)


def _substituted(task: _Task) -> str:
    return _at_some_words(task, lambda word: task.random.choice(task.strangers))


def _deleted(task: _Task) -> str:
    return _at_some_words(task, lambda word: "")


def _inserted(task: _Task) -> str:
    return _at_some_words(task, lambda word: f"{word} {task.random.choice(task.strangers)}")


def _swapped(task: _Task) -> str:
    """Neighbouring sentences change places: each swap breaks the shingles across three boundaries."""
    parts = _SENTENCE_END.split("".join(task.units))  # sentences, and between them what ends them
    swaps = round(task.lost() * len(task.words) / max(1, 3 * (task.ngram - 1)))
    pairs = range(0, len(parts) - 2, 4)
    for i in task.random.sample(pairs, min(len(pairs), max(1, swaps))):
        parts[i], parts[i + 2] = parts[i + 2], parts[i]
    return "".join(parts)


def _framed(task: _Task) -> str:
    """A header and a footer: J is the share of the text in the whole."""
    size = max(1, round(len(task.words) * (1 / max(task.target, 0.05) - 1)))
    strange = list(islice(cycle(task.strangers), size))
    cut = task.random.randrange(size + 1)
    return f"{' '.join(strange[:cut])}\n{''.join(task.units)}\n{' '.join(strange[cut:])}"


def _cut_off(task: _Task) -> str:
    """J is the share that is left."""
    left = max(1, round(len(task.words) * task.target))
    return "".join(task.units[: task.words[left - 1] + 1])


def _respelt(task: _Task) -> str:
    """Other case, other punctuation and spaces; the words stay."""
    case = task.random.choice([str.upper, str.title, str.lower])
    mark = task.random.choice(["  ", "\n", " - ", ", "])
    return "".join(case(unit) if _is_word(unit) else unit.replace(" ", mark) for unit in task.units)


EDITS: dict[str, Callable[[_Task], str]] = {
    "substituted": _substituted,
    "deleted": _deleted,
    "inserted": _inserted,
    "swapped": _swapped,
    "framed": _framed,
    "cut_off": _cut_off,
    "respelt": _respelt,
}
