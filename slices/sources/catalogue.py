"""The sources as figures for plans: how large each is, what fetching it takes, what its texts are like.

The figures and their origins are data: ``catalogue.yaml`` beside this module. ``rpj download --dry-run`` asks the
sources themselves and knows better; this is what can be known without a network.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from pydantic import BaseModel, ConfigDict

from redpajama_data.config import SliceSettings, read_model
from redpajama_data.errors import UsageError
from redpajama_data.planning.source import Figure, Source
from slices.sources import common_crawl, load
from slices.sources.sizes import BIGQUERY_USD_PER_TIB, CRAWL_BYTES, S3_USD_PER_GB, TIB, WET_FILE_BYTES

PATH = os.path.join(os.path.dirname(__file__), "catalogue.yaml")
BEFORE = "2023-14"  # the newest dump of RedPajama-V2


class _Catalogue(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    slices: dict[str, Source]


@functools.cache
def catalogue() -> dict[str, Source]:
    """The sources by slice, as the table has them."""
    return read_model(_Catalogue, PATH).slices


def source_of(name: str, settings: SliceSettings) -> Source:
    """The whole source of a slice as it is configured: of the crawl the dumps that its input names.

    Raises :class:`UsageError` for a slice that the table does not have, and when no dump is named where none is usual.
    """
    found = catalogue().get(name)
    if found is None:
        raise UsageError(f"nobody says how large the source of {name} is. Plan the raw files that are here: --here.")
    if name in ("common_crawl", "common_crawl_v2"):
        return _crawl(name, found, settings)
    prices = {
        "arxiv": {"usd_per_gb": Figure(value=S3_USD_PER_GB, origin="graviton.at, 2026: out of S3 us-east-1")},
        "github": {
            "usd": Figure(
                value=4 * BIGQUERY_USD_PER_TIB,
                origin="a query that scans 4 TiB, the most that users saw, at the price of tylerhillery.com, 2024-12",
            )
        },
    }
    return found.model_copy(update=prices.get(name, {}))


def _crawl(name: str, found: Source, settings: SliceSettings) -> Source:
    selection: dict[str, Any] = {}
    from_config = load(name).from_config
    if from_config is not None:
        selection = dict(from_config({"input": settings.input}))
    dumps = selection.get("dumps") or (list(common_crawl.RECIPE) if name == "common_crawl" else [])
    if not dumps:
        raise UsageError(f"{name}: which dumps? Name their folders as its input, or plan redpajama-v2.")
    mean = sum(CRAWL_BYTES.values()) / len(CRAWL_BYTES)
    unknown = [dump for dump in dumps if dump not in CRAWL_BYTES]
    size = sum(CRAWL_BYTES.get(dump, mean) for dump in dumps)
    origin = f"{found.raw.origin} ({len(dumps)} dumps, {size / TIB:,.2f} TiB)"
    shards = getattr(settings, "shards", common_crawl.SHARDS)
    files = size // WET_FILE_BYTES
    notes = [f"{dump}: its size is not known here; the mean of the others is taken." for dump in unknown]
    return found.model_copy(
        update={
            "raw": Figure(value=size, origin=origin, sure=found.raw.sure),
            "files": Figure(value=files, origin=found.files.origin, sure="reckoned"),
            "tasks": float(min(shards * len(dumps), max(1, files))),
            "notes": [*found.notes, *notes],
        }
    )
