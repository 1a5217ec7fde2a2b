from collections.abc import Iterable

class Table:
    """Numbers of texts, from pairs of str and int (64 bits); of equal texts the last pair counts.

    Takes about 40 bytes a text beside the text. Raises :class:`TypeError` for anything but such pairs.
    """

    def __new__(cls, pairs: Iterable[tuple[str, int]], /) -> Table: ...
    def __len__(self) -> int: ...
    def get(self, text: str, /) -> int | None: ...
    def set(self, text: str, value: int, /) -> None: ...

def signals_json(
    text: str,
    stop_words: Table | None,
    bad_words: Table | None,
    phrases: Table | None,
    phrase_starts: Table | None,
    before: bytes,
    after_content: bytes,
    after: bytes,
    with_lines: bool,
    max_lines: int,
    by_regex: bool,
    /,
) -> bytes:
    """``before``, the signals of ``text`` as the members of a JSON object in the published order, ``after``.

    Without ``stop_words`` (``bad_words``) their signal is left out. ``phrases`` are the bad ones of several words,
    joined by a blank, ``phrase_starts`` their first words with the number of words in the longest. ``after_content`` is
    put behind the content signals; it is nothing, or ends in a comma. ``with_lines``: the signals of lines too, which
    take 450 bytes of memory a line. ``by_regex``: \\w and \\s of the regex library,
    not of re. Raises :class:`ValueError` for a text of 2**28 characters or more, and ``with_lines`` for one of more
    than ``max_lines`` lines.
    """

def hash_features(text: str, buckets: int, k0: int, k1: int, rounds: int, by_regex: bool, /) -> bytes:
    """How many raw words of ``text``, and pairs of words that follow each other, fall into each of ``buckets``.

    The bucket is ``abs(hash(x)) % buckets`` with CPython's hash of str and of tuple under the SipHash key ``k0, k1``
    (64 bits each), ``rounds`` 1 for SipHash-1-3, 2 for SipHash-2-4. One int64 a bucket, little-endian.
    """
