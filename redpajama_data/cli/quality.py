"""The commands ``rpj quality score`` and ``rpj quality filter``, and the table of scores they print."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import click

from filters.quality import BINS, Histogram, add_histograms
from redpajama_data import api, config
from redpajama_data.cli import options, output
from redpajama_data.engine.receipts import Receipt
from redpajama_data.engine.stages import Planned, RunSettings, Slice, Stage, StageInput
from redpajama_data.whole_run import RunReport, run_parts
from slices.jobs import load
from slices.jobs.quality_filter import histograms


@click.group()
def quality() -> None:
    """Quality of documents by a fastText classifier: score them, drop the low ones."""


@quality.command()
@options.shard_options
@click.option("--model", required=True, metavar="PATH", help="fastText classifier, as `rpj train classifier` makes it.")
@click.option(
    "--label", metavar="NAME", help="The score is the probability of this label. Default: of two, the one beside cc."
)
@click.option("--field", metavar="NAME", help="Field of the meta that gets the score. Default: quality_score.")
def score(
    inputs: tuple[str, ...], model: str, label: str | None, field: str | None, json_out: bool, **rest: Any
) -> None:
    """Add a classifier's score to the meta of each record, of JSONL shards or of what the slices of a root published.

    The score is a probability: with the classifier of the common_crawl slice, that of a page that Wikipedia would cite.
    The shards with it go to DIR/quality_score/SLICE/. How the scores are spread is printed at the end.

    \b
    rpj quality score out --root out --model wikiref.bin
    rpj quality score web/*.jsonl.zst --root scored --model topics.ftz --label science --field science
    """
    settings = {"model": model, "label": label, "field": field}
    report = api.run_job("quality_score", inputs, settings, **rest)
    _show(report.slices[0].receipts["score"], None, err=json_out)
    options.finish(report, json_out=json_out)


@quality.command("filter")
@options.shard_options
@click.option("--min", "limit", type=float, metavar="SCORE", help="Lowest score that stays. Default: 0.25.")
@click.option("--field", metavar="NAME", help="Field of the meta that has the score. Default: quality_score.")
@click.option("--dry-run", is_flag=True, help="Only print how the scores are spread; write nothing.")
def filter_command(
    inputs: tuple[str, ...], limit: float | None, field: str | None, dry_run: bool, json_out: bool, **rest: Any
) -> None:
    """Drop records with a low score, of the shards that `rpj quality score` made or any others with a score.

    First it prints how the scores are spread: documents and bytes a bin, and the share that would stay with its lower
    end as the limit. Then it publishes the others, byte for byte, to DIR/quality_filter/SLICE/. With --json the table
    goes to standard error (with --dry-run it is the JSON).

    \b
    rpj quality filter out/quality_score --root out --min 0.25
    rpj quality filter out/quality_score --root out --min 0.4 --dry-run
    rpj quality filter out/common_crawl --root out --min 0.5 --field wiki_prob
    """
    settings = {"min": limit, "field": field, "input": inputs}
    job = load("quality_filter")
    if dry_run:
        chosen, report = _scores_alone(job, settings, rest)
        receipts = report.slices[0].receipts["scores"]
        if json_out:
            output.echo_json({"min": chosen, "slices": {name: asdict(h) for name, h in histograms(receipts).items()}})
        else:
            _show(receipts, chosen)
        sys.exit(report.exit_code())
    run_config, made = _configured(job, settings, rest)
    shown = replace(job, stages=partial(_stages_shown, job=job, err=json_out))
    report = run_parts([(shown, made)], run_config, quiet=rest["quiet"], prune=rest["prune"])
    options.finish(report, json_out=json_out)


def _configured(job: Slice, settings: Mapping[str, Any], rest: Mapping[str, Any]) -> tuple[config.RunConfig, Any]:
    run_config = config.load_config(None, {key: rest[key] for key in rest if key not in ("prune", "quiet")})
    given = {key: value for key, value in settings.items() if value is not None}
    return run_config, config.slice_settings(job.settings, job.name, run_config, given, None)


def _stages_shown(settings: Any, run: RunSettings, *, job: Slice, err: bool) -> list[Stage]:
    """The job's stages; the scores are printed when they are known, before the second is planned."""
    scores, keep = job.stages(settings, run)

    def plan_tasks(given: StageInput) -> list[Planned]:
        _show(given.receipts[scores.name], settings.min, err=err)
        return keep.plan(given)

    return [scores, replace(keep, plan=plan_tasks)]


def _scores_alone(job: Slice, settings: Mapping[str, Any], rest: Mapping[str, Any]) -> tuple[float, RunReport]:
    """The limit, and the run of the stage that counts scores, on this machine and in a folder that goes."""
    executor = "serial" if rest["executor"] == "serial" else "local"
    with tempfile.TemporaryDirectory(prefix="rpj-") as folder:
        run_config, made = _configured(job, settings, {**rest, "root": folder, "executor": executor})
        first = replace(job, stages=lambda settings, run: job.stages(settings, run)[:1])
        report = run_parts([(first, made)], run_config, quiet=rest["quiet"])
    output.print_trouble(report.slices[0])
    return made.min, report


# ------------------------------------------------------------------------------------------------ the table


def _show(receipts: Sequence[Receipt], limit: float | None, *, err: bool = False) -> None:
    by_slice = histograms(receipts)
    if len(by_slice) > 1:
        whole = Histogram()
        for histogram in by_slice.values():
            whole = add_histograms(whole, histogram)
        by_slice["all slices"] = whole
    for name, histogram in by_slice.items():
        click.echo(render_histogram(name, histogram, limit) + "\n", err=err)


def render_histogram(name: str, histogram: Histogram, limit: float | None) -> str:
    """The scores of a slice as a table, lowest bin first.

    ``kept`` is the share of the scored documents, and of their bytes, that stays with the bin's lower end as the limit.
    The bin that ``limit`` falls into is marked; a limit above 1 or below 0 marks none.
    """
    documents, size = sum(histogram.documents), sum(histogram.bytes)
    lines = [f"{name}: {documents:,} scored documents, {size:,} bytes; {histogram.no_score:,} without a score"]
    lines.append("score        documents             bytes   kept: docs  bytes")
    kept, kept_bytes = documents, size
    for n, (count, total) in enumerate(zip(histogram.documents, histogram.bytes, strict=True)):
        low, high = n / BINS, (n + 1) / BINS
        line = (
            f"{low:.2f}-{high:.2f} {count:13,} {total:17,} {_share(kept, documents):>11} {_share(kept_bytes, size):>7}"
        )
        if limit is not None and low <= limit < high:
            line += f"  <- limit {limit:g}"
        lines.append(line)
        kept, kept_bytes = kept - count, kept_bytes - total
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "n/a"
