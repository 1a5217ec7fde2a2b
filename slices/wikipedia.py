"""Wikipedia: the articles of 20 Wikipedias as plain text, straight from the dumps of 2023-03-20.

Input: ``{language}wiki-{date}-pages-articles*.xml.bz2`` of dumps.wikimedia.org, whole, in parts or multistream, also as
.xml, .xml.gz, .xml.zst or .xml.7z; one form of a dump, for each holds all of its pages. Published recipe: the Hugging
Face ``wikipedia`` script 2.0.0, then ``wiki/convert_format.py`` of togethercomputer/RedPajama-Data (branch rp_v1); what
hung on chance there is fixed: pages stay in the order of the dump, dumps are sorted by language, then path.

    split into pieces of whole bz2 streams ─► article, no redirect, some text ─► clean ─► something left ─► published
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from filters import wikitext, wikitext_emptied
from filters.wikitext_templates import render_templates
from redpajama_data.config import Names, Size, SliceSettings
from redpajama_data.document import Drop
from redpajama_data.engine.stages import Planned, RunSettings, Slice, Stage, StageInput
from redpajama_data.engine.task_names import task_names
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import BrokenInput
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.work import Steps, publish_work
from slices.parts.wikitext_process import page_time_limit
from slices.readers.wikipedia_dump import id_prefix, read_pages
from slices.readers.wikipedia_forms import PATTERNS, copies, dump_name, refuse_two_forms
from slices.readers.wikipedia_pieces import Piece, split_dump
from slices.repairs import SETTING, chosen_from

LANGUAGES = tuple(wikitext.ALIASES)
CPU_SECONDS = 2.0  # after which a page's steps are counted; the slowest of 2,215 real pages takes 0.11


class WikipediaSettings(SliceSettings):
    """Settings of the Wikipedia slice; the defaults are the published values."""

    repairs: Annotated[Names, chosen_from("wikipedia")] = Field((), description=SETTING)
    languages: Names = Field(
        LANGUAGES,
        description="languages to take from a folder or glob, empty for all; a file named itself is always taken",
    )
    date: str = Field(
        "20230320", pattern=r"^\d{8}$", description="timestamp of pages whose file name has no date (enwiki-latest-...)"
    )
    piece_size: Size = Field(
        64 << 20,
        gt=0,
        description="compressed bytes of a multistream dump in one task: some 250 MB of XML, two minutes",
    )
    page_time_limit: int = Field(
        10**9,
        ge=5 * 10**8,  # fewer could take less than CPU_SECONDS, then the clock would decide
        description="steps of the parser that a page may take: ten seconds or more, where real pages take 0.1",
    )


def split_work(
    context: TaskContext,
    *,
    path: str,
    name: tuple[str, str | None] | None,
    languages: tuple[str, ...],
    same_as: str | None,
    piece_size: int,
) -> None:
    """Note the pieces of a dump for the next stage. A dump of another language, or the copy of one that is read
    (``same_as``), is an entry of the ledger."""
    receipt = context.receipt
    receipt.raw_bytes = 0  # a few blocks are looked at, nothing is read
    if name is None:
        raise BrokenInput(
            f"{path}: the file name has no language. Expected is LANGUAGEwiki-DATE-... "
            "Name it like enwiki-20230320-pages-articles.xml.bz2."
        )
    if languages and name[0] not in languages:
        context.count_read()
        context.drop(f"{path}#0", Drop("languages", name[0], ",".join(languages)))
        return
    if same_as is not None:
        context.count_read()
        context.drop(f"{path}#0", Drop("same_dump", path, same_as))
        return
    receipt.notes["pieces"] = [list(piece) for piece in split_dump(path, piece_size)]


def publish_piece(
    context: TaskContext,
    *,
    path: str,
    language: str,
    timestamp: str,
    piece: Piece,
    piece_bytes: int,
    steps: Steps,
    max_malformed: float,
    tokenizer: ModelFile,
    own_names: bool = False,
    own_dates: bool = False,
) -> None:
    """Read a piece of a dump, clean its pages, publish them. ``piece_bytes`` is the piece's size in the dump.
    ``own_names``: what the dump itself calls files and categories counts as well. ``own_dates``: a page has the day of
    its own revision."""
    context.receipt.raw_bytes = piece_bytes
    context.receipt.notes["source"] = path
    reader = partial(
        read_pages, language=language, timestamp=timestamp, piece=piece, own_names=own_names, own_dates=own_dates
    )
    publish_work(
        context,
        path=path,
        reader=reader,
        steps=steps,
        max_malformed=max_malformed,
        tokenizer=tokenizer,
        id_prefix=id_prefix(path, piece),
    )


def by_language(raw: RawFile) -> tuple[str, str]:
    """Sort key of the dumps, so that the shards come as the published ones do: wiki_bg, wiki_ca, ..."""
    return (dump_name(raw.path) or ("",))[0], raw.path


def plan_split(given: StageInput, *, settings: WikipediaSettings) -> list[Planned]:
    """One task a dump."""
    same = copies(given.inputs)
    dumps = sorted(given.inputs, key=by_language)
    return [
        Planned(
            task,
            partial(
                split_work,
                path=raw.path,
                name=dump_name(raw.path),
                languages=() if raw.path in settings.input else languages_read(settings),
                same_as=same.get(raw.path),
                piece_size=settings.piece_size,
            ),
            [raw],
        )
        for task, raw in zip(task_names(raw.path for raw in dumps), dumps, strict=True)
    ]


def languages_read(settings: WikipediaSettings) -> tuple[str, ...]:
    """The languages to take, empty for all: those of the setting, but with ``namespaces_of_dump``, where none are
    asked for, any language that is there."""
    asked_for = "languages" in settings.model_fields_set
    return () if "namespaces_of_dump" in settings.repairs and not asked_for else settings.languages


def plan_publish(
    given: StageInput, *, date: str, steps: Steps, run: RunSettings, own_names: bool = False, own_dates: bool = False
) -> list[Planned]:
    """One task a piece, named after the dump and numbered when there are several. ``own_dates``: pages of a dump whose
    name has no date have their own."""
    names: dict[str, Any] = {"own_names": True} if own_names else {}
    raw_files = {raw.path: raw for raw in given.inputs}
    planned = []
    for receipt in given.receipts["split"]:
        raw = raw_files[receipt.inputs[0]]
        name = dump_name(raw.path)
        pieces = [Piece(*piece) for piece in receipt.notes.get("pieces", [])]
        for number, piece in enumerate(pieces):
            assert name is not None
            dates: dict[str, Any] = {"own_dates": True} if own_dates and not name[1] else {}
            work = partial(
                publish_piece,
                path=raw.path,
                language=name[0],
                timestamp=name[1] or date,
                piece=piece,
                piece_bytes=(raw.bytes if piece.end is None else piece.end) - piece.start,
                steps=steps,
                max_malformed=run.max_malformed,
                tokenizer=run.tokenizer,
                **names,
                **dates,
            )
            planned.append(Planned(receipt.task if len(pieces) == 1 else f"{receipt.task}-{number:05d}", work, [raw]))
    return planned


def check(settings: WikipediaSettings, inputs: Sequence[RawFile]) -> None:
    """Raise :class:`~redpajama_data.errors.UsageError` for inputs of which pages would be published twice."""
    refuse_two_forms(inputs, languages_read(settings), settings.input)


def stages(settings: WikipediaSettings, run: RunSettings) -> list[Stage]:
    """The slice's stages: the recipe, read from top to bottom (the reader sorts out what is no article)."""
    fixed = settings.repairs
    cleaned = partial(page_time_limit, limit=settings.page_time_limit, cpu_seconds=CPU_SECONDS)
    if "without_categories" in fixed:
        cleaned = partial(cleaned, categories=False)
    steps: Steps = [
        *([render_templates] if "render_templates" in fixed else []),
        *([wikitext_emptied.mark_headings] if "no_bare_headings" in fixed else []),
        cleaned,
        *([wikitext_emptied.no_bare_headings] if "no_bare_headings" in fixed else []),
        *([wikitext_emptied.no_emptied] if "no_emptied" in fixed else []),
        wikitext.not_empty,
    ]
    publish_pieces = partial(plan_publish, date=settings.date, steps=steps, run=run)
    if "namespaces_of_dump" in fixed:
        publish_pieces = partial(publish_pieces, own_names=True)
    if "own_dates" in fixed:
        publish_pieces = partial(publish_pieces, own_dates=True)
    return [
        Stage("split", partial(plan_split, settings=settings)),
        Stage("publish", publish_pieces, ("split",)),
    ]


SLICE = Slice(
    name="wikipedia",
    summary="articles of 20 Wikipedias (pages-articles dumps)",
    revision=2,
    patterns=PATTERNS,
    settings=WikipediaSettings,
    stages=stages,
    check=check,
)
