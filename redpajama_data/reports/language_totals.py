"""RedPajama-V2 by language: what was published, and what a root has of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Receipt
from redpajama_data.errors import UsageError
from redpajama_data.reports.aligned import aligned
from redpajama_data.reports.totals import amount

TOTAL = "all"
PUBLISHED = {
    "en": (14.5e9, 20.5e12),
    "de": (1.9e9, 3.0e12),
    "fr": (1.6e9, 2.7e12),
    "es": (1.8e9, 2.8e12),
    "it": (0.9e9, 1.5e12),
    TOTAL: (20.8e9, 30.4e12),
}
"""Documents and tokens of head and middle without copies, of 84 dumps: README of RedPajama-Data (branch main). Its
app/src/token_count.py counts with the tokenizer of Mistral-7B-v0.1."""

SLICE, JOB = "common_crawl_v2", "redpajama_v2"
ANNOTATED = ("head", "middle")  # buckets with signals, signatures and duplicates; of the tail there are documents only
_NAME = re.compile(r"(\d{4}-\d{2})_(\d{4,})_([a-z]{2,3}_(?:head|middle|tail))(?:\.[^/]*)?")


def tag_of(path: str) -> str | None:
    """The place in the layout of a shard of the slice, ``2023-06/0000/en_head``; None for a shard of another slice."""
    found = _NAME.search(path.rsplit("/", 1)[-1])
    return "/".join(found.groups()) if found else None


@dataclass
class LanguageTotals:
    """What there is of a language: documents and tokens of head and middle, how many of these are copies (None when
    nobody looked), and the documents of the tail."""

    documents: int = 0
    tokens: int = 0
    copies: int | None = None
    tail: int = 0

    @property
    def documents_left(self) -> int:
        """Documents without copies."""
        return self.documents - (self.copies or 0)

    @property
    def tokens_left(self) -> float:
        """Tokens without copies, as if a copy had as many as any document: nobody counts those of copies."""
        return self.tokens * self.documents_left / self.documents if self.documents else 0.0

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "documents_left": self.documents_left, "tokens_left": self.tokens_left}


def language_totals(found: Iterable[Receipt]) -> dict[str, LanguageTotals]:
    """The totals of each language, most documents first, and of all, from receipts of the slice or the job.

    Of the slice they have the tokens, of the job the copies.
    """
    totals: dict[str, LanguageTotals] = {}
    for receipt in found:
        for role, out in receipt.outputs.items():
            kind, _, name = role.partition(":")
            tag = tag_of(name) if kind == "published" else receipt.notes.get("tag")
            if tag is None or kind not in ("published", "exported"):
                continue
            language, _, bucket = tag.rsplit("/", 1)[-1].partition("_")
            for each in (totals.setdefault(language, LanguageTotals()), totals.setdefault(TOTAL, LanguageTotals())):
                if name.startswith("duplicates/"):
                    each.copies = (each.copies or 0) + out.records
                elif bucket in ANNOTATED:
                    each.documents += out.records
                    each.tokens += out.tokens or 0
                else:
                    each.tail += out.records
    order = sorted(totals, key=lambda name: (name == TOTAL, -totals[name].documents, name))
    return {name: totals[name] for name in order}


def of_root(root: str) -> dict[str, LanguageTotals]:
    """The totals of a root: the slice's, with the copies that the job found, if it was run.

    Raises :class:`UsageError` when the slice was not run there.
    """
    totals = language_totals(receipts.load_all(root, SLICE))
    if not totals:
        raise UsageError(f"{root}: {SLICE} was not run there. Run it first: rpj run --slice {SLICE}.")
    for name, each in language_totals(receipts.load_all(root, JOB)).items():
        totals.setdefault(name, LanguageTotals()).copies = each.copies
    return totals


def plain(totals: dict[str, LanguageTotals]) -> dict[str, Any]:
    """The table as plain data, unrounded."""
    rows = {}
    for name, (documents, tokens) in PUBLISHED.items():
        own = totals.get(name, LanguageTotals())
        rows[name] = {
            **own.plain(),
            "published_documents": documents,
            "published_tokens": tokens,
            "ratio": own.tokens_left / tokens,
        }
    return {"reference": "RedPajama-V2", "languages": rows}


def render(totals: dict[str, LanguageTotals], tokenizer: str) -> str:
    """The table for a terminal, and what it rests on."""
    lines: list[tuple[str, ...]] = [("head and middle", "docs", "copies", "tokens left", "published", "ratio")]
    for name, row in plain(totals)["languages"].items():
        ratio = row["ratio"]
        shown = f"{ratio:.2f}" if ratio >= 0.01 or not ratio else f"{ratio:.0e}"
        copies = "-" if row["copies"] is None else amount(row["copies"])
        counted = (amount(row["documents"]), copies, amount(row["tokens_left"]))
        lines.append((name, *counted, amount(row["published_tokens"]), shown))
    text = ["Tokens against RedPajama-V2's, by language.", "", *aligned(lines), ""]
    text += [f"Counted with {tokenizer}; published are estimates in tokens of Mistral-7B, of 84 dumps without copies."]
    if totals[TOTAL].copies is None:
        text += ["Nobody looked for copies here: rpj redpajama-v2 ROOT does."]
    return "\n".join(text)
