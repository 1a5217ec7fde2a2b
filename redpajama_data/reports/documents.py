"""The published documents of a root, one by one, each with the id of its raw record."""

from __future__ import annotations

from collections.abc import Iterator

from redpajama_data.document import Document
from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.shards import read_jsonl

_ID_MAX = 1 << 20  # bytes of a line of ids: a path and a number


def documents(root: str, slice: str | None = None, *, job: str | None = None) -> Iterator[Document]:
    """The documents that the slices of a root published, or one slice; of the job of that name what it left of them.

    They come slice by slice in the order of the published table, each in the order of the corpus, as a stream: one
    document is held at a time. ``id`` is the raw record's, as ``explain`` takes it; after a job it names the line of
    the shard that the job read. Shards that changed since they were written are not noticed here: ``verify`` does that.

    Raises :class:`UsageError` at once when the root has no such slice or job, :class:`BrokenInput` at a damaged shard.
    """
    notes = slices_of(root)
    kind = "corpus" if job else "slice"
    names = [note.slice for note in notes if note.kind == kind]
    wanted = [name for name in names if name == job] if job else names
    if not wanted:
        what = f"job {job!r}" if job else "slice"
        raise UsageError(f"{root}: no documents of a {what}. There are {', '.join(names) or 'none'}: rpj status {root}")
    shards = [(out, ids) for name in wanted for out, ids in _published(root, name)]
    if slice is not None:
        at = 1 if job else 0  # <slice>/<shard>, <job>/<slice>/<shard>
        there = list(dict.fromkeys(out.path.split("/")[at] for out, _ in shards))
        shards = [(out, ids) for out, ids in shards if out.path.split("/")[at] == slice]
        if slice not in (*there, *(() if job else names)):
            raise UsageError(f"{root}: no documents of {slice}. There are {', '.join(there) or 'none'}.")
    return _documents(root, shards)


def _published(root: str, name: str) -> list[tuple[Output, Output]]:
    """The published shards of a slice or job with their files of ids, sorted by path."""
    found = []
    for receipt in receipts.load_all(root, name):
        for role, out in receipt.outputs.items():
            first, _, part = role.partition(":")
            if first == "published":
                found.append((out, receipt.outputs[f"ids:{part}" if part else "ids"]))
    return sorted(found, key=lambda pair: pair[0].path)


def _documents(root: str, shards: list[tuple[Output, Output]]) -> Iterator[Document]:
    for out, ids in shards:
        lines = iter_lines(storage.join(root, ids.path), max_bytes=_ID_MAX)
        for record in read_jsonl(storage.join(root, out.path)):
            line = next(lines, None)
            if not isinstance(line, bytes):
                raise BrokenInput(f"{ids.path}: fewer ids than {out.path} has documents. Delete both, then run again.")
            yield Document(line.decode(), record["text"], record.get("meta") or {})
