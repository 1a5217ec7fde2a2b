"""The tree of a data set on the Hugging Face hub, at one commit: sizes, and the SHA-256 of what is in LFS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

from redpajama_data.download.client import Client
from redpajama_data.errors import InputUnavailable
from slices.sources.answers import fields, hashes, json_of, next_page, no_listing, size_of

TOKEN = "HF_TOKEN"
PAGES_MOST = 1000  # of up to 1,000 files


class HubFile(NamedTuple):
    """A file of the tree: its path, its size, its SHA-256 ("" for a small one that git keeps itself)."""

    path: str
    bytes: int | None
    sha256: str


def endpoint() -> str:
    """The hub, or the mirror of it that ``HF_ENDPOINT`` names, as for the hub's own tools."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def commit(client: Client, repository: str, revision: str = "main") -> str:
    """The commit that a branch of a data set is at now. Raises :class:`InputUnavailable` when the hub does not say."""
    answer = client.ask(f"{endpoint()}/api/datasets/{repository}/revision/{quote(revision)}", headers=_headers())
    (sha,) = fields(json_of(answer), answer.url, sha=str)
    return str(sha)


def tree(client: Client, repository: str, at: str, folder: str = "") -> Iterator[HubFile]:
    """The files of ``folder`` at commit ``at``, and below it. The size is that of the file, never of its pointer."""
    url: str | None = (
        f"{endpoint()}/api/datasets/{repository}/tree/{at}/{quote(folder)}".rstrip("/") + "?recursive=true"
    )
    for _ in range(PAGES_MOST):
        assert url is not None
        answer = client.ask(url, headers=_headers())
        page = json_of(answer)
        if not isinstance(page, list):
            raise no_listing(answer.url, "no tree of a data set", answer.body)
        for entry in page:
            kind, path = fields(entry, answer.url, type=str, path=str)
            if kind != "file":
                continue
            large = entry.get("lfs") if isinstance(entry.get("lfs"), dict) else {}
            sha256 = hashes(sha256=str(large.get("oid", "")).removeprefix("sha256:")).get("sha256", "")
            yield HubFile(path, size_of(large.get("size", entry.get("size"))), sha256)
        url = next_page(answer, endpoint())
        if url is None:
            return
    raise InputUnavailable(f"{endpoint()}: the tree of {repository} does not end. Run again later.")


def address(repository: str, at: str, path: str) -> str:
    """The address of a file at a commit; it redirects to a signed one, which is asked for anew with every attempt."""
    return f"{endpoint()}/datasets/{repository}/resolve/{at}/{quote(path)}"


def _headers() -> dict[str, str]:
    token = os.environ.get(TOKEN, "")
    return {"Authorization": f"Bearer {token}"} if token else {}
