"""The command ``rpj filter``."""

from __future__ import annotations

from typing import Any

import click

from redpajama_data import api
from redpajama_data.cli import options


@click.command("filter")
@options.shard_options
@click.option("--where", required=True, metavar="CONDITION", help="What a record must meet to stay.")
def filter_command(inputs: tuple[str, ...], where: str, json_out: bool, **rest: Any) -> None:
    """Keep the records that meet a condition, of JSONL shards or what a root published.

    A condition compares (== != < <= > >= in, not in) and joins with and, or, not and brackets. It may name the
    RedPajama-V2 signals of a document (rps_doc_word_count, ...: computed on the way), text_length (characters), and
    fields of the meta (meta.url, meta.a.b, meta["date download"]). What a record does not have is null: it equals only
    null, and < <= > >= with it are false. Records that stay pass byte for byte, into DIR/filter/SLICE/; the ledger has
    the values of every one that does not (rpj explain).

    \b
    rpj filter out --root out --where 'rps_doc_word_count >= 50 and rps_doc_frac_unique_words > 0.1'
    rpj filter web/*.jsonl.zst --root kept --where 'meta.language in ["en", "de"] and not text_length > 1e6'
    rpj filter web --root kept --where 'meta.license == null or "wiki" in meta.url'
    """
    report = api.run_job("filter", inputs, {"where": where}, **rest)
    options.finish(report, json_out=json_out)
