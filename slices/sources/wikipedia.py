"""Wikipedia's dumps of one date: of each language one job in one form, from Wikimedia, a mirror or the Internet
Archive; what is gone is named, with the dates that could be had."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from redpajama_data.download.addresses import Addresses
from redpajama_data.download.client import Client, NotThere
from redpajama_data.download.plan import Licence, Listing, Source, Wanted
from redpajama_data.errors import InputUnavailable, UsageError
from slices.sources import archive_org
from slices.sources.answers import hashes, json_of, size_of
from slices.sources.selection import CHOICES, choose, date_of, names
from slices.wikipedia import LANGUAGES

ORIGIN = "https://dumps.wikimedia.org"
MIRRORS = ("https://dumps.wikimedia.your.org",)  # the only one that is listed with all dumps, not the last five
DATE = "20230320"
JOB = "articlesmultistreamdump"
LICENCE = Licence("cc-by-sa-4.0", "https://creativecommons.org/licenses/by-sa/4.0/", "CC BY-SA, with attribution.")
_DATES_SHOWN = 4


def plan(selection: Mapping[str, Any], client: Client, addresses: Addresses) -> Listing:
    """The dumps of ``langs`` (default: the recipe's 20) of ``date`` (default: the recipe's, 20230320).

    A language is asked for at Wikimedia, then at its mirrors, then at archive.org; one that none has is ``absent``,
    with a note. Raises :class:`UsageError` for no code of a language.
    """
    date = date_of(selection, DATE)
    assert date is not None
    listing = Listing(version=date, files=(), licences=[LICENCE])
    files: list[Wanted] = []
    for language in names(selection, "langs", LANGUAGES):
        if not re.fullmatch(r"[a-z][a-z0-9_-]{1,20}", language):
            raise UsageError(f"--langs {language}: expected the code of a Wikipedia, such as de.")
        wiki = language.replace("-", "_") + "wiki"
        found = _from_wikimedia(client, wiki, date, listing.notes) or _from_archive(client, wiki, date)
        if found:
            files += found
            continue
        listing.absent.append(language)
        listing.notes.append(
            f"{wiki}: no dump of {date} at Wikimedia, which keeps them for some months, at its mirrors or archive.org. "
            f"{_dates(client, wiki)}"
        )
    listing.files = choose(files, selection)
    return listing


def _from_wikimedia(client: Client, wiki: str, date: str, notes: list[str]) -> list[Wanted]:
    for base in (ORIGIN, *MIRRORS):
        url = f"{base}/{wiki}/{date}/dumpstatus.json"
        try:
            status = json_of(client.ask(url))
        except NotThere:
            continue
        except InputUnavailable as error:
            if base == ORIGIN:
                raise  # it is not known whether the dump is there: another source would be a guess
            notes.append(f"{wiki}: {error}")
            continue
        job = status.get("jobs", {}).get(JOB, {}) if isinstance(status, dict) else {}
        if job.get("status") != "done":
            notes.append(f"{wiki}: the job {JOB} of {date} is not done ({job.get('status', 'absent')}) at {base}.")
            continue
        listed = job.get("files") or {}
        chosen = one_form(listed)
        if chosen:
            mirrors = MIRRORS if base == ORIGIN else ()
            return [_dump(base, wiki, date, name, listed[name], mirrors) for name in chosen]
    return []


def _dump(base: str, wiki: str, date: str, name: str, entry: Mapping[str, Any], mirrors: Iterable[str]) -> Wanted:
    # The address is made here and not taken from the listing, which could name any path of the host.
    path = f"/{wiki}/{date}/{quote(name)}"
    checks = hashes(sha1=entry.get("sha1"), md5=entry.get("md5"))
    return Wanted(
        name, base + path, size_of(entry.get("size")), checks, walk="bz2", mirrors=[m + path for m in mirrors]
    )


def _from_archive(client: Client, wiki: str, date: str) -> list[Wanted]:
    item = f"{wiki}-{date}"
    files = {file.name: file for file in archive_org.item(client, item) or () if file.name.startswith(f"{item}-")}
    return [
        Wanted(name, archive_org.address(item, name), files[name].bytes, files[name].checks, walk="bz2")
        for name in one_form(files)
    ]


def one_form(listed: Iterable[str]) -> list[str]:
    """The dump among the files of a listing, in one form: the single multistream file, else its parts, else the single
    plain file, else its parts. Two forms would give every page twice; indexes are none."""
    dumps = [name for name in listed if re.search(r"-pages-articles(-multistream)?\d*\.xml(-p\d+p\d+)?\.bz2$", name)]
    for kind in ("-pages-articles-multistream", "-pages-articles"):
        single = [name for name in dumps if name.endswith(f"{kind}.xml.bz2")]
        parts = sorted(name for name in dumps if re.search(rf"{kind}\d+\.xml(-p\d+p\d+)?\.bz2$", name))
        if single or parts:
            return single or parts
    return []


def _dates(client: Client, wiki: str) -> str:
    """Which dates Wikimedia has, for the user to choose from."""
    try:
        page = client.ask(f"{ORIGIN}/{wiki}/").body.decode("utf-8", "replace")
    except InputUnavailable:
        return "Which dates there are could not be asked."
    dates = sorted(set(re.findall(r'href="(\d{8})/"', page)))
    last = ", ".join(dates[-_DATES_SHOWN:])
    return f"Wikimedia has {last}: choose one with --date." if dates else "Wikimedia lists no date of it."


def from_config(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a configuration's section of the slice says of the selection."""
    if settings.get("languages"):
        yield "langs", list(settings["languages"])
    if settings.get("date"):
        yield "date", settings["date"]


SOURCE = Source("wikipedia", plan, knows=("langs", "date", *CHOICES), from_config=from_config)
