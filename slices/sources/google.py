"""The listing of a bucket of Google Cloud Storage, page by page (JSON API, storage/v1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from redpajama_data.download.client import Client
from redpajama_data.errors import InputUnavailable
from slices.sources.answers import fields, hashes, hex_of_base64, json_of, no_listing, size_of

HOST = "https://storage.googleapis.com"
PAGES_MOST = 10_000  # of 1,000 objects; a listing that goes on is one that goes round


def objects(client: Client, bucket: str, prefix: str, headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The objects of ``bucket`` whose name begins with ``prefix``, in the order of their names:
    ``{name, bytes, checks, generation, updated}``. ``md5`` is missing where the object was composed of others;
    ``crc32c`` is always there."""
    token = ""
    for _ in range(PAGES_MOST):
        query = {"prefix": prefix, "fields": "nextPageToken,items(name,size,md5Hash,crc32c,generation,updated)"}
        if token:
            query["pageToken"] = token
        answer = client.ask(f"{HOST}/storage/v1/b/{quote(bucket, safe='')}/o?{urlencode(query)}", headers=headers)
        page = json_of(answer)
        if not isinstance(page, dict) or not isinstance(page.get("items", []), list):
            raise no_listing(answer.url, "no page of a bucket", answer.body)
        for item in page.get("items", []):
            (name,) = fields(item, answer.url, name=str)
            checks = hashes(md5=hex_of_base64(str(item.get("md5Hash", ""))))
            crc = str(item.get("crc32c", ""))
            if re.fullmatch(r"[A-Za-z0-9+/]{6}==", crc):
                checks["crc32c"] = crc
            yield {
                "name": name,
                "bytes": size_of(item.get("size")),
                "checks": checks,
                "generation": str(item.get("generation", "")),
                "updated": str(item.get("updated", "")),
            }
        following = page.get("nextPageToken")
        if not following:
            return
        if following == token:
            break
        token = str(following)
    raise InputUnavailable(f"{HOST}: the listing of {bucket} does not end. Run again later.")


def address(bucket: str, found: dict[str, Any]) -> str:
    """The address of an object, in the very state that was listed."""
    pinned = f"?generation={found['generation']}" if found["generation"] else ""
    return f"{HOST}/{quote(bucket, safe='')}/{quote(found['name'])}{pinned}"
