"""The process that cleans wikitext, when something goes wrong between a page and its text: no page gets another's."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from filters.wikitext import clean
from redpajama_data.document import Document, Drop
from redpajama_data.engine.run_task import Failed, run_task
from redpajama_data.engine.tasks import Task, TaskContext, Workplace
from redpajama_data.errors import RpjError
from redpajama_data.pipeline.work import run_steps_on
from slices.parts import wikitext_process
from slices.parts.wikitext_process import Child, ChildError, page_time_limit

clean_page = partial(page_time_limit, limit=1_000_000_000, cpu_seconds=2.0)


def page(text: str) -> Document:
    return Document("d#0", text, {"language": "en"})


def cleaned(text: str) -> str:
    result = clean_page(page(text))
    assert isinstance(result, Document)
    return result.text


@pytest.fixture(autouse=True)
def _own_child(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a worker's state of its own."""
    local = threading.local()
    monkeypatch.setattr(wikitext_process, "_local", local)
    yield
    child = getattr(local, "child", None)
    if child is not None:
        child.kill()


def current() -> Child:
    """The child that waits for the next page."""
    child = wikitext_process._local.child
    assert isinstance(child, Child)
    return child


FAKE = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
from slices.parts.wikitext_child import REPLY, REQUEST, serve
counting, parent = {}, {}
if counting:
    serve(True, parent)
    sys.exit()
source = os.fdopen(0, "rb", 0)
while len(head := source.read(REQUEST.size)) == REQUEST.size:
    number, limit, seconds, language, size = REQUEST.unpack(head)
    text = source.read(language + size)[language:]
    ACTION
"""
WHOLE = "os.write(1, REPLY.pack(number, size, b'T', size) + text)"
DIES = {  # the fake child ends on its first page: the counting child is asked
    "without a word": "os._exit(1)",
    "within the head of its reply": "os.write(1, REPLY.pack(number, size, b'T', size)[:7]); os._exit(0)",
    "within its reply": "os.write(1, REPLY.pack(number, size, b'T', size) + text[:-3]); os._exit(0)",
    "before its reply's text": "os.write(1, REPLY.pack(number, size, b'T', size)); os._exit(0)",
}


def fake(monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    monkeypatch.setattr(wikitext_process, "_START", FAKE.replace("ACTION", action))


@pytest.mark.parametrize("name", DIES)
def test_a_reply_that_is_cut_short_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fake(monkeypatch, DIES[name])
    assert cleaned("'''a''' [[b|c]]") == "a c"
    assert cleaned("second") == "second"


@pytest.mark.parametrize("step", [1, 7, 50])
def test_a_reply_may_come_in_pieces(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    reply = "REPLY.pack(number, size, b'T', size) + text"
    pieces = f"reply = {reply}; [os.write(1, reply[at : at + {step}]) for at in range(0, len(reply), {step})]"
    fake(monkeypatch, pieces)
    for text in ("a", "", "é" * 300):
        assert cleaned(text) == text


WRONG = {  # what a child replies that it was not asked
    "the number before": "os.write(1, REPLY.pack(number - 1, size, b'T', size) + text)",
    "another page's size": "os.write(1, REPLY.pack(number, size + 1, b'T', size) + text)",
    "a kind that is none": "os.write(1, REPLY.pack(number, size, b'X', size) + text)",
    "two replies": f"{WHOLE}; {WHOLE}",
    "more than it says": "os.write(1, REPLY.pack(number, size, b'T', size) + text + b'more')",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_reply_to_something_else_fails_the_task(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fake(monkeypatch, WRONG[name])
    with pytest.raises(ChildError, match="another question"):
        cleaned("text")
        cleaned("of the second page, when the first could not tell")
    assert getattr(wikitext_process._local, "child", None) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
@pytest.mark.parametrize("at", ["_wait", "_exchange"])
def test_after_an_exception_the_next_page_gets_its_own_text(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], at: str
) -> None:
    assert cleaned("first") == "first"
    before = current()
    inner = getattr(Child, at)

    def interrupted(self: Child, *given: object) -> None:
        if at == "_exchange":
            inner(self, *given)  # the reply is read and lost
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Child, at, interrupted)
        with pytest.raises(error):
            cleaned("second")
    assert before.process.returncode is not None
    assert cleaned("third") == "third"
    assert current() is not before


def test_a_child_that_dies_between_pages_is_replaced() -> None:
    assert cleaned("first") == "first"
    before = current()
    before.process.kill()
    before.process.wait()
    assert cleaned("'''second'''") == "second"
    assert cleaned("third") == "third"
    assert current() is not before


@pytest.mark.parametrize("size", [10, 1 << 20])  # the pipe holds 64 kB: the request cannot be written
def test_a_child_that_is_stopped_fails_the_task_and_decides_nothing(size: int) -> None:
    cleaned("first")
    child = current()
    child.wall_seconds = 0.2
    os.kill(child.process.pid, signal.SIGSTOP)
    with pytest.raises(ChildError, match="did not answer"):
        run_steps_on([page("x" * size)], [clean_page])  # a document's own defect would be a drop
    assert child.process.returncode == -signal.SIGKILL
    assert cleaned("third") == "third"


def test_a_failed_child_is_a_failed_task_not_a_defect(tmp_path: object) -> None:
    def work(_: TaskContext) -> None:
        raise ChildError("the process that cleans pages did not answer. Run again.")

    outcome = run_task(Task("toy", "s", "t", 0, work, ""), Workplace(str(tmp_path), 1 << 20))
    assert isinstance(outcome, Failed)
    assert outcome.fatal is None
    assert outcome.reason == "the process that cleans pages did not answer. Run again."
    assert issubclass(ChildError, RpjError)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3_000_000])
def test_pages_of_any_size_go_through(size: int) -> None:
    text = "ab " * (size // 3) + "c" * (size % 3)
    assert cleaned(text) == clean(text, "en")


def test_a_request_that_is_cut_short_is_not_answered() -> None:
    child = Child(counting=False)
    child.sink.write(wikitext_process.REQUEST.pack(1, 1, 2.0, 2, 100) + b"entext")
    child.sink.close()
    assert child.source.read() == b""
    assert child.close() == 0


def test_an_unparsable_page_does_not_end_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, "os.write(1, REPLY.pack(number, size, b'U', 3) + b'why')")
    assert clean_page(page("a")) == Drop("unparsable", "why", "wikitext mwparserfromhell accepts")
    child = current()
    clean_page(page("b"))
    assert current() is child
