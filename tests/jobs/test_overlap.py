"""What slices share, against the plain reading; any number of slices, any memory."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_root import files_of

from redpajama_data.cli.overlap import overlap, render
from redpajama_data.config import load_config
from redpajama_data.dedup import equal_keys
from redpajama_data.engine import receipts
from redpajama_data.engine.stages import RunSettings
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import root_status
from redpajama_data.whole_run import RunReport, run_parts
from slices.jobs import fuzzy, overlap_matrix, overlap_near
from slices.jobs.overlap import JOB, OverlapSettings
from slices.jobs.overlap_matrix import cells_of

Documents = list[tuple[str, str]]  # slice and text, in input order
REPORT = "_run/overlap/report/overlap.json"


def write(folder: Path, documents: Documents, *, shard: int = 3) -> Path:
    """Documents as shards of at most ``shard`` records, a folder a slice."""
    of: dict[str, list[bytes]] = defaultdict(list)
    for name, text in documents:
        of[name].append(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n")
    for name, lines in of.items():
        (folder / name).mkdir(parents=True)
        for first in range(0, len(lines), shard):
            (folder / name / f"{first:04d}.jsonl").write_bytes(b"".join(lines[first : first + shard]))
    return folder


def report_of(root: Path, folder: Path, tokenizer: ModelFile, *, executor: str = "serial", **more: Any) -> RunReport:
    config = load_config(None, {"root": str(root), "executor": executor, "tokenizer": tokenizer.path, "workers": 2})
    return run_parts([(JOB, OverlapSettings(input=(str(folder),), **more))], config, quiet=True)


def found_in(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / REPORT).read_text()))


def plain(documents: Documents, sizes: list[int] | None = None) -> dict[str, dict[str, Any]]:
    """The matrix, document by document: (documents, tokens) of what is within, elsewhere, and in each other slice. One
    token a byte, or as many as ``sizes`` says."""
    holders: dict[str, set[str]] = defaultdict(set)
    for name, text in documents:
        holders[text].add(name)
    matrix: dict[str, dict[str, Any]] = {}
    seen: set[tuple[str, str]] = set()
    for place, (name, text) in enumerate(documents):
        row = matrix.setdefault(name, {"within": (0, 0), "elsewhere": (0, 0), "in": {}})
        size = sizes[place] if sizes else len(text.encode())

        def add(cell: tuple[int, int], size: int = size) -> tuple[int, int]:
            return cell[0] + 1, cell[1] + size

        if (name, text) in seen:
            row["within"] = add(row["within"])
        seen.add((name, text))
        others = holders[text] - {name}
        if others:
            row["elsewhere"] = add(row["elsewhere"])
        for other in others:
            row["in"][other] = add(row["in"].get(other, (0, 0)))
    return matrix


def numbers(matrix: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A matrix of a report in the form of :func:`plain`."""

    def cell(found: dict[str, Any]) -> tuple[int, int]:
        return found["documents"], found["tokens"]

    return {
        name: {
            "within": cell(row["within"]),
            "elsewhere": cell(row["elsewhere"]),
            "in": {other: cell(found) for other, found in row["in"].items()},
        }
        for name, row in matrix.items()
    }


FIVE: Documents = [
    ("books", "a book"),
    ("c4", "page one"),
    ("c4", "page two"),
    ("c4", "page one"),
    ("c4", "everywhere"),
    ("wikipedia", "page one"),
    ("wikipedia", "everywhere"),
    ("wikipedia", "Page one"),
    ("arxiv", "everywhere"),
    ("arxiv", "everywhere"),
    ("github", ""),
    ("github", ""),
]


def test_the_matrix_of_a_small_corpus(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    report = report_of(tmp_path / "out", write(tmp_path / "in", FIVE), tiny_tokenizer)
    found = found_in(tmp_path / "out")
    assert found["slices"]["c4"] == {"documents": 4, "tokens": 34}
    assert (found["shards"], found["shards_given"]) == (6, 6)
    assert numbers(found["exact"])["c4"] == {
        "within": (1, 8),
        "elsewhere": (3, 26),
        "in": {"arxiv": (1, 10), "wikipedia": (3, 26)},
    }
    assert numbers(found["exact"])["arxiv"] == {
        "within": (1, 10),
        "elsewhere": (2, 20),
        "in": {"c4": (2, 20), "wikipedia": (2, 20)},
    }
    assert numbers(found["exact"]) == plain(sorted(FIVE, key=lambda document: document[0]))
    assert found["exact"]["c4"]["in"]["wikipedia"]["documents_share"] == 3 / 4
    assert found["exact"]["c4"]["in"]["wikipedia"]["tokens_share"] == 26 / 34
    assert found["exact"]["github"]["within"]["tokens_share"] == 0
    assert not [problem for _, problem in root_status.verify(str(tmp_path / "out")) if problem]
    assert report.exit_code() == 0


TEXTS = st.sampled_from(["a", "bb", "ccc", "é", ""])
CORPORA = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), TEXTS), min_size=1, max_size=25)


