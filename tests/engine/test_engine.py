"""The engine on a toy slice: same bytes on every executor, resume, quarantine, account."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import toy
from whole_root import files_of

from redpajama_data.document import Document, Rejected
from redpajama_data.engine import receipts
from redpajama_data.engine.executors import open_executor
from redpajama_data.engine.lineage import describe
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.run_task import Done, Failed, run_task
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.errors import BrokenInput, RootInUse, StorageError, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lock import hold
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.pipeline.work import read_records, store
from redpajama_data.reports import explanation, root_status

Run = Callable[..., SliceRun]


@pytest.fixture
def run(tmp_path: Path, tiny_tokenizer: ModelFile) -> Run:
    """Runs the toy slice on ``tmp_path/raw`` into ``tmp_path/<root>``."""

    def go(
        root: str = "root",
        executor: str = "serial",
        workers: int = 2,
        memory: int = 1 << 26,
        prune: bool = False,
        **settings: Any,
    ) -> SliceRun:
        made = toy.ToySettings(input=(str(tmp_path / "raw"),), **settings)
        inputs = list_inputs(toy.SLICE, made.input)
        with open_executor(executor, workers=workers) as pool:
            place = Workplace(str(tmp_path / root), memory)
            quiet = partial(StageProgress, quiet=True)
            return run_slice(toy.SLICE, made, RunSettings(tiny_tokenizer, 0.5), inputs, pool, place, quiet, prune=prune)

    return go


def raw(folder: Path, name: str, texts: list[str]) -> Path:
    path = folder / "raw" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def published(root: Path) -> list[str]:
    return [record["text"] for path in sorted(root.glob("toy/*")) for record in read_jsonl(str(path))]


@pytest.fixture
def three_shards(tmp_path: Path) -> Path:
    raw(tmp_path, "a.jsonl", ["one two", "short", "three four", "one two"])
    raw(tmp_path, "b.jsonl", ["three four", "five six", "raise an error"])
    raw(tmp_path, "c.jsonl", ["seven eight", "one two", "five six"])
    return tmp_path


def test_first_copy_wins_and_every_record_is_accounted_for(run: Run, three_shards: Path) -> None:
    result = run()
    assert published(three_shards / "root") == ["one two", "three four", "five six", "seven eight"]
    assert receipts.sum_drops(result.all_receipts()) == {"defect": 1, "duplicate": 4, "min_words": 1}
    assert result.quarantined == []
    assert all(problem is None for _, problem in root_status.verify(str(three_shards / "root")))
    raw_a, raw_b, raw_c = (str(three_shards / "raw" / f"{name}.jsonl") for name in "abc")
    fates = {
        f"{raw_a}#1": ("min_words", 1, 2),
        f"{raw_a}#3": ("duplicate", f"{raw_a}#0", None),
        f"{raw_b}#0": ("duplicate", f"{raw_a}#2", None),
        f"{raw_b}#2": ("defect", "no_bang: ValueError: unexpected", None),
        f"{raw_c}#2": ("duplicate", f"{raw_b}#1", None),
    }
    for doc_id, (rule, measured, limit) in fates.items():
        [fate] = explanation.explain(str(three_shards / "root"), doc_id)
        assert fate.drop is not None
        assert (fate.drop["rule"], fate.drop["measured"], fate.drop["limit"]) == (rule, measured, limit)
    [fate] = explanation.explain(str(three_shards / "root"), f"{raw_b}#1")
    assert (fate.kept, fate.line) == ("toy/b.jsonl.zst", 1)
    with pytest.raises(UsageError, match="no such record"):
        explanation.explain(str(three_shards / "root"), f"{raw_b}#9")


@pytest.mark.parametrize(
    ("executor", "workers", "memory"), [("serial", 1, 1 << 30), ("local", 1, 1 << 26), ("local", 3, 1 << 26)]
)
def test_same_bytes_on_every_executor(run: Run, three_shards: Path, executor: str, workers: int, memory: int) -> None:
    run("reference")
    run("other", executor=executor, workers=workers, memory=memory)
    assert files_of(three_shards / "other") == files_of(three_shards / "reference")


def test_a_second_run_does_nothing(run: Run, three_shards: Path) -> None:
    run()
    before = files_of(three_shards / "root")
    again = run()
    assert (again.done_now, again.skipped) == (0, 8)
    assert files_of(three_shards / "root") == before


def test_a_changed_threshold_redoes_exactly_what_follows(run: Run, three_shards: Path) -> None:
    run()
    result = run(min_words=1)
    assert (result.done_now, result.skipped) == (3, 5)
    assert "short" in published(three_shards / "root")


@pytest.mark.parametrize(
    "victim", ["toy/b.jsonl.zst", "_run/toy/clean/a.keys", "_run/toy/dedup/keys-0000-4096.verdicts"]
)
def test_a_lost_file_is_made_again(run: Run, three_shards: Path, victim: str) -> None:
    run()
    before = files_of(three_shards / "root")
    (three_shards / "root" / victim).unlink()
    assert run().done_now == 1
    assert files_of(three_shards / "root") == before


def test_a_removed_input_leaves_nothing_behind(run: Run, three_shards: Path) -> None:
    run()
    before = files_of(three_shards / "root")
    (three_shards / "raw" / "a.jsonl").unlink()
    with pytest.raises(UsageError, match=r"1 raw files that are not given now .*a\.jsonl.* --prune"):
        run()
    assert files_of(three_shards / "root") == before, "nothing is removed unasked"
    run(prune=True)
    run("fresh")
    assert files_of(three_shards / "root") == files_of(three_shards / "fresh")
    assert published(three_shards / "root") == ["three four", "five six", "seven eight", "one two"]


def test_files_of_a_killed_run_are_swept(run: Run, three_shards: Path) -> None:
    run()
    before = files_of(three_shards / "root")
    (three_shards / "root" / "toy" / "b.jsonl.zst.tmp-1-0123abcd").write_bytes(b"half")
    run()
    assert files_of(three_shards / "root") == before


class Ended(BaseException):
    """The end of a process, as far as the code below can tell: nothing catches it."""


@contextlib.contextmanager
def ended_after(changes: int) -> Iterator[Callable[[], int]]:
    """End the process after that many files were written or removed; gives how many there were."""
    whole_file, remove, done = storage.whole_file, storage.remove, 0

    def count() -> None:
        nonlocal done
        done += 1
        if done >= changes:
            raise Ended

    @contextlib.contextmanager
    def written(path: str, **how: Any) -> Iterator[storage.WholeFile]:
        with whole_file(path, **how) as file:
            yield file
        count()

    def removed(path: str) -> None:
        remove(path)
        count()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "whole_file", written)
        patch.setattr(storage, "remove", removed)
        yield lambda: done


def test_no_receipt_vouches_for_the_file_of_another_setting(run: Run, three_shards: Path) -> None:
    """Setting A is done, B ended after any one change of a file, A again: the root is A's to the byte. And B again,
    then, is B's: what an ended run left is tidied up."""
    run("a", min_words=2)
    run("b", min_words=1)
    whole_a, whole_b = files_of(three_shards / "a"), files_of(three_shards / "b")
    root, changes = three_shards / "root", 0
    for after in itertools.count(1):
        shutil.rmtree(root, ignore_errors=True)
        run("root", min_words=2)
        with ended_after(after) as counted:
            try:
                run("root", min_words=1)
            except Ended:
                changes = counted()
            else:
                break
        run("root", min_words=2)
        assert files_of(root) == whole_a, f"ended after {after} changes"
        with ended_after(after), contextlib.suppress(Ended):
            run("root", min_words=1)
        run("root", min_words=1)
        assert files_of(root) == whole_b, f"ended after {after} changes"
    assert changes > 15


