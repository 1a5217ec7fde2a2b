"""Reads what ``rpj tokenize`` wrote with the trainers' own readers, and holds every document against its text.

python scripts/read_tokens.py ROOT... --tokenizer FILE    in an environment with these libraries: ``make trainers``

megatron-core reads the format ``megatron``, and its builder must give the same bytes from what was read. datatrove
reads the format ``uint``: by document, and in the windows of a trainer. MosaicML's Streaming reads the format ``mds``:
in order, and shuffled, when each window must come once. The ids are compared with those of ``tokenizers``.

Run where ``rpj tokenize`` was: documents are found by the paths it was given. All texts are held in memory.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer[Any]]


def main(roots: Sequence[Path], tokenizer: Path) -> int:
    """Read every prefix of the roots; 1 when one differs from its texts, or none was read."""
    failed = read = 0
    for root in roots:
        report = json.loads((root / "tokenize" / "tokens.json").read_text())
        if hashlib.sha256(tokenizer.read_bytes()).hexdigest() != report["tokenizer"]["sha256"]:
            sys.exit(f"{tokenizer} is not what {root} was made with: {report['tokenizer']}. Give that file.")
        encode = reference(tokenizer, report["end"])
        reader, again = {
            "megatron": (by_megatron, megatron_writes),
            "uint": (by_datatrove, datatrove_windows),
            "mds": (by_streaming, streaming_shuffles),
        }[report["format"]]
        for part in report["prefixes"]:
            began = time.monotonic()
            prefix = root / "tokenize" / part["name"]
            documents: list[Ids] = []
            try:
                documents += reader(prefix, report)
                expected: Iterator[list[int]] = map(encode, texts(root, part["name"]))
                if report["format"] == "mds":  # the last tokens, fewer than a window, are in no sample
                    expected = up_to(expected, part["tokens"] - part["dropped_by_last_window"])
                wrong = difference(documents, expected) or again(prefix, documents, report)
            except (ValueError, AssertionError, OSError) as error:  # what readers say of a damaged file
                wrong = f"not read: {error!r}"
            said = wrong or f"all {len(documents):,} documents equal, {sum(map(len, documents)):,} tokens"
            print(f"{report['format']:9} {part['name']:24} {time.monotonic() - began:5.1f} s  {said}", flush=True)
            failed += wrong is not None
            read += len(documents)
    return 1 if failed or not read else 0


# ------------------------------------------------------------------------------------------------ what is expected


def reference(tokenizer: Path, end: dict[str, Any]) -> Callable[[str], list[int]]:
    """Ids of a text by the tokenizer's own library, with the document end.

    The library would take an end that a text spells out for the token: it is not among those that are looked for.
    """
    import tokenizers

    config = json.loads(tokenizer.read_text(encoding="utf-8"))
    config["added_tokens"] = [token for token in config["added_tokens"] if token["content"] != end["token"]]
    library = tokenizers.Tokenizer.from_str(json.dumps(config))
    return lambda text: [*library.encode(text, add_special_tokens=False).ids, end["id"]]


def texts(root: Path, name: str) -> Iterator[str]:
    """The texts of a prefix, in its order: by the line that names a shard and a record of it."""
    for line in _text(root / "_run" / "tokenize" / "write" / f"{name}.ids.zst"):
        shard, _, number = line.rstrip("\n").rpartition("#")
        yield shard_texts(shard)[int(number)]


@functools.cache
def shard_texts(path: str) -> list[str]:
    """The texts of a shard."""
    return [json.loads(line)["text"] for line in _text(Path(path))]


def _text(path: Path) -> Iterator[str]:
    import zstandard

    with open(path, "rb") as file:
        packed = path.suffix == ".zst"
        raw = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) if packed else file
        yield from io.TextIOWrapper(raw, encoding="utf-8", newline="\n")


def up_to(documents: Iterator[list[int]], tokens: int) -> Iterator[list[int]]:
    """The documents as far as there are so many tokens; the last one is cut."""
    for ids in documents:
        if tokens <= 0:
            return
        yield ids[:tokens]
        tokens -= len(ids)


def difference(found: Sequence[Ids], expected: Iterator[list[int]]) -> str | None:
    """What is wrong with the documents read, None when nothing is."""
    for number, (ids, right) in enumerate(zip_longest(found, expected)):
        if ids is None or right is None:
            return f"{len(found):,} documents, the texts are {'more' if ids is None else f'{number:,}'}"
        if (read := ids.tolist()) != right:
            place = next((i for i, pair in enumerate(zip(read, right, strict=False)) if pair[0] != pair[1]), None)
            where = (
                f"at id {place}" if place is not None else f"in length: {len(read)}, its text gives {len(right)} ids"
            )
            return f"document {number} differs {where}"
    return None


# ------------------------------------------------------------------------------------------------ readers


def by_megatron(prefix: Path, report: dict[str, Any]) -> Iterator[Ids]:
    """The documents of a prefix as megatron-core has them: the sequences between two of its document indices."""
    data = _megatron().IndexedDataset(str(prefix))
    for first, last in pairwise(data.document_indices.tolist()):
        yield np.concatenate([data[number] for number in range(first, last)])


def megatron_writes(prefix: Path, documents: Sequence[Ids], report: dict[str, Any]) -> str | None:
    """Whether megatron-core's builder, with the dtype it finds best, writes other bytes for these documents."""
    import torch

    megatron = _megatron()
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder, "again")
        dtype = megatron.DType.optimal_dtype(report["vocabulary"])
        builder = megatron.IndexedDatasetBuilder(f"{again}.bin", dtype=dtype)
        for ids in documents:
            builder.add_document(torch.tensor(ids.astype(np.int64)), [len(ids)])
        builder.finalize(f"{again}.idx")
        for ending in (".bin", ".idx"):
            if Path(f"{again}{ending}").read_bytes() != Path(f"{prefix}{ending}").read_bytes():
                return f"megatron-core writes another {ending}"
    return None


