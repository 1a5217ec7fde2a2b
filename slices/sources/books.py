"""Books: PG19 from DeepMind's bucket, or English texts of Project Gutenberg from a mirror. Books3 is not to be had."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client
from redpajama_data.download.plan import Licence, Listing, Source, Wanted
from redpajama_data.errors import UsageError
from slices.sources import google
from slices.sources.answers import no_listing
from slices.sources.pg19_lines import METADATA, SPLITS, TEXTS, write_splits
from slices.sources.selection import CHOICES, choose, names
from slices.sources.sizes import PG19_BYTES_WRITTEN

BUCKET = "deepmind-gutenberg"
COLLECTIONS = ("pg19", "gutenberg", "books3")
MIRROR = "https://gutenberg.pglaf.org"
CATALOGUE = f"{MIRROR}/cache/epub/feeds/pg_catalog.csv"
APACHE = Licence(
    "pg19",
    "https://github.com/google-deepmind/pg19",
    "PG19: Apache-2.0; the texts are in the public domain in the USA.",
)
GUTENBERG = Licence(
    "gutenberg", "https://www.gutenberg.org/policy/license.html", "Public domain in the USA; elsewhere ask your law."
)
NO_BOOKS3 = "books3: not available any more, it was taken down. Nothing fetches it here; the slice runs without it."


def plan(selection: Mapping[str, Any], client: Client, addresses: Addresses) -> Listing:
    """``collections``: pg19 (default), gutenberg (``langs``, default en); books3 is only said to be gone."""
    listing = Listing(version="", files=(), notes=[NO_BOOKS3])
    files: list[Wanted] = []
    for collection in names(selection, "collections", ("pg19",)):
        if collection not in COLLECTIONS:
            raise UsageError(f"--collections {collection}: there are {', '.join(COLLECTIONS)}. books3 is gone.")
        if collection == "pg19":
            files += _pg19(client, selection, listing)
        elif collection == "gutenberg":
            files += _gutenberg(client, selection, listing)
        else:
            listing.absent.append("books3")
    listing.files = files
    return listing


def _pg19(client: Client, selection: Mapping[str, Any], listing: Listing) -> list[Wanted]:
    """``metadata.csv`` and the texts, of each split in the order of their names as strings: that of the published
    JSON lines, on which it hangs which 602 books the recipe loses."""
    heads = [_object(each) for each in google.objects(client, BUCKET, METADATA, {}) if each["name"] == METADATA]
    if not heads:
        raise no_listing(f"{google.HOST}/{BUCKET}", f"it has no {METADATA}", b"")
    texts = []
    newest = ""
    for split in SPLITS:
        found = [each for each in google.objects(client, BUCKET, f"{split}/", {}) if each["name"].endswith(".txt")]
        newest = max([newest, *(each["updated"] for each in found)])
        texts += [_object(each) for each in sorted(found, key=lambda each: str(each["name"]))]
    chosen = list(choose(texts, selection))
    listing.version = f"{listing.version} pg19 {newest}".strip()
    listing.licences.append(APACHE)
    listing.reckoned += sum(each.bytes or 0 for each in chosen) * (PG19_BYTES_WRITTEN - 1)
    listing.notes.append("pg19: after the texts are here, pg19-{train,validation,test}.jsonl are written of them.")
    return heads + chosen


def _object(found: Mapping[str, Any]) -> Wanted:
    # ".text": a .txt would be read as a book of Project Gutenberg of its own
    path = TEXTS + str(found["name"]).removesuffix(".txt") + ("" if found["name"] == METADATA else ".text")
    return Wanted(path, google.address(BUCKET, dict(found)), found["bytes"], found["checks"])


def _gutenberg(client: Client, selection: Mapping[str, Any], listing: Listing) -> list[Wanted]:
    """The texts of the catalogue in the wanted languages, in the form that all have (``pgID.txt``, UTF-8)."""
    answer = client.ask(CATALOGUE)
    rows = csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig", "replace")))
    if not {"Text#", "Type", "Language"} <= set(rows.fieldnames or ()):
        raise no_listing(CATALOGUE, "no catalogue: it has not the columns Text#, Type, Language", answer.body)
    langs = set(names(selection, "langs", ("en",)))
    texts = (
        Wanted(f"gutenberg/pg{row['Text#']}.txt", f"{MIRROR}/cache/epub/{row['Text#']}/pg{row['Text#']}.txt")
        for row in rows
        if row["Type"] == "Text"
        and str(row["Text#"]).isdecimal()
        and langs & {code.strip() for code in str(row["Language"]).split(";")}
    )
    chosen = list(choose(texts, selection))
    listing.version = f"{listing.version} gutenberg {answer.headers.get('last-modified', 'undated')}".strip()
    listing.licences.append(GUTENBERG)
    listing.notes.append(
        f"gutenberg: {len(chosen):,} texts; the catalogue gives neither sizes nor hashes, so each is held against the "
        "length that the mirror announces. The main site is for people, and is not asked."
    )
    return chosen


def _finish(place: str) -> None:
    write_splits(place)


SOURCE = Source("books", plan, finish=_finish, parts=TEXTS, knows=("collections", "langs", *CHOICES))
