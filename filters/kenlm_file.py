"""Reads the head of a binary KenLM model for the kernel in ``_perplexity.c``: where everything lies in the file.

The file is mapped and not read: one of gigabytes is open at once, and all processes share one copy. What its head says
is held against the size of the file, so that a file that is cut short or damaged there is refused; the kernel looks at
each number within. Format: KenLM's version 5, every kind of it (probing or trie; quantised, with compressed pointers).
"""

from __future__ import annotations

import mmap
import struct
from typing import NamedTuple

import numpy as np

MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0"
TEXT_MARK = b"\\data\\"  # in the first bytes of a model in text (ARPA)
HEAD = struct.Struct("<56s3f3IQ")  # the magic, then numbers that tell whether the file is of a machine like this one
HEAD_NUMBERS = (0.0, 1.0, -0.5, 1, 0xFFFFFFFF, 0, 1)
FIXED = struct.Struct("<B3xfi?3xI")  # order, multiplier of hash tables, kind, has the words' text, version of the kind
KINDS = ("probing", "probing with rest costs", "trie", "quantised trie", "trie with compressed pointers",
         "quantised trie with compressed pointers")  # fmt: skip
PROBING, REST_PROBING, TRIE, QUANT_TRIE, ARRAY_TRIE, QUANT_ARRAY_TRIE = range(6)
ORDER_MAX = 6  # as the package kenlm is compiled
QUANTISED_BITS_MAX = 25
ENTRIES_MAX = 1 << 56  # of an order, so that no sum below overflows


Bytes = mmap.mmap | bytes | bytearray


class BrokenModelError(ValueError):
    """What is wrong with a model file."""


class Level(NamedTuple):
    """What there is of an order of n-grams: places in the file, in bytes, and entries. See ``_perplexity.c``."""

    at: int
    entries: int
    array_at: int = 0
    array_entries: int = 0
    inline_bits: int = 0
    prob_at: int = 0
    backoff_at: int = 0


class Layout(NamedTuple):
    """Where everything lies in a file. ``vocabulary``: place and entries; ``bound``: words, with <unk>; ``end``: where
    the numbers end and the text of the words begins, if it is there (``has_words``)."""

    kind: int
    vocabulary: tuple[int, int]
    bound: int
    prob_bits: int
    backoff_bits: int
    levels: tuple[Level, ...]
    end: int
    has_words: bool


def is_text(path: str) -> bool:
    """Whether a model is one in text (ARPA), which only KenLM's library reads."""
    with open(path, "rb") as file:
        return TEXT_MARK in file.read(4096)


