"""Quality signals of documents on a map, where the job ``signals`` of the root has looked at their shards."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from redpajama_data.engine import receipts
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.io.shards import read_jsonl

_JOB = "signals"
_OF_LINES = "rps_lines_"  # these have a value a line: no number of a document


def files_of(root: str) -> dict[str, str]:
    """The file of signals of each shard, from the root; shards as the job was given them."""
    if all(note.slice != _JOB for note in slices_of(root)):
        return {}
    made = receipts.load_all(root, _JOB)
    return {one.inputs[0]: one.outputs[_JOB].path for one in made if one.inputs and _JOB in one.outputs}


def signals_in(path: str, lines: Collection[int]) -> dict[int, dict[str, float]]:
    """The signals of documents by the number of their line (from 0): those that are one number. A document that the
    job left out has none. Raises :class:`BrokenInput` for a damaged file."""
    wanted, found = set(lines), dict[int, dict[str, float]]()
    for entry in read_jsonl(path):
        n = int(entry["id"].rpartition("/")[2])
        if n in wanted:
            values = ((name, _number(name, spans)) for name, spans in entry["quality_signals"].items())
            found[n] = {name: value for name, value in values if value is not None}
    return found


def _number(name: str, spans: list[list[Any]]) -> float | None:
    """The value of ``[[0, length, value]]``."""
    if name.startswith(_OF_LINES) or len(spans) != 1 or spans[0][2] is None:
        return None
    return float(spans[0][2])
