"""From what is asked for to what is here: the plan of each source, what a run needs to be allowed, the files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from redpajama_data.config import RunConfig, split_list
from redpajama_data.download import by_hand
from redpajama_data.download import plan as plans
from redpajama_data.download import store as stores
from redpajama_data.download.accepted import note
from redpajama_data.download.client import Client
from redpajama_data.download.fetch import AT_ONCE, FetchReport, Options, fetch_plan
from redpajama_data.download.plan import Listing, Plan, Source
from redpajama_data.download.progress import amount
from redpajama_data.download.stand import Stand, free_bytes, stand_of
from redpajama_data.errors import RootInUse, RpjError, StorageError, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lock import hold

BY_HAND = "by_hand"  # key of a selection: what lies there already, instead of what a source lists
_LISTS = ("dumps", "langs", "sites", "collections")  # keys whose value is a list of names
_NUMBERS = ("sample", "seed", "shard_count")

Asked = Sequence[tuple[Source, dict[str, Any]]]  # each source with the selection for it
Found = list[tuple[Source, Stand]]


def places(to: str, by_way_of: str) -> tuple[str, str]:
    """The folder that files come to, and the store that they go on to, "" when ``to`` is a folder. Raises
    :class:`UsageError` for what is neither."""
    if not storage.is_remote(to):
        return to, ""
    if storage.is_remote(by_way_of) or to.startswith(("http://", "https://")):
        raise UsageError(f"--to {to} --by-way-of {by_way_of}: files come to a folder, and go on to s3:// or the like.")
    return by_way_of, to.rstrip("/")


def asked_of(sources: Sequence[Source], given: Mapping[str, Any], run_config: RunConfig) -> Asked:
    """Each source with its selection: what the settings of its slice say, over that its section of ``download:``, over
    that what is ``given``. Raises :class:`UsageError` for a key that means nothing, or not what it is given with."""
    if BY_HAND in given and len(given) > 1:
        raise UsageError("--by-hand takes every file that lies there. Leave out what selects some.")
    for key in given:
        if key != BY_HAND and not any(key in source.knows for source in sources):
            names = ", ".join(source.slice for source in sources)
            raise UsageError(f"--{key} means nothing for {names}. Leave it out.")
    if "seed" in given and "sample" not in given:
        raise UsageError("--seed is the chance of --sample. Give both.")
    return [(source, _selection_of(source, given, run_config)) for source in sources]


def _selection_of(source: Source, given: Mapping[str, Any], run_config: RunConfig) -> dict[str, Any]:
    """The selection of one source, its lists as JSON has them."""
    if BY_HAND in given:
        return {BY_HAND: True}
    settings = run_config.slices.get(source.slice, {})
    from_settings = dict(source.from_config(settings)) if source.from_config else {}
    section = run_config.download.get(source.slice, {})
    for key in section:
        if key not in source.knows:
            raise UsageError(f"download: {source.slice}: {key}: no such key; known: {', '.join(source.knows)}.")
    chosen = {**from_settings, **section, **{key: value for key, value in given.items() if key in source.knows}}
    return {key: _plain(key, value) for key, value in chosen.items()}


def _plain(key: str, value: Any) -> Any:
    """A value of a selection as JSON and the sources have it: lists of names, numbers, texts (a date in YAML is a
    number)."""
    if key in _LISTS:
        return [str(name) for name in split_list(value)]  # type: ignore[attr-defined]
    return value if isinstance(value, bool) or key in _NUMBERS else str(value)


def plan_all(
    asked: Asked,
    to: str,
    client: Client,
    *,
    store: str = "",
    renew: bool = False,
    dry: bool = False,
    left_out: dict[str, str] | None = None,
) -> Found:
    """The plan of each source, and how far it is below ``to``: the one that an earlier run kept, if it is of the same
    selection, so that the same files of the same version come; else, or with ``renew``, a new one, which is kept.

    ``store`` is the URL that the files go to by way of ``to``. ``dry``: nothing is written below ``to``. A source that
    fails raises what it raises; with ``left_out`` it is named there, and the others go on.
    """
    found: Found = []
    for source, chosen in asked:
        with _or_left_out(source, left_out):
            if store and not dry:
                stores.bring_state(store, to, source.slice)
            found.append((source, _planned(source, chosen, to, client, store=store, renew=renew, dry=dry)))
    return found


def fetch_all(
    found: Found, to: str, options: Options, client: Client, left_out: dict[str, str] | None = None
) -> list[FetchReport]:
    """Fetch each plan, and what came of it; ``left_out`` as for :func:`plan_all`. Raises what :func:`fetch` raises."""
    reports: list[FetchReport] = []
    for source, stand in found:
        with _or_left_out(source, left_out):
            reports.append(fetch(source, stand.plan, to, options, client))
    return reports


@contextlib.contextmanager
def _or_left_out(source: Source, left_out: dict[str, str] | None) -> Iterator[None]:
    try:
        yield
    except (StorageError, RootInUse):  # it would be so for the next one too, or somebody is at work
        raise
    except RpjError as error:
        if left_out is None:
            raise
        left_out[source.slice] = str(error)


def _planned(
    source: Source, chosen: dict[str, Any], to: str, client: Client, *, store: str, renew: bool, dry: bool
) -> Stand:
    kept = _kept(source, chosen, to, renew=renew, store=store)
    if kept is not None:
        return stand_of(kept, to)
    with tempfile.TemporaryDirectory(prefix="rpj-plan-") as aside:  # a listing that fails half-way replaces no plan
        plan = _some(plans.save(aside, source.slice, _listed(source, chosen, to, client), chosen, store))
        if dry:
            return stand_of(plan, to, listed=aside)
        with hold(plans.folder(to, source.slice)):  # whoever fetches there reads the plan
            plans.adopt(aside, to, source.slice)
    return stand_of(plan, to)


def _kept(source: Source, chosen: Mapping[str, Any], to: str, *, renew: bool, store: str) -> Plan | None:
    kept = None if renew or chosen.get(BY_HAND) else plans.load(to, source.slice)
    same = kept is not None and kept.files and (chosen, store) == (kept.selection, kept.store)
    return kept if same else None


def _listed(source: Source, chosen: Mapping[str, Any], to: str, client: Client) -> Listing:
    if chosen.get(BY_HAND):
        return by_hand.list_placed(to, source.slice)
    return source.list(chosen, client, client.addresses)


def _some(plan: Plan) -> Plan:
    if not plan.files and plan.cost is None and not plan.absent:
        raise UsageError(f"{plan.slice}: no file of its listing is selected. Widen --files or what else selects.")
    return plan


def refuse(stands: Sequence[Stand], to: str, accepted: Sequence[str], usd: float, most: int | None) -> None:
    """Raises unless what is missing may be fetched: :class:`UsageError` for a licence or a cost that is not accepted,
    :class:`StorageError` for a disk that is too small. ``most`` are the bytes that one run of a slice may take."""
    missing = [stand for stand in stands if stand.here.missing or not stand.plan.files]
    needed = {
        licence.name: f"{stand.plan.slice}: {licence.text} {licence.address}"
        for stand in missing
        for licence in stand.plan.licences
        if licence.accept and licence.name not in accepted
    }
    if needed:
        options = " ".join(f"--accept-licence {name}" for name in needed)
        raise UsageError("\n".join([*needed.values(), f"Read that, and give {options} if you accept it."]))
    costs = sum(stand.usd(most) for stand in missing)
    if costs > usd:
        what = "; ".join(f"{stand.plan.slice}: {stand.plan.cost.reckoning}" for stand in missing if stand.plan.cost)
        raise UsageError(f"This costs about {costs:.2f} $ ({what}). Give --accept-cost {costs:.2f} if you accept that.")
    to_come = sum(_on_disk(stand, most) for stand in missing)
    free = free_bytes(to)
    if to_come > free:
        raise StorageError(
            f"{to}: {amount(to_come)} are still to come, and {amount(free)} are free. Free some, choose another --to, "
            "or fetch less: --max-bytes."
        )


def allow(stands: Sequence[Stand], to: str, accepted: Sequence[str], usd: float, most: int | None) -> None:
    """What :func:`refuse` lets pass, with a record of the licences that were accepted for what is missing. Raises as
    that, and as :func:`redpajama_data.download.accepted.note`."""
    refuse(stands, to, accepted, usd, most)
    for stand in stands:
        if stand.here.missing or not stand.plan.files:
            note(stand.plan, to, accepted)


def _on_disk(stand: Stand, most: int | None) -> int:
    """Bytes that are on the disk at once: those to come, or of a plan with a store those under way."""
    under_way = AT_ONCE * (stand.plan.bytes + stand.plan.reckoned) // max(1, stand.plan.files)
    return min(stand.to_come(most), under_way) if stand.plan.store else stand.to_come(most)


def fetch(source: Source, plan: Plan, to: str, options: Options, client: Client) -> FetchReport:
    """One plan: make at the source what is to be listed first (its cost was accepted), fetch, and write what the slice
    reads of what came. Raises what :func:`redpajama_data.download.fetch.fetch_plan` raises."""
    if source.prepare is not None and plan.cost is not None:
        source.prepare(plan.selection)
        plan = _planned(source, plan.selection, to, client, store=plan.store, renew=True, dry=False).plan
    if source.finish is None:
        return fetch_plan(plan, to, options, client)
    report = fetch_plan(msgspec.structs.replace(plan, store=""), to, options, client)  # all of them are needed here
    if report.complete:
        if not plan.selection.get(BY_HAND):
            source.finish(storage.join(to, source.slice))
        if plan.store:
            stores.put_all(plan, to, but=source.parts)
    return report
