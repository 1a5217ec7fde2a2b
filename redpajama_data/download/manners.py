"""How each host wants to be asked, and what it says about that in its answers.

Sources, as of November 2026: status.commoncrawl.org (403 is its rate limit, a few thousand requests a second for
everybody), Wikimedia's nginx template and index page (3 and 2 connections an address), Hugging Face's rate limits
(3,000 resolver requests in 5 minutes), Project Gutenberg's robot rules (2 s between requests).
"""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass

REFUSALS = frozenset({429, 503})


@dataclass(frozen=True)
class Manners:
    """``connections`` at once, ``pause`` seconds between the starts of two requests. ``refusals`` are the answers that
    mean "slower": the whole host is then left alone for ``cool_first`` seconds, doubled with each further one in a row
    up to ``cool_most``. ``contact`` says that the host blocks clients that name nobody to write to."""

    connections: int = 2
    pause: float = 0.0
    cool_first: float = 10.0
    cool_most: float = 3600.0
    refusals: frozenset[int] = REFUSALS
    contact: bool = False


BY_HOST = {  # the host or a domain above it; the longest that fits
    "data.commoncrawl.org": Manners(4, 1.0, 60.0, refusals=REFUSALS | {403}),
    "dumps.wikimedia.org": Manners(2, cool_first=60.0, contact=True),
    "archive.org": Manners(2),
    "huggingface.co": Manners(8, 0.1),  # 3,000 in 300 s
    "gutenberg.org": Manners(1, 2.0, 60.0),
    "aleph.gutenberg.org": Manners(2),
    "gutenberg.pglaf.org": Manners(1, 2.0, 60.0),
    "storage.googleapis.com": Manners(8),
    "amazonaws.com": Manners(8),
    "arxiv": Manners(8),  # the bucket
}


def manners_of(host: str) -> Manners:
    """The manners of a host; those of nobody in particular where none are known."""
    labels = host.lower().split(".")
    for start in range(len(labels)):
        known = BY_HOST.get(".".join(labels[start:]))
        if known is not None:
            return known
    return Manners()


def asked_to_wait(headers: Mapping[str, str], wall: float) -> float | None:
    """The seconds that an answer asks to be left alone for; None when it does not say, or nothing that makes sense.

    ``Retry-After`` in both forms (RFC 9110, 10.2.3; a date is held against the answer's own ``Date``, as clocks
    differ), else the ``RateLimit`` headers of the IETF draft and their older forms, when nothing remains.
    ``headers`` have small letters; ``wall`` is the time of day in seconds.
    """
    after = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", after):
        return float(after)
    when = _seconds(after)
    if when is not None:
        return max(0.0, when - (_seconds(headers.get("date", "")) or wall))
    return used_up(headers, wall)


def used_up(headers: Mapping[str, str], wall: float) -> float | None:
    """The seconds until a host has requests for us again, when its ``RateLimit`` headers say that it has none now."""
    limit = headers.get("ratelimit", "")
    rest, reset = re.search(r"\br(?:emaining)?=(\d{1,9})", limit), re.search(r"\b(?:t|reset)=(\d{1,9})", limit)
    if rest and reset:
        return float(reset[1]) if int(rest[1]) == 0 else None
    for prefix in ("ratelimit-", "x-ratelimit-"):
        left, until = headers.get(prefix + "remaining", ""), headers.get(prefix + "reset", "")
        if left.strip() == "0" and re.fullmatch(r"\d{1,12}(\.\d+)?", until.strip()):
            seconds = float(until)
            return max(0.0, seconds - wall) if seconds > 1e8 else seconds  # some give the second of the clock
    return None


def _seconds(date: str) -> float | None:
    try:
        parsed = email.utils.parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.timezone.utc)
    return parsed.timestamp()


def http_time(headers: Mapping[str, str], name: str) -> float | None:
    """The time that a header gives, in seconds; None when there is none."""
    return _seconds(headers.get(name, ""))
