"""The classifier of pages like those that Wikipedia cites. Source: RedPajama-Data-1T, data_prep/cc/classifier."""

from __future__ import annotations

from filters._fasttext import Model
from filters.language import load_lid
from redpajama_data.document import Document, Drop
from redpajama_data.models.model_file import ModelFile

OTHER = "__label__cc"  # the class of ordinary pages; any other label is the reference class


def reference_line(text: str) -> str:
    """Text as the classifier reads it: one line, the newlines (all that str.splitlines knows) as blanks."""
    return " ".join(text.strip().splitlines())


def predict_reference(model: Model, text: str) -> tuple[str, float, float]:
    """Label, its probability, and the probability of a reference page.

    fastText's probabilities reach 1.00001, so the last may be -0.00001 (as published).
    """
    label, probability = model.predict(reference_line(text)) or ("", 0.0)  # of a model that knows no line's end
    return label, probability, 1 - probability if label == OTHER else probability


def classify_reference(doc: Document, *, model: ModelFile) -> Document:
    """Put ``pred_label``, ``pred_label_prob`` and ``wiki_prob`` into meta. ``model`` is a fastText classifier.

    Raises :class:`redpajama_data.errors.MissingModel`.
    """
    label, probability, wiki = predict_reference(load_lid(model), doc.text)
    doc.meta.update(pred_label=label, pred_label_prob=probability, wiki_prob=wiki)
    return doc


def min_wiki_prob(doc: Document, *, limit: float) -> Document | Drop:
    """Pages too unlike references: below ``limit``; published 0.25, where LLaMA's classifier implies 0.5."""
    value = doc.meta["wiki_prob"]
    return Drop("min_wiki_prob", value, limit) if value < limit else doc


def classified_as_reference(doc: Document) -> Document | Drop:
    """Pages that are more likely an ordinary page than a reference: the repair of the published limit of 0.25."""
    value = doc.meta["wiki_prob"]
    return Drop("classified_as_reference", value, 0.5) if value < 0.5 else doc
