"""arXiv's bulk tars of sources by their manifest (size and MD5 of each), from S3, where who asks pays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client
from redpajama_data.download.plan import Cost, Licence, Listing, Source, Wanted
from redpajama_data.errors import InputUnavailable, UsageError
from redpajama_data.io import storage
from slices.sources import hub
from slices.sources.answers import hashes, no_listing, size_of
from slices.sources.selection import CHOICES, choose
from slices.sources.sizes import S3_USD_PER_GB

BUCKET = "s3://arxiv"
MANIFEST = f"{BUCKET}/src/arXiv_src_manifest.xml"
PAYS = {"x-amz-request-payer": "requester"}
FREE = "TIGER-Lab/arxiv-latex-5T"  # a data set of the hub with files of the same names
LICENCE = Licence(
    "arxiv",
    "https://info.arxiv.org/help/bulk_data.html",
    "Most papers are under arXiv's non-exclusive licence, which grants no redistribution; arXiv's terms hold.",
    accept=True,
)


def plan(selection: Mapping[str, Any], client: Client, addresses: Addresses) -> Listing:
    """The tars of the manifest: that of S3, or a copy of it (``manifest``: a path).

    With ``free`` those that the hub's copy has with the very size of the manifest come from there at no cost, and are
    held against the manifest's MD5; the others still cost. Raises :class:`InputUnavailable` for no manifest.
    """
    copy = selection.get("manifest")
    if copy is None:
        body = client.ask(MANIFEST, headers=PAYS).body
    else:
        body = storage.read_bytes(copy) or b""
        if not body:
            raise UsageError(f"--manifest {copy}: no such file. Fetch {MANIFEST}, or leave it out.")
    version, entries = read_manifest(body, copy or MANIFEST)
    listing = Listing(version=version, files=(), licences=[LICENCE])
    files = list(choose(entries, selection))
    if selection.get("free"):
        files = list(_free_where_same(client, files, listing))
    paid = sum(file.bytes or 0 for file in files if file.requester_pays)
    if paid:
        usd = round(paid / 1e9 * S3_USD_PER_GB, 2)
        listing.cost = Cost(
            max(usd, 0.01),
            f"{paid / 1e9:,.1f} GB out of S3 us-east-1 at about {S3_USD_PER_GB} $/GB, which your account pays; to a "
            "machine inside us-east-1 only the requests cost",
        )
        listing.notes.append("AWS credentials are needed (environment, profile or role). Those of a role end in hours.")
    listing.files = files
    return listing


def read_manifest(body: bytes, where: str) -> tuple[str, Iterator[Wanted]]:
    """The time of a manifest, and its tars in its order. An answer that is an error document is none."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise no_listing(where, f"no XML: {error}", body) from error
    if root.tag != "arXivSRC":
        raise no_listing(where, f"its root is {root.tag!r}, not arXivSRC", body)
    return (root.findtext("timestamp") or "unknown").strip(), _tars(root, where)


def _tars(root: Any, where: str) -> Iterator[Wanted]:
    for entry in root.iterfind("file"):
        key = (entry.findtext("filename") or "").strip()
        size, checks = (
            size_of((entry.findtext("size") or "").strip()),
            hashes(md5=(entry.findtext("md5sum") or "").strip()),
        )
        if not key.startswith("src/") or not key.endswith(".tar") or size is None or not checks:
            raise InputUnavailable(f"{where}: an entry without file name, size or md5sum ({key!r}). Fetch it again.")
        yield Wanted(key.rsplit("/", 1)[-1], f"{BUCKET}/{key}", size, checks, walk="tar", requester_pays=True)


def _free_where_same(client: Client, files: list[Wanted], listing: Listing) -> Iterator[Wanted]:
    commit = hub.commit(client, FREE)
    copies = {file.path.rsplit("/", 1)[-1]: file for file in hub.tree(client, FREE, commit)}
    free = 0
    for file in files:
        copy = copies.get(file.path)
        if copy is None or copy.bytes != file.bytes:
            yield file
            continue
        free += 1
        checks = {**file.checks, **({"sha256": copy.sha256} if copy.sha256 else {})}
        yield Wanted(file.path, hub.address(FREE, commit, copy.path), file.bytes, checks, walk="tar", token=hub.TOKEN)
    listing.notes.append(
        f"{free:,} of {len(files):,} tars come from the hub's copy {FREE} (commit {commit}), which has them with the "
        "size of the manifest; one whose MD5 is not the manifest's is refused. How complete the copy is nobody says."
    )


SOURCE = Source("arxiv", plan, knows=("free", "manifest", *CHOICES))
