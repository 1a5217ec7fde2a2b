"""Beyond one machine: Ray on two nodes, a root and inputs on an object store. Same tasks, same bytes."""

from __future__ import annotations

import http.server
import importlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import pytest
import toy

from redpajama_data.corpus.listing import root_shards
from redpajama_data.engine import receipts
from redpajama_data.engine.executors import Executor, RayExecutor, SerialExecutor
from redpajama_data.engine.progress import StageProgress
from redpajama_data.engine.run_slice import list_inputs, run_slice
from redpajama_data.engine.slice_run import SliceRun
from redpajama_data.engine.stages import RunSettings
from redpajama_data.engine.tasks import Workplace
from redpajama_data.errors import InputUnavailable, RootInUse, StorageError, UsageError
from redpajama_data.io import conditional, lease, storage
from redpajama_data.io.holder import this_run
from redpajama_data.io.lock import hold
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import explanation, root_status
from slices.jobs import load

Run = Callable[..., SliceRun]
TEXTS = [["one two", "short", "three four"], ["three four", "five six"], ["seven eight", "one two", "One, two!"]]


@pytest.fixture
def run(tiny_tokenizer: ModelFile) -> Run:
    def go(raw: str, root: str, executor: Executor | None = None) -> SliceRun:
        inputs = list_inputs(toy.SLICE, [raw])
        shared = RunSettings(tiny_tokenizer, 0.5)
        place = Workplace(root, 1 << 26)
        quiet = partial(StageProgress, quiet=True)
        return run_slice(toy.SLICE, toy.ToySettings(), shared, inputs, executor or SerialExecutor(), place, quiet)

    return go


@pytest.fixture
def run_jobs(tiny_tokenizer: ModelFile, tmp_path: Path) -> Callable[[str, Executor], None]:
    """Exact and near-duplicate removal, signals, and decontamination, over what the toy slice published in a root."""
    (tmp_path / "quiz.jsonl").write_bytes(b'{"question": "three four"}\n')
    given = {"decontaminate": {"against": (str(tmp_path / "quiz.jsonl"),), "ngram": 2}}

    def go(root: str, executor: Executor) -> None:
        shards = root_shards(root, within=True)
        for name in ("exact", "fuzzy", "signals", "decontaminate"):
            job = load(name)
            settings = job.settings(**given.get(name, {}))
            place = Workplace(root, 1 << 26)
            quiet = partial(StageProgress, quiet=True)
            done = run_slice(job, settings, RunSettings(tiny_tokenizer, 0.5), shards, executor, place, quiet)
            assert done.quarantined == []
        assert receipts.sum_drops(receipts.load_all(root, "fuzzy")) == {"near_duplicate": 1}
        assert receipts.sum_drops(receipts.load_all(root, "decontaminate"))["shared_ngram"] > 0

    return go


