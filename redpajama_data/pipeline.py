"""The work of a shard: read, steps, write. Every slice's per-shard tasks are these functions, bound to its reader and
steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from redpajama_data import dedup
from redpajama_data.document import BatchStep, Document, Drop, Reader, Rejected, Step
from redpajama_data.drop_sample import Text, utf8_length
from redpajama_data.errors import BrokenInput, RpjError
from redpajama_data.fingerprint import ModelFile
from redpajama_data.receipts import Output
from redpajama_data.shards import published_line, read_names, read_stored, stored_line
from redpajama_data.stages import Plan, Planned, RunSettings, Stage, Work, outputs, per_file
from redpajama_data.storage import RawFile
from redpajama_data.tasks import TaskContext
from redpajama_data.tokens import tokenizer_for

BATCH_DOCUMENTS = 256  # documents a step sees at a time: enough for the models' batch calls
BATCH_CHARACTERS = 4 << 20  # ... or this much text, so that long documents do not add up
MALFORMED = frozenset({"malformed", "defect"})
MALFORMED_MIN = 100  # malformed records before their share of a shard counts: a handful in a small file says nothing


@dataclass(frozen=True)
class Batched:
    """Marks a step that takes a list of documents (a tokenizer, a classifier)."""

    step: BatchStep


Steps = Sequence[Step | Batched]
Numbered = Iterator[tuple[int, Document]]
TextOf = Callable[[Document], Text]


def text_of(doc: Document) -> Text:
    """The text of a document. A slice whose documents get theirs only from the steps has a function of its own."""
    return doc.text


def run_steps_on(batch: list[Document], steps: Steps) -> list[Document | Drop]:
    """Apply steps to a batch; the result has a document or its drop for each, in order.

    A step that raises on one document costs that document alone: it leaves as ``defect``, with the error.
    """
    results: list[Document | Drop] = list(batch)
    for step in steps:
        if isinstance(step, Batched):
            live = [i for i, result in enumerate(results) if isinstance(result, Document)]
            for i, result in zip(live, step.step([results[i] for i in live]), strict=True):  # type: ignore[misc]
                results[i] = result
            continue
        for i, result in enumerate(results):
            if isinstance(result, Document):
                try:
                    results[i] = step(result)
                except (RpjError, MemoryError):
                    raise
                except Exception as error:
                    results[i] = Drop("defect", f"{_name(step)}: {type(error).__name__}: {error}"[:500])
    return results


def _name(step: Step) -> str:
    return str(getattr(step.func if isinstance(step, partial) else step, "__name__", step))


def read_records(
    context: TaskContext, path: str, reader: Reader, max_malformed: float, text_of: TextOf = text_of
) -> Numbered:
    """The documents of a raw file, numbered by their place among all its records; rejected ones go to the ledger.

    A file that breaks off keeps what came before; the receipt says where and why, and the ledger has an entry for the
    place. Raises :class:`BrokenInput` at the end when more than ``max_malformed`` of the records are malformed.
    """
    receipt, n = context.receipt, 0
    records = reader(path)
    while True:
        try:
            record = next(records, None)
        except BrokenInput as error:
            context.count_read()
            receipt.broken = f"{error.message} ({error.place})" if error.place else error.message
            context.drop(f"{path}#{n}", Drop("broken_input", error.place or error.message))
            break
        if record is None:
            break
        if isinstance(record, Rejected):
            context.count_read()
            context.drop(record.id, record.drop)
        else:
            context.count_read(text_of(record))
            yield n, record
        n += 1
    malformed = sum(receipt.dropped.get(rule, 0) for rule in MALFORMED)
    if malformed >= MALFORMED_MIN and malformed > max_malformed * receipt.read:
        raise BrokenInput(
            f"{path}: {malformed} of {receipt.read} records are malformed, more than {max_malformed:.0%}. "
            "Is this the slice's format? If it is, raise --set max_malformed.",
        )


def through(context: TaskContext, documents: Numbered, steps: Steps, text_of: TextOf = text_of) -> Numbered:
    """Send documents through steps in batches; drops go to the ledger in record order, the rest comes out."""
    if not steps:
        yield from documents
        return
    numbers: list[int] = []
    batch: list[Document] = []
    size = 0

    def run() -> Numbered:
        before = [(doc.id, text_of(doc)) for doc in batch]  # a step may change a document in place
        for n, (doc_id, text), result in zip(numbers, before, run_steps_on(batch, steps), strict=True):
            if isinstance(result, Drop):
                context.drop(doc_id, result, text=text)
            else:
                yield n, result

    for n, doc in documents:
        numbers.append(n)
        batch.append(doc)
        size += len(doc.text)
        if len(batch) >= BATCH_DOCUMENTS or size >= BATCH_CHARACTERS:
            yield from run()
            numbers, batch, size = [], [], 0
    yield from run()


def store(context: TaskContext, documents: Numbered, key: Callable[[Document], bytes] | None = None) -> None:
    """Write documents to this task's intermediate shard, and with ``key`` their 16-byte dedup keys beside it."""
    receipt = context.receipt
    with context.lines("shard") as out:
        if key is None:
            for n, doc in documents:
                receipt.bytes += utf8_length(doc.text)
                out.write(stored_line(n, doc))
        else:
            with context.file("keys", "keys") as file:
                keys = dedup.KeyWriter(file)
                for n, doc in documents:
                    receipt.bytes += utf8_length(doc.text)
                    keys.add(key(doc), n)
                    out.write(stored_line(n, doc))
                keys.close()
            context.records("keys", keys.count)
    receipt.kept = out.records


