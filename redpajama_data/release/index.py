"""An index for ``rpj find``: which shards cannot have what is asked for. They are not read.

Of each shard it is a Bloom filter of its words, pairs of words, addresses and hosts. What is found is found in the
shards themselves, so an answer is exact with an index as without.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from redpajama_data.engine import receipts
from redpajama_data.engine.slice_run import slices_of
from redpajama_data.errors import BrokenInput, InputUnavailable
from redpajama_data.io import storage

JOB = "index"
FORM = 1  # of the keys: filters of another form rule nothing out
Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
_POSITIONS = 2  # bits of a key
_FULL = 0.5  # share of the bits that are set, at most: then a quarter of the keys that are not there seem to be
_ALONE = 4  # keys of an address or a host, as a query has nothing else: 0.4 % seem to be there; a phrase has many keys
_SMALLEST, _LARGEST = 1 << 13, 1 << 29  # bits of a filter: 64 MB in memory; a fuller one rules out less
_BITS_PER_BYTE = 4  # bits to begin with for a byte of a packed shard, which has a pair of words in three or more
_WINDOW = 1 << 18  # bytes of a text that are looked at together; more for a word that ends later
_NO_SPACES = 0x2E80  # scripts from here on put no spaces between words: pairs of their characters count as well
_ADDRESS, _HOST = 1, 5  # the first of their seeds, so that neither is taken for a word or for the other
_NEXT = np.uint64(0x9E3779B97F4A7C15)  # odd: of the first word of a pair
_LOOKED = 64  # bytes of a word that tell it from others
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)  # the first bytes of eight
_ONES = np.array([byte.bit_count() for byte in range(256)], np.uint8)
# Every character beyond ASCII is taken for a letter: what Unicode calls one changes with the version of Python.
_LETTER = np.array([byte >= 0x80 or chr(byte).isalnum() or byte == ord("_") for byte in range(256)])
_BREAK = re.compile(rb"[^0-9A-Za-z_\x80-\xff]")


def keys_of_texts(texts: Sequence[str]) -> Iterator[Keys]:
    """The keys of the words of texts, and of each pair of words that follow each other, a window at a time: a text of
    any length takes the memory of one."""
    data = "\n".join(texts).encode("utf-8", "surrogatepass")
    start, last = 0, np.zeros(0, np.uint64)
    while start < len(data):
        end = _BREAK.search(data, min(start + _WINDOW, len(data)))
        window = data[start : end.start()] if end else data[start:]
        numbers = _numbers(window, *_words(window))
        yield numbers
        yield _pairs(np.concatenate([last, numbers]))
        if not window.isascii():  # a window ends at an ASCII character: no pair of others is cut
            yield _of_characters(window.decode("utf-8", "surrogatepass"))
        start, last = start + len(window) + 1, numbers[-1:]


def _words(data: bytes) -> tuple[Ints, Ints]:
    """Where the words of UTF-8 text begin and end."""
    edges = np.flatnonzero(np.diff(np.take(_LETTER, np.frombuffer(data, np.uint8)), prepend=False, append=False))
    return edges[::2], edges[1::2]


def _numbers(data: bytes, begins: Ints, ends: Ints) -> Keys:
    """The numbers of words, by their first 64 bytes: eight bytes at a time, of all words at once."""
    padded = data + bytes(8)
    eights = np.ndarray((len(data) + 1,), "<u8", padded, strides=(1,))
    lengths = ends - begins
    numbers: Keys = _mixed(eights[begins] & _MASKS[np.minimum(lengths, 8)])
    for done in range(8, _LOOKED, 8):
        longer = np.flatnonzero(lengths > done)
        if not len(longer):
            break
        part = eights[begins[longer] + done] & _MASKS[np.minimum(lengths[longer] - done, 8)]
        numbers[longer] = _mixed(numbers[longer] * _NEXT + part)
    return numbers


def _mixed(numbers: Keys) -> Keys:
    """The finalizer of MurmurHash3: every bit depends on all."""
    mixed: Keys = numbers
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 1):
        mixed = (mixed ^ mixed >> np.uint64(33)) * np.uint64(factor)
    return mixed


def keys_of_query(text: str) -> Keys:
    """Keys that are in the filter of every shard that has a text with this part, which may begin and end within a
    word; none when nothing is sure."""
    data = text.encode("utf-8", "surrogatepass")
    begins, ends = _words(data)
    whole = (begins > 0) & (ends < len(data))
    numbers = _numbers(data, begins[whole], ends[whole])
    return np.concatenate([_pairs(numbers), numbers, _of_characters(text)])


def keys_of_url(url: str) -> Keys:
    """The keys of an address."""
    return _alone(url, _ADDRESS)


def keys_of_host(host: str) -> Keys:
    """The keys of a host, in lower case."""
    return _alone(host, _HOST)


def keys_of_address(url: str) -> Keys:
    """The keys of a document's address: of all of it, of its host, and of each host above that."""
    found = [keys_of_url(url)]
    labels = (host_of(url) or "").split(".")
    found += [keys_of_host(".".join(labels[place:])) for place in range(len(labels)) if labels[place:] != [""]]
    return np.concatenate(found)


