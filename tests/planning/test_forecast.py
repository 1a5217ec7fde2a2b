"""From costs and sizes to hours, bytes and money: arithmetic, on both sides of each limit."""

from __future__ import annotations

import pytest

from redpajama_data.models.fast_tokens import CACHE_LIMIT
from redpajama_data.planning.calibrate import Seen, StageSeen
from redpajama_data.planning.forecast import HOUR, Machine, cache_growth, in_all, plan_job, plan_slice
from redpajama_data.planning.model import Cost, StageCost, fit, two_points
from redpajama_data.planning.source import Source
from redpajama_data.whole_run import LEAST_MEMORY

PEAK = 300 << 20
# The tokenizer's memory of words: a byte a byte that a core publishes, 100 MB, up to its limit.
WORKER = PEAK + LEAST_MEMORY + min(CACHE_LIMIT, 100_000_000)
ROOMY = Machine(cores=10, memory=10 * WORKER, disk=1 << 50, bandwidth=1e12)


def cost(*stages: StageCost, start: float = 0.0) -> Cost:
    """Two bytes of text in a byte of raw files, half of it published, and a record each 1,000 bytes."""
    return Cost("toy", stages, text=2.0, published=0.5, records=1e-3, final=0.25, steps=0.125, start=start)


def source(raw: float = 1e9, files: float = 100, **more: object) -> Source:
    figures = {"raw": {"value": raw, "origin": "here"}, "files": {"value": files, "origin": "here"}}
    ratios = {"text": 4, "published": 1, "records": 0.01, "final": 0.5, "steps": 0, "likeness": 3, "origin": "here"}
    return Source.model_validate({"of": "toys", **figures, "ratios": ratios, **more})


READ = StageCost("read", task=0.5, byte=1e-6, peak=PEAK, each=1.0)


def figure(value: float) -> dict[str, object]:
    return {"value": value, "origin": "here"}


def test_a_slice_takes_so_much_a_task_and_so_much_a_byte() -> None:
    plan = plan_slice(cost(READ), source(), ROOMY)
    seconds = 0.5 * 100 + 1e-6 * 2e9
    assert plan.core_hours == pytest.approx(seconds / HOUR)
    assert plan.run_hours == pytest.approx(seconds / 10 / HOUR)
    assert (plan.raw, plan.steps, plan.final) == (1e9, 0.25e9, 0.5e9)
    assert plan.disk == 1.75e9
    assert plan.published == 1e9
    assert [(stage.stage, stage.tasks) for stage in plan.stages] == [("read", 100)]


def test_the_text_of_a_source_may_be_known_better_than_by_the_ratio() -> None:
    plan = plan_slice(cost(READ), source(text=figure(4e9)), ROOMY)
    assert plan.core_hours == pytest.approx((0.5 * 100 + 1e-6 * 4e9) / HOUR)


def test_on_the_embedded_sample_the_ratios_of_real_files_hold() -> None:
    plan = plan_slice(cost(READ), source(), ROOMY, embedded=True)
    assert plan.core_hours == pytest.approx(3 * (0.5 * 100 + 1e-6 * 4e9) / HOUR)
    assert (plan.steps, plan.final, plan.published) == (0, 2e9, 4e9)


def test_each_worker_starts_once() -> None:
    plan, quick = (plan_slice(cost(READ, start=start), source(), ROOMY) for start in (3.0, 0.0))
    assert (plan.core_hours - quick.core_hours) * HOUR == pytest.approx(3 * 10)
    assert (plan.run_hours - quick.run_hours) * HOUR == pytest.approx(3)


@pytest.mark.parametrize(
    ("memory", "workers", "limit"),
    [(10 * WORKER, 10, "cores"), (10 * WORKER - 1, 9, "memory"), (WORKER, 1, "memory"), (1, 1, "memory")],
)
def test_workers_are_as_many_as_cores_and_memory_bear(memory: int, workers: int, limit: str) -> None:
    plan = plan_slice(cost(READ), source(), Machine(10, memory, 1 << 50, 1e12))
    assert (plan.workers, plan.limit, plan.memory) == (workers, limit, workers * WORKER)


def test_the_tokenizer_remembers_words_up_to_its_limit() -> None:
    assert [cache_growth(size) for size in (0, 1000, CACHE_LIMIT, 1e12)] == [0, 1000, CACHE_LIMIT, CACHE_LIMIT]


def test_the_disk_limits_what_does_not_fit() -> None:
    whole = plan_slice(cost(READ), source(), ROOMY)
    for disk, limit in ((whole.disk, "cores"), (whole.disk - 1, "disk")):
        assert plan_slice(cost(READ), source(), Machine(10, 10 * WORKER, int(disk), 1e12)).limit == limit


