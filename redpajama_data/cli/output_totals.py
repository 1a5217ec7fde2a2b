"""What ``rpj count-tokens`` prints: totals beside the published ones, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence

import click

from redpajama_data.cli.output import echo_json
from redpajama_data.errors import UsageError
from redpajama_data.io.terminal import in_one_line
from redpajama_data.models.tokens import load_tokenizer
from redpajama_data.reports import against_table, language_totals, waterfall_table
from redpajama_data.reports.against import Gap, explain_gaps
from redpajama_data.reports.count import only_root
from redpajama_data.reports.language_totals import LanguageTotals
from redpajama_data.reports.published import REFERENCES
from redpajama_data.reports.root_status import root_totals
from redpajama_data.reports.totals import SliceTotals, check, parse_percent
from redpajama_data.reports.totals_table import render, summary
from redpajama_data.reports.waterfall import waterfalls


def print_totals(
    totals: Sequence[SliceTotals],
    tokenizer: str,
    tolerance: str | None,
    *,
    as_json: bool,
    places: Sequence[str] = (),
    recounted_with: str | None = None,
    against: str | None = None,
) -> list[str]:
    """Print totals beside the published ones; with ``tolerance`` ("5%") check them. Returns what is off, a sentence
    each.

    When ``places`` are a root, its waterfalls come first; ``against`` (redpajama-1t or llama) then adds why each slice
    differs from the published total; redpajama-v2 adds its table, by language. ``recounted_with`` names the tokenizer
    when it is not that of the receipts.
    Raises :class:`UsageError` for ``against`` without a root.
    """
    failures = check(totals, parse_percent(tolerance)) if tolerance is not None else []
    root = only_root(places)
    falls = waterfalls(root) if root is not None else []
    gaps: list[Gap] = []
    languages: dict[str, LanguageTotals] = {}
    if against is not None:
        if root is None:
            raise UsageError("--against needs the root of a run: what was left out is in its receipts, not in files.")
        if against in REFERENCES:
            by = {load_tokenizer(recounted_with).sha256} if recounted_with else root_totals(root)[1]
            gaps = explain_gaps(root, totals, by, REFERENCES[against])
        elif recounted_with:
            raise UsageError("--against redpajama-v2 takes the tokens that the run counted: leave out --tokenizer.")
        else:
            languages = language_totals.of_root(root)
    unread = [part for part in totals if part.unread]
    if as_json:
        shown = {**summary(totals, tokenizer), "waterfalls": waterfall_table.plain(falls), "failures": failures}
        shown["unread"] = [{"slice": x.slice, "lines": x.unread, "first": x.first_unread} for x in unread]
        if languages:
            shown["against"] = language_totals.plain(languages)
        elif against is not None:
            shown["against"] = against_table.plain(gaps, REFERENCES[against])
        echo_json(shown)
    else:
        if falls:
            click.echo(waterfall_table.render(falls) + "\n")
        if recounted_with and falls:
            click.echo("The tokens above are as the run counted them; those below were counted now.\n")
        click.echo(render(totals, tokenizer) if totals else "No slice was run in this root: the jobs are above.")
        if languages:
            click.echo("\n" + language_totals.render(languages, tokenizer))
        elif against is not None:
            click.echo("\n" + against_table.render(gaps, REFERENCES[against]))
        for failure in failures:
            click.echo(f"check failed: {failure}", err=True)
    for part in unread:
        first = in_one_line(part.first_unread)
        click.echo(f"not counted in {part.slice}: {part.unread:,} lines, the first {first}", err=True)
    return failures
