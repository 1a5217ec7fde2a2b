"""What a child process is started with: the modules of this process, and no ear for Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def modules_of_this_process() -> Iterator[None]:
    """A Python that is started in the block looks for modules where this one does. By itself the fork server looks in
    the current folder first: a checkout of another version there, or a file named as a library, would be what runs.
    Python 3.10 does so all the same: it has no PYTHONSAFEPATH."""
    given = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "PYTHONSAFEPATH": "1"}
    before = {name: os.environ[name] for name in given if name in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """What is started in the block does not hear Ctrl-C, not even while it starts; this process hears it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
