"""Where a command is run: no locale, no home, a dumb terminal, lines nested too deep. Right words, no traceback."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from redpajama_data.errors import UsageError
from redpajama_data.io.paths import filesystem, refuse_name
from redpajama_data.models.model_file import ModelFile

TOP = Path(__file__).resolve().parents[2]


def rpj(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON", "HOME"))}
    return subprocess.run(
        [sys.executable, "-m", "redpajama_data", *words],
        capture_output=True,
        timeout=120,
        env={**kept, "PYTHONPATH": str(TOP), **environment},
        check=False,
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    record = {"text": "Ein Text.", "timestamp": "", "url": "u"}
    (folder / "c4-über-中.json.gz").write_bytes(gzip.compress(json.dumps(record).encode() + b"\n"))
    return folder


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda words: " ".join(f"{name}={value}" for name, value in words.items()),
)
def test_a_name_in_utf8_is_one_in_every_locale(
    raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile, locale: dict[str, str]
) -> None:
    """Also without a home, and on a terminal that is none."""
    root, environment = str(tmp_path / "root"), {**locale, "TERM": "dumb"}
    where = ["--input", str(raw), "--root", root, "--tokenizer", tiny_tokenizer.path]
    done = rpj("run", "--slice", "c4", *where, **environment)
    assert done.returncode == 0, done.stderr
    name = f"{raw}/c4-über-中.json.gz"
    assert (Path(root) / "_run/c4/inputs.txt").read_text("utf-8") == f"{name}\n"
    found = rpj("explain", root, f"{name}#0", "--json", **environment)
    assert json.loads(found.stdout)[0]["id"] == f"{name}#0"


def test_a_name_that_is_refused_is_refused_for_the_right_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_name("raw/über.gz")
    with pytest.raises(UsageError, match="a name with a line end"):
        refuse_name("raw/a\nb.gz")
    with pytest.raises(UsageError, match="a name that is not in UTF-8"):
        refuse_name("raw/\udcff.gz")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")  # of a program that uses rpj as a library
    with pytest.raises(UsageError, match=r"this Python reads names of files as ascii\. Set PYTHONUTF8=1"):
        refuse_name("raw/\udcc3\udcbcber.gz")


def test_lines_nested_too_deep_are_named_and_not_counted(tmp_path: Path, tiny_tokenizer: ModelFile) -> None:
    deep = "[" * 200_000
    lines = ['{"text":"ab"}', f'{{"text":"b","x":{deep}{deep.replace("[", "]")}}}', deep, '{"text":"cd"}']
    (tmp_path / "deep.jsonl").write_text("\n".join(lines))
    done = rpj("count-tokens", str(tmp_path / "deep.jsonl"), "--tokenizer", tiny_tokenizer.path, "--json")
    assert done.returncode == 3
    [unread] = json.loads(done.stdout)["unread"]
    assert unread["lines"] == 2
    assert "deep.jsonl:2: not JSON" in unread["first"]
    assert b"Traceback" not in done.stderr


def test_every_extra_that_a_message_names_exists() -> None:
    section = (TOP / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    extras = re.findall(r"^([a-z0-9_-]+) = \[", section, re.MULTILINE)
    named = set()
    for folder in ("redpajama_data", "slices", "filters"):
        for path in [*(TOP / folder).rglob("*.py"), *(TOP / folder).rglob("*.md")]:
            for found in re.findall(r"(?:redpajama-data|'\.)\[([a-z0-9_,-]+)\]", path.read_text("utf-8")):
                named.update(found.split(","))
    assert named <= set(extras)
    assert {"s3", "hf", "ray"} <= named


@pytest.mark.parametrize("url", ["gs://bucket/x", "abfs://container@account/x"])
def test_a_scheme_without_an_extra_names_the_package(url: str) -> None:
    with pytest.raises(UsageError, match=rf"^{re.escape(url)}: .*(gcsfs|adlfs).*then run again") as caught:
        filesystem(url)
    assert "redpajama-data[" not in str(caught.value)
