"""Workers that die, hang, or never start: what it costs, what is said, and that the others go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import resource
import signal
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from redpajama_data.engine import attempts, local_workers, ray_workers
from redpajama_data.engine.attempts import STALL_ALONE, STALL_TIMES, Attempt, Outcome, StallWatch
from redpajama_data.engine.local_workers import LocalExecutor
from redpajama_data.engine.ray_workers import PROCESS_MEMORY, RayExecutor
from redpajama_data.engine.run_task import Done, Failed, run_task
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.errors import UsageError, WorkersLost

SECOND = 1 / 60  # minutes
Work = Callable[[TaskContext], None]


# ------------------------------------------------------------------------------------------------ what tasks do


def nothing(context: TaskContext) -> None:
    """A task that is done at once."""


def wait_for_ever(context: TaskContext, *, pipe: str, pids: str) -> None:
    """Read from a pipe into which nobody writes."""
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")
    os.read(os.open(pipe, os.O_RDWR), 1)


def wait_once(context: TaskContext, *, pipe: str, pids: str) -> None:
    """As :func:`wait_for_ever`, but only at the first try."""
    if not Path(pids).exists():
        wait_for_ever(context, pipe=pipe, pids=pids)


def spin_in_c(context: TaskContext, *, pids: str) -> None:
    """A search that takes for ever in C code, which keeps the interpreter's lock: no thread of the worker runs."""
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")
    re.match("(a+)+$", "a" * 64 + "b")


