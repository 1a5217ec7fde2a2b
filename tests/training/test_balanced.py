"""The repaired corpus of the classifier: each page once, no host too often, classes of one size, drawn by a seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from redpajama_data.cli.main import cli
from redpajama_data.training.balanced import Sampling, balanced_corpus, host_of
from redpajama_data.training.classifier_report import LeftOut
from redpajama_data.training.texts import Page, read_pages

Pages = list[dict[str, Any]]


def pages(path: Path, records: Pages) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def drawn(
    tmp_path: Path, cited: Pages, crawl: Pages, *, seed: int = 0, per_host: int = 100, shortest: int = 1
) -> tuple[list[tuple[str, str]], LeftOut]:
    files = [pages(tmp_path / "cited.jsonl", cited)], [pages(tmp_path / "crawl.jsonl", crawl)]
    examples, left_out = balanced_corpus(*files, Sampling(seed, per_host, shortest))
    return [tuple(example) for example in examples], left_out


def texts(*words: str) -> Pages:
    return [{"text": word} for word in words]


def of(examples: list[tuple[str, str]], label: str) -> list[str]:
    return sorted(text for its, text in examples if its == label)


def test_each_page_once(tmp_path: Path) -> None:
    cited = [{"text": "a\nb"}, {"text": "a b"}, {"text": "c", "digest": "1"}, {"raw_content": "d", "digest": "1"}]
    crawl = [{"text": word, "meta": {"digest": digest}} for word, digest in (("e", "2"), ("f", "2"), ("g", "3"))]
    examples, left_out = drawn(tmp_path, cited, crawl)
    wiki, cc = of(examples, "wiki"), of(examples, "cc")
    assert (wiki[0], wiki[1] in "cd", cc[0] in "ef", cc[1]) == ("a b", True, True, "g")
    assert left_out["wiki"]["copies"] == 2
    assert left_out["cc"]["copies"] == 1


def test_a_page_of_both_classes_is_cited(tmp_path: Path) -> None:
    crawl = [{"text": "a"}, {"text": "z", "digest": "1"}, {"text": "c"}, {"text": "d"}]
    examples, left_out = drawn(tmp_path, [{"text": "a"}, {"text": "b", "digest": "1"}], crawl)
    assert of(examples, "wiki") == ["a", "b"]
    assert of(examples, "cc") == ["c", "d"]
    assert left_out["cc"]["also positive"] == 2


@pytest.mark.parametrize(("pages_of_it", "stay"), [(1, 1), (2, 2), (3, 2)])
def test_pages_of_a_host(tmp_path: Path, pages_of_it: int, stay: int) -> None:
    of_one = [{"text": f"a{n}", "url": f"http://www.A.org:80/{n}"} for n in range(pages_of_it)]
    cited = [*of_one, {"text": "b", "url": "https://b.org"}, *texts("no", "address", "counts")]
    examples, left_out = drawn(tmp_path, cited, texts(*"pqrstuvw"), per_host=2)
    assert sum(text.startswith("a") and text != "address" for text in of(examples, "wiki")) == stay
    assert {"b", "no", "address", "counts"} < set(of(examples, "wiki"))
    assert left_out["wiki"]["beyond the host's"] == pages_of_it - stay


@pytest.mark.parametrize(("length", "trains"), [(999, False), (1000, True)])
def test_short_cited_pages_do_not_train(tmp_path: Path, length: int, trains: bool) -> None:
    examples, left_out = drawn(tmp_path, texts("a" * length, "b" * 1000), texts("c", "", "d"), shortest=1000)
    assert len(of(examples, "wiki")) == 1 + trains
    assert left_out["wiki"]["too short"] == 1 - trains
    assert left_out["cc"]["empty"] == 1


CLASSES = st.lists(st.sampled_from("abcdefghijkl"), max_size=12)


@given(CLASSES, CLASSES, st.integers(0, 3), st.randoms(use_true_random=False))
def test_both_classes_are_as_large_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory, cited: list[str], crawl: list[str], seed: int, random: Any
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    examples, left_out = drawn(folder, texts(*cited), texts(*crawl), seed=seed)
    size = min(len(set(cited)), len(set(crawl) - set(cited)))
    assert len(of(examples, "wiki")) == len(set(of(examples, "wiki"))) == size
    assert len(of(examples, "cc")) == len(set(of(examples, "cc"))) == size
    assert sum(left_out["wiki"].values()) == len(cited) - size
    assert sum(left_out["cc"].values()) == len(crawl) - size
    random.shuffle(cited)
    random.shuffle(crawl)
    assert drawn(folder, texts(*cited), texts(*crawl), seed=seed)[0] == examples


def test_a_seed_draws_others_and_mixes_the_classes(tmp_path: Path) -> None:
    cited, crawl = texts(*(f"w{n}" for n in range(20))), texts(*(f"c{n}" for n in range(200)))
    (first, _), (other, _) = (drawn(tmp_path, cited, crawl, seed=seed) for seed in (0, 1))
    assert of(first, "cc") != of(other, "cc") != sorted(f"c{n}" for n in range(20))
    assert [label for label, _ in first] != sorted(label for label, _ in first)


HOSTS = [
    ("http://www.a.org/b", "a.org"), ("HTTPS://A.org:8080", "a.org"), ("http://u:p@a.org", "a.org"), ("a.org/b", ""),
    ("", ""), ("http://[a", ""), ("http://www.b.a.org", "b.a.org"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "host"), HOSTS)
def test_hosts(url: str, host: str) -> None:
    assert host_of(url) == host


def test_what_a_record_says_of_its_page(tmp_path: Path) -> None:
    records: Pages = [
        {"raw_content": "a", "url": "http://a.org", "digest": "sha1:A"},
        {"text": "b", "meta": {"url": "http://b.org", "digest": "sha1:B"}},
        {"text": "c", "url": 1, "meta": "none"},
    ]
    assert list(read_pages(pages(tmp_path / "a.jsonl", records))) == [
        Page("a", "http://a.org", "sha1:A"),
        Page("b", "http://b.org", "sha1:B"),
        Page("c"),
    ]


def test_the_command(tmp_path: Path) -> None:
    cited = pages(tmp_path / "cited.jsonl", texts(*(f"{n} is a word of a cited page" * 50 for n in range(20))))
    crawl = pages(tmp_path / "crawl.jsonl", texts(*(f"{n} buy cheap things" * 50 for n in range(40))))
    common = ["train", "classifier", "--positive", cited, "--negative", crawl, "--dim", "4", "--lr", "1.0"]
    refused = CliRunner().invoke(cli, [*common, "--out", str(tmp_path / "m"), "--per-host", "3"])
    assert refused.exit_code == 2
    assert "Add --recipe corrected" in str(refused.output) + str(refused.exception)
    models = []
    for _ in range(2):
        done = CliRunner().invoke(
            cli, [*common, "--recipe", "corrected", "--seed", "3", "--out", str(tmp_path / "m")], catch_exceptions=False
        )
        assert done.exit_code == 0
        assert "left out of cc: 0 empty, 0 also positive, 0 copies" in done.stdout
        assert "20 beyond the other class" in done.stdout
        models.append((tmp_path / "m").read_bytes())
    assert models[0] == models[1]
