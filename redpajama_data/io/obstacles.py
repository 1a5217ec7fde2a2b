"""What stands in the way of a file that is to be written: a file where a folder is needed, a folder, a link."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from redpajama_data.io.paths import is_remote, local

_ERRNOS = {errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR, errno.ELOOP}


def obstacle(path: str, error: BaseException) -> str | None:
    """What is in the way of ``path``, after ``error``; None when nothing is, or the path is remote.

    From the top: the first part of the path that is no folder, else what is at the path itself.
    """
    if is_remote(path) or not isinstance(error, OSError) or error.errno not in _ERRNOS:
        return None
    whole = Path(local(path))
    for folder in reversed(whole.parents):
        if os.path.lexists(folder) and not folder.is_dir():
            what = "a file" if folder.exists() else "a link that leads nowhere"
            return f"{folder} is {what}, and a folder is needed there"
    if error.errno == errno.ELOOP and whole.is_symlink():
        return f"{whole} is a link, and a file of rpj's own is needed there"
    if os.path.lexists(whole) and not whole.exists():
        return f"{whole} is a link that leads nowhere"
    if whole.is_dir() and error.errno == errno.EISDIR:
        return f"{whole} is a folder, and a file is needed there"
    if whole.is_file() and error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{whole} is a file, and a folder is needed there"
    return None
