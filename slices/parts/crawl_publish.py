"""The last stage of Common Crawl: apply the document dedup, name each record's published place, publish what stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from redpajama_data.dedup.file_parts import FilePart
from redpajama_data.document import Drop
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Planned, RunSettings, Stage, StageInput
from redpajama_data.engine.task_names import shortened
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.io.shards import read_stored
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.work import Numbered, Steps, publish, through
from slices.parts.crawl_dropped import Dropped, dropped_of, read_dropped
from slices.parts.crawl_keys import text_hash
from slices.parts.crawl_layout import CrawlFile, crawl_files

_NO_MORE: tuple[int | None, bool] = (None, False)


def publish_stage(*, per_file: int | None, steps: Steps, run: RunSettings) -> Stage:
    """One task a shard: :func:`publish_work`. Published shards sort as the lines of the published files do."""

    def plan_tasks(given: StageInput) -> list[Planned]:
        mined, dropped = given.receipts["mine"], dropped_of(given)
        files = crawl_files(mined, per_file=per_file)
        starts = _first_lines(files, mined, dropped)
        parts: dict[int, list[dict[str, str | int]]] = {receipt.rank: [] for receipt in mined}
        by_rank = {receipt.rank: receipt for receipt in mined}
        for file in files:
            for rank, part in file.parts:
                notes = by_rank[rank].notes
                name = list(notes["parts"])[part]
                parts[rank].append(
                    {
                        "name": f"{shortened(notes['dump'])}_{name}_{notes['shard']:04d}",
                        "shard": by_rank[rank].outputs[f"mined:{name}"].path,
                        "source": f"cc/{file.name}",
                        "first_line": starts[rank, part],
                    }
                )
        return [
            Planned(
                receipt.task,
                partial(
                    publish_work,
                    dump=receipt.notes["dump"],
                    number=receipt.notes["shard"],
                    parts=parts[receipt.rank],
                    dropped=dropped[receipt.task].numbers,
                    steps=steps,
                    tokenizer=run.tokenizer,
                ),
                [out for role, out in receipt.outputs.items() if role.startswith("mined:")],
            )
            for receipt in mined
        ]

    return Stage("publish", plan_tasks, ("mine", "dropped"), whole=("kept_urls", "dropped"))


def _first_lines(
    files: Sequence[CrawlFile], mined: Sequence[Receipt], dropped: Mapping[str, Dropped]
) -> dict[tuple[int, int], int]:
    """The line in its published file at which each part of a shard begins, after the document dedup."""
    left: dict[tuple[int, int], int] = {}
    for receipt in mined:
        counts = zip(receipt.notes["parts"].values(), dropped[receipt.task].counts, strict=True)
        for number, ((count, _), gone) in enumerate(counts):
            left[receipt.rank, number] = count - gone
    starts = {}
    for file in files:
        line = 0
        for part in file.parts:
            starts[part] = line
            line += left[part]
    return starts


def publish_work(
    context: TaskContext,
    *,
    dump: str,
    number: int,
    parts: Sequence[dict[str, str | int]],
    dropped: FilePart | None,
    steps: Steps,
    tokenizer: ModelFile,
) -> None:
    """Publish a shard's documents, a published shard for each language and bucket.

    Those that the document dedup drops go to the ledger with their digest, or with the hash of their text when that is
    what another record has; the others get their ``source``: the name
    and line they have in the published files before the classifier.
    """
    context.receipt.notes["source"] = f"{dump}/{number:04d}"
    for part in parts:
        documents = _with_source(context, part, dump, read_dropped(context, dropped))
        publish(context, through(context, documents, steps), tokenizer, str(part["name"]))


def _with_source(
    context: TaskContext, part: dict[str, str | int], dump: str, gone: Iterator[tuple[int, bool]]
) -> Numbered:
    line, (dropped, by_text) = int(part["first_line"]), next(gone, _NO_MORE)
    for n, doc in read_stored(context.upstream(str(part["shard"]))):
        context.count_read(doc.text)
        while dropped is not None and dropped < n:  # of the shard's other parts
            dropped, by_text = next(gone, _NO_MORE)
        if dropped == n:
            drop = Drop("distinct_texts", text_hash(doc.text)) if by_text else Drop("kept_urls", doc.meta["digest"])
            context.drop(doc.id, drop, text=doc.text)
            continue
        doc.work |= {"source": f"{part['source']}/line{line}", "dump": dump}
        line += 1
        yield n, doc
