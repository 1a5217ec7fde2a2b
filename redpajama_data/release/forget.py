"""Takes documents out of a root: of everything that is published, and of what is stored on the way there.

What is published is rewritten without them, with receipts and ledgers that say so, all together or not at all
(:mod:`redpajama_data.engine.replacing`). A tombstone stays (:mod:`redpajama_data.engine.tombstones`). Raw files are the
user's and stay.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from redpajama_data.corpus.listing import Record
from redpajama_data.engine import ownership, receipts, replacing, tombstones
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.engine.tombstones import Tombstone
from redpajama_data.errors import RpjError, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.lock import hold
from redpajama_data.io.root_paths import WITHIN, task_path
from redpajama_data.models.model_file import ModelFile
from redpajama_data.release import search
from redpajama_data.release.gone import Gone
from redpajama_data.release.parquet import DIGITS
from redpajama_data.release.rewriting import Rewriting
from redpajama_data.release.search import PublishedShard, Query
from redpajama_data.reports import manifest

_POSTS = (".posts", ".threads")  # files of one site's posts together: not taken apart here


@dataclass
class Forgot:
    """What was taken out: documents by shard (path from the root), those of jobs and those with an equal text among
    them; the ids that no published document has; files that may hold their text still."""

    shards: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    may_hold: list[str] = field(default_factory=list)

    @property
    def documents(self) -> int:
        """How many documents, counted in every slice and job that had them."""
        return sum(self.shards.values())


def forget(
    root: str,
    *,
    query: Query | None = None,
    ids: Iterable[str] = (),
    reason: str = "",
    tokenizer: ModelFile | None = None,
    dry_run: bool = False,
    workers: int = 1,
) -> Forgot:
    """Take documents out of a root: those that meet a query and those with these ids, and all with an equal text.

    An id is that of a raw record, or of a line of a shard as `rpj find` and a release name it. ``tokenizer`` is the one
    that counted the root's tokens. Raises :class:`UsageError`, :class:`RootInUse`, :class:`StorageError`,
    :class:`BrokenInput` for a shard that cannot be read; then nothing has changed.
    """
    for note in slices_of(root):
        ownership.refuse_links(root, note.slice)
    with hold(root):
        replacing.finish(root)
        shards = search.published_shards(root)
        texts, unknown = _of_ids(root, shards, set(ids))
        found = Forgot(unknown=unknown)
        if query is not None:
            for _, asked in search.search(root, shards, query, _digest, workers=workers):
                texts.update(text for _, text in asked)
        if not texts:
            return found
        of_text = Query(b"", partial(_is_one_of, texts=frozenset(texts)))
        stones: set[tuple[str, str]] = set()
        gone = Gone()
        for shard, seen in search.search(root, shards, of_text, _digest_and_bytes, workers=workers):
            gone.lines[shard.out.path] = {n: size for n, (_, size) in seen}
            found.shards[shard.out.path] = len(seen)
            for (_, (text, _)), doc_id in zip(seen, search.ids_at(root, shard, [n for n, _ in seen]), strict=True):
                if not doc_id.startswith(WITHIN):  # lines of shards are numbered anew
                    gone.records.add(doc_id)
                    stones.add((text, tombstones.digest(doc_id)))
        if dry_run:
            return found
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        before = tombstones.load(root)
        known = {(stone.text, stone.record) for stone in before}
        stones |= {(text, "") for text in texts - {text for text, _ in stones}}
        after = [*before, *(Tombstone(t, r, today, reason) for t, r in sorted(stones - known))]
        change = replacing.Replacement(root)
        with change.file(tombstones.TOMBSTONES) as file:
            file.write(tombstones.encoded(after))
        rewriting = Rewriting(root, change, gone, tombstones.of(after), tokenizer)
        rewriting.all_receipts()
        change.commit()
        manifest.write(root)
        found.may_hold = sorted({*rewriting.may_hold, *_posts(root, gone)})
    return found


def check(root: str) -> Iterator[tuple[str, str | None]]:
    """(shard, problem or None) for every published shard of a root with tombstones: that it holds none of what they are
    of. Without tombstones nothing is looked at."""
    try:
        stones = tombstones.load(root)
    except UsageError as error:
        yield tombstones.TOMBSTONES, str(error)
        return
    if not stones:
        return
    query = Query(b"", partial(_is_one_of, texts=frozenset(stone.text for stone in stones)))
    for shard in search.published_shards(root):
        try:
            found = search.seen_in(storage.join(root, shard.out.path), shard.ours, query=query, see=_digest)
        except RpjError as error:
            yield shard.out.path, str(error)
            continue
        held = f"line {found[0][0] + 1} was to be forgotten. Run: rpj forget {root} with its id." if found else None
        yield f"{shard.out.path} (forgotten)", held


# ------------------------------------------------------------------------------------------------ what is meant


def _of_ids(root: str, shards: list[PublishedShard], ids: set[str]) -> tuple[set[str], list[str]]:
    """The hashes of the texts of the documents with these ids, of raw records or of lines of shards, and the ids of no
    document: one look at every list of ids."""
    texts: set[str] = set()
    found: set[str] = set()
    paths = {shard.out.path for shard in shards}
    for shard in shards if ids else ():
        numbers: set[int] = set()
        short = "/".join(shard.out.path.split("/")[-2:])  # as a release of a job names it
        places = [shard.out.path] if short in paths else [shard.out.path, short]
        lines = iter_lines(storage.join(root, shard.ids.path), max_bytes=None) if shard.ids else iter(())
        for n, line in enumerate(lines):
            names = {f"{place}#{n:0{width}d}" for place in places for width in (1, DIGITS)}
            names |= {f"{WITHIN}{shard.out.path}#{n}", line.decode() if isinstance(line, bytes) else ""}
            if hit := names & ids:
                numbers.add(n)
                found |= hit
        if numbers:
            query = Query(b"", partial(_is_line, numbers=frozenset(numbers)))
            path = storage.join(root, shard.out.path)
            texts.update(text for _, text in search.seen_in(path, shard.ours, query=query, see=_digest))
    return texts, sorted(ids - found)


def _is_line(record: Record, *, numbers: frozenset[int]) -> bool:
    return record.n in numbers


def _is_one_of(record: Record, *, texts: frozenset[str]) -> bool:
    return tombstones.digest(record.text) in texts


def _digest(record: Record) -> str:
    return tombstones.digest(record.text)


def _digest_and_bytes(record: Record) -> tuple[str, int]:
    return tombstones.digest(record.text), len(record.text.encode())


def _posts(root: str, gone: Gone) -> list[str]:
    """Files on the way to a shard that goes on without documents, which hold all posts of a site in one piece."""
    slices = {path.split("/")[0] for path in gone.lines}
    return sorted(
        out.path
        for name in slices
        for receipt in receipts.load_all(root, name)
        for out in receipt.outputs.values()
        if out.path.endswith(_POSTS) and out.path.startswith(task_path("", name, receipt.stage, "", "")[:-1])
    )
