"""Near-duplicates: ours and datatrove's four-stage MinHash, from documents to kept documents, on the same input.

    python scripts/bench_minhash.py --peer-python PATH [--data DIR] [--megabytes 22] [--repeat 3]

kernel   MB of text a CPU second from str to signature, of each kind of real text; a MB is 10**6 bytes of UTF-8
pairs    theirs and ours in fresh processes in turn, N times: CPU seconds (all processes, their start included), MB/s,
         and the ratio pair by pair. One process; the same bands, rows and words a shingle; JSONL.gz in. Ours without
         token counts, as theirs has none, and beside it with them

PATH is the python of an environment of its own that has the peer:

    python -m venv peer && peer/bin/pip install 'datatrove[io,processing]' spacy

spaCy splits datatrove's English words; no model of it is loaded. The input is documentation, questions and answers,
web pages and books of the real input, cut to documents of at most 8 KB, so neither side waits for one long document.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
THRESHOLD, NGRAM, PERMUTATIONS = 0.8, 5, 128
DOCUMENT = 8000  # characters
FILES = 4
PR_SET_CHILD_SUBREAPER = 36
Numbers = dict[str, Any]


# ------------------------------------------------------------------------------------------------ input


def texts_of(name: str, data: Path) -> list[str]:
    """The real texts of a slice, as the published scripts read them."""
    from bench_floor import FLOORS
    from realdata import raw_files

    return [text for path in raw_files(name, data) for text, _ in FLOORS[name](path)]


def documents(data: Path) -> Iterator[str]:
    """Real English text in documents of at most ``DOCUMENT`` characters, cut at line ends.

    After the last one the first again, with a letter before each word, so that no two rounds are alike.
    """
    from realdata import raw_files

    whole = [*texts_of("c4", data), *texts_of("stackexchange", data)]
    for path in raw_files("github", data):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if record["path"].endswith((".md", ".rst", ".txt", ".html")) and record.get("content"):
                    whole.append(record["content"])
    whole += [*texts_of("wikipedia", data), *texts_of("books", data)]
    cut = [piece for text in whole for piece in pieces(text)]
    yield from cut
    for mark in "abcdefghijklmnopqrstuvwxyz":
        for text in cut:
            yield " ".join(mark + word for word in text.split(" "))


def pieces(text: str) -> Iterator[str]:
    """A text in pieces of at most ``DOCUMENT`` characters that end with a line where one does."""
    at = 0
    while at < len(text):
        end = at + DOCUMENT
        if end < len(text):
            end = text.rfind("\n", at + DOCUMENT // 2, end) + 1 or end
        yield text[at:end]
        at = end


def write_input(folder: Path, data: Path, megabytes: float) -> Numbers:
    """``megabytes`` of documents as JSONL.gz in ``FILES`` files."""
    size = count = 0
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        names = [folder / f"{i:05d}.jsonl.gz" for i in range(FILES)]
        outs = [stack.enter_context(gzip.open(name, "wt", encoding="utf-8", compresslevel=3)) for name in names]
        for text in documents(data):
            if size >= megabytes * 1e6:
                break
            outs[int(size * FILES / (megabytes * 1e6))].write(json.dumps({"text": text, "id": str(count)}) + "\n")
            size += len(text.encode("utf-8", "surrogatepass"))
            count += 1
    return {"megabytes": size / 1e6, "documents": count}


# ------------------------------------------------------------------------------------------------ theirs and ours


def peer_part(spec: Numbers) -> None:
    """Runs in the peer's environment: its four stages, each with one task in this process."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.logging import logger

    logger.remove()
    config = minhash.MinhashConfig(n_grams=spec["ngram"], num_buckets=spec["bands"], hashes_per_bucket=spec["rows"])
    out = Path(spec["out"])
    signatures, buckets, removed = str(out / "signatures"), str(out / "buckets"), str(out / "removed")
    stages = [
        [JsonlReader(spec["input"]), minhash.MinhashDedupSignature(signatures, config=config)],
        [minhash.MinhashDedupBuckets(signatures, buckets, config=config)],
        [minhash.MinhashDedupCluster(buckets, removed, config=config)],
        [JsonlReader(spec["input"]), minhash.MinhashDedupFilter(removed), JsonlWriter(str(out / "kept"))],
    ]
    seconds = []
    for i, stage in enumerate(stages):
        tasks = spec["bands"] if i == 1 else 1  # it wants a task a bucket at least
        start = time.process_time()
        LocalPipelineExecutor(stage, tasks=tasks, workers=1, logging_dir=str(out / f"log{i}")).run()
        seconds.append(round(time.process_time() - start, 2))
    print(json.dumps({"stages": seconds}))


def run(command: list[str]) -> tuple[float, float, str]:
    """CPU seconds of a command and all its processes, the greatest peak memory of one (MB), and its standard output.

    Ends the benchmark with what the command said if it fails.
    """
    from bench_parts import high_water
    from bench_runs import descendants

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


def kept_ids(folder: Path) -> set[str]:
    """The ids of the documents in the JSONL.gz and JSONL.zst files below a folder."""
    import zstandard

    found = set()
    for path in folder.rglob("*.jsonl.*"):
        with (gzip if path.suffix == ".gz" else zstandard).open(path, "rt", encoding="utf-8") as lines:
            found.update(json.loads(line)["id"] for line in lines)
    return found


