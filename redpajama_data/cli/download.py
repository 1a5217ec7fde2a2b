"""The command ``rpj download``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from redpajama_data import config
from redpajama_data.cli import output_download
from redpajama_data.cli.options import json_option
from redpajama_data.defaults import RAW, config_here
from redpajama_data.download import acquire
from redpajama_data.download import plan as plans
from redpajama_data.download.addresses import Addresses, host_of
from redpajama_data.download.client import Client
from redpajama_data.download.fetch import Options
from redpajama_data.download.hosts import Hours, Rate
from redpajama_data.download.manners import manners_of
from redpajama_data.download.plan import Plan
from redpajama_data.errors import BrokenInput, UsageError
from redpajama_data.sample import is_sample
from slices.sources import NAMES, load


@click.command()
@click.argument("names", nargs=-1, metavar="SLICE...")
@click.option("--all", "every", is_flag=True, help="Every slice; one that cannot be had is named and left out.")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="Configuration of the run: dumps, languages, sites. Default: as rpj run.",
)
@click.option("--to", default=RAW, show_default=True, metavar="DIR_OR_URL", help="Where to: into its <slice>/.")
@click.option("--by-way-of", default=RAW, metavar="DIR", help="With a URL: the disk that files come to first.")
@click.option("--dry-run", is_flag=True, help="Say what would be fetched: size, disk, time, money, licences.")
@click.option("--dumps", metavar="LIST", help="Common Crawl: dumps, as 2023-06,2022-05.")
@click.option("--shards", metavar="RANGES", help="Common Crawl: CCNet shards of each dump, as 0-9.")
@click.option("--langs", metavar="LIST", help="Wikipedia, Project Gutenberg: languages, as en,de.")
@click.option("--date", metavar="YYYYMMDD", help="Wikipedia, Stack Exchange: date of the dump.")
@click.option("--sites", metavar="LIST", help="Stack Exchange: sites, as cs.stackexchange.com.")
@click.option("--collections", metavar="LIST", help="Books: pg19 (default), gutenberg.")
@click.option("--bucket", metavar="NAME", help="GitHub: your bucket of Google Cloud Storage.")
@click.option("--project", metavar="NAME", help="GitHub: your project, for the query.")
@click.option("--free", is_flag=True, help="arXiv: from a copy on the hub, where it is the same file.")
@click.option("--manifest", metavar="FILE", help="arXiv: a copy of the manifest, instead of S3's.")
@click.option("--by-hand", is_flag=True, help="Check the files that you placed in DIR/<slice>/; ask nobody.")
@click.option("--files", metavar="GLOB", help="Only files of such a name.")
@click.option(
    "--sample", type=click.IntRange(1), metavar="N", help="The first N files (of each dump); with --seed N at random."
)
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Chance of --sample.")
@click.option("--renew", is_flag=True, help="List anew, instead of the version that an earlier run listed.")
@click.option("--rate", metavar="SIZE", help="Bytes a second at most, as 50M.")
@click.option("--max-bytes", metavar="SIZE", help="Begin no file beyond so many bytes, as 100G; for each slice.")
@click.option("--hours", default="", metavar="FROM-TO", help="Only at these hours of the day, as 22-06.")
@click.option("--connections", type=click.IntRange(1), metavar="N", help="To each host, instead of what suits it.")
@click.option("--contact", default="", metavar="ADDRESS", help="Who may be written to; also $RPJ_CONTACT.")
@click.option("--accept-licence", "licences", multiple=True, metavar="NAME", help="A licence that you accept.")
@click.option("--accept-cost", "usd", type=float, default=0.0, metavar="USD", help="Money that it may take in all.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def download(
    names: tuple[str, ...],
    every: bool,
    config_path: str | None,
    to: str,
    by_way_of: str,
    dry_run: bool,
    renew: bool,
    rate: str | None,
    max_bytes: str | None,
    hours: str,
    connections: int | None,
    contact: str,
    licences: tuple[str, ...],
    usd: float,
    quiet: bool,
    json_out: bool,
    **selection: Any,
) -> None:
    """Fetch the raw files of slices, as the recipe takes them, for `rpj run` to read.

    The same command again fetches what is missing, of the same version. A file appears when it is whole and checked.
    Exit status 3: some could not be had; the next run tries them again. More: rpj help download.

    \b
    rpj download --all --dry-run
    rpj download common_crawl --dumps 2023-06 --shards 0-9
    rpj download wikipedia --langs en,de --date 20230320 --contact me@example.org
    rpj download arxiv --accept-licence arxiv --accept-cost 500 --rate 50M --hours 22-06
    """
    if every == bool(names):
        raise UsageError(f"which slice? Give one or more of {', '.join(NAMES)}, or --all.")
    place, (to, store) = to, acquire.places(to, by_way_of)  # where a slice is read; where files come to, and go on to
    if not dry_run and is_sample(to):
        raise UsageError(
            f"{to} holds the sample, and true files beside it would be run as one. Give --to another folder."
        )
    run_config = config.load_config(config_here(config_path), {})
    sources = [load(name) for name in (NAMES if every else dict.fromkeys(names))]
    given = {key: value for key, value in selection.items() if value not in (None, False)}
    options = Options(_size("--rate", rate), _size("--max-bytes", max_bytes), hours, quiet or json_out)
    left_out: dict[str, str] = {}
    with Client(Addresses(run_config.addresses), contact=contact, connections=connections) as client:
        Rate(options.rate, client.clock)
        Hours(hours, client.clock)  # both raise for what is none, before a listing takes minutes
        asked = acquire.asked_of(sources, given, run_config)
        not_had = left_out if every else None
        found = acquire.plan_all(asked, to, client, store=store, renew=renew, dry=dry_run, left_out=not_had)
        stands = [stand for _, stand in found]
        if dry_run:
            output_download.print_dry(stands, to, options.rate, left_out, as_json=json_out)
            return
        for stand in stands:
            if stand.here.missing and not options.quiet:
                click.echo(f"{stand.plan.slice}: {stand.plan.version or 'unknown version'}", err=True)
                output_download.print_terms(stand.plan, err=True)
        _warn_of_connections(connections, [stand.plan for stand in stands], to)
        acquire.allow(stands, to, licences, usd, options.max_bytes)
        reports = acquire.fetch_all(found, to, options, client, not_had)
    output_download.print_reports(reports, stands, left_out, to, place, as_json=json_out)
    lost = left_out or any(stand.plan.absent for stand in stands)
    sys.exit(max([BrokenInput.exit_code if lost else 0, *(report.exit_code for report in reports)]))


def _warn_of_connections(connections: int | None, plan: Sequence[Plan], to: str) -> None:
    """Say which hosts are asked with more connections than suits them."""
    if connections is None:
        return
    files = (wanted for each in plan for wanted in plans.wanted_files(to, each.slice))
    hosts = sorted({host_of(url) for wanted in files for url in (wanted.url, *wanted.mirrors)})
    for host in hosts:
        own = manners_of(host).connections
        if connections > own:
            click.echo(f"rpj: --connections {connections}: {host} gets {own}; more may get you blocked.", err=True)


def _size(option: str, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        size = config.parse_size(value)
    except ValueError as error:
        raise UsageError(f"{option} {value}: {error}.") from error
    if size <= 0:
        raise UsageError(f"{option} {value}: expected more than nothing.")
    return size
