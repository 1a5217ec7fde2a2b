from typing import Any

PATHS: tuple[str, ...]
"""The ways to permute that this machine has, the fastest last; all give the same."""

NGRAM_MAX: int
"""Most words of a shingle."""

def prepare(classes: bytes) -> None:
    """Take the class of each of the first 0x20000 code points. Comes before all but :func:`sign` and band_keys.

    Raises :class:`ValueError` for another number of bytes, or a class that there is not.
    """

def signatures(texts: Any, ngram: int, a: Any, b: Any, out: Any, has: Any) -> None:
    """Write the signature of each text to ``out``, and to ``has`` whether it has a shingle (else its row is zeros).

    ``a``, ``b``: uint32, one a permutation. ``out``: uint32, (texts, permutations). ``has``: a byte a text.
    Raises :class:`TypeError` for what is not a str, :class:`ValueError` if the arrays do not fit.
    """

def sign(hashes: Any, a: Any, b: Any, out: Any, path: str) -> None:
    """Write the signature of a set of uint32 ``hashes`` to ``out``, by one of ``PATHS``."""

def sign_v2(hashes: Any, a: Any, b: Any, out: Any) -> None:
    """Write the signature of a set of uint32 ``hashes`` to ``out`` (uint32), with permutations ``a``, ``b`` (uint64) as
    RedPajama-V2 has them."""

def shingles(text: str, ngram: int) -> bytes:
    """The uint64 hashes of a text's shingles, in its order and with repetition."""

def sifted(texts: Any, ngram: int, sieve: Any) -> bytes:
    """The shingles of texts that pass a sieve (uint64, a power of two of them), in order: three uint64 for each, the
    text's number, the shingle's in the text, its hash.

    Raises :class:`TypeError` for what is not a str, :class:`ValueError` for another sieve.
    """

def words(text: str) -> bytes:
    """The words of a text in lower-case UTF-8, a zero byte after each. Raises :class:`TypeError` for another type."""

def band_keys(signatures: Any, permutations: int, bands: int, rows: int, out: Any) -> None:
    """Write a uint64 a band to ``out`` for each signature (uint32)."""
