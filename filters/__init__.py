"""Filters and transforms: functions on documents and strings, without configuration and without raw data or shards.

All are pure, given their models and lists: those lie in files, which ``fasttext_model``, ``signals_lists``,
``signals_dsir`` and ``ccnet`` read once a process.
"""

import sys
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from redpajama_data.errors import UsageError

# Kernels of another version than their sources would fail in the middle of a run, or worse, not fail.
_compiled_from = Path(__file__).with_name("_kernels.sha256")  # scripts/hatch_build.py leaves it beside the sources
_sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("_*.[ch]")))
if _compiled_from.exists() and _compiled_from.read_text() != sha256(_sources).hexdigest():
    raise UsageError(
        "the kernels in filters/ were compiled from other sources than those beside them. Install again: make "
        ".venv/.installed, or pip install -e ."
    )
# A checkout that another Python was installed from: its kernels lie here, and this one cannot load them.
for _source in Path(__file__).parent.glob("_*.c"):
    if not any(_source.with_suffix(suffix).exists() for suffix in EXTENSION_SUFFIXES):
        raise UsageError(
            f"{_source.name} in filters/ is not compiled for this Python ({sys.implementation.cache_tag}). Run: "
            f"{sys.executable} -m pip install {Path(__file__).resolve().parents[1]}"
        )
