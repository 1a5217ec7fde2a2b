"""Files that somebody placed by hand, as a plan: where no program may fetch them, the engine still checks them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import quote

from redpajama_data.download.plan import Listing, Walk, Wanted
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.io.walk import files_below

_WALKS: dict[str, Walk] = {".gz": "gzip", ".bz2": "bz2", ".tar": "tar", ".7z": "7z", ".zst": "zstd", ".xml": "xml"}


def list_placed(to: str, slice_name: str) -> Listing:
    """The files below ``<to>/<slice>``, each to be read through to its end as its format has it.

    Nothing is known of them but what they hold: no size, no hash, no address (the one in the plan is never asked, as
    the file is there). Raises :class:`UsageError` when there is none.
    """
    place = storage.local(storage.join(to, slice_name))
    if not os.path.isdir(place):
        raise UsageError(f"{place}: no such folder. Make it, put the files of {slice_name} there, and run again.")
    files = list(_placed(place))
    if not files:
        raise UsageError(f"{place}: no files there. Put those of {slice_name} there, and run again.")
    note = "Placed by hand: each is read through to its end; nobody says whether it is the one that was meant."
    return Listing("placed by hand", files, notes=[note])


def _placed(place: str) -> Iterator[Wanted]:
    for path in sorted(files_below(place, lambda _: True)):
        name = os.path.relpath(path, place)
        walk = _WALKS.get(os.path.splitext(name)[1].lower(), "none")
        yield Wanted(name, f"https://placed-by-hand.invalid/{quote(name)}", walk=walk)
