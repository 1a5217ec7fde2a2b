"""The fastText language identifier (lid.176): loaded once a process, asked as each slice published it.

Used on whole documents for a label that is recorded and never filters. Source: RedPajama-Data-1T, data_prep/arxiv and
data_prep/stack_exchange, which both take the first label of lid.176 on text made one line.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from filters._fasttext import Model
from filters.fasttext_model import read_model
from redpajama_data.document import Document
from redpajama_data.models.model_file import ModelFile
from redpajama_data.models.registry import resolve


@functools.lru_cache(maxsize=4)
def load_lid(model: ModelFile) -> Model:
    """The fastText model in a local file, loaded once for each process and content (0.04 s for lid.176.ftz).

    Raises :class:`redpajama_data.errors.MissingModel` when the file is missing, or holds no supervised model.
    """
    return read_model(model.path)


def resolve_lid(name_or_path: str) -> ModelFile:
    """The file of a fastText model, of which it is known that it can be used. Raises :class:`MissingModel`."""
    model = resolve(name_or_path)
    load_lid(model)
    return model


def predict_language(model: Model, text: str) -> tuple[str, float]:
    """The first label of ``model`` without ``__label__``, and its score (0 to 1; fastText may exceed 1 by 1e-5).

    Blank text gets a label of low score like any other: the model knows the end of the line. (One that does not gives
    "" and 0.) Lone surrogates, which have no UTF-8 form and come from broken JSON escapes, are shown to it as "?".
    Raises :class:`ValueError` when ``text`` holds a newline: fastText would read the first line only.
    """
    if "\n" in text:
        raise ValueError("predict_language takes one line: replace the newlines first")
    try:
        found = model.predict(text)
    except UnicodeEncodeError:
        found = model.predict(text.encode("utf-8", "replace").decode("utf-8"))
    label, score = found or ("", 0.0)
    return label.removeprefix("__label__"), score


def arxiv_line(text: str) -> str:
    """Text as the arXiv script shows it to the model: lower case, newlines and tabs as blanks."""
    return text.lower().replace("\n", " ").replace("\t", " ")


def stack_exchange_line(text: str) -> str:
    """Text as the Stack Exchange script shows it to the model: newlines as blanks, case kept."""
    return text.replace("\n", " ")


def record_language(doc: Document, *, model: ModelFile, line: Callable[[str], str]) -> Document:
    """Put the label of ``doc.text`` into ``doc.meta["language"]``; the key keeps its place if it is there.

    ``line`` makes the text one line.
    """
    doc.meta["language"] = predict_language(load_lid(model), line(doc.text))[0]
    return doc
