"""7z archives opened by py7zr, with bounds on what their header may declare: nothing here unpacks anything."""

from __future__ import annotations

from typing import Any, BinaryIO

MAX_ENTRIES = 100_000  # files, blocks and streams; a dump has ten
MAX_HEADER_BYTES = 16 << 20  # unpacked; the header of 100,000 files has 4 MB


def open_archive(file: BinaryIO) -> Any:
    """The archive in ``file`` as a ``py7zr.SevenZipFile``, its header read.

    py7zr holds half a kilobyte for each file, and a header is packed: 6 kB of archive name eight million files, which
    take 4 GB and a minute. So its own bounds are drawn closer. Raises what py7zr raises, for a bound
    ``py7zr.exceptions.ArchiveError``.
    """
    from py7zr import SevenZipFile, archiveinfo  # not at import: it takes a quarter of a second

    archiveinfo.MAX_NUMFILES = archiveinfo.MAX_SUBSTREAMS = archiveinfo.MAX_NUMFOLDERS = MAX_ENTRIES
    archiveinfo.MAX_HEADER_SIZE = MAX_HEADER_BYTES
    return SevenZipFile(file)
