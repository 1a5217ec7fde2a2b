"""Token ids to train on: a text that spells out the document end gives ordinary tokens, and its id is known.

The ids are those of the tokenizer's own library but for one thing: the library takes a literal ``<|endoftext|>`` in a
text for the token of that name (two published GitHub documents have it), and a model would learn that a document may
end in its middle. Here the token is taken out of those that are looked for in a text.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from redpajama_data.errors import UsageError
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.tokens import Tokenizer, library, of_json, tokenizer_for, unreadable

ENDS = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
)  # what open models call it
UINT16_VOCABULARY = 65_500  # ids from which two bytes do not hold them, by megatron-core's DType.optimal_dtype


@dataclass(frozen=True)
class Encoder:
    """A tokenizer that gives ids. ``end`` is the token that ends a document, ``vocabulary`` the number of its ids."""

    tokenizer: Tokenizer
    end: str
    end_id: int
    vocabulary: int

    @property
    def two_bytes(self) -> bool:
        """Whether two bytes hold an id."""
        return self.vocabulary < UINT16_VOCABULARY

    def encode(self, texts: list[bytes]) -> list[Sequence[int]]:
        """The ids of each text, given in UTF-8, without the document end."""
        return self.tokenizer.encode(texts)


@functools.lru_cache(maxsize=2)
def encoder_for(model: ModelFile, end: str | None) -> Encoder:
    """The encoder of a tokenizer file, loaded once in this process; ``end`` None: the first of :data:`ENDS` it has.

    Raises :class:`UsageError` when the file is no tokenizer, or has no such token.
    """
    data = Path(model.path).read_bytes()
    if data.lstrip()[:1] != b"{":
        return _of_sentencepiece(model, end)
    try:
        config = msgspec.json.decode(data)
        added: dict[str, int] = {token["content"]: token["id"] for token in config.get("added_tokens", ())}
        end = _chosen(model, end, added)
        others = [token for token in config["added_tokens"] if token["content"] != end]
        less = {**config, "added_tokens": others}
        # Known by the file it is of: what is looked for in a text is less, and how the text is split is the same.
        engine, encode = of_json(less, msgspec.json.encode(less), model.sha256)
        ids = [*_ids_of(config["model"]["vocab"]), *added.values()]
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(model, error) from error
    return Encoder(Tokenizer(model.path, model.sha256, engine, encode), end, added[end], max(ids) + 1)


def _ids_of(vocabulary: Any) -> Sequence[int]:
    """The ids of a tokenizer.json's vocabulary: a map from token to id, or a list of tokens."""
    return [*vocabulary.values()] if isinstance(vocabulary, dict) else range(len(vocabulary))


def _chosen(model: ModelFile, end: str | None, special: dict[str, int]) -> str:
    found = end if end is not None else next((name for name in ENDS if name in special), None)
    if found is None or found not in special:
        raise UsageError(
            f"{model.path}: no token {end or 'to end a document'}; its special tokens: "
            f"{', '.join(list(special)[:20]) or 'none'}. Give one with --end."
        )
    return found


def _of_sentencepiece(model: ModelFile, end: str | None) -> Encoder:
    tokenizer = tokenizer_for(model)  # sentencepiece takes a control symbol that a text spells out for its characters
    pieces = library("sentencepiece").SentencePieceProcessor()
    pieces.LoadFromSerializedProto(Path(model.path).read_bytes())
    size = pieces.get_piece_size()
    end = _chosen(model, end, {pieces.id_to_piece(i): i for i in range(size) if pieces.is_control(i)})
    return Encoder(tokenizer, end, pieces.piece_to_id(end), size)