def fault(context: TaskContext) -> None:
    """Crash as a broken kernel does."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), signal.SIGSEGV)


def too_much(context: TaskContext) -> None:
    """Ask for more memory than the process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 31, hard))
    try:
        bytearray(1 << 32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def notes_that_cannot_travel(context: TaskContext) -> None:
    """Leave something in the receipt that no other process can be sent."""

    @dataclass
    class Local:
        found: int = 1

    context.receipt.notes["local"] = Local()


def task(name: str, work: Work = nothing, size: int = 0) -> Task:
    return Task("s", "stage", name, 0, work, "lineage", bytes=size)


def outcomes(found: Iterator[Outcome]) -> dict[str, Outcome]:
    return {outcome.task.name: outcome for outcome in found}


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(str(tmp_path / "root"), 1 << 26)


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


# ------------------------------------------------------------------------------------------------ tasks that hang


@pytest.mark.parametrize("where", ["in a read", "in C"])
def test_a_task_that_hangs_is_reported_ended_tried_again_and_quarantined(
    tmp_path: Path, place: Workplace, pipe: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "STALL_TIMES", 1.0)
    pids = str(tmp_path / "pids")
    hangs = partial(wait_for_ever, pipe=pipe, pids=pids) if where == "in a read" else partial(spin_in_c, pids=pids)
    told: list[str] = []
    pool = LocalExecutor(2, 2 * SECOND, told.append)
    try:
        found = outcomes(pool.map([task("hangs", hangs), *(task(f"t{n}") for n in range(6))], place))
    finally:
        pool.close()
    failed = found.pop("hangs")
    assert {type(outcome) for outcome in found.values()} == {Done}
    assert isinstance(failed, Failed)
    assert re.search(
        r"^it hung: no end after [\d.]+ seconds \(others .*\); tried 3 times\. It stood at File .*, line \d+ in .*\. "
        r"Run again; if it hangs again, give it longer \(--stall MINUTES\) or report it",
        failed.reason,
    )
    assert ("in wait_for_ever" if where == "in a read" else "in spin_in_c") in failed.detail
    assert re.match(
        r"s stage: hangs has run for .* is taken for hung and tried again \(--stall changes that\)", told[0]
    )
    assert sum("it hung" in line for line in told) == 3
    tried = [int(pid) for pid in Path(pids).read_text().split()]
    assert len(set(tried)) == 3
    assert not any(map(alive, tried))


def test_a_task_that_hangs_once_is_done_at_the_next_try(
    tmp_path: Path, place: Workplace, pipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "STALL_TIMES", 1.0)
    hangs = partial(wait_once, pipe=pipe, pids=str(tmp_path / "pids"))
    told: list[str] = []
    pool = LocalExecutor(2, 2 * SECOND, told.append)
    try:
        found = outcomes(pool.map([task("hangs", hangs), *(task(f"t{n}") for n in range(6))], place))
    finally:
        pool.close()
    assert {type(outcome) for outcome in found.values()} == {Done}
    assert sum("it hung" in line for line in told) == 1


LIMITS: list[tuple[list[tuple[int, float]], int, float, float]] = [
    # (bytes, seconds) of what finished; bytes of the task; the limit's least; what it may take
    ([], 0, 900, STALL_ALONE * 900),  # nothing to measure it against
    ([(0, 10), (0, 10)], 0, 900, STALL_ALONE * 900),  # too little
    ([], 10**12, 900, STALL_TIMES * 10**6),  # ... but a terabyte takes its time
    ([(0, 10)] * 3, 0, 900, 900),  # 50 x 10 is less than the least
    ([(0, 100)] * 3, 0, 900, 5000),
    ([(0, 1), (0, 100), (0, 10_000)], 0, 900, 5000),  # the median, not the mean
    ([(10**6, 100)] * 3, 10**6, 900, 5000),
    ([(10**6, 100)] * 3, 10**8, 900, 500_000),  # a task a hundred times as large
    ([(10**6, 100)] * 3, 10, 900, 5000),  # a small one is given what the others were
    ([(0, 100)] * 3, 0, 0, float("inf")),  # switched off
]


@pytest.mark.parametrize(("finished", "size", "least", "limit"), LIMITS)
def test_how_long_a_task_may_take(finished: list[tuple[int, float]], size: int, least: float, limit: float) -> None:
    clock = [0.0]
    watch = StallWatch(least, clock=lambda: clock[0])
    for of, seconds in finished:
        attempt = Attempt(task("t", size=of), 0, watch.now())
        for _ in range(100):
            clock[0] += seconds / 100
            watch.now()
        watch.finished(attempt)
    assert watch.allowed(task("t", size=size)) == pytest.approx(limit)


def test_time_in_which_the_driver_did_not_run_does_not_count() -> None:
    clock = [0.0]
    watch = StallWatch(900, clock=lambda: clock[0])
    clock[0] = 10
    assert watch.now() == 10
    clock[0] = 100_000  # a laptop that slept, or Ctrl-Z
    assert watch.now() < 200


def test_a_task_is_reported_at_half_its_time_and_ended_at_the_whole() -> None:
    clock, told = [0.0], list[str]()
    watch = StallWatch(900, told.append, lambda: clock[0])
    attempt = Attempt(task("t"), 0, watch.now())
    assert watch.pause([attempt]) == 60
    for _ in range(3):
        watch.finished(Attempt(task("quick"), 0, 0.0))
    seen = {}
    while not watch.hangs(attempt):
        seen[watch.now()] = len(told)
        clock[0] += max(1, watch.pause([attempt]))
    assert next(at for at, lines in seen.items() if lines) == 450
    assert watch.now() == 900
    assert told == [
        "s stage: t has run for 8 minutes (others of the stage take 0.0 seconds for that size). After 15 minutes it is "
        "taken for hung and tried again (--stall changes that)."
    ]


def test_a_task_is_never_ended_unreported() -> None:
    """Also when the first tasks to measure it against finish long after its time was over."""
    clock, told = [0.0], list[str]()
    watch = StallWatch(900, told.append, lambda: clock[0])
    attempt = Attempt(task("t"), 0, watch.now())
    for _ in range(100):
        clock[0] += 60
        assert not watch.hangs(attempt)
    for _ in range(3):
        watch.finished(Attempt(task("quick"), 0, watch.now()))
    assert (watch.hangs(attempt), len(told)) == (False, 1)
    for _ in range(8):
        clock[0] += 60
        assert watch.hangs(attempt) == (clock[0] >= 6000 + 450)


def test_a_task_that_has_not_begun_does_not_hang() -> None:
    clock = [0.0]
    watch = StallWatch(1, clock=lambda: clock[0])
    attempt = Attempt(task("t"), 0, None)
    clock[0] = 100
    assert (watch.hangs(attempt), watch.pause([attempt])) == (False, 60)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.25, "0.2 seconds"), (12, "12 seconds"), (900, "15 minutes"), (90_000, "25 hours")]
)
def test_times_for_people(seconds: float, shown: str) -> None:
    assert attempts.minutes(seconds) == shown


# ------------------------------------------------------------------------------------------------ workers that die


