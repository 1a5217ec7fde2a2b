"""Bins, their axis, and the limit in it."""

from __future__ import annotations

import pytest

from redpajama_data.report_page.figures import histogram_svg, said_of, short
from redpajama_data.report_page.histogram import BINS, Series, histogram


def test_nothing_to_see_is_no_figure() -> None:
    assert histogram("x", [Series("kept", [])]) is None
    assert histogram("x", [Series("dropped", [0.0] * 5)], limit=1) is None
    assert histogram("x", [Series("kept", [float("nan"), float("inf"), 2.0])]) is None
    assert histogram("x", [Series("kept", [1.0, 2.0])]) is not None


def test_every_value_is_counted_once_with_its_weight() -> None:
    found = histogram("x", [Series("dropped", [0.1, 0.2], 3.0), Series("kept", [0.3, 0.9])], limit=0.25)
    assert found is not None
    assert {kind: sum(counts) for kind, counts in found.counts.items()} == {"dropped": 6.0, "kept": 2.0}
    assert [len(counts) for counts in found.counts.values()] == [BINS, BINS]
    assert found.limit_at == pytest.approx((0.25 - 0.1) / 0.8)


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([0.1, 0.5, 0.9], False),
        ([10, 12, 121], True),
        ([10, 12, 119], False),
        ([-3, 1, 9000], False),
        ([0, 2, 400], True),
    ],
)
def test_wide_values_go_by_powers_of_ten(values: list[float], log: bool) -> None:
    found = histogram("x", [Series("kept", values)])
    assert found is not None
    assert found.log == log
    assert all(0 <= at <= 1 for at, _ in found.ticks)
    assert 1 <= len(found.ticks) <= 6
    assert [value for _, value in found.ticks] == sorted(value for _, value in found.ticks)


def test_a_limit_beyond_all_values_is_in_the_figure() -> None:
    found = histogram("<b>", [Series("dropped", [1.0, 2.0])], limit=10)
    assert found is not None
    assert (found.high, found.limit_at) == (10, 1)
    svg = histogram_svg(found)
    assert "<b>" not in svg
    assert "&lt;b&gt;" in svg
    assert "the limit is 10" in said_of(found)


def test_numbers_of_an_axis_are_short() -> None:
    assert [short(value) for value in (0, 0.25, 999, 1000, 2_500_000, 1.21e12)] == [
        "0",
        "0.25",
        "999",
        "1k",
        "2.5M",
        "1.21T",
    ]
