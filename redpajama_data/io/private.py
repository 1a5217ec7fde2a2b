"""Folders that are this user's alone, in places that others can write to as well."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile


def private_folder(name: str) -> str | None:
    """A folder that all processes of this user on this machine share, and nobody else: the first that can be had of
    $XDG_RUNTIME_DIR, the temporary files and the user's cache. None where there is none.

    A name in a folder of everybody's can be guessed, so what is found there counts only when it is a folder, no link,
    of this user, and closed to others: somebody else could have put it there first.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    places = [os.path.join(runtime, f"rpj-{name}")] if os.path.isabs(runtime) else []
    places.append(os.path.join(tempfile.gettempdir(), f"rpj-{name}-{os.getuid()}"))
    if (cache := user_cache()) is not None:
        places.append(os.path.join(cache, name))
    return next(filter(make_private, places), None)


def make_private(folder: str) -> bool:
    """Make a folder that only this user may enter; whether it is one now."""
    try:
        with contextlib.suppress(FileExistsError):
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            os.mkdir(folder, 0o700)
        info = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not stat.S_IMODE(info.st_mode) & 0o077


def user_cache() -> str | None:
    """The user's own folder for what can be had again; None for a user without a home."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_dir("rpj")
    except RuntimeError:  # as its newer versions say it
        return None
    return folder if os.path.isabs(folder) else None
