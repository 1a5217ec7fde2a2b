"""Does a tokenizer load and encode without harm to its process? Found out in a process that may end.

The libraries are made for files of friends: a token number of four billion, a normaliser that multiplies the text or
a damaged table end the process by a signal. So a file that nobody vouches for is tried before it is opened here.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys

from redpajama_data.errors import RpjError, UsageError
from redpajama_data.models.model_file import ModelFile

SECONDS = 120  # of computing; the largest tokenizers of vocabularies of 250,000 load in 5
BYTES = 8 << 30  # of address space; those take 2 GB of it
TEXT = "It is the first of May, 1886. " * 20 + "a" * 1000 + " " * 100 + "été 漢字 \U0001f600\n"


@functools.lru_cache(maxsize=16)
def try_tokenizer(model: ModelFile) -> None:
    """Load a tokenizer and encode a text in a process of its own. Raises :class:`UsageError` when that process does
    not survive it; what is wrong with a file that can be refused is left to who opens it here."""
    # The modules of this process, and none of the folder that it is in.
    program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; sys.exit(main(*sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, model.path, model.sha256],
        env={**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RUST_BACKTRACE": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode not in (0, 2):
        said = next((line.strip() for line in done.stderr.splitlines() if line.strip()), "without a word")
        raise UsageError(
            f"{model.path}: this tokenizer ends the process that reads it (status {done.returncode}: {said[:200]}). "
            "It is damaged, or made to do harm. Give a tokenizer.json or a SentencePiece .model from its publisher."
        )


def main(path: str, sha256: str) -> int:
    """Try the file here; 0, or 2 for a file that is refused in an orderly way."""
    from redpajama_data.models.tokens import open_tokenizer

    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    try:
        open_tokenizer(ModelFile(path, sha256)).count([TEXT])
    except RpjError:
        return 2
    return 0
