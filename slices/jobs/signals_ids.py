"""What the published quality signals say of a document beside its values: its id, and metadata of its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from filters.signals import source_domain

_DUMP = re.compile(r"\b\d{4}-\d{2}\b")
_FROM_DUMP = re.compile(r"\b\d{4}-\d{2}\b/.*")


def shard_names(paths: Sequence[str]) -> list[str]:
    """The name of each shard in the ids of its documents: from the dump on where the path has one as a folder, else the
    last folder and the file. Names that would be equal get as many folders more as tell them apart."""
    names = [found[0] if (found := _FROM_DUMP.search(path)) else _tail(path, 2) for path in paths]
    for depth in range(3, max((path.count("/") for path in paths), default=0) + 2):
        counts = Counter(names)
        names = [_tail(path, depth) if counts[name] > 1 else name for path, name in zip(paths, names, strict=True)]
    counts = Counter(names)
    return [path if counts[name] > 1 else name for path, name in zip(paths, names, strict=True)]


def _tail(path: str, depth: int) -> str:
    return "/".join([part for part in path.split("/") if part not in ("", ".", "..")][-depth:])


def document_ids(shard: str, numbers: Sequence[int]) -> list[tuple[str, int]]:
    """``id`` and ``id_int`` of the lines of a shard."""
    ids = [f"{shard}/{n}" for n in numbers]
    return [(name, int.from_bytes(sha1(name.encode(), usedforsecurity=False).digest()[:8], "little")) for name in ids]


def metadata(meta: dict[str, Any], shard: str) -> dict[str, str | None]:
    """The published fields, from a record's meta and the name of its shard; null for what neither says."""

    def text(name: str) -> str | None:
        value = meta.get(name)
        return value if isinstance(value, str) else None

    dump = _DUMP.search(shard) if _FROM_DUMP.match(shard) else None
    return {
        "cc_segment": text("cc_segment"),
        "cc_net_source": shard,
        "url": text("url"),
        "source_domain": source_domain(meta),
        "language": text("language"),
        "snapshot_id": dump[0] if dump else text("dump"),
    }
