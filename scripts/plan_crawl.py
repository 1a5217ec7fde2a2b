"""What planning costs for a crawl of full size: receipts made up, every stage planned, nothing run.

    python scripts/plan_crawl.py [--shards 25000] [--partitions 512] [--json]

Of each stage: its tasks, the seconds until all have a lineage, and the memory of this process then.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from filters import ccnet
from redpajama_data.config import SliceSettings
from redpajama_data.dedup import partitions
from redpajama_data.engine.planning import planned_tasks
from redpajama_data.engine.receipts import Output, Receipt
from redpajama_data.engine.stages import RunSettings, Slice, StageInput
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile
from slices.parts.crawl_dedup import document_dedup_stages
from slices.parts.crawl_lines import line_groups_stage, lines_stage
from slices.parts.crawl_mine import mine_stage
from slices.parts.crawl_publish import publish_stage

DUMPS, FILES_A_SHARD = 5, 14  # as published
DOCUMENTS = 88_000  # of a shard, in two parts: 2.2e9 in all, 512 ranges of 4 million
SHA256 = "0" * 64


class Planning(NamedTuple):
    """A stage: its tasks, seconds, and megabytes of the process after it."""

    stage: str
    tasks: int
    seconds: float
    megabytes: int


def output(stage: str, task: str, role: str, records: int) -> Output:
    """A file of a task, as a receipt names it."""
    return Output(f"_run/common_crawl/{stage}/{task}.{role}", 1000, SHA256, records)


def results(stage: str, tasks: list[Any], sizes: dict[str, int]) -> list[Receipt]:
    """Receipts as the tasks of a stage would leave them."""
    made = []
    for task in tasks:
        bound = task.work.keywords
        receipt = Receipt("common_crawl", stage, task.name, task.lineage, rank=task.rank, kept=DOCUMENTS)
        receipt.outputs = {role: output(stage, task.name, role, records) for role, records in sizes.items()}
        receipt.notes = {name: bound[name] for name in ("dump", "group", "buckets") if name in bound}
        if "number" in bound:
            receipt.notes["shard"] = bound["number"]
        if stage == "mine":
            receipt.notes["parts"] = {"en_head": [DOCUMENTS // 2, 4 << 26], "en_middle": [DOCUMENTS // 2, 4 << 26]}
        if stage == "dropped":
            parts = {"numbers": {"path": receipt.outputs["dropped"].path, "start": 0, "rows": 9, "sha256": SHA256}}
            receipt.notes["dropped"] = {name: {**parts, "counts": [4, 5]} for _, name, _ in bound["shards"]}
        made.append(receipt)
    return made


def measure(shards: int, partitions_wanted: int) -> list[Planning]:
    """Plan every stage."""
    model = ModelFile("model", SHA256)
    run = RunSettings(model, 0.05)
    a_dump = shards // DUMPS
    raws = [
        RawFile(f"raw/cc/CC-MAIN-{2019 + dump}-05/CC-MAIN-{n:06d}.warc.wet.gz", 150_000_000, "2023-01-01")
        for dump in range(DUMPS)
        for n in range(a_dump * FILES_A_SHARD)
    ]
    partitions.ROWS_A_TASK = -(-shards * DOCUMENTS // partitions_wanted)
    layout: dict[str, Any] = {"shards": a_dump, "min_length": 300}
    stages = [
        lines_stage(**layout, run=run),
        line_groups_stage(hash_in_mem=1),
        mine_stage(**layout, hash_in_mem=1, steps=[partial(ccnet.assign_bucket, cutoffs=ccnet.CUTOFFS)]),
        *document_dedup_stages(per_file=None),
        publish_stage(per_file=None, steps=[], run=run),
    ]
    sizes: dict[str, dict[str, int]] = {
        "lines": {"lines": 1000, "repeated": 100},
        "line_groups": {"duplicated": 100},
        "mine": {"keys": DOCUMENTS, "mined:en_head": DOCUMENTS // 2, "mined:en_middle": DOCUMENTS // 2},
        "url_digests": {"entries": shards * DOCUMENTS // partitions_wanted},
        "new_urls": {"urls": shards * DOCUMENTS // partitions_wanted // 2},
        "kept_urls": {"dropped": shards * DOCUMENTS // partitions_wanted // 2},
        "dropped": {"dropped": 1000},
        "publish": {},
    }
    part = Slice("common_crawl", "", 2, (), SliceSettings, lambda *_: stages)
    known: dict[str, list[Receipt]] = {}
    found = []
    for stage in stages:
        start = time.perf_counter()
        given = StageInput(raws, Output("_run/common_crawl/inputs.txt", 1, SHA256, len(raws)), known)
        tasks = planned_tasks(part, stage, stage.plan(given))
        seconds = time.perf_counter() - start
        known[stage.name] = results(stage.name, tasks, sizes[stage.name])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        found.append(Planning(stage.name, len(tasks), seconds, peak))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=25_000)
    parser.add_argument("--partitions", type=int, default=512)
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    chosen = parser.parse_args()
    found = measure(chosen.shards, chosen.partitions)
    show: Callable[[Any], None] = print
    if chosen.json:
        show(json.dumps([one._asdict() for one in found]))
        return
    show(f"{'':12} {'tasks':>8} {'seconds':>8} {'MB':>6}")
    for one in found:
        show(f"{one.stage:12} {one.tasks:8,} {one.seconds:8.2f} {one.megabytes:6,}")
    show(f"{'in all':12} {sum(one.tasks for one in found):8,} {sum(one.seconds for one in found):8.2f}")


if __name__ == "__main__":
    main()
