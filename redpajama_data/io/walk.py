"""The files below a local folder, links followed, nothing passed over in silence that may be input."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from redpajama_data.errors import InputUnavailable, UsageError

_UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2", ".tmp")  # as downloaders have
DOWNLOADS = "_download"  # the folder of `rpj download` beside the raw files: plan, records, receipts
_SPECIAL = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def is_passed_over(name: str) -> bool:
    """True for the names of files and folders that are no input whatever is asked for: those that begin with a dot
    (``.git``, ``.snapshot``, the ``._*`` that macOS writes beside every file), downloads that are not finished, and
    what `rpj download` keeps of them."""
    return name.startswith(".") or name == DOWNLOADS or name.lower().endswith(_UNFINISHED)


def files_below(folder: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """The paths of the files at any depth below ``folder`` whose path is ``wanted``, in no order that means anything.

    Links to files and folders are followed; a folder that two ways lead to is walked once, by the way without a link
    where there is one, so that links in a circle end. No file is opened.

    Raises :class:`UsageError` for what would be passed over otherwise: a folder that may not be read, a link whose
    target is not there, a wanted name that is no file. :class:`InputUnavailable` when a folder cannot be listed now.
    """
    seen: set[tuple[int, int]] = set()
    linked = [folder]
    while linked:
        linked.sort()
        todo = [linked.pop(0)]
        while todo:
            here = todo.pop()
            info = _status(here)
            if (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
            for entry in _entries(here):
                if is_passed_over(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    if wanted(entry.path):
                        yield entry.path
                elif stat.S_ISDIR(_mode(entry.path)):
                    linked.append(entry.path)
                elif wanted(entry.path) or _may_be_folder(entry):
                    check_file(entry.path)
                    yield entry.path


def check_file(path: str) -> None:
    """Raises :class:`UsageError` unless ``path`` is a file or a link to one: it is never opened to find out."""
    info = _status(path)
    if not stat.S_ISREG(info.st_mode):
        kind = _SPECIAL.get(stat.S_IFMT(info.st_mode), "no file")
        raise UsageError(f"{path}: it is {kind}, and raw input is files. Remove it from --input.")


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """True for a link that leads nowhere and that may have led to a folder of input: its name has no ending."""
    return entry.is_symlink() and not os.path.splitext(entry.name)[1] and not _mode(entry.path)


def _mode(path: str) -> int:
    """What a path leads to, as in ``st_mode``; 0 when it leads nowhere."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            target = os.readlink(path)
            raise UsageError(
                f"{path}: a link to {target}, which is not there. Mend the link or remove it, then run again."
            ) from error
        raise _unlisted(path, error) from error


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise _unlisted(folder, error) from error


def _unlisted(path: str, error: OSError) -> UsageError | InputUnavailable:
    if isinstance(error, PermissionError):
        return UsageError(f"{path}: may not be read. Give this user the right to (chmod +rx), or move it elsewhere.")
    return InputUnavailable(f"{path}: cannot be listed now ({error.strerror}). Check the disk, then run again.")