@functools.cache
def _megatron() -> Any:
    warnings.simplefilter("ignore")  # of parts for GPUs that are not installed
    logging.disable(logging.WARNING)
    from megatron.core.datasets import indexed_dataset

    return indexed_dataset


def by_datatrove(prefix: Path, report: dict[str, Any]) -> Iterator[Ids]:
    """The documents of a prefix as datatrove's merger reads them."""
    from datatrove.pipeline.tokens.merger import get_data_reader, load_doc_ends

    dtype = np.dtype(report["dtype"])
    with open(f"{prefix}.ds.index", "rb") as index, open(f"{prefix}.ds", "rb") as data:
        for document in get_data_reader(data, load_doc_ends(index).tolist(), dtype.itemsize):
            yield np.frombuffer(document, dtype)


def datatrove_windows(prefix: Path, documents: Sequence[Ids], report: dict[str, Any]) -> str | None:
    """Whether the windows of datatrove's dataset are other tokens, or have them at other places of their documents."""
    from datatrove.utils.dataset import DatatroveFileDataset

    length = report["sequence"]
    size = np.dtype(report["dtype"]).itemsize
    windows = DatatroveFileDataset(f"{prefix}.ds", seq_len=length, token_size=size, return_positions=True)
    ids = np.concatenate(documents)
    places = np.concatenate([np.arange(len(document)) for document in documents])
    if len(windows) != len(ids) // (length + 1):
        return f"datatrove has {len(windows)} windows of {length + 1}"
    for number, window in enumerate(windows[i] for i in range(len(windows))):
        part = slice(number * (length + 1), (number + 1) * (length + 1))
        if window["input_ids"].tolist() != ids[part].tolist():
            return f"datatrove's window {number} has other tokens"
        within = np.minimum(places[part], np.arange(length + 1))  # of a document that began before: from the window
        if window["positions"].tolist() != within.tolist():
            return f"datatrove's window {number} has other document ends"
    return None


def by_streaming(prefix: Path, report: dict[str, Any]) -> Iterator[Ids]:
    """The documents of a prefix as Streaming reads them: its windows in order, cut at the ends that the index names."""
    windows = [sample["tokens"] for sample in _streaming(prefix, shuffle=False)]
    if wrong := {len(window) for window in windows} - {report["sequence"]}:
        raise ValueError(f"windows of {sorted(wrong)} tokens")
    ids = np.concatenate(windows) if windows else np.empty(0, report["dtype"])
    ends = np.fromfile(prefix / "documents.index", "<u8").astype(np.int64)
    yield from (part for part in np.split(ids, ends[ends < len(ids)]) if len(part))


def streaming_shuffles(prefix: Path, documents: Sequence[Ids], report: dict[str, Any]) -> str | None:
    """Whether Streaming's shuffle gives other windows, or the same order for another seed."""
    orders = [[sample["tokens"].tobytes() for sample in _streaming(prefix, shuffle=True, seed=seed)] for seed in (0, 1)]
    ids = np.concatenate(documents) if documents else np.empty(0, report["dtype"])
    windows = sorted(window.tobytes() for window in ids.reshape(-1, report["sequence"]))
    if any(sorted(order) != windows for order in orders):
        return "Streaming's shuffle gives other windows"
    if orders[0] == orders[1] and len(set(windows)) > 8:  # of fewer, two seeds may give one order
        return "Streaming's shuffle has one order for two seeds"
    return None


def _streaming(prefix: Path, *, shuffle: bool, seed: int = 0) -> Any:
    """The samples of a prefix. Streaming has no reader for a folder without one."""
    if not json.loads((prefix / "index.json").read_text())["shards"]:
        return []
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    return StreamingDataset(local=str(prefix), shuffle=shuffle, shuffle_seed=seed, batch_size=1, validate_hash="sha256")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", type=Path, metavar="ROOT", help="--root of rpj tokenize")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json: rpj models path gpt-neox-20b")
    chosen = parser.parse_args()
    sys.exit(main(chosen.roots, chosen.tokenizer))
