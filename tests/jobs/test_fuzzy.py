"""Near-duplicates over shards: who survives, what the ledger says, and the same bytes however it runs."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from whole_root import files_of

from filters import minhash
from redpajama_data.config import load_config, slice_settings
from redpajama_data.dedup.bands import MAX_LEADERS
from redpajama_data.engine import receipts
from redpajama_data.errors import UsageError
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.shards import read_jsonl
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation, root_status
from redpajama_data.whole_run import RunReport, run_parts
from slices.jobs.fuzzy import JOB, FuzzySettings

Corpus = dict[str, list[str]]  # path below the input folder -> texts
WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "pe", "ri", "so", "tu") for b in ("ba", "de", "fi", "go", "hu")]


def text_of(seed: int, words: int = 120) -> str:
    """A text of its own for each seed."""
    rng = random.Random(seed)
    return " ".join(f"{rng.choice(WORDS)}{rng.randrange(50)}" for _ in range(words))


def edited(text: str, seed: int, changes: int = 1) -> str:
    """The text with so many words replaced: of 116 shingles each takes 5."""
    rng = random.Random(seed)
    words = text.split()
    for place in rng.sample(range(len(words)), changes):
        words[place] = f"edit{seed}x{place}"
    return " ".join(words)


def write(folder: Path, corpus: Corpus) -> Path:
    for name, texts in corpus.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(json.dumps({"text": text, "meta": {"n": n}}).encode() + b"\n" for n, text in enumerate(texts))
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return folder


def fuzzy(
    root: Path,
    folder: Path,
    tokenizer: ModelFile,
    *,
    executor: str = "serial",
    workers: int = 1,
    memory: str = "1G",
    **given: Any,
) -> RunReport:
    options = {
        "root": str(root),
        "executor": executor,
        "tokenizer": tokenizer.path,
        "workers": workers,
        "memory": memory,
    }
    config = load_config(None, options)
    settings = slice_settings(FuzzySettings, "fuzzy", config, {**given, "input": (str(folder),)}, None)
    return run_parts([(JOB, settings)], config, quiet=True)


def kept(root: Path) -> dict[str, list[bytes]]:
    """What was published, by shard: ``c4/a`` -> lines."""
    found = {}
    for path in sorted((root / "fuzzy").rglob("*.jsonl.zst")):
        name = f"{path.parent.name}/{path.name.removesuffix('.jsonl.zst')}"
        found[name] = [line for line in iter_lines(str(path), max_bytes=1 << 30) if isinstance(line, bytes)]
    return found


def of_role(root: Path, folder: Path, role: str) -> list[dict[str, Any]]:
    """The JSON lines of every file of a role, ids without the input folder."""
    entries = [
        entry
        for receipt in receipts.load_all(str(root), "fuzzy")
        if role in receipt.outputs
        for entry in read_jsonl(str(root / receipt.outputs[role].path))
    ]
    for entry in entries:
        for name in ("id", "survivor"):
            if name in entry:
                entry[name] = entry[name].removeprefix(f"{folder}/")
    return entries


def ledger(root: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """id -> (rule, survivor)."""
    return {entry["id"]: (entry["rule"], entry.get("survivor", "")) for entry in of_role(root, folder, "drops")}


def published_and_told(root: Path) -> dict[str, bytes]:
    """The bytes that must not depend on how a run was made."""
    endings = (".jsonl.zst", ".verdicts", ".ids.zst")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.name.endswith(endings) and "/bands/" not in str(path)
    }


def check_account(root: Path, report: RunReport, lines: int) -> None:
    """Every line is published or has its entry; every receipt, ledger and checksum agrees."""
    published = sum(len(found) for found in kept(root).values())
    dropped = sum(sum(receipt.dropped.values()) for receipt in report.slices[0].all_receipts())
    assert published + dropped == lines
    assert not [problem for _, problem in root_status.verify(str(root)) if problem]


# ---------------------------------------------------------------------------------------------- who survives

A, B, C = text_of(1), text_of(2), text_of(3)
PLANTED: Corpus = {
    "c4/a.jsonl": [A, text_of(10), edited(B, 5), ""],
    "c4/b.jsonl.gz": [edited(A, 6), C, text_of(11), edited(A, 7), ""],
    "wikipedia/a.jsonl": [text_of(12), B, edited(A, 8), C.upper(), "..."],
}


@pytest.mark.parametrize(
    ("priority", "survivors"),
    [
        ("", ["c4/a.jsonl#0", "c4/a.jsonl#2", "c4/b.jsonl.gz#1"]),
        ("c4,wikipedia", ["c4/a.jsonl#0", "c4/a.jsonl#2", "c4/b.jsonl.gz#1"]),
        ("wikipedia", ["wikipedia/a.jsonl#2", "wikipedia/a.jsonl#1", "wikipedia/a.jsonl#3"]),
        ("books,wikipedia", ["wikipedia/a.jsonl#2", "wikipedia/a.jsonl#1", "wikipedia/a.jsonl#3"]),
    ],
)
def test_of_near_duplicates_the_first_of_the_best_slice_stays(
    tmp_path: Path, tiny_tokenizer: ModelFile, priority: str, survivors: list[str]
) -> None:
    groups = [
        ["c4/a.jsonl#0", "c4/b.jsonl.gz#0", "c4/b.jsonl.gz#3", "wikipedia/a.jsonl#2"],
        ["c4/a.jsonl#2", "wikipedia/a.jsonl#1"],
        ["c4/b.jsonl.gz#1", "wikipedia/a.jsonl#3"],
    ]
    folder = write(tmp_path / "in", PLANTED)
    report = fuzzy(tmp_path / "out", folder, tiny_tokenizer, priority=priority)
    expected = {
        doc: survivor for group, survivor in zip(groups, survivors, strict=True) for doc in group if doc != survivor
    }
    entries = of_role(tmp_path / "out", folder, "drops")
    assert {entry["id"]: entry["survivor"] for entry in entries} == expected
    assert {entry["id"]: entry["cluster_size"] for entry in entries} == {
        doc: len(group) for group in groups for doc in group if doc in expected
    }
    assert {(entry["rule"], entry["limit"]) for entry in entries} == {("near_duplicate", 0.8)}
    check_account(tmp_path / "out", report, 14)


def test_the_ledger_has_the_estimated_similarity(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", PLANTED)
    fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    scheme = minhash.scheme(threshold=0.8, ngram=5, permutations=128)

    def text(doc_id: str) -> str:
        name, n = doc_id.split("#")
        return PLANTED[name][int(n)]

    for entry in of_role(tmp_path / "out", folder, "drops"):
        pair, _ = minhash.signatures([text(entry["id"]), text(entry["survivor"])], scheme)
        assert entry["measured"] == minhash.similarity(pair[:1], pair[1:])[0] >= 0.8


def test_the_cluster_file_is_sorted_by_survivor(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", PLANTED)
    report = fuzzy(tmp_path / "out", folder, tiny_tokenizer, priority="wikipedia")
    found = of_role(tmp_path / "out", folder, "clusters")
    assert [(entry["survivor"], entry["id"], entry["size"]) for entry in found] == [
        ("wikipedia/a.jsonl#1", "c4/a.jsonl#2", 2),
        ("wikipedia/a.jsonl#2", "c4/a.jsonl#0", 4),
        ("wikipedia/a.jsonl#2", "c4/b.jsonl.gz#0", 4),
        ("wikipedia/a.jsonl#2", "c4/b.jsonl.gz#3", 4),
        ("wikipedia/a.jsonl#3", "c4/b.jsonl.gz#1", 2),
    ]
    (receipt,) = report.slices[0].receipts["components"]
    assert receipt.outputs["clusters"].records == receipt.outputs["verdicts"].records == 5


def test_what_stays_passes_byte_for_byte(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    odd = [
        b'{"meta": {"b": 1.0e2, "a": [1, 2]},   "text": "a b c d e f g", "more": 1}',
        b'{"text":"\\u0061 h i j k l m\\u0000"} ',
        b'{"text": "a b c d e f g"}',
        b'{"text": "\\ud800"}',
        b'{"text": 7}',
        b'{"text": "A, b, c; d e f g"}',
    ]
    folder = tmp_path / "in"
    (folder / "c4").mkdir(parents=True)
    (folder / "c4" / "a.jsonl").write_bytes(b"\n".join(odd) + b"\n")
    report = fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    assert kept(tmp_path / "out") == {"c4/a": odd[:2]}
    assert ledger(tmp_path / "out", folder) == {
        "c4/a.jsonl#2": ("near_duplicate", "c4/a.jsonl#0"),
        "c4/a.jsonl#3": ("malformed", ""),
        "c4/a.jsonl#4": ("malformed", ""),
        "c4/a.jsonl#5": ("near_duplicate", "c4/a.jsonl#0"),
    }
    check_account(tmp_path / "out", report, 6)


def test_texts_without_words_stay_and_equal_ones_go(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    texts = ["", "", "!?", "!?", "one", "one", "two words", "Two words."] + [A] * (MAX_LEADERS + 30)
    folder = write(tmp_path / "in", {"c4/a.jsonl": texts})
    report = fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    stay = [json.loads(line)["text"] for line in kept(tmp_path / "out")["c4/a"]]
    assert stay == ["", "", "!?", "!?", "one", "two words", A]
    check_account(tmp_path / "out", report, len(texts))


def test_a_chain_is_one_cluster_and_says_how_unlike_its_ends_are(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    """Each is like the one before; the last is hardly like the first."""
    chain = [text_of(4, words=400)]
    for step in range(45):
        words = chain[-1].split()
        start = step * 8
        chain.append(" ".join([*words[:start], *text_of(900 + step, words=8).split(), *words[start + 8 :]]))
    folder = write(tmp_path / "in", {"c4/a.jsonl": chain})
    fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    entries = of_role(tmp_path / "out", folder, "drops")
    assert {(entry["survivor"], entry["cluster_size"]) for entry in entries} == {("c4/a.jsonl#0", len(chain))}
    measured = [entry["measured"] for entry in entries]
    assert measured[0] >= 0.8
    assert measured[-1] < 0.2


@pytest.mark.parametrize(
    ("given", "gone"),
    [({}, True), ({"threshold": 0.99}, False), ({"ngram": 30}, False), ({"permutations": 64, "threshold": 0.5}, True)],
)
def test_settings_decide(tmp_path: Path, tiny_tokenizer: ModelFile, given: dict[str, Any], gone: bool) -> None:
    """One word changed of 120: true Jaccard 0.92 on shingles of 5, 0.5 on those of 30."""
    words = A.split()
    words[60] = "other"
    folder = write(tmp_path / "in", {"c4/a.jsonl": [A, " ".join(words)]})
    fuzzy(tmp_path / "out", folder, tiny_tokenizer, **given)
    assert len(kept(tmp_path / "out")["c4/a"]) == (1 if gone else 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": 1.5}, "threshold of 1.5"),
        ({"ngram": 0}, "Shingles of 0 words"),
        ({"permutations": 1}, "1 permutations"),
        ({"priority": "wikipeda"}, r"wikipeda: no such slice\. The input has c4, wikipedia"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    tmp_path: Path, tiny_tokenizer: ModelFile, given: dict[str, Any], message: str
) -> None:
    folder = write(tmp_path / "in", PLANTED)
    with pytest.raises(UsageError, match=message):
        fuzzy(tmp_path / "out", folder, tiny_tokenizer, **given)


# ---------------------------------------------------------------------------------------------- however it runs


def mixed_corpus() -> Corpus:
    """Near-duplicates at every distance, in chains and stars, in three slices."""
    rng = random.Random(11)
    corpus: Corpus = {}
    made = [text_of(100 + n, words=rng.randrange(30, 150)) for n in range(25)]
    for name in ("c4", "github", "wikipedia"):
        for shard in range(2):
            texts = []
            for n in range(50):
                texts.append(
                    edited(rng.choice(made), n, changes=rng.randrange(0, 4)) if n % 4 else text_of(n * 997 + 1)
                )
                if n % 10 == 0:
                    made.append(texts[-1])
            corpus[f"{name}/{shard}.jsonl"] = texts
    return corpus


def test_the_same_bytes_however_it_runs(
    tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "in", mixed_corpus())
    report = fuzzy(tmp_path / "serial", folder, tiny_tokenizer, priority="wikipedia")
    expected = published_and_told(tmp_path / "serial")
    check_account(tmp_path / "serial", report, 300)
    assert sum(receipt.dropped.get("near_duplicate", 0) for receipt in report.slices[0].receipts["keep"]) > 100
    for workers in (1, 2):
        root = tmp_path / f"local{workers}"
        fuzzy(root, folder, tiny_tokenizer, executor="local", workers=workers, priority="wikipedia")
        assert published_and_told(root) == expected
    # So little memory that bands are settled and edges sorted a few at a time.
    monkeypatch.setattr("redpajama_data.dedup.bands._BYTES_PER_ROW", 1 << 20)
    monkeypatch.setattr("redpajama_data.dedup.components._BYTES_PER_EDGE", 1 << 20)
    fuzzy(tmp_path / "tiny", folder, tiny_tokenizer, memory="64M", priority="wikipedia")
    assert files_of(tmp_path / "tiny") == files_of(tmp_path / "serial")
    monkeypatch.setattr("redpajama_data.dedup.partitions.ROWS_A_TASK", 32)
    report = fuzzy(tmp_path / "parted", folder, tiny_tokenizer, memory="64M", priority="wikipedia")
    assert len(report.slices[0].receipts["bands"]) == 128
    assert published_and_told(tmp_path / "parted") == expected


def test_another_priority_makes_no_signatures_again(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", PLANTED)
    fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    report = fuzzy(tmp_path / "out", folder, tiny_tokenizer, priority="wikipedia")
    assert (report.slices[0].skipped, report.slices[0].done_now) == (3, 6)  # bands, components, copies, three shards
    fuzzy(tmp_path / "fresh", folder, tiny_tokenizer, priority="wikipedia")
    assert published_and_told(tmp_path / "out") == published_and_told(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("stage", "task"),
    [
        ("signatures", "c4~b"),
        ("bands", "bands-0000-4096"),
        ("components", "clusters"),
        ("copies", "copies-0000"),
        ("keep", "c4~a"),
    ],
)
def test_a_lost_receipt_costs_its_task_alone(tmp_path: Path, tiny_tokenizer: ModelFile, stage: str, task: str) -> None:
    """What follows reads the files that are made again: they are the same, so it stands."""
    folder = write(tmp_path / "in", PLANTED)
    fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    before = published_and_told(tmp_path / "out")
    (tmp_path / "out" / "_run" / "fuzzy" / stage / f"{task}.receipt.json").unlink()
    report = fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    assert (report.slices[0].done_now, report.slices[0].skipped) == (1, 8)
    assert published_and_told(tmp_path / "out") == before


def test_a_changed_shard_redoes_what_follows_from_it(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    """The survivor changes but stays one: what is measured against it changes in the ledger of another shard."""
    folder = write(tmp_path / "in", PLANTED)
    fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    write(folder, {"c4/a.jsonl": [edited(A, 99), *PLANTED["c4/a.jsonl"][1:]]})
    report = fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    assert (report.slices[0].done_now, report.slices[0].skipped) == (7, 2)  # the signatures of two shards stand
    fuzzy(tmp_path / "fresh", folder, tiny_tokenizer)
    assert published_and_told(tmp_path / "out") == published_and_told(tmp_path / "fresh")


def test_a_shard_behind_the_others_leaves_what_is_published_of_them(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    """But for those with records of a cluster that grows: their ledgers say how large it is."""
    folder = write(tmp_path / "in", PLANTED)
    fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    write(folder, {"wikipedia/y.jsonl": [text_of(1234), edited(text_of(1234), 99)]})
    [part] = fuzzy(tmp_path / "out", folder, tiny_tokenizer).slices
    assert part.receipts["keep"][-1].dropped == {"near_duplicate": 1}
    assert part.done_now == 5  # its signatures and what stays of it; bands, components, copies
    write(folder, {"wikipedia/z.jsonl": [edited(A, 99)]})
    [part] = fuzzy(tmp_path / "out", folder, tiny_tokenizer).slices
    assert part.receipts["keep"][-1].dropped == {"near_duplicate": 1}
    assert 5 < part.done_now < part.done_now + part.skipped
    fuzzy(tmp_path / "fresh", folder, tiny_tokenizer)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_a_broken_shard_keeps_what_came_before_and_a_foreign_one_is_quarantined(
    tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    many = [f"{text_of(n, words=12)}" for n in range(20_000)]
    folder = write(tmp_path / "in", {**PLANTED, "c4/c.jsonl.gz": [A, *many], "c4/d.jsonl": [A]})
    path = folder / "c4" / "c.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-1000])
    (folder / "c4" / "d.jsonl").write_bytes(b'{"body": "x"}\n' * 150)
    report = fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    assert report.exit_code() == 3
    assert [entry.task for entry in report.slices[0].quarantined] == ["c4~d"]
    found = ledger(tmp_path / "out", folder)
    count = len(kept(tmp_path / "out")["c4/c"])
    assert found["c4/c.jsonl.gz#0"] == ("near_duplicate", "c4/a.jsonl#0")
    assert found[f"c4/c.jsonl.gz#{count + 1}"] == ("broken_input", "")
    assert 10_000 < count < 20_000
    assert not [problem for _, problem in root_status.verify(str(tmp_path / "out")) if problem]


def test_explain_names_the_survivor(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    folder = write(tmp_path / "in", PLANTED)
    fuzzy(tmp_path / "out", folder, tiny_tokenizer)
    (fate,) = explanation.explain(str(tmp_path / "out"), f"{folder}/wikipedia/a.jsonl#3")
    assert fate.drop is not None
    assert fate.drop["survivor"] == f"{folder}/c4/b.jsonl.gz#1"
    (fate,) = explanation.explain(str(tmp_path / "out"), f"{folder}/c4/b.jsonl.gz#2")
    assert (fate.kept, fate.line) == ("fuzzy/c4/b.jsonl.zst", 2)
