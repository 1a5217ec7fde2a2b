"""Stack Exchange: each question with its answers, from the data dump of the network.

Input: ``<site>.7z`` as the Internet Archive has them (Posts.xml is read from the archive, nothing is unpacked to the
disk; the volumes of a split archive are read as one), or ``<site>.xml`` or ``<site>/Posts.xml``. Published recipe:
stack_exchange/ of togethercomputer/RedPajama-Data (branch rp_v1), with what hung on the order of a directory there
fixed: sites in sorted order.

    read ─► the 28 largest sites ─► answers to their questions ─► HTML to text ─► language ─► published in file order
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from filters.language import record_language, resolve_lid, stack_exchange_line
from filters.stackexchange import order_by_score, readable_html
from redpajama_data.config import Names, SliceSettings
from redpajama_data.document import Document, Drop
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Planned, RunSettings, Slice, Stage, StageInput
from redpajama_data.engine.task_names import task_names
from redpajama_data.errors import UsageError
from redpajama_data.io.storage import RawFile, without_query
from redpajama_data.pipeline.work import Steps
from slices.parts.stackexchange_threads import (
    STRETCHES_A_SHARD,
    assemble_thread,
    join_threads,
    leave_dump_out,
    leave_site_out,
    publish_stretches,
    store_posts,
    stretches,
)
from slices.readers.stackexchange_dump import site_stem
from slices.readers.volumes import VOLUME, whole_archives
from slices.repairs import SETTING, chosen_from

ALL = "all"
OTHER_TABLES = ("Badges", "Comments", "PostHistory", "PostLinks", "Tags", "Users", "Votes")
MAX_BUCKETS = 4096  # of a dump: 25 MB each for Stack Overflow; their index takes 32 KiB a flush
BUCKET_BYTES = 1 << 20  # wanted size of a bucket, in bytes of XML
XML_A_PACKED_BYTE = 6  # the dumps shrink four to eight times
RANGE_BYTES = 256 << 20  # posts that a task of the threads stage takes: half a minute of work
_COMPRESSED = (".7z", ".gz", ".bz2", ".zst")
# A site has a dot in its name, the other tables of an unpacked dump (Votes.xml) have none.
_TABLES = ("Posts.xml", "posts.xml", "*.*.xml", "stackoverflow*.xml")
PATTERNS = (
    *("*.7z", "*.7z.[0-9][0-9][0-9]"),
    *(name + ending for name in _TABLES for ending in ("", ".gz", ".bz2", ".zst")),
)


class StackexchangeSettings(SliceSettings):
    """Settings of the Stack Exchange slice; the defaults are the published values."""

    repairs: Annotated[Names, chosen_from("stackexchange")] = Field((), description=SETTING)
    sites: Names = Field((), description="sites to take, by the names of their dumps, or all; default: the largest")
    largest_sites: int = Field(28, gt=0, description="how many sites, those with most posts, when sites names none")
    timestamp: str = Field("2023-03-29", description="the date that every record carries")
    lid: str = Field("lid.176.ftz", description="language model: name or path")
    link_addresses: bool = Field(
        False,
        description="addresses behind the words of links; off: LLaMA took tags off, and tokens would be 13 % more",
    )


def no_posts(stem: str) -> Drop | None:
    """Stack Overflow comes as an archive a table (stackoverflow.com-Votes.7z): all but the posts are left out."""
    table = stem.rpartition("-")[2]
    return Drop("no_posts", table, "Posts") if table in OTHER_TABLES else None


def sites(stem: str, *, wanted: Sequence[str]) -> Drop | None:
    """A dump that the setting ``sites`` does not name."""
    return Drop("sites", stem, ", ".join(wanted)) if wanted and ALL not in wanted and stem not in wanted else None


def same_site(path: str, *, taken: str) -> Drop | None:
    """The dump of a site that is there in another form too, which is taken."""
    return None if path == taken else Drop("same_site", path, taken)


def choose_dumps(inputs: Sequence[RawFile], wanted: Sequence[str]) -> list[Drop | None]:
    """For each raw file why it is not read, or None when it is.

    Of several dumps of one site (``<site>.7z`` beside ``<site>/Posts.xml``) the archive counts, else the first path.
    Raises :class:`UsageError` for a wanted site without a dump.
    """
    stems = [site_stem(raw.path) for raw in inputs]
    taken: dict[str, str] = {}
    for raw, stem in sorted(zip(inputs, stems, strict=True), key=_archive_first):
        taken.setdefault(stem, raw.path)
    for name in wanted:
        if name not in taken and name != ALL:
            near = difflib.get_close_matches(name, taken, n=3) or sorted(taken)[:3]
            raise UsageError(f"sites: no dump of {name} among the inputs. There are {', '.join(near)}.")
    return [
        no_posts(stem) or sites(stem, wanted=wanted) or same_site(raw.path, taken=taken[stem])
        for raw, stem in zip(inputs, stems, strict=True)
    ]


def _archive_first(dump: tuple[RawFile, str]) -> tuple[bool, str]:
    path = dump[0].path
    return not (without_query(path).endswith(".7z") or VOLUME.search(path)), path


def check(settings: StackexchangeSettings, inputs: Sequence[RawFile]) -> None:
    """Raise :class:`~redpajama_data.errors.UsageError` for a wanted site without a dump."""
    choose_dumps([parts[0] for parts in whole_archives(inputs)], settings.sites)


def buckets_of(parts: Sequence[RawFile]) -> int:
    """Into how many buckets the posts of a dump go: a matter of the size of its raw files alone."""
    packed = sum(raw.bytes for raw in parts)
    if not packed:  # a server that does not tell
        return MAX_BUCKETS
    path = parts[0].path
    xml = packed * (XML_A_PACKED_BYTE if without_query(path).endswith(_COMPRESSED) or VOLUME.search(path) else 1)
    return min(MAX_BUCKETS, max(16, xml // BUCKET_BYTES))


def largest_sites(posts: Sequence[Receipt], *, number: int) -> dict[str, Drop]:
    """The dumps that are not among the ``number`` largest by records, with their drops; of equal ones the first stays.

    The published script counts lines less three for head and foot, which is the same where it can read the dump.
    """
    by_size = sorted(posts, key=lambda receipt: (-receipt.notes["records"], receipt.rank))
    if len(by_size) <= number:
        return {}
    least = by_size[number - 1].notes["records"]
    return {
        receipt.notes["source"]: Drop("largest_sites", receipt.notes["records"], least) for receipt in by_size[number:]
    }


def dump_names(dumps: Sequence[Sequence[RawFile]], drops: Sequence[Drop | None]) -> list[str]:
    """The names of the tasks of dumps: their sites; of those that are left out something else, so that they take no
    name from one that is read."""
    paths = [parts[0].path for parts in dumps]
    read = iter(task_names(site_stem(path) for path, drop in zip(paths, drops, strict=True) if drop is None))
    left_out = iter(task_names(path for path, drop in zip(paths, drops, strict=True) if drop is not None))
    return [next(read) if drop is None else f"left-out~{next(left_out)}" for drop in drops]


def plan_posts(given: StageInput, wanted: Sequence[str], max_malformed: float) -> list[Planned]:
    """One task a dump; those that are left out only say so."""
    tasks = []
    dumps = whole_archives(given.inputs)
    drops = choose_dumps([parts[0] for parts in dumps], wanted)
    for name, parts, drop in zip(dump_names(dumps, drops), dumps, drops, strict=True):
        raw = parts[0]
        if drop:
            tasks.append(Planned(name, partial(leave_dump_out, path=raw.path, drop=drop)))
        else:
            work = partial(store_posts, path=raw.path, buckets=buckets_of(parts), max_malformed=max_malformed)
            tasks.append(Planned(name, work, parts))
    return tasks


def plan_threads(
    given: StageInput, settings: StackexchangeSettings, assemble: Callable[..., Document | Drop], steps: Steps
) -> list[Planned]:
    """One task a range of a dump's buckets, of about :data:`RANGE_BYTES`."""
    dumps = dumps_read(given)
    left_out = {} if settings.sites else largest_sites(dumps, number=settings.largest_sites)
    tasks = []
    for dump in dumps:
        source, out = dump.notes["source"], dump.outputs["posts"]
        bind = partial(assemble, path=source, stem=site_stem(source), timestamp=settings.timestamp)
        ranges = bucket_ranges(dump.notes["buckets"], dump.notes["bytes"], RANGE_BYTES)
        for first, end in ranges:
            suffix = f"-{first:04d}-{end:04d}" if len(ranges) > 1 else ""
            if source in left_out:
                work = partial(
                    leave_site_out, posts=out.path, buckets=(first, end), source=source, drop=left_out[source]
                )
            else:
                work = partial(
                    join_threads,
                    posts=out.path,
                    buckets=(first, end),
                    records=dump.notes["records"],
                    source=source,
                    steps=[bind, *steps],
                )
            tasks.append(Planned(dump.task + suffix, work, [out]))
    return tasks