def test_a_file_of_another_size_is_made_again(run: Run, three_shards: Path) -> None:
    """Whoever cut it."""
    run()
    before = files_of(three_shards / "root")
    shard = next((three_shards / "root" / "toy").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1])
    assert run().done_now == 1
    assert files_of(three_shards / "root") == before


def test_a_broken_file_keeps_what_came_before_and_is_reported(run: Run, three_shards: Path) -> None:
    raw(three_shards, "b.jsonl", ["nine ten", "crash", "never seen"])
    result = run()
    assert published(three_shards / "root") == ["one two", "three four", "nine ten", "seven eight", "five six"]
    [broken] = result.broken()
    assert "crashed. Mend it. (line 2)" in str(broken.broken)
    assert receipts.sum_drops([broken]) == {"broken_input": 1}
    assert broken.balanced()


def damaged_here_and_there(path: str) -> Iterator[Document | Rejected | BrokenInput]:
    """The toy reader's documents, a damaged place after each."""
    for n, record in enumerate(toy.read_toy(path)):
        yield record
        yield BrokenInput(f"{path}: a bad block. Fetch it again.", f"block {n}")


def test_a_damaged_place_costs_what_lies_in_it_and_reading_goes_on(tmp_path: Path) -> None:
    """Every damaged place stands in the ledger and has a record number of its own; the receipt names the first 20."""
    raw = tmp_path / "a.txt"
    raw.write_text("".join(f'{{"text": "word {n}"}}\n' for n in range(30)))
    task = Task("toy", "clean", "a", 0, partial(toy_damaged, path=str(raw)), "x")
    done = run_task(task, Workplace(str(tmp_path / "root"), 1 << 26))
    assert isinstance(done, Done)
    assert done.receipt.kept == 30
    assert done.receipt.dropped == {"broken_input": 30}
    assert done.receipt.broken[0].endswith("(block 0)")
    assert len(done.receipt.broken) == receipts.BROKEN_NAMED