def publish(context: TaskContext, documents: Numbered, tokenizer: ModelFile, name: str | None = None) -> None:
    """Write documents to this task's published shard, count their tokens, and note their ids beside it for ``rpj
    explain``."""
    receipt = context.receipt
    receipt.tokenizer = tokenizer.sha256
    counted = through(context, documents, [encodable, Batched(partial(count_tokens, tokenizer=tokenizer))])
    text_bytes = tokens = 0
    with context.published(name) as out, context.lines("ids" if name is None else f"ids:{name}", _ids(name)) as ids:
        for _, doc in counted:
            out.write(published_line(doc))
            ids.write(doc.id.encode())
            receipt.characters += len(doc.text)
            text_bytes += doc.work["bytes"]
            tokens += doc.work["tokens"]
    context.texts("published" if name is None else f"published:{name}", text_bytes=text_bytes, tokens=tokens)
    receipt.kept += out.records


def _ids(name: str | None) -> str | None:
    return None if name is None else f"{name}.ids.zst"


def encodable(doc: Document) -> Document | Drop:
    """A text with a lone surrogate has no UTF-8 form and cannot be published. Puts the size of the others, in bytes of
    UTF-8, into ``work["bytes"]``."""
    try:
        doc.work["bytes"] = len(doc.text) if doc.text.isascii() else len(doc.text.encode())
    except UnicodeEncodeError as error:
        return Drop("encodable", f"U+{ord(doc.text[error.start]):04X} at character {error.start}")
    return doc


def count_tokens(docs: list[Document], *, tokenizer: ModelFile) -> list[Document | Drop]:
    """Put each text's token count into ``work["tokens"]``, unless this tokenizer has counted it already."""
    todo = [doc for doc in docs if doc.work.get("tokenizer") != tokenizer.sha256]
    for doc, count in zip(todo, tokenizer_for(tokenizer).count([doc.text for doc in todo]), strict=True):
        doc.work["tokens"], doc.work["tokenizer"] = count, tokenizer.sha256
    return list(docs)


# ------------------------------------------------------------------------------------------ work and stages


def clean_work(
    context: TaskContext,
    *,
    path: str,
    reader: Reader,
    steps: Steps,
    max_malformed: float,
    key: Callable[[Document], bytes] | None = None,
) -> None:
    """Read a raw file, run steps, store what stays with its dedup keys."""
    store(context, through(context, read_records(context, path, reader, max_malformed), steps), key)


def publish_work(
    context: TaskContext, *, path: str, reader: Reader, steps: Steps, max_malformed: float, tokenizer: ModelFile
) -> None:
    """Read a raw file, run steps, publish what stays: the whole of a slice that needs no dedup."""
    publish(context, through(context, read_records(context, path, reader, max_malformed), steps), tokenizer)


