"""Ours beside what people would use instead: same input, same work, in turn, each in an environment of its own.

    python scripts/bench_public.py [near | exact | quality | tokens ...] [--peer NAME] [--megabytes 22] [--pairs 5]
                                   [--json]

near     near-duplicates of documents of at most 8 KB, words in fives, 128 permutations, threshold 0.8
exact    copies among records of 200 characters
quality  the measures of Gopher and C4 for every document; ours computes the 46 of RedPajama-V2
tokens   GPT-NeoX's token ids of every document and its end, not shuffled

The environments are made from the package index into ``--environments`` (build/peers) and kept. Counted is the CPU time
of all processes with their start, one at work at a time. Tokens are counted by neither side, except in ``tokens``. The
peak is that of one process. ``kept`` says whether the work is the same. A MB is 10**6 bytes of text in UTF-8.

Left out: NeMo Curator 1.4, whose duplicates need cudf and so a GPU; its environment takes 6.5 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench_floor import FLOORS
from bench_parts import high_water
from bench_runs import Numbers, descendants, spread
from realdata import DEFAULT, raw_files

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / "build" / "peers"
DOCUMENT, SHORT = 8000, 200  # characters
FILES = 4
PR_SET_CHILD_SUBREAPER = 36


class Work(NamedTuple):
    """What is compared: our command, the length of the records (characters), and the peers that do it."""

    command: tuple[str, ...]
    length: int
    peers: tuple[str, ...]


NEAR = {"threshold": 0.8, "ngram": 5, "permutations": 128}
WORKS = {
    "near": Work(
        ("dedup", "fuzzy", *(f"--{name}={value}" for name, value in NEAR.items())),
        DOCUMENT,
        ("datatrove", "text_dedup", "data_juicer", "rensa"),
    ),
    "exact": Work(("dedup", "exact"), SHORT, ("duckdb", "text_dedup", "dolma")),
    "quality": Work(("signals",), DOCUMENT, ("datatrove", "dolma")),
    "tokens": Work(("tokenize", "--format=uint"), DOCUMENT, ("datatrove",)),
}
# The newest of November 2026. What a peer needs and does not declare stands beside it.
REQUIREMENTS = {
    "datatrove": ["datatrove[io,processing]==0.10.1", "spacy==3.8.18", "orjson"],
    "text_dedup": ["text-dedup==0.4.0"],
    "data_juicer": ["py-data-juicer==1.6.1", "aiohttp"],
    "rensa": ["rensa==0.5.0"],
    "duckdb": ["duckdb==2.0.1"],
    "dolma": ["dolma==1.2.1"],
}
COMMAND = {"signals": "--out"}  # what names the root of ours; else --root


# ------------------------------------------------------------------------------------------------ input


def documents(data: Path, length: int) -> Iterator[str]:
    """Real English text in records of at most ``length`` characters, cut at line ends: web pages, questions and
    answers, documentation, books. After the last one the first again, with a letter before each word, so that no two
    rounds are alike."""
    texts = [
        text for name in ("c4", "stackexchange") for path in raw_files(name, data) for text, _ in FLOORS[name](path)
    ]
    for path in raw_files("github", data):
        prose = (".md", ".rst", ".txt", ".html")
        texts += [text for text, record in FLOORS["github"](path) if record["path"].endswith(prose)]
    texts += [
        text for name in ("wikipedia", "books") for path in raw_files(name, data) for text, _ in FLOORS[name](path)
    ]
    cut = [piece for text in texts for piece in pieces(text, length)]
    yield from cut
    for mark in "abcdefghijklmnopqrstuvwxyz":
        for text in cut:
            yield " ".join(mark + word for word in text.split(" "))


def pieces(text: str, length: int) -> Iterator[str]:
    """A text in pieces of at most ``length`` characters that end with a line where one does."""
    at = 0
    while at < len(text):
        end = at + length
        if end < len(text):
            end = text.rfind("\n", at + length // 2, end) + 1 or end
        yield text[at:end]
        at = end


def write_input(folder: Path, data: Path, megabytes: float, length: int) -> Numbers:
    """``megabytes`` of records as JSONL.gz in :data:`FILES` files."""
    size = count = 0
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        names = [folder / f"{i:05d}.jsonl.gz" for i in range(FILES)]
        outs = [stack.enter_context(gzip.open(name, "wt", encoding="utf-8", compresslevel=3)) for name in names]
        for text in documents(data, length):
            if size >= megabytes * 1e6:
                break
            outs[int(size * FILES / (megabytes * 1e6))].write(json.dumps({"text": text, "id": str(count)}) + "\n")
            size += len(text.encode("utf-8", "surrogatepass"))
            count += 1
    return {"megabytes": size / 1e6, "records": count}


# ------------------------------------------------------------------------------------------------ runs


def run(command: list[str]) -> tuple[float, float, str]:
    """CPU seconds of a command and all its processes, the greatest peak memory of one (MB), and its standard output.

    Ends the benchmark with what the command said if it fails.
    """
    # Workers outlive the process that started them for a moment, and nobody would count them: they become ours.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
        seconds, peak, status = 0.0, 0, 0
        with contextlib.suppress(ChildProcessError):  # until there is none left
            while True:
                peak = max([peak, *map(high_water, descendants(os.getpid())[1:])])
                pid, ended, usage = os.wait4(-1, os.WNOHANG)
                if not pid:
                    time.sleep(0.05)
                    continue
                seconds += usage.ru_utime + usage.ru_stime
                status = ended if pid == process.pid else status
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command[:5])}: exit status {process.returncode}\n{stderr.read()[-2000:]}")
        return seconds, peak / 1e6, stdout.read()


def environment(folder: Path, peer: str) -> Path:
    """The Python of a peer's environment, made when it is not there."""
    python, stamp = folder / peer / "bin" / "python", folder / f"{peer}.made"
    wanted = "\n".join(REQUIREMENTS[peer])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / peer)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[peer]], check=True)
        stamp.write_text(wanted)
    return python


