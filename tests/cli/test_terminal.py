"""What a run owes its terminal: nothing closed, full or gone ends it, and it ends in order when it is asked to."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from redpajama_data.io import terminal
from redpajama_data.models.model_file import ModelFile
from redpajama_data.reports import root_status

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in range(3):
        record = {"path": f"f{name}.py", "license": "mit", "content": f"def function{name}():\n    return {name}\n"}
        (folder / f"github_{name}.gz").write_bytes(gzip.compress(json.dumps(record).encode() + b"\n", mtime=0))
    return folder


@pytest.fixture
def options(raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> list[str]:
    tokens = ["--tokenizer", tiny_tokenizer.path, "--set", f"code_tokenizer={tiny_tokenizer.path}"]
    where = ["--input", str(raw), "--root", str(tmp_path / "root")]
    return ["run", "--slice", "github", *tokens, "--set", "min_alpha_per_token=0", *where]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{TESTS}", **more}


# ------------------------------------------------------------------------------------------------ streams

REDIRECTIONS = [  # as a shell writes it; exit status; on the stream that is left
    ("2>&-", 0, r"github: 3 records read, 3 documents published"),
    ("2>/dev/full", 0, r"github: 3 records read, 3 documents published"),
    ("2> >(exec true)", 0, r"github: 3 records read, 3 documents published"),
    ("1>&-", 6, r"^rpj: standard output could not be written \(it is closed\)\. The work itself is done"),
    ("1>/dev/full", 6, r"^rpj: standard output could not be written \(No space left on device\)\. The work itself"),
    ("1> >(exec true)", 6, r"^rpj: standard output could not be written \(Broken pipe\)\. The work itself is done"),
    ("1>&- 2>&- 0<&-", 6, ""),
    ("1>/dev/full 2>/dev/full", 6, ""),
]


@pytest.mark.parametrize(
    ("executor", "redirection", "status", "left"),
    [
        *(pytest.param("serial", *case, id=case[0]) for case in REDIRECTIONS),
        *(pytest.param("local", *case, id=f"local {case[0]}") for case in REDIRECTIONS if "-" in case[0]),
    ],
)
def test_a_run_does_all_its_work_whoever_can_read_what_it_says(
    tmp_path: Path, options: list[str], executor: str, redirection: str, status: int, left: str
) -> None:
    command = shlex.join([sys.executable, "-m", "redpajama_data", *options, "--executor", executor])
    script = gone_reader(command, redirection) if ">(" in redirection else f"{command} {redirection}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=120, env=environment(), check=False
    )
    assert done.returncode == status, done.stderr
    assert re.search(left, done.stdout if redirection.startswith("2") else done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stdout + done.stderr
    assert len(list((tmp_path / "root" / "github").iterdir())) == 3
    assert all(problem is None for _, problem in root_status.verify(str(tmp_path / "root")))


def gone_reader(command: str, redirection: str) -> str:
    """A script that gives a stream of the command a pipe whose reader is gone."""
    number = redirection[0]
    return f"exec {{pipe}}> >(exec true); wait $!; {command} {number}>&$pipe"


def test_what_a_stream_cannot_say_is_escaped(tmp_path: Path) -> None:
    """A file's name that is not in UTF-8."""
    name = os.fsencode(tmp_path) + b"/\xff\xfe"
    done = subprocess.run(
        [sys.executable, "-m", "redpajama_data", "status", name],
        capture_output=True,
        timeout=60,
        env=environment(PYTHONUTF8="1"),
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert b"\\udcff\\udcfe: " in done.stderr
    assert b"Traceback" not in done.stderr


NASTY = (
    "\x1b]0;title\x07\x1b[31m\x9b2J\u202e\r"  # sets the title, writes in red, clears, turns the direction, goes back
)
COMMANDS = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
TOLD = r"\u001b]0;title\u0007\u001b[31m\u009b2J\u202e\u000d"


def test_what_is_printable_stays_as_it_is() -> None:
    text = "a\tb\n\u00e9\u4e2d\U0001f600\u200f \\u001b"
    assert terminal.printable(text) == text
    assert terminal.printable(NASTY) == TOLD
    assert terminal.in_one_line("a\nb\x1b") == r"a\nb\u001b"
    assert json.loads(terminal.printable(json.dumps([NASTY], ensure_ascii=False))) == [NASTY]


@pytest.fixture
def nasty_root(raw: Path, tmp_path: Path, tiny_tokenizer: ModelFile) -> Path:
    """A root whose raw files have names that command a terminal; one is damaged, and a strange file lies there."""
    (raw / "github_0.gz").rename(raw / f"github_{NASTY}.gz")
    (raw / f"github_x{NASTY}.gz").write_bytes(b"broken")
    import redpajama_data

    settings = {"code_tokenizer": tiny_tokenizer.path, "min_alpha_per_token": 0}
    where = {"input": str(raw), "root": str(tmp_path / "root"), "tokenizer": tiny_tokenizer.path}
    redpajama_data.run("github", settings=settings, executor="serial", **where)
    (tmp_path / "root/github" / f"mine{NASTY}").touch()
    (tmp_path / "nasty.yaml").write_text(f"slices:\n  {json.dumps('a' + NASTY)}: 1\n")
    return tmp_path / "root"


@pytest.mark.parametrize(
    "command",
    [
        ["status", "ROOT"],
        ["status", "ROOT", "--json"],
        ["explain", "ROOT", f"RAW/github_{NASTY}.gz#0"],
        ["explain", "ROOT", f"RAW/github_{NASTY}.gz#0", "--json"],
        ["explain", "ROOT", f"RAW/github_{NASTY}.gz#7"],
        ["verify", "ROOT"],
        ["diff", "ROOT", f"ROOT{NASTY}"],
        ["run", "--slice", "github", "--input", "RAW", "--root", "ROOT"],
        ["run", "--slice", "github", "--input", f"RAW/{NASTY}", "--root", "ROOT"],
        ["run", "--slice", "github", "--config", "ROOT/../nasty.yaml"],
        ["run", "--slice", NASTY],
        [NASTY],
    ],
    ids=lambda words: " ".join(words).encode("ascii", "backslashreplace").decode().replace("\x1b", "")[:40],
)
def test_no_name_commands_the_terminal(nasty_root: Path, raw: Path, options: list[str], command: list[str]) -> None:
    words = [word.replace("ROOT", str(nasty_root)).replace("RAW", str(raw)) for word in command]
    if "--input" in words:
        words += options[3:9]
    done = subprocess.run(
        [sys.executable, "-m", "redpajama_data", *words],
        capture_output=True,
        timeout=120,
        env=environment(PYTHONUTF8="1"),
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    assert not COMMANDS.search(said), said
    assert "Traceback" not in said
    if "--json" in words:
        said = json.dumps(json.loads(done.stdout), ensure_ascii=False)  # it is JSON, and has the names as they are
    if "github_" in said:
        assert (json.dumps(NASTY, ensure_ascii=False).strip('"') if "--json" in words else TOLD) in said


def test_a_bar_is_drawn_above_what_is_said_and_its_words_are_printable() -> None:
    code = f"""
import sys
from redpajama_data.io import terminal
terminal.Output()
with terminal.bar(total=2, desc={NASTY!r}) as bar:
    bar.update()
    terminal.say({NASTY!r} + " http://u:word@h/x")
"""
    shown, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 120, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", code], stderr=inside, env=environment(TERM="xterm"))
    os.close(inside)
    said = HangingRun(process, shown, 0).rest()
    assert process.wait(60) == 0
    os.close(shown)
    assert f"{TOLD}:  50%" in said
    assert f"\r{TOLD} http://h/x\r\n" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(("term", "drawn"), [("xterm", True), ("dumb", False)])
def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, term: str, drawn: bool) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert terminal.is_drawn_on() is drawn


# ------------------------------------------------------------------------------------------------ being stopped


@dataclass
class HangingRun:
    """A run of three shards, two of which are done, at a terminal of its own."""

    process: subprocess.Popen[bytes]
    terminal: int
    worker: int

    def rest(self) -> str:
        """What the terminal shows until the run is gone."""
        shown = []
        with contextlib.suppress(OSError):  # how Linux says that the other side is closed
            while piece := os.read(self.terminal, 1 << 16):
                shown.append(piece)
        return b"".join(shown).decode()


@pytest.fixture
def hanging(tmp_path: Path, options: list[str]) -> Iterator[HangingRun]:
    tell, wait_on = tmp_path / "tell", tmp_path / "wait"
    os.mkfifo(tell)
    os.mkfifo(wait_on)
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, os, signal, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
            # ignored where the tests run under nohup, or behind a shell's &
            "[signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGINT)]; "
            "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
            str(TESTS / "hanging_run.py"),
            *options,
            "--workers",
            "1",
        ],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=environment(TELL=str(tell), WAIT=str(wait_on)),
    )
    os.close(inside)
    try:
        yield HangingRun(process, terminal, int(tell.read_text()))  # one worker: the others are done by now
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


