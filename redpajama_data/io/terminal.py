"""What a command owes its terminal, and no more: a run never ends because nobody can read what it prints, ends in order
when it is asked to (:mod:`redpajama_data.io.stopping`), and what it prints commands no terminal."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO

from redpajama_data.io.credentials import shown
from redpajama_data.io.stopping import Stopped as Stopped
from redpajama_data.io.stopping import catch_signals as catch_signals
from redpajama_data.io.stopping import heard_between_steps as heard_between_steps

if TYPE_CHECKING:
    from tqdm import tqdm

UNWRITABLE = 6  # exit status of work that was done, but whose result could not be written to standard output


def say(line: str) -> None:
    """Print a line on standard error, above a bar that may be there, without what grants access. Where it cannot be
    printed, it is not."""
    from tqdm import tqdm

    with whatever_happens():
        tqdm.write(printable(shown(line)), file=_drawn(sys.stderr))
        sys.stderr.flush()


def is_drawn_on() -> bool:
    """Whether standard error is a terminal that bars can be drawn on; one that is called dumb cannot go back in a
    line."""
    with whatever_happens():
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return False


def bar(items: Any = None, *, desc: str, **options: Any) -> tqdm[Any]:
    """A bar of tqdm's on standard error, with what it says of files made :func:`printable`."""
    from tqdm import tqdm

    return tqdm(items, desc=in_one_line(desc), file=_drawn(sys.stderr), dynamic_ncols=True, **options)


def whatever_happens() -> contextlib.suppress:
    """For what is only printed: a terminal that is closed, full or gone is no reason to end a run."""
    return contextlib.suppress(OSError, ValueError, AttributeError)  # AttributeError: sys.stderr is None


# ------------------------------------------------------------------------------------------------ streams

# What makes a terminal do something, or text look like another one: control characters but tab and line end (C0, DEL,
# C1), other line ends, and what turns the direction of writing (Unicode 15, UAX 9).
_COMMANDS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text as it may be printed: names, ids and what documents say cannot command the terminal. What could is written
    as ``\\u001b``, which is also what JSON has for it."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def in_one_line(text: str) -> str:
    """A text :func:`printable`, and in one line: a name or a value cannot pass for a line of ours."""
    return printable(text).replace("\n", "\\n")


class _Printed(io.TextIOWrapper):
    """What is printed, :func:`printable`: every stream of the program is one, so nothing has to think of it."""

    def write(self, text: str) -> int:
        return super().write(printable(text))

    def draw(self, text: str) -> int:
        """Write as it is what has come by :func:`printable` or is ours: bars."""
        return super().write(text)


class _Drawn:
    """A stream of the program's as bars want it: they go back in a line."""

    def __init__(self, stream: _Printed) -> None:
        self._stream = stream
        self.write = stream.draw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:  # tqdm clears the bars of the stream that it writes to
        return isinstance(other, _Drawn) and other._stream is self._stream

    __hash__ = None  # type: ignore[assignment]


def _drawn(stream: Any) -> Any:
    return _Drawn(stream) if isinstance(stream, _Printed) else stream


class _Patient(io.FileIO):
    """A file descriptor that takes everything; the first error is kept, and what comes after it is thrown away."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        size = len(memoryview(data).cast("B"))
        while self.error is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.error = error
            else:
                if written is not None:
                    return written
                select.select([], [self], [])  # another program has made the terminal non-blocking
        return size


class Output:
    """Standard output and standard error for the life of the process, neither of which can end it."""

    def __init__(self) -> None:
        """Put streams in place that never raise, and open what is closed: the next file would get its number, and all
        that libraries print."""
        closed = [number for number in (0, 1, 2) if not _is_open(number)]
        for _ in closed:  # each gets the lowest number that is free: the one that is closed
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        self._out, sys.stdout = _stream(1, sys.stdout)
        _, sys.stderr = _stream(2, sys.stderr)
        if 1 in closed:
            self._out.error = OSError(0, "it is closed")

    def problem(self) -> str | None:
        """Why standard output has not taken all that was printed; None when it has."""
        with contextlib.suppress(ValueError):  # closed by somebody
            sys.stdout.flush()
        error = self._out.error
        return None if error is None else error.strerror or str(error)


def _stream(number: int, before: TextIO | None) -> tuple[_Patient, TextIO]:
    """A text stream on a file descriptor, with the encoding of the one it replaces. What that cannot say (a lone
    surrogate in a file's name) is written as an escape."""
    if before is not None:
        with contextlib.suppress(OSError, ValueError):
            before.flush()
    raw = _Patient(number, "w", closefd=False)
    lines = number == 2 or raw.isatty()
    encoding = getattr(before, "encoding", None) or "utf-8"
    return raw, _Printed(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=lines)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
