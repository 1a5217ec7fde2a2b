"""One measured part of a benchmark, in a process of its own: ``python bench_parts.py '{"part": "floor", ...}'``.

Prints one JSON line: CPU seconds and peak memory of the whole process from its start, wall seconds of the work alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def high_water(pid: int | str = "self") -> int:
    """Highest resident set of a process in bytes, 0 if it is gone.

    ``ru_maxrss`` will not do: it starts from the size of the process which started this one.
    """
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def part(spec: dict[str, Any]) -> dict[str, Any]:
    """Do what ``spec`` says; what the caller wants to know beside times and memory."""
    files = [Path(path) for path in spec["files"]]
    if spec["part"] == "floor":
        from bench_floor import floor

        return {"raw_text": floor(spec.get("floor", spec["slice"]), files, Path(spec["out"]))}
    if "job" in spec:
        return job(spec)
    from realdata import run_on

    where = {key: spec[key] for key in ("executor", "workers", "memory") if key in spec}
    # Every copy of a site is to be taken, not the 28 largest.
    more = {"largest_sites": 1 << 20} if spec["slice"] == "stackexchange" else {}
    before = cpu_seconds()
    report = run_on(
        spec["slice"], files, Path(spec["data"]), Path(spec["out"]), {**more, **spec.get("settings", {})}, **where
    )
    run_cpu = cpu_seconds() - before
    if report.exit_code():
        raise SystemExit(f"the run left something out: {report.slices[0].quarantined or report.slices[0].broken()}")
    last = report.slices[0].all_receipts()
    kept = sum(r.kept for r in last if r.tokenizer)
    return {"documents": kept, "tokens": sum(r.tokens for r in last), "run_cpu": run_cpu}


def job(spec: dict[str, Any]) -> dict[str, Any]:
    """Run a job over shards; how many records it read and kept."""
    from redpajama_data.config import RunConfig, slice_settings
    from redpajama_data.engine.receipts import is_published
    from redpajama_data.whole_run import run_parts
    from slices.jobs import load

    part = load(spec["job"])
    given = {"root": spec["out"], "executor": "serial", "workers": 1, "memory": "1G"}
    given |= {key: spec[key] for key in ("executor", "workers", "memory", "tokenizer") if key in spec}
    config = RunConfig.model_validate(given)
    settings = slice_settings(part.settings, part.name, config, {**spec["settings"], "input": spec["files"]}, None)
    report = run_parts([(part, settings)], config, quiet=True)
    if report.exit_code():
        raise SystemExit(f"the job left something out: {report.slices[0].quarantined or report.slices[0].broken()}")
    receipts = report.slices[0].all_receipts()
    first = receipts[0].stage
    last = [receipt for receipt in receipts if is_published(receipt)]
    return {
        "records": sum(receipt.read for receipt in receipts if receipt.stage == first),
        "documents": sum(receipt.kept for receipt in last),
        "tokens": sum(receipt.tokens for receipt in last),
    }


def main() -> None:
    """The command line: one JSON object in, one out."""
    start = time.perf_counter()
    answer = part(json.loads(sys.argv[1]))
    wall = time.perf_counter() - start
    print(json.dumps({"cpu": cpu_seconds(), "wall": wall, "peak": high_water(), **answer}))


if __name__ == "__main__":
    main()
