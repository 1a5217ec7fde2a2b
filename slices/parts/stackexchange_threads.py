"""The work of the Stack Exchange stages: posts to buckets, buckets to threads, threads to published shards.

The published script holds every answer of a site in memory. Here the posts of a dump are first laid out by the thread
they belong to, so that a task groups one range of threads in the memory it has; then the threads are laid out by the
place of their question in the dump, so that a task publishes one range of those, in file order.

    posts    read = kept + dropped: rows of the dump
    threads  read = kept + dropped: questions, and answers that have none; an answer that joined a question is in that
             question's document and counted in notes["joined"]. Rows kept by posts == threads' read + joined.
    publish  read = kept + dropped: documents
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, cast
from zlib import crc32

import msgspec

from filters.stackexchange import Post, assemble, orphan_answer
from redpajama_data.document import Document, Drop
from redpajama_data.engine.drop_sample import utf8_length
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import to_json
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.bad_records import check_shares
from redpajama_data.pipeline.work import Numbered, Steps, publish, read_records, through
from slices.parts.record_buckets import Packed, RecordWriter, packed_sizes, read_packed, unpack
from slices.readers.stackexchange_dump import read_posts

ROWS_A_STRETCH = 8192  # consecutive rows of a dump whose documents share a bucket: about 10 MB of text
STRETCHES_A_SHARD = 32  # ... and a published shard is 262,144 rows, about 300 MB

_encode = msgspec.msgpack.Encoder().encode
_decode_posts = msgspec.msgpack.Decoder(list[Post]).decode
_decode_numbered = msgspec.msgpack.Decoder(list[tuple[int, msgspec.Raw]]).decode
_decode_document = msgspec.msgpack.Decoder(tuple[str, str, dict[str, Any]]).decode


def leave_dump_out(context: TaskContext, *, path: str, drop: Drop) -> None:
    """Work for a dump that is not read: one ledger entry for all of it, under its path."""
    context.count_read()
    context.drop(path, drop)


def store_posts(context: TaskContext, *, path: str, buckets: int, max_malformed: float) -> None:
    """Read a dump and lay its posts out in ``buckets`` buckets by their thread: a question's id, an answer's parent.

    Notes for the next stages: ``records`` of the dump, ``bytes`` stored, how many ``questions`` and ``answers``, and,
    when there are any, the posts that were ``mended``, by what was wrong.
    """
    receipt = context.receipt
    answers = 0
    mended: Counter[str] = Counter()
    # The reader yields posts where others yield documents; nothing looks inside before the threads are put together.
    read = read_records(
        context, path, cast(Any, partial(read_posts, mended=mended)), max_malformed, cast(Any, post_text)
    )
    posts = cast("Iterator[tuple[int, Post]]", read)
    with context.file("posts", "posts") as file, RecordWriter(file, buckets, context.memory // 4) as writer:
        for _, post in posts:
            answers += post.parent is not None
            thread = post.id if post.parent is None else post.parent
            writer.add(crc32(thread.encode()) % buckets, _encode(post))
            receipt.kept += 1
        check_shares(context)
        writer.close()
    context.records("posts", receipt.kept)
    receipt.bytes = receipt.read_bytes  # no post with a text is dropped here
    receipt.notes = {
        "source": path,
        "records": receipt.read - receipt.dropped.get("broken_input", 0),
        "buckets": buckets,
        "bytes": writer.size,
        "questions": receipt.kept - answers,
        "answers": answers,
        **({"mended": dict(mended)} if mended else {}),
    }


def leave_site_out(context: TaskContext, *, posts: str, buckets: tuple[int, int], source: str, drop: Drop) -> None:
    """Work for a range of buckets of a site that was not chosen: a ledger entry for each of its posts."""
    for pieces in _packed_buckets(context, posts, buckets):
        for post in unpack(pieces, _decode_posts):
            text = post_text(post)
            context.count_read(text)
            context.drop(f"{source}#{post.ordinal}", drop, text=text)
    context.receipt.notes = {"source": source, "buckets": buckets, "joined": 0}


def join_threads(
    context: TaskContext, *, posts: str, buckets: tuple[int, int], records: int, source: str, steps: Steps
) -> None:
    """Group one range of buckets of ``posts`` to threads, run ``steps`` on them, lay the documents out by stretches.

    ``records`` is how many the dump ``source`` has. A thread comes to the steps as a document without text, with
    ``question`` and ``answers`` (posts in file order) in ``work``. The file ``joined`` lists the answers that are part
    of a question's document.
    """
    receipt = context.receipt
    with context.file("threads", "threads") as file, context.lines("joined") as joined:

        def threads() -> Numbered:
            rows = 0
            for pieces in _packed_buckets(context, posts, buckets):
                bucket = unpack(pieces, _decode_posts)
                rows += len(bucket)
                questions, answers = group(bucket)
                for question in questions:
                    work = {"question": question, "answers": answers.get(question.id, [])}
                    thread = Document(f"{source}#{question.ordinal}", "", {}, work)
                    context.count_read(thread_text(thread))
                    yield question.ordinal, thread
                first = {question.id: question.ordinal for question in reversed(questions)}
                for parent, own in answers.items():
                    for answer in own:
                        answer_id = f"{source}#{answer.ordinal}"
                        if parent in first:
                            joined.write(to_json({"id": answer_id, "document": f"{source}#{first[parent]}"}))
                        else:
                            text = post_text(answer)
                            context.count_read(text)
                            context.drop(answer_id, orphan_answer(answer), text=text)
            assert rows == receipt.read + joined.records, f"{rows} rows, {receipt.read} read, {joined.records} joined"

        with RecordWriter(file, stretches(records), context.memory // 4) as writer:
            for n, doc in through(context, threads(), steps, thread_text):
                receipt.bytes += utf8_length(doc.text)
                writer.add(n // ROWS_A_STRETCH, _encode((n, (doc.id, doc.text, doc.meta))))
                receipt.kept += 1
            writer.close()
    context.records("threads", receipt.kept)
    receipt.notes = {"source": source, "buckets": buckets, "joined": joined.records}


def post_text(post: Post) -> str:
    """What a post has in place of a text until its thread is put together: title and body, HTML."""
    return (post.title or "") + (post.body or "")


def thread_text(thread: Document) -> str:
    """The same of a thread."""
    return "".join(map(post_text, (thread.work["question"], *thread.work["answers"])))


def group(posts: Sequence[Post]) -> tuple[list[Post], dict[str, list[Post]]]:
    """Questions in file order, and the answers of each question id in file order.

    As published: whatever has a parent is an answer, and two questions of one id both get its answers.
    """
    questions: list[Post] = []
    answers: dict[str, list[Post]] = {}
    for post in posts:
        if post.parent is None:
            questions.append(post)
        else:
            answers.setdefault(post.parent, []).append(post)
    return questions, answers


def assemble_thread(doc: Document, **bound: Any) -> Document | Drop:
    """The step that makes a thread's text: :func:`filters.stackexchange.assemble` with what is ``bound``."""
    return assemble(doc.work["question"], doc.work["answers"], **bound)


