"""Clean wikitext in a child process, because the parser cannot be interrupted.

mwparserfromhell tries readings of the markup and goes back when one fails. What it costs is mostly linear (0.2 µs a
character; the slowest of 2,215 real pages takes 0.11 s), but not always:

    markup repeated n times, never closed                                  growth         measured (0.7.2)
    ``<b>``  ``[[a|``  ``{|``  ``[http://a ``  ``<!--``                    n²             n = 5,000: 0.8 to 6 s
    ``{{a|``  ``{{{a|``  ``<b a="``  ``<div style="``                      n²             n = 1,000: 0.7 to 1.8 s
    tables in templates in tables, where a cell's style would stand        exponential    n = 20, 341 characters: 4 s
    the same in links, in tags                                             exponential    n = 18, 325 characters: 4 s
    ``[[http://a `` within itself, closed                                  exponential    n = 22, 265 characters: 6 s

So neither the length of a page nor the number of its brackets bounds the time. The tokenizer is C code that holds the
interpreter's lock: signal handlers and threads wait until it returns, and only ending the process ends it. Hence one
child per worker cleans all pages, fast and uncounted, and its CPU timer kills it on a page that takes too long. That
page alone goes to a second kind of child, which counts the tokenizer's steps and gives up at ``limit``. **The count
decides, not the clock**: it is the same on every machine, so the output is too. The timer decides nothing, provided
``limit`` steps take longer than ``cpu_seconds``: a step is 10 to 100 ns, so 10⁹ of them are at least five times 2 s.

A page is asked for under a number, and only a whole reply with that number and the size of what was sent counts. Any
exception on the way ends the child: another page could get what is still in the pipe. A child that takes no CPU time
and gives no reply (stopped, swapped out) is ended by a wall clock, and then nothing is decided: the task fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from typing import IO, cast

from redpajama_data.document import Document, Drop
from redpajama_data.errors import RpjError
from slices.parts.wikitext_child import (
    ERROR,
    LAST_RESORT,
    OVER_LIMIT,
    REPLY,
    REQUEST,
    TEXT,
    UNPARSABLE,
    how_asked,
)

_WALL_SECONDS = 1800  # without a byte to or from the child that cleans: 900 times the CPU time that ends it
_PIPE = 1 << 16  # bytes read from the pipe at a time: it holds no more
_END_SECONDS = 10  # for a child to see the end of its input, then it is killed
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}  # the parser's own doing
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from slices.parts.wikitext_child import serve; serve({}, {})"
)
_local = threading.local()  # the child of this worker


class ChildError(RpjError):
    """A child did not do its work, for a reason that is not the page's: the task fails, the next run tries it again."""

    exit_code = 3


