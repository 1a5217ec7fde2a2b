"""Documents that are taken out are nowhere any more, the books are right, and no later run brings them back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toy
import toy_job
from click.testing import CliRunner
from roots import config_of, files_of, lines_of, release

from redpajama_data import api
from redpajama_data.cli.main import cli
from redpajama_data.engine import receipts, replacing, tombstones
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.models.model_file import ModelFile
from redpajama_data.release import find, search
from redpajama_data.release.forget import Forgot, forget
from redpajama_data.reports import explanation
from redpajama_data.reports.root_status import root_totals
from redpajama_data.reports.waterfall import Row, waterfalls
from redpajama_data.whole_run import RunReport, run_parts
from slices.jobs import load

TEXTS = {
    "a": [f"measure page {n} of a" for n in range(10)] + ["a secret of a person"] + ["last of a"],
    "b": ["one word", "a secret of a person", "page 3 of b", "cut", "another page of b"],
}
GONE = b"a secret"


def run(place: Path, tokenizer: ModelFile, *, job: bool = True, **more: object) -> RunReport:
    """A root of the toy slice (clean, dedup, publish), and the toy job over it, which adds to the meta."""
    for name, texts in TEXTS.items():
        path = place / "raw" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    parts = [(toy.SLICE, toy.ToySettings(input=(str(place / "raw"),), **more))]  # type: ignore[arg-type]
    jobs = [(toy_job.JOB, toy_job.ToyJobSettings(min_length=9))] if job else []
    return run_parts([*parts, *jobs], config_of(place / "root", tokenizer), quiet=True)


def take_out(place: Path, tokenizer: ModelFile, text: str = "secret", **more: bool) -> Forgot:
    return forget(str(place / "root"), query=search.for_text(text), reason="r1", tokenizer=tokenizer, **more)


def holding(root: Path, part: bytes = GONE) -> list[str]:
    """The files of a root that hold a part of a text, unpacked."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name.endswith(".zst"):
                data = b"\n".join(lines_of_file(path))
            if part in data:
                found.append(str(path.relative_to(root)))
    return found


def lines_of_file(path: Path) -> list[bytes]:
    from redpajama_data.io.lines import iter_lines

    return [line for line in iter_lines(str(path), max_bytes=None) if isinstance(line, bytes)]


def problems(root: Path) -> list[tuple[str, str]]:
    return [(place, problem) for place, problem in api.verify(str(root)) if problem]


