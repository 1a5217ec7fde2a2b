"""Files of token ids, as trainers read them: Megatron's and GPT-NeoX's pair, a raw array with document ends, and the
shards of MosaicML's Streaming.

``megatron``: ``NAME.bin`` has the ids back to back, ``NAME.idx`` where each document lies (:func:`megatron_index`).
Read by GPT-NeoX, Megatron-LM and -core, NeMo, MaxText.
``uint``: ``NAME.ds`` has the same ids, ``NAME.ds.index`` the end of each document in tokens (uint64),
``NAME.ds.metadata`` the tokenizer and the count. Read by datatrove and nanotron; OLMo maps the first as it is.
``mds``: the folder ``NAME`` has windows of the ids (:mod:`redpajama_data.corpus.mds_shards`), and in
``documents.index`` the same ends. Read by LLM Foundry and Composer.

Ids are little-endian; two bytes where the vocabulary fits (see :mod:`redpajama_data.models.encoders`), else four.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from redpajama_data.corpus.mds_shards import Ids, writing_windows
from redpajama_data.dedup.external_sort import write_scratch
from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import UsageError
from redpajama_data.io.shards import LineWriter

Format = Literal["megatron", "uint", "mds"]
Sizes = npt.NDArray[np.int32]
# From megatron-core's indexed_dataset.py: magic, version, code of the dtype (8: uint16, 4: int32).
_MAGIC, _VERSION = b"MMIDIDX\0\0", 1
_CODES = {2: 8, 4: 4}
_AT_ONCE = 1 << 16  # documents of an index held at a time: 1.3 MB


class TokenWriter:
    """Takes the documents of a prefix. Made by :func:`writing_tokens`; counts are in ``documents`` and ``tokens``."""

    def __init__(
        self, write: Callable[[Ids], None], places: LineWriter, sizes: Any, dtype: np.dtype[Any], end: int
    ) -> None:
        self._write, self._places, self._sizes, self._dtype, self._end = write, places, sizes, dtype, end
        self.documents = self.tokens = self.ends = 0

    def add(self, ids: Ids, sizes: npt.NDArray[np.integer[Any]], places: list[bytes]) -> None:
        """Append documents: their ids back to back, how many each has, and the id of each in its shard."""
        self._write(ids.astype(self._dtype, copy=False))
        write_scratch(self._sizes, np.frombuffer(sizes.astype("<i4").tobytes(), "u1"))
        self._places.write_all(places)
        self.documents += len(sizes)
        self.tokens += int(sizes.sum())
        self.ends += int(np.count_nonzero(ids == self._end))


@contextlib.contextmanager
def writing_tokens(
    context: TaskContext, form: Format, *, dtype: npt.DTypeLike, end: int, tokenizer: str, sequence: int
) -> Iterator[TokenWriter]:
    """Write a prefix, called as the task is: its files appear whole when the block ends, or none does.

    ``end`` is the id of the document end, ``tokenizer`` the name of what gave the ids, ``sequence`` the tokens of a
    window of the format ``mds``. Raises :class:`UsageError` when there are not as many ends as documents.
    """
    name, kind = context.task.name, np.dtype(dtype)
    with (
        tempfile.TemporaryFile(buffering=0) as sizes,
        _ids_file(context, form, kind, sequence) as write,
        context.lines(f"ids:{name}", "ids.zst") as places,
    ):
        writer = TokenWriter(write, places, sizes, kind, end)
        yield writer
        if writer.ends != writer.documents:
            raise UsageError(
                f"{name}: {writer.ends} ends of {writer.documents} documents: the tokenizer gives its document end for "
                "text. Name another token with --end."
            )
        read_sizes = partial(_pieces, sizes)
        if form == "megatron":
            _write(context, f"{name}.idx", megatron_index(read_sizes, writer.documents, kind.itemsize))
        elif form == "mds":
            _write(context, f"{name}/documents.index", _ends(read_sizes()))
        else:
            _write(context, f"{name}.ds.index", _ends(read_sizes()))
            about = f"{tokenizer}|{kind.itemsize}\n{writer.tokens}\n{writer.tokens / 1e6:.2f} MT\n"
            _write(context, f"{name}.ds.metadata", [about.encode()])


def _ids_file(
    context: TaskContext, form: Format, dtype: np.dtype[Any], sequence: int
) -> AbstractContextManager[Callable[[Ids], None]]:
    """What takes the ids of a prefix."""
    if form == "mds":
        return writing_windows(context, context.task.name, dtype=dtype, sequence=sequence)
    return _writing_array(context, f"{context.task.name}.{'bin' if form == 'megatron' else 'ds'}")


@contextlib.contextmanager
def _writing_array(context: TaskContext, name: str) -> Iterator[Callable[[Ids], None]]:
    with context.exported(name) as out:

        def write(ids: Ids) -> None:
            out.write(ids.tobytes())

        yield write


def _write(context: TaskContext, name: str, pieces: Iterable[bytes]) -> None:
    with context.exported(name) as out:
        for piece in pieces:
            out.write(piece)


def _pieces(sizes: Any) -> Iterator[Sizes]:
    sizes.seek(0)
    while data := sizes.read(4 * _AT_ONCE):
        yield np.frombuffer(data, "<i4")


def _ends(sizes: Iterable[Sizes]) -> Iterator[bytes]:
    """Where each document ends, in tokens (uint64)."""
    seen = np.uint64(0)
    for piece in sizes:
        ends = np.cumsum(piece, dtype="<u8") + seen
        yield ends.tobytes()
        seen = ends[-1]


def megatron_index(sizes: Callable[[], Iterable[Sizes]], documents: int, item_bytes: int) -> Iterator[bytes]:
    """The bytes of an ``.idx``: a header of 34 bytes, then for each document its tokens (int32), the byte where it
    begins (int64), and, one more than there are documents, the number of its first sequence (int64).

    ``sizes()`` gives the tokens of all documents in pieces, each time anew. A document is one sequence. Layout as
    megatron-core 0.16 writes it.
    """
    yield _MAGIC + struct.pack("<QBQQ", _VERSION, _CODES[item_bytes], documents, documents + 1)
    for piece in sizes():
        yield piece.astype("<i4").tobytes()
    begin = 0
    for piece in sizes():
        ends = begin + np.cumsum(piece, dtype="<i8") * item_bytes
        yield np.concatenate([[begin], ends[:-1]]).astype("<i8").tobytes()
        begin = int(ends[-1])
    for first in range(0, documents + 1, _AT_ONCE):
        yield np.arange(first, min(first + _AT_ONCE, documents + 1), dtype="<i8").tobytes()
