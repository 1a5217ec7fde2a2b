"""C4 from the Hugging Face hub: the folder ``en`` of allenai/c4 at one commit, with the SHA-256 of every file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client
from redpajama_data.download.plan import Licence, Listing, Source, Wanted
from redpajama_data.errors import InputUnavailable
from slices.sources import hub
from slices.sources.selection import CHOICES, choose

REPOSITORY, FOLDER = "allenai/c4", "en"
LICENCES = [
    Licence("odc-by", "https://opendatacommons.org/licenses/by/1-0/", "ODC-BY 1.0, with attribution."),
    Licence("common-crawl", "https://commoncrawl.org/terms-of-use", "Common Crawl's terms of use hold for the texts."),
]


def plan(selection: Mapping[str, Any], client: Client, addresses: Addresses) -> Listing:
    """The files of ``en``: 1,024 of train and 8 of validation, which the published run took as well (``en/*``).

    ``HF_ENDPOINT`` and ``HF_TOKEN`` hold as for the hub's own tools; C4 needs no token. Raises
    :class:`InputUnavailable` when the hub, or a mirror of it, lists nothing.
    """
    commit = hub.commit(client, REPOSITORY)
    files = list(choose(_files(client, commit), selection))
    if not files and not any(selection.get(key) for key in CHOICES):
        raise InputUnavailable(
            f"{hub.endpoint()} lists no file of {REPOSITORY}/{FOLDER}. Unset HF_ENDPOINT if it names a mirror, then "
            "run again."
        )
    return Listing(version=commit, files=files, licences=LICENCES)


def _files(client: Client, commit: str) -> Iterator[Wanted]:
    for file in hub.tree(client, REPOSITORY, commit, FOLDER):
        if file.path.endswith(".json.gz"):
            checks = {"sha256": file.sha256} if file.sha256 else {}
            url = hub.address(REPOSITORY, commit, file.path)
            yield Wanted(file.path.rsplit("/", 1)[-1], url, file.bytes, checks, walk="gzip", token=hub.TOKEN)


SOURCE = Source("c4", plan, knows=CHOICES)
