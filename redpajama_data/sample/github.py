"""The GitHub files of the sample: four shards of the BigQuery export, gzipped JSON lines.

Raw form, in this key order: ``repo_name ref path mode id size binary copies sample_repo_name sample_path license
language content``; numbers are strings, ``language`` lists the bytes of the repository, ``id`` is git's blob hash.
The last shard is written as BigQuery itself writes (no blanks, text unescaped), the others with ASCII escapes.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from redpajama_data.sample import github_oddities as oddities
from redpajama_data.sample.github_rows import (
    KEPT_LICENCES,
    SHARDS,
    SPAN,
    Repository,
    Row,
    anywhere,
    records,
    repositories,
)
from redpajama_data.sample.planted import Planted
from redpajama_data.sample.programs import LANGUAGES, program
from redpajama_data.sample.prose import Chance
from redpajama_data.sample.shared_pages import PAGES

PLAIN = 230  # ordinary files, ten of each language

PLANTED: tuple[Planted, ...] = (
    *oddities.PLANTED,
    Planted("copy later in the same shard, under another path", 10, "duplicate"),
    Planted("copy in a later shard, under another path", 12, "duplicate"),
    Planted("first copy under a path that is not on the list, falls there ...", 3, "extension_in"),
    Planted("... and takes with it the later copy, whose path is on the list", 3, "duplicate"),
    Planted("first copy under the licence gpl-2.0, never seen by the deduplication ...", 2, "license_starts_with"),
    Planted("... so that the later copy under a permissive licence stays", 2, ""),
    Planted("file of documentation that C4 has too", 1, ""),
    Planted("LICENSE.md with the bytes of a LICENSE that is skipped before the deduplication", 1, ""),
)


def plain_rows(chance: Chance, repos: list[Repository]) -> list[Row]:
    """Ordinary files, all different."""
    rows = []
    for number in range(PLAIN):
        made = program(chance, LANGUAGES[number % len(LANGUAGES)])
        folder = chance.pick(("", "", "contrib/", "packages/core/", "vendor/"))
        rows.append(Row(anywhere(chance), chance.pick(repos), folder + made.path, made.content))
    return rows


def copied_rows(chance: Chance, repos: list[Repository], rows: list[Row]) -> list[Row]:
    """Copies of ``rows`` as PLANTED lists them, at places after (or, where it says so, before) the original."""
    copies = []
    chosen = chance.some([row for row in rows if SPAN < row.place < (SHARDS - 1) * SPAN], 27)
    for number, row in enumerate(chosen[:22]):
        next_shard = (row.place // SPAN + 1) * SPAN
        within = number < 10
        place = (
            chance.between(row.place + 1, next_shard - 1) if within else chance.between(next_shard, SHARDS * SPAN - 1)
        )
        name = row.path.rpartition("/")[2]
        copies.append(Row(place, chance.pick(repos), f"third_party/copy{number}/{name}", row.content))
    for number, row in enumerate(chosen[22:25]):
        copies.append(Row(chance.below(row.place), chance.pick(repos), f"doc/attic/{number}.txt", row.content))
    (gpl,) = repositories(chance, ["gpl-2.0"])
    for row in chosen[25:]:
        copies.append(Row(chance.below(row.place), gpl, row.path, row.content))
    return copies


def build(folder: Path) -> None:
    """Write ``github_000000000000.gz`` to ``github_000000000003.gz`` into ``folder``, about 370 lines in all."""
    chance = Chance("github")
    repos = repositories(chance, KEPT_LICENCES)
    rows = plain_rows(chance, repos)
    rows += copied_rows(chance, repos, rows)
    rows += oddities.odd_rows(chance)
    (licence,) = (row for row in rows if row.path == "LICENSE" and "2017" in str(row.content))
    rows.append(Row(anywhere(chance), repos[0], "LICENSE.md", licence.content))
    rows.append(Row(anywhere(chance), repos[1], "docs/shared.md", PAGES[2]))
    rows.sort(key=lambda row: (row.place, row.path))
    shards: list[list[bytes]] = [[] for _ in range(SHARDS)]
    for row, whole in zip(rows, records(rows), strict=True):
        shard = row.place // SPAN
        compact = shard == SHARDS - 1
        line = json.dumps(whole, ensure_ascii=not compact, separators=(",", ":") if compact else None)
        shards[shard].append(line.encode())
    for broken in oddities.broken_lines(shards[0][0]):
        lines = shards[chance.below(SHARDS)]
        lines.insert(chance.between(1, len(lines) - 1), broken)
    for number, content in enumerate(shards):
        packed = gzip.compress(b"".join(line + b"\n" for line in content), mtime=0)
        (folder / f"github_{number:012d}.gz").write_bytes(packed)
