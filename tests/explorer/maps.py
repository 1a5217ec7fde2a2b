"""Roots with documents to put on a map, and the map of one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from release.roots import line, make_root

from redpajama_data import api
from redpajama_data.explorer import points
from redpajama_data.explorer.points import Map
from redpajama_data.models.model_file import ModelFile

SUBJECTS = {
    "garden": ["lawn", "tulip", "rose", "greenhouse", "compost", "spade", "wisteria", "lavender", "seed", "hedge"],
    "railway": [
        "junction",
        "tunnel",
        "boiler",
        "signal",
        "platform",
        "engine",
        "sleeper",
        "goods",
        "carriage",
        "guard",
    ],
    "kitchen": ["flour", "butter", "oven", "yeast", "dough", "salt", "whisk", "crust", "raisin", "custard"],
}
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'> @data@ \u2028 ]]>"


def documents(count: int, seed: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """Texts on three subjects, each with a meta that says which."""
    rng = random.Random(seed)
    found = []
    for n in range(count):
        subject = list(SUBJECTS)[n % 3]
        words = " ".join(rng.choice(SUBJECTS[subject]) for _ in range(30))
        meta = {"subject": subject, "language": "en" if n % 2 else "de", "n": n, "url": f"https://example.org/{n}"}
        found.append((f"{words} and the number {n}", meta))
    return found


def a_root(place: Path, tokenizer: ModelFile, shards: Mapping[str, Sequence[tuple[str, Any]]]) -> Path:
    """A root whose job ``toy_job`` has published these documents."""
    lines = {name: [line(text, meta) for text, meta in held] for name, held in shards.items()}
    return make_root(place, lines, tokenizer)


def map_of(root: Path, *, executor: str = "serial", **settings: Any) -> Map:
    """The map of what ``toy_job`` has published."""
    report = api.run_job("embed", str(root / "toy_job"), settings, root=str(root), executor=executor, workers=2)
    assert report.exit_code() == 0, report.slices[0].quarantined
    return points.load(str(root))
