"""Raw files by identity: however a file is spelled it is one file, and one that a root knows keeps its name.

Ids in ledgers, the order of tasks and the lineage hold the path of a raw file as it was first given. So that another
spelling of it (``x``, ``./x``, absolute, through a link, from another folder) is neither read twice nor taken for a new
file, files are told apart by where they lie. Two hard links are two files: both names are as good as each other, and
file systems that give equal inode numbers to different files would cost data.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import msgspec

from redpajama_data.engine.ownership import INPUTS, NOTE
from redpajama_data.errors import NOT_JSON
from redpajama_data.io import storage
from redpajama_data.io.credentials import name_of
from redpajama_data.io.root_paths import RUN, WITHIN
from redpajama_data.io.shards import read_names
from redpajama_data.io.storage import RawFile

_SLASHES = re.compile(r"/(?:\.?/)+")


def identity(path: str) -> str:
    """Where a file lies: the real path, links resolved; of a URL its normal form: scheme and host in lower case, no
    double slash, no ``/./``, without what grants access."""
    if path.startswith(WITHIN):
        return path
    if not storage.is_remote(path):
        return os.path.realpath(storage.local(path))
    scheme, _, rest = name_of(path).partition("://")
    host, slash, inside = rest.partition("/")
    inside, mark, query = inside.partition("?")
    return f"{scheme.lower()}://{host.lower()}{_SLASHES.sub('/', slash + inside)}{mark}{query}"


def identities(files: Iterable[RawFile]) -> list[str]:
    """:func:`identity` of each; a folder is resolved once."""
    folders: dict[str, str] = {}
    return [_identity(raw.path, folders) for raw in files]


def _identity(path: str, folders: dict[str, str]) -> str:
    if path.startswith(WITHIN) or storage.is_remote(path) or os.path.islink(storage.local(path)):
        return identity(path)
    folder, name = os.path.split(path.removeprefix("file://"))
    if folder not in folders:
        folders[folder] = identity(folder or ".")
    return os.path.join(folders[folder], name)


def each_once(files: Iterable[RawFile]) -> list[RawFile]:
    """The files, each once, sorted by path. Of several spellings one that goes through no link stays, before that a
    relative one, before that the first; a local one without ``./``, ``//`` and ``file://``.

    On an object store ``a//b`` and ``a/b`` may be two objects: there size and stamp must agree as well.
    """
    found: dict[tuple[str, int, str], RawFile] = {}
    ranks: dict[tuple[str, int, str], tuple[bool, bool, str]] = {}
    folders: dict[str, str] = {}  # each is resolved once
    for raw in files:
        if storage.is_remote(raw.path) or raw.path.startswith(WITHIN):
            place, of = identity(raw.path), raw[1:]
            rank = (False, False, raw.path)
        else:
            raw = raw._replace(path=_plain(raw.path))
            place, of = _identity(raw.path, folders), (0, "")
            rank = (place != os.path.abspath(storage.local(raw.path)), os.path.isabs(raw.path), raw.path)
        key = (place, *of)
        if key not in ranks or rank < ranks[key]:
            found[key], ranks[key] = raw, rank
    return sorted(found.values())


def _plain(path: str) -> str:
    plain = os.path.normpath(path.removeprefix("file://"))
    # ".." behind a link leads elsewhere than it looks
    return plain if plain == path or identity(plain) == identity(path) else path


def as_known(files: Sequence[RawFile], root: str, slice_name: str) -> tuple[list[RawFile], str]:
    """The files under the names by which a root knows them, sorted, and the folder that relative names are relative to
    ("": the current one).

    When all names that the root knows are given, they are taken as they are: so a folder that was moved as a whole, the
    root with it, goes on. Else files are recognised by identity, and new ones are named from the same folder.
    """
    known = _known_names(root, slice_name)
    if {raw.path for raw in files}.issuperset(known):
        return list(files), ""
    base = _base(root, slice_name)
    name_of = _by_identity(known, base)
    places = identities(files)
    renamed: dict[str, RawFile] = {}
    moved = False
    for raw, place in zip(files, places, strict=True):
        name = name_of.get(place)
        if name is not None and name not in renamed:
            moved = moved or name != raw.path
        elif _is_relative(raw.path) and base:
            name = os.path.relpath(raw.path, base)
        else:
            name = raw.path
        renamed[name] = raw._replace(path=name)
    if not moved or len(renamed) != len(files):
        return list(files), ""
    return sorted(renamed.values()), "" if base == os.getcwd() else base


def known_name(path: str, root: str, slice_name: str) -> str | None:
    """The name under which a root knows a raw file; None for one that it does not know."""
    return _by_identity(_known_names(root, slice_name), _base(root, slice_name)).get(identity(path))


def known_names(root: str, slice_name: str) -> tuple[list[str], str]:
    """The names of the raw files that a root knows, and the folder that relative ones are relative to."""
    return _known_names(root, slice_name), _base(root, slice_name)


def _known_names(root: str, slice_name: str) -> list[str]:
    return [name_of(name) for name in read_names(storage.join(root, RUN, slice_name, INPUTS))]


def _by_identity(names: Iterable[str], base: str) -> dict[str, str]:
    with storage.relative_to(base):
        return {identity(name): name for name in names}


def current_base(names: Iterable[str], base: str) -> str:
    """What a run notes of the folder its relative names are relative to: nothing when it has none."""
    return (base or os.getcwd()) if any(map(_is_relative, names)) else ""


def _is_relative(path: str) -> bool:
    return not (storage.is_remote(path) or path.startswith((WITHIN, "file://")) or os.path.isabs(path))


class _Base(msgspec.Struct):
    base: str = ""


def _base(root: str, slice_name: str) -> str:
    data = storage.read_bytes(storage.join(root, RUN, slice_name, NOTE))
    try:
        return msgspec.json.decode(data, type=_Base).base if data else ""
    except NOT_JSON:
        return ""
