"""What people would use instead of ours, each as its own documents show it: ``python bench_public_works.py WORK SPEC``.

Runs in the environment of the peer (:mod:`bench_public` makes it), so nothing of ours is imported here. ``SPEC`` is
JSON: ``input`` a folder of JSONL.gz with ``id`` and ``text``, ``out`` a folder to write to. Prints how many it kept.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Spec = dict[str, Any]


def _lines(spec: Spec) -> Iterator[dict[str, str]]:
    for path in sorted(Path(spec["input"]).glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _call(*command: object) -> None:
    """A command of the environment this runs in."""
    words = [str(Path(sys.executable).parent / str(command[0])), *map(str, command[1:])]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr[-3000:]}")


# ------------------------------------------------------------------------------------------------ near-duplicates


def near_datatrove(spec: Spec) -> int:
    """Its four stages, each with one task in this process."""
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = minhash.MinhashConfig(n_grams=spec["ngram"], num_buckets=spec["bands"], hashes_per_bucket=spec["rows"])
    out = Path(spec["out"])
    signatures, buckets, removed = str(out / "signatures"), str(out / "buckets"), str(out / "removed")
    _datatrove(out / "log0", JsonlReader(spec["input"]), minhash.MinhashDedupSignature(signatures, config=config))
    _datatrove(out / "log1", minhash.MinhashDedupBuckets(signatures, buckets, config=config), tasks=spec["bands"])
    _datatrove(out / "log2", minhash.MinhashDedupCluster(buckets, removed, config=config))
    kept = JsonlWriter(str(out / "kept"))
    _datatrove(out / "log3", JsonlReader(spec["input"]), minhash.MinhashDedupFilter(removed), kept)
    return _count(out / "kept")


def near_text_dedup(spec: Spec) -> int:
    """Its command, on one process."""
    _text_dedup(
        "minhash", spec, "--ngram", spec["ngram"], "--num_perm", spec["permutations"], "--threshold", spec["threshold"]
    )
    return _arrow_rows(Path(spec["out"]) / "kept")


def near_data_juicer(spec: Spec) -> int:
    """Its operator; it reads plain JSON lines."""
    out = Path(spec["out"])
    out.mkdir(parents=True)
    with (out / "in.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in _lines(spec))
    operator = {
        "tokenization": "space",
        "window_size": spec["ngram"],
        "num_permutations": spec["permutations"],
        "jaccard_threshold": spec["threshold"],
        "num_bands": spec["bands"],
        "num_rows_per_band": spec["rows"],
    }
    recipe = {
        "dataset_path": str(out / "in.jsonl"),
        "export_path": str(out / "kept.jsonl"),
        "np": 1,
        "use_cache": False,
        "process": [{"document_minhash_deduplicator": operator}],
    }
    (out / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
    _call("dj-process", "--config", out / "recipe.yaml")
    return (out / "kept.jsonl").read_bytes().count(b"\n")


def near_rensa(spec: Spec) -> int:
    """Signatures of all texts in one call, then its deduplicator, which compares what shares a band. All texts are in
    memory; the records that are kept are written."""
    from rensa import RMinHash, RMinHashDeduplicator

    records = list(_lines(spec))
    size = spec["ngram"]
    shingles = []
    for record in records:
        words = re.findall(r"\w+", record["text"].lower())
        shingles.append([" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))])
    signatures = RMinHash.from_token_sets(shingles, spec["permutations"], 42)
    known = RMinHashDeduplicator(spec["threshold"], spec["permutations"], True, 8, 42)
    return _write(
        spec, (record for record, made in zip(records, signatures, strict=True) if known.add(record["id"], made))
    )


# ------------------------------------------------------------------------------------------------ exact duplicates


def exact_duckdb(spec: Spec) -> int:
    """One statement: the first record of each text."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    source, kept = f"{spec['input']}/*.gz", f"{spec['out']}/kept.jsonl.gz"
    Path(spec["out"]).mkdir(parents=True, exist_ok=True)
    connection.execute(
        f"COPY (SELECT id, text FROM read_json('{source}', columns = {{id: 'VARCHAR', text: 'VARCHAR'}})"
        " QUALIFY row_number() OVER (PARTITION BY text ORDER BY id) = 1)"
        f" TO '{kept}' (FORMAT json, COMPRESSION gzip)"
    )
    return _count(Path(spec["out"]))


def exact_text_dedup(spec: Spec) -> int:
    """Its command, on one process."""
    _text_dedup("exact_hash", spec, "--hash_func", "xxh3")
    return _arrow_rows(Path(spec["out"]) / "kept")


def exact_dolma(spec: Spec) -> int:
    """Its Bloom filter marks, its mixer writes what is not marked. One of a thousand is marked by chance."""
    out = Path(spec["out"])
    documents = out / "documents"
    documents.mkdir(parents=True)
    for path in Path(spec["input"]).glob("*.gz"):
        (documents / path.name).symlink_to(path)
    every = f"{documents}/*.gz"
    _call(
        *("dolma", "dedupe", "--documents", every, "--dedupe.name", "copies", "--processes", 1),
        *("--dedupe.documents.key", "$.text", "--dedupe.documents.attribute_name", "copy"),
        *("--bloom_filter.file", out / "bloom", "--no-bloom_filter.read_only"),
        *("--bloom_filter.estimated_doc_count", spec["records"], "--bloom_filter.desired_false_positive_rate", "0.001"),
    )
    stream = {
        "name": "kept",
        "documents": [every],
        "attributes": ["copies"],
        "output": {"path": str(out / "kept")},
        "filter": {"exclude": [".attributes.copy | . != null and length > 0"], "syntax": "jq"},
    }
    (out / "mix.json").write_text(json.dumps({"streams": [stream], "processes": 1}))
    _call("dolma", "-c", out / "mix.json", "mix")
    return _count(out / "kept")


# ------------------------------------------------------------------------------------------------ quality


def quality_datatrove(spec: Spec) -> int:
    """The rules of Gopher and C4 over documents; what passes is written."""
    from datatrove.pipeline import filters
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    out = Path(spec["out"])
    _datatrove(
        out / "log",
        JsonlReader(spec["input"]),
        filters.GopherRepetitionFilter(),
        filters.GopherQualityFilter(),
        filters.C4QualityFilter(filter_no_terminal_punct=False),
        JsonlWriter(str(out / "kept")),
    )
    return _count(out / "kept")


def quality_dolma(spec: Spec) -> int:
    """The taggers with the measures of Gopher and C4: every document has its values beside it."""
    out = Path(spec["out"])
    documents = out / "documents"
    documents.mkdir(parents=True)
    for path in Path(spec["input"]).glob("*.gz"):
        (documents / path.name).symlink_to(path)
    taggers = ("gopher_v2", "c4_v2")
    _call("dolma", "tag", "--documents", f"{documents}/*.gz", "--taggers", *taggers, "--processes", 1)
    return _count(out / "attributes") // len(taggers)  # a file a tagger


# ------------------------------------------------------------------------------------------------ tokens


def tokens_datatrove(spec: Spec) -> int:
    """Token ids in one file, each document with its end; how many there are."""
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer

    out = Path(spec["out"])
    _datatrove(
        out / "log",
        JsonlReader(spec["input"]),
        DocumentTokenizer(
            str(out / "tokens"),
            tokenizer_name_or_path=spec["tokenizer"],
            eos_token="<|endoftext|>",
            shuffle_documents=False,
            local_working_dir=str(out / "local"),
        ),
    )
    return sum(path.stat().st_size for path in (out / "tokens").glob("*.ds")) // 2  # of 16 bits


# ------------------------------------------------------------------------------------------------ tools


def _datatrove(log: Path, *stages: Any, tasks: int = 1) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.utils.logging import logger

    logger.remove()
    LocalPipelineExecutor(list(stages), tasks=tasks, workers=1, logging_dir=str(log)).run()


def _text_dedup(method: str, spec: Spec, *options: object) -> None:
    out = Path(spec["out"])
    (out / "cache").mkdir(parents=True)
    _call(
        *(
            "python",
            "-m",
            f"text_dedup.{method}",
            "--path",
            "json",
            "--data_files",
            f"{spec['input']}/*.gz",
            "--split",
            "train",
        ),
        *("--cache_dir", out / "cache", "--output", out / "kept", "--column", "text", "--num_proc", 1),
        *("--batch_size", 10_000, *options),
    )


def _arrow_rows(folder: Path) -> int:
    import datasets

    return len(datasets.load_from_disk(str(folder)))


def _write(spec: Spec, records: Iterator[dict[str, str]]) -> int:
    out = Path(spec["out"])
    out.mkdir(parents=True, exist_ok=True)
    with gzip.open(out / "kept.jsonl.gz", "wt", encoding="utf-8", compresslevel=3) as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return _count(out)


def _count(folder: Path) -> int:
    """The lines of all files below a folder."""
    count = 0
    for path in folder.rglob("*.gz"):
        with gzip.open(path, "rb") as file:
            count += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return count


WORKS: dict[str, Callable[[Spec], int]] = {
    made.__name__: made
    for made in (
        near_datatrove,
        near_text_dedup,
        near_data_juicer,
        near_rensa,
        exact_duckdb,
        exact_text_dedup,
        exact_dolma,
        quality_datatrove,
        quality_dolma,
        tokens_datatrove,
    )
}

if __name__ == "__main__":
    print(json.dumps({"kept": WORKS[sys.argv[1]](json.loads(sys.argv[2]))}))
