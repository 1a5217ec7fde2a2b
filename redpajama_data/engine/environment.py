"""What a run is made with beside its own recipe: Python, its Unicode tables, libraries, kernels.

None of it should change a byte, and some of it does: ``str.isalnum`` and normalisation follow the Unicode tables of
Python (14.0 in 3.11, 15.0 in 3.12), a parser mends a fault, another zstd packs the same lines into other bytes. A run
notes it, so that two reproductions that differ can say why.

In the *lineage*, which decides what is done again, is only what is known to change texts and decisions: the Unicode
tables, for slices that look at characters (:attr:`redpajama_data.engine.stages.Slice.unicode`). Versions of libraries
are not: an update would throw away weeks of work for what is nearly always the same bytes, and zstd changes only how
texts are packed. Where such a version does change texts, the slice's ``revision`` is raised with the dependency.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import zstandard

from redpajama_data.errors import UsageError

Environment = dict[str, str]
"""Names (``python``, ``Unicode tables``, ``lxml``, ``kernel _native`` ...) and their versions or SHA-256."""

UNICODE = "Unicode tables"
LIBRARIES = (  # those that read, decide, count or write; not those of the command line, the progress, the network
    "charset-normalizer",
    "fasttext-numpy2",
    "gigatoken",
    "google-re2",
    "isal",
    "lxml",
    "msgspec",
    "mwparserfromhell",
    "numpy",
    "phonenumbers",
    "py7zr",
    "sentencepiece",
    "simpleeval",
    "ufal-kenlm",
    "xxhash",
    "zstandard",
)


@functools.lru_cache(maxsize=1)
def _current() -> tuple[tuple[str, str], ...]:
    versions = {
        "rpj": _version("redpajama-data"),
        "python": platform.python_version(),
        UNICODE: unicodedata.unidata_version,
        "platform": f"{platform.system()} {platform.machine()}",
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        **{name: _version(name) for name in LIBRARIES},
        **{f"kernel {name}": digest for name, digest in _kernels().items()},
    }
    return tuple(versions.items())


def current() -> Environment:
    """The environment of this process."""
    return dict(_current())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # a bare checkout on a cluster node, or under another name
        return "unknown"


def _kernels() -> dict[str, str]:
    """The SHA-256 of each kernel's source; of the compiled file where that was left out of the installation.

    Two compilers give two files of one source, and the same results: floating point is not contracted.
    """
    folder = Path(__file__).resolve().parents[2] / "filters"
    headers = b"".join(path.read_bytes() for path in sorted(folder.glob("_*.h")))
    found = {}
    for compiled in sorted(folder.glob("_*.so")):
        name = compiled.name.split(".")[0]
        source = folder / f"{name}.c"
        data = headers + source.read_bytes() if source.exists() else compiled.read_bytes()
        found[name] = hashlib.sha256(data).hexdigest()[:16]
    return found


def differences(mine: Sequence[Mapping[str, str]], theirs: Sequence[Mapping[str, str]]) -> list[tuple[str, str, str]]:
    """(name, here, there) for what two sets of environments do not agree on. Nothing when one of them is not known."""
    if not mine or not theirs:
        return []
    names = dict.fromkeys(name for environment in (*mine, *theirs) for name in environment)
    values = [(name, _values(mine, name), _values(theirs, name)) for name in names]
    return [(name, here, there) for name, here, there in values if here != there]


def _values(environments: Iterable[Mapping[str, str]], name: str) -> str:
    return " and ".join(sorted({environment.get(name, "none") for environment in environments}))


def refuse_other(driver: Mapping[str, str]) -> None:
    """Raise :class:`UsageError` when this process has another environment than the one that gives out the tasks: two
    nodes of different versions would make two halves of a corpus."""
    if dict(driver) == current():
        return
    found = differences([current()], [driver])
    told = ", ".join(f"{name} {here} there, {mine} here" for name, here, mine in found)
    raise UsageError(
        f"the node {platform.node()} is not like the one that runs rpj: {told}. "
        "Install the same Python and packages on every node, then run again."
    )
