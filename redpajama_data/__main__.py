"""Start of ``rpj`` and ``python -m redpajama_data``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def foreign_package() -> str | None:
    """The name of a top-level package that another distribution shadows, or None.

    ``slices`` and ``filters`` are common names; ours lie beside this package.
    """
    home = Path(__file__).resolve().parent.parent
    for name in ("slices", "filters"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent.parent != home:
            return name
    return None


def main() -> None:
    """Check that the program's packages are its own, then run the command line.

    Standard output that could not be written is a line on standard error at the end, when all work is done.
    """
    name = foreign_package()
    if name is not None:
        sys.exit(f"rpj: another package called {name!r} hides rpj's own. Install rpj in an environment of its own.")
    from redpajama_data.io import terminal

    printed = terminal.Output()
    terminal.catch_signals()
    try:
        from redpajama_data.cli.main import cli

        cli()
    except terminal.Stopped as stop:  # before or after the command itself
        print(f"rpj: {stop}", file=sys.stderr)
        status: int | str | None = stop.exit_code
    except SystemExit as end:
        status = end.code
    problem = printed.problem()
    if problem is not None:
        print(
            f"rpj: standard output could not be written ({problem}). The work itself is done; the same command says "
            "again what it did.",
            file=sys.stderr,
        )
        status = status or terminal.UNWRITABLE
    sys.exit(status)


if __name__ == "__main__":
    main()
