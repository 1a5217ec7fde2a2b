from typing import Any

class Model:
    """A supervised fastText model. The buffers hold little-endian numbers, at any alignment, and must not change.

    ``words``: the dictionary's words, then its labels, each ended by a zero byte. ``rows``: float32, ``dim`` a row: the
    words', then the buckets'. ``bucket_rows``: of a pruned model the row of each bucket or -1, int32; else None.
    ``output``: float32, a row a label (or inner node), each product times its ``scale``. ``tree``: int32, both children
    of each inner node of the hierarchical softmax (``loss`` 1); else None. Raises :class:`ValueError` if they do not
    fit each other.
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
    ) -> Model: ...
    def predict(self, text: str) -> tuple[str, float] | None:
        """The first label of the first line, and its probability (a float32, at most 1.00001).

        None when the model has nothing to go by. Raises :class:`UnicodeEncodeError` at a lone surrogate.
        """
