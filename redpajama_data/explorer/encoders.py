"""Vectors by a model of the user's, by its path: fastText's, sentence-transformers', or pieces of SentencePiece's.

A model stands for the words of :mod:`redpajama_data.explorer.terms`. SentencePiece gives pieces, which are weighed as
words are. The others give a vector a text, which is brought to :data:`~redpajama_data.explorer.basis.DIMENSIONS` by its
principal axes. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from redpajama_data.errors import MissingModel
from redpajama_data.explorer.sparse import Floats
from redpajama_data.explorer.terms import READ, words_of
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve, sha256_of

Kind = Literal["sentencepiece", "fasttext", "sentence-transformers"]
TOGETHER = 64  # texts that go through a model together
_SPACE = "\u2581"  # what a piece of SentencePiece begins with, where a word does
_FOLDER_OF = "modules.json"  # of a folder as sentence-transformers saves it


@dataclass(frozen=True)
class Encoder:
    """A model that is there: its kind, and its file (a folder of sentence-transformers by a hash of its files)."""

    kind: Kind
    model: ModelFile

    @property
    def gives_vectors(self) -> bool:
        """False: it gives pieces."""
        return self.kind != "sentencepiece"


def find_encoder(path: str) -> Encoder:
    """The model at a path, by what is there. Raises :class:`MissingModel` when it is none of the three kinds, or cannot
    be loaded."""
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, _FOLDER_OF)):
            raise MissingModel(f"{path}: no {_FOLDER_OF} there. Give a folder that sentence-transformers saved.")
        found = Encoder("sentence-transformers", ModelFile(os.path.abspath(path), _hash_of_folder(path)))
    else:
        kind: Kind = "fasttext" if path.endswith((".bin", ".ftz")) else "sentencepiece"
        found = Encoder(kind, resolve(path))
    _load(found)
    return found


def _hash_of_folder(path: str) -> str:
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = os.path.join(folder, name)
            digest.update(f"{os.path.relpath(file, path)}\n{sha256_of(file)}\n".encode())
    return digest.hexdigest()


@functools.lru_cache(maxsize=2)
def _load(encoder: Encoder) -> Any:
    path = encoder.model.path
    try:
        if encoder.kind == "fasttext":
            import fasttext

            return fasttext.load_model(path)
        if encoder.kind == "sentencepiece":
            import sentencepiece

            return sentencepiece.SentencePieceProcessor(model_file=path)
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingModel(
            f"{path}: no model of {encoder.kind} ({error}). Give a .bin or .ftz of fastText, a .model of "
            "SentencePiece, or a folder of sentence-transformers."
        ) from error
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingModel(
            f"{path} needs sentence-transformers. Run: pip install sentence-transformers; or leave --model out."
        ) from error
    try:
        return SentenceTransformer(path, device="cpu", local_files_only=True)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise MissingModel(f"{path}: sentence-transformers cannot load it ({error}). Give another --model.") from error


def pieces_of(text: str, encoder: Encoder | None) -> Counter[str]:
    """What stands for the words of a text: its pieces, without the mark of a space; those without a letter are none."""
    if encoder is None or encoder.gives_vectors:
        return words_of(text)
    pieces = _load(encoder).encode(_valid(text[:READ].lower()), out_type=str)
    found = (piece.strip(_SPACE) for piece in pieces)
    return Counter(piece for piece in found if any(map(str.isalpha, piece)))


def vectors_of(texts: Sequence[str], encoder: Encoder) -> Floats:
    """The vectors of texts, by the beginning of each. As many numbers as the model has."""
    heads = [_valid(" ".join(text[:READ].split())) for text in texts]
    model = _load(encoder)
    if encoder.kind == "fasttext":
        return np.stack([model.get_sentence_vector(head) for head in heads]).astype(np.float32)
    found = model.encode(heads, batch_size=TOGETHER, convert_to_numpy=True, show_progress_bar=False)
    return cast(Floats, np.asarray(found, np.float32))


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
