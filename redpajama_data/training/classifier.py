"""The classifier that tells pages like Wikipedia's references from Common Crawl: its corpus, training and examination.

Recipe: RedPajama-Data-1T, cc/classifier: fastText's supervised defaults (100 dimensions, learning rate 0.1, 5 epochs,
single words, softmax) on pages that Wikipedia refers to, against pages of Common Crawl, both out of CCNet. Published
training ran 12 threads and gave another model every time; here the same files give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import IO, Any

from redpajama_data.errors import MissingModel, UsageError
from redpajama_data.io.storage import TMP_MARK, is_remote, local
from redpajama_data.training.balanced import Sampling, balanced_corpus
from redpajama_data.training.classifier_report import CC, LABEL, WIKI, ClassifierReport, Example, examine
from redpajama_data.training.texts import one_line, publish, read_texts

SHORTEST = 1000  # chars of a positive example


# ---------------------------------------------------------------------------------------------- the corpus


def long_enough(text: str, *, limit: int) -> bool:
    """Only positive examples of ``limit`` chars and more train. Deliberate, as published: negative ones have no limit,
    so that ``cc`` is the bigger class."""
    return len(text) >= limit


def negatives_per_file(positives: int, files: int) -> int:
    """How many documents each file of Common Crawl gives: as many as there are positives, divided among the files.

    Deliberate, as published: ``positives`` counts every document read, also those too short to train.
    """
    return positives // files


def corpus(positive: Sequence[str], negative: Sequence[str]) -> Iterator[Example]:
    """The published corpus: every long positive document, then of each file of negatives its first documents.

    Deliberate, as published: the negatives are the first ones of each file and not a sample, repeated documents stay
    (the published digest check never finds any), and nothing is shuffled. Recipe: RedPajama-Data-1T, create_corpus.py.
    """
    read = 0
    for path in positive:
        for text in read_texts(path):
            read += 1
            if long_enough(text, limit=SHORTEST):
                yield Example(WIKI, one_line(text))
    for path in negative:
        for text in islice(read_texts(path), negatives_per_file(read, len(negative))):
            yield Example(CC, one_line(text))


def is_held_out(text: str, one_in: int) -> bool:
    """Whether a text is kept for the examination, by its hash: copies of a text are never on both sides."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return one_in > 0 and int.from_bytes(digest[:8], "little") % one_in == 0


# ---------------------------------------------------------------------------------------------- training


def train_classifier(
    positive: Sequence[str],
    negative: Sequence[str],
    out: str,
    *,
    dim: int = 100,
    lr: float = 0.1,
    epochs: int = 5,
    min_count: int = 1,
    held_out: int = 10,
    seed: int = 0,
    per_host: int | None = None,
) -> ClassifierReport:
    """Train the classifier on JSONL or text files (:func:`read_texts`) and write the fastText model to ``out``.

    On the published corpus (:func:`corpus`), or with ``per_host`` on the repaired one, with so many pages of one host
    at most (:func:`~redpajama_data.training.balanced.balanced_corpus`).

    ``positive``: pages that Wikipedia refers to, ``negative``: pages of Common Crawl, both in the given order. One in
    ``held_out`` examples (10: a tenth; 0: none, as published) does not train but examines the model. ``min_count``:
    words seen less often are left out.

    Raises :class:`UsageError` when a class has no example, :class:`MissingModel` without fastText.
    """
    if not is_remote(out):
        os.makedirs(os.path.dirname(local(out)) or ".", exist_ok=True)
    folder = None if is_remote(out) else os.path.dirname(local(out)) or "."
    with tempfile.TemporaryDirectory(prefix=f"classifier{TMP_MARK}", dir=folder) as work:
        train, held, finished = (os.path.join(work, name) for name in ("train", "held", "model"))
        examples, left_out = corpus(positive, negative), None
        if per_host is not None:
            examples, left_out = balanced_corpus(positive, negative, Sampling(seed, per_host, SHORTEST))
        counts = _split(examples, train, held, held_out)
        for label, option in ((WIKI, "--positive"), (CC, "--negative")):
            if not counts[train][label]:
                why = (
                    f"those under {SHORTEST} chars do not train"
                    if label == WIKI
                    else "each file gives positives / files"
                    if per_host is None
                    else "of both classes as many train as the smaller has"
                )
                raise UsageError(f"no {label} document to train on ({why}). Give more documents with {option}.")
        model = fit(train, work, dim=dim, lr=lr, epochs=epochs, min_count=min_count, seed=seed)
        model.save_model(finished)
        report = examine(model, _examples(held), model_path=out, trained=counts[train], left_out=left_out)
        publish(finished, out)
    return report


def _split(examples: Iterable[Example], train: str, held: str, one_in: int) -> dict[str, dict[str, int]]:
    """Write the training and the held-out file; returns the examples of each class by file."""
    counts = {train: {WIKI: 0, CC: 0}, held: {WIKI: 0, CC: 0}}
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {name: stack.enter_context(open(name, "wb")) for name in counts}
        for label, text in examples:
            side = held if is_held_out(text, one_in) else train
            files[side].write(f"{LABEL}{label} {text}\n".encode("utf-8", "replace"))
            counts[side][label] += 1
    return counts


def _examples(path: str) -> Iterator[Example]:
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            label, _, text = line.removesuffix("\n").partition(" ")
            yield Example(label.removeprefix(LABEL), text)


def fit(train: str, work: str, *, dim: int, lr: float, epochs: int, min_count: int, seed: int) -> Any:
    """Train fastText on a local file of labelled lines and return the model; ``work`` is a folder for working files.

    One thread, so that the order of the updates is fixed. But fastText lets each of its threads fill one tenth of the
    first word vectors, and with one thread it leaves nine tenths as the memory happens to be (in fasttext-numpy2 0.10.4
    most trainings of a small corpus then end in "Encountered NaN"). So the vocabulary is asked for first, with no epoch
    of training, and the first vectors, of the distribution that fastText draws, are handed over as "pretrained" ones.
    """
    try:
        import fasttext
    except ImportError as error:
        raise MissingModel("training needs fastText: pip install fasttext-numpy2") from error
    settings = {"input": train, "dim": dim, "lr": lr, "minCount": min_count, "seed": seed, "thread": 1, "verbose": 0}
    vectors = os.path.join(work, "vectors")
    try:
        words = fasttext.train_supervised(**settings, epoch=0).get_words()
        if not words:
            raise ValueError("no word is frequent enough.")
        write_first_vectors(words, vectors, dim=dim, seed=seed)
        return fasttext.train_supervised(**settings, epoch=epochs, pretrainedVectors=vectors)
    except (RuntimeError, ValueError) as error:  # a number that is no number, an empty vocabulary
        raise UsageError(f"fastText: {error} Lower --lr (now {lr}) or --min-count (now {min_count}).") from error


def write_first_vectors(words: Sequence[str], path: str, *, dim: int, seed: int) -> None:
    """Write the vectors that training starts from, uniform in [-1/dim, 1/dim), in fastText's text format.

    NumPy promises that this generator's sequence for a seed never changes; nine digits give a 32-bit number exactly.
    """
    import numpy

    random = numpy.random.RandomState(seed)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(words)} {dim}\n")
        for word in words:
            numbers = random.uniform(-1 / dim, 1 / dim, dim).astype(numpy.float32)
            file.write(word + " " + " ".join(f"{number:.9g}" for number in numbers) + "\n")