class Child:
    """A cleaning process; it ends by itself when this process does (its input ends), however that comes about."""

    def __init__(self, *, counting: bool) -> None:
        self.owner = os.getpid()
        self.number = 0  # of the last page sent
        self.wall_seconds: float = 2 * LAST_RESORT if counting else _WALL_SECONDS
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(counting, self.owner), json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # a Ctrl-C is for the parent to handle
        )
        self.sink, self.source = cast(IO[bytes], self.process.stdin), cast(IO[bytes], self.process.stdout)
        os.set_blocking(self.sink.fileno(), False)
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(self.sink, select.POLLOUT)
        self._readable.register(self.source, select.POLLIN)

    def ask(
        self, doc: Document, *, limit: int, cpu_seconds: float, categories: bool = True
    ) -> tuple[bytes, str] | None:
        """Send one page; return the kind of reply and its text, or None when the child died on it.

        Raises :class:`ChildError` when it does not answer, or not to what it was asked. After any exception the child
        is ended.
        """
        try:
            self.number += 1
            how, page = how_asked(doc, categories=categories), doc.text.encode("utf-8", "surrogatepass")
            request = REQUEST.pack(self.number, limit, cpu_seconds, len(how), len(page)) + how + page
            reply = self._exchange(request)
            if reply is None:
                return None
            number, size, kind, length = REPLY.unpack_from(reply)
            answer = reply[REPLY.size :]
            if (number, size, length) != (self.number, len(page), len(answer)) or kind not in (TEXT, UNPARSABLE, ERROR):
                raise ChildError(
                    "the process that cleans pages answered another question than it was asked. Run again; if this "
                    "comes back, please report it."
                )
            return kind, answer.decode("utf-8", "surrogatepass")
        except BaseException:
            self.kill()
            raise

    def _exchange(self, request: bytes) -> bytes | None:
        """Send a request, give the bytes of its reply; None when the child ends before it is whole."""
        sink, left = self.sink.fileno(), memoryview(request)
        try:
            while left:
                try:
                    left = left[os.write(sink, left) :]
                except BlockingIOError:
                    self._wait(self._writable)
        except BrokenPipeError:
            return None
        source, wanted = self.source.fileno(), REPLY.size
        parts: list[bytes] = []
        size = 0
        while size < wanted:
            self._wait(self._readable)
            part = os.read(source, _PIPE)
            if not part:
                return None
            parts.append(part)
            size += len(part)
            if wanted == REPLY.size <= size:
                parts = [b"".join(parts)]
                wanted += REPLY.unpack_from(parts[0])[3]
        return b"".join(parts)

    def _wait(self, pipe: select.poll) -> None:
        """Wait until a pipe can be read or written."""
        if not pipe.poll(self.wall_seconds * 1000):
            raise ChildError(
                f"the process that cleans pages did not answer for {self.wall_seconds} s. Is the machine short of "
                "memory? Run again."
            )

    def close(self) -> int:
        """End the child; return its exit status (negative: the signal that killed it)."""
        for pipe in (self.sink, self.source):
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            return self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # it is stopped, or in the parser
            return self.kill()

    def kill(self) -> int:
        """End the child at once; return its exit status."""
        self.process.kill()
        return self.close()


def page_time_limit(doc: Document, *, limit: int, cpu_seconds: float, categories: bool = True) -> Document | Drop:
    """Clean ``doc.text`` (:func:`filters.wikitext.unparsable`); a page that takes the parser too long leaves.

    ``limit`` counts steps of the tokenizer: characters it puts into tokens, and 20 for each token, in every reading it
    tries. The most that one of 2,215 real pages needs is 2.7 million (246,000 characters). ``cpu_seconds`` is when
    the uncounted child is killed and the counting one asked. Drops: ``page_time_limit``, ``unparsable`` (also when the
    parser crashes). Raises MemoryError when the system kills the child, :class:`ChildError` when it ends for another
    reason or does not answer: both fail the task.
    """
    child: Child | None = getattr(_local, "child", None)
    if child is None or child.owner != os.getpid():  # a forked worker must not talk to its parent's child
        child = Child(counting=False)
    _local.child = None  # until it has answered
    reply = child.ask(doc, limit=limit, cpu_seconds=cpu_seconds, categories=categories)
    if reply is None:
        child.close()
        child = Child(counting=True)
        reply = child.ask(doc, limit=limit, cpu_seconds=cpu_seconds, categories=categories)
        status = child.close()
        if reply is None:
            return _ended(doc.id, status, limit)
    else:
        _local.child = child
    doc.work.pop("link_names", None)
    kind, answer = reply
    if kind == UNPARSABLE:
        return Drop("unparsable", answer, "wikitext mwparserfromhell accepts")
    if kind == ERROR:
        raise RuntimeError(f"cleaning {doc.id} failed: {answer}")
    doc.text = answer
    return doc


def _ended(doc_id: str, status: int, limit: int) -> Drop:
    """What it means that the counting child ended on a page."""
    if status in (OVER_LIMIT, -signal.SIGXCPU):
        return Drop("page_time_limit", f"more than {limit}", limit)
    if -status in _CRASHES:
        return Drop("unparsable", f"the parser's process ended with status {status}", 0)
    if status == -signal.SIGKILL:  # by the system, which says nothing of the page: the task fails, the next run tries
        raise MemoryError(f"the process that cleans {doc_id} was killed")
    raise ChildError(f"the process that cleans {doc_id} ended with status {status}. Run again.")
