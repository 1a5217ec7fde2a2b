"""Token ids: ours, the count of tokens, and datatrove's DocumentTokenizer on the same input, in one run.

    python scripts/bench_tokenize.py --peer-python PATH [--data DIR] [--megabytes 44] [--repeat 3] [--growth 1,4,16]

pairs    theirs, ours and rpj count-tokens in fresh processes in turn, N times: CPU seconds (all processes, their start
         included), MB/s, and the ratios run by run. One process; JSONL.gz in; GPT-NeoX's tokenizer, no shuffle
growth   1, 4, 16 times 11 MB, without and with a mixture, and --memory 64M: CPU seconds and the peak memory of a
         process. Each copy has words of its own, until the tokenizer's cache of words is full

PATH is the python of an environment that has the peer: build/trainers/bin/python of ``make trainers``, after
build/trainers/bin/pip install orjson. The input is that of bench_minhash.py; a MB is 10**6 bytes of UTF-8 text. Both
sides must give as many tokens, document by document.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_minhash import SHARED, run, write_input

GROWTH_MEGABYTES = 11
MIXTURE = "epochs: {documents: 1.5}\n"
Numbers = dict[str, Any]


def peer_part(spec: Numbers) -> None:
    """Runs in the peer's environment: one task in this process."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from datatrove.utils.logging import logger

    logger.remove()
    out = Path(spec["out"])
    steps = [
        JsonlReader(spec["input"]),
        DocumentTokenizer(
            str(out / "tokens"),
            tokenizer_name_or_path=spec["tokenizer"],
            eos_token="<|endoftext|>",
            shuffle_documents=False,
            local_working_dir=str(out / "local"),
        ),
    ]
    LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=str(out / "log")).run()


def rpj(*words: str) -> list[str]:
    """A command of ours."""
    return [sys.executable, "-m", "redpajama_data", *words]


def tokenize(source: Path, out: Path, *words: str) -> list[str]:
    """The command that tokenizes a folder in one process."""
    files = [str(path) for path in sorted(source.glob("*.gz"))]
    return rpj("tokenize", *files, "--root", str(out), "--executor", "serial", "--format", "uint", "--quiet", *words)


def sizes(folder: Path) -> list[int]:
    """The tokens of each document below a folder of raw arrays with ends."""
    ends = [np.fromfile(path, "<u8") for path in sorted(folder.rglob("*.ds.index"))]
    return [int(size) for part in ends for size in np.diff(part, prepend=np.uint64(0))]


def pairs(given: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> None:
    """Theirs, ours and the count, in turn."""
    source = folder / "documents"
    made = write_input(source, given.data, given.megabytes)
    megabytes = made["megabytes"]
    say(f"pairs   {megabytes:.1f} MB in {made['documents']} documents, load {os.getloadavg()[0]:.1f}")
    tokenizer = str(given.data.resolve() / "models" / "gpt-neox-20b.tokenizer.json")
    of_peer, of_count = [], []
    for i in range(given.repeat):
        out = folder / f"out-{i}"
        spec = json.dumps({"input": str(source), "out": str(out / "theirs"), "tokenizer": tokenizer})
        counted, _, said = run(rpj("count-tokens", *map(str, sorted(source.glob("*.gz"))), "--json"))
        ours, our_peak, _ = run(tokenize(source, out / "ours"))
        theirs, their_peak, _ = run([given.peer_python, __file__, "--peer-part", spec])
        found, expected = sizes(out / "ours" / "tokenize"), sizes(out / "theirs" / "tokens")
        tokens = sum(part["tokens"] for part in json.loads(said)["slices"])
        if found != expected or sum(found) != tokens + len(found):
            raise SystemExit(f"tokens differ: ours {sum(found)}, theirs {sum(expected)}, counted {tokens}")
        of_peer.append(theirs / ours)
        of_count.append(counted / ours)
        say(
            f"  {i + 1}  datatrove {theirs:.1f} s CPU, {megabytes / theirs:.2f} MB/s, {their_peak:.0f} MB peak; "
            f"ours {ours:.2f} s, {megabytes / ours:.1f} MB/s, {our_peak:.0f} MB peak; count {counted:.2f} s, "
            f"{megabytes / counted:.1f} MB/s; {sum(found):,} tokens, equal document by document"
        )
    for name, ratios in (("of datatrove's rate", of_peer), ("of the count's rate", of_count)):
        say(f"ratio   {statistics.median(ratios):.2f}x {name} ({min(ratios):.2f} to {max(ratios):.2f})")


def growth(given: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> None:
    """More and more input, in one process with little memory."""
    mixture = folder / "mixture.yaml"
    mixture.write_text(MIXTURE)
    for name, words in (("prefix", ()), ("mixture", ("--mixture", str(mixture)))):
        for units in given.growth:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                source = Path(place, "documents")
                made = write_input(source, given.data, GROWTH_MEGABYTES * units)
                seconds, peak, _ = run(tokenize(source, Path(place, "out"), "--memory", "64M", *words))
            say(f"growth  {name:8} {units:3} x  {made['megabytes']:6.0f} MB  {seconds:6.2f} s CPU  {peak:5.0f} MB peak")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="python of the environment with datatrove")
    parser.add_argument("--data", type=Path, default=SHARED, help="the folder of real input")
    parser.add_argument("--megabytes", type=float, default=44)
    parser.add_argument("--repeat", type=int, default=3, help="pairs; 0 leaves them out")
    parser.add_argument("--growth", type=lambda s: [int(n) for n in s.split(",") if n], default=[1, 4, 16])
    parser.add_argument("--peer-part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer_part:
        peer_part(json.loads(given.peer_part))
        return
    if not given.data.is_dir():
        parser.error(f"{given.data} is not there; give --data DIR, the folder of real input")
    if given.repeat and not given.peer_python:
        parser.error("give --peer-python PATH, as build/trainers/bin/python of make trainers; or --repeat 0")
    from realdata import use_models_of  # not where the peer lives

    with tempfile.TemporaryDirectory(prefix="rpj-bench-") as scratch:
        os.environ.update(use_models_of(given.data.resolve(), Path(scratch, "models")))

        def say(line: str) -> None:
            print(line, flush=True)

        if given.repeat:
            pairs(given, Path(scratch), say)
        growth(given, Path(scratch), say)


if __name__ == "__main__":
    main()
