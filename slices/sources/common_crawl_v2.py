"""WET files of the dumps of RedPajama-V2: as :mod:`slices.sources.common_crawl`, of the dumps that a configuration
names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client
from redpajama_data.download.plan import Listing
from redpajama_data.errors import UsageError
from slices.sources import common_crawl


def plan(selection: Mapping[str, Any], client: Client, addresses: Addresses) -> Listing:
    """The listing and the files of each dump. Raises as :func:`slices.sources.common_crawl.plan` does, and
    :class:`UsageError` when no dump is named: nobody means all 84 by saying nothing."""
    if not selection.get("dumps"):
        raise UsageError("which dumps? Give --dumps 2023-06, or --config redpajama-v2, which names all 84.")
    listing = common_crawl.plan(selection, client, addresses)
    listing.notes.remove(common_crawl.CLASSIFIER)
    return listing


SOURCE = replace(common_crawl.SOURCE, slice="common_crawl_v2", list=plan)
