"""Perplexity with CCNet's pair of models: one kernel for all of it, or the libraries for models that it does not read.

Source: RedPajama-Data-1T, cc_net (perplexity: a SentencePiece and a KenLM model a language).
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
from typing import Any, Protocol

import numpy as np

from filters import _perplexity
from filters.ccnet_normalize import glyph_page, normalize
from filters.fasttext_model import CHANGED
from filters.kenlm_file import is_text, read_layout
from filters.piece_model import NotForKernelError, PieceModel, read_piece_model
from redpajama_data.errors import MissingModel

NO_PIECES = PieceModel(
    b"", np.empty(0, np.uint32), np.empty(0, np.uint8), np.empty(0, np.float32), 0.0, None, True, True, True
)


class Scorer(Protocol):
    """What gives the log10 probability of a text's pieces, and how many words the pieces are; None for no pieces."""

    def measure(self, text: str, /) -> tuple[float, int] | None: ...


class WithLibraries:
    """A :class:`Scorer` whose pieces are SentencePiece's. ``words`` scores a sentence: a kernel's model, or kenlm's."""

    def __init__(self, pieces: Any, words: Any) -> None:
        self.pieces, self.words = pieces, words

    def measure(self, text: str, /) -> tuple[float, int] | None:
        """The strings of the pieces are needed, not their numbers: an unknown piece stands for its own characters, and
        the language model may know these."""
        pieces = self.pieces.encode_as_pieces(normalize(text))
        sentence = " ".join(pieces)
        return (self.words.score(sentence), len(sentence.split())) if pieces else None


def perplexity(model: Scorer, text: str) -> float | None:
    """Perplexity for a piece (the end counts as one), rounded to 1 decimal; None for a text without pieces.

    The models see the whole document as one sentence (as published).
    """
    found = model.measure(text)
    if found is None:
        return None
    score, words = found  # log10, with <s> and </s>
    value: float = 10.0 ** (-score / (words + 1))
    return round(value, 1)


@functools.lru_cache(maxsize=64)
def load_language_model(pieces: str, words: str) -> Scorer:
    """Load a SentencePiece and a KenLM file, once for each process. Raises :class:`MissingModel`.

    The kernel reads binary KenLM models of every kind, and unigram models of SentencePiece; the others are left to the
    libraries.
    """
    _check_there(pieces, words)
    if is_text(words):
        return WithLibraries(_sentencepiece(pieces), _kenlm(words))
    found = _kernel_pieces(pieces)
    model = _kernel(NO_PIECES if found is None else found, words)
    return model if found is not None else WithLibraries(_sentencepiece(pieces), model)


def check_language_model(pieces: str, words: str) -> None:
    """Raise :class:`MissingModel` for files that :func:`load_language_model` would refuse, without reading gigabytes: a
    binary KenLM model is only mapped, one in text (ARPA) is known by its beginning."""
    _check_there(pieces, words)
    _sentencepiece(pieces)
    if not is_text(words):
        _kernel(NO_PIECES, words)


def _check_there(*paths: str) -> None:
    for path in paths:
        if not os.path.isfile(path):
            raise MissingModel(f"{path}: no such model. Fetch it, or train one, and name its place.")


def _kernel_pieces(path: str) -> PieceModel | None:
    """The pieces for the kernel; None for a model that it does not do."""
    try:
        with open(path, "rb") as file:
            return read_piece_model(file.read())
    except NotForKernelError:
        return None
    except OSError as error:
        raise _refused(path, error) from error


def _kernel(pieces: PieceModel, path: str) -> _perplexity.Model:
    """The kernel over a mapped KenLM file: one of gigabytes is open at once, and all processes share one copy."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())  # before anything is read of it
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            layout = read_layout(data)
            return _perplexity.Model(
                pieces=pieces.pieces,
                ends=pieces.ends,
                kinds=pieces.kinds,
                scores=pieces.scores,
                unknown=pieces.unknown,
                charsmap=pieces.charsmap,
                dummy_prefix=pieces.dummy_prefix,
                squeeze=pieces.squeeze,
                by_word=pieces.by_word,
                glyphs=glyph_page,
                normalize=normalize,
                words=data,
                kind=layout.kind,
                bound=layout.bound,
                vocabulary=layout.vocabulary,
                prob_bits=layout.prob_bits,
                backoff_bits=layout.backoff_bits,
                levels=b"".join(struct.pack("<7Q", *level) for level in layout.levels),
                file=(file.fileno(), found.st_size, found.st_mtime_ns),
                changed=(MissingModel, f"{path}: {CHANGED}"),
                damaged=(MissingModel, str(_refused(path, "the numbers in it are damaged"))),
            )
    except (OSError, ValueError) as error:  # what is broken; an empty file
        raise _refused(path, error) from error


def _sentencepiece(path: str) -> Any:
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_file=path)
    except (OSError, RuntimeError) as error:
        raise _refused(path, error) from error


def _kenlm(path: str) -> Any:
    """KenLM's library, for a model in text: it is read as a whole, into memory."""
    import kenlm

    config = kenlm.Config()
    config.show_progress = False
    try:
        return kenlm.Model(path, config)
    except (OSError, RuntimeError) as error:
        raise _refused(path, error) from error


def _refused(path: str, reason: object) -> MissingModel:
    return MissingModel(f"{path}: no model that can be used ({reason}). Fetch it again, or train one (rpj train lm).")
