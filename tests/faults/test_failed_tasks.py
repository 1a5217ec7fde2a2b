"""A task that fails once: what was published before stays, and the next run mends it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from whole_root import files_of

from redpajama_data import config, sample, whole_run
from redpajama_data.engine.executors import Outcome, SerialExecutor
from redpajama_data.engine.run_task import Failed
from redpajama_data.engine.tasks import Task, Workplace
from redpajama_data.whole_run import RunReport
from slices import NAMES, load
from slices.jobs import load as load_job

STAGES = {
    "common_crawl": ("lines", "line_groups", "mine", "url_digests", "new_urls", "kept_urls", "dropped", "publish"),
    "c4": ("publish",),
    "github": ("clean", "dedup", "copies", "publish"),
    "books": ("hash", "near_duplicates", "publish"),
    "arxiv": ("publish",),
    "wikipedia": ("split", "publish"),
    "stackexchange": ("posts", "threads", "publish"),
    "exact": ("keys", "dedup", "copies", "keep"),
    "fuzzy": ("signatures", "bands", "components", "keep"),
    "tokenize": ("encode", "write", "report"),
    "quality_score": ("score",),
    "quality_filter": ("scores", "keep"),
    "decontaminate": ("index", "find", "decide", "keep"),
    "embed": ("hash", "cut", "terms", "fit", "vectors", "map"),
}
CASES = [(name, stage) for name, stages in STAGES.items() for stage in stages]


class FailsOnce(SerialExecutor):
    """Fails the first task of one stage, as an executor does whose workers were killed."""

    def __init__(self, name: str, stage: str) -> None:
        self.left = {(name, stage)}

    def map(self, tasks: Iterable[Task], place: Workplace) -> Iterator[Outcome]:
        """The outcomes of the others."""
        for task in tasks:
            if (task.slice, task.stage) in self.left:
                self.left.clear()
                yield Failed(task, "its worker was killed. Run again.")
            else:
                yield from super().map([task], place)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded sample, and a root of each slice and of all jobs, run on it; nothing changes in there."""
    folder = tmp_path_factory.mktemp("sampled")
    sample.build(folder / "raw")
    sample.write_config(folder / "raw", jobs=True)
    (folder / "tests.jsonl").write_text('{"text": "which of these words are in a row in some document of the data"}\n')
    return folder


def go(folder: Path, root: Path, names: Iterable[str], executor: SerialExecutor | None = None) -> RunReport:
    """Run slices and jobs of the sample."""
    path = str(folder / "raw" / "rpj.yaml")
    options = config.load_config(path, {"root": str(root), "executor": "serial"})
    parts = [load(name) if name in NAMES else load_job(name) for name in names]
    given = {"decontaminate": {"against": (str(folder / "tests.jsonl"),)}}
    chosen = [
        (part, config.slice_settings(part.settings, part.name, options, given.get(part.name, {}), path))
        for part in parts
    ]

    @contextlib.contextmanager
    def opened(*_: object, **__: object) -> Iterator[SerialExecutor]:
        yield executor or SerialExecutor()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_run, "open_executor", opened)
        return whole_run.run_parts(chosen, options, quiet=True)


def shards(root: Path, name: str) -> set[str]:
    """What a slice or job has published, without the rank: the crawl's shards are numbered by what is there."""
    return {path.name.partition("-")[2] for path in (root / name).rglob("*.zst")}


@pytest.mark.parametrize("name", STAGES)
def test_a_task_that_fails_once(sampled: Path, tmp_path: Path, name: str) -> None:
    """Of every stage in turn, when all is done anew: shards of stages that could not be tried stay, the run says 3,
    and the same command again gives the bytes of the undisturbed run."""
    before = [] if name in NAMES else ["c4", "github", *list(STAGES)[7:]]
    names = [*before[: before.index(name)], name] if before else [name]
    root, whole = tmp_path / "root", tmp_path / "whole"
    go(sampled, whole, names)
    assert set(STAGES[name]) <= {path.parent.name for path in whole.glob(f"_run/{name}/*/*")}
    published = shards(whole, name)
    expected = files_of(whole)
    shutil.copytree(whole, root)
    for stage in STAGES[name]:
        for path in root.glob(f"_run/{name}/*/*.receipt.json"):  # all is to be done again
            path.write_text(path.read_text().replace('"lineage": "', '"lineage": "0', 1))
        report = go(sampled, root, names, FailsOnce(name, stage))
        assert report.exit_code() == 3
        done = report.slices[-1]
        assert [(entry.stage, entry.reason) for entry in done.quarantined] == [
            (stage, "its worker was killed. Run again.")
        ]
        missing = published - shards(root, name)
        assert len(missing) == 0 if stage != STAGES[name][-1] else len(missing) <= 2, (stage, missing)
        assert go(sampled, root, names).exit_code() in (0, 3)
        assert files_of(root) == expected, stage
