"""The command ``rpj tokenize``: token ids to train on."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from redpajama_data import api
from redpajama_data.cli import options
from redpajama_data.cli.output import echo_json, print_trouble
from redpajama_data.config import read_model
from redpajama_data.errors import UsageError
from redpajama_data.io import storage
from redpajama_data.reports.aligned import aligned
from redpajama_data.reports.totals import amount


@click.command()
@options.run_options
@click.option("--root", metavar="DIR", help="Where to write. Default: INPUT, when it is the root of a run.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["megatron", "uint", "mds"]),
    help="megatron: .bin and .idx; uint: .ds; mds: MosaicML's shards.",
)
@click.option(
    "--mixture", metavar="FILE", help="YAML: tokens, and shares or epochs of each slice. Default: all, in order."
)
@click.option("--tokens", metavar="N", help="Tokens in all, instead of those of the mixture, as 800B.")
@click.option("--seed", type=int, help="Of the order and of the part of an epoch. Default: 0.")
@click.option(
    "--held-out", type=float, metavar="SHARE", help="Share of the documents kept out of training. Default: 0."
)
@click.option("--end", metavar="TOKEN", help="Token after each document. Default: <|endoftext|> or </s>.")
@click.option("--sequence", type=int, help="Tokens a trainer reads at once; of mds, a sample. Default: 2048.")
@click.argument("inputs", nargs=-1, required=True, metavar="ROOT | INPUT...")
def tokenize(
    inputs: tuple[str, ...],
    root: str | None,
    form: str | None,
    mixture: str | None,
    tokens: str | None,
    seed: int | None,
    held_out: float | None,
    end: str | None,
    sequence: int | None,
    json_out: bool,
    **rest: Any,
) -> None:
    """Token ids to train on: a prefix a slice, or a shuffled mixture.

    INPUT is JSONL shards, or the root of a run: what its slices published. Ids are those of --tokenizer, with one
    document end after each document; a text that spells out the end gives ordinary tokens. Prefixes go to
    DIR/tokenize/, with tokens.json: tokenizer, counts, SHA-256, and what the mixture asked and got.

    \b
    rpj tokenize out
    rpj tokenize out --mixture mixture-llama.yaml --tokens 100000 --seed 1 --held-out 0.01 --root mixed
    """
    root = options.root_or_input(root, inputs)
    settings: dict[str, Any] = {"format": form, "seed": seed, "held_out": held_out, "end": end, "sequence": sequence}
    if mixture is not None:
        from slices.jobs.tokenize_mixture import Mixture

        read = read_model(Mixture, mixture)
        settings["mixture"] = {**read.model_dump(), **({"tokens": tokens} if tokens else {})}
    elif tokens:
        raise UsageError("--tokens is of a mixture. Give --mixture FILE with the shares of the slices.")
    report = api.run_job("tokenize", inputs, settings, root=root, **rest)
    (part,) = report.slices
    print_trouble(part)
    for receipt in part.receipts.get("report", []):
        data = storage.read_bytes(storage.join(root, receipt.outputs["exported:tokens.json"].path))
        found = msgspec.json.decode(data or b"{}")
        if json_out:
            echo_json(found)
        else:
            click.echo(render(found))
            click.echo(f"{storage.join(root, 'tokenize', 'tokens.json')} has files, checksums and counts.")
    sys.exit(report.exit_code())


def render(found: dict[str, Any]) -> str:
    """The tables of a report: slices, then prefixes."""
    mixed = any("asked" in part for part in found["slices"].values())
    head = ["slice", "documents", "tokens", "share", *(["asked", "epochs"] if mixed else [])]
    rows = [head]
    for name, part in found["slices"].items():
        row = [name, f"{part['documents']:,}", amount(part["tokens"]), f"{part['share']:.1%}"]
        rows.append([*row, *([amount(part["asked"]), f"{part['epochs']:.2f}"] if mixed else [])])
    lines = [*aligned(rows), ""]
    rows = [["prefix", "documents", "tokens", "dropped by the last window"]]
    for prefix in found["prefixes"]:
        numbers = (prefix["documents"], prefix["tokens"], prefix["dropped_by_last_window"])
        rows.append([prefix["name"], *(f"{number:,}" for number in numbers)])
    lines += [*aligned(rows), ""]
    lines.append(
        f"{found['dtype']} ids of {found['tokenizer']['name']}; {found['end']['token']} (id {found['end']['id']}) ends "
        "each document, and is counted."
    )
    if texts := found["encoded"]["spelled_out"]:
        lines.append(
            f"{texts} documents spell out {found['end']['token']}: as ordinary tokens they have "
            f"{found['encoded']['spelled_out_tokens']} more than count-tokens says."
        )
    return "\n".join(lines)
