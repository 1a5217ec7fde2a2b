"""Plans on disk: what goes in comes out, and what must not be acted on is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from redpajama_data.download import plan
from redpajama_data.download.addresses import Addresses
from redpajama_data.download.plan import Licence, Listing, Wanted
from redpajama_data.errors import UsageError
from redpajama_data.io import storage

URL = "https://example.org/a"


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path) -> None:
    files = [
        Wanted(
            "a/x.gz", URL, 3, {"md5": "0" * 32}, '"v1"', "gzip", ["s3://bucket/x"], {"Accept": "*/*"}, True, "TOKEN"
        ),
        Wanted("b.txt", URL),
    ]
    licence = Licence("cc", "https://example.org/terms", "For all.", accept=True)
    written = plan.save(str(tmp_path), "toy", Listing("v1", iter(files), [licence], notes=["One."]), {"dumps": ["1"]})
    assert plan.load(str(tmp_path), "toy") == written
    assert (written.files, written.bytes, written.unsized) == (2, 3, 1)
    assert list(plan.wanted_files(str(tmp_path), "toy")) == files


def test_readers_see_neither_the_plan_nor_unfinished_files(tmp_path: Path) -> None:
    plan.save(str(tmp_path), "toy", Listing("v1", [Wanted("b.jsonl", URL)]), {})
    (tmp_path / "toy" / "b.jsonl").write_bytes(b"{}")
    (tmp_path / "toy" / "c.jsonl.part").write_bytes(b"{")
    assert [Path(f.path).name for f in storage.list_files(str(tmp_path / "toy"), ["*"])] == ["b.jsonl"]


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", ".hidden", "a\\b", "a\0b", "_download/plan.json", "x.part",
     "c:x", "n" * 241],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError):
        plan.save(str(tmp_path), "toy", Listing("v1", [Wanted(path, URL)]), {})
    assert plan.load(str(tmp_path), "toy") is None


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("a", "file:///etc/passwd"),
        Wanted("a", "https://example.org"),
        Wanted("a", URL, mirrors=["ftp://x/y"]),
        Wanted("a", URL, -1),
        Wanted("a", URL, checks={"md5": "zz"}),
        Wanted("a", URL, checks={"crc32c": "00000000"}),
        Wanted("a", URL, checks={"blake3": "0" * 64}),
    ],
)
def test_what_the_engine_must_not_act_on_is_refused(wanted: Wanted) -> None:
    with pytest.raises(UsageError):
        plan.check(wanted)


def test_one_path_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        plan.save(str(tmp_path), "toy", Listing("v1", [Wanted("a", URL), Wanted("A", URL)]), {})


def test_a_host_is_asked_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = Addresses({"a.example.org": "http://127.0.0.1:1/base/"})
    assert addresses.of("https://a.example.org/x/y?z=1") == "http://127.0.0.1:1/base/x/y?z=1"
    assert addresses.of("https://b.example.org/x") == "https://b.example.org/x"
    monkeypatch.setenv("RPJ_ADDRESS_A_EXAMPLE_ORG", "http://127.0.0.1:2")
    assert addresses.of("https://a.example.org/x") == "http://127.0.0.1:2/x"
    with pytest.raises(UsageError):
        Addresses({"a": "127.0.0.1:1"})
