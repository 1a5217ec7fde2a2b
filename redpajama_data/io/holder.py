"""Who holds a root."""

from __future__ import annotations

import datetime
import getpass
import os
import re
import socket
import sys

import msgspec


class Holder(msgspec.Struct):
    """A run, in words for those who find the root in use. Not its command line: addresses may hold secrets."""

    program: str
    verb: str
    host: str
    pid: int
    user: str
    since: str

    def __str__(self) -> str:
        what = f"{self.program} {self.verb}".strip()
        return f"{what} (process {self.pid} of {self.user} on {self.host}, since {self.since})"


def this_run() -> Holder:
    """The process that asks."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container whose user id has no name
        user = str(os.getuid())
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    verb = sys.argv[1] if len(sys.argv) > 1 and re.fullmatch("[a-z][a-z-]{0,20}", sys.argv[1]) else ""
    return Holder(
        "rpj" if program in ("", "-c", "__main__.py") else program, verb, socket.gethostname(), os.getpid(), user, now
    )
