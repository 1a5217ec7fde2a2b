"""Windows of token ids in the shards of MosaicML's Streaming (MDS), written by that library.

A sample is one window of so many tokens, column ``tokens``, as LLM Foundry packs texts: its loader cuts off what of a
sample is longer than a sequence. The last tokens, fewer than a window, are in no sample. Document ends lie within.

The library brings torch, and is an extra: ``pip install 'redpajama-data[mds]'``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from redpajama_data.engine.tasks import TaskContext
from redpajama_data.errors import MissingModel

Ids = npt.NDArray[Any]
PACKAGE = "mosaicml-streaming"
SHARD_BYTES = 1 << 26  # the library's own limit; it holds a shard three times while it writes it
HASHES = ["sha256"]  # by which its reader checks a shard that it fetched; tokens.json has the same


def require_library() -> None:
    """Raise :class:`MissingModel` with the line that installs the library when it is not here.

    Looks for the package, and imports nothing: that takes 6 s, and torch.
    """
    try:
        importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingModel(
            f"--format mds needs {PACKAGE}, which brings torch. Install it: pip install 'redpajama-data[mds]'. "
            "Or take --format megatron or uint, which need nothing."
        ) from error


def writer_class() -> Any:
    """The library's ``MDSWriter``. Raises :class:`MissingModel` when it cannot be imported."""
    require_library()
    try:
        return importlib.import_module("streaming").MDSWriter
    except (ImportError, RuntimeError, OSError) as error:  # a torch that does not go with it raises any of these
        raise MissingModel(
            f"{PACKAGE} is installed and cannot be imported: {error}. Torch and torchvision must be of one build; "
            "install both anew, from the same index."
        ) from error


@contextlib.contextmanager
def writing_windows(
    context: TaskContext, name: str, *, dtype: np.dtype[Any], sequence: int
) -> Iterator[Callable[[Ids], None]]:
    """Write the ids that the function given is called with as windows of ``sequence`` tokens, in the folder ``name``.

    Shards appear whole as they are full, ``index.json`` when the block ends. On this machine's disk there are two
    shards at a time.
    """
    make = writer_class()
    with tempfile.TemporaryDirectory(prefix="rpj-mds-") as scratch:
        folder = Path(scratch, "shards")
        columns = {"tokens": f"ndarray:{dtype.name}"}
        out = make(out=str(folder), columns=columns, hashes=HASHES, size_limit=SHARD_BYTES)
        left = np.empty(0, dtype)

        def write(ids: Ids) -> None:
            nonlocal left
            ids = np.concatenate([left, ids])
            whole = len(ids) - len(ids) % sequence
            for window in ids[:whole].reshape(-1, sequence):
                out.write({"tokens": window})
            left = ids[whole:]
            _publish(context, folder, name)

        yield write
        out.finish()
        _publish(context, folder, name)


def _publish(context: TaskContext, folder: Path, name: str) -> None:
    """Bring the files that the library has written to their place: it writes each at once, and reads none again."""
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file, context.exported(f"{name}/{path.name}") as out:
            shutil.copyfileobj(file, out, 1 << 20)
        path.unlink()