def stretches(records: int) -> int:
    """Stretches of a dump of that many records."""
    return max(1, -(-records // ROWS_A_STRETCH))


def publish_stretches(
    context: TaskContext, *, threads: Sequence[str], wanted: tuple[int, int], source: str, tokenizer: ModelFile
) -> None:
    """Publish the documents of the ``wanted`` stretches of a dump, from all files of its threads, in its order."""
    context.receipt.notes = {"source": source}
    publish(context, _in_order(context, [context.upstream(path) for path in threads], *wanted), tokenizer)


def _in_order(context: TaskContext, threads: Sequence[str], first: int, end: int) -> Numbered:
    sizes = [sum(column) for column in zip(*(packed_sizes(path, first, end) for path in threads), strict=True)]
    for start, stop in _groups(sizes, context.memory // 8):  # packed to about 40 %, held unpacked
        records = [
            record
            for path in threads
            for _, pieces in read_packed(path, first + start, first + stop)
            for record in unpack(pieces, _decode_numbered)
        ]
        records.sort(key=itemgetter(0))
        for n, data in records:
            doc = Document(*_decode_document(data))
            context.count_read(doc.text)
            yield n, doc


def _groups(sizes: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Ranges of neighbours that sum up to at most ``limit``, or are one."""
    start = held = 0
    for place, size in enumerate(sizes):
        if held and held + size > limit:
            yield start, place
            start, held = place, 0
        held += size
    yield start, len(sizes)


def _packed_buckets(context: TaskContext, posts: str, buckets: tuple[int, int]) -> Iterator[Packed]:
    """The buckets of a range in order, packed: as many at a time as a quarter of the memory holds."""
    path = context.upstream(posts)
    for start, stop in _groups(packed_sizes(path, *buckets), context.memory // 4):
        for _, pieces in read_packed(path, buckets[0] + start, buckets[0] + stop):
            yield pieces
