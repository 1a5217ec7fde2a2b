"""Repositories and rows of the BigQuery export, before they become JSON lines."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redpajama_data.sample.lexicon import WORLDS
from redpajama_data.sample.programs import LANGUAGES
from redpajama_data.sample.prose import Chance

SHARDS = 4
SPAN = 1 << 20  # a row's place is shard * SPAN + offset: sorting by place gives the order of the whole export
NO_KEY = "(no key)"

KEPT_LICENCES = ["mit"] * 5 + ["apache-2.0"] * 4 + ["bsd-3-clause"] * 2 + ["bsd-2-clause"]
EXCLUDED_LICENCES: dict[str | None, int] = {
    "gpl-2.0": 6, "gpl-3.0": 3, "agpl-3.0": 2, "lgpl-2.1": 2, "mpl-2.0": 2, "cc0-1.0": 1,
    "unknown": 2, None: 2, NO_KEY: 2,
}  # fmt: skip
"""Licence of a repository and the number of files planted under it; ``None`` is null."""


class Repository(NamedTuple):
    """What the export repeats in every row of a repository."""

    name: str
    ref: str
    licence: str | None
    language: list[dict[str, str]]


@dataclass
class Row:
    """One line of the export to be. ``content`` None is null; ``change`` overrides keys, ``absent`` removes them."""

    place: int
    repo: Repository
    path: str
    content: str | None
    change: dict[str, Any] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


def anywhere(chance: Chance) -> int:
    """A place in any shard."""
    return chance.below(SHARDS * SPAN)


def repositories(chance: Chance, licences: Iterable[str | None]) -> list[Repository]:
    """One invented repository for each of ``licences``."""
    result = []
    worlds = list(WORLDS.items())
    for number, licence in enumerate(licences):
        name, world = worlds[number % len(worlds)]
        spoken = chance.some([language.name for language in LANGUAGES], chance.between(2, 5))
        sizes = sorted((chance.between(2_000, 900_000) for _ in spoken), reverse=True)
        owner, kind = chance.pick(world.adjectives), chance.pick(("kit", "tools", "db", "web"))
        result.append(
            Repository(
                f"{owner}-labs/{name}-{kind}",
                chance.pick(("refs/heads/master", "refs/heads/master", "refs/heads/main")),
                licence,
                [{"name": name, "bytes": str(size)} for name, size in zip(spoken, sizes, strict=True)],
            )
        )
    return result


def record(row: Row, copies: int, sample: Row) -> dict[str, Any]:
    """The JSON object of a row; ``copies`` and ``sample`` say how often its content occurs, and where first."""
    raw = (row.path + "\0" if row.content is None else row.content).encode()
    whole: dict[str, Any] = {
        "repo_name": row.repo.name,
        "ref": row.repo.ref,
        "path": row.path,
        "mode": "33261" if row.path.endswith(".sh") else "33188",
        "id": hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest(),
        "size": str(len(raw)),
        "binary": row.content is None,
        "copies": str(copies),
        "sample_repo_name": sample.repo.name,
        "sample_path": sample.path,
        "license": row.repo.licence,
        "language": row.repo.language,
        "content": row.content,
    }
    whole.update(row.change)
    absent = (*row.absent, "license") if row.repo.licence == NO_KEY else row.absent
    return {key: value for key, value in whole.items() if key not in absent}


def records(rows: list[Row]) -> list[dict[str, Any]]:
    """The objects of ``rows``, which must be in order of place."""
    number = Counter(row.content for row in rows)
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.content or row.path, row)
    return [record(row, number[row.content] if row.content else 1, first[row.content or row.path]) for row in rows]
