"""GitHub: the published query over BigQuery's public data, exported into a bucket of the user's, and copied from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client
from redpajama_data.download.plan import Cost, Licence, Listing, Source, Wanted
from redpajama_data.errors import UsageError
from slices.sources import google
from slices.sources.github_query import dry_run, export, usd_of
from slices.sources.selection import CHOICES, choose

TOKEN = "CLOUDSDK_AUTH_ACCESS_TOKEN"  # the variable that Google's own tools read
LICENCE = Licence(
    "github",
    "https://docs.github.com/site-policy",
    "Each file is under the licence of its repository: MIT, BSD or Apache, as the query selects.",
)


def plan(selection: Mapping[str, Any], client: Client, addresses: Addresses) -> Listing:
    """What ``bucket`` (``NAME`` or ``gs://NAME/folder``) has of an export, ``github_*.gz``.

    When it has none and ``project`` is given: no files yet, and the cost of the query by its dry run, which is free.
    Raises :class:`UsageError` without a bucket, and for an empty one without a project.
    """
    bucket, prefix = _bucket(selection)
    token = os.environ.get(TOKEN, "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    found = [each for each in google.objects(client, bucket, prefix, headers) if each["name"].endswith(".gz")]
    listing = Listing(version="", files=(), licences=[LICENCE])
    if found:
        files = (
            Wanted(
                str(each["name"]).rsplit("/", 1)[-1],
                google.address(bucket, each),
                each["bytes"],
                each["checks"],
                walk="gzip",
                token=TOKEN,
            )
            for each in found
        )
        listing.version = f"gs://{bucket}, exported {max(each['updated'] for each in found)}"
        listing.files = list(choose(files, selection))
        listing.notes.append(
            "Two exports of one table differ in where files end and in the order of rows, and with it which of equal "
            "files stays. What leaves the bucket for another region or the internet, Google bills to its project."
        )
        if token:
            listing.notes.append(f"The token in {TOKEN} ends in an hour; set a new one and run again then.")
        return listing
    project = selection.get("project")
    if not project:
        raise UsageError(
            f"gs://{bucket}/{prefix}*: nothing there. Give --project P for the query and its export into this bucket, "
            "or another --bucket."
        )
    scanned = dry_run(str(project))
    listing.version = "query, not yet run"
    listing.cost = Cost(
        usd_of(scanned),
        f"the query scans {scanned:,} bytes; storage of its result and what leaves the bucket come on top, and nobody "
        "says how much the export is",
    )
    listing.notes.append("The public data show GitHub as it was when they were last refreshed, not as in 2023.")
    return listing


def prepare(selection: Mapping[str, Any]) -> None:
    """Run the query and its export, after the cost was accepted: no more is billed than its dry run said."""
    bucket, prefix = _bucket(selection)
    export(str(selection["project"]), bucket, prefix)


def _bucket(selection: Mapping[str, Any]) -> tuple[str, str]:
    given = str(selection.get("bucket") or "").removeprefix("gs://").strip("/")
    if not given:
        raise UsageError(
            "github comes from BigQuery, through a bucket of your own. Give --bucket NAME, and --project P for the "
            "query (rpj help operate says what it costs)."
        )
    bucket, _, inside = given.partition("/")
    return bucket, (f"{inside}/" if inside else "") + "github_"


SOURCE = Source("github", plan, prepare=prepare, knows=("bucket", "project", *CHOICES))