def host_of(url: str) -> str | None:
    """The host of an address, in lower case; None when there is none."""
    try:
        return (urllib.parse.urlsplit(url).hostname or "").rstrip(".") or None
    except ValueError:
        return None


def _pairs(numbers: Keys) -> Keys:
    found: Keys = numbers[:-1] * _NEXT + numbers[1:]
    return found


def _of_characters(text: str) -> Keys:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    both = (codes[:-1] >= _NO_SPACES) & (codes[1:] >= _NO_SPACES)
    return _mixed(codes[:-1][both] << np.uint64(32) | codes[1:][both])


def _alone(text: str, seed: int) -> Keys:
    data = text.encode("utf-8", "surrogatepass")
    return np.array([xxh3_64_intdigest(data, seed + turn) for turn in range(_ALONE)], np.uint64)


class Filter:
    """A Bloom filter that is being made: ``packed`` is the size of the shard, which says how large it begins."""

    def __init__(self, packed: int) -> None:
        wanted = 1 << (max(1, _BITS_PER_BYTE * packed) - 1).bit_length()
        self._bits = np.zeros(min(max(wanted, _SMALLEST), _LARGEST) // 8, np.uint8)

    def add(self, keys: Keys) -> None:
        """Enter keys."""
        places = np.stack(list(_places(keys, 8 * len(self._bits))))
        fresh = (self._bits[places >> np.uint64(3)] & _bit(places) == 0).any(axis=0)  # most words were there before
        places = places[:, fresh].ravel()
        np.bitwise_or.at(self._bits, places >> np.uint64(3), _bit(places))

    def encode(self) -> bytes:
        """As bytes: halved as long as not too many bits are set."""
        bits = self._bits
        while 8 * len(bits) > _SMALLEST:
            half = bits[: len(bits) // 2] | bits[len(bits) // 2 :]
            if _set(half) > _FULL * 8 * len(half):
                break
            bits = half
        return bits.tobytes()


def _places(keys: Keys, bits: int) -> Iterator[Keys]:
    step = keys >> np.uint64(32) | np.uint64(1)
    for turn in range(_POSITIONS):
        yield (keys + np.uint64(turn) * step) & np.uint64(bits - 1)


def _bit(place: Any) -> Any:
    return np.left_shift(1, (place & np.uint64(7)).astype(np.uint8), dtype=np.uint8)


def _set(bits: npt.NDArray[np.uint8]) -> int:
    step = 1 << 20
    return sum(int(_ONES[bits[i : i + step]].sum(dtype=np.int64)) for i in range(0, len(bits), step))


@dataclass(frozen=True)
class Index:
    """The filters of a root by the SHA-256 of the shard: path from the root, and size in bytes. A shard that has been
    written anew since has none."""

    root: str
    filters: dict[str, tuple[str, int]]

    def __bool__(self) -> bool:
        return bool(self.filters)

    def rules_out(self, sha256: str, keys: Keys) -> bool:
        """Whether a shard cannot have a record with all these keys. A filter that is gone or cut short rules nothing
        out."""
        if sha256 not in self.filters or not len(keys):
            return False
        path, size = self.filters[sha256]
        try:
            with storage.open_input(storage.join(self.root, path)) as file:
                return any(not _is_set(file, bit) for places in _places(keys, 8 * size) for bit in places.tolist())
        except (BrokenInput, InputUnavailable):
            return False


def _is_set(file: Any, bit: int) -> bool:
    file.seek(bit >> 3)
    byte: bytes = file.read(1)
    return not byte or bool(byte[0] >> (bit & 7) & 1)


def load(root: str) -> Index:
    """The index of a root; without one it rules nothing out."""
    if all(note.slice != JOB for note in slices_of(root)):
        return Index(root, {})
    made = receipts.load_all(root, JOB)
    filters = {
        one.notes["shard"]: (one.outputs["filter"].path, one.outputs["filter"].bytes)
        for one in made
        if "filter" in one.outputs and one.notes.get("form") == FORM
    }
    return Index(root, filters)
