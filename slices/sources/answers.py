"""What listings answer, decoded: JSON, base64 hashes, the next page. Anything else is no listing, and is said to be."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from redpajama_data.download.client import Answer
from redpajama_data.errors import InputUnavailable


def json_of(answer: Answer) -> Any:
    """The JSON of an answer. Raises :class:`InputUnavailable` when it is none: a page in HTML that asks for a captcha,
    a proxy's own."""
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise no_listing(answer.url, f"no JSON: {error}", answer.body) from error


def no_listing(url: str, why: str, body: bytes) -> InputUnavailable:
    """What to raise for an answer that is not what was asked for."""
    html = body[:512].lstrip().lower().startswith((b"<!doctype html", b"<html"))
    said = "a page in HTML" if html else why
    return InputUnavailable(f"{url}: the answer is no listing ({said}). Look at it in a browser, then run again.")


def fields(entry: Any, url: str, **kinds: type) -> list[Any]:
    """The named fields of an entry of a listing, each of its kind. Raises :class:`InputUnavailable` when one is not."""
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), kind) for name, kind in kinds.items()):
        raise no_listing(url, f"an entry without {', '.join(kinds)}: {str(entry)[:100]}", b"")
    return [entry[name] for name in kinds]


def size_of(text: Any) -> int | None:
    """A size that a listing gives as a number or as its digits; None when it gives none."""
    return int(text) if re.fullmatch(r"\d{1,18}", str(text)) else None


def hashes(**given: Any) -> dict[str, str]:
    """The hashes that a listing gives, in small hexadecimal letters; those it does not give are left out."""
    lengths = {"sha256": 64, "sha1": 40, "md5": 32}
    found = {name: str(value).lower() for name, value in given.items() if value}
    return {name: value for name, value in found.items() if re.fullmatch(rf"[0-9a-f]{{{lengths[name]}}}", value)}


def hex_of_base64(text: str) -> str:
    """A hash in base64, as Google's storage gives it, in hexadecimal; "" for what is no base64."""
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def next_page(answer: Answer, endpoint: str) -> str | None:
    """The address of the next page by the Link header (RFC 8288), at the ``endpoint`` that was asked: a mirror repeats
    the header of the origin. None on the last page."""
    found = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', answer.headers.get("link", ""))
    if not found:
        return None
    parts = urlsplit(found[1])
    return endpoint + parts.path + (f"?{parts.query}" if parts.query else "")
