"""The work of a shard: read, steps, write. Every slice's per-shard tasks are these functions, bound to its reader and
steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from redpajama_data.dedup import equal_keys
from redpajama_data.dedup.copies import Copies
from redpajama_data.document import BatchStep, Document, Drop, Reader, Rejected, Step
from redpajama_data.engine.drop_sample import Text, utf8_length
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.engine.tombstones import Forgotten, drop_of
from redpajama_data.errors import BrokenInput, RpjError
from redpajama_data.io.first_bytes import not_that
from redpajama_data.io.shards import published_line, read_stored, stored_line
from redpajama_data.io.storage import stat
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import tokenizer_for
from redpajama_data.pipeline.bad_records import check_shares, defect, isolated, reject
from redpajama_data.pipeline.copies import read_copies

BATCH_DOCUMENTS = 256  # documents a step sees at a time: enough for the models' batch calls
BATCH_CHARACTERS = 4 << 20  # ... or this much text, so that long documents do not add up


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
            live = [(i, result) for i, result in enumerate(results) if isinstance(result, Document)]
            found = isolated(step.step, [doc for _, doc in live]) if live else []
            for (i, _), result in zip(live, found, strict=True):
                results[i] = result
            continue
        for i, result in enumerate(results):
            if isinstance(result, Document):
                try:
                    results[i] = step(result)
                except (RpjError, MemoryError):
                    raise
                except Exception as error:
                    results[i] = defect(step, error)
    return results


def read_records(
    context: TaskContext,
    path: str,
    reader: Reader,
    max_malformed: float,
    text_of: TextOf = text_of,
    id_prefix: str | None = None,
) -> Numbered:
    """The documents of a raw file, numbered by their place among all its records; rejected ones go to the ledger.

    ``id_prefix`` is what the ids of ``reader`` begin with, where that is not the path and ``#``: those of damaged
    places begin so as well.

    A file that breaks off keeps what came before, a damaged place costs what lies in it; the receipt says where and
    why, and the ledger has an entry for the place. Whether more than ``max_malformed`` of the records are malformed is
    asked by :func:`~redpajama_data.pipeline.bad_records.check_shares`, at the end of :func:`through`: a task may read
    several files, and steps find some as well. Raises as :func:`~redpajama_data.pipeline.bad_records.reject` does.
    """
    context.max_malformed = max_malformed
    context.files_read.append(path)
    prefix = f"{path}#" if id_prefix is None else id_prefix
    n = 0
    records = reader(path)
    forgotten = context.forgotten
    while True:
        try:
            record = next(records, None)
        except BrokenInput as error:
            context.damaged(f"{prefix}{n}", error)
            break
        if record is None:
            if n == 0 and stat(path).bytes == 0:
                context.damaged(f"{prefix}0", not_that(path, b"", "raw input"))
            break
        if isinstance(record, BrokenInput):
            context.damaged(f"{prefix}{n}", record)
        elif isinstance(record, Rejected):
            context.count_read()
            reject(context, record.id, record.drop)
        elif forgotten is not None and (stone := forgotten.of_record(record.id)) is not None:
            context.count_read(text_of(record))
            context.drop(record.id, drop_of(stone), text=text_of(record))
        else:
            context.count_read(text_of(record))
            yield n, record
        n += 1


def through(context: TaskContext, documents: Numbered, steps: Steps, text_of: TextOf = text_of) -> Numbered:
    """Send documents through steps in batches; drops go to the ledger in record order, the rest comes out.

    ``text_of`` gives what a document has in place of a text as it comes: batches are sized by it.
    Raises at the end as :func:`~redpajama_data.pipeline.bad_records.check_shares` does.
    """
    numbers: list[int] = []
    batch: list[Document] = []
    before: list[tuple[str, Text]] = []  # a step may change a document in place
    size = 0

    def run() -> Numbered:
        for n, (doc_id, text), result in zip(numbers, before, run_steps_on(batch, steps), strict=True):
            if isinstance(result, Drop):
                context.drop(doc_id, result, text=text)
            else:
                yield n, result

    if steps:
        for n, doc in documents:
            text = text_of(doc)
            numbers.append(n)
            batch.append(doc)
            before.append((doc.id, text))
            size += len(text)
            if len(batch) >= BATCH_DOCUMENTS or size >= BATCH_CHARACTERS:
                yield from run()
                numbers, batch, before, size = [], [], [], 0
        yield from run()
    else:
        yield from documents
    check_shares(context)


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
                keys = equal_keys.KeyWriter(file)
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
    steps: list[Step | Batched] = [encodable, Batched(partial(count_tokens, tokenizer=tokenizer))]
    if context.forgotten is not None:
        steps.insert(1, partial(not_forgotten, forgotten=context.forgotten))
    counted = through(context, documents, steps)
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


def not_forgotten(doc: Document, *, forgotten: Forgotten) -> Document | Drop:
    """A document that this root must not hold, by its text or its raw record."""
    stone = forgotten.of_text(doc.text) or forgotten.of_record(doc.id)
    return doc if stone is None else drop_of(stone)


def count_tokens(docs: list[Document], *, tokenizer: ModelFile) -> list[Document | Drop]:
    """Put each text's token count into ``work["tokens"]``, unless this tokenizer has counted it already."""
    todo = [doc for doc in docs if doc.work.get("tokenizer") != tokenizer.sha256]
    for doc, count in zip(todo, tokenizer_for(tokenizer).count([doc.text for doc in todo]), strict=True):
        doc.work["tokens"], doc.work["tokenizer"] = count, tokenizer.sha256
    return list(docs)


# ---------------------------------------------------------------------------------------------------- work


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
    context: TaskContext,
    *,
    path: str,
    reader: Reader,
    steps: Steps,
    max_malformed: float,
    tokenizer: ModelFile,
    text_of: TextOf = text_of,
    id_prefix: str | None = None,
) -> None:
    """Read a raw file, run steps, publish what stays: the whole of a slice that needs no dedup. ``text_of`` and
    ``id_prefix`` as in :func:`read_records`."""
    documents = read_records(context, path, reader, max_malformed, text_of, id_prefix)
    publish(context, through(context, documents, steps, text_of), tokenizer)


def publish_stored_work(
    context: TaskContext,
    *,
    shard: str,
    steps: Steps,
    tokenizer: ModelFile,
    copies: Copies | None = None,
) -> None:
    """Read an intermediate shard, drop what ``copies`` name, run steps, publish what stays."""
    documents = without_copies(context, shard, copies)
    publish(context, through(context, documents, steps), tokenizer)


def without_copies(context: TaskContext, shard: str, copies: Copies | None) -> Numbered:
    """The stored documents that are no copies; those go to the ledger as ``duplicate`` with the one that stayed."""
    found = read_copies(context, copies)
    copy = next(found, None)
    for n, doc in read_stored(context.upstream(shard)):
        context.count_read(doc.text)
        if copy is not None and copy[0] == n:
            context.drop(doc.id, Drop("duplicate", f"{copy[1]}#{copy[2]}"), text=doc.text)
            copy = next(found, None)
        else:
            yield n, doc
