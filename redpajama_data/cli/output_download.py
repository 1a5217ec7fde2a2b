"""What ``rpj download`` and ``rpj status raw`` print: plans, what of them is here, what is still to come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import click

from redpajama_data.cli.output import echo_json
from redpajama_data.defaults import RAW
from redpajama_data.download.fetch import FetchReport
from redpajama_data.download.plan import Plan
from redpajama_data.download.progress import amount, duration, files_text
from redpajama_data.download.receipts import Receipt, Unsound
from redpajama_data.download.stand import Stand, free_bytes

_UNSOUND = {"missing": "not there any more", "size": "another size", "bytes": "other bytes"}
GIGABIT = 125e6  # bytes a second, for the time that is shown without --rate


def print_dry(
    stands: Sequence[Stand], to: str, rate: float | None, left_out: Mapping[str, str], *, as_json: bool
) -> None:
    """What a run would do."""
    to_come, free = sum(stand.to_come() for stand in stands), free_bytes(to)
    seconds = to_come / (rate or GIGABIT)
    usd = sum(stand.usd() for stand in stands)
    if as_json:
        echo_json(
            {
                "slices": [stand.plain() for stand in stands],
                "left_out": dict(left_out),
                "bytes": to_come,
                "free": free,
                "seconds": round(seconds),
                "usd": round(usd, 2),
            }
        )
        return
    for stand in stands:
        _print_plan(stand)
    _print_left_out(left_out)
    speed = f"{rate / 1e6:,.1f} MB/s" if rate else "1 Gbit/s (hosts may give less)"
    short = "" if to_come <= free else ", which is too little"
    click.echo(
        f"In all {amount(to_come)} to come, {amount(free)} free on the disk of {to}{short}; {duration(seconds)} at "
        f"{speed}; {usd:,.2f} $. Nothing was fetched."
    )


def _print_plan(stand: Stand) -> None:
    plan, here = stand.plan, stand.here
    click.echo(f"{plan.slice}: {files_text(plan.files)}, version {plan.version or 'unknown'}")
    click.echo(f"  here {files_text(here.files)}, {amount(here.bytes)}; to come {_to_come(stand)}")
    if plan.cost and stand.usd():
        click.echo(f"  costs {stand.usd():,.2f} $: {plan.cost.reckoning}. Needs --accept-cost {stand.usd():.2f}")
    print_terms(plan)
    _print_absent(stand)


def print_terms(plan: Plan, *, err: bool = False) -> None:
    """The licences and notes of a plan; with ``err`` on standard error."""
    for licence in plan.licences:
        needs = f" Needs --accept-licence {licence.name}" if licence.accept else ""
        click.echo(f"  licence {licence.name}: {licence.text} {licence.address}{needs}", err=err)
    for note in plan.notes:
        click.echo(f"  note: {note}", err=err)


def _to_come(stand: Stand) -> str:
    unsized = f" ({stand.here.unsized:,} of unknown size, reckoned)" if stand.here.unsized else ""
    to_check = f"; to check {stand.here.to_check:,} that lie there" if stand.here.to_check else ""
    return f"{files_text(stand.here.missing)}, {amount(stand.to_come())}{unsized}{to_check}"


def _print_absent(stand: Stand) -> None:
    if stand.plan.absent:
        click.echo(f"  nowhere to be had: {', '.join(stand.plan.absent)}")


def _print_left_out(left_out: Mapping[str, str]) -> None:
    for name, reason in left_out.items():
        click.echo(f"{name}: left out: {reason}", err=True)


def print_stands(stands: Sequence[Stand], *, as_json: bool) -> None:
    """What of each plan is here, what is to come, what was put aside and why."""
    if as_json:
        echo_json([stand.plain() for stand in stands])
        return
    for stand in stands:
        here = stand.here
        state = "complete" if stand.complete() else f"to come {_to_come(stand)}"
        place = f"in {stand.plan.store}" if stand.plan.store else "here"
        click.echo(
            f"{stand.plan.slice}: {here.files:,} of {files_text(stand.plan.files)} {place}, {amount(here.bytes)}; "
            f"{state}"
        )
        for licence in stand.accepted:
            click.echo(
                f"  licence {licence.licence} accepted {licence.time} for version {licence.version or 'unknown'}"
            )
        for path, each in stand.aside.items():
            runs = "1 run" if each.runs == 1 else f"{each.runs:,} runs"
            click.echo(f"  put aside since {each.since}, {runs}: {path}: {each.reason}")
        _print_absent(stand)


def print_still_to_come(stands: Sequence[Stand], place: str) -> None:
    """A line on what a download in ``place`` has not brought yet; nothing when all is here."""
    parts = [f"{stand.plan.slice} ({_to_come(stand)})" for stand in stands if not stand.complete()]
    if parts:
        click.echo(f"\nRaw files still to come: {', '.join(parts)}. More: rpj status {place}")


def print_reports(
    reports: Sequence[FetchReport],
    stands: Sequence[Stand],
    left_out: Mapping[str, str],
    to: str,
    place: str,
    *,
    as_json: bool,
) -> None:
    """What a run fetched to ``to``, and what it did not; ``place`` is where the files are read."""
    if as_json:
        plain = [{**asdict(each), "why_left": sorted(each.why_left)} for each in reports]
        absent = {stand.plan.slice: stand.plan.absent for stand in stands if stand.plan.absent}
        echo_json({"slices": plain, "left_out": dict(left_out), "absent": absent})
        return
    for each in reports:
        parts = [f"{each.fetched:,} fetched ({amount(each.bytes)})", f"{each.here:,} were here"]
        parts += [f"{len(each.put_aside):,} put aside"] if each.put_aside else []
        parts += [f"{each.left:,} left for later ({'; '.join(sorted(each.why_left))})"] if each.left else []
        click.echo(f"{each.slice}: {files_text(each.files)}, {', '.join(parts)}")
    for stand in stands:
        if stand.plan.absent:
            click.echo(f"{stand.plan.slice}: nowhere to be had: {', '.join(stand.plan.absent)}", err=True)
    _print_left_out(left_out)
    done = [each.slice for each in reports if each.complete]
    if len(done) < len(reports):
        click.echo(f"The same command fetches what is missing; rpj status {to} says what that is.")
    if done:
        wanted = "" if place == RAW else f" --input {place.rstrip('/')}/{done[0]}"
        click.echo(f"Next: rpj run --slice {done[0]}{wanted}")


def print_verified(found: Mapping[str, Iterable[Unsound | Receipt]], *, as_json: bool) -> bool:
    """Raw files held against their receipts, slice by slice; True when all of them are sound."""
    plain: dict[str, dict[str, object]] = {}
    for name, files in found.items():
        how, unsound = Counter[str](), dict[str, str]()
        for each in files:
            if isinstance(each, Unsound):
                unsound[each.path] = each.what
                if not as_json:
                    click.echo(f"{name}: {each.path}: {_UNSOUND[each.what]}")
            else:
                how[each.checked] += 1
        plain[name] = {"sound": sum(how.values()), "checked": dict(how), "unsound": unsound}
        if not as_json:
            by = ", ".join(f"{count:,} by {kind}" for kind, count in sorted(how.items()))
            click.echo(f"{name}: {files_text(sum(how.values()))} as they were fetched ({by}), {len(unsound):,} not")
    if as_json:
        echo_json(plain)
    elif any(each["unsound"] for each in plain.values()):
        click.echo("The next rpj download fetches those again.")
    return not any(each["unsound"] for each in plain.values())