def read_layout(data: Bytes) -> Layout:
    """The layout of a file by its head. Raises :class:`BrokenModelError`."""
    start = HEAD.size
    if len(data) < start + FIXED.size:
        raise BrokenModelError(f"it has {len(data)} bytes, less than the head")
    magic, *numbers = HEAD.unpack_from(data)
    if not magic.startswith(MAGIC):
        raise BrokenModelError("it does not begin as a binary model of version 5 does")
    if tuple(numbers) != HEAD_NUMBERS or magic.strip(b"\0") != MAGIC.strip(b"\0"):
        raise BrokenModelError("the numbers in its head are damaged, or of another kind of machine")
    order, multiplier, kind, has_words, version = FIXED.unpack_from(data, start)
    if not 0 <= kind < len(KINDS):
        raise BrokenModelError(f"it is of kind {kind}, there are {len(KINDS)}")
    if not 2 <= order <= ORDER_MAX:
        raise BrokenModelError(f"it has n-grams of up to {order} words, 2 to {ORDER_MAX} can be read")
    if version != (0 if kind < TRIE else 1):
        raise BrokenModelError(f"it is a {KINDS[kind]} of version {version}")
    if len(data) < start + FIXED.size + 8 * order:
        raise BrokenModelError("it ends in its head")
    counts = struct.unpack_from(f"<{order}Q", data, start + FIXED.size)
    if max(counts) > ENTRIES_MAX or not 1 <= counts[0] < 0xFFFFFFFE:
        raise BrokenModelError(f"it has {', '.join(map(str, counts))} n-grams")
    after = -(-(start + FIXED.size + 8 * order) // 8) * 8
    if kind < TRIE:
        layout = _probing(data, kind, multiplier, counts, after, has_words)
    else:
        layout = _trie(data, kind, counts, after, has_words)
    if layout.end > len(data):
        raise BrokenModelError(f"it has {len(data)} bytes, by its head they are {layout.end} at least")
    if layout.has_words and data[layout.end : layout.end + 6] != b"<unk>\0":
        raise BrokenModelError("its words do not begin where its numbers end")
    return layout


def _number(data: Bytes, form: str, at: int) -> int:
    """A number that may lie beyond the end of the file."""
    if at + struct.calcsize(form) > len(data):
        raise BrokenModelError(f"it ends before byte {at}")
    number: int = struct.unpack_from(form, data, at)[0]
    return number


def _probing(data: Bytes, kind: int, multiplier: float, counts: tuple[int, ...], at: int, has_words: bool) -> Layout:
    """Hash tables, of one slot more than entries at least: the words; the weights of single words; the n-grams."""
    if not 1.0 <= multiplier < 1e6:
        raise BrokenModelError(f"its hash tables are {multiplier} times as large as what is in them")
    slots = [max(count + 1, int(np.float32(multiplier) * np.float32(count))) for count in counts]
    if (version := _number(data, "<I", at)) != 0:
        raise BrokenModelError(f"its words are of version {version}")
    bound = _number(data, "<I", at + 4)
    if not 1 <= bound <= counts[0] + 1:
        raise BrokenModelError(f"it has {bound} words and {counts[0]} single words")
    vocabulary = (at + 8, slots[0])
    at += 8 + 12 * slots[0]
    rest = 4 * (kind == REST_PROBING)
    levels = [Level(at, counts[0])]
    at += (8 + rest) * (counts[0] + 1)
    for n, size in enumerate(slots[1:], start=2):
        levels.append(Level(at, size))
        at += size * (12 if n == len(counts) else 16 + rest)
    return Layout(kind, vocabulary, bound, 0, 0, tuple(levels), at, has_words)


def _trie(data: Bytes, kind: int, counts: tuple[int, ...], at: int, has_words: bool) -> Layout:
    """The sorted hashes of the words, values of quantised numbers, the single words, then a level an order, packed."""
    order = len(counts)
    words = _number(data, "<Q", at)
    if not 0 <= words <= counts[0]:
        raise BrokenModelError(f"it has {words} words and {counts[0]} single words")
    vocabulary = (at + 8, words)
    at += 8 + 8 * counts[0]
    prob_bits = backoff_bits = 0
    tables = [(0, 0)] * order
    if kind in (QUANT_TRIE, QUANT_ARRAY_TRIE):
        version, prob_bits, backoff_bits = (_number(data, "<B", at + i) for i in range(3))
        if version != 2 or not 1 <= prob_bits <= QUANTISED_BITS_MAX or not 1 <= backoff_bits <= QUANTISED_BITS_MAX:
            raise BrokenModelError(
                f"its numbers are quantised by version {version}, {prob_bits} and {backoff_bits} bits"
            )
        at += 8
        for n in range(1, order):
            tables[n] = (at, at + (4 << prob_bits))
            at += (4 << prob_bits) + (4 << backoff_bits) * (n < order - 1)
    levels = [Level(at, counts[0])]
    at += 16 * (counts[0] + 2)
    word_bits = counts[0].bit_length()
    array_bits = _number(data, "<B", at + 1) if kind in (ARRAY_TRIE, QUANT_ARRAY_TRIE) and order > 2 else None
    if array_bits is not None and (version := _number(data, "<B", at)) != 0:
        raise BrokenModelError(f"its pointers are compressed by version {version}")
    weights = prob_bits + backoff_bits if prob_bits else 63
    for n in range(1, order - 1):
        inline_bits = counts[n + 1].bit_length()
        array_at = array_entries = 0
        if array_bits is not None:
            inline_bits, array_entries = _split_pointers(counts[n] + 1, counts[n + 1], array_bits)
            array_at = -(-at // 8) * 8 + 8
            at += 8 * (1 + array_entries) + 7
        levels.append(Level(at, counts[n], array_at, array_entries, inline_bits, *tables[n]))
        at += _packed(counts[n], word_bits + weights + inline_bits)
    levels.append(Level(at, counts[-1], prob_at=tables[-1][0]))
    at += _packed(counts[-1], word_bits + (prob_bits or 31))
    return Layout(kind, vocabulary, words + 1, prob_bits, backoff_bits, tuple(levels), at, has_words)


def _packed(entries: int, bits: int) -> int:
    """Bytes of so many entries, one more, and 8 so that each can be read as 8 bytes."""
    return ((1 + entries) * bits + 7) // 8 + 8


def _split_pointers(entries: int, largest: int, most: int) -> tuple[int, int]:
    """How many bits of a pointer stand beside its entry, and how many upper bits there are a table of: the split that
    takes least, of those with at most ``most`` upper bits."""
    bits = largest.bit_length()
    costs = [(largest >> (bits - upper)) * 64 - entries * upper for upper in range(min(bits, most) + 1)]
    upper = costs.index(min(costs))
    return bits - upper, (largest >> (bits - upper)) + 1