def test_the_line_or_the_host_limits_what_takes_longer_to_fetch_than_to_run() -> None:
    run = plan_slice(cost(READ), source(), ROOMY).run_hours * HOUR
    fast, slow = 1e9 / (run * 0.9), 1e9 / (run * 1.1)
    for machine_rate, host_rate, limit in ((fast, fast, "cores"), (slow, fast, "network"), (fast, slow, "network")):
        machine = Machine(10, 10 * WORKER, 1 << 50, machine_rate)
        plan = plan_slice(cost(READ), source(host_rate=figure(host_rate)), machine)
        assert plan.limit == limit
        assert plan.fetch_hours * HOUR == pytest.approx(1e9 / min(machine_rate, host_rate))


def test_a_host_that_wants_pauses_takes_as_long_as_they_do() -> None:
    plan = plan_slice(cost(READ), source(host="data.commoncrawl.org"), ROOMY)
    assert plan.fetch_hours * HOUR == pytest.approx(100)  # a request a second


def test_what_is_here_need_not_come_nor_be_paid() -> None:
    priced = source(usd=figure(25), usd_per_gb=figure(0.09))
    part, whole = (plan_slice(cost(READ), priced, ROOMY, here=here) for here in (0.5e9, 1e9))
    assert (part.fetch, part.requests, part.usd) == (0.5e9, 50, 25 + 0.045)
    assert (whole.fetch, whole.requests, whole.usd, whole.fetch_hours) == (0, 0, 0, 0)


def test_a_stage_is_not_done_before_its_largest_task() -> None:
    """One file with 90 % of the text keeps one worker busy, however many there are."""
    plan = plan_slice(cost(READ), source(largest=figure(0.9)), ROOMY)
    assert plan.run_hours == pytest.approx(0.9 * plan.core_hours)
    assert plan.limit == "one file"
    for share, limit in ((0.21, "one file"), (0.19, "cores")):  # of ten workers: half of them wait
        assert plan_slice(cost(READ), source(largest=figure(share)), ROOMY).limit == limit


def test_a_stage_over_all_keys_has_tasks_by_their_number() -> None:
    keys = StageCost("dedup", task=0.0, byte=1e-9, peak=PEAK, each=0.0)
    few = plan_slice(cost(READ, keys), source(), ROOMY).stages[1]  # 2 M records
    many = plan_slice(cost(READ, keys), source(raw=1e11), ROOMY).stages[1]  # 200 M
    assert (few.tasks, many.tasks) == (1, 64)


def test_in_all_is_the_sum_and_the_highest() -> None:
    parts = [plan_slice(cost(READ), source(), ROOMY), plan_job(cost(READ), ROOMY, 1e9, 10)]
    total = in_all(parts, ROOMY)
    assert total.core_hours == sum(part.core_hours for part in parts)
    assert total.disk == sum(part.disk for part in parts)
    assert total.memory == max(part.memory for part in parts)
    assert total.limit == "cores"
    half = Machine(10, 10 * WORKER, int(total.disk) - 1, 1e12)  # each fits, both do not
    assert {plan_slice(cost(READ), source(), half).limit, plan_job(cost(READ), half, 1e9, 10).limit} == {"cores"}
    assert in_all(parts, half).limit == "disk"


def test_two_sizes_tell_tasks_from_bytes() -> None:
    assert two_points((2, 1000, 2 * 0.5 + 1.0), (2, 4000, 2 * 0.5 + 4.0)) == pytest.approx((0.5, 1e-3))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((2, 1000, 1.0), (8, 4000, 4.0), (0.0, 1e-3)),  # as many bytes a task: nothing tells them apart
        ((2, 1000, 0.1), (2, 4000, 4.0), (0.0, 1e-3)),  # a task would take less than nothing
        ((2, 1000, 4.0), (2, 4000, 3.0), (1.5, 0.0)),  # a byte would
    ],
)
def test_noise_makes_no_cost_negative(
    one: tuple[int, int, float], other: tuple[int, int, float], expected: tuple[float, float]
) -> None:
    assert two_points(one, other) == pytest.approx(expected)


def test_costs_give_back_the_runs_that_they_are_of() -> None:
    def seen(text: int, cpu: float) -> Seen:
        stages = {"read": StageSeen("read", 2, cpu, PEAK), "dedup": StageSeen("dedup", 1, 0.25, PEAK)}
        return Seen("toy", text // 2, text, text // 4, text // 100, text // 8, text // 16, stages)

    found = fit(seen(1000, 1.0), seen(4000, 2.5), start=0.75)
    assert found.seconds(2, 4000) == pytest.approx(2.75)
    assert found.seconds(2, 1000) == pytest.approx(1.25)
    assert (found.text, found.published, found.final, found.start, found.peak) == (2.0, 0.25, 0.125, 0.75, PEAK)
    assert [stage.each for stage in found.stages] == [1.0, 0.0]
    with pytest.raises(ValueError, match="no text"):
        fit(seen(1000, 1.0), Seen("toy", 0))