STOPS = [("Ctrl-C", 130), ("SIGTERM", 143), ("SIGHUP", 129)]


@pytest.mark.parametrize(("how", "status"), STOPS)
def test_a_stopped_run_says_what_is_kept_ends_its_workers_and_shows_no_traceback(
    hanging: HangingRun, tmp_path: Path, options: list[str], how: str, status: int
) -> None:
    if how == "Ctrl-C":
        os.write(hanging.terminal, b"\x03")  # the terminal sends it to driver, fork server and workers alike
    else:
        hanging.process.send_signal(getattr(signal, how))
    shown = hanging.rest()
    assert hanging.process.wait(timeout=60) == status
    [line] = [line for line in re.split(r"[\r\n]+", shown) if "rpj: " in line]
    assert line.endswith(
        f"rpj: stopped ({how}). github clean: 2 of 3 tasks are done and kept, and all of the stages before: the same "
        "command goes on."
    )
    assert "Traceback" not in shown
    assert "KeyboardInterrupt" not in shown
    assert not alive(hanging.worker)
    kept = list((tmp_path / "root").glob("_run/github/clean/*.receipt.json"))
    assert len(kept) == 2


def test_a_terminal_that_is_closed_stops_the_run(hanging: HangingRun) -> None:
    spare = os.dup(hanging.terminal)
    os.close(hanging.terminal)
    hanging.terminal = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)  # the last: the kernel hangs up
    assert hanging.process.wait(timeout=60) == 129
    assert not alive(hanging.worker)


