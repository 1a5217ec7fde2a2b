"""The page: one HTML file that asks for nothing, made of a template, a style and a script that stand beside this."""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from dataclasses import replace
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from redpajama_data.report_page import figures
from redpajama_data.report_page.collect import Report, fewer
from redpajama_data.report_page.examples import Example
from redpajama_data.reports.totals import amount

LARGEST = 6_000_000  # bytes of a page, so that it opens on a phone and goes into a mail
STATIC = "static"
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


def fitted(report: Report) -> tuple[bytes, Report]:
    """The page as a file, and the report as it is shown there: with fewer examples where it would be larger than
    :data:`LARGEST`."""
    while True:
        page = render(report).encode("utf-8", "replace")
        if len(page) <= LARGEST or not report.examples:
            return page, replace(report, bytes=len(page))
        report = fewer(report)


def render(report: Report) -> str:
    """The page as HTML. The same report gives the same bytes."""
    folder = resources.files(__package__) / STATIC
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    template = (folder / "report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"n": _number, "short": figures.short, "percent": percent, "tokens": _tokens}
    environment.filters |= {"size": _size, "seconds": _seconds}
    environment.globals |= {
        "histogram": figures.histogram_svg,
        "mix": figures.mix_svg,
        "falls": figures.falls,
        "span": figures.span,
        "beside": beside,
        "heat": _heat,
    }
    return environment.from_string(template).render(
        report=report,
        style=Markup(style),  # both are ours, and must reach the browser as they were hashed
        script=Markup(script),
        policy=_policy(style, script),
    )


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy that lets in our style and script, and nothing else from anywhere."""

    def of(text: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"

    return f"default-src 'none'; style-src {of(style)}; script-src {of(script)}; base-uri 'none'; form-action 'none'"


def _number(value: float | None) -> str:
    """A count in full."""
    return "-" if value is None else f"{value:,.0f}"


def _tokens(row: dict[str, Any]) -> str:
    if row["tokens"] is None:
        return "-"
    return ("~" if row["estimated"] and row["tokens"] else "") + f"{row['tokens']:,}"


def _seconds(value: float) -> str:
    """A time in seconds, to a hundredth where it is short."""
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _size(value: float) -> str:
    """Bytes, three figures."""
    return f"{amount(value)}B" if value >= 999.5 else f"{value:.0f} B"


def percent(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if abs(value) >= 0.001 or not value else f"{100 * value:.1g}%"


def _heat(share: float) -> str:
    """The class of a cell: by steps of the share, since most are small."""
    steps = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    return f"heat{sum(share > step for step in steps)}"


def beside(one: Example, other: Example) -> tuple[Markup, Markup]:
    """Two texts with what they do not share marked, word by word."""
    first, second = ([] if each.text is None else _WORD.findall(each.text) for each in (one, other))
    left, right = Markup(""), Markup("")
    for kind, a, b, c, d in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        shared = Markup("{}") if kind == "equal" else Markup("<mark>{}</mark>")
        if b > a:
            left += shared.format("".join(first[a:b]))
        if d > c:
            right += shared.format("".join(second[c:d]))
    return left, right
