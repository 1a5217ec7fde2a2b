"""What a run of the embedded sample publishes, kept in tests/golden/sample.json: bytes that change without a raised
revision are a defect, since finished work of before would be taken for the same.

    python scripts/golden.py            compare; exit status 1 when something differs
    python scripts/golden.py --write    keep what this run gives: after a revision was raised
    python scripts/golden.py --save F   compare, and write what this run gives to F, for scripts/matrix.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redpajama_data.config import SliceSettings, load_config, slice_settings
from redpajama_data.engine import environment
from redpajama_data.engine.environment import UNICODE
from redpajama_data.engine.planning import ENGINE_REVISION
from redpajama_data.engine.receipts import load_all
from redpajama_data.engine.stages import Slice
from redpajama_data.io import streams
from redpajama_data.release.parquet import library
from redpajama_data.reports import manifest
from redpajama_data.sample import OPTIONAL, SLICES, build
from redpajama_data.sample.common_crawl import model_paths
from redpajama_data.whole_run import run_parts
from slices import NAMES, load
from slices.jobs import load as load_job

PATH = Path(__file__).resolve().parents[1] / "tests" / "golden" / "sample.json"
LANGUAGES = ("en", "de", "fr", "es", "it")
WIKIREF = str(Path(build.__code__.co_filename).parent / "models" / "wikiref.bin")
JOBS: dict[str, dict[str, Any]] = {  # each reads what the one before has left
    "signals": {},
    "exact": {"by": "line"},
    "fuzzy": {},
    "quality_score": {"model": WIKIREF},
    "quality_filter": {"min": 0.05},
    "filter": {"where": "text_length < 5e4"},
    "overlap": {},
}
V2 = ("common_crawl_v2", "redpajama_v2")  # slice and job, in a root of their own: the jobs above read all shards
BESIDE: dict[str, dict[str, Any]] = {  # over what all slices published
    "decontaminate": {
        "against": ["raw/test_sets"],
        "preset": "redpajama-instruct",
        "same_task": ["harbour_quiz=harbour_quiz*"],
    },
}

Golden = dict[str, Any]


def make() -> Golden:
    """Run every slice and job on the sample; what came of it."""
    with working_folder():
        build(Path("raw"), [*SLICES, *OPTIONAL])
        config = load_config("raw/rpj.yaml", {"root": "out", "executor": "serial"})
        parts = [(load(n), slice_settings(load(n).settings, n, config, {}, "raw/rpj.yaml")) for n in NAMES]
        parts += [(load_job(name), load_job(name).settings.model_validate(given)) for name, given in JOBS.items()]
        run_parts(parts, config, quiet=True)
        parts += (
            beside := [(load(n), slice_settings(load(n).settings, n, config, {}, "raw/rpj.yaml")) for n in OPTIONAL]
        )
        parts += (jobs := [(load_job(n), load_job(n).settings.model_validate(given)) for n, given in BESIDE.items()])
        run_parts([*beside, *jobs], config, quiet=True)  # by itself: the jobs above read the seven alone
        slices = _slices("out", [part for part, _ in parts])
        slices |= _slices("v2", _run_v2())
    return {"engine": ENGINE_REVISION, "environment": environment.current(), "slices": slices}


def _slices(root: str, parts: list[Slice]) -> Golden:
    """What each slice and job has in a root."""
    made = manifest.build(root)
    slices = {
        part.slice: {
            "revision": part.revision,
            "unicode": next(each.unicode for each in parts if each.name == part.slice),
            "stages": {stage.stage: [stage.read, stage.kept, stage.dropped] for stage in part.stages},
            "shards": {
                shard.path: [shard.documents, shard.tokens, _lines_sha256(Path(root, shard.path))]
                for shard in made.shards
                if shard.path.startswith(f"{part.slice}/")
            },
        }
        for part in made.slices
    }
    for part in made.slices:
        if part.kind == "report":  # what it says lies among the files of its tasks
            paths = (out.path for receipt in load_all(root, part.slice) for out in receipt.outputs.values())
            told = (path for path in paths if path.endswith((".json", ".jsonl.zst", ".json.gz", ".parquet")))
            slices[part.slice]["shards"] = {path: _lines_sha256(Path(root, path)) for path in sorted(told)}
    return slices


def _run_v2() -> list[Slice]:
    """Run RedPajama-V2 on the sample's crawl, with its English models for every language; the slice and the job."""
    Path("lm").mkdir()
    for language in LANGUAGES:
        for ending in ("sp.model", "arpa.bin"):
            Path("lm", f"{language}.{ending}").symlink_to(model_paths()[f"en.{ending}"])
    config = load_config("raw/rpj.yaml", {"root": "v2", "executor": "serial"})
    given = {"input": "raw/common_crawl", "shards": 2, "lm_dir": "lm"}
    name, job = V2
    chosen: list[tuple[Slice, SliceSettings]] = [(load(name), load(name).settings.model_validate(given))]
    chosen.append((load_job(job), load_job(job).settings.model_validate({})))
    run_parts(chosen, config, quiet=True)
    return [part for part, _ in chosen]


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder of its own as the current one, so that ids and names of raw files are always the same."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def _lines_sha256(path: Path) -> str:
    """Of the lines of a shard: another zstd packs the same lines in other bytes."""
    digest = hashlib.sha256()
    if path.suffix == ".parquet":  # another pyarrow packs the same rows in other bytes
        return hashlib.sha256(repr(library().parquet.read_table(path).to_pylist()).encode()).hexdigest()
    with streams.open_decompressed(str(path)) as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def problems(kept: Golden, found: Golden) -> tuple[list[str], list[str]]:
    """What is wrong, each with what to do; and what cannot be told here, because the Unicode tables are others."""
    if found["engine"] != kept["engine"]:
        return [f"engine: its revision is {found['engine']} now. Run: python scripts/golden.py --write"], []
    wrong, untold = [], []
    tables = [golden["environment"][UNICODE] for golden in (kept, found)]
    for name in {**kept["slices"], **found["slices"]}:
        before, now = kept["slices"].get(name), found["slices"].get(name)
        if before == now:
            continue
        if before is None or now is None or before["revision"] != now["revision"]:
            wrong.append(f"{name}: is new, gone or of another revision. Run: python scripts/golden.py --write")
        elif tables[0] != tables[1] and now["unicode"]:
            untold.append(f"{name}: {_first(before, now)}; made with Unicode {tables[0]}, here {tables[1]}")
        else:
            wrong.append(
                f"{name}: {_first(before, now)}, and its revision is {now['revision']} as before. Finished work would "
                "be taken for the same: raise `revision` of the slice or job (ENGINE_REVISION when it is the engine's "
                "doing), then run: python scripts/golden.py --write"
            )
    return wrong, untold


def _first(before: Golden, now: Golden) -> str:
    """The first thing that differs of a slice."""
    for kind in ("stages", "shards"):
        for key in {**before[kind], **now[kind]}:
            if before[kind].get(key) != now[kind].get(key):
                return f"{key} was {before[kind].get(key)}, is {now[kind].get(key)}"
    return "another note"


def main() -> int:
    """Compare, or write; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="keep what this run gives")
    parser.add_argument("--save", type=Path, help="a file for what this run gives")
    given = parser.parse_args()
    found = make()
    for path in [PATH] * given.write + [given.save] * bool(given.save):
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if given.write:
        return 0
    wrong, untold = problems(json.loads(PATH.read_text()), found)
    print("\n".join([*wrong, *untold]) or "The same.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
