"""Stack Exchange's data dump from the Internet Archive: of every site its archive, of Stack Overflow only the posts."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client
from redpajama_data.download.plan import Licence, Listing, Source, Wanted
from redpajama_data.errors import UsageError
from slices.sources import archive_org
from slices.sources.selection import CHOICES, choose, date_of
from slices.stackexchange import OTHER_TABLES

ITEM = "stackexchange"
LAST_STATE = "20240402"  # after it the item was not written any more
LICENCE = Licence("cc-by-sa-4.0", "https://creativecommons.org/licenses/by-sa/4.0/", "CC BY-SA, with attribution.")
PLANTED = (1000000001, 1000000010)  # ids of two posts a site that dumps since mid-2024 hold (meta.SE 412018)
BY_HAND = (
    "Dumps after mid-2024 are given out site by site, to whoever is logged in and accepts terms that exclude training "
    "(https://stackoverflow.com, Settings, Data dump access). Put the .7z files into {folder}; "
    "rpj download stackexchange --by-hand tests them."
)


def plan(selection: Mapping[str, Any], client: Client, addresses: Addresses) -> Listing:
    """The archives of the item ``stackexchange``, or with ``date`` of ``stackexchange_<date>``, revised where there
    is such; ``sites`` names some.

    The 28 largest sites are known by their content alone, so all are fetched, meta sites as well.
    Raises :class:`UsageError` for an item that is not there, and for a site that it has not.
    """
    date = date_of(selection, None)
    item = ITEM if date is None else f"{ITEM}_{date}"
    files = archive_org.item(client, item)
    if date is not None and (revised := archive_org.item(client, f"{item}_revised")) is not None:
        item, files = f"{item}_revised", revised
    if files is None:
        raise UsageError(f"archive.org has no item {item}. {BY_HAND.format(folder='raw/stackexchange')}")
    sites = [str(site).lower() for site in selection.get("sites") or ()]
    wanted = list(_archives(item, files, sites))
    for site in sites:
        if not any(_site(file.path) == site for file in wanted):
            raise UsageError(
                f"--sites {site}: the item {item} has no archive of it. Sites are named as cs.stackexchange.com."
            )
    newest = max((file.mtime for file in files), default=0)
    version = f"{item}, last written {datetime.datetime.fromtimestamp(newest, datetime.timezone.utc):%Y-%m-%d}"
    listing = Listing(version=version, files=list(choose(wanted, selection)), licences=[LICENCE])
    if date is None:
        listing.notes.append(
            "The item was overwritten in place until 2024-04-02: the state that the recipe read, of March 2023, is not "
            "to be had."
        )
    elif date > LAST_STATE:
        listing.notes.append(
            f"Dumps since mid-2024 hold two planted posts a site (ids {PLANTED[0]} and {PLANTED[1]}): look at them."
        )
    return listing


def _archives(item: str, files: list[archive_org.ItemFile], sites: list[str]) -> Iterator[Wanted]:
    other = re.compile(rf"-({'|'.join(OTHER_TABLES)})\.7z$", re.IGNORECASE)
    for file in files:
        if "/" in file.name or not file.name.lower().endswith(".7z") or other.search(file.name):
            continue
        if sites and _site(file.name) not in sites:
            continue
        yield Wanted(file.name, archive_org.address(item, file.name), file.bytes, file.checks, walk="7z")


def _site(name: str) -> str:
    """The site of an archive: ``Stackoverflow.com-Posts.7z`` is that of stackoverflow.com."""
    return name.lower().removesuffix(".7z").removesuffix("-posts")


def from_config(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a configuration's section of the slice says of the selection."""
    sites = [site for site in settings.get("sites") or () if site != "all"]
    if sites:
        yield "sites", sites


SOURCE = Source("stackexchange", plan, knows=("sites", "date", *CHOICES), from_config=from_config)
