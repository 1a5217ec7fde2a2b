"""The sources as figures: each slice has one, each figure says where it is from, and the crawl is as large as asked."""

from __future__ import annotations

import pytest

from redpajama_data import config as configuration
from redpajama_data.config import RunConfig, SliceSettings
from redpajama_data.defaults import brought_configs
from redpajama_data.errors import UsageError
from slices import NAMES, load
from slices.sources.catalogue import catalogue, source_of
from slices.sources.sizes import CRAWL_BYTES, TIB, WET_FILE_BYTES


def settings(name: str, config: str | None = None, **given: object) -> SliceSettings:
    part = load(name)
    path = brought_configs()[config] if config else None
    run_config = configuration.load_config(path, {}) if path else RunConfig()
    return configuration.slice_settings(part.settings, name, run_config, given, path)


@pytest.mark.parametrize("name", [*NAMES, "common_crawl_v2"])
def test_every_source_says_where_its_figures_are_from(name: str) -> None:
    source = source_of(name, settings(name, "redpajama-v2" if name == "common_crawl_v2" else "redpajama-1t"))
    figures = source.figures()
    assert {"raw", "files"} <= set(figures)
    assert all(figure.value > 0 for figure in figures.values())
    assert all(len(figure.origin.split()) > 2 for figure in figures.values())
    assert set(catalogue()) == {*NAMES, "common_crawl_v2"}


def test_the_published_dumps_are_45_and_a_half_tebibytes() -> None:
    source = source_of("common_crawl", settings("common_crawl", "redpajama-1t"))
    assert source.raw.value / TIB == pytest.approx(45.52)
    assert source.files.value == source.raw.value // WET_FILE_BYTES
    assert source.tasks == 25_000


def test_all_dumps_of_redpajama_v2_have_a_size() -> None:
    source = source_of("common_crawl_v2", settings("common_crawl_v2", "redpajama-v2"))
    assert source.tasks == 84 * 5000
    assert not [note for note in source.notes if "not known" in note]
    assert source.raw.value / TIB == pytest.approx(607, abs=30)  # 84 dumps of 7.2 on the mean


def test_a_dump_is_as_large_as_announced_or_as_the_mean() -> None:
    one = source_of("common_crawl_v2", settings("common_crawl_v2", input=["raw/x/2023-06"]))
    new = source_of("common_crawl_v2", settings("common_crawl_v2", input=["raw/x/2031-06"]))
    assert one.raw.value == CRAWL_BYTES["2023-06"]
    assert new.raw.value == pytest.approx(sum(CRAWL_BYTES.values()) / len(CRAWL_BYTES))
    assert ["2031-06" in note for note in new.notes].count(True) == 1


def test_no_more_tasks_than_files() -> None:
    source = source_of("common_crawl", settings("common_crawl", input=["raw/x/2023-06"], shards=1_000_000))
    assert source.tasks == source.files.value


def test_money_is_asked_for_where_it_is_paid() -> None:
    paid = {name for name in NAMES if (s := source_of(name, settings(name, "redpajama-1t"))).usd or s.usd_per_gb}
    assert paid == {"github", "arxiv"}


def test_without_dumps_it_asks_for_them() -> None:
    with pytest.raises(UsageError, match="which dumps"):
        source_of("common_crawl_v2", settings("common_crawl_v2"))
    with pytest.raises(UsageError, match="--here"):
        source_of("instruct", settings("instruct"))
