"""The examples of ``--help`` are run as written, in a folder with ``raw`` and ``out`` and what they take for given."""

from __future__ import annotations

import gzip
import http.client
import json
import shutil
import threading
from pathlib import Path

import pytest
from test_docs import examples_of_help
from test_docs_examples import folder as made  # noqa: F401  # a fixture: the sample, run, and stand-ins
from test_docs_examples import rpj

import redpajama_data
from redpajama_data.explorer.serve import HOST, Server

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# What no folder can give: a network, a cluster, an account; models of others; the machine of a real run; lmplz.
ELSEWHERE = (
    "rpj download ", "s3://", "models fetch", "models path", "redpajama-1t --root", "--capacity", "--push",
    "rpj plan redpajama-", "topics.ftz", "train lm",
)  # fmt: skip
DIFFERS = ("--check", "rpj diff", "--against manifest", "rpj find", "rpj forget")  # 1: roots differ, nothing is found
# 2: what they name is of a larger run than the sample's, or of downloads, of which the sample has none.
REFUSED = ("--sample 1B", "#000000017", "gz#17", "status raw", "verify raw")
EXAMPLES = {line: name for name, line in reversed(examples_of_help())}  # of the first command that shows it
RUN = {line: name for line, name in EXAMPLES.items() if not any(part in line for part in ELSEWHERE)}
WRITTEN = ("out", "kept", "compared", "clean", "marked", "mixed", "exact")  # roots that examples write


@pytest.fixture(scope="module")
def folder(made: Path) -> Path:  # noqa: F811
    """With what the examples name beside ``raw`` and ``out``."""
    shutil.copytree(made / "out", made / "out-of-last-week")
    shutil.copy(made / "out" / "manifest.json", made / "manifest-of-last-week.json")
    shutil.copy(CONFIGS / "mixture-llama.yaml", made)
    texts = [document.text for document in redpajama_data.open(str(made / "out"), "c4")]
    lines = "".join(json.dumps({"text": text, "meta": {"language": "en"}}) + "\n" for text in texts)
    few = "".join(lines.splitlines(keepends=True)[:20])  # a test set: all of it is in the data
    for name in ("a", "b", "web"):
        (made / name).mkdir()
        for shard in (made / "out" / "c4").glob("*.jsonl.zst"):
            shutil.copy(shard, made / name)
    files = {
        "b/b.jsonl": lines,
        "hellaswag.jsonl": few,
        "boolq.jsonl.gz": few,
        "helm/boolq.jsonl": few,
        "tests/piqa.jsonl": few,
        "ids.txt": "c4/none#1\n",
        "wiki/en_head_0000.json.gz": lines,
        "ccnet/2023-06/0000/en_head.json.gz": lines,
        "stopwords-all.json": json.dumps({"en": ["the", "of", "and"]}),
        "LDNOOBW/en": "damn\n",
        "blacklists/domain_to_category_id.json": json.dumps({"example.org": 1}),
    }
    for name, text in files.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    (made / "models" / "en").mkdir(parents=True)
    shutil.copy(made / "wikiref.bin", made / "models" / "en")
    rpj("rpj quality score out --root out --model wikiref.bin")
    shutil.copytree(made / "out", made / "pristine")
    return made


def served_until_ctrl_c(server: Server) -> None:
    """In the place of ``serve_forever``: a reader opens the page, then ends the server."""
    thread = threading.Thread(target=real_serve_forever, args=(server, 0.01))
    thread.start()
    try:
        connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
        connection.request("GET", f"/{server.token}/")
        answer = connection.getresponse()
        assert answer.status == 200
        assert b"<title>" in answer.read()
        connection.close()
    finally:
        server.shutdown()
        thread.join()
    raise KeyboardInterrupt


real_serve_forever = Server.serve_forever


@pytest.mark.parametrize("name", sorted(set(RUN.values())))
def test_the_examples_of_a_command_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "serve_forever", served_until_ctrl_c)
    lines = [line for of, line in examples_of_help() if RUN.get(line) == of == name]
    for number, line in enumerate(dict.fromkeys(lines)):
        if number == 0 or name != "explore":  # whose map takes seconds: the next example finds it
            clear(folder, has_run=name != "sample")
        if "redpajama-v2" in line:
            rpj("rpj run --slice common_crawl_v2")
        refused, differs = (any(part in line for part in parts) for parts in (REFUSED, DIFFERS))
        rpj(line, {2} if refused else {0, 1} if differs else {0, 3})


def clear(folder: Path, *, has_run: bool) -> None:
    """Take away what examples wrote; ``out`` is again what ``rpj run --all`` left, or nothing."""
    for root in WRITTEN:
        shutil.rmtree(folder / root, ignore_errors=True)
    if has_run:
        shutil.copytree(folder / "pristine", folder / "out")


def test_ctrl_c_ends_the_server_and_is_no_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "serve_forever", served_until_ctrl_c)
    assert "Nothing is lost" not in rpj("rpj explore out-of-last-week --slice books --serve")


def test_most_examples_are_run_and_some_of_each_command() -> None:
    assert len(RUN) > 0.75 * len(EXAMPLES)
    assert set(EXAMPLES.values()) - set(RUN.values()) == {"download", "models fetch", "models path", "train lm"}