def test_a_killed_driver_takes_its_workers_along(hanging: HangingRun) -> None:
    pidfd = os.pidfd_open(hanging.worker)
    hanging.process.kill()
    hanging.process.wait()
    assert select.select([pidfd], [], [], 60)[0], "the worker outlives its driver"
    os.close(pidfd)


SECOND = """
import multiprocessing, os, signal
from redpajama_data.io import terminal

def wait():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pause()

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run behind a shell's &
    terminal.catch_signals()
    child = multiprocessing.get_context("fork").Process(target=wait)
    child.start()
    print(child.pid, flush=True)
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except terminal.Stopped as stop:
        print(stop, stop.exit_code, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("not reached", flush=True)
"""


def test_a_second_ctrl_c_ends_at_once_with_the_workers() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SECOND], capture_output=True, text=True, timeout=60, env=environment(), check=False
    )
    pid, said = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (130, "")
    assert said == "stopped (Ctrl-C). Nothing is lost: the same command goes on. 130"
    while alive(int(pid)):
        pass  # until the system has ended it


def test_nohup_is_respected() -> None:
    code = """
import os, signal
from redpajama_data.io import terminal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
terminal.catch_signals()
os.kill(os.getpid(), signal.SIGHUP)
print("goes on")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment(), check=False
    )
    assert (done.returncode, done.stdout) == (0, "goes on\n")
