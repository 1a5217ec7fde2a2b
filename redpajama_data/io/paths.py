"""What a path or URL is, and the file system behind it."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import sys
from collections.abc import Iterator
from typing import Any, cast

from redpajama_data.errors import UsageError
from redpajama_data.io.credentials import address_of, name_of, shown

# Attempts of one request inside the S3 client. Its default is 5; every call of ours is tried 5 times as well
# (redpajama_data.io.retries), which together would take more than a minute to say that an endpoint is not there.
S3_ATTEMPTS = 2
_EXTRAS = ("s3", "hf")  # of pyproject.toml; of other schemes fsspec names the package
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+://")


def is_remote(path: str) -> bool:
    """True for ``scheme://...``; ``file://`` counts as local."""
    return bool(_SCHEME.match(path)) and not path.startswith("file://")


_base = ""  # what relative local paths are relative to; "": the current folder


@contextlib.contextmanager
def relative_to(folder: str) -> Iterator[None]:
    """Within the block relative local paths are relative to ``folder`` ("": the current one): a root names its raw
    files from the folder of its first run."""
    global _base
    before, _base = _base, folder
    try:
        yield
    finally:
        _base = before


def local(path: str) -> str:
    """A local path without its ``file://``, from the current folder."""
    path = path.removeprefix("file://")
    return os.path.join(_base, path) if _base else path


def refuse_name(path: str) -> None:
    """Raise :class:`UsageError` for a name that no list of names can hold: with a line end, or not in UTF-8."""
    if "\n" in path:
        raise UsageError(f"{path!r}: a name with a line end. Rename it, then run again.")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        encoding = sys.getfilesystemencoding()
        try:
            os.fsencode(path).decode()
        except UnicodeError:
            raise UsageError(f"{path!r}: a name that is not in UTF-8. Rename it, then run again.") from error
        raise UsageError(
            f"{path!r}: this Python reads names of files as {encoding}. Set PYTHONUTF8=1, then run again."
        ) from error


def without_query(path: str) -> str:
    """A path as far as it names a file: of an address of the web what stands before the query."""
    return path.partition("?")[0] if path.startswith(("http://", "https://")) else path


def join(root: str, *parts: str) -> str:
    """Join below a path or URL."""
    return posixpath.join(root, *parts)


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec file system of a URL (by its name: :func:`~redpajama_data.io.credentials.name_of`), and the path
    inside it, with what grants access.

    Raises :class:`UsageError` with the pip line when the scheme's package is missing.
    """
    import fsspec

    options: dict[str, Any] = {}
    scheme = path.partition("://")[0].lower()
    if scheme in ("http", "https"):
        # By name, as fsspec knows its own: the client of downloads stands above this room.
        fsspec.register_implementation(scheme, "redpajama_data.download.web_files.WebFiles", clobber=True)
    if path.startswith("s3://") and "config_kwargs" not in fsspec.config.conf.get("s3", {}):
        options["config_kwargs"] = {"retries": {"total_max_attempts": S3_ATTEMPTS, "mode": "standard"}}
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(address_of(path), **options))
    except ImportError as error:
        scheme = path.split("://")[0]
        missing = f"pip install 'redpajama-data[{scheme}]'" if scheme in _EXTRAS else "the package that it names"
        raise UsageError(f"{name_of(path)}: {error}. For {scheme}:// install {missing}, then run again.") from error
    except ValueError as error:
        said = shown(f"{name_of(path)}: {error}")
        raise UsageError(f"{said}. Use a local path or one of s3://, hf://, https://.") from error
