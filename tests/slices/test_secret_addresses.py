"""Runs that read from addresses with a password or a signature: it is sent, and lands nowhere."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import zstandard
from click.testing import CliRunner

import redpajama_data
from redpajama_data.cli.main import cli
from redpajama_data.engine.inputs import identity
from redpajama_data.errors import InputUnavailable
from redpajama_data.io.streams import open_decompressed
from redpajama_data.models.model_file import ModelFile
from redpajama_data.whole_run import RunReport

USER, WORD, SIGNATURE = "alice", "hunter2secret", "5ec4e75ec4e7"
QUERY = (
    "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA5ECRET%2Fs3&X-Amz-Date={date}&X-Amz-Signature={signature}"
)


def record(n: int) -> bytes:
    return gzip.compress(json.dumps({"text": f"text {n}", "timestamp": "", "url": f"u{n}"}).encode() + b"\n", mtime=0)


class Guarded(BaseHTTPRequestHandler):
    """Files for who has the password, or a signature; those of an object store are good for GET alone."""

    files = {f"/c4/c4-train.0000{n}.json.gz": record(n) for n in range(3)}

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        parts = urlsplit(self.path)
        password = "Basic " + base64.b64encode(f"{USER}:{WORD}".encode()).decode()
        signed = parse_qs(parts.query).get("X-Amz-Signature", [""])[0].startswith(SIGNATURE) and body
        listing = "".join(f'<a href="{path[4:]}">x</a>\n' for path in self.files).encode()
        data = listing if parts.path == "/c4/" else self.files.get(parts.path)
        allowed = signed or self.headers.get("Authorization") == password
        data = data if allowed else b""
        self.send_response(403 if not allowed else 404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if body and data:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}/c4"
    server.shutdown()
    server.server_close()


def run(root: Path, tokenizer: ModelFile, *places: str, executor: str = "serial") -> RunReport:
    return redpajama_data.run(
        "c4", input=places, root=str(root), tokenizer=tokenizer.path, executor=executor, workers=2
    )


def signed(host: str, n: int, date: int = 1) -> str:
    query = QUERY.format(date=date, signature=f"{SIGNATURE}{date}")
    return f"http://{host}/c4-train.0000{n}.json.gz{query}"


def everything_in(folder: Path) -> str:
    """Names and contents of all files below a folder, unpacked, as one text."""
    texts = []
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if data.startswith(b"\x28\xb5\x2f\xfd"):
            data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
        texts.append(f"{path.relative_to(folder)}\n{data.decode('utf-8', 'replace')}")
    return "\n".join(texts)


@pytest.mark.parametrize("executor", ["serial", "local"])
def test_secrets_are_sent_and_land_nowhere(host: str, tmp_path: Path, tiny_tokenizer: ModelFile, executor: str) -> None:
    places = [f"http://{USER}:{WORD}@{host}/c4-train.00000.json.gz", signed(host, 1)]
    report = run(tmp_path / "root", tiny_tokenizer, *places, executor=executor)
    assert report.exit_code() == 0
    assert sum(receipt.kept for part in report.slices for receipt in part.all_receipts()) == 2
    names = [f"http://{host}/c4-train.0000{n}.json.gz" for n in (0, 1)]
    assert (tmp_path / "root/_run/c4/inputs.txt").read_text().splitlines() == names
    left = everything_in(tmp_path)
    assert f"{names[1]}#0" in left  # ids are unpacked and looked at
    for secret in (WORD, f"{USER}:", SIGNATURE, "AKIA5ECRET", "X-Amz"):
        assert secret not in left


def test_a_new_signature_or_password_redoes_nothing_and_finds_its_records(
    host: str, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    root = tmp_path / "root"
    run(root, tiny_tokenizer, signed(host, 0), signed(host, 1))
    before = everything_in(root)
    again = run(root, tiny_tokenizer, signed(host, 0, date=2), f"http://{USER}:{WORD}@{host}/c4-train.00001.json.gz")
    assert [part.done_now for part in again.slices] == [0]
    assert everything_in(root) == before
    [fate] = redpajama_data.explain(str(root), f"{signed(host, 1, date=3)}#0")
    assert fate.kept == "c4/c4-train.00001.jsonl.zst"


def test_a_folder_and_a_glob_are_read_with_the_password_that_was_given(
    host: str, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    for place, count in (("", 3), ("c4-train.*[12].json.gz", 2)):
        root = tmp_path / f"root{count}"
        run(root, tiny_tokenizer, f"http://{USER}:{WORD}@{host}/{place}", executor="local")
        names = (root / "_run/c4/inputs.txt").read_text().splitlines()
        assert names == [f"http://{host}/c4-train.0000{n}.json.gz" for n in range(3 - count, 3)]
        assert WORD not in everything_in(root)


def test_a_query_that_chooses_an_object_stays_and_is_no_part_of_file_names(
    host: str, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    run(tmp_path / "root", tiny_tokenizer, f"{signed(host, 0)}&versionId=3/a.txt")
    assert (tmp_path / "root/_run/c4/inputs.txt").read_text().endswith(".json.gz?versionId=3/a.txt\n")
    assert [path.name for path in (tmp_path / "root/c4").iterdir()] == ["c4-train.00000.jsonl.zst"]
    with open_decompressed(f"{signed(host, 2)}&versionId=3/a.txt") as stream:  # by the ending of the path
        assert json.loads(stream.read())["text"] == "text 2"


def test_an_old_root_that_has_secrets_in_its_names_loses_them(
    host: str, tmp_path: Path, tiny_tokenizer: ModelFile
) -> None:
    root, place = tmp_path / "root", f"http://{USER}:{WORD}@{host}/c4-train.00000.json.gz"
    run(root, tiny_tokenizer, place)
    (root / "_run/c4/inputs.txt").write_text(f"{place}\n")  # as it was written before
    assert run(root, tiny_tokenizer, place).exit_code() == 0
    assert WORD not in everything_in(root)
    assert identity(place) == identity(f"HTTP://{host}/c4-train.00000.json.gz")


@pytest.mark.parametrize("what", ["password", "signature"])
def test_a_refusal_names_the_file_and_no_secret(
    host: str, tmp_path: Path, tiny_tokenizer: ModelFile, what: str
) -> None:
    wrong = {
        "password": f"http://{USER}:{WORD}wrong@{host}/c4-train.00000.json.gz",
        "signature": signed(host, 0).replace(SIGNATURE, f"0{SIGNATURE}"),
    }[what]
    with pytest.raises(InputUnavailable, match=r"c4-train\.00000\.json\.gz: access refused") as caught:
        run(tmp_path / "root", tiny_tokenizer, wrong)
    done = CliRunner().invoke(cli, ["status", wrong])
    assert done.exit_code == 5
    assert "access refused" in done.output
    for text in (str(caught.value), done.output, everything_in(tmp_path)):
        assert WORD not in text
        assert SIGNATURE not in text
