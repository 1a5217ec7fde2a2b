"""Where the text of a slice went: raw records, what each rule dropped, what steps changed, what was published.

Read from the receipts of a root. Documents and bytes add up exactly:

    raw - dropped - joined - missing - changed = published

in documents (where nothing is changed) and in bytes of UTF-8. The jobs over the shards of all slices go on from there:
published - dropped - changed = left after the job.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Receipt, Sample, is_published
from redpajama_data.engine.slice_run import RunNote, slices_of
from redpajama_data.io.root_paths import RUN

Kind = Literal["raw", "dropped", "joined", "missing", "changed", "published", "left"]


@dataclass(frozen=True)
class Row:
    """One line of a waterfall.

    ``raw``, ``published`` and ``left`` say what is there; the others what goes (``changed`` may be negative: text that
    steps added). ``missing`` are records that an earlier stage kept and this one never saw: a task of it is quarantined
    or has not run. ``bytes`` None: receipts of a version that did not count them, or a job that does not. ``estimated``
    marks tokens that were not counted on every text; None where nothing counted.
    """

    kind: Kind
    stage: str
    rule: str = ""
    documents: int = 0
    bytes: int | None = 0
    tokens: float | None = 0
    estimated: bool = False


@dataclass(frozen=True)
class Waterfall:
    """The rows of a slice, then those of each job that went over its shards.

    ``jobs`` are (name, source, rows), ``source`` the job whose shards it read, None for those of the slice.
    ``tokenizers`` are the SHA-256 of those that counted the samples.
    """

    slice: str
    rows: list[Row] = field(default_factory=list)
    jobs: list[tuple[str, str | None, list[Row]]] = field(default_factory=list)
    tokenizers: frozenset[str] = frozenset()


def waterfalls(root: str) -> list[Waterfall]:
    """The waterfall of every slice of a root, and of each slice that jobs read from elsewhere.

    Raises :class:`UsageError` when it is no root of a run.
    """
    notes = slices_of(root)
    slices = [note for note in notes if note.kind == "slice"]
    falls = {note.slice: _slice(note, list(receipts.load_all(root, note.slice))) for note in slices}
    jobs = _in_order([(note, list(receipts.load_all(root, note.slice))) for note in notes if note.kind == "corpus"])
    for note, source, every in jobs:
        of_records = (
            receipt for receipt in every if receipt.read or is_published(receipt)
        )  # not what a job reads beside
        for name in dict.fromkeys(filter(None, map(shard_slice, of_records))):
            own = [receipt for receipt in every if shard_slice(receipt) == name]
            before = falls.setdefault(name, Waterfall(name))
            rows = _rows(note.stages, own, rereads=True)
            rows[-1] = replace(rows[-1], kind="left", stage=note.slice)
            jobs_so_far = [*before.jobs, (note.slice, source, rows)]
            falls[name] = Waterfall(name, before.rows, jobs_so_far, before.tokenizers | _tokenizers(own))
    return list(falls.values())


def _slice(note: RunNote, every: list[Receipt]) -> Waterfall:
    return Waterfall(note.slice, _rows(note.stages, every, rereads=False), [], _tokenizers(every))


def _tokenizers(every: Iterable[Receipt]) -> frozenset[str]:
    return frozenset(receipt.sample_tokenizer for receipt in every) - {""}


# ------------------------------------------------------------------------------------------------ shards of jobs


def shard_slice(receipt: Receipt) -> str | None:
    """The slice of a job's task: the folder of the shard it published, else of the one it read; None when it read
    files of the job itself."""
    for role, out in receipt.outputs.items():
        if role.split(":")[0] == "published":
            return posixpath.basename(posixpath.dirname(out.path))
    paths = [path for path in receipt.inputs[:1] if not path.startswith(f"{RUN}/")]
    return posixpath.basename(posixpath.dirname(paths[0])) if paths else None


def _in_order(jobs: list[tuple[RunNote, list[Receipt]]]) -> list[tuple[RunNote, str | None, list[Receipt]]]:
    """Jobs with the job whose shards each read, those that are read first."""
    names = {note.slice for note, _ in jobs}
    left = [(note, _source(every, names - {note.slice}), every) for note, every in jobs]
    ordered: list[tuple[RunNote, str | None, list[Receipt]]] = []
    while left:
        known = {note.slice for note, *_ in ordered}
        ready = [job for job in left if job[1] is None or job[1] in known] or left  # a circle: as they come
        ordered += ready
        left = [job for job in left if job not in ready]
    return ordered


def _source(every: Iterable[Receipt], jobs: set[str]) -> str | None:
    for receipt in every:
        for path in receipt.inputs[:1]:
            folder = posixpath.basename(posixpath.dirname(posixpath.dirname(path)))
            if folder in jobs and not path.startswith(f"{RUN}/"):
                return folder
    return None


# ------------------------------------------------------------------------------------------------ rows


@dataclass
class _Stage:
    """The sums of one stage."""

    name: str
    read: int = 0
    read_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    joined: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    dropped_bytes: dict[str, int] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    counted: bool = True  # every sample was counted

    def add(self, receipt: Receipt) -> None:
        self.read += receipt.read
        self.read_bytes += receipt.read_bytes
        self.kept += receipt.kept
        self.kept_bytes += receipt.bytes
        self.joined += sum(out.records for role, out in receipt.outputs.items() if role.split(":")[0] == "joined")
        for rule, number in receipt.dropped.items():
            self.dropped[rule] = self.dropped.get(rule, 0) + number
            self.dropped_bytes[rule] = self.dropped_bytes.get(rule, 0) + receipt.dropped_bytes.get(rule, 0)
        for rule, sample in receipt.samples.items():
            has = self.samples.get(rule, Sample())
            self.samples[rule] = Sample(
                has.documents + sample.documents, has.bytes + sample.bytes, has.tokens + sample.tokens
            )
        self.counted &= not receipt.samples or bool(receipt.sample_tokenizer)

    @property
    def measured(self) -> bool:
        """False when the bytes read were not counted."""
        return bool(self.read_bytes) or not (self.kept_bytes or self.kept)

    def tokens(self, rule: str) -> tuple[float | None, bool]:
        """Tokens of what a rule dropped, by the tokens a byte of its sample; False when all of it is in the sample."""
        size, sample = self.dropped_bytes[rule], self.samples.get(rule, Sample())
        if not size:
            return (0 if self.measured else None), False
        if not sample.bytes or not self.counted:
            return None, True
        return sample.tokens * size / sample.bytes, sample.bytes != size

    def drops(self) -> list[Row]:
        ordered = sorted(self.dropped, key=lambda rule: (-self.dropped[rule], rule))
        return [
            Row(
                "dropped",
                self.name,
                rule,
                self.dropped[rule],
                self.dropped_bytes[rule] if self.measured or self.dropped_bytes[rule] else None,
                *self.tokens(rule),
            )
            for rule in ordered
        ]


def _rows(stages: Sequence[str], every: Sequence[Receipt], *, rereads: bool) -> list[Row]:
    """The rows of receipts, by stage; ``rereads``: a later stage may read again all that the first read."""
    sums = {name: _Stage(name) for name in stages}
    for receipt in every:
        sums.setdefault(receipt.stage, _Stage(receipt.stage)).add(receipt)
    rows: list[Row] = []
    raw = raw_bytes = carry = carry_bytes = 0
    measured, first = True, None
    for stage in sums.values():
        if not stage.read:
            continue
        read, read_bytes = stage.read + stage.joined, stage.read_bytes
        if rereads and first is not None and read != carry and read == first.read:
            rows, raw, raw_bytes, carry, carry_bytes = [], 0, 0, 0, 0
        first = first or stage
        measured &= stage.measured
        if read > carry:
            raw, raw_bytes = raw + read - carry, raw_bytes + read_bytes - carry_bytes
        elif read < carry:
            lost = carry_bytes - read_bytes
            rows.append(Row("missing", stage.name, "", carry - read, lost if measured else None, None))
        else:
            read_bytes = carry_bytes
        rows += stage.drops()
        if stage.joined:
            rows.append(Row("joined", stage.name, "", stage.joined))
        changed = read_bytes - sum(stage.dropped_bytes.values()) - stage.kept_bytes
        if changed and stage.measured:
            rows.append(Row("changed", stage.name, "", 0, changed, None, True))
        carry, carry_bytes = stage.kept, stage.kept_bytes
    published = [receipt for receipt in every if is_published(receipt)]
    documents, size = sum(r.kept for r in published), sum(r.bytes for r in published)
    if carry != documents:
        rows.append(Row("missing", stages[-1] if stages else "", "", carry - documents, carry_bytes - size, None))
    counted = all(receipt.tokenizer for receipt in published if receipt.kept)
    tokens = sum(receipt.tokens for receipt in published) if counted else None
    rows = [_estimated(row, tokens / size if size and tokens is not None else None) for row in rows]
    top = Row("raw", "", "", raw, raw_bytes if measured else None, *_sum(tokens, rows))
    return [top, *rows, Row("published", "", "", documents, size, tokens)]


def _estimated(row: Row, rate: float | None) -> Row:
    """Tokens of text that steps changed, or of missing texts: by the tokens a byte of what was published."""
    if row.kind not in ("changed", "missing") or row.bytes is None or rate is None:
        return row
    return replace(row, tokens=row.bytes * rate, estimated=True)


def _sum(tokens: int | None, rows: Sequence[Row]) -> tuple[float | None, bool]:
    if tokens is None:
        return None, False
    total: float = tokens
    for row in rows:
        if row.tokens is None:
            return None, True
        total += row.tokens
    return total, any(row.estimated for row in rows)
