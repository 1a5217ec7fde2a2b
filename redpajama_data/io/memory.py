"""What a task may hold: every bound in one place.

``--memory`` is shared by the tasks of a machine; a task's part is ``TaskContext.memory``. Beside it a process takes
about 100 MB for its libraries, and models what their files take. Nothing here may change a byte of a result: what does
not fit is done in more passes, or the task fails and says so; nothing is dropped for want of memory.

    what is held                                 bound                                     where
    rows of a dedup, bands, a matrix, edges      memory, in as many passes as that asks    partitions, external_sort
    verdicts on a shard                          a quarter of memory, a chunk a file       equal_keys.read_verdicts
    numbers or hashes of a shard                 a quarter of memory, then a mapped file   gathering.gathered
    what is said of several shards               a quarter of memory, fewer at once        gathering.gathered_each
    keys, bands, posts before they are written   a fixed number of rows, or of bytes       the writers' own constants
    documents before the steps                   256, or 4 M characters and one more       pipeline.through
    records of a shard, for jobs                 256, or 4 MB and one more                 batches
    one line of a file                           a 16th of memory, 16 MB at least          line_limit
    lines of a crawl shard, by part              16 parts of 3 MB, then 8 MB               crawl_mine
    lines of a text, for its signals             a million                                 jobs/signals, jobs/filter
    a compressed frame, decoded                  a step of 128 MB at most                  streams
    sample of dropped texts                      256 KB a rule                             drop_sample
    one record of WET, dump, archive             the readers' own limits (they are drops)  slices
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

# Of a line there are at once: its bytes, the text (up to four bytes a character), the line that is written, its
# compressed form, and what steps and tokenizer make of it. Measured while one of 15 MB is published with its tokens
# counted: 9 times its size for ASCII, 12 times for other text.
LINE_SHARE = 16
LINE_LEAST = 16 << 20  # bytes of a line that any task takes: as much as a batch of documents may be, and as any book is

_of_task: ContextVar[int | None] = ContextVar("memory of the task", default=None)


@contextlib.contextmanager
def of_task(memory: int) -> Iterator[None]:
    """Within it, readers hold no longer lines than fit into a task of ``memory`` bytes."""
    token = _of_task.set(memory)
    try:
        yield
    finally:
        _of_task.reset(token)


def line_limit(most: int) -> int:
    """Bytes of a line that may be held; ``most`` is the limit of the format, whatever the memory. Outside a task it is
    the only one."""
    memory = _of_task.get()
    return most if memory is None else min(most, max(LINE_LEAST, memory // LINE_SHARE))


def refuse_line(path: str, length: int) -> MemoryError:
    """The error for a line that the format allows and this task has no memory for."""
    return MemoryError(
        f"a line of {length >> 20} MB in {path}: a task needs {length * LINE_SHARE >> 20} MB for it, "
        f"it has {(_of_task.get() or 0) >> 20} MB"
    )