def test_a_crash_is_named_a_defect_and_a_kill_is_not(place: Workplace) -> None:
    pool = LocalExecutor(2)
    try:
        found = outcomes(pool.map([task("faults", fault), task("t")], place))
    finally:
        pool.close()
    assert isinstance(found["t"], Done)
    failed = found["faults"]
    assert isinstance(failed, Failed)
    assert re.match(r"its worker crashed 3 times \(SIGSEGV\)\. .*please report", failed.reason)


def test_a_memory_limit_costs_the_task_and_not_the_worker(place: Workplace) -> None:
    pool = LocalExecutor(1)
    try:
        found = outcomes(pool.map([task("large", too_much), task("t")], place))
    finally:
        pool.close()
    failed = found["large"]
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("out of memory.")
    assert isinstance(found["t"], Done)


def test_what_cannot_travel_costs_its_task_alone(place: Workplace) -> None:
    pool = LocalExecutor(1)
    try:
        tasks = [task("in", lambda context: None), task("out", notes_that_cannot_travel), task("t")]
        found = outcomes(pool.map(tasks, place))
    finally:
        pool.close()
    for name in ("in", "out"):
        failed = found[name]
        assert isinstance(failed, Failed)
        assert failed.reason.endswith("This is a defect of rpj: please report it.")
    assert isinstance(found["t"], Done)


def test_a_fork_server_that_dies_is_replaced(place: Workplace) -> None:
    pool = LocalExecutor(2)
    try:
        assert {type(outcome) for outcome in pool.map([task(f"t{n}") for n in range(4)], place)} == {Done}
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        workers = [worker.process.pid for worker in pool._idle]
        for pid in (server, *workers):
            os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
        assert {type(outcome) for outcome in pool.map([task(f"t{n}") for n in range(4)], place)} == {Done}
    finally:
        pool.close()