def pair(peer_python: str, source: Path, out: Path) -> Numbers:
    """One run of theirs and one of ours."""
    from filters.minhash import scheme

    bands = scheme(threshold=THRESHOLD, ngram=NGRAM, permutations=PERMUTATIONS)
    spec = {"input": str(source), "out": str(out / "theirs"), "ngram": NGRAM, "bands": bands.bands, "rows": bands.rows}
    theirs, their_peak, said = run([peer_python, __file__, "--peer-part", json.dumps(spec)])
    options = ["--threshold", str(THRESHOLD), "--ngram", str(NGRAM), "--permutations", str(PERMUTATIONS)]
    files = [str(path) for path in sorted(source.glob("*.gz"))]
    command = [sys.executable, "-m", "redpajama_data", "dedup", "fuzzy", *files, "--root", str(out / "ours")]
    command += ["--executor", "serial", *options]
    ours, our_peak, _ = run([*command, "--tokenizer", "none"])  # the peer counts no tokens either
    counted, _, _ = run([part.replace(str(out / "ours"), str(out / "counted")) for part in command])
    return {
        "theirs": theirs,
        "ours": ours,
        "counted": counted,
        "their_peak": their_peak,
        "our_peak": our_peak,
        "their_stages": json.loads(said.splitlines()[-1])["stages"],
        "kept_theirs": kept_ids(out / "theirs" / "kept"),
        "kept_ours": kept_ids(out / "ours" / "fuzzy"),
    }


def pairs(
    peer_python: str, data: Path, folder: Path, repeat: int, say: Callable[[str], None], megabytes: float = 22
) -> list[float]:
    """Theirs and ours in turn on about ``megabytes`` of documents: the ratio of CPU seconds, pair by pair."""
    source = folder / "in"
    made = write_input(source, data, megabytes)
    megabytes = made["megabytes"]
    say(f"pairs   {megabytes:.1f} MB in {made['documents']} documents, load {os.getloadavg()[0]:.1f}")
    ratios = []
    for i in range(repeat):
        found = pair(peer_python, source, folder / f"out-{i}")
        ratios.append(found["theirs"] / found["ours"])
        say(
            f"  {i + 1}  datatrove {found['theirs']:.1f} s CPU, {megabytes / found['theirs']:.2f} MB/s, "
            f"{found['their_peak']:.0f} MB peak (stages {found['their_stages']}); "
            f"ours {found['ours']:.2f} s, {megabytes / found['ours']:.1f} MB/s, {found['our_peak']:.0f} MB peak; "
            f"ratio {ratios[-1]:.1f}, {found['theirs'] / found['counted']:.1f} with tokens counted"
        )
        theirs, ours = found["kept_theirs"], found["kept_ours"]
        say(
            f"     removed {made['documents'] - len(theirs)} and {made['documents'] - len(ours)}; "
            f"{len(theirs - ours)} by ours only, {len(ours - theirs)} by theirs only"
        )
    return ratios


# ------------------------------------------------------------------------------------------------ what is printed


def kernel(data: Path, say: Callable[[str], None]) -> None:
    """From str to signature, for each kind of text."""
    from filters.minhash import scheme, signatures

    made = scheme(threshold=THRESHOLD, ngram=NGRAM, permutations=PERMUTATIONS)
    signatures(["once"], made)
    for name in ("c4", "stackexchange", "github", "books", "wikipedia", "common_crawl"):
        texts = texts_of(name, data)
        megabytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) / 1e6
        rates = []
        for _ in range(5):
            start, rounds = time.process_time(), 0
            while time.process_time() - start < 0.1:
                signatures(texts, made)
                rounds += 1
            rates.append(rounds * megabytes / (time.process_time() - start))
        say(f"kernel  {name:15} {statistics.median(rates):6.0f} MB/s ({min(rates):.0f} to {max(rates):.0f})")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="python of the environment with datatrove")
    parser.add_argument("--data", type=Path, default=SHARED, help="the folder of real input")
    parser.add_argument("--megabytes", type=float, default=22)
    parser.add_argument("--repeat", type=int, default=3, help="pairs")
    parser.add_argument("--peer-part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer_part:
        peer_part(json.loads(given.peer_part))
        return
    if not given.data.is_dir():
        parser.error(f"{given.data} is not there; give --data DIR, the folder of real input")

    def say(line: str) -> None:
        print(line, flush=True)

    kernel(given.data, say)
    if not given.peer_python:
        say("pairs   left out: give --peer-python PATH, the python of an environment with datatrove and spacy")
        return
    check = [given.peer_python, "-c", "import datatrove.pipeline.dedup.minhash, spacy, xxhash"]
    try:
        there = not subprocess.run(check, capture_output=True).returncode
    except OSError:
        there = False
    if not there:
        say(f"pairs   left out: {given.peer_python} cannot import datatrove and spacy; --help says how to get them")
        return
    with tempfile.TemporaryDirectory(prefix="rpj-bench-") as scratch:
        from realdata import use_models_of

        os.environ.update(use_models_of(given.data.resolve(), Path(scratch, "models")))  # ours counts tokens
        ratios = pairs(given.peer_python, given.data, Path(scratch), given.repeat, say, given.megabytes)
        say(f"ratio   {statistics.median(ratios):.1f}x ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
