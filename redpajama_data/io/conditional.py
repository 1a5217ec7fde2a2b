"""Writes that depend on what is there: create only what is not, replace only what was seen."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, cast

from redpajama_data.io.paths import filesystem, is_remote, local
from redpajama_data.io.storage import write_bytes
from redpajama_data.io.writing import in_root


class Version(NamedTuple):
    """A small file's bytes, and the validator of its store for exactly these ("" where there is none)."""

    data: bytes
    etag: str


def create(path: str, data: bytes) -> bool:
    """Write a file that must not exist yet; False when it does.

    One step on a local disk and on S3 (If-None-Match; s3fs sends it, AWS, MinIO and moto obey it). Other stores look
    first and write then, and a few S3 servers ignore the condition: of two that create at once, the last one's bytes
    are there.
    """
    return in_root(path, _create, path, data)


def _create(path: str, data: bytes) -> bool:
    try:
        if not is_remote(path):
            os.makedirs(os.path.dirname(local(path)) or ".", exist_ok=True)
            with open(local(path), "xb") as file:
                file.write(data)
            return True
        fs, inside = filesystem(path)
        fs.invalidate_cache()
        try:
            fs.pipe_file(inside, data, mode="create")
        except (NotImplementedError, TypeError):
            if fs.exists(inside):
                return False
            fs.pipe_file(inside, data)
    except FileExistsError:
        return False
    return True


def read_version(path: str) -> Version | None:
    """A small file and what :func:`replace` needs to know of it; None when there is none."""
    return in_root(path, _read_version, path)


def _read_version(path: str) -> Version | None:
    try:
        if not is_remote(path):
            with open(local(path), "rb") as file:
                return Version(file.read(), "")
        fs, inside = filesystem(path)
        fs.invalidate_cache()
        etag = fs.info(inside).get("ETag", "")  # first: bytes that are newer than it only make replace() refuse
        return Version(cast(bytes, fs.cat_file(inside)), str(etag))
    except FileNotFoundError:
        return None


def replace(path: str, data: bytes, seen: Version) -> bool:
    """Write a small file in the place of the one seen; False when there is another one by now, or none.

    One step on S3 (If-Match). Other stores look first and write then.
    """
    if seen.etag and is_remote(path) and _is_s3(filesystem(path)[0]):
        return in_root(path, _replace_s3, path, data, seen.etag)
    now = read_version(path)
    if now is None or now.data != seen.data:
        return False
    write_bytes(path, data)
    return True


def _is_s3(fs: Any) -> bool:
    protocol = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return "s3" in protocol


def _replace_s3(path: str, data: bytes, etag: str) -> bool:
    fs, inside = filesystem(path)
    try:
        fs.pipe_file(inside, data, IfMatch=etag)
    except FileNotFoundError:
        return False
    except OSError as error:
        response = getattr(error.__cause__, "response", None) or {}
        if response.get("Error", {}).get("Code") == "PreconditionFailed":
            return False
        raise
    return True