def plan_publish(given: StageInput, run: RunSettings) -> list[Planned]:
    """One task a published shard: a fixed number of rows of a dump."""
    threads: dict[str, list[Receipt]] = {}
    for receipt in given.receipts["threads"]:
        threads.setdefault(receipt.notes["source"], []).append(receipt)
    tasks = []
    for dump in dumps_read(given):
        source, records = dump.notes["source"], dump.notes["records"]
        parts = [receipt.outputs["threads"] for receipt in threads.get(source, ()) if "threads" in receipt.outputs]
        if not parts:
            continue
        check_rows(dump, threads[source])
        end = stretches(records)
        shards = [(first, min(end, first + STRETCHES_A_SHARD)) for first in range(0, end, STRETCHES_A_SHARD)]
        for number, wanted in enumerate(shards):
            work = partial(
                publish_stretches,
                threads=[part.path for part in parts],
                wanted=wanted,
                source=source,
                tokenizer=run.tokenizer,
            )
            suffix = f"-{number:04d}" if len(shards) > 1 else ""
            tasks.append(Planned(dump.task + suffix, work, parts))
    return tasks


def dumps_read(given: StageInput) -> list[Receipt]:
    """The receipts of the dumps that were read, in order, less those that held nothing."""
    return [receipt for receipt in given.receipts["posts"] if receipt.kept]