def shard(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


@pytest.fixture
def raw(tmp_path: Path) -> str:
    (tmp_path / "raw").mkdir()
    for i, texts in enumerate(TEXTS):
        (tmp_path / "raw" / f"{i}.jsonl").write_bytes(shard(texts))
    return str(tmp_path / "raw")


def tree(root: str) -> dict[str, bytes | None]:
    names = [name for name in storage.find(root) if not re.search(r"/lock|inputs|/costs\.json$", name)]
    return {name: storage.read_bytes(storage.join(root, name)) for name in names}


# ---------------------------------------------------------------------------------------------------- Ray


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[RayExecutor]:
    """A Ray cluster of two nodes on this machine."""
    ray = importlib.import_module("ray")
    from ray.cluster_utils import Cluster

    tests = Path(__file__).resolve().parents[1]
    path = f"{tests}:{tests.parent}"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
        yield RayExecutor(None, None)
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_two_nodes_give_the_same_bytes(
    run: Run, run_jobs: Callable[[str, Executor], None], raw: str, tmp_path: Path, two_nodes: RayExecutor
) -> None:
    assert two_nodes.workers_a_machine == 1
    run(raw, str(tmp_path / "serial"))
    run_jobs(str(tmp_path / "serial"), SerialExecutor())
    result = run(raw, str(tmp_path / "ray"), two_nodes)
    assert result.quarantined == []
    run_jobs(str(tmp_path / "ray"), two_nodes)
    assert tree(str(tmp_path / "ray")) == tree(str(tmp_path / "serial"))


def test_a_worker_of_ray_that_dies_costs_its_shard_only(
    run: Run, raw: str, tmp_path: Path, two_nodes: RayExecutor
) -> None:
    (tmp_path / "raw" / "1.jsonl").write_bytes(shard(["die"]))
    marker = tmp_path / "marker"
    (tmp_path / "raw" / "2.jsonl").write_bytes(shard([f"die once {marker}"]))
    result = run(raw, str(tmp_path / "ray"), two_nodes)
    assert marker.exists()
    [entry] = result.quarantined
    assert (entry.task, "killed 3 times" in entry.reason) == ("1", True)
    assert len(result.receipts["publish"]) == 2


# ------------------------------------------------------------------------------------------------ object store


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket on an S3 server on loopback."""
    moto = importlib.import_module("moto.server")
    import fsspec

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in settings.items():
            patch.setenv(key, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
        fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def test_an_object_store_gives_the_same_bytes(
    run: Run, run_jobs: Callable[[str, Executor], None], raw: str, tmp_path: Path, bucket: str
) -> None:
    for i, texts in enumerate(TEXTS):
        storage.write_bytes(f"{bucket}/raw/{i}.jsonl", shard(texts))
    run(raw, str(tmp_path / "local"))
    run_jobs(str(tmp_path / "local"), SerialExecutor())
    run(f"{bucket}/raw", f"{bucket}/out")
    run_jobs(f"{bucket}/out", SerialExecutor())
    of_jobs = ("exact/", "fuzzy/", "signals/", "_run/exact/", "_run/fuzzy/", "_run/signals/")  # receipts among them
    for name, data in tree(str(tmp_path / "local")).items():
        if name.startswith(("toy/", *of_jobs)) or name.endswith((".keys", ".verdicts")):
            assert storage.read_bytes(f"{bucket}/out/{name}") == data, name
    assert all(problem is None for _, problem in root_status.verify(f"{bucket}/out"))
    assert run(f"{bucket}/raw", f"{bucket}/out").done_now == 0
    [fate] = explanation.explain(f"{bucket}/out", f"{bucket}/raw/1.jsonl#0")
    assert fate.drop is not None
    assert fate.drop["measured"] == f"{bucket}/raw/0.jsonl#2"


def test_inputs_on_a_web_server(run: Run, raw: str, tmp_path: Path) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=raw)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        assert [found.path for found in storage.list_files(url, ["*.jsonl"])] == [f"{url}{i}.jsonl" for i in range(3)]
        run(url, str(tmp_path / "web"))
        server.shutdown()
    run(raw, str(tmp_path / "local"))
    for shard in (tmp_path / "local" / "toy").iterdir():
        assert (tmp_path / "web" / "toy" / shard.name).read_bytes() == shard.read_bytes()


def test_an_upload_that_fails_leaves_nothing(bucket: str) -> None:
    with pytest.raises(RuntimeError), storage.whole_file(f"{bucket}/half/a") as file:
        file.write(b"half")
        raise RuntimeError
    assert storage.find(f"{bucket}/half") == []


@pytest.fixture
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"LEASE": 2, "RENEW": 0.1, "_LOOK": 0.1}.items():
        monkeypatch.setattr(lease, name, seconds)


@pytest.mark.usefixtures("_short_lease")
def test_a_root_in_use_on_an_object_store(bucket: str) -> None:
    with hold(f"{bucket}/held"), pytest.raises(RootInUse, match=r"is in use by .*process "), hold(f"{bucket}/held"):
        pass
    with hold(f"{bucket}/held"):  # given back
        pass


@pytest.mark.usefixtures("_short_lease")
def test_a_lease_left_by_a_killed_run_is_taken_over(bucket: str) -> None:
    left = lease.Lease(this_run(), "of a killed run")
    storage.write_bytes(f"{bucket}/stale/_run/lock.json", msgspec.json.encode(left))
    with hold(f"{bucket}/stale") as token:
        lease.check(f"{bucket}/stale", token)


def test_of_many_that_create_or_replace_at_once_one_does(bucket: str) -> None:
    """S3 does look and write in one step, and s3fs asks it to."""
    path = f"{bucket}/race/object"
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda n: conditional.create(path, b"%d" % n), range(8))) == 1
        seen = conditional.read_version(path)
        assert seen is not None
        assert seen.etag
        assert sum(pool.map(lambda n: conditional.replace(path, b"new %d" % n, seen), range(8))) == 1
    storage.remove(path)
    assert not conditional.replace(path, b"x", seen)


@pytest.mark.parametrize("place", ["a.jsonl", "raw/", "raw/*.jsonl"])
def test_a_web_server_that_does_not_answer_is_not_one_without_files(tmp_path: Path, place: str) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{place}"
        with pytest.raises(UsageError, match="no input there"):
            storage.list_files(url, ["*.jsonl"])
        server.shutdown()
    with pytest.raises(InputUnavailable, match=r"does not answer as it should.*Check address and network"):
        storage.list_files(url, ["*.jsonl"])


def test_an_object_store_without_credentials(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for key in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(key, str(tmp_path / "none"))
    fsspec.filesystem("s3").clear_instance_cache()
    try:
        with pytest.raises(UsageError, match=r"no credentials for s3://.*Set AWS_ACCESS_KEY_ID"):
            storage.list_files(f"{bucket}/raw", ["*.jsonl"])
        with pytest.raises(StorageError, match=r"no credentials for s3://.*Set AWS_ACCESS_KEY_ID") as caught:
            storage.write_bytes(f"{bucket}/x", b"x")
        assert not caught.value.passing  # the next task would have none either
    finally:
        fsspec.filesystem("s3").clear_instance_cache()
