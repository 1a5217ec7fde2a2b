"""Tasks of a stage: each with the lineage it would have alone, and lists that many share looked at once."""

from __future__ import annotations

from functools import partial

import pytest

from redpajama_data.config import SliceSettings
from redpajama_data.engine import lineage as lineages
from redpajama_data.engine.lineage import LONG, Known, lineage
from redpajama_data.engine.planning import NAMED_INPUTS, planned_tasks
from redpajama_data.engine.receipts import Output
from redpajama_data.engine.stages import Planned, Slice, Stage
from redpajama_data.io.storage import RawFile
from redpajama_data.models.model_file import ModelFile

PART = Slice("toy", "", 1, (), SliceSettings, lambda *_: [])
STAGE = Stage("stage", lambda given: [])


def files(count: int, sha256: str = "a") -> list[Output]:
    return [Output(f"{n}", 7, sha256, 1) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, LONG - 1, LONG, LONG + 1])
def test_a_shared_list_gives_every_task_the_lineage_it_has_alone(count: int) -> None:
    shared, paths = files(count), [f"{n}" for n in range(count)]
    planned = [Planned(f"{n}", partial(print, paths, n=n), shared) for n in range(3)]
    together = planned_tasks(PART, STAGE, planned)
    for n, task in enumerate(together):
        own = Planned(task.name, partial(print, [*paths], n=n), [*shared])
        assert planned_tasks(PART, STAGE, [own])[0].lineage == task.lineage
    assert len({task.lineage for task in together}) == 3
    assert [task.bytes for task in together] == [7 * count] * 3
    assert together[0].inputs == tuple(paths[:NAMED_INPUTS])


@pytest.mark.parametrize("count", [LONG - 1, LONG])
def test_every_file_and_its_place_have_a_say(count: int) -> None:
    one = files(count)
    others = [one[:-1], [*one[:-1], Output(one[-1].path, 7, "b", 1)], [one[1], one[0], *one[2:]]]
    found = [planned_tasks(PART, STAGE, [Planned("x", print, reads)])[0].lineage for reads in (one, *others)]
    assert len({*found}) == 4
    assert lineage([*range(count)]) != lineage([*range(1, count + 1)])


def test_a_long_list_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    describe = lineages.describe
    monkeypatch.setattr(lineages, "describe", lambda value, known=None: (seen.append(value), describe(value, known))[1])
    many, known = [f"{n}" for n in range(LONG)], Known()
    assert lineage(many, known=known) == lineage(many, known=known)
    assert seen.count("5") == 1


@pytest.mark.parametrize("count", [0, LONG])
def test_models_that_tasks_have_bound_are_known_at_any_depth(count: int) -> None:
    one, other, third = ModelFile("a", "1"), ModelFile("b", "2"), ModelFile("c", "3")
    many = [*range(count), (3, {"model": one})]
    works = [partial(print, many), partial(print, many, partial(print, model=other)), partial(print, "c", 3, b"x")]
    known = Known()
    planned_tasks(PART, STAGE, [Planned(f"{n}", work) for n, work in enumerate(works)], known)
    assert known.models == {one, other}
    assert third not in known.models


def test_raw_files_have_size_name_and_stamp() -> None:
    raw = [RawFile(f"raw/{n}", 10, f"stamp {n}") for n in range(20)]
    [task] = planned_tasks(PART, STAGE, [Planned("x", print, [*raw, *files(2)])])
    assert (task.raw_bytes, task.bytes, task.raw_files) == (200, 214, tuple(raw[:NAMED_INPUTS]))
    [later] = planned_tasks(PART, STAGE, [Planned("x", print, [*raw[:-1], raw[-1]._replace(stamp="s"), *files(2)])])
    assert later.lineage == task.lineage
    assert later.stamps != task.stamps


@pytest.mark.parametrize("names", [["x", "y", "x"], ["x", "X"]])
def test_two_tasks_of_one_name_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="toy stage: 2 tasks are named x"):
        planned_tasks(PART, STAGE, [Planned(name, print) for name in names])
    assert planned_tasks(PART, STAGE, []) == []
