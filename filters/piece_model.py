"""Reads a SentencePiece model for the kernel in ``_perplexity.c``: its pieces, and how it normalises.

The file is one message of Protocol Buffers. What the kernel does not do (byte pieces, other kinds of models, spaces as
they are) raises :class:`NotForKernelError`, and so does what cannot be read: SentencePiece then has the last word.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5  # types of pieces; 6, a byte, is not read
UNIGRAM = 1
SPACE = "▁"
PIECE_BYTES = 255  # the most of a piece that the kernel takes
_NEVER = re.compile(rb"[\0-\x20]")  # what normalised text has none of: KenLM cuts words at some of these


class NotForKernelError(ValueError):
    """Why a model is left to SentencePiece."""


class PieceModel(NamedTuple):
    """What the kernel takes. The pieces that a text may be cut into are sorted by their bytes."""

    pieces: bytes  # one after the other
    ends: npt.NDArray[np.uint32]
    kinds: npt.NDArray[np.uint8]  # 1: defined by the user
    scores: npt.NDArray[np.float32]
    unknown: float  # score of an unknown character
    charsmap: bytes | None
    dummy_prefix: bool
    squeeze: bool  # runs of spaces are one, those at both ends go
    by_word: bool  # no piece goes beyond a space: words can be cut one by one


def read_piece_model(data: bytes) -> PieceModel:
    """The model in the bytes of a ``.model`` file. Raises :class:`NotForKernelError`."""
    pieces: dict[bytes, tuple[float, int]] = {}
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    unknowns = 0
    lowest = math.inf
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text, score, kind = _piece(value)
            if not text or text in pieces:
                raise NotForKernelError(f"it has a piece {text!r} twice, or without text")
            pieces[text] = (score, kind)
            unknowns += kind == UNKNOWN
            if kind == NORMAL:
                lowest = min(lowest, score)
        elif number in (2, 3) and isinstance(value, bytes):
            (trainer if number == 2 else normalizer).update(_fields(value))
    if trainer.get(3, UNIGRAM) != UNIGRAM:
        raise NotForKernelError("it is not of the kind unigram")
    if trainer.get(35, 0) or trainer.get(24, 0) or not normalizer.get(5, 1):
        raise NotForKernelError("it has byte pieces, or treats spaces in another way")
    if unknowns != 1 or lowest == math.inf:
        raise NotForKernelError("it has no unknown piece or several, or no other")
    charsmap = normalizer.get(2, b"")
    if not isinstance(charsmap, bytes) or (charsmap and not _is_charsmap(charsmap)):
        raise NotForKernelError("its rules are damaged, or give other blanks than spaces")
    used = sorted(
        (text, _user_score(text) if kind == USER_DEFINED else score, kind)
        for text, (score, kind) in pieces.items()
        if kind in (NORMAL, USER_DEFINED) and not _NEVER.search(text)
    )
    texts = [text for text, _, _ in used]
    kept = [text.decode() for text, (_, kind) in pieces.items() if kind in (NORMAL, USER_DEFINED, UNUSED)]
    return PieceModel(
        pieces=b"".join(texts),
        ends=np.cumsum([len(text) for text in texts], dtype=np.uint32),
        kinds=np.array([kind == USER_DEFINED for _, _, kind in used], np.uint8),
        scores=np.array(
            [_user_score(text) if kind == USER_DEFINED else score for text, score, kind in used], np.float32
        ),
        unknown=float(np.float32(lowest) - np.float32(10.0)),
        charsmap=charsmap or None,
        dummy_prefix=bool(normalizer.get(3, 1)),
        squeeze=bool(normalizer.get(4, 1)),
        by_word=not any(SPACE in text.removeprefix(SPACE) for text in kept),
    )


def _user_score(text: bytes) -> float:
    """SentencePiece (0.2.3) prefers pieces that the user defined to all others, and the longer of them."""
    return 0.1 * (len(text) - 1)


def _piece(data: bytes) -> tuple[bytes, float, int]:
    """Text, score and type of a piece."""
    text, score, kind = b"", 0.0, NORMAL
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text = value
        elif number == 2 and isinstance(value, bytes) and len(value) == 4:
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            kind = value
    if kind not in (NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED) or not math.isfinite(score):
        raise NotForKernelError(f"it has a piece of type {kind}, score {score}")
    if kind in (NORMAL, USER_DEFINED) and (len(text) > PIECE_BYTES or (kind == USER_DEFINED and _NEVER.search(text))):
        raise NotForKernelError("it has a piece that is too long, or that the user defined with blanks")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise NotForKernelError("it has a piece that is not UTF-8") from error
    return text, score, kind


def _is_charsmap(data: bytes) -> bool:
    """Whether compiled rules are whole, as SentencePiece asks it: a trie in blocks of 1 KiB, then texts of UTF-8, each
    ended by a zero byte. None has a control character, which KenLM might take for a blank."""
    if len(data) <= 4:
        return False
    size = int.from_bytes(data[:4], "little")
    texts = data[4 + size :]
    if size < 1024 or size % 1024 or not texts.endswith(b"\0") or re.search(rb"[\x01-\x1f]", texts):
        return False
    try:
        texts.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: their numbers, and a number, or the bytes of what is fixed in size or has a length."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise NotForKernelError("it is no message of Protocol Buffers")
        if size > end - at:
            raise NotForKernelError("it ends in a field")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, and where it ends."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise NotForKernelError("it ends in a number")
