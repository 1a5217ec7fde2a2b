"""What fails for a moment is tried again: every call to a file system, a network or an object store goes through
:func:`retried`. What fails to the end is named here, with the next action."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from redpajama_data.errors import InputUnavailable, RpjError, StorageError
from redpajama_data.io.credentials import shown
from redpajama_data.io.obstacles import obstacle
from redpajama_data.io.paths import is_remote

ATTEMPTS = 5
WAIT_FIRST, WAIT_MOST = 0.5, 8.0  # seconds before the second attempt, doubled for each further one, and the longest
WAIT_JITTER = 0.5  # at most this many seconds more, by chance: a thousand workers must not come back all at once

Result = TypeVar("Result")

# What no waiting mends. Everything else may pass: EIO and ESTALE of a network disk, EMFILE, a file that is away.
_LASTING = (
    {errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
    | {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
)  # fmt: skip
_WITHOUT_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"}


def failures(path: str) -> tuple[type[Exception], ...]:
    """The classes of what a call on a path can fail with. The packages behind URLs have classes of their own, few of
    them an OSError, so there it is every Exception; :func:`retried` lets those pass that are no failure."""
    return (Exception,) if is_remote(path) else (OSError,)


def may_pass(path: str, error: BaseException) -> bool:
    """True when the same call may go better a little later. Remotely a refusal may pass as well: with other
    credentials."""
    if isinstance(error, (RpjError, MemoryError, FileExistsError, NotImplementedError)):
        return False
    if is_remote(path):
        return isinstance(error, Exception) and not without_credentials(error)
    return isinstance(error, OSError) and error.errno not in _LASTING


def retried(path: str, call: Callable[..., Result], *arguments: object) -> Result:
    """``call(*arguments)``, tried :data:`ATTEMPTS` times while it fails for a reason that may pass; raises the last
    error. Before each further attempt on a URL its file system is made anew: with credentials read afresh, new
    connections and an empty cache; so ``call`` must ask for it itself.
    """
    try:
        return call(*arguments)
    except Exception as error:
        if not may_pass(path, error):
            raise
        failed = [error]
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter  # 60 ms

    def again() -> Result:
        if failed:  # the attempt above counts as the first
            raise failed.pop()
        if is_remote(path):
            _forget_filesystem(path)
        return call(*arguments)

    wait = wait_exponential_jitter(initial=WAIT_FIRST, max=WAIT_MOST, jitter=WAIT_JITTER)
    passing = retry_if_exception(lambda error: may_pass(path, error))
    return Retrying(retry=passing, stop=stop_after_attempt(ATTEMPTS), wait=wait, reraise=True)(again)


def _forget_filesystem(path: str) -> None:
    from fsspec import get_filesystem_class
    from fsspec.utils import get_protocol

    with contextlib.suppress(ImportError, ValueError):
        get_filesystem_class(get_protocol(path)).clear_instance_cache()


# ---------------------------------------------------------------------------------------------------- messages


class _Said(NamedTuple):
    """A failure in words, and what to do about it."""

    what: str
    action: str


def unavailable(path: str, error: BaseException) -> InputUnavailable:
    """The error for a file that could not be read, after every attempt."""
    what, action = _shared(path, error) or _said_of_reading(path, error)
    return InputUnavailable(f"{path}: {what}. {action}, then run the same command again.")


def not_written(path: str, error: BaseException, place: str | None = None) -> StorageError:
    """The error for a file that could not be written or a root that could not be looked at, after every attempt.

    ``place`` is where the bytes were going when that is not ``path``. Passing (it costs one task) is everything remote
    but missing credentials, and everything local but what the next file would meet as well.
    """
    at = place or path
    what, action = _shared(at, error) or _said_of_writing(at, error)
    where = f"{path} (by way of {place})" if place else path
    message = f"{where}: {what}. {action}, then run the same command again: it goes on where it stopped."
    return StorageError(message, passing=may_pass(at, error))


def _shared(path: str, error: BaseException) -> _Said | None:
    if is_remote(path):
        scheme = path.split("://")[0]
        if without_credentials(error):
            if scheme != "s3":
                return _Said(f"no credentials for {scheme}:// ({error})", "Set them")
            return _Said(
                f"no credentials for s3:// ({error})",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or for a public bucket "
                "FSSPEC_S3_ANON=true",
            )
        if isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403):
            return _Said(f"access refused ({_words(error)})", "Renew the credentials, or ask for the right to it")
        if isinstance(error, FileNotFoundError):
            return None
        return _Said(f"{scheme}:// does not answer as it should ({_words(error)})", "Check address and network")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return _Said(f"too many open files (limit {limit:,})", "Raise the limit with ulimit -n, or use fewer --workers")
    return None


def _said_of_reading(path: str, error: BaseException) -> _Said:
    if isinstance(error, FileNotFoundError):
        return _Said("no such file", "Put it back, or check the path")
    if isinstance(error, PermissionError):
        return _Said("may not be read", "Give this user the right to read it")
    if isinstance(error, IsADirectoryError):
        return _Said("is a folder", "Check the path")
    return _Said(f"cannot be read now ({_words(error)})", "Check the disk or network")


def _said_of_writing(path: str, error: BaseException) -> _Said:
    number = error.errno if isinstance(error, OSError) else None
    if (in_the_way := obstacle(path, error)) is not None:
        return _Said(in_the_way, "Move it away, or write to another place")
    if number == errno.ENOSPC:
        return _Said("no space left", "Free some")
    if number == errno.EDQUOT:
        return _Said("the disk quota of this user is used up", "Free some, or ask for more")
    if number == errno.EFBIG:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        most = "of the file system" if limit == resource.RLIM_INFINITY else f"of {limit:,} bytes"
        return _Said(f"over the largest file size {most}", "Raise the limit with ulimit -f, or choose another --root")
    if number == errno.EROFS:
        return _Said("the file system is mounted read-only", "Mount it for writing, or choose another --root")
    if number in (errno.EACCES, errno.EPERM):
        return _Said("this user may not write there", "Get the right to, or choose a --root that this user may write")
    if number in (errno.EIO, errno.ESTALE):
        return _Said(f"the disk failed ({_words(error)})", "Check disk and mount")
    return _Said(f"cannot be written ({_words(error)})", "Choose a --root that this user may write to")


def _words(error: BaseException) -> str:
    """An error in one short line, without what grants access."""
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    line = " ".join(shown(said).split())[:300]
    name = type(error).__name__
    return line if isinstance(error, OSError) and line else f"{name}: {line}" if line else name


def without_credentials(error: BaseException) -> bool:
    """True when there are none to be refused: a mistake of the set-up, which no waiting mends."""
    return any(kind.__name__ in _WITHOUT_CREDENTIALS for kind in type(error).__mro__)
