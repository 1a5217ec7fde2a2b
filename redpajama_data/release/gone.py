"""Which documents go, by line of shard and by raw record, and what the ids of the others are afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from redpajama_data.io.root_paths import WITHIN


@dataclass
class Gone:
    """What goes: of each published shard (path from the root) the lines, from 0, with the bytes of their texts; the ids
    of raw records behind them; of those that were stored on the way, the bytes of their texts there."""

    lines: dict[str, dict[int, int]] = field(default_factory=dict)
    records: set[str] = field(default_factory=set)
    stored: dict[str, int] = field(default_factory=dict)

    def size_of(self, doc_id: str) -> int | None:
        """Bytes of the text of a line of a shard, by its id, that goes; None for one that stays."""
        if not doc_id.startswith(WITHIN):
            return None
        path, _, number = doc_id.removeprefix(WITHIN).rpartition("#")
        return self.lines.get(path, {}).get(int(number)) if number.isdecimal() else None

    def renumbered(self, doc_id: str) -> str:
        """The id of a line of a shard, now that lines before it are gone; any other id as it is."""
        if not doc_id.startswith(WITHIN):
            return doc_id
        path, _, number = doc_id.removeprefix(WITHIN).rpartition("#")
        if path not in self.lines or not number.isdecimal():
            return doc_id
        return f"{WITHIN}{path}#{int(number) - sum(n < int(number) for n in self.lines[path])}"
