"""Parity with the published scripts: run a slice on the real input, compare with what the scripts made of it.

    python scripts/parity.py github [--data DIR] [--root DIR] [--json]

Exit status 0 when all records are equal, 1 otherwise, 2 when the real input is not there.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from realdata import DEFAULT, NAMES, raw_files, run_on, use_models_of

from redpajama_data.engine.receipts import load_all
from redpajama_data.io.shards import read_jsonl, read_stored

SHOWN = 5  # differences kept of each kind: the first ones tell, and a broken slice would have thousands

Record = tuple[str, int, dict[str, Any]]  # SHA-256 of the text, its characters, the other fields


@dataclass
class Difference:
    """One field of one document; ``document`` counts from 0 in the expected file (in ours for an extra one)."""

    document: int
    field: str
    expected: Any
    got: Any


@dataclass
class Parity:
    """Ours against the expected records: counts of documents, and the first differences."""

    name: str
    equal: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    first: list[Difference] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """True when every expected record is there, equal and in its place, and nothing else."""
        return self.equal > 0 and not (self.differing or self.missing or self.extra)


def expected_records(path: Path) -> list[Record]:
    """The lines of an expected file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [_expected(json.loads(line)) for line in file]


def _expected(line: dict[str, Any]) -> Record:
    sha256, chars = line.pop("sha256"), line.pop("chars")
    return sha256, chars, line.get("meta", line)  # Common Crawl's fields lie beside the text, all others' in meta


def our_records(shards: Sequence[Path]) -> Iterator[Record]:
    """The records of published shards, in output order."""
    for shard in shards:
        for line in read_jsonl(str(shard)):
            text = line["text"]
            yield hashlib.sha256(text.encode()).hexdigest(), len(text), line["meta"]


def compare(name: str, expected: Sequence[Record], ours: Sequence[Record]) -> Parity:
    """Hold our records against the expected ones, in order. Fields that only we have are no difference."""
    result = Parity(name)
    matcher = SequenceMatcher(None, [r[0] for r in expected], [r[0] for r in ours], autojunk=False)
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        pairs = min(i_end - i, j_end - j)
        for k in range(pairs):
            differences = list(_differences(i + k, expected[i + k], ours[j + k]))
            result.differing += bool(differences)
            result.equal += not differences
            _keep(result, differences)
        for k in range(i + pairs, i_end):
            result.missing += 1
            _keep(result, [Difference(k, "(missing)", _short(expected[k]), None)])
        for k in range(j + pairs, j_end):
            result.extra += 1
            _keep(result, [Difference(k, "(extra)", None, _short(ours[k]))])
    return result


def _differences(number: int, expected: Record, got: Record) -> Iterator[Difference]:
    if expected[0] != got[0]:
        yield Difference(number, "text (SHA-256, characters)", expected[:2], got[:2])
    for key, value in expected[2].items():
        if key not in got[2]:
            yield Difference(number, key, value, None)
        elif json.dumps(got[2][key]) != json.dumps(
            value
        ):  # tells 1 from 1.0 and True, and sees the order of inner keys
            yield Difference(number, key, value, got[2][key])
    order = [key for key in got[2] if key in expected[2]]
    wanted = [key for key in expected[2] if key in got[2]]
    if order != wanted:
        yield Difference(number, "(order of fields)", wanted, order)


def _keep(result: Parity, differences: list[Difference]) -> None:
    result.first.extend(differences[: max(0, SHOWN - len(result.first))])


def _short(record: Record) -> str:
    return f"{record[0][:12]} {record[1]} characters {json.dumps(record[2])[:200]}"


def check(name: str, data: Path, root: Path) -> list[Parity]:
    """Run a slice on ``data`` into ``root`` and compare; the environment must name a model cache (``use_models_of``).

    For Common Crawl the documents after CCNet are compared too, each dump and bucket by itself.
    """
    run_on(name, raw_files(name, data), data, root)
    shards = sorted((root / name).rglob("*.jsonl.zst"))
    published = {"stackexchange": "stack_exchange"}.get(name, name)
    results = [compare(name, expected_records(data / "expected" / f"{published}.jsonl.gz"), list(our_records(shards)))]
    if name == "common_crawl":
        for path in sorted(data.glob("expected/ccnet.*.jsonl.gz")):
            dump, bucket = path.name.split(".")[1:3]
            results.append(
                compare(f"ccnet {dump} {bucket}", expected_records(path), list(mined_records(root, dump, bucket)))
            )
    return results


def mined_records(root: Path, dump: str, bucket: str) -> Iterator[Record]:
    """The documents that the stage ``mine`` stored of a dump's language and bucket, in order."""
    for receipt in load_all(str(root), "common_crawl"):
        if receipt.stage == "mine" and receipt.notes["dump"] == dump and f"mined:{bucket}" in receipt.outputs:
            for _, doc in read_stored(str(root / receipt.outputs[f"mined:{bucket}"].path)):
                yield hashlib.sha256(doc.text.encode()).hexdigest(), len(doc.text), doc.meta


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slice", choices=NAMES)
    parser.add_argument("--data", type=Path, default=DEFAULT, help="the folder of real input")
    parser.add_argument("--root", type=Path, help="keep the run here (default: a temporary folder)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not raw_files(given.slice, given.data):
        print(f"{given.data}: no input for {given.slice}. Give --data DIR.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(use_models_of(given.data, Path(scratch) / "models"))
        results = check(given.slice, given.data.resolve(), given.root or Path(scratch) / "root")
    if given.json:
        print(json.dumps([asdict(result) | {"exact": result.exact} for result in results], indent=1))
    else:
        for result in results:
            print(
                f"{result.name}: {result.equal:,} equal, {result.differing:,} differing, "
                f"{result.missing:,} missing, {result.extra:,} extra"
            )
            for d in result.first:
                print(f"  document {d.document}: {d.field}: expected {d.expected!r}, got {d.got!r}")
    return 0 if all(result.exact for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
