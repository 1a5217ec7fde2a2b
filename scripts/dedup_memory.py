"""Peak memory of exact dedup, as the data grows: the proof that it runs out of core.

    python scripts/dedup_memory.py [--keys 10M] [--limit 200M] [--growth 1,4,16] [--copy-every 10]

Writes key files of a million keys each (every tenth key is a copy of an earlier one, so the number of verdicts is
known), then runs each partition task as a run does, but each in a process of its own. What is shown is the highest
resident set of any of them, interpreter and numpy included: VmHWM of /proc, as ru_maxrss would inherit the size of the
process that started it. Exits with 1 when it exceeds the limit or a duplicate was missed.

Equal keys cannot be divided among partitions: --copy-every 1 makes all keys equal and shows what that costs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.config import parse_size
from redpajama_data.dedup import equal_keys, partitions
from redpajama_data.dedup.buckets import BucketWriter
from redpajama_data.io import storage

KEYS_PER_FILE = 1_000_000
PIECE = 100_000  # keys made at a time, so that making them does not show in the peak of writing them
BY_KEY_WRITER = (
    1  # files written key by key, as a run does, to measure it; the others get the same layout from numpy, faster
)


def originals(first: int, end: int, copy_every: int) -> npt.NDArray[np.uint64]:
    """The value behind each key number: its own, but for every ``copy_every``-th that of half its number."""
    values = np.arange(first, end, dtype=np.uint64)
    while True:
        copies = (values % np.uint64(copy_every) == 0) & (values > 0)
        if not copies.any():
            return values
        values[copies] //= np.uint64(2)


def mix(values: npt.NDArray[np.uint64], salt: int) -> npt.NDArray[np.uint64]:
    """A one-to-one scatter of 64-bit values (the finalizer of SplitMix64): distinct values give distinct keys."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(salt)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def peak_bytes() -> int:
    """The highest resident set of this process so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise OSError("no VmHWM in /proc/self/status: this script needs Linux")


def key_rows(first: int, end: int, copy_every: int) -> equal_keys.Rows:
    """The rows of key numbers ``first`` to ``end`` of one file."""
    values = originals(first, end, copy_every)
    rows = np.empty(len(values), equal_keys.KEY_ROW)
    rows["hi"], rows["lo"] = mix(values, 1 << 62), mix(values, 1 << 63)
    rows["n"] = np.arange(first, end) % KEYS_PER_FILE
    return rows


def write_keys(root: str, file: int, copy_every: int) -> None:
    """Write one key file as a per-shard task does."""
    first, end = file * KEYS_PER_FILE, (file + 1) * KEYS_PER_FILE
    with storage.whole_file(f"{root}/{file}.keys") as out:
        if file < BY_KEY_WRITER:
            writer = equal_keys.KeyWriter(out)
            for start in range(first, end, PIECE):
                raw = key_rows(start, start + PIECE, copy_every).tobytes()
                for k in range(PIECE):
                    writer.add(raw[24 * k : 24 * k + 16], start - first + k)
            writer.close()
            return
        buckets = BucketWriter(out, equal_keys.BUCKETS, 1 << 20)
        for start in range(first, end, PIECE):
            rows = key_rows(start, start + PIECE, copy_every)
            buckets.add_rows((rows["hi"] >> np.uint64(52)).astype(np.int64), rows)
        buckets.close()


def group(root: str, memory: int, files: int, first: int, end: int) -> int:
    """One partition task; returns the number of duplicates it found."""
    name = f"keys-{first:04d}-{end:04d}"
    keys = [(rank, f"{root}/{rank}.keys") for rank in range(files)]
    rows = files * KEYS_PER_FILE
    with storage.whole_file(f"{root}/{name}.verdicts") as out:
        _, written = equal_keys.first_wins(keys, out, ranks=files, rows=rows, buckets=(first, end), memory=memory)
    return written


def apart(*call: Any) -> dict[str, int]:
    """Run one of the functions above in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--call", json.dumps(call)], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(done.stdout))


def called(text: str) -> None:
    """The other side of :func:`apart`."""
    name, *arguments = json.loads(text)
    calls: dict[str, Callable[..., int | None]] = {"write": write_keys, "group": group, "nothing": int}
    result = calls[name](*arguments)
    print(json.dumps({"peak": peak_bytes(), "result": result or 0}))


def measure(keys: int, limit: int, baseline: int, copy_every: int) -> tuple[str, bool]:
    """One line of the table, and whether the limit held and every duplicate was found."""
    files = max(1, keys // KEYS_PER_FILE)
    keys = files * KEYS_PER_FILE
    memory = limit - baseline
    ranges = partitions.key_ranges(keys)
    with tempfile.TemporaryDirectory(prefix="dedup-memory-") as root:
        start = time.monotonic()
        written = max(apart("write", root, file, copy_every)["peak"] for file in range(files))
        middle = time.monotonic()
        tasks = [apart("group", root, memory, files, *buckets) for buckets in ranges]
        end = time.monotonic()
    peak = max(task["peak"] for task in tasks)
    found, expected = sum(task["result"] for task in tasks), (keys - 1) // copy_every
    line = (
        f"{keys:>13,} {len(ranges):>10,} {written / 2**20:>12.0f} {peak / 2**20:>12.0f} "
        f"{(peak - baseline) / (keys / len(ranges)):>9.1f} {middle - start:>8.1f} {end - middle:>8.1f} {found:>13,}"
    )
    return line, max(peak, written) <= limit and found == expected


def main() -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--keys", type=lambda text: int(text.upper().replace("M", "000000")), default=10_000_000)
    parser.add_argument("--limit", type=parse_size, default=200 << 20, help="resident memory of a task, as 200M")
    parser.add_argument("--growth", default="1,4,16", help="multiples of --keys")
    parser.add_argument("--copy-every", type=int, default=10, help="every how many keys one is a copy")
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        called(options.call)
        return 0
    baseline = apart("nothing")["peak"]
    print(
        f"limit {options.limit / 2**20:.0f} MB a process, of which {baseline / 2**20:.0f} MB are there before any key"
    )
    print("         keys partitions write peak MB dedup peak MB bytes/key write s  dedup s    duplicates")
    good = True
    for growth in options.growth.split(","):
        line, held = measure(options.keys * int(growth), options.limit, baseline, options.copy_every)
        good = good and held
        print(line + ("" if held else "  FAILED"), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
