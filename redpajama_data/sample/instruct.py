"""The instructions of the sample: P3, Natural Instructions and OIG in their JSON lines; and beside them test sets that
some of these instructions, and a page of C4 and Wikipedia, have in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import zstandard

from redpajama_data.sample.lexicon import WORLDS, World
from redpajama_data.sample.planted import Planted
from redpajama_data.sample.prose import EXPOSITORY, NARRATIVE, Chance, paragraph, subject
from redpajama_data.sample.shared_pages import PAGES

P3, NATURAL, OIG = "P3_decontaminated.jsonl.zst", "NI_decontaminated.jsonl.zst", "unified_chip2.jsonl"
TESTS = "test_sets"  # the folder beside that of the slice
ORDINARY = 40  # records of each file
P3_TASKS = ("harbour_quiz_after_reading", "farm_summary_short", "railway_topic_which")
NATURAL_TASKS = ("task101_mountain_question_answering", "task102_court_sentence_completion")

PLANTED: tuple[Planted, ...] = (
    Planted("line cut off (P3), array (OIG), record without targets (Natural Instructions)", 3, "malformed"),
    Planted("inputs of white space (P3), no turn of <human> with a word (OIG)", 2, "has_prompt"),
    Planted(
        "targets of white space (P3), an empty list of them (Natural Instructions), no answer (OIG)", 3, "has_answer"
    ),
    Planted("a record twice (OIG): dedup exact finds it", 1, ""),
    Planted("targets as a list: the first is the answer", 1, ""),
    Planted("a dialogue of several turns, one of several lines", 1, ""),
    Planted("a record of a test's own task with its passage: 10 words, the whole task leaves", 1, ""),
    Planted("a record of another task with 10 words of a test, and one with 9", 2, ""),
)


def _asked(chance: Chance, world: World) -> tuple[str, str]:
    """A passage with a question, and the answer."""
    person = chance.pick(world.people)
    passage = paragraph(chance, world, EXPOSITORY, 3, 5)
    return f"{passage}\n\nWho is meant by the passage?", f"\n{person} "


def _dialogue(chance: Chance, world: World) -> str:
    noun, place = chance.pick(world.nouns), chance.pick(world.places)
    return f"<human>: How do I look after a {noun} at {place}?\n<bot>: {paragraph(chance, world, NARRATIVE, 2, 4)}"


def _test(chance: Chance, number: int) -> dict[str, Any]:
    world = WORLDS["harbour"]
    asked, answer = _asked(chance, world)
    passage, _, question = asked.partition("\n\n")
    return {"id": f"harbour-{number}", "passage": passage, "question": question, "references": [answer.strip()]}


def build(folder: Path) -> None:
    """Write the three files into ``folder``, and two test sets into the folder :data:`TESTS` beside it."""
    chance = Chance("instruct")
    tests = [_test(chance, number) for number in range(6)]
    p3: list[Any] = []
    for _ in range(ORDINARY):
        asked, answer = _asked(chance, subject(chance)[1])
        p3.append({"inputs": asked, "targets": answer, "meta": {"task": chance.pick(P3_TASKS), "subset": "train"}})
    words = tests[0]["passage"].split()
    p3[3] = {"inputs": tests[1]["passage"], "targets": "Nobody.", "meta": {"task": P3_TASKS[0]}}
    p3[7] = {"inputs": f"Go on: {' '.join(words[:10])}", "targets": "no further.", "meta": {"task": P3_TASKS[1]}}
    p3[9] = {"inputs": f"Go on: {' '.join(words[:9])}", "targets": "no further.", "meta": {"task": P3_TASKS[1]}}
    p3 += [{"inputs": " \n", "targets": "Yes", "meta": {}}, {"inputs": "Yes?", "targets": " ", "meta": {}}]

    natural: list[Any] = []
    for _ in range(ORDINARY):
        asked, answer = _asked(chance, subject(chance)[1])
        definition = "Read the passage and name the person it is about. Answer with a name."
        meta = {"task_name": chance.pick(NATURAL_TASKS), "license": chance.pick(("MIT", "Apache-2.0"))}
        natural.append({"definition": definition, "inputs": asked, "targets": answer.strip(), "meta": meta})
    natural[5]["targets"] = ["the first", "the second"]
    natural.append({**natural[6], "targets": []})
    natural.append({key: value for key, value in natural[8].items() if key != "targets"})

    oig: list[Any] = []
    for _ in range(ORDINARY):
        oig.append({"text": _dialogue(chance, subject(chance)[1]), "metadata": {"source": "unified_chip2"}})
    oig[4]["text"] += "\n<human>: And then?\n<bot>: First this.\nThen that.\n"
    oig.append(oig[10])
    oig += [{"text": "<human>: Is anybody there?\n<bot>:"}, {"text": "<human>: \n<bot>: Yes."}, ["no", "object"]]

    p3_lines = [*map(_line, p3[:20]), _line(p3[20])[:60], *map(_line, p3[20:])]
    for name, lines in ((P3, p3_lines), (NATURAL, [*map(_line, natural)])):
        (folder / name).write_bytes(zstandard.ZstdCompressor(level=3).compress(_joined(lines)))
    (folder / OIG).write_bytes(_joined([*map(_line, oig)]))

    beside = folder.parent / TESTS
    beside.mkdir()
    (beside / "harbour_quiz.jsonl").write_bytes(_joined([*map(_line, tests)]))
    pages = [{"id": number, "text": page.split("\n")[1]} for number, page in enumerate((PAGES[0], PAGES[3]))]
    short = {"id": "short", "text": "Too short to be found."}
    (beside / "pages.jsonl").write_bytes(_joined([*map(_line, (*pages, short))]))


def _line(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False)


def _joined(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()
