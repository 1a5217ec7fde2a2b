from typing import Any

class Model:
    """A supervised fastText model. The buffers hold little-endian numbers, at any alignment, and must not change, but
    for ``rows`` and ``output``, which may be of a mapped ``file``: (descriptor, size, time of change in nanoseconds).
    When that is no longer so, ``predict`` raises ``changed``: (exception, message). Without a file both are None.

    ``words``: the dictionary's words, then its labels, each ended by a zero byte. ``rows``: float32, ``dim`` a row: the
    words', then the buckets'. ``bucket_rows``: of a pruned model the row of each bucket or -1, int32; else None.
    ``output``: float32, a row a label (or inner node), each product times its ``scale``. ``tree``: int32, both children
    of each inner node of the hierarchical softmax (``loss`` 1); else None. ``maxn`` and ``word_ngrams`` are at most
    :data:`filters.fasttext_model.NGRAM_MAX`. Raises :class:`ValueError` if they do not fit each other.
    """

    def __new__(
        cls,
        *,
        dim: int,
        minn: int,
        maxn: int,
        word_ngrams: int,
        loss: int,
        bucket: int,
        n_words: int,
        labels: tuple[str, ...],
        words: Any,
        rows: Any,
        bucket_rows: Any,
        output: Any,
        scale: Any,
        tree: Any,
        file: tuple[int, int, int] | None,
        changed: tuple[type[Exception], str] | None,
    ) -> Model: ...
    def predict(self, text: str) -> tuple[str, float] | None:
        """The first label of the first line, and its probability (a float32, at most 1.00001).

        None when the model has nothing to go by. Raises :class:`UnicodeEncodeError` at a lone surrogate,
        ``changed`` when the file is another, :class:`OSError` when its numbers cannot be read.
        """
