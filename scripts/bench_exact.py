"""Speed and memory of exact dedup, from shards to kept shards.

    python scripts/bench_exact.py [--records 1M] [--by document|line|url] [--repeat 3] [--growth 1,4,16]
                                  [--tokenizer NAME_OR_PATH] [--memory 256M] [--data DIR]

Input: lines of C4's sample of 100 to 300 bytes, a number behind each, one record a line; nine of ten texts occur once.
Each measurement is a run of the job in a process of its own (executor: serial): CPU seconds of the whole process and
of the run alone (after imports and the tokenizer's start, 1 to 3 s), records a second of both, with and without the
count of tokens, and the highest resident set (VmHWM). With --growth the input is that many times as large.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from redpajama_data.config import load_config, parse_size

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PIECE = 250_000  # records of a shard


def make_input(folder: Path, records: int, data: Path) -> list[str]:
    """Shards of the input below two folders, which are its slices; returns their paths."""
    import zstandard

    (source,) = data.glob("c4/*.json.gz")
    with gzip.open(source) as file:
        texts = [msgspec.json.decode(line)["text"] for line in file]
    lines = [line for text in texts for line in text.split("\n") if 100 <= len(line.encode()) <= 300]
    chosen = random.Random(0)
    paths = []
    for shard, first in enumerate(range(0, records, PIECE)):
        path = folder / ("c4", "wikipedia")[shard % 2] / f"{shard:05d}.jsonl.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file, zstandard.ZstdCompressor(3).stream_writer(file) as out:
            for _ in range(first, min(records, first + PIECE)):
                n = chosen.randrange(5 * records)  # a tenth of the draws has been drawn before
                text = f"{lines[n % len(lines)]} {n // len(lines)}"
                out.write(msgspec.json.encode({"text": text, "meta": {"url": f"https://c4.example/{n}"}}) + b"\n")
        paths.append(str(path))
    return paths


def high_water() -> int:
    """The highest resident set of this process so far, bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise OSError("no VmHWM in /proc/self/status: this script needs Linux")


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """One run, in this process."""
    from redpajama_data import batches
    from redpajama_data.models import resolve
    from redpajama_data.run import run
    from redpajama_data.tokens import tokenizer_for
    from slices.shared.exact import JOB, ExactSettings

    tokenizer_for(resolve(spec["tokenizer"])).count(["to load what is loaded at the first text"])
    if not spec["tokens"]:
        batches.tokenizer_for = lambda model: argparse.Namespace(sha256="", count=lambda texts: [])  # type: ignore[assignment]
    names = ("root", "tokenizer", "memory")
    config = load_config(None, {"executor": "serial", "workers": 1, **{name: spec[name] for name in names}})
    start = time.process_time()
    report = run([(JOB, ExactSettings(input=tuple(spec["inputs"]), by=spec["by"]))], config, quiet=True)
    end = time.process_time()
    receipts = report.slices[0].receipts["keep"]
    kept, read = sum(receipt.kept for receipt in receipts), sum(receipt.read for receipt in receipts)
    parts = len(report.slices[0].receipts["dedup"])
    return {"run": end - start, "whole": time.process_time(), "peak": high_water(), "read": read, "kept": kept} | {
        "partitions": parts
    }


def apart(spec: dict[str, Any]) -> dict[str, Any]:
    """:func:`measure` in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="bench-exact-out-") as root:
        text = json.dumps({**spec, "root": root})
        done = subprocess.run([sys.executable, __file__, "--call", text], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=lambda text: int(text.upper().replace("M", "000000")), default=1_000_000)
    parser.add_argument("--by", choices=["document", "line", "url"], default="document")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--growth", default="1")
    parser.add_argument("--tokenizer", default="gpt-neox-20b")
    parser.add_argument("--memory", type=parse_size, default=256 << 20, help="of the run, as 256M")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        print(json.dumps(measure(json.loads(options.call))))
        return
    print("   records tokens partitions   kept  run CPU s  records/s  whole CPU s  records/s  peak MB")
    for growth in options.growth.split(","):
        with tempfile.TemporaryDirectory(prefix="bench-exact-in-") as folder:
            inputs = make_input(Path(folder), options.records * int(growth), options.data)
            for _ in range(options.repeat):
                for tokens in (True, False):
                    spec = {"by": options.by, "tokenizer": options.tokenizer, "memory": options.memory}
                    got = apart({**spec, "inputs": inputs, "tokens": tokens})
                    print(
                        f"{got['read']:>10,} {'yes' if tokens else 'no':>6} {got['partitions']:>10} "
                        f"{got['kept'] / got['read']:>6.1%} {got['run']:>10.2f} {got['read'] / got['run']:>10,.0f} "
                        f"{got['whole']:>12.2f} {got['read'] / got['whole']:>10,.0f} {got['peak'] / 2**20:>8.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
