"""The command line: each command parses, calls one library function, prints. Only the commands know the slices."""

from __future__ import annotations

import errno
import importlib
import os
import tempfile
import traceback
from typing import Any

import click

from redpajama_data.errors import RpjError
from redpajama_data.io.credentials import shown
from redpajama_data.io.terminal import Stopped

SECTIONS = {  # of the help, in its order; name: module of redpajama_data.cli, and what it is called there
    "Acquire raw files": {
        "sample": ("sample", "sample"),
        "download": ("download", "download"),
    },
    "Run": {
        "plan": ("plan", "plan"),
        "run": ("run", "run"),
    },
    "Look at what came out": {
        "status": ("root", "status"),
        "explain": ("root", "explain"),
        "count-tokens": ("root", "count_tokens"),
        "verify": ("root", "verify"),
        "diff": ("totals", "diff"),
        "report": ("report", "report"),
        "explore": ("explore", "explore"),
    },
    "Jobs over the shards of every slice": {
        "dedup": ("dedup", "dedup"),
        "overlap": ("overlap", "overlap"),
        "quality": ("quality", "quality"),
        "signals": ("signals", "signals"),
        "redpajama-v2": ("redpajama_v2", "redpajama_v2"),
        "filter": ("filter", "filter_command"),
        "decontaminate": ("decontaminate", "decontaminate"),
        "tokenize": ("tokenize", "tokenize"),
    },
    "Give it to others": {
        "release": ("release", "release"),
        "find": ("find", "find"),
        "forget": ("forget", "forget"),
    },
    "Models": {
        "models": ("models", "models_group"),
        "train": ("models", "train"),
        "extract": ("models", "extract"),
    },
    "Read on": {
        "help": ("help", "help_command"),
    },
}
SENTENCE = 82  # characters of the first sentence of a command's help; longer ones would be cut in the list
COMMANDS = {name: place for commands in SECTIONS.values() for name, place in commands.items()}


class Group(click.Group):
    """Loads a command when it is asked for (all of them take a second), prints the project's errors in one piece,
    without a traceback, and exits with their status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under :data:`SECTIONS`, each with the first sentence of its help."""
        width = max(map(len, COMMANDS))
        for title, names in SECTIONS.items():
            found = [(name, one) for name in names if (one := self.get_command(ctx, name)) is not None]
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), one.get_short_help_str(SENTENCE)) for name, one in found])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"redpajama_data.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, with every error shown to the user in one piece: see :func:`message_of`."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("RPJ_DEBUG", "") not in ("", "0") and not isinstance(error, RpjError | KeyboardInterrupt):
                raise
            message, status = message_of(error)
            click.echo(f"rpj: {shown(message)}", err=True)
            ctx.exit(status)


# What the system says of itself, and not of a file that a command was given.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_MORE_FILES = {errno.EMFILE, errno.ENFILE}
MACHINE = 5  # exit status when this machine, and not what was asked of it, is in the way


def message_of(error: BaseException) -> tuple[str, int]:
    """What the user is told of an error, ending in what to do, and the exit status.

    Errors of the project carry both. An error of the system that no module turned into one of the project is told as
    it is. Anything else is a defect: its traceback goes into a file, to be reported; RPJ_DEBUG=1 shows it at once.
    """
    if isinstance(error, RpjError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        stop = error if isinstance(error, Stopped) else Stopped()
        return str(stop), stop.exit_code
    if isinstance(error, MemoryError):
        return "out of memory. Give fewer --workers, or run on a machine with more, then run again.", MACHINE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        said = error.strerror or str(error) or type(error).__name__
        if error.errno in _FULL:
            then = "Free some space, then run the same command again"
        elif error.errno in _NO_MORE_FILES:
            then = "Raise the limit of open files (ulimit -n), then run the same command again"
        else:
            then = "Mend that, then run the same command again"
        return f"{where}{said}. {then}; RPJ_DEBUG=1 shows where it happened.", MACHINE
    return f"{type(error).__name__}: {error}. This is a defect of rpj. {_report(error)}", 1


def _report(error: BaseException) -> str:
    """Keep the traceback of a defect; what the user is to do with it."""
    trace = shown("".join(traceback.format_exception(error)))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="rpj-defect-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(trace)
    except OSError:
        return f"Please report it with this:\n{trace}"
    return f"Please report it with {file.name}, which says where it happened."


# color: click passes on what it is given, and the stream shows it (redpajama_data.io.terminal), also in a pipe.
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "color": True}


@click.group(cls=Group, context_settings=_SETTINGS)
@click.version_option(package_name="redpajama-data")
def cli() -> None:
    """Reproduce the LLaMA pre-training corpus, RedPajama-Data-1T.

    \b
    Try it:    rpj sample && rpj run --all
    Totals:    rpj count-tokens
    One slice: rpj run --slice github --input 's3://bucket/github_*.gz' --root out

    Exit status: 0 done, 1 a check failed, roots differ or a defect, 2 wrong usage or missing model, 3 done but shards
    were quarantined or broken, 4 root in use, 5 root cannot be written or the machine fails, 6 done but standard output
    could not be written, 7 no worker or cluster left, 130 Ctrl-C, 143 SIGTERM.
    """