def test_a_document_is_nowhere_in_the_root_and_the_books_are_right(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    root = tmp_path / "root"
    assert len(holding(root)) == 4  # both copies as read, the one that was published, the one that the job left
    before = root_totals(str(root))[0][0]
    found = take_out(tmp_path, tiny_tokenizer)
    assert found.shards == {"toy/a.jsonl.zst": 1, "toy_job/toy/a.jsonl.zst": 1}
    assert problems(root) == []
    after = root_totals(str(root))[0][0]
    size = len("a secret of a person")
    assert (before.documents - after.documents, before.bytes - after.bytes) == (1, size)
    assert (before.tokens - after.tokens, before.characters - after.characters) == (size, size)
    assert [path for path in holding(root) if "/a." in path] == []
    (stone,) = tombstones.load(str(root))
    assert (stone.reason, stone.text) == ("r1", tombstones.digest("a secret of a person"))


def test_ids_still_lead_where_they_led(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    root = tmp_path / "root"
    take_out(tmp_path, tiny_tokenizer)
    for name, number, text in (("a", 11, "last of a"), ("a", 9, "measure page 9 of a"), ("b", 4, "another page of b")):
        fates = explanation.explain(str(root), f"{tmp_path}/raw/{name}.jsonl#{number}")
        kept = [(fate.kept, fate.line) for fate in fates if fate.kept and fate.line]
        assert len(kept) == 2  # by the slice and by the job
        for shard, line in kept:
            assert json.loads(lines_of(root / str(shard).split("/")[0])[0])
            assert json.loads(lines_of_file(root / str(shard))[int(line or 0) - 1])["text"] == text
    (fate,) = explanation.explain(str(root), f"{tmp_path}/raw/a.jsonl#10")
    assert fate.drop is not None
    assert (fate.stage, fate.drop["rule"], fate.drop["limit"]) == ("clean", "forgotten", "r1")


def test_no_later_run_brings_it_back(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    root = tmp_path / "root"
    take_out(tmp_path, tiny_tokenizer)
    shards = {path: path.read_bytes() for path in root.glob("toy*/**/*.jsonl.zst")}
    again = run(tmp_path, tiny_tokenizer)
    assert again.exit_code() == 0
    assert {path: path.read_bytes() for path in root.glob("toy*/**/*.jsonl.zst")} == shards
    assert problems(root) == []
    run(tmp_path, tiny_tokenizer, min_words=1)  # every task of the last stage is done anew, the copy in b too
    assert not [path for path in holding(root) if not path.startswith("_run/")]
    assert "one word" in b"".join(lines_of(root / "toy")).decode()
    for path in root.glob("_run/toy/**/*.receipt.json"):
        path.unlink()
    run(tmp_path, tiny_tokenizer)  # all of it anew
    assert not [path for path in holding(root) if not path.startswith("_run/")]
    assert problems(root) == []


def test_receipts_balance_and_add_up_from_stage_to_stage(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    take_out(tmp_path, tiny_tokenizer)
    by_stage: dict[tuple[str, str], list[int]] = {}
    for receipt in receipts.load_all(str(tmp_path / "root")):
        assert receipt.balanced()
        sums = by_stage.setdefault((receipt.slice, receipt.stage), [0, 0])
        sums[0] += receipt.read
        sums[1] += receipt.kept
    assert by_stage["toy", "clean"][1] == by_stage["toy", "publish"][0]
    assert by_stage["toy", "publish"][1] == by_stage["toy_job", "keep"][0]


def test_the_waterfall_says_what_went_and_adds_up(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    """Also through a job of two stages that read the same shards."""
    run(tmp_path, tiny_tokenizer, job=False)
    config = config_of(tmp_path / "root", tiny_tokenizer)
    run_parts([(load("exact"), load("exact").settings())], config, quiet=True)
    take_out(tmp_path, tiny_tokenizer)
    (fall,) = waterfalls(str(tmp_path / "root"))
    size = len("a secret of a person")
    assert Row("dropped", "clean", "forgotten", 1, size, size) in fall.rows
    rows = [*fall.rows, *(row for _, _, of_job in fall.jobs for row in of_job)]
    assert not [row for row in rows if row.kind == "missing" or row.tokens is None]


def test_the_next_release_does_not_have_it(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    for to, more in (("all", {}), ("sample", {"sample": "100%"}), ("lines", {"format": "jsonl"})):
        release(tmp_path / "root", tmp_path / to, tiny_tokenizer, job=None, **more)
    assert holding(tmp_path / "lines")
    take_out(tmp_path, tiny_tokenizer)
    for to, more in (("all", {}), ("sample", {"sample": "100%"}), ("lines", {"format": "jsonl"})):
        release(tmp_path / "root", tmp_path / to, tiny_tokenizer, job=None, **more)
        assert holding(tmp_path / to) == []
        release(tmp_path / "root", tmp_path / f"{to}-anew", tiny_tokenizer, job=None, **more)
        assert files_of(tmp_path / to) == files_of(tmp_path / f"{to}-anew")


def test_ended_at_any_write_it_is_done_whole_or_not_at_all(
    tmp_path: Path, tiny_tokenizer: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, tiny_tokenizer)
    root = tmp_path / "root"

    class EndedError(BaseException):
        pass

    before = {path: path.read_bytes() for path in root.rglob("*.zst")}
    real = storage.whole_file
    for allowed in range(100):
        left = [allowed]

        def counted(path: str, left: list[int] = left, **more: bool):  # type: ignore[no-untyped-def]
            left[0] -= 1
            if left[0] < 0:
                raise EndedError
            return real(path, **more)

        with monkeypatch.context() as patched:
            patched.setattr(storage, "whole_file", counted)
            try:
                take_out(tmp_path, tiny_tokenizer)
                break
            except EndedError:
                pass
        if not (root / replacing.FOLDER / "decided.json").exists():
            assert {path: path.read_bytes() for path in root.glob("**/*.zst")} == before or allowed > 5
        report = run(tmp_path, tiny_tokenizer, job=False)  # whoever holds the root next brings it to its end
        assert report.exit_code() == 0
        decided = bool(tombstones.load(str(root)))
        assert bool([path for path in holding(root) if path.startswith("toy/")]) == (not decided)
        if decided:
            break
    assert not [path for path in holding(root) if path.startswith("toy/")]
    assert not list((root / replacing.FOLDER).glob("*"))


def test_by_id_and_by_host_and_dry(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    root = str(tmp_path / "root")
    assert take_out(tmp_path, tiny_tokenizer, dry_run=True).documents == 2
    assert problems(tmp_path / "root") == []
    assert tombstones.load(root) == []
    ids = [
        f"{tmp_path}/raw/a.jsonl#0",
        "toy/a.jsonl.zst#000000001",
        "root:/toy_job/toy/b.jsonl.zst#0",
        "no#1",
    ]
    found = forget(root, ids=ids, tokenizer=tiny_tokenizer)
    assert found.unknown == ["no#1"]
    assert found.shards == {
        "toy/a.jsonl.zst": 2,
        "toy/b.jsonl.zst": 1,
        "toy_job/toy/a.jsonl.zst": 2,
        "toy_job/toy/b.jsonl.zst": 1,
    }
    texts = [json.loads(line)["text"] for line in lines_of(tmp_path / "root/toy")]
    assert "measure page 0 of a" not in texts
    assert "measure page 2 of a" in texts
    assert problems(tmp_path / "root") == []


def test_totals_need_the_tokenizer_of_the_root(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    before = {path: path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="--tokenizer"):
        forget(str(tmp_path / "root"), query=search.for_text("secret"), tokenizer=None)
    replacing.finish(str(tmp_path / "root"))
    after = {path: path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert after == before


def test_no_run_goes_on_without_the_tombstones_that_it_cannot_read(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    take_out(tmp_path, tiny_tokenizer)
    path = tmp_path / "root" / tombstones.TOMBSTONES
    path.write_bytes(path.read_bytes()[:-20])
    assert [place for place, _ in problems(tmp_path / "root")] == [tombstones.TOMBSTONES]
    with pytest.raises(UsageError, match=r"tombstones\.jsonl cannot be read"):
        run(tmp_path, tiny_tokenizer)


def test_verify_names_a_shard_that_holds_what_was_forgotten(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    root = tmp_path / "root"
    stone = tombstones.Tombstone(tombstones.digest("last of a"), "", "2026-01-01")
    storage.write_bytes(str(root / tombstones.TOMBSTONES), tombstones.encoded([stone]))
    assert [place for place, _ in problems(root)] == [
        "toy/a.jsonl.zst (forgotten)",
        "toy_job/toy/a.jsonl.zst (forgotten)",
    ]


# ------------------------------------------------------------------------------------------------ find


def test_find_says_where_and_from_which_raw_record(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    root = str(tmp_path / "root")
    found = list(find.find(root, search.for_text("secret of"), "secret"))
    assert [(each.shard, each.line) for each in found] == [
        ("toy/a.jsonl.zst", 11),
        ("toy_job/toy/a.jsonl.zst", 11),
    ]
    assert {each.record for each in found} == {f"{tmp_path}/raw/a.jsonl#10"}
    for name in ("toy/a.jsonl.zst#000000010", "root:/toy/a.jsonl.zst#10"):
        assert [each.text for each in find.at(root, name)] == ["a secret of a person"]
    with pytest.raises(UsageError, match="not published"):
        list(find.at(root, f"{tmp_path}/raw/b.jsonl#1"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"quoted"', 1),
        ("two\nlines", 1),
        ("back\\slash", 1),
        ("é", 2),
        ("\x7f", 1),
        ("\u2028", 1),
        ("never", 0),
        ("in the meta", 0),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_find_is_exact_whatever_is_escaped(
    tmp_path: Path, tiny_tokenizer: ModelFile, text: str, found: int, workers: int
) -> None:
    from roots import line, make_root

    ours = [line('"quoted"'), line("two\nlines"), line("back\\slash"), line("café"), line("\x7f \u2028")]
    foreign = b'{"text": "caf\\u00e9", "meta": {"a": "in the meta"}}'
    root = make_root(tmp_path, {"c4/a": ours, "c4/b": [foreign]}, tiny_tokenizer)
    assert len(list(find.find(str(root), search.for_text(text), workers=workers))) == found


@pytest.mark.parametrize(
    ("host", "found"), [("example.org", 3), ("www.example.org", 1), ("EXAMPLE.org.", 3), ("ample.org", 0), ("org", 3)]
)
def test_hosts(tmp_path: Path, tiny_tokenizer: ModelFile, host: str, found: int) -> None:
    from roots import line, make_root

    urls = ["http://example.org/a", "https://www.Example.org:80/?x=notexample.org", "http://u@example.org", "http://["]
    urls += ["http://other.net/example.org", 7, None]
    root = make_root(tmp_path, {"c4/a": [line("x", {"url": url}) for url in urls]}, tiny_tokenizer)
    assert len(list(find.find(str(root), search.for_host(host)))) == found


def test_the_commands(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    run(tmp_path, tiny_tokenizer)
    root = str(tmp_path / "root")
    call = CliRunner().invoke
    shown = call(cli, ["find", root, "--text", "secret", "--json", "--workers", "1"])
    assert (shown.exit_code, [each["line"] for each in json.loads(shown.output)]) == (0, [11, 11])
    where = ["forget", root, "--where", "meta.n == 10", "--tokenizer", tiny_tokenizer.path, "--workers", "1"]
    assert call(cli, [*where, "--dry-run"]).output.endswith("2 documents would go.\n")
    shown = call(cli, where)
    assert (shown.exit_code, "2 documents are gone" in shown.output) == (0, True), shown.output
    shown = call(cli, ["find", root, "--text", "secret", "--workers", "1"])
    assert (shown.exit_code, shown.output) == (1, "Not in the data.\n")
    assert call(cli, where).exit_code == 1
    assert call(cli, ["find", root]).exit_code == 2
