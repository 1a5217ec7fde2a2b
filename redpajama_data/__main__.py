"""Start of ``rpj`` and ``python -m redpajama_data``."""

from __future__ import annotations

import importlib.util
import os
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


def names_in_utf8() -> None:
    """See to it that names of files are read as UTF-8, which they are on every system of today: in a locale that says
    nothing (C) or something else, Python is started again in its UTF-8 mode. Ids would differ with the locale."""
    if sys.flags.utf8_mode or sys.getfilesystemencoding().lower() in ("utf-8", "utf8"):
        return
    if sys.stdout is not None:  # what is printed stays in the encoding of the terminal
        os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace")
    os.environ["PYTHONUTF8"] = "1"  # for the processes that this one starts
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def main() -> None:
    """Check that the program's packages are its own, then run the command line.

    Standard output that could not be written is a line on standard error at the end, when all work is done.
    """
    names_in_utf8()
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
