"""Instructions as the dialogues that OpenChatKit and INCITE were trained on, and which of their characters are prompt.

    <human>: what is asked
    <bot>: what is answered

Turns begin at the start of a line. What is prompt is told in ranges of characters [start, end), as datatrove's
``no_loss_ranges``: a trainer that learns answers alone masks them. The marks are prompt, with the blank behind them. An
answer ends before the line end that the next turn follows.
"""

from __future__ import annotations

import re

from redpajama_data.document import Document, Drop

HUMAN, BOT = "<human>:", "<bot>:"
RANGES = "no_loss_ranges"
_TURN = re.compile(r"^(<human>:|<bot>:)[ \t]*", re.MULTILINE)

Ranges = list[list[int]]


def exchange(asked: str, answered: str) -> tuple[str, Ranges]:
    """A question and its answer as a text, and what of it is prompt: all before the answer, whatever it holds."""
    prompt = f"{HUMAN} {asked}\n{BOT} "
    return prompt + answered, [[0, len(prompt)]]


def prompts_of(text: str) -> Ranges:
    """The ranges of a dialogue that are prompt: all that no turn of the bot has."""
    ranges: Ranges = []
    start = 0
    turns = [(match[1], match.start(), match.end()) for match in _TURN.finditer(text)]
    for number, (who, _, end) in enumerate(turns):
        if who == BOT:
            ranges.append([start, end])
            start = turns[number + 1][1] - 1 if number + 1 < len(turns) else len(text)
    if start < len(text):
        ranges.append([start, len(text)])
    return ranges


def has_prompt(doc: Document) -> Document | Drop:
    """Something is asked. Source: our own rule; a prompt without a word teaches an answer to nothing."""
    asked = "".join(doc.text[start:end] for start, end in doc.meta[RANGES])
    return doc if _TURN.sub("", asked).strip() else Drop("has_prompt", "nothing asked")


def has_answer(doc: Document) -> Document | Drop:
    """Something is answered. Source: our own rule; without an answer there is nothing to learn."""
    answer, after = [], 0
    for start, end in doc.meta[RANGES]:
        answer.append(doc.text[after:start])
        after = end
    return doc if "".join([*answer, doc.text[after:]]).strip() else Drop("has_answer", "nothing answered")
