"""The command line: each command parses, calls one library function, prints. Only the commands know the slices."""

from __future__ import annotations

import importlib
from typing import Any

import click

from redpajama_data.errors import RpjError

COMMANDS = {  # name: module of redpajama_data.commands, and what it is called there; in the order of the help
    "run": ("run", "run"),
    "status": ("root", "status"),
    "verify": ("root", "verify"),
    "explain": ("root", "explain"),
    "count-tokens": ("root", "count_tokens"),
    "diff": ("totals", "diff"),
    "dedup": ("dedup", "dedup"),
    "overlap": ("overlap", "overlap"),
    "quality": ("quality", "quality"),
    "signals": ("signals", "signals"),
    "filter": ("filter", "filter_command"),
    "models": ("models", "models_group"),
    "train": ("models", "train"),
    "extract": ("models", "extract"),
    "sample": ("sample", "sample"),
}


class Group(click.Group):
    """Loads a command when it is asked for (all of them take a second), prints the project's errors in one piece,
    without a traceback, and exits with their status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"redpajama_data.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, with :class:`RpjError` shown to the user."""
        try:
            return super().invoke(ctx)
        except RpjError as error:
            click.echo(f"rpj: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("rpj: stopped. Nothing is lost: the same command goes on where it stopped.", err=True)
            ctx.exit(130)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="redpajama-data")
def cli() -> None:
    """Reproduce the LLaMA pre-training corpus, RedPajama-Data-1T.

    \b
    Try it:   rpj sample sample && rpj run --all --config sample/rpj.yaml --root out
    One slice: rpj run --slice github --input 'raw/github_*.gz' --root out
    Totals:    rpj count-tokens out

    Exit status: 0 done, 1 a check failed or roots differ, 2 wrong usage or missing model, 3 done but shards were
    quarantined or broken, 4 root in use, 5 root cannot be written.
    """
