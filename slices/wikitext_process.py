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
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from typing import Any, NoReturn, cast

from filters import wikitext
from redpajama_data.document import Document, Drop

_TOKEN_STEPS = 20  # a token costs about as much as 20 characters read: 276 ns against 11 ns, measured
_OVER_LIMIT = 77  # exit status of a counting child that gave up
_LAST_RESORT = 3600  # CPU seconds of a counting child: only if the tokenizer spins without making a token
_REQUEST = struct.Struct("<QdII")  # limit, CPU seconds, bytes of the language, bytes of the wikitext
_REPLY = struct.Struct("<cI")  # what it is, bytes that follow
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}  # the parser's own doing
_GC_THRESHOLD = 100_000  # objects between collections: a page's tokens are dicts without cycles; saves 15 % of the time
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from slices.wikitext_process import serve; serve({}, {})"
)
_local = threading.local()  # the child of this worker


class Child:
    """A cleaning process; it ends by itself when this process does (its input ends), however that comes about."""

    def __init__(self, *, counting: bool) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(counting, self.owner), json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for the parent to handle
        )

    def ask(self, request: bytes) -> tuple[bytes, str] | None:
        """Send one page; return the kind of reply and its text, or None when the child died on it."""
        sink, source = self.process.stdin, self.process.stdout
        assert sink is not None
        assert source is not None
        try:
            sink.write(request)
            sink.flush()
            head = source.read(_REPLY.size)
        except BrokenPipeError:
            return None
        if len(head) < _REPLY.size:
            return None
        kind, size = _REPLY.unpack(head)
        return kind, source.read(size).decode("utf-8", "surrogatepass")

    def close(self) -> int:
        """End the child; return its exit status (negative: the signal that killed it)."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                cast(Any, pipe).close()
        return self.process.wait()


def page_time_limit(doc: Document, *, limit: int, cpu_seconds: float) -> Document | Drop:
    """Clean ``doc.text`` (:func:`filters.wikitext.unparsable`); a page that takes the parser too long leaves.

    ``limit`` counts steps of the tokenizer: characters it puts into tokens, and 20 for each token, in every reading it
    tries. The most that one of 2,215 real pages needs is 2.7 million (246,000 characters). ``cpu_seconds`` is when
    the uncounted child is killed and the counting one asked. Drops: ``page_time_limit``, ``unparsable`` (also when the
    parser crashes). Raises MemoryError when the system kills the child, RuntimeError when it ends for another reason.
    """
    language = doc.meta["language"].encode()
    text = doc.text.encode("utf-8", "surrogatepass")
    request = _REQUEST.pack(limit, cpu_seconds, len(language), len(text)) + language + text
    child: Child | None = getattr(_local, "child", None)
    if child is None or child.owner != os.getpid():  # a forked worker must not talk to its parent's child
        child = _local.child = Child(counting=False)
    reply = child.ask(request)
    if reply is None:
        child.close()
        _local.child = None
        child = Child(counting=True)
        reply = child.ask(request)
        status = child.close()
        if reply is None:
            return _ended(doc.id, status, limit)
    kind, answer = reply
    if kind == b"U":
        return Drop("unparsable", answer, "wikitext mwparserfromhell accepts")
    if kind == b"E":
        raise RuntimeError(f"cleaning {doc.id} failed: {answer}")
    doc.text = answer
    return doc


def _ended(doc_id: str, status: int, limit: int) -> Drop:
    """What it means that the counting child ended on a page."""
    if status in (_OVER_LIMIT, -signal.SIGXCPU):
        return Drop("page_time_limit", f"more than {limit}", limit)
    if -status in _CRASHES:
        return Drop("unparsable", f"the parser's process ended with status {status}", 0)
    if status == -signal.SIGKILL:  # by the system, which says nothing of the page: the task fails, the next run tries
        raise MemoryError(f"the process that cleans {doc_id} was killed")
    raise RuntimeError(f"the process that cleans {doc_id} ended with status {status}")


def serve(counting: bool, parent: int) -> None:
    """The child's loop: clean the pages that come in on standard input until it ends. ``parent`` is who sends them."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing but replies goes to the pipe
    gc.set_threshold(_GC_THRESHOLD)
    while len(head := source.read(_REQUEST.size)) == _REQUEST.size:
        limit, cpu_seconds, language_size, text_size = _REQUEST.unpack(head)
        language = source.read(language_size).decode()
        text = source.read(text_size).decode("utf-8", "surrogatepass")
        if counting:
            _count_steps(limit)
            _end_with(parent)
            resource.setrlimit(resource.RLIMIT_CPU, (_LAST_RESORT, _LAST_RESORT))
        else:
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # SIGPROF ends the process, even inside C code
        kind, answer = _answer(text, language)
        if not counting:
            signal.setitimer(signal.ITIMER_PROF, 0)
        reply = answer.encode("utf-8", "surrogatepass")
        sink.write(_REPLY.pack(kind, len(reply)) + reply)
        sink.flush()


def _answer(text: str, language: str) -> tuple[bytes, str]:
    """Clean one page; return the kind of reply and its text."""
    try:
        result = wikitext.unparsable(Document("", text, {"language": language}))
    except Exception as error:  # reported to the parent, which raises it with the page's name
        return b"E", f"{type(error).__name__}: {error}"
    return (b"U", str(result.measured)) if isinstance(result, Drop) else (b"T", result.text)


def _count_steps(limit: int) -> None:
    """Make this process end at the ``limit``-th step of the tokenizer.

    The library's token classes get a constructor that counts. It ends the process instead of raising: the tokenizer
    takes an exception inside a failing reading for the failure of that reading and goes on.
    """
    from mwparserfromhell.parser import tokens

    steps = 0

    def counted(token: dict[str, Any], **fields: Any) -> None:
        nonlocal steps
        token.update(fields)
        text = fields.get("text")
        steps += _TOKEN_STEPS + (len(text) if text else 0)
        if steps > limit:
            _give_up()

    setattr(tokens.Token, "__init__", counted)  # noqa: B010  (assigning it, a type checker refuses)


def _give_up() -> NoReturn:
    os._exit(_OVER_LIMIT)


def _end_with(parent: int) -> None:
    """Look every second whether the ``parent`` lives: on a page of minutes this process does not see its input end."""

    def look(*_: object) -> None:  # runs between two steps, which are Python's
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
