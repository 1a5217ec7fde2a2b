"""WET files of Common Crawl's dumps, by the listing of each, which stays beside them: it gives the CCNet shards."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client, NotThere
from redpajama_data.download.plan import Licence, Listing, Source, Wanted
from redpajama_data.errors import UsageError
from slices.readers.wet import shard_files
from slices.sources.answers import no_listing
from slices.sources.selection import CHOICES, choose, names, numbers
from slices.sources.sizes import CRAWL_BYTES, TIB, WET_FILE_BYTES

HOST = "https://data.commoncrawl.org"
SHARDS = 5000  # of a dump, as the published run took (python -m cc_net --num_shards 5000)
RECIPE = ("2019-30", "2020-05", "2021-04", "2022-05", "2023-06")  # README of RedPajama-Data-1T
LISTING = "wet.paths.gz"
LICENCE = Licence(
    "common-crawl", "https://commoncrawl.org/terms-of-use", "Common Crawl's terms of use hold; the pages are others'."
)
CLASSIFIER = (
    "The run needs a classifier of references, whose published weights are gone: train one (rpj train classifier "
    "--help) and name it as classifier: in rpj.yaml."
)


def plan(selection: Mapping[str, Any], client: Client, addresses: Addresses) -> Listing:
    """The listing and the files of each dump (``dumps``; default: the five of the recipe); of these those of the
    CCNet shards that ``shards`` names, of ``shard_count`` (as the slice is set).

    Raises :class:`UsageError` for a name that no dump has, :class:`NotThere` for one that is not there.
    """
    dumps = [name.removeprefix("CC-MAIN-") for name in names(selection, "dumps", RECIPE)]
    for dump in dumps:
        if not re.fullmatch(r"\d{4}-\d{2}", dump):
            raise UsageError(f"--dumps {dump}: expected year and week, such as 2023-06.")
    shards = int(selection.get("shard_count") or SHARDS)
    wanted = None if selection.get("shards") is None else numbers(selection["shards"], shards)
    listing = Listing(version=", ".join(f"CC-MAIN-{dump}" for dump in dumps), files=(), licences=[LICENCE])
    listings, pages = [], []
    for dump in dumps:
        listed, lines = _paths(client, dump)
        listings.append(listed)
        chosen = lines
        if wanted is not None:
            parts = shard_files(lines, shards=shards)
            chosen = [line for number in wanted for line in parts[number]]
        files = list(choose((_wet(dump, line) for line in chosen), selection))
        mean = CRAWL_BYTES[dump] / len(lines) if dump in CRAWL_BYTES else WET_FILE_BYTES
        listing.reckoned += int(mean * len(files))
        pages += files
        said = f"{CRAWL_BYTES[dump] / TIB:.2f} TiB as announced" if dump in CRAWL_BYTES else "the mean of 2019-09"
        listing.notes.append(
            f"{dump}: {len(files):,} of the {len(lines):,} files of its listing. The listing gives no sizes; they are "
            f"reckoned by {said}."
        )
    listing.notes.append(
        "No hashes are published: each file is held against its length and walked to the end of its last gzip member."
    )
    listing.notes.append(CLASSIFIER)
    listing.files = [*listings, *pages]
    return listing


def _paths(client: Client, dump: str) -> tuple[Wanted, list[str]]:
    """The listing of a dump as a file to fetch, and its lines in order."""
    url = f"{HOST}/crawl-data/CC-MAIN-{dump}/{LISTING}"
    try:
        answer = client.ask(url)
    except NotThere as error:
        raise NotThere(f"{url}: there is no such dump. Check --dumps against https://commoncrawl.org.") from error
    try:
        lines = gzip.decompress(answer.body).decode().split()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise no_listing(url, f"damaged: {error}", answer.body) from error
    shape = re.compile(rf"crawl-data/CC-MAIN-{dump}/segments/[^/]+/wet/[^/]+\.warc\.wet\.gz")
    if not lines or not all(shape.fullmatch(line) for line in lines):
        raise no_listing(url, "its lines are no WET files of the dump", answer.body)
    # The hash is of what the plan was made by: shards are counted in the whole listing, so it must be this very one.
    checks = {"sha256": hashlib.sha256(answer.body).hexdigest()}
    return Wanted(f"{dump}/{LISTING}", url, len(answer.body), checks, walk="gzip"), lines


def _wet(dump: str, line: str) -> Wanted:
    return Wanted(f"{dump}/{line.rsplit('/', 1)[-1]}", f"{HOST}/{line}", walk="gzip")


def from_config(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a configuration's section of the slice says of the selection: dumps are the folders of its input."""
    folders = [str(place).rstrip("/").rsplit("/", 1)[-1] for place in settings.get("input") or ()]
    dumps = [name.removeprefix("CC-MAIN-") for name in folders if re.fullmatch(r"(CC-MAIN-)?\d{4}-\d{2}", name)]
    if dumps:
        yield "dumps", dumps
    if settings.get("shards"):
        yield "shard_count", settings["shards"]


SOURCE = Source("common_crawl", plan, knows=("dumps", "shards", "shard_count", *CHOICES), from_config=from_config)
