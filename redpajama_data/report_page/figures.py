"""Figures as SVG, each with a sentence that says what is to be seen. Text in them is escaped by markupsafe.

Their colours are classes of the page's style, so that dark mode and print have their own. Widths are those of a phone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from redpajama_data.report_page.histogram import Histogram
from redpajama_data.reports.published import REFERENCES

_WIDTH, _HEIGHT = 320, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 312, 20, 122
_GONE = ("dropped", "joined", "missing")
NAMES = {"redpajama": "RedPajama", "llama": "LLaMA"}


def short(value: float) -> str:
    """A number for an axis: 1k, 2.5M, 0.25."""
    for power, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.3g}{letter}"
    return f"{value:.3g}"


def _svg(width: float, height: float, said: str, parts: Iterator[Markup]) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(width, height, width, height, said, said, Markup("").join(parts))


# ------------------------------------------------------------------------------------------------ histograms


def said_of(found: Histogram) -> str:
    """A histogram in a sentence."""
    kinds = {kind: round(sum(counts)) for kind, counts in found.counts.items()}
    peak = max(range(len(next(iter(found.counts.values())))), key=lambda i: sum(c[i] for c in found.counts.values()))
    where = "left" if peak < 8 else "middle" if peak < 16 else "right"
    text = f"Histogram of {found.name}: from {short(found.low)} to {short(found.high)}, median {short(found.median)}, "
    text += f"most records in the {where} third; " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    if found.limit is not None:
        text += f"; the limit is {short(found.limit)}"
    return text + (". The axis goes by powers of ten." if found.log else ".")


def histogram_svg(found: Histogram) -> Markup:
    """Bars, what was dropped upon what was kept, and the limit as a line. A bar is as high as the square root of its
    records, so that few are seen beside many."""
    return _svg(_WIDTH, _HEIGHT, said_of(found), _bars(found))


def _bars(found: Histogram) -> Iterator[Markup]:
    columns = list(zip(*(found.counts[kind] for kind in sorted(found.counts, reverse=True)), strict=True))
    kinds = sorted(found.counts, reverse=True)  # kept below, dropped above
    highest = max(map(sum, columns)) or 1
    step = (_RIGHT - _LEFT) / len(columns)
    for place, column in enumerate(columns):
        base, scale = float(_BOTTOM), (sum(column) / highest) ** 0.5 * (_BOTTOM - _TOP) / (sum(column) or 1)
        for kind, count in zip(kinds, column, strict=True):
            if not count:
                continue
            height = max(1.5, scale * count)  # one record among millions is seen too
            yield Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
                kind, _LEFT + place * step + 0.5, base - height, step - 1, height
            )
            base -= height
    yield Markup('<path class="axis" d="M{} {}H{}"/>').format(_LEFT, _BOTTOM, _RIGHT)
    for at, value in found.ticks:
        yield _label(_LEFT + at * (_RIGHT - _LEFT), _BOTTOM + 15, short(value))
    yield _label(_LEFT, 12, f"most in a bar: {short(round(highest))}", anchor="start")
    if found.limit_at is not None and found.limit is not None:
        x = _LEFT + found.limit_at * (_RIGHT - _LEFT)
        yield Markup('<path class="limit" d="M{:.2f} {}V{}"/>').format(x, _TOP - 4, _BOTTOM)
        yield _label(_RIGHT, 12, f"limit {short(found.limit)}", anchor="end", kind="limit-text")


def _label(x: float, y: float, text: str, anchor: str = "", kind: str = "") -> Markup:
    anchor = anchor or ("start" if x < 24 else "end" if x > _WIDTH - 24 else "middle")
    return Markup('<text class="{}" x="{:.2f}" y="{:.2f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


# ------------------------------------------------------------------------------------------------ shares of slices


def mix_svg(totals: dict[str, Any]) -> Markup:
    """Each slice's share of the tokens: here, in RedPajama, in LLaMA."""
    rows = totals["slices"]
    sums = {name: sum(row[name] or 0 for row in rows) for name in REFERENCES.values()}
    lines = [
        (row["slice"], [("here", row["share"]), *((n, row[n] / sums[n]) for n in sums if row[n] and sums[n])])
        for row in rows
    ]
    said = "Shares of tokens by slice. " + " ".join(
        f"{name}: " + ", ".join(f"{NAMES.get(whose, 'here')} {share:.1%}" for whose, share in shares) + "."
        for name, shares in lines
    )
    return _svg(_WIDTH, 50 * len(lines) + 4, said, _mix(lines))


def _mix(lines: Sequence[tuple[str, list[tuple[str, float]]]]) -> Iterator[Markup]:
    most = max((share for _, shares in lines for _, share in shares), default=0) or 1
    for place, (name, shares) in enumerate(lines):
        y = 50 * place
        yield _label(0, y + 12, name, anchor="start", kind="strong")
        for n, (whose, share) in enumerate(shares):
            width = (_WIDTH - 60) * share / most
            yield Markup('<rect class="{}" x="0" y="{}" width="{:.2f}" height="8"/>').format(
                whose, y + 17 + 10 * n, width
            )
            yield _label(width + 4, y + 25 + 10 * n, f"{share:.1%}", anchor="start", kind="small")


# ------------------------------------------------------------------------------------------------ waterfalls


@dataclass(frozen=True)
class Fall:
    """A row of a waterfall with its bar: from where to where it falls, of all records, 0 to 1."""

    row: dict[str, Any]
    label: str
    bar: Markup


LABELS = {
    "raw": "raw records",
    "joined": "part of another record's document",
    "missing": "not there: quarantined, or not run",
    "changed": "text changed by steps",
    "published": "published",
    "left": "left",
    "read": "read by the job",
}


def falls(rows: Sequence[dict[str, Any]], *, job: bool = False) -> list[Fall]:
    """The rows of a waterfall, of a slice or of a ``job``, each with its bar."""
    top = max((row["documents"] for row in rows), default=0)
    now, found = top, []
    for row in rows:
        label = row["rule"] or LABELS["read" if job and row["kind"] == "raw" else row["kind"]]
        if row["kind"] in _GONE:
            before, now = now, now - row["documents"]
            said = f"{label}: from {before:,} to {now:,} records"
            found.append(Fall(row, label, _bar(said, now, before, top, "dropped")))
        elif row["kind"] == "changed":
            found.append(Fall(row, label, Markup("")))
        else:
            now = row["documents"]
            found.append(Fall(row, label, _bar(f"{label}: {now:,} records", 0, now, top, "kept")))
    return found


def span(name: str, seconds: float, longest: float) -> Markup:
    """A bar of a stage's time beside that of the longest stage."""
    return _bar(f"{name}: {seconds:,.2f} of {longest:,.2f} seconds", 0, seconds, longest, "kept")


def _bar(said: str, first: float, last: float, top: float, kind: str) -> Markup:
    """A bar from ``first`` to ``last`` of ``top``, and faintly what is still there below it."""
    scale = 1000 / top if top else 0
    x, width = first * scale, max((last - first) * scale, 4 if last > first else 0)
    return Markup(
        '<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="faint" width="{:.1f}" height="10"/><rect class="{}" x="{:.1f}" width="{:.1f}" height="10"/></svg>'
    ).format(said, x, kind, min(x, 1000 - width), width)
