"""Exact token counts, fast and in bounded memory.

The measure is the tokenizer's own library: ``tokenizers`` for a tokenizer.json, ``sentencepiece`` for a .model.
gigatoken gives the same counts at 30 to 100 times the speed, except for a few texts that are known; those are made
equal here (:class:`_Nfc9`) or go to the library itself. Special tokens are never added; where a text itself spells
one out, it is counted as the library counts it. A lone surrogate, which UTF-8 cannot hold, is counted as ``?``.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.models.fast_tokens import Encode, fast_encode
from redpajama_data.models.known import REGISTRY
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve
from redpajama_data.models.trial import try_tokenizer

_log = logging.getLogger(__name__)


class Tokenizer:
    """Encodes tokens. Made by :func:`load_tokenizer`; not to be shared between threads."""

    def __init__(self, path: str, sha256: str, engine: str, encode: Encode) -> None:
        self.path, self.sha256, self.engine, self._encode = path, sha256, engine, encode

    @property
    def identity(self) -> str:
        """File name and SHA-256: what a count depends on (the engine does not change it)."""
        return f"{os.path.basename(self.path)} sha256:{self.sha256}"

    def count(self, texts: list[str]) -> list[int]:
        """The number of tokens of each text, in order. One thread; a text needs about 5 times its size for a moment."""
        return [len(self._encode(text.encode("utf-8", "replace"))) for text in texts]

    def encode(self, texts: list[bytes]) -> list[Sequence[int]]:
        """The token ids of each text, given in UTF-8, in order; memory as :meth:`count`."""
        return [self._encode(text) for text in texts]


def load_tokenizer(name_or_path: str) -> Tokenizer:
    """A tokenizer by name of the registry or by path (tokenizer.json, or a SentencePiece .model).

    Raises :class:`MissingModel` when it is not there, :class:`UsageError` when the file is no tokenizer.
    """
    return open_tokenizer(resolve_tokenizer(name_or_path))


def resolve_tokenizer(name_or_path: str) -> ModelFile:
    """The verified file of a tokenizer that can be read: known to the registry, or tried. Raises as the above."""
    model = resolve(name_or_path)
    if all(model.sha256 != known.sha256 for known in REGISTRY.values()):
        try_tokenizer(model)
        tokenizer_for(model)
    return model


@functools.lru_cache(maxsize=4)
def tokenizer_for(model: ModelFile) -> Tokenizer:
    """The tokenizer of a model file, loaded once in this process. Raises as :func:`load_tokenizer`."""
    return open_tokenizer(model)


def open_tokenizer(model: ModelFile) -> Tokenizer:
    """Load a tokenizer file that was resolved. Raises as :func:`load_tokenizer`."""
    data = Path(model.path).read_bytes()
    try:
        if data.lstrip()[:1] == b"{":
            engine, encode = of_json(msgspec.json.decode(data), data, model.sha256)
        else:
            engine, encode = _of_sentencepiece(data)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise unreadable(model, error) from error
    return Tokenizer(model.path, model.sha256, engine, encode)


def unreadable(model: ModelFile, error: Exception) -> UsageError:
    """What is said of a file that is no tokenizer."""
    return UsageError(
        f"{model.path}: no tokenizer that can be read ({' '.join(str(error).split())[:200]}). "
        "Give a tokenizer.json or a SentencePiece .model."
    )


# ------------------------------------------------------------------------------------------------ tokenizer.json


def of_json(config: dict[str, Any], data: bytes, sha256: str) -> tuple[str, Encode]:
    """The name of the engine and the encoding of a tokenizer.json, with its content. Bare errors for what is none."""
    fast = fast_encode("from_json", data)
    if fast is None:
        return "tokenizers", _reference_json(data)
    fast = _OlderUnicode(config, fast, lambda: _reference_json(data))
    if sha256 == REGISTRY["gpt-neox-20b"].sha256:  # held against the library on real text and on every code point
        return "gigatoken", fast
    return _checked(fast, lambda: _reference_json(data), "tokenizers")


def _reference_json(data: bytes) -> Encode:
    tokenizers = library("tokenizers")
    try:
        tokenizer = tokenizers.Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises bare Exception
        raise ValueError(str(error)) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda data: tokenizer.encode(data.decode(), add_special_tokens=False).ids


# Marks and compositions that Unicode gained after version 9. The tables of ``tokenizers`` stop there: it neither
# reorders nor composes these, gigatoken does (Unicode 17). Found by comparing both on every code point.
_AFTER_UNICODE_9 = (
    r"\x{7FD}\x{897}-\x{89F}\x{8CA}-\x{8D3}\x{9FE}\x{C3C}\x{D3B}\x{D3C}\x{EBA}\x{1715}\x{1ABF}-\x{1AEB}"
    r"\x{1DF6}-\x{1DFA}\x{A82C}\x{105C0}-\x{105FF}\x{10D24}-\x{10D27}\x{10D69}-\x{10D6D}\x{10EAB}\x{10EAC}"
    r"\x{10EFA}-\x{10EFF}\x{10F46}-\x{10F50}\x{10F82}-\x{10F85}\x{11070}\x{1133B}\x{11380}-\x{113FF}\x{1145E}"
    r"\x{11839}\x{1183A}\x{11930}-\x{11943}\x{119E0}\x{11A34}\x{11A47}\x{11A99}\x{11D42}-\x{11D45}\x{11D97}"
    r"\x{11F41}\x{11F42}\x{16100}-\x{1613F}\x{16D40}-\x{16D7F}\x{16FF0}\x{16FF1}\x{1E08F}\x{1E130}-\x{1E136}"
    r"\x{1E2AE}\x{1E2EC}-\x{1E2EF}\x{1E4EC}-\x{1E4EF}\x{1E5EE}\x{1E5EF}\x{1E6E3}-\x{1E6F5}"
)

# Letters and digits that Unicode gained in 16 and 17: gigatoken knows them, the expressions of ``tokenizers`` do not,
# so that "'s" after one of them is split otherwise. Found by comparing both on every code point with "'s" after it.
_AFTER_UNICODE_15 = (
    r"\x{88F}\x{C5C}\x{CDC}\x{A7CE}\x{A7CF}\x{A7D2}\x{A7D4}\x{A7F1}\x{10940}-\x{10959}\x{10EC5}-\x{10EC7}"
    r"\x{11DB0}-\x{11DDB}\x{11DE0}-\x{11DE9}\x{16EA0}-\x{16EB8}\x{16EBB}-\x{16ED3}\x{16FF2}-\x{16FF6}"
    r"\x{187F8}-\x{187FF}\x{18D09}-\x{18D1E}\x{18D80}-\x{18DF2}\x{1E6C0}-\x{1E6DE}\x{1E6E0}-\x{1E6E2}"
    r"\x{1E6E4}\x{1E6E5}\x{1E6E7}-\x{1E6ED}\x{1E6F0}-\x{1E6F4}\x{1E6FE}\x{1E6FF}\x{2B73A}-\x{2B73F}"
    r"\x{2CEA2}-\x{2CEAD}\x{323B0}-\x{33479}"
)


class _OlderUnicode:
    """Encodes with the Unicode tables of ``tokenizers``, which are older than gigatoken's.

    A text with a newer letter goes to ``tokenizers`` itself. A text with a newer mark (6 of 8,765 real documents) is
    normalised here, because the NFC of ``tokenizers`` is Unicode 9's: each such character stands alone, what lies
    between is NFC, which Unicode never changes for older characters.
    The result goes to a second tokenizer without a normaliser. Tokens that are matched before normalisation
    (``<|endoftext|>``) stand alone for the same reason.
    """

    def __init__(self, config: dict[str, Any], fast: Encode, reference: Callable[[], Encode]) -> None:
        import re2  # 590 MB/s over UTF-8; the standard library's re takes 17 over text

        first = [re2.escape(t["content"]) for t in config.get("added_tokens", ()) if not t.get("normalized", True)]
        marks = _AFTER_UNICODE_9 if config.get("normalizer") == {"type": "NFC"} else ""
        self._newer = re2.compile(f"[{marks}{_AFTER_UNICODE_15}]")
        self._letters = re2.compile(f"[{_AFTER_UNICODE_15}]")
        self._alone = re2.compile("|".join([f"[{_AFTER_UNICODE_9}]", *first]))
        self._config, self._fast, self._slow = config, fast, functools.cache(self._or_fast)
        self._reference = reference
        self._plain: Encode | None = None

    def __call__(self, data: bytes) -> Sequence[int]:
        if data.isascii() or not self._newer.search(data):
            return self._fast(data)
        if self._letters.search(data):
            return self._slow()(data)
        if self._plain is None:
            self._plain = fast_encode("from_json", msgspec.json.encode(self._config | {"normalizer": None}))
            assert self._plain is not None
        return self._plain(self._nfc(data))

    def _or_fast(self) -> Encode:
        try:
            return self._reference()
        except MissingModel as error:
            _log.warning("a text with a letter newer than Unicode 15 may be counted some tokens off: %s", error)
            return self._fast

    def _nfc(self, data: bytes) -> bytes:
        pieces, end = [], 0
        for match in self._alone.finditer(data):
            pieces.append(unicodedata.normalize("NFC", data[end : match.start()].decode()))
            pieces.append(match.group().decode())
            end = match.end()
        pieces.append(unicodedata.normalize("NFC", data[end:].decode()))
        return "".join(pieces).encode()


# ------------------------------------------------------------------------------------------------ SentencePiece


def _of_sentencepiece(data: bytes) -> tuple[str, Encode]:
    slow, control = _reference_sentencepiece(data)
    fast = fast_encode("from_sentencepiece", data)
    if fast is None:  # gigatoken knows BPE models only; CCNet's are unigram models
        return "sentencepiece", slow

    def encode(data: bytes) -> Sequence[int]:
        # gigatoken takes "<s>" in a text for the control symbol, sentencepiece for three characters.
        return slow(data) if any(symbol in data for symbol in control) else fast(data)

    return _checked(encode, lambda: slow, "sentencepiece")


def _reference_sentencepiece(data: bytes) -> tuple[Encode, list[bytes]]:
    model = library("sentencepiece").SentencePieceProcessor()
    model.LoadFromSerializedProto(data)
    control = [i for i in range(model.get_piece_size()) if model.is_control(i) or model.is_unknown(i)]
    return (lambda text: model.encode(text, out_type=int)), [model.id_to_piece(i).encode() for i in control]


# ------------------------------------------------------------------------------------------------ checking

_PROBE = [
    "",
    " ",
    "Hello world  again\n\n\tindented   code()\r\n",
    "don't we'll I'M 'S",
    "1234567890 3.14 ½ ² Ⅷ ٣",
    "e\u0301 \u212b ﬁ Ａ ｱﾞ ① \u0958",
    "漢字テスト　全角 한국어 \u1112\u1161\u11ab ไทย العربية हिन्दी",
    "\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \u200b\ufeff\x85\xa0\u2028",
    "a\0b\x01\x7f",
    "<s> </s> <unk> <pad> <|endoftext|> [MASK] [CLS]",
    " " * 50 + "\t" * 9 + "\n" * 7,
    "▁x ▁▁",
    "word " * 3000,
    "Zx" * 300,
]


def _checked(fast: Encode, reference: Callable[[], Encode], name: str) -> tuple[str, Encode]:
    """The fast encoding if it equals the library's on a probe of hard texts, else the library's."""
    try:
        slow = reference()
    except MissingModel:
        _log.warning("tokenizers is not installed: gigatoken's counts of this tokenizer.json are not held against it")
        return "gigatoken", fast
    if all([*fast(text.encode())] == [*slow(text.encode())] for text in _PROBE):
        return "gigatoken", fast
    _log.warning("gigatoken counts this tokenizer differently: %s counts instead, about 50 times slower", name)
    return name, slow


def library(name: str) -> Any:
    """A tokenizer's own library. Raises :class:`MissingModel` when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingModel(f"this tokenizer needs {name}, which is not installed. Run: pip install {name}") from error
