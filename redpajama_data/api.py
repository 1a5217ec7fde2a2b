"""The Python API: what each command of ``rpj`` does, as one function. ``import redpajama_data`` has them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from redpajama_data import config as configuration
from redpajama_data.config import SliceSettings
from redpajama_data.defaults import RAW, ROOT, config_here, input_here, root_here
from redpajama_data.document import Document
from redpajama_data.engine.run_slice import list_inputs
from redpajama_data.engine.stages import RunSettings, Slice
from redpajama_data.errors import UsageError
from redpajama_data.reports import documents, explanation, manifest, root_status
from redpajama_data.reports.explanation import Fate
from redpajama_data.reports.root_status import SliceStatus
from redpajama_data.reports.totals import SliceTotals
from redpajama_data.whole_run import RunReport, run_parts
from slices import NAMES, load, sources
from slices.jobs import load as load_job

# What one function alone needs, and takes long to import, is imported there: a run starts without it.
if TYPE_CHECKING:
    from redpajama_data.download.report import FetchReport, Options
    from redpajama_data.planning.whole import Plan
    from redpajama_data.report_page.collect import Report

Parts = list[tuple[Slice, SliceSettings]]


def run(
    slices: str | Iterable[str] | None = None,
    *,
    config: str | None = None,
    input: str | Iterable[str] = (),
    root: str | None = None,
    jobs: Iterable[str] = (),
    settings: Mapping[str, Any] | None = None,
    quiet: bool = True,
    prune: bool = False,
    left_out: Callable[[str], None] | None = None,
    **options: Any,
) -> RunReport:
    """Run slices, then jobs over what they published: ``rpj run``.

    ``slices`` are names; None means all that have input, and ``left_out`` is told, a sentence each, of the others.
    ``config`` is a YAML file (default: rpj.yaml or raw/rpj.yaml of the current folder, if there), ``input`` raw files,
    globs, folders or URLs (default: what ``config`` says, else raw/<slice>; with several slices a folder with a
    subfolder a slice), ``root`` where to write (default: what ``config`` says, else out). ``settings`` are thresholds:
    ``{"max_line_length": 3000}``, or ``{"github.max_line_length": 3000}`` for one of several. ``options`` are fields of
    :class:`~redpajama_data.config.RunConfig`: workers, memory, executor, tokenizer and the like; None is the default.

    Raises :class:`UsageError` and what :func:`~redpajama_data.whole_run.run_parts` raises, before the first task; what
    goes wrong with single raw files is in the report, and its ``exit_code()`` is that of the command.
    """
    path = config_here(config)
    places = [input] if isinstance(input, str) else list(input)
    names = NAMES if slices is None else [slices] if isinstance(slices, str) else list(dict.fromkeys(slices))
    chosen = [load(name) for name in names]
    run_config = configuration.load_config(path, options)
    job_parts = [load_job(name) for name in dict.fromkeys((*run_config.jobs, *jobs))]
    models = {part.name: part.settings for part in (*chosen, *job_parts)}
    run_settings, settings_of = configuration.split_settings(settings or {}, models)
    run_config = configuration.load_config(path, {**options, **run_settings, "root": root})
    run_config = run_config.model_copy(update={"root": run_config.root or ROOT})
    for name in run_config.slices:
        load(name)
    parts: Parts = []
    for part in chosen:
        given = dict(settings_of[part.name])
        if places:
            given["input"] = [f"{place.rstrip('/')}/{part.name}" for place in places] if len(chosen) > 1 else places
        elif not run_config.slices.get(part.name, {}).get("input"):
            given = {"input": input_here(part.name), **given}
        parts.append((part, configuration.slice_settings(part.settings, part.name, run_config, given, path)))
    if slices is None:
        parts = _with_input(parts, given=bool(places), left_out=left_out)
    for job in job_parts:
        made = configuration.slice_settings(job.settings, job.name, run_config, settings_of[job.name], path)
        parts.append((job, made))
    return run_parts(parts, run_config, quiet=quiet, prune=prune)


def fetch(
    slices: str | Iterable[str] | None = None,
    *,
    config: str | None = None,
    to: str = RAW,
    by_way_of: str = RAW,
    accept_licences: Iterable[str] = (),
    accept_usd: float = 0.0,
    limits: Options | None = None,
    contact: str = "",
    renew: bool = False,
    left_out: dict[str, str] | None = None,
    **selection: Any,
) -> list[FetchReport]:
    """Fetch the raw files of slices into ``<to>/<slice>``: ``rpj download``, what of each came and what did not.

    ``slices`` are names; None means all, and those that cannot be had are named in ``left_out``. ``selection`` is what
    the options of the command select (``dumps=["2023-06"]``, ``sample=2``), ``accept_licences`` names and
    ``accept_usd`` dollars are accepted, ``limits`` bound the run. Raises :class:`UsageError` for what is not accepted,
    and what :func:`redpajama_data.download.acquire.fetch_all` raises.
    """
    from redpajama_data.download import acquire
    from redpajama_data.download.addresses import Addresses
    from redpajama_data.download.client import Client
    from redpajama_data.download.report import Options

    names = NAMES if slices is None else [slices] if isinstance(slices, str) else list(dict.fromkeys(slices))
    run_config = configuration.load_config(config_here(config), {})
    asked = acquire.asked_of([sources.load(name) for name in names], selection, run_config)
    folder, store = acquire.places(to, by_way_of)
    limits = limits or Options(quiet=True)
    missed = ({} if left_out is None else left_out) if slices is None else None
    with Client(Addresses(run_config.addresses), contact=contact) as client:
        found = acquire.plan_all(asked, folder, client, store=store, renew=renew, left_out=missed)
        stands = [stand for _, stand in found]
        acquire.allow(stands, folder, list(accept_licences), accept_usd, limits.max_bytes)
        return acquire.fetch_all(found, folder, limits, client, missed)


def plan(
    config: str | None = None,
    *,
    slices: str | Iterable[str] | None = None,
    cores: int | None = None,
    memory: int | None = None,
    disk: int | None = None,
    bandwidth: float | None = None,
    here: bool = False,
    seconds: float = 60.0,
    said: Callable[[str], None] = lambda line: None,
) -> Plan:
    """What a run of a configuration will take: ``rpj plan``. Every stage is measured on a sample and reckoned to the
    size of the sources; nothing is fetched.

    ``slices`` are names; None means those of the configuration. ``cores``, bytes of ``memory`` and ``disk``, and bytes
    a second of ``bandwidth`` are the machine's; None: this one's. With ``here`` the raw files that are here are all
    that is planned. ``seconds`` bounds the measuring, ``said`` is told what is measured now. What cannot be planned is
    in ``left_out``. Raises :class:`UsageError` and :class:`MissingModel`.
    """
    from redpajama_data.models.tokens import resolve_tokenizer
    from redpajama_data.planning.whole import plan_run
    from slices import planned

    path = config_here(config)
    run_config = configuration.load_config(path, {})
    counter = resolve_tokenizer(run_config.tokenizer)
    common = RunSettings(counter, max_malformed=1.0)  # what is cut ends amid a record
    machine = planned.machine_of(cores, memory, disk, bandwidth, run_config.root or ROOT)
    wanted, jobs = planned.parts_of(run_config, path, slices, map(load_job, run_config.jobs), common, here=here)
    return plan_run(wanted, jobs, machine, seconds=seconds, said=said)


def _with_input(parts: Parts, *, given: bool, left_out: Callable[[str], None] | None) -> Parts:
    """The slices that have input. A slice without any ``input`` is left out; with ``given`` (one folder for all) also
    one whose subfolder is not there: Books3, for one, is no longer distributed.

    Raises :class:`UsageError` when no slice has input.
    """
    kept: Parts = []
    for part, settings in parts:
        reason = None if settings.input else "no input configured."
        if settings.input and given:
            try:
                list_inputs(part, settings.input)
            except UsageError as error:
                reason = str(error)
        if reason is None:
            kept.append((part, settings))
        elif left_out is not None:
            left_out(f"{part.name} is left out: {reason}")
    if not kept:
        raise UsageError(
            "no slice has input. Try it on the sample: rpj sample. Or get raw files (rpj download --all), give --input "
            "DIR with a subfolder a slice, or --config FILE."
        )
    return kept


def run_job(
    name: str,
    inputs: str | Iterable[str],
    settings: Mapping[str, Any] | None = None,
    *,
    root: str | None = None,
    quiet: bool = True,
    prune: bool = False,
    **options: Any,
) -> RunReport:
    """Run one job alone over shards, or over what the slices of a root published: ``rpj dedup exact`` and its like.

    ``settings`` are the job's own, ``options`` as for :func:`run`; None is the default. Raises what :func:`run` raises.
    """
    places = [inputs] if isinstance(inputs, str) else list(inputs)
    made = job_settings(name, places, settings or {})
    run_config = configuration.load_config(None, {**options, "root": root_here(root)})
    return run_parts([(load_job(name), made)], run_config, quiet=quiet, prune=prune)


def job_settings(name: str, inputs: Sequence[str], settings: Mapping[str, Any]) -> Any:
    """The settings of a job over shards, validated; None is the default. Raises :class:`UsageError`."""
    given = {key: value for key, value in settings.items() if value is not None}
    none = configuration.load_config(None, {})
    return configuration.slice_settings(load_job(name).settings, name, none, {**given, "input": inputs}, None)


def status(root: str | None = None) -> list[SliceStatus]:
    """How far every slice and job of a root is: ``rpj status``. Raises :class:`UsageError` when no run was there."""
    return root_status.status(root_here(root))


def verify(root: str | None = None) -> Iterator[tuple[str, str | None]]:
    """Check every file of a root: ``rpj verify``. Yields what was checked and the problem, None when there is none."""
    from redpajama_data.release import forget

    place = root_here(root)
    return itertools.chain(root_status.verify(place), manifest.check(place), forget.check(place))


def explain(root: str | None, doc_id: str) -> list[Fate]:
    """What became of a raw record: ``rpj explain``. More than one when jobs went on with it, or when it left in parts.

    Raises :class:`UsageError` when the root has no such record.
    """
    return explanation.explain(root_here(root), doc_id)


def totals(root: str | None = None) -> list[SliceTotals]:
    """Documents, bytes, characters and tokens of every slice of a root: ``rpj count-tokens``."""
    return root_status.root_totals(root_here(root))[0]


def report(
    root: str | None = None, *, out: str = "report.html", against: str | None = None, examples: int = 2
) -> Report:
    """Write one HTML page about a root: ``rpj report``. Gives what the page shows, as data.

    ``against`` is another root to show beside it. ``examples`` are shown on each side of a rule; 0: no text of any
    document. Raises :class:`UsageError` when a root is none, :class:`BrokenInput` for a damaged shard or ledger,
    :class:`StorageError` when the page cannot be written.
    """
    # Here, since numpy and Jinja take a quarter of a second that no other command needs.
    from redpajama_data.facts import READERS, facts
    from redpajama_data.io import storage
    from redpajama_data.report_page.collect import collect
    from redpajama_data.report_page.drops import MOST_EXAMPLES
    from redpajama_data.report_page.page import fitted

    if not 0 <= examples <= MOST_EXAMPLES:
        raise UsageError(f"examples: {examples} of a rule. Give 0 to {MOST_EXAMPLES}.")
    page, shown = fitted(collect(root_here(root), facts(), READERS, count=examples, against=against))
    storage.write_bytes(out, page)
    return shown


def open(root: str | None = None, slice: str | None = None, *, job: str | None = None) -> Iterator[Document]:
    """The published documents of a root, of one slice, or of what a job left of them, as a stream.

    As :func:`redpajama_data.reports.documents.documents`, which says more.
    """
    return documents.documents(root_here(root), slice, job=job)