def check_rows(dump: Receipt, threads: Sequence[Receipt]) -> None:
    """Assert that every post of a dump is accounted for by its threads, unless a task of theirs was quarantined."""
    buckets = sum(end - first for first, end in (receipt.notes["buckets"] for receipt in threads))
    rows = sum(receipt.read + receipt.notes["joined"] for receipt in threads)
    assert rows == dump.kept or buckets < dump.notes["buckets"], f"{dump.task}: {dump.kept} posts, {rows} in threads"


def bucket_ranges(buckets: int, size: int, limit: int) -> list[tuple[int, int]]:
    """Ranges of buckets (thread ids are hashed: evenly filled) of about ``limit`` bytes, of ``size`` in all."""
    parts = max(1, min(buckets, -(-size // max(1, limit))))
    bounds = [buckets * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(bounds))


def stages(settings: StackexchangeSettings, run: RunSettings) -> list[Stage]:
    """The slice's stages: the recipe, read from top to bottom."""
    steps: Steps = [
        partial(record_language, model=resolve_lid(settings.lid), line=stack_exchange_line),
    ]
    fixed = settings.repairs
    assemble: Callable[..., Document | Drop] = assemble_thread
    if "order_by_score" in fixed:
        assemble = partial(assemble, order=order_by_score)
    html = tuple(name for name in fixed if name != "order_by_score")
    more: dict[str, Any] = {"addresses": True} if settings.link_addresses else {}
    if html or more:
        assemble = partial(assemble, read_html=partial(readable_html, repairs=html, **more))
    return [
        Stage("posts", partial(plan_posts, wanted=settings.sites, max_malformed=run.max_malformed)),
        Stage("threads", partial(plan_threads, settings=settings, assemble=assemble, steps=steps), ("posts",)),
        Stage("publish", partial(plan_publish, run=run), ("posts", "threads")),
    ]


SLICE = Slice(
    name="stackexchange",
    summary="questions and answers of the Stack Exchange network (data dump)",
    revision=2,
    patterns=PATTERNS,
    settings=StackexchangeSettings,
    stages=stages,
    check=check,
)
