"""An item of the Internet Archive by its metadata: sizes, MD5 and SHA-1 of its files."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from redpajama_data.download.client import Client, NotThere
from slices.sources.answers import fields, hashes, json_of, no_listing, size_of

HOST = "https://archive.org"


class ItemFile(NamedTuple):
    """A file of an item."""

    name: str
    bytes: int | None
    checks: dict[str, str]
    mtime: int


def item(client: Client, name: str) -> list[ItemFile] | None:
    """The files that somebody put into the item, by name; None when there is no such item (the archive answers an
    empty object then). What the archive itself writes (``source: metadata``) is left out: its published MD5 is not
    that of the file."""
    try:
        answer = client.ask(f"{HOST}/metadata/{quote(name)}")
    except NotThere:
        return None
    found = json_of(answer)
    if not isinstance(found, dict) or not isinstance(found.get("files", []), list):
        raise no_listing(answer.url, "no metadata of an item", answer.body)
    if "files" not in found:
        return None
    files = []
    for entry in found["files"]:
        (file,) = fields(entry, answer.url, name=str)
        if entry.get("source") == "metadata":
            continue
        checks = hashes(md5=entry.get("md5"), sha1=entry.get("sha1"))
        files.append(ItemFile(file, size_of(entry.get("size")), checks, size_of(entry.get("mtime")) or 0))
    return sorted(files)


def address(name: str, file: str) -> str:
    """The address of a file; it redirects to one of the archive's machines."""
    return f"{HOST}/download/{quote(name)}/{quote(file)}"