def test_damaged_places_of_two_pieces_of_a_file_have_two_ids(tmp_path: Path) -> None:
    """They begin as the ids of the piece's records do."""
    raw = tmp_path / "a.txt"
    raw.write_text('{"text": "word"}\n')
    ledgers = []
    for prefix in (f"{raw}#0:", f"{raw}#99:", None):
        task = Task("toy", "clean", "a", 0, partial(toy_damaged, path=str(raw), id_prefix=prefix), "x")
        assert isinstance(run_task(task, Workplace(str(tmp_path / "root"), 1 << 26)), Done)
        drops = tmp_path / "root" / "_run" / "toy" / "clean" / "a.drops.jsonl.zst"
        ledgers.append([entry["id"] for entry in read_jsonl(str(drops))])
    assert ledgers == [[f"{raw}#0:1"], [f"{raw}#99:1"], [f"{raw}#1"]]


@pytest.mark.parametrize("when", ["planned", "read", "gone"])
def test_a_raw_file_that_changes_under_a_run_costs_its_task(tmp_path: Path, when: str) -> None:
    """After it was planned, or while it is read: no receipt vouches for another file's text."""
    raw = tmp_path / "a.jsonl"
    raw.write_text('{"text": "old"}\n')
    work = partial(toy_changing if when == "read" else toy_damaged, path=str(raw))
    task = Task("toy", "clean", "a", 0, work, "x", raw_files=(storage.stat(str(raw)),))
    if when == "planned":
        raw.write_text('{"text": "another"}\n')
    elif when == "gone":
        raw.unlink()
    failed = run_task(task, Workplace(str(tmp_path / "root"), 1 << 26))
    assert isinstance(failed, Failed)
    assert failed.fatal is None
    assert ("this run began" if when == "gone" else "it has changed since this run began") in failed.reason
    assert not isinstance(receipts.load_state(str(tmp_path / "root"), "toy", "clean", "a"), receipts.Receipt)


@pytest.mark.parametrize(("added", "outcome"), [(0, Done), (1, Failed)])
def test_the_shard_of_another_root_is_known_by_its_hash(tmp_path: Path, added: int, outcome: type) -> None:
    """Its stamp is the SHA-256 that a receipt names, which a look at the file does not give: its size decides."""
    shard = tmp_path / "a.jsonl"
    shard.write_text('{"text": "a shard"}\n')
    planned = storage.RawFile(str(shard), shard.stat().st_size + added, "0" * 64)
    task = Task("toy", "clean", "a", 0, partial(toy_damaged, path=str(shard)), "x", raw_files=(planned,))
    assert isinstance(run_task(task, Workplace(str(tmp_path / "root"), 1 << 26)), outcome)


def toy_changing(context: TaskContext, *, path: str) -> None:
    toy_damaged(context, path=path)
    Path(path).write_text('{"text": "another"}\n')


def toy_damaged(context: TaskContext, *, path: str, id_prefix: str | None = None) -> None:
    store(context, read_records(context, path, damaged_here_and_there, 1.0, id_prefix=id_prefix))