@settings(max_examples=25)
@given(documents=CORPORA, tiny=st.booleans())
def test_the_matrix_equals_the_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: ModelFile, documents: Documents, tiny: bool
) -> None:
    place = tmp_path_factory.mktemp("overlap")
    before = equal_keys._BYTES_PER_KEY, overlap_matrix._BYTES_PER_ROW
    try:
        if tiny:  # several partitions, and rows are brought together after every few
            equal_keys._BYTES_PER_KEY, overlap_matrix._BYTES_PER_ROW = 200 << 20, 1 << 30
        report_of(place / "out", write(place / "in", documents), tiny_tokenizer)
    finally:
        equal_keys._BYTES_PER_KEY, overlap_matrix._BYTES_PER_ROW = before
    expected = plain(sorted(documents, key=lambda document: document[0]))
    assert numbers(found_in(place / "out")["exact"]) == dict(sorted(expected.items()))


# ---------------------------------------------------------------------------------------------- near matches


def story(seed: int, changed: int = 0) -> str:
    """A text of 200 words, some of them (spread evenly) changed."""
    words = [f"w{(seed * 7919 + n * 104729) % 99991}" for n in range(200)]
    for n in range(changed):
        words[n * (200 // max(1, changed))] = f"changed{seed}{n}"
    return " ".join(words)


NEAR: Documents = [
    ("books", story(1)),
    ("books", story(2)),
    ("c4", story(1, changed=1)),  # 5 of 196 shingles differ: 0.95
    ("c4", story(2, changed=40)),  # nearly all shingles differ
    ("c4", story(3)),
    ("c4", story(3, changed=2)),
    ("c4", "short"),
    ("wikipedia", story(3, changed=1)),
    ("wikipedia", "short"),
    ("wikipedia", "..."),
    ("books", "..."),  # no word: an equal text, but in no cluster
]


def test_documents_of_a_cluster_are_near_matches(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    report_of(tmp_path / "out", write(tmp_path / "in", NEAR), tiny_tokenizer)
    found = found_in(tmp_path / "out")
    sizes = [len(text) for _, text in NEAR]
    assert numbers(found["near"]) == {
        "books": {"within": (0, 0), "elsewhere": (1, sizes[0]), "in": {"c4": (1, sizes[0])}},
        "c4": {
            "within": (1, sizes[5]),
            "elsewhere": (4, sizes[2] + sizes[4] + sizes[5] + 5),
            "in": {"books": (1, sizes[2]), "wikipedia": (3, sizes[4] + sizes[5] + 5)},
        },
        "wikipedia": {"within": (0, 0), "elsewhere": (2, sizes[7] + 5), "in": {"c4": (2, sizes[7] + 5)}},
    }
    assert numbers(found["exact"])["books"]["in"] == {"wikipedia": (1, 3)}
    assert found["near_settings"] == {"threshold": 0.8, "ngram": 5, "permutations": 128}
    assert not [problem for _, problem in root_status.verify(str(tmp_path / "out")) if problem]


def test_the_threshold_decides_and_near_can_be_left_out(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", [("books", story(1)), ("c4", story(1, changed=8))])  # 160 of 236 shingles: 0.66
    for threshold, documents in ((0.8, 0), (0.5, 1)):
        report = report_of(tmp_path / "out", folder, tiny_tokenizer, threshold=threshold)
        assert found_in(tmp_path / "out")["near"]["c4"]["elsewhere"]["documents"] == documents
    assert report.slices[0].skipped == 3  # the keys and the exact matrix are made once
    report_of(tmp_path / "out", folder, tiny_tokenizer, near=False)
    found = found_in(tmp_path / "out")
    assert "near" not in found
    assert "near" not in render(found)


def test_near_matches_are_the_clusters_of_the_fuzzy_job(
    tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the survivors that the fuzzy job writes into its ledger, with shards of one to three records."""
    documents = [("abcd"[n % 4], story(n * n % 11, changed=n % 3)) for n in range(60)]
    folder = write(tmp_path / "in", documents)
    config = load_config(
        None, {"root": str(tmp_path / "fuzzy"), "executor": "serial", "tokenizer": tiny_tokenizer.path}
    )
    run_parts([(fuzzy.JOB, fuzzy.FuzzySettings(input=(str(folder),)))], config, quiet=True)
    survivor = {
        entry["id"]: entry["survivor"]
        for receipt in receipts.load_all(str(tmp_path / "fuzzy"), "fuzzy")
        if "drops" in receipt.outputs
        for entry in read_jsonl(str(tmp_path / "fuzzy" / receipt.outputs["drops"].path))
    }
    assert 10 < len(survivor) < 60
    clusters = [
        (path.parent.name, survivor.get(f"{path}#{n}", f"{path}#{n}"), len(json.loads(line)["text"]))
        for path in sorted(folder.rglob("*.jsonl"))
        for n, line in enumerate(path.read_text().splitlines())
    ]
    monkeypatch.setattr(overlap_near, "_STEP", 2)
    report_of(tmp_path / "out", folder, tiny_tokenizer)
    assert numbers(found_in(tmp_path / "out")["near"]) == plain(
        [(name, cluster) for name, cluster, _ in clusters], [size for _, _, size in clusters]
    )


def test_scattering_is_one_to_one_and_even() -> None:
    found = overlap_near.scatter(np.arange(1 << 16, dtype="<u8"))
    assert len(np.unique(found)) == 1 << 16
    assert np.bincount((found >> np.uint64(60)).astype(np.int64)).min() > 3500  # of 4096 on average


# ---------------------------------------------------------------------------------------------- size


def test_any_number_of_slices(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    documents = [(f"s{n:03d}", text) for n in range(60) for text in ("shared", f"own {n}", f"pair {n // 2}")]
    report_of(tmp_path / "out", write(tmp_path / "in", documents), tiny_tokenizer)
    found = found_in(tmp_path / "out")
    assert numbers(found["exact"]) == plain(documents)
    lines = render(found).split("\n")
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("s007 ") for line in lines) == 1 + 4 * 9  # 60 columns, 7 beside each other, 4 tables


@pytest.mark.parametrize(("limit", "rounds"), [(1, 1), (2, 3)])
def test_one_text_many_times_takes_no_memory(limit: int, rounds: int) -> None:
    """Rows of one group cannot be divided among partitions: they are brought together on the way."""
    rows = [
        overlap_matrix._Groups(
            *(np.full(1000, 7, "<u8") for _ in range(2)),
            np.full(1000, part % 2, "<u4"),
            *(np.full(1000, n, "<u8") for n in (1, 5, 5)),
        )
        for part in range(rounds * 2)
    ]
    held = rows[:limit]
    for more in rows[limit:]:
        held = [overlap_matrix._together([*held, more])]
        assert len(held[0].hi) <= 2
    count = rounds * 1000
    assert cells_of(overlap_matrix._together(held)) == {
        (0, 0): (count - 1, 5 * (count - 1)),
        (1, 1): (count - 1, 5 * (count - 1)),
        (0, 1): (count, 5 * count),
        (1, 0): (count, 5 * count),
        (0, -1): (count, 5 * count),
        (1, -1): (count, 5 * count),
    }


def test_workers_and_restarts_give_the_same_bytes(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", FIVE)
    report_of(tmp_path / "serial", folder, tiny_tokenizer)
    expected = files_of(tmp_path / "serial")
    report_of(tmp_path / "local", folder, tiny_tokenizer, executor="local")
    assert files_of(tmp_path / "local") == expected
    for stage in JOB.stages(OverlapSettings(), RunSettings(tiny_tokenizer, 0.5)):
        first = sorted((tmp_path / "serial/_run/overlap" / stage.name).glob("*.receipt.json"))[0]
        first.unlink()
        assert report_of(tmp_path / "serial", folder, tiny_tokenizer).slices[0].done_now == 1
        assert files_of(tmp_path / "serial") == expected


def test_what_could_not_be_read_is_said(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", FIVE)
    (folder / "c4/0001.jsonl").write_bytes(b'{"body": 1}\n' * 150)
    (folder / "c4/0002.jsonl").write_bytes(b'{"text": "\\ud800"}\n{"text": "a book"}\n')
    report = report_of(tmp_path / "out", folder, tiny_tokenizer)
    assert report.exit_code() == 3
    found = found_in(tmp_path / "out")
    assert (found["shards"], found["shards_given"]) == (7, 8)
    assert render(found).startswith("7 of 8 shards: the others could not be read.")
    assert found["slices"]["c4"]["documents"] == 5
    assert found["exact"]["books"]["in"]["c4"]["documents"] == 1
    (receipt,) = [r for r in receipts.load_all(str(tmp_path / "out"), "overlap") if r.dropped and r.stage == "keys"]
    assert (receipt.read, receipt.kept, receipt.dropped) == (2, 1, {"malformed": 1})


def test_the_command_prints_tables_or_json_and_writes_into_the_root_it_reads(
    tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    folder = write(tmp_path / "in", FIVE)
    shared = ["--executor", "serial", "--quiet", "--tokenizer", tiny_tokenizer.path]

    def invoke(*arguments: object) -> Any:
        return CliRunner().invoke(overlap, [*map(str, arguments), *shared], catch_exceptions=False)

    with pytest.raises(UsageError, match="no root"):
        invoke(folder)
    done = invoke(folder, "--root", tmp_path / "out")
    assert done.exit_code == 0, done.output
    table = done.output.split("equal text: documents")[1].split("\n")
    assert table[1].split() == ["arxiv", "books", "c4", "github", "wikipedia"]
    assert table[4].split() == ["c4", "1", "25.0%", "-", "1", "25.0%", "-", "3", "75.0%"]
    assert max(map(len, done.output.split("\n"))) <= 100
    done = invoke(folder, "--root", tmp_path / "out", "--json")
    assert json.loads(done.output) == found_in(tmp_path / "out")
