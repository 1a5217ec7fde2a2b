"""rpj as a library: each of these functions is what the command of its name does (``fetch``: ``rpj download``).

They are loaded at first use, so that ``import redpajama_data`` costs nothing. The modules below know no slice and no
filter, but for ``api.py`` and ``cli/``. Start reading at ``whole_run.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redpajama_data.api import explain, fetch, open, plan, report, run, run_job, status, totals, verify

__all__ = ["explain", "fetch", "open", "plan", "report", "run", "run_job", "status", "totals", "verify"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from redpajama_data import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
