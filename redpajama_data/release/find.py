"""Is this in the data, where, and from which raw record?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from redpajama_data.corpus.listing import Record, has_shards
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.root_paths import WITHIN
from redpajama_data.release import index, search
from redpajama_data.release.search import PublishedShard, Query
from redpajama_data.reports import explanation

_PLACE = re.compile(r"^(?:root:/)?(?P<path>[^#]+\.jsonl\.zst)#(?P<line>\d+)$")


@dataclass(frozen=True)
class Found:
    """A document: its shard from the root, its line (from 1), the id of its raw record, its address (None: none is
    known), and some of its text."""

    shard: str
    line: int
    record: str
    url: str | None
    text: str


@dataclass
class Looked:
    """How many shards a search has to look through, of how many; ``index``: whether the root has one."""

    through: int = 0
    of: int = 0
    index: bool = False


def find(
    root: str, query: Query, shown: str = "", *, workers: int = 1, looked: Looked | None = None
) -> Iterator[Found]:
    """The documents in all that slices and jobs have published that meet a query, in order. ``shown`` is what their
    text is shown around. Shards that the index of the root rules out are not read; ``looked`` is told of how many.
    Raises :class:`UsageError` for what is no root, :class:`BrokenInput` for a damaged shard."""
    every = search.published_shards(root)
    by_path = {shard.out.path: shard for shard in every}
    known = index.load(root)
    shards = [shard for shard in every if not known.rules_out(shard.out.sha256, query.keys)]
    if looked is not None:
        looked.through, looked.of, looked.index = len(shards), len(every), bool(known)
    for shard, seen in search.search(root, shards, query, partial(_shown, part=shown), workers=workers):
        ids = search.ids_at(root, shard, [n for n, _ in seen])
        for (n, (url, text)), doc_id in zip(seen, ids, strict=True):
            yield Found(shard.out.path, n + 1, origin(root, by_path, doc_id), url, text)


def places(root: str) -> list[str]:
    """What the index is made of: the root for what its slices published, and the folder of each job that published."""
    notes = slices_of(root)
    jobs = [note.slice for note in notes if note.kind == "corpus" and has_shards(root, note.slice)]
    return [*([root] if has_shards(root) else []), *(storage.join(root, job) for job in jobs)]


def _shown(record: Record, *, part: str) -> tuple[str | None, str]:
    return search.url_of(record), search.around(record.text, part)


def origin(root: str, shards: dict[str, PublishedShard], doc_id: str) -> str:
    """The id of the raw record behind a published line: those of jobs name the line that the job read."""
    while doc_id.startswith(WITHIN):
        path, _, number = doc_id.removeprefix(WITHIN).rpartition("#")
        if path not in shards:
            return doc_id
        doc_id = search.ids_at(root, shards[path], [int(number)])[0]
    return doc_id


def place_of(root: str, doc_id: str) -> list[tuple[str, int]]:
    """The shards and lines (from 0) of a document by any of its ids: that of its raw record, of its line in the root
    (``root:/c4/NAME.jsonl.zst#17``) or in a release (``c4/NAME.jsonl.zst#000000017``).

    Raises :class:`UsageError` when the root has no such document.
    """
    match = _PLACE.match(doc_id)
    if match:
        shards = {shard.out.path: shard for shard in search.published_shards(root)}
        line = int(match["line"])
        names = [path for path in shards if path == match["path"] or path.endswith(f"/{match['path']}")]
        exact = [path for path in names if path == match["path"]] or names
        found = [(path, line) for path in exact if line < shards[path].out.records]
        if found:
            return found
    fates = explanation.explain(root, doc_id)
    kept = [(fate.kept, fate.line - 1) for fate in fates if fate.kept is not None and fate.line is not None]
    if not kept:
        raise UsageError(f"{doc_id}: it was not published. Why: rpj explain {root} '{doc_id}'")
    return kept


def at(root: str, doc_id: str) -> Iterator[Found]:
    """The documents of an id. Raises as :func:`place_of`."""
    shards = {shard.out.path: shard for shard in search.published_shards(root)}
    for path, line in place_of(root, doc_id):
        record = search.record_at(root, path, line)
        raw = origin(root, shards, f"{WITHIN}{path}#{line}")
        yield Found(path, line + 1, raw, search.url_of(record), search.around(record.text, ""))