def publish_stored_work(
    context: TaskContext,
    *,
    shard: str,
    steps: Steps,
    tokenizer: ModelFile,
    rank: int = 0,
    inputs: str = "",
    verdicts: Sequence[str] = (),
) -> None:
    """Read an intermediate shard, drop what the verdicts name, run steps, publish what stays.

    ``rank`` is the shard's own, ``inputs`` the list of raw files by rank, to say which copy was kept.
    """
    documents = apply_verdicts(context, shard, rank=rank, inputs=inputs, verdicts=verdicts)
    publish(context, through(context, documents, steps), tokenizer)


def apply_verdicts(context: TaskContext, shard: str, *, rank: int, inputs: str, verdicts: Sequence[str]) -> Numbered:
    """The stored documents that no verdict drops; the others go to the ledger as ``duplicate`` with the copy that
    stayed."""
    found = dedup.read_verdicts([context.upstream(v) for v in verdicts], rank, memory=context.memory)
    verdict = next(found, None)
    names: list[str] = []  # read only when there is a duplicate to name
    for n, doc in read_stored(context.upstream(shard)):
        context.count_read(doc.text)
        if verdict is not None and verdict[0] == n:
            names = names or read_names(context.upstream(inputs))
            context.drop(doc.id, Drop("duplicate", f"{names[verdict[1]]}#{verdict[2]}"), text=doc.text)
            verdict = next(found, None)
        else:
            yield n, doc


def clean_stage(
    name: str,
    *,
    reader: Reader,
    steps: Steps,
    run: RunSettings,
    key: Callable[[Document], bytes] | None = None,
) -> Stage:
    """One task a raw file: :func:`clean_work`."""

    def work(raw: RawFile) -> Work:
        return partial(clean_work, path=raw.path, reader=reader, steps=steps, max_malformed=run.max_malformed, key=key)

    return per_file(name, work)


def publish_stage(name: str, *, reader: Reader, steps: Steps, run: RunSettings) -> Stage:
    """One task a raw file: :func:`publish_work`."""

    def work(raw: RawFile) -> Work:
        return partial(
            publish_work,
            path=raw.path,
            reader=reader,
            steps=steps,
            max_malformed=run.max_malformed,
            tokenizer=run.tokenizer,
        )

    return per_file(name, work)


def dedup_stage(name: str, *, reads: str) -> Stage:
    """One task a key partition: the first of equal keys wins. As many partitions as the memory of a task asks for."""

    def plan(plan: Plan) -> list[Planned]:
        receipts = plan.receipts[reads]
        keys = outputs(receipts, "keys")
        ranked = [(receipt.rank, out.path) for receipt, out in zip(receipts, keys, strict=True)]
        ranks = 1 + max((rank for rank, _ in ranked), default=0)
        ranges = dedup.partition_ranges(sum(out.records for out in keys), plan.memory)
        return [
            Planned(
                f"keys-{first:04d}-{end:04d}",
                partial(dedup.first_wins, keys=ranked, ranks=ranks, buckets=(first, end)),
                keys,
            )
            for first, end in ranges
        ]

    return Stage(name, plan, (reads,))


def publish_stored_stage(name: str, *, reads: str, verdicts: str, steps: Steps, run: RunSettings) -> Stage:
    """One task an intermediate shard: :func:`publish_stored_work`."""

    def plan(plan: Plan) -> list[Planned]:
        decided: list[Output] = outputs(plan.receipts[verdicts], "verdicts")
        return [
            Planned(
                receipt.task,
                partial(
                    publish_stored_work,
                    shard=receipt.outputs["shard"].path,
                    steps=steps,
                    tokenizer=run.tokenizer,
                    rank=receipt.rank,
                    inputs=plan.inputs_file.path,
                    verdicts=[out.path for out in decided],
                ),
                [receipt.outputs["shard"], plan.inputs_file, *decided],
            )
            for receipt in plan.receipts[reads]
        ]

    return Stage(name, plan, (reads, verdicts), whole=(verdicts,))
