"""The process that cleans wikitext for :mod:`slices.parts.wikitext_process`: a loop over the pages that come in."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import struct
import sys
from typing import Any, NoReturn

from filters import wikitext
from filters.wikitext import NO_NAMES, LinkNames
from redpajama_data.document import Document, Drop

REQUEST = struct.Struct("<QQdII")  # number, limit, CPU seconds, bytes of how it is read, bytes of the wikitext
REPLY = struct.Struct("<QIcI")  # number, bytes of the wikitext, what the reply is, bytes that follow
TEXT, UNPARSABLE, ERROR = b"T", b"U", b"E"
OVER_LIMIT = 77  # exit status of a counting child that gave up
LAST_RESORT = 3600  # CPU seconds of a counting child: only if the tokenizer spins without making a token
_TOKEN_STEPS = 20  # a token costs about as much as 20 characters read: 276 ns against 11 ns, measured
_GC_THRESHOLD = 100_000  # objects between collections: a page's tokens are dicts without cycles; saves 15 % of the time


def serve(counting: bool, parent: int) -> None:
    """The child's loop: clean the pages that come in on standard input until it ends. ``parent`` is who sends them."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing but replies goes to the pipe
    gc.set_threshold(_GC_THRESHOLD)
    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        number, limit, cpu_seconds, how_size, text_size = REQUEST.unpack(head)
        body = source.read(how_size + text_size)
        if len(body) != how_size + text_size:
            return  # whoever asks is gone
        text = body[how_size:].decode("utf-8", "surrogatepass")
        if counting:
            _count_steps(limit)
            _end_with(parent)
            resource.setrlimit(resource.RLIMIT_CPU, (LAST_RESORT, LAST_RESORT))
        else:
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # SIGPROF ends the process, even inside C code
        kind, answer = _answer(text, body[:how_size])
        if not counting:
            signal.setitimer(signal.ITIMER_PROF, 0)
        reply = answer.encode("utf-8", "surrogatepass")
        sink.write(REPLY.pack(number, text_size, kind, len(reply)) + reply)
        sink.flush()


def how_asked(doc: Document, *, categories: bool) -> bytes:
    """How a page is to be read, as bytes: its language, whether names of categories stay, names of the dump's own."""
    return json.dumps([doc.meta["language"], categories, *doc.work.get("link_names", NO_NAMES)]).encode()


def _answer(text: str, how: bytes) -> tuple[bytes, str]:
    """Clean one page; return the kind of reply and its text."""
    try:
        language, categories, media, category = json.loads(how)
        names = LinkNames(tuple(media), tuple(category))
        page = Document("", text, {"language": language}, {"link_names": names})
        result = wikitext.unparsable(page, categories=categories)
    except Exception as error:  # reported to the parent, which raises it with the page's name
        return ERROR, f"{type(error).__name__}: {error}"
    return (UNPARSABLE, str(result.measured)) if isinstance(result, Drop) else (TEXT, result.text)


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
    os._exit(OVER_LIMIT)


def _end_with(parent: int) -> None:
    """Look every second whether the ``parent`` lives: on a page of minutes this process does not see its input end."""

    def look(*_: object) -> None:  # runs between two steps, which are Python's
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