def ours(work: Work, source: Path, out: Path, tokenizer: str) -> tuple[float, float, int]:
    """CPU seconds, peak in MB, and what came out of one run of our command: records, of ``tokenize`` tokens."""
    files = [str(path) for path in sorted(source.glob("*.gz"))]
    where = [COMMAND.get(work.command[0], "--root"), str(out)]
    command = [sys.executable, "-m", "redpajama_data", *work.command, *files, *where, "--executor", "serial", "--json"]
    seconds, peak, said = run([*command, "--tokenizer", tokenizer if work.command[0] == "tokenize" else "none"])
    report = json.loads(said)
    if work.command[0] == "tokenize":
        return seconds, peak, sum(path.stat().st_size for path in out.rglob("*.ds")) // 2  # of 16 bits
    return seconds, peak, sum(part["documents"] for part in report.get("slices", [report]))  # signals has no slices


def compare(name: str, given: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> list[Numbers]:
    """Every peer of a work against ours, in turn: CPU seconds, ratios, peaks, records kept."""
    from filters.minhash import scheme

    work = WORKS[name]
    source = folder / "in"
    made = write_input(source, given.data.resolve(), given.megabytes, work.length)
    bands = scheme(**NEAR)
    tokenizer = str(given.data.resolve() / "models" / "gpt-neox-20b.tokenizer.json")
    say(f"{name}: {made['megabytes']:.1f} MB in {made['records']} records, load {os.getloadavg()[0]:.1f}")
    rows = []
    for peer in [peer for peer in work.peers if given.peer in (None, peer)]:
        python = environment(given.environments.resolve(), peer)
        runs = []
        for number in range(given.pairs):
            out = folder / f"{peer}-{number}"
            spec = {**NEAR, "bands": bands.bands, "rows": bands.rows, "input": str(source), "out": str(out / "theirs")}
            spec |= {"records": made["records"], "tokenizer": tokenizer}
            program = [str(python), str(HERE / "bench_public_works.py"), f"{name}_{peer}", json.dumps(spec)]
            seconds, peak, said = run(program)
            theirs = (seconds, peak, json.loads(said.splitlines()[-1])["kept"])
            runs.append((theirs, ours(work, source, out / "ours", tokenizer)))
        them, us = zip(*runs, strict=True)
        row = {
            "work": name,
            "peer": " ".join(REQUIREMENTS[peer][0].split("==")),
            **made,
            "their_rate": spread([made["megabytes"] / cpu for cpu, _, _ in them]),
            "our_rate": spread([made["megabytes"] / cpu for cpu, _, _ in us]),
            "times": spread([a[0] / b[0] for a, b in runs]),
            "peaks": [max(peak for _, peak, _ in side) for side in (them, us)],
            "kept": [them[-1][2], us[-1][2]],
        }
        say(
            f"  {row['peer']:30} {row['their_rate']['median']:6.2f} MB/s, ours {row['our_rate']['median']:6.2f} MB/s: "
            f"{row['times']['median']:.2f} x ({row['times']['min']:.2f} to {row['times']['max']:.2f}); "
            f"peak {row['peaks'][0]:.0f} and {row['peaks'][1]:.0f} MB; kept {row['kept'][0]} and {row['kept'][1]}"
        )
        rows.append(row)
    return rows


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that bench.py has too."""
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--peer", choices=REQUIREMENTS, help="this one alone")
    parser.add_argument("--megabytes", type=float, default=22)
    parser.add_argument("--pairs", type=int, default=5)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"default: all of {', '.join(WORKS)}")
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--json", action="store_true")
    add_options(parser)
    given = parser.parse_args()
    if unknown := set(given.works) - WORKS.keys():
        parser.error(f"no work {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}")
    if not given.data.is_dir():
        parser.error(f"{given.data} is not there; give --data DIR, the folder of real input")
    say: Callable[[str], None] = (lambda line: None) if given.json else (lambda line: print(line, flush=True))
    rows: list[Any] = []
    for name in given.works or WORKS:
        with tempfile.TemporaryDirectory(prefix="rpj-bench-") as scratch:
            rows += compare(name, given, Path(scratch), say)
    if given.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
