"""The command ``rpj explore``."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import click

from redpajama_data import api
from redpajama_data.cli import options, output
from redpajama_data.defaults import root_here
from redpajama_data.engine.executors import cores
from redpajama_data.errors import UsageError
from redpajama_data.explorer import export as exporting
from redpajama_data.explorer.serve import Server
from redpajama_data.facts import READERS
from redpajama_data.io import storage
from redpajama_data.reports.totals import amount
from slices.jobs.embed import LARGEST


@click.command()
@click.argument("root", required=False)
@click.option("--slice", "slices", multiple=True, metavar="NAME", help="Of this slice only; may be given again.")
@click.option("--job", metavar="NAME", help="Of what this job left (exact, fuzzy, ...), not of what slices published.")
@click.option("--documents", type=click.IntRange(1), metavar="N", help="On the map. Default: 100000; most: 200000.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Another seed draws other documents. Default: 0.")
@click.option(
    "--clusters", type=click.IntRange(1, 1000), metavar="N", help="Default: by the number of documents, 60 at most."
)
@click.option("--model", metavar="PATH", help="Vectors by a model: fastText, SentencePiece, sentence-transformers.")
@click.option(
    "--dropped", type=click.IntRange(0, 20_000), default=0, metavar="N", help="Also so many that slices dropped."
)
@click.option("--export", "to", default="explorer", show_default=True, metavar="DIR", help="Where the page goes.")
@click.option("--parquet", metavar="FILE", help="Also a table: x, y, neighbours, and what is known. Needs pyarrow.")
@click.option("--serve", is_flag=True, help="Serve the page on this machine, with the texts of more than 20,000.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Of --serve. Default: a free one.")
@options.run_options
def explore(
    root: str | None,
    slices: tuple[str, ...],
    job: str | None,
    documents: int | None,
    seed: int | None,
    clusters: int | None,
    model: str | None,
    dropped: int,
    to: str,
    parquet: str | None,
    serve: bool,
    port: int,
    quiet: bool,
    json_out: bool,
    workers: int | None,
    **rest: Any,
) -> None:
    """See what is in ROOT (default: out): a map of its documents.

    Documents with the same words lie close together. DIR/explorer.html shows them: colours, filters, search, lasso,
    neighbours, and each document with where it is from. It opens from disk and asks for nothing. Beyond 20,000
    documents it holds no texts; --serve has them, for this machine only. Of more documents than --documents an exact
    sample is shown, the same one each time.

    \b
    rpj explore out
    rpj explore out --slice github --documents 20000 --export map-github
    rpj explore out --parquet map.parquet
    rpj explore out --dropped 2000
    rpj explore out --serve
    """
    root = root_here(root)
    if dropped and model is not None:
        raise UsageError("--dropped places texts by their words, and not by a model. Leave --model out.")
    settings = {"slices": slices or None, "documents": documents, "seed": seed, "clusters": clusters, "model": model}
    place = storage.join(root, job) if job else root
    report = api.run_job("embed", place, settings, root=root, workers=workers, quiet=quiet or json_out, **rest)
    (part,) = report.slices
    output.print_trouble(part)
    if part.receipts.get("map") is None:
        sys.exit(report.exit_code() or 1)
    made = exporting.export(root, to, parquet=parquet, workers=workers or cores(), dropped=dropped, readers=READERS)
    if json_out:
        output.echo_json({**asdict(made), "parquet": parquet})
    else:
        most = f" (a map holds {LARGEST:,})" if (documents or 0) > LARGEST else ""
        sampled = f", a sample of {made.of:,}{most}" if made.of > made.documents else ""
        sampled += f", and {made.dropped:,} of {made.dropped_of:,} dropped ones" if dropped else ""
        click.echo(f"{made.page}: {made.documents:,} documents{sampled}, {amount(made.files[made.page])}B")
        if made.beside and not serve:
            click.echo(f"Texts lie beside it. To read them: rpj explore {root} --export {to} --serve")
    if serve:
        with Server(to, port) as server, suppress(KeyboardInterrupt):
            click.echo(f"{server.url}  (this machine only; Ctrl-C ends it)", err=json_out)
            server.serve_forever()
    sys.exit(report.exit_code())
