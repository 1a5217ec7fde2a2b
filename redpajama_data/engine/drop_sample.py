"""A sample of what the rules drop, to estimate its tokens: the same documents in every run, and little of each."""

from __future__ import annotations

import ctypes
from zlib import crc32

from redpajama_data.engine.receipts import Sample
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import tokenizer_for

ONE_IN = 16  # documents that a rule drops, by their ids; and the first with a text of each rule in a task
PIECE = 16 << 10  # characters of a document that count: the sample of a rule is of documents, not of one long one
RULE_BYTES = 256 << 10  # bytes of a rule's sample in a task, from which on nothing is added

Text = str | bytes

_as_utf8 = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.POINTER(ctypes.c_ssize_t))(
    ("PyUnicode_AsUTF8AndSize", ctypes.pythonapi)
)


def utf8_length(text: Text) -> int:
    """Bytes of a text in UTF-8 (bytes are taken as they are). A lone surrogate counts 1, as in the token counts.

    The string keeps its UTF-8 form, so that whoever encodes it next (hash, tokenizer, JSON) only copies: counting a
    text takes less than it saves.
    """
    if isinstance(text, bytes) or text.isascii():
        return len(text)
    size = ctypes.c_ssize_t()
    try:
        _as_utf8(text, ctypes.byref(size))
    except UnicodeEncodeError:
        return len(text.encode("utf-8", "replace"))
    return size.value


def takes(doc_id: str) -> bool:
    """True for one of :data:`ONE_IN` documents, by the CRC-32 of file name and ordinal: wherever the raw file lies."""
    return crc32(doc_id.rpartition("/")[2].encode("utf-8", "replace")) % ONE_IN == 0


class DropSample:
    """The samples of one task, by rule. Holds at most :data:`RULE_BYTES` and one piece a rule."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[str]] = {}
        self._bytes: dict[str, int] = {}

    def add(self, rule: str, doc_id: str, text: Text) -> None:
        """Take the beginning of a dropped text if the sample wants it; an empty one says nothing of tokens."""
        if rule not in self._pieces:
            if not text:
                return
            self._pieces[rule], self._bytes[rule] = [], 0
        elif not text or self._bytes[rule] >= RULE_BYTES or not takes(doc_id):
            return
        piece = text[:PIECE]
        piece = piece.decode("utf-8", "replace") if isinstance(piece, bytes) else piece
        self._pieces[rule].append(piece)
        self._bytes[rule] += utf8_length(piece)

    def count(self, tokenizer: ModelFile | None) -> dict[str, Sample]:
        """The sample of each rule, its tokens counted; without a tokenizer they are 0."""
        tokens = dict.fromkeys(self._pieces, 0)
        if tokenizer is not None:
            for rule, pieces in self._pieces.items():
                tokens[rule] = sum(tokenizer_for(tokenizer).count(pieces))
        return {rule: Sample(len(pieces), self._bytes[rule], tokens[rule]) for rule, pieces in self._pieces.items()}