def test_where_no_worker_can_be_started_the_run_ends_in_one_line(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = LocalExecutor(2)

    def refuse(*given: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(local_workers, "_Worker", refuse)
    monkeypatch.setattr(local_workers, "_STARTS", 2)
    with pytest.raises(WorkersLost, match=r"ulimit -u.* run the same command again") as lost:
        list(pool.map([task("t")], place))
    assert lost.value.exit_code == 7
    pool.close()


def test_fewer_workers_than_asked_for_do_all_tasks(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, made, started = LocalExecutor(3), local_workers._Worker, []

    def one(*given: Any) -> local_workers._Worker:
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(1)
        return made(*given)

    monkeypatch.setattr(local_workers, "_Worker", one)
    monkeypatch.setattr(local_workers, "_STARTS", 1)
    try:
        assert [type(outcome) for outcome in pool.map([task(f"t{n}") for n in range(3)], place)] == [Done] * 3
    finally:
        pool.close()


def test_a_stage_that_is_left_early_does_not_answer_the_next(tmp_path: Path, place: Workplace, pipe: str) -> None:
    pids = tmp_path / "pids"
    pool = LocalExecutor(2)
    try:
        stage = pool.map([task("first"), task("hangs", partial(wait_for_ever, pipe=pipe, pids=str(pids)))], place)
        assert next(iter(stage)).task.name == "first"
        stage.close()  # type: ignore[attr-defined]
        assert list(outcomes(pool.map([task("next")], place))) == ["next"]
    finally:
        pool.close()
    assert not any(alive(int(pid)) for pid in (pids.read_text().split() if pids.exists() else []))


def test_close_ends_a_worker_that_is_stuck_in_c(tmp_path: Path, place: Workplace) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    pool = LocalExecutor(2)
    stage = pool.map([task("stuck", partial(spin_in_c, pids=str(pids))), task("t")], place)
    assert next(iter(stage)).task.name == "t"
    pid = int(pids.read_text())
    assert alive(pid)
    pool.close()
    assert not alive(pid)
    assert multiprocessing.active_children() == []


# ------------------------------------------------------------------------------------------------ Ray, by a stub


class RayError(Exception):
    """As Ray's."""


ERRORS = [
    "ObjectLostError",
    "OwnerDiedError",
    "RayTaskError",
    "WorkerCrashedError",
    "NodeDiedError",
    "OutOfMemoryError",
    "RuntimeEnvSetupError",
    "TaskCancelledError",
    "RaySystemError",
    "OutOfDiskError",
]


class Stream:
    """What Ray gives for a task that yields; ``answers`` are values, or errors to raise."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = iter(answers)

    def __next__(self) -> Any:
        return next(self.answers)


@dataclass
class StubRay(types.ModuleType):
    """Ray as far as the executor knows it. ``script[name]`` has what each try of a task meets: "ok", "hang", or an
    error, in place of the outcome or ("submit", error) when it is submitted."""

    script: dict[str, list[Any]] = field(default_factory=dict)
    initialized: bool = True
    cancelled: list[str] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    memory: float = 8 << 30
    cpus: float = 2
    size: list[float] = field(default_factory=list)  # CPUs of the cluster at the next looks, if not those

    def __post_init__(self) -> None:
        super().__init__("ray")
        self.exceptions = types.SimpleNamespace(
            RayError=RayError, **{name: type(name, (RayError,), {}) for name in ERRORS}
        )
        self.names: dict[Stream, str] = {}

    __hash__ = types.ModuleType.__hash__
    __eq__ = types.ModuleType.__eq__

    def is_initialized(self) -> bool:
        return self.initialized

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.size.pop(0) if self.size else self.cpus}

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"Alive": True, "Resources": {"memory": self.memory, "CPU": self.cpus}},
            {"Alive": False, "Resources": {"memory": 1e15, "CPU": 64}},
        ]

    def remote(self, function: Any) -> Any:
        def options(**asked: Any) -> Any:
            self.asked = asked
            return types.SimpleNamespace(remote=self._submit)

        return types.SimpleNamespace(options=options)

    def _submit(self, task: Task, place: Workplace) -> Stream:
        step = self.script.get(task.name, []).pop(0) if self.script.get(task.name) else "ok"
        if isinstance(step, tuple):
            raise step[1]
        last = [] if step == "hang" else [run_task(task, place) if step == "ok" else step]
        stream = Stream(["started", *last])
        self.names[stream] = task.name
        return stream

    def wait(self, streams: list[Stream], num_returns: int, timeout: float) -> tuple[list[Stream], list[Stream]]:
        ready = [stream for stream in streams if stream.answers.__length_hint__()]  # type: ignore[attr-defined]
        return ready[:num_returns], []

    def get(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self, stream: Stream, force: bool) -> None:
        assert force
        self.cancelled.append(self.names[stream])


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StubRay:
    stub = StubRay()
    monkeypatch.setitem(sys.modules, "ray", stub)
    return stub


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("submit", [False, True])
def test_any_error_of_ray_costs_a_task_an_attempt(ray: StubRay, place: Workplace, name: str, submit: bool) -> None:
    error = getattr(ray.exceptions, name)("what Ray says\nin several lines")
    step = ("submit", error) if submit else error
    ray.script = {"once": [step], "always": [step] * 3}
    found = outcomes(RayExecutor(None, None).map([task("once"), task("always"), task("t")], place))
    assert (type(found["once"]), type(found["t"])) == (Done, Done)
    failed = found["always"]
    assert isinstance(failed, Failed)
    assert failed.fatal is None
    if name in ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError"):
        assert failed.reason.startswith("its worker was killed 3 times (out of memory?). Run again with fewer")
    else:
        assert re.match(rf"Ray could not do it, 3 times \({name}: what Ray says\)\. .*run again\.$", failed.reason)


def gone(ray: StubRay) -> Exception:
    ray.initialized = False
    return getattr(ray.exceptions, "RaySystemError")("the raylet is gone")  # type: ignore[no-any-return]  # noqa: B009


@pytest.mark.parametrize("how", ["not initialized", "ConnectionError at submit", "ConnectionError", "error of wait"])
def test_a_lost_cluster_ends_the_run_in_one_line(ray: StubRay, place: Workplace, how: str) -> None:
    pool = RayExecutor(None, None)
    if how == "not initialized":
        ray.script = {"t": [gone(ray)]}
    elif how == "ConnectionError":
        ray.script = {"t": [ConnectionError("gone")]}
    elif how == "ConnectionError at submit":
        ray.script = {"t": [("submit", ConnectionError("gone"))]}
    else:
        ray.wait = lambda *args, **named: ray.get(RayError("gone"))  # type: ignore[method-assign]
    with pytest.raises(WorkersLost, match=r"connection to the Ray cluster is lost \(.*run the same command again"):
        list(pool.map([task("t")], place))
    assert WorkersLost.exit_code == 7


def test_a_task_that_hangs_on_ray_is_cancelled_and_tried_again(ray: StubRay, place: Workplace) -> None:
    ray.script = {"once": ["hang"], "always": ["hang"] * 3}
    told: list[str] = []
    pool = RayExecutor(None, None, SECOND / 100, told.append)
    found = outcomes(pool.map([*(task(f"t{n}") for n in range(4)), task("once"), task("always")], place))
    failed = found.pop("always")
    assert {type(outcome) for outcome in found.values()} == {Done}
    assert isinstance(failed, Failed)
    assert re.match(r"it hung: no end after .*; tried 3 times\. Run again", failed.reason)
    assert sorted(ray.cancelled) == ["always"] * 3 + ["once"]
    assert any(line.startswith("s stage: always: it hung") for line in told)


def test_memory_is_declared_to_ray_and_too_much_is_refused_before_the_first_task(
    ray: StubRay, place: Workplace
) -> None:
    list(RayExecutor(None, None).map([task("t")], place))
    assert ray.asked["memory"] == place.memory + PROCESS_MEMORY
    ray.memory = place.memory
    with pytest.raises(UsageError, match=r"no node of the Ray cluster has more than 64 MiB\. Give less --memory"):
        next(iter(RayExecutor(None, None).map([task("t")], place)))


@pytest.mark.parametrize(
    ("cpus", "workers", "at_once", "cpus_a_task"),
    [(64, None, 64, 1), (64, 64, 64, 1), (64, 48, 48, 2), (64, 1, 1, 64), (2, 4, 4, 1), (0, 16, 16, 1)],
)
def test_tasks_of_a_ray_node_ask_for_so_many_cpus_that_no_more_run_than_share_the_memory(
    ray: StubRay, place: Workplace, cpus: int, workers: int | None, at_once: int, cpus_a_task: int
) -> None:
    ray.cpus = cpus
    pool = RayExecutor("auto", workers)
    assert pool.workers_a_machine == at_once
    list(pool.map([task("t")], place))
    assert ray.asked["num_cpus"] == cpus_a_task


def test_a_ray_cluster_without_a_cpu_needs_to_be_told_how_many_tasks_share_the_memory(ray: StubRay) -> None:
    ray.cpus = 0
    with pytest.raises(UsageError, match=r"no machine with a CPU yet\. Give --workers"):
        RayExecutor("auto", None)


def test_a_ray_cluster_that_grows_gets_more_tasks(
    ray: StubRay, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_workers, "_LOOK_EVERY", -1.0)  # look each time
    ray.cpus, ray.size = 0, [0, 0, 20, 20]
    most: list[int] = []
    wait = ray.wait

    def counted(streams: list[Stream], num_returns: int, timeout: float) -> Any:
        most.append(len(streams))
        return wait(streams, num_returns, timeout)

    ray.wait = counted  # type: ignore[method-assign]
    assert len(outcomes(RayExecutor("auto", 4).map([task(f"t{i}") for i in range(60)], place))) == 60
    assert most[0] == 8
    assert max(most) == 40


def test_it_is_said_once_when_ray_has_no_room(ray: StubRay, place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers, "_NO_ROOM", -1.0)
    told: list[str] = []
    looks = iter(range(5))
    wait = ray.wait

    def busy(streams: list[Stream], num_returns: int, timeout: float) -> Any:
        return wait(streams, num_returns, timeout) if next(looks, None) is None else ([], streams)

    ray.wait = busy  # type: ignore[method-assign]
    assert len(outcomes(RayExecutor("auto", 2, tell=told.append).map([task("t")], place))) == 1
    (line,) = told
    assert "no task has started" in line
    assert "asks for 1 CPU and" in line


def test_a_task_that_ray_cannot_be_sent_costs_itself_alone(ray: StubRay, place: Workplace) -> None:
    ray.script = {"odd": [("submit", TypeError("cannot pickle"))]}
    found = outcomes(RayExecutor(None, None).map([task("odd"), task("t")], place))
    failed = found["odd"]
    assert isinstance(failed, Failed)
    assert failed.reason == "TypeError: cannot pickle. This is a defect of rpj: please report it."
    assert isinstance(found["t"], Done)


def test_what_is_left_on_ray_when_a_stage_is_left_is_cancelled(ray: StubRay, place: Workplace) -> None:
    ray.script = {"hangs": ["hang"]}
    stage = RayExecutor(None, None).map([task("t"), task("hangs")], place)
    assert next(iter(stage)).task.name == "t"
    stage.close()  # type: ignore[attr-defined]
    assert ray.cancelled == ["hangs"]