def test_a_shard_that_is_not_the_format_is_quarantined_and_the_run_goes_on(run: Run, three_shards: Path) -> None:
    (three_shards / "raw" / "b.jsonl").write_text("not json\n" * 200)
    result = run()
    [entry] = result.quarantined
    assert (entry.stage, entry.task) == ("clean", "b")
    assert "200 of 200 records are malformed" in entry.reason
    assert published(three_shards / "root") == ["one two", "three four", "seven eight", "five six"]
    raw(three_shards, "b.jsonl", ["mended now"])
    assert run().quarantined == []
    run("fresh")
    assert files_of(three_shards / "root") == files_of(three_shards / "fresh")


def test_the_shard_of_a_removed_file_goes_though_its_name_continues_that_of_a_broken_one(
    run: Run, three_shards: Path
) -> None:
    number = raw(three_shards, "b-0001.jsonl", ["a file of its own"])
    run()
    number.unlink()
    (three_shards / "raw" / "b.jsonl").write_text("not json\n" * 200)
    assert [entry.task for entry in run(prune=True).quarantined] == ["b"]
    assert not list((three_shards / "root").rglob("*b-0001*"))
    assert "seven eight" in published(three_shards / "root")  # of the broken file: what was there before stays


def test_a_worker_killed_once_costs_nothing(run: Run, three_shards: Path) -> None:
    marker = three_shards / "marker"
    raw(three_shards, "b.jsonl", [f"die once {marker}"])
    result = run(executor="local")
    assert marker.exists()
    assert result.quarantined == []
    run("reference")
    assert files_of(three_shards / "root") == files_of(three_shards / "reference")


def test_a_worker_killed_at_every_try_is_quarantined_and_the_others_go_on(run: Run, three_shards: Path) -> None:
    raw(three_shards, "b.jsonl", ["die"])
    result = run(executor="local")
    [entry] = result.quarantined
    assert (entry.task, "killed 3 times" in entry.reason) == ("b", True)
    assert published(three_shards / "root") == ["one two", "three four", "seven eight", "five six"]


def at_work(pid: int) -> bool:
    """True while a process is there and no zombie (a zombie has no command line)."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False


def test_workers_at_work_end_with_a_run_that_must_stop(tmp_path: Path) -> None:
    pid, never = str(tmp_path / "pid"), str(tmp_path / "never")
    os.mkfifo(pid)
    os.mkfifo(never)
    works = [
        partial(toy.block, pid_to=pid, wait_on=never),
        partial(toy.fill_the_disk, pid_from=pid, pid_to=str(tmp_path / "told")),
    ]
    tasks = [Task("toy", "stage", f"t{n}", n, work, "lineage") for n, work in enumerate(works)]
    with open_executor("local", workers=2) as pool:
        outcome = next(iter(pool.map(tasks, Workplace(str(tmp_path / "root"), 1 << 26))))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.fatal, StorageError)
    worker = int((tmp_path / "told").read_text())
    deadline = time.monotonic() + 60
    while at_work(worker):
        assert time.monotonic() < deadline, "the blocked worker is still there"


def test_verify_finds_damage(run: Run, three_shards: Path) -> None:
    run()
    shard = three_shards / "root" / "toy" / "b.jsonl.zst"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    (three_shards / "root" / "toy" / "stray.jsonl.zst").write_bytes(b"")
    problems = {name: problem for name, problem in root_status.verify(str(three_shards / "root")) if problem}
    assert set(problems) == {"toy/b.jsonl.zst", "toy/stray.jsonl.zst"}
    assert "SHA-256 differs" in problems["toy/b.jsonl.zst"]


def test_a_root_in_use_names_its_holder(tmp_path: Path) -> None:
    code = f"from redpajama_data.io.lock import hold\nwith hold({str(tmp_path)!r}): print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RootInUse, match=f"process {other.pid} .*Wait for it"), hold(str(tmp_path)):
            pass
        other.kill()
    with hold(str(tmp_path)):  # a lock ends with its process
        pass


def test_no_input_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"named \*\.jsonl"):
        list_inputs(toy.SLICE, [])
    with pytest.raises(UsageError, match="no input there"):
        list_inputs(toy.SLICE, [str(tmp_path)])


def test_fingerprints_refuse_what_they_cannot_name() -> None:
    with pytest.raises(TypeError, match="named module-level function"):
        describe(lambda doc: doc)
    with pytest.raises(TypeError, match="no fingerprint"):
        describe(object())
    assert describe(partial(toy.min_words, limit=1)) != describe(partial(toy.min_words, limit=2))
    assert describe(ModelFile("/a", "00")) == describe(ModelFile("/b", "00"))
