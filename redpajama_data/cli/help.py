"""The command ``rpj help``: the documents beside the README, which the package brings with it."""

from __future__ import annotations

from importlib import resources

import click

from redpajama_data.errors import UsageError
from slices import repairs


def topics() -> dict[str, str]:
    """The documents of ``redpajama_data/docs`` by name, as Markdown, and the table of repairs. Each begins with
    ``# title``."""
    folder = resources.files("redpajama_data") / "docs"
    found = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".md")}
    texts = {name.removesuffix(".md"): found[name].read_text(encoding="utf-8") for name in found}
    return dict(sorted({**texts, "repairs": repairs.as_markdown()}.items()))


@click.command("help")
@click.argument("topic", required=False)
@click.pass_context
def help_command(context: click.Context, topic: str | None) -> None:
    """Show what is written beyond the README: formats, operation, recipe and more.

    Without TOPIC it lists them. The name of a command shows its options. On a terminal long texts come in a pager.

    \b
    rpj help
    rpj help format
    """
    documents = topics()
    if topic is None:
        width = max(map(len, documents))
        for name, text in documents.items():
            click.echo(f"{name:{width}}  {text.partition(chr(10))[0].removeprefix('# ')}")
        click.echo("\nNext: rpj help TOPIC, or rpj COMMAND --help")
    elif topic in documents:
        click.echo_via_pager(documents[topic])  # without a terminal it only prints
    else:
        group = context.find_root().command
        command = group.get_command(context, topic) if isinstance(group, click.Group) else None
        if command is None:
            raise UsageError(f"no topic or command is called {topic!r}. The topics are {', '.join(documents)}.")
        with click.Context(command, info_name=topic, parent=context.find_root()) as of_command:
            click.echo(command.get_help(of_command))
