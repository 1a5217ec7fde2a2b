"""How well the classifier of Wikipedia's references does on examples that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

WIKI, CC = "wiki", "cc"
LABEL = "__label__"
THRESHOLDS = (0.25, 0.5)  # RedPajama keeps from 0.25 on, LLaMA "pages classified as references", that is 0.5
BINS = 10  # of the histogram of scores, each 0.1 wide


LeftOut = dict[str, dict[str, int]]
"""Of each class how many pages the repaired corpus leaves out, by reason."""


class Example(NamedTuple):
    """One line of the corpus: its class (``wiki`` or ``cc``) and its text on one line."""

    label: str
    text: str


class AtThreshold(NamedTuple):
    """The classifier with one threshold, on the held-out examples; None where there is nothing to divide by.

    ``precision`` and ``recall`` are those of ``wiki``; ``kept`` is the share of the ``cc`` examples that pass, which is
    what a run on Common Crawl would keep.
    """

    threshold: float
    precision: float | None
    recall: float | None
    kept: float | None


@dataclass(frozen=True, slots=True)
class ClassifierReport:
    """What was trained, and how it does on examples that it has not seen.

    ``trained`` and ``held_out``: examples by class. ``histogram``: by class, held-out examples with a score in
    [0, 0.1), [0.1, 0.2) ... [0.9, 1]. ``left_out``: None for the published corpus.
    """

    model: str
    trained: dict[str, int]
    held_out: dict[str, int]
    thresholds: tuple[AtThreshold, ...]
    histogram: dict[str, tuple[int, ...]]
    left_out: LeftOut | None = None

    def render(self) -> str:
        """The report for a person, one fact a line."""
        lines = [f"{self.model}: trained on {self.trained[WIKI]} wiki and {self.trained[CC]} cc documents"]
        for label, reasons in (self.left_out or {}).items():
            lines.append(f"left out of {label}: {', '.join(f'{count} {reason}' for reason, count in reasons.items())}")
        lines.append(f"held out: {self.held_out[WIKI]} wiki, {self.held_out[CC]} cc")
        for at in self.thresholds:
            lines.append(
                f"from {at.threshold:.2f}: precision {_share(at.precision)}, recall {_share(at.recall)}, "
                f"keeps {_share(at.kept)} of cc"
            )
        lines.append("score        wiki       cc")
        for n, (wiki, cc) in enumerate(zip(self.histogram[WIKI], self.histogram[CC], strict=True)):
            lines.append(f"{n / BINS:.1f}-{(n + 1) / BINS:.1f} {wiki:10d} {cc:8d}")
        return "\n".join(lines)


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def examine(
    model: Any,
    examples: Iterable[Example],
    *,
    model_path: str,
    trained: dict[str, int],
    left_out: LeftOut | None = None,
) -> ClassifierReport:
    """Score examples that the model has not seen (``model`` is fastText's) and count."""
    bins = {WIKI: [0] * BINS, CC: [0] * BINS}
    passed = {threshold: {WIKI: 0, CC: 0} for threshold in THRESHOLDS}
    for label, text in examples:
        labels, probabilities = model.predict(text, k=1)
        top = float(probabilities[0])  # up to 1.00001, as fastText rounds
        score = top if labels[0] != LABEL + CC else 1 - top
        bins[label][min(BINS - 1, max(0, int(score * BINS)))] += 1
        for threshold in THRESHOLDS:
            passed[threshold][label] += score >= threshold
    held = {label: sum(counts) for label, counts in bins.items()}
    return ClassifierReport(
        model=model_path,
        trained=trained,
        held_out=held,
        thresholds=tuple(
            AtThreshold(
                threshold,
                precision=_ratio(counts[WIKI], counts[WIKI] + counts[CC]),
                recall=_ratio(counts[WIKI], held[WIKI]),
                kept=_ratio(counts[CC], held[CC]),
            )
            for threshold, counts in passed.items()
        ),
        histogram={label: tuple(counts) for label, counts in bins.items()},
        left_out=left_out,
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
