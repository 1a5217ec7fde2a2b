"""Shards, ids, ledgers and receipts of a root written anew without some documents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec

from redpajama_data.document import Drop
from redpajama_data.engine import receipts
from redpajama_data.engine.receipts import Output, Receipt, Sample
from redpajama_data.engine.replacing import Replacement
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.engine.tasks import INTERMEDIATE_LEVEL
from redpajama_data.engine.tombstones import RULE, Forgotten, Tombstone, drop_of
from redpajama_data.errors import NOT_JSON, UsageError
from redpajama_data.io import storage
from redpajama_data.io.lines import iter_lines
from redpajama_data.io.root_paths import RUN, WITHIN, task_path
from redpajama_data.io.shards import LineWriter, read_jsonl, to_json
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import tokenizer_for
from redpajama_data.release.gone import Gone

LEVEL = 3  # zstd of published shards, as by default
_NAMES = ("id", "measured", "survivor", "decided_by")  # fields of a ledger that may name a line of a shard


class _Stored(msgspec.Struct):
    id: str
    text: str


_decode_stored = msgspec.json.Decoder(_Stored).decode


class Rewriting:
    """Puts the new versions of all files of a root that change into a replacement."""

    def __init__(
        self, root: str, change: Replacement, gone: Gone, forgotten: Forgotten, tokenizer: ModelFile | None
    ) -> None:
        self._root, self._change, self._gone, self._forgotten = root, change, gone, forgotten
        self._tokenizer = tokenizer
        self.may_hold: set[str] = set()  # files on the way to a shard that have an equal text still

    def all_receipts(self) -> None:
        """Every task that published such a document, stored it on the way, or read a shard that had it."""
        for note in slices_of(self._root):
            found: dict[str, list[Receipt]] = {name: [] for name in note.stages}  # what is stored before what is read
            for receipt in receipts.load_all(self._root, note.slice):
                found.setdefault(receipt.stage, []).append(receipt)
            for receipt in (receipt for stage in found.values() for receipt in stage):
                if note.kind == "slice":
                    self._slice_task(receipt)
                elif any(path.removeprefix(WITHIN) in self._gone.lines for path in receipt.inputs) or any(
                    out.path in self._gone.lines for out in receipt.outputs.values()
                ):
                    self._job_task(receipt, corpus=note.kind == "corpus")

    def _slice_task(self, receipt: Receipt) -> None:
        drops: list[bytes] = []
        changed = False
        for role, out in list(receipt.outputs.items()):
            if role.split(":")[0] == "published" and out.path in self._gone.lines:
                changed = True
                self._published(receipt, role, drops)
            elif role.split(":")[0] not in ("published", "ids", "drops") and out.path.endswith(".jsonl.zst"):
                changed |= self._stored(receipt, role, drops)
        if changed:
            self._ledger(receipt, drops)
            self._change.receipt(receipt)

    def _job_task(self, receipt: Receipt, *, corpus: bool) -> None:
        published = [role for role in receipt.outputs if role.split(":")[0] == "published"]
        if not corpus:  # what only says something of documents is taken away; the next run of the job says it anew
            outside = [out.path for out in receipt.outputs.values() if not out.path.startswith(f"{RUN}/")]
            if outside:
                for out in receipt.outputs.values():
                    self._change.remove(out.path)
                self._change.remove(task_path("", receipt.slice, receipt.stage, receipt.task, "receipt.json"))
        elif not published:
            self._reading(receipt)
        else:
            drops: list[bytes] = []
            for role in published:
                self._published(receipt, role, drops)
            self._ledger(receipt, drops)
            self._change.receipt(receipt)

    def _reading(self, receipt: Receipt) -> None:
        """A stage of a job that reads a shard and publishes nothing: of what goes it has only numbers, and it is done
        again when the job is. Its counts are those of the shard that is there now."""
        gone = self._gone.lines.get(receipt.inputs[0].removeprefix(WITHIN), {}) if receipt.inputs else {}
        if not gone or receipt.read < len(gone) or receipt.kept < len(gone):
            return
        receipt.read -= len(gone)
        receipt.kept -= len(gone)
        receipt.read_bytes = max(0, receipt.read_bytes - sum(gone.values()))
        receipt.bytes = max(0, receipt.bytes - sum(gone.values()))
        self._change.receipt(receipt)

    # -------------------------------------------------------------------------------------------- files

    def _published(self, receipt: Receipt, role: str, drops: list[bytes]) -> None:
        """Write a published shard and its ids without the lines that go."""
        out = receipt.outputs[role]
        ids_role = role.replace("published", "ids", 1)
        lines = self._gone.lines.get(out.path, {})
        ids = [line.decode() for line in self._lines(receipt.outputs[ids_role].path)]
        removed: list[str] = []
        with self._change.file(out.path) as file:
            writer = LineWriter(cast(Any, file), LEVEL)
            for n, line in enumerate(self._lines(out.path)):
                if n in lines:
                    text = _decode_text(line)
                    removed.append(text)
                    came = self._gone.size_of(ids[n])
                    came = self._gone.stored.get(ids[n]) if came is None else came
                    if came is None:
                        self._drop(receipt, ids[n], self._forgotten.of_text(text), text, drops)
                    else:  # it does not come to this task any more
                        receipt.read -= 1
                        receipt.read_bytes -= came
                else:
                    writer.write(line)
            writer.close()
        tokens = self._tokens(receipt, removed)
        size = sum(len(text.encode()) for text in removed)
        receipt.outputs[role] = Output(
            out.path,
            file.bytes,
            file.sha256,
            writer.records,
            out.text_bytes - size,
            out.tokens - tokens,
        )
        receipt.kept -= len(removed)
        receipt.bytes -= size
        receipt.tokens -= tokens
        receipt.characters -= sum(map(len, removed))
        kept = [self._gone.renumbered(doc_id).encode() for n, doc_id in enumerate(ids) if n not in lines]
        self._write(receipt, ids_role, kept)

    def _drop(self, receipt: Receipt, doc_id: str, stone: Tombstone | None, text: str, drops: list[bytes]) -> None:
        drop = drop_of(stone) if stone is not None else Drop(RULE)
        drops.append(to_json({"id": doc_id, "rule": drop.rule, "measured": drop.measured, "limit": drop.limit}))
        receipt.dropped[RULE] = receipt.dropped.get(RULE, 0) + 1
        size = len(text.encode("utf-8", "replace"))
        receipt.dropped_bytes[RULE] = receipt.dropped_bytes.get(RULE, 0) + size
        if self._tokenizer is not None and receipt.sample_tokenizer in ("", self._tokenizer.sha256):
            sample = receipt.samples.get(RULE, Sample())
            tokens = tokenizer_for(self._tokenizer).count([text])[0]
            receipt.samples[RULE] = Sample(sample.documents + 1, sample.bytes + size, sample.tokens + tokens)
            receipt.sample_tokenizer = self._tokenizer.sha256

    def _stored(self, receipt: Receipt, role: str, drops: list[bytes]) -> bool:
        """Write documents on their way without those that go; False when the file holds none of them, or is of another
        kind."""
        path = receipt.outputs[role].path
        removed: set[int] = set()
        for n, line in enumerate(self._lines(path)):
            try:
                stored = _decode_stored(line)
            except NOT_JSON:
                return False
            if stored.id in self._gone.records:
                size = len(stored.text.encode("utf-8", "replace"))
                self._gone.stored[stored.id] = size
                self._drop(receipt, stored.id, self._forgotten.of_record(stored.id), stored.text, drops)
                receipt.bytes -= size
                removed.add(n)
            elif self._forgotten.of_text(stored.text) is not None:  # a copy that a later stage drops, by its number
                self.may_hold.add(path)
        if removed:
            receipt.kept -= len(removed)
            self._write(receipt, role, (line for n, line in enumerate(self._lines(path)) if n not in removed))
        return bool(removed)

    def _ledger(self, receipt: Receipt, drops: list[bytes]) -> None:
        """Write the ledger anew: without lines that the shard read has no more, and with those dropped now."""
        if "drops" in receipt.outputs or drops:
            self._write(receipt, "drops", itertools.chain(self._entries(receipt), drops))
            if not receipt.outputs["drops"].records:
                self._change.remove(receipt.outputs.pop("drops").path)
        for rule in [rule for rule, count in receipt.dropped.items() if not count]:
            for sums in (receipt.dropped, receipt.dropped_bytes, receipt.samples):
                cast("dict[str, Any]", sums).pop(rule, None)

    def _entries(self, receipt: Receipt) -> Iterator[bytes]:
        if "drops" not in receipt.outputs:
            return
        for entry in read_jsonl(storage.join(self._root, receipt.outputs["drops"].path)):
            size = self._gone.size_of(str(entry["id"]))
            if size is not None:
                rule = str(entry["rule"])
                receipt.read -= 1
                receipt.read_bytes -= size
                receipt.dropped[rule] -= 1
                receipt.dropped_bytes[rule] = receipt.dropped_bytes.get(rule, 0) - size
                continue
            for name in _NAMES:
                if isinstance(entry.get(name), str):
                    entry[name] = self._gone.renumbered(entry[name])
            yield to_json(entry)

    def _write(self, receipt: Receipt, role: str, lines: Iterable[bytes]) -> None:
        there = receipt.outputs.get(role)
        path = there.path if there else task_path("", receipt.slice, receipt.stage, receipt.task, f"{role}.jsonl.zst")
        with self._change.file(path) as file:
            writer = LineWriter(cast(Any, file), INTERMEDIATE_LEVEL)
            for line in lines:
                writer.write(line)
            writer.close()
        receipt.outputs[role] = Output(path, file.bytes, file.sha256, writer.records)

    def _lines(self, path: str) -> Iterator[bytes]:
        return (cast(bytes, line) for line in iter_lines(storage.join(self._root, path), max_bytes=None))

    def _tokens(self, receipt: Receipt, texts: list[str]) -> int:
        if not receipt.tokenizer or not texts:
            return 0
        if self._tokenizer is None or self._tokenizer.sha256 != receipt.tokenizer:
            raise UsageError(
                f"{receipt.slice} was counted with a tokenizer of SHA-256 {receipt.tokenizer[:16]}. "
                "Give --tokenizer with its name or path: the totals are to be right afterwards."
            )
        return sum(tokenizer_for(self._tokenizer).count(texts))


class _Text(msgspec.Struct, gc=False):
    text: str


def _decode_text(line: bytes) -> str:
    return msgspec.json.decode(line, type=_Text).text
