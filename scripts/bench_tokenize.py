"""Token ids: ours, the count of tokens, and datatrove's DocumentTokenizer on the same input, in one run.

    python scripts/bench_tokenize.py [--data DIR] [--megabytes 44] [--repeat 3] [--growth 1,4,16] [--environments DIR]

pairs    theirs, ours and rpj count-tokens in fresh processes in turn, N times: CPU seconds (all processes, their start
         included), MB/s, and the ratios run by run. One process; JSONL.gz in; GPT-NeoX's tokenizer, no shuffle
growth   1, 4, 16 times 11 MB, without and with a mixture, and --memory 64M: CPU seconds and the peak memory of a
         process. Each copy has words of its own, until the tokenizer's cache of words is full

The input and the environment of the peer are those of bench_public.py; a MB is 10**6 bytes of UTF-8 text. Both sides
must give as many tokens, document by document.
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

import numpy as np
from bench_public import DOCUMENT, ENVIRONMENTS, environment, run, write_input
from realdata import DEFAULT, use_models_of

GROWTH_MEGABYTES = 11
MIXTURE = "epochs: {documents: 1.5}\n"


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
    python = environment(given.environments.resolve(), "datatrove")
    peer = [str(python), str(Path(__file__).with_name("bench_public_works.py")), "tokens_datatrove"]
    source = folder / "documents"
    made = write_input(source, given.data, given.megabytes, DOCUMENT)
    megabytes = made["megabytes"]
    say(f"pairs   {megabytes:.1f} MB in {made['records']} documents, load {os.getloadavg()[0]:.1f}")
    tokenizer = str(given.data.resolve() / "models" / "gpt-neox-20b.tokenizer.json")
    of_peer, of_count = [], []
    for i in range(given.repeat):
        out = folder / f"out-{i}"
        spec = json.dumps({"input": str(source), "out": str(out / "theirs"), "tokenizer": tokenizer})
        counted, _, said = run(rpj("count-tokens", *map(str, sorted(source.glob("*.gz"))), "--json"))
        ours, our_peak, _ = run(tokenize(source, out / "ours"))
        theirs, their_peak, _ = run([*peer, spec])
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
                made = write_input(source, given.data, GROWTH_MEGABYTES * units, DOCUMENT)
                seconds, peak, _ = run(tokenize(source, Path(place, "out"), "--memory", "64M", *words))
            say(f"growth  {name:8} {units:3} x  {made['megabytes']:6.0f} MB  {seconds:6.2f} s CPU  {peak:5.0f} MB peak")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--megabytes", type=float, default=44)
    parser.add_argument("--repeat", type=int, default=3, help="pairs; 0 leaves them out")
    parser.add_argument("--growth", type=lambda s: [int(n) for n in s.split(",") if n], default=[1, 4, 16])
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.error(f"{given.data} is not there; give --data DIR, the folder of real input")
    with tempfile.TemporaryDirectory(prefix="rpj-bench-") as scratch:
        os.environ.update(use_models_of(given.data.resolve(), Path(scratch, "models")))

        def say(line: str) -> None:
            print(line, flush=True)

        if given.repeat:
            pairs(given, Path(scratch), say)
        growth(given, Path(scratch), say)


if __name__ == "__main__":
    main()
