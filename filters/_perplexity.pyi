from collections.abc import Callable
from typing import Any

class Model:
    """A SentencePiece and a KenLM model of a language. The buffers hold little-endian numbers and must not change.

    ``pieces``: their UTF-8, sorted, one after the other, up to ``ends`` (uint32); ``kinds`` (uint8) is 1 for those that
    the user defined; ``scores`` (float32); ``unknown`` is that of an unknown character. ``charsmap``: SentencePiece's
    compiled rules, or None. ``dummy_prefix``, ``squeeze``, ``by_word``: see :class:`filters.piece_model.PieceModel`.
    ``glyphs`` gives a page of characters, ``normalize`` a whole text, see :mod:`filters.ccnet_normalize`.

    ``words``: the mapped KenLM file. ``kind`` to ``levels``: see :class:`filters.kenlm_file.Layout`; 7 uint64 a level.
    ``file``: (descriptor, size, time of change in nanoseconds); when that is no longer so, a call raises ``changed``,
    when the numbers in the file are damaged, ``damaged``: (exception, message).
    Raises :class:`ValueError` if they do not fit each other, or the file.
    """

    def __new__(
        cls,
        *,
        pieces: Any,
        ends: Any,
        kinds: Any,
        scores: Any,
        unknown: float,
        charsmap: bytes | None,
        dummy_prefix: bool,
        squeeze: bool,
        by_word: bool,
        glyphs: Callable[[int], bytes],
        normalize: Callable[[str], str],
        words: Any,
        kind: int,
        bound: int,
        vocabulary: tuple[int, int],
        prob_bits: int,
        backoff_bits: int,
        levels: bytes,
        file: tuple[int, int, int],
        changed: tuple[type[Exception], str],
        damaged: tuple[type[Exception], str],
    ) -> Model: ...
    def measure(self, text: str, /) -> tuple[float, int] | None:
        """The log10 probability of a text's pieces between <s> and </s>, and how many words str.split() makes of them;
        None for a text without pieces. Raises :class:`UnicodeEncodeError` at a lone surrogate."""
    def pieces(self, text: str, /) -> list[str]:
        """The pieces of a text, as :meth:`measure` cuts it."""
    def score(self, sentence: str, /) -> float:
        """The log10 probability of the words between blanks of a sentence; they need not be pieces."""
