"""N-grams that texts share with test sets: records that have one are marked or leave; and how much of each test set is
in the data.

    index    one task: the n-grams of the test sets, sorted by hash, in files that are mapped
    find     one task a shard: its records with an n-gram of a test, and which n-grams
    decide   one task: whole tasks that leave (rule ``task``); what was found, test set by test set and test by test
    keep     one task a shard: what stays is published, byte for byte; or all, the found ones with a mark in the meta

What a word and an n-gram is says :mod:`filters.ngrams`. Another way to treat what was found does not look again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Literal

import msgspec
import numpy as np
from pydantic import Field, model_validator

from filters import ngrams
from redpajama_data.config import Names, SliceSettings
from redpajama_data.corpus.columns import Batch, Columns, counted_batches
from redpajama_data.corpus.keep import VerdictsByNumber, keep, keep_tasks, without
from redpajama_data.corpus.listing import PATTERNS, Record, per_shard, slice_of, with_meta
from redpajama_data.document import Drop
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Job, Planned, RunSettings, Stage, StageInput
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io import storage
from redpajama_data.io.shards import read_jsonl, to_json
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from slices.jobs.decontaminate_index import Against, bound, index_work, list_sets, open_index
from slices.jobs.decontaminate_report import SHARED, Gone, decide_work, tasks_by_set

FIELD = "shared_with_tests"
PRESETS: dict[str, dict[str, Any]] = {
    "redpajama-1t": {"ngram": 13},
    "redpajama-instruct": {"ngram": 10, "rules": ("task", "instance")},
}
"""``redpajama-1t``: contamination_analysis of RedPajama-Data-1T, generate_ngrams.py --n 13. ``redpajama-instruct``: the
card of RedPajama-Data-Instruct: tasks of HELM leave whole, then every instance that shares a 10-gram with HELM."""


class DecontaminateSettings(SliceSettings):
    """Settings of the decontamination."""

    against: Names = Field((), description="test sets: JSON lines, a test a line; files, globs, folders, URLs")
    fields: Names = Field((), description="fields of a test that are looked at; default: every string in it")
    ngram: int = Field(13, ge=1, le=ngrams.NGRAM_MAX, description="words that a text and a test must share in a row")
    preset: Literal["redpajama-1t", "redpajama-instruct"] | None = Field(
        None, description="published rules: 13 words; or 10 words, whole tasks first"
    )
    rules: Names = Field(("instance",), description="instance: a record with an n-gram; task: all records of its task")
    same_task: Names = Field(
        (),
        description="rule task: SET=TASK, a test set (or a task in it) and a task of the data; * stands for anything",
    )
    action: Literal["drop", "mark"] = Field("drop", description="what becomes of the records")
    field: str = Field(FIELD, min_length=1, description="field of the meta that gets the mark")

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        """A preset is the default of what is not given."""
        name = given.get("preset") if isinstance(given, Mapping) else None
        return {**PRESETS.get(name, {}), **given} if isinstance(name, str) else given

    @model_validator(mode="after")
    def _known(self) -> DecontaminateSettings:
        if unknown := set(self.rules) - {"instance", "task"} or (set() if self.rules else {"none"}):
            raise ValueError(f"rules {', '.join(sorted(unknown))}: expected instance, task, or both")
        tasks_by_set(self.same_task)
        return self


class Verdict(msgspec.Struct):
    """A record that shares n-grams with tests: its number, the first n-gram, the first test that has it, how many
    different n-grams it shares, with which sets."""

    n: int
    ngram: str
    test: str
    ngrams: int
    sets: list[str]


# ---------------------------------------------------------------------------------------------- find


def find_work(
    context: TaskContext, *, path: str, index: list[tuple[str, str, str]], ngram: int, max_malformed: float
) -> None:
    """Look for the tests' n-grams in a shard: a verdict for each record that has one, the pairs of n-gram and record,
    the pairs of the records' tasks and the tests'. The receipt notes how many records each set is in."""
    tests = open_index(context, index, ngram)
    receipt = context.receipt
    pairs: dict[tuple[str, int], list[Any]] = {}
    of_set: dict[str, int] = {}
    shared = 0

    @lru_cache(1 << 16)
    def kinds_of(row: int) -> list[tuple[int, int]]:
        return [(kind, test) for kind, test in tests.kinds_of(tests.of_row(row)).tolist()]

    with context.lines("verdicts") as verdicts, context.file("shared", "shared") as file:
        for batch in counted_batches(context, path, max_malformed=max_malformed):
            receipt.kept += len(batch.n)
            for place, found in _by_text(batch, tests.index).items():
                rows = np.empty(len(found), SHARED)
                rows["row"], rows["n"] = sorted(found), batch.n[place]
                file.write(rows.tobytes())
                shared += len(rows)
                first_row, first = next(iter(found.items()))
                kinds = {kind: (row, test) for row in reversed(found) for kind, test in kinds_of(row)}
                sets = sorted({tests.kinds[kind].set for kind in kinds})
                name = tests.name(min(test for _, test in kinds_of(first_row)))
                verdicts.write(to_json(Verdict(batch.n[place], first, name, len(found), sets)))
                for name in sets:
                    of_set[name] = of_set.get(name, 0) + 1
                task = _meta(batch, place).get("task")
                if not isinstance(task, str):
                    continue
                for kind, (row, test) in kinds.items():
                    pair = pairs.setdefault((task, kind), [0, batch.n[place], found[row], tests.name(test)])
                    pair[0] += 1
    context.records("shared", shared)
    with context.lines("pairs") as out:
        for (task, kind), (documents, n, words, test) in sorted(pairs.items()):
            one = tests.kinds[kind]
            out.write(to_json([task, one.set, one.task, documents, f"{path}#{n}", words, test]))
    receipt.bytes = receipt.read_bytes
    receipt.notes |= {"of": slice_of(path), "sets": dict(sorted(of_set.items())), "documents": verdicts.records}


def _by_text(batch: Batch, index: ngrams.Index) -> dict[int, dict[int, str]]:
    """For each text with hits the rows and words of its different n-grams, in the order of the text."""
    found: dict[int, dict[int, str]] = {}
    for hit in ngrams.hits(batch.texts, index):
        found.setdefault(hit.text, {}).setdefault(hit.row, hit.ngram)
    return found


def _meta(batch: Batch, place: int) -> dict[str, Any]:
    return Record(batch.n[place], batch.lines[place], batch.texts[place], batch.metas[place]).meta()


# ---------------------------------------------------------------------------------------------- keep


def keep_work(
    context: TaskContext,
    *,
    path: str,
    name: str,
    verdicts: str | None,
    gone: str | None,
    ngram: int,
    mark: str | None,
    records: int,
    tokenizer: ModelFile | None,
) -> None:
    """Publish a shard without the records that a verdict or the task rule names; with ``mark``, all of it, that field
    in the meta of these. ``verdicts`` is None without the rule ``instance``, ``gone`` without ``task``.

    Raises :class:`BrokenInput` when there are not as many records as before.
    """
    read = read_jsonl(context.upstream(verdicts)) if verdicts else iter(())
    found = VerdictsByNumber((v["n"], msgspec.convert(v, Verdict)) for v in read)
    tasks = (
        msgspec.json.decode(storage.read_bytes(context.upstream(gone)) or b"{}", type=dict[str, Gone]) if gone else {}
    )

    def staying(batch: Batch) -> Columns:
        named: dict[int, tuple[str, str, dict[str, Any]]] = {}
        for n, one in found.on(batch):
            named[n] = ("shared_ngram", one.ngram, {"test": one.test, "ngrams": one.ngrams, "sets": one.sets})
        for place, n in enumerate(batch.n) if tasks else ():
            task = _meta(batch, place).get("task")
            if isinstance(task, str) and (why := tasks.get(task)) is not None:
                named[n] = ("task_of_test", why.ngram, {"task": task, "test": why.test, "document": why.document})
        if not named:
            return batch.n, batch.lines, batch.texts
        if mark is None:
            for place, n in enumerate(batch.n):
                if n in named:
                    rule, words, detail = named[n]
                    context.drop(f"{path}#{n}", Drop(rule, words, ngram), text=batch.texts[place], detail=detail)
            return without(batch, named)
        lines = list(batch.lines)
        for place, n in enumerate(batch.n):
            if n in named:
                rule, words, detail = named[n]
                record = Record(n, lines[place], batch.texts[place], batch.metas[place])
                lines[place] = with_meta(record, {mark: {"rule": rule, "ngram": words, **detail}}).line
        return batch.n, lines, batch.texts

    keep(context, staying, path=path, name=name, records=records, tokenizer=tokenizer)


# ---------------------------------------------------------------------------------------------- stages


def _plan_index(given: StageInput, *, sets: list[Against], files: list[RawFile], settings: Any) -> list[Planned]:
    work = partial(
        index_work, sets=[(one.name, one.path) for one in sets], ngram=settings.ngram, fields=settings.fields
    )
    return [Planned("tests", work, files)]


def _plan_find(given: StageInput, *, ngram: int, max_malformed: float) -> list[Planned]:
    (made,) = given.receipts["index"]
    work = partial(find_work, index=bound(made.outputs), ngram=ngram, max_malformed=max_malformed)
    shards = per_shard("find", lambda raw, _: partial(work, path=raw.path)).plan(given)
    return [Planned(task.name, task.work, [*task.reads, *made.outputs.values()]) for task in shards]


def _plan_decide(given: StageInput, *, settings: DecontaminateSettings, sets: list[str]) -> list[Planned]:
    (made,) = given.receipts["index"]
    receipts = given.receipts["find"]
    work = partial(
        decide_work,
        index=bound(made.outputs),
        ngram=settings.ngram,
        sets=sets,
        found=[(r.rank, given.inputs[r.rank].path, r.outputs["shared"].path) for r in receipts],
        pairs=[r.outputs["pairs"].path for r in receipts],
        counts=[(r.notes["of"], r.kept, r.notes["documents"], r.notes["sets"]) for r in receipts],
        same=settings.same_task if "task" in settings.rules else None,
        made_with={
            "shards": len(receipts),
            "shards_given": len(given.inputs),
            "ngram": settings.ngram,
            "rules": list(settings.rules),
        },
    )
    files = [r.outputs[role] for r in receipts for role in ("shared", "pairs")]
    return [Planned("tests", work, [*made.outputs.values(), *files])]


def _plan_keep(given: StageInput, *, settings: DecontaminateSettings, run: RunSettings) -> list[Planned]:
    (decided,) = given.receipts["decide"]
    gone = decided.outputs["gone"].path if "task" in settings.rules else None
    mark = settings.field if settings.action == "mark" else None
    instance = "instance" in settings.rules

    def work(receipt: Receipt) -> partial[None]:
        verdicts = receipt.outputs["verdicts"].path if instance else None
        return partial(keep_work, verdicts=verdicts, gone=gone, ngram=settings.ngram, mark=mark)

    planned = keep_tasks(given, reads="find", work=work, tokenizer=run.counter, beside=[decided.outputs["gone"]])
    verdicts = {receipt.task: receipt.outputs["verdicts"] for receipt in given.receipts["find"]}
    return [Planned(task.name, task.work, [*task.reads, verdicts[task.name]]) for task in planned]


def stages(settings: DecontaminateSettings, run: RunSettings) -> list[Stage]:
    """Index, find, decide, keep. Raises :class:`UsageError` when there is no test set."""
    sets, files = list_sets(settings.against)
    find = partial(_plan_find, ngram=settings.ngram, max_malformed=run.max_malformed)
    decide = partial(_plan_decide, settings=settings, sets=[one.name for one in sets])
    return [
        Stage("index", partial(_plan_index, sets=sets, files=files, settings=settings)),
        Stage("find", find, ("index",), whole=("index",)),
        Stage("decide", decide, ("index", "find"), whole=("index",)),
        Stage("keep", partial(_plan_keep, settings=settings, run=run), ("find", "decide"), whole=("decide",)),
    ]


JOB = Job(
    name="decontaminate",
    summary="records that share n-grams with test sets are marked or leave",
    revision=1,
    patterns=PATTERNS,
    settings=DecontaminateSettings,
    stages=stages,
)
