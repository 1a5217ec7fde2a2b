"""How the kernels are compiled, and what is said where they cannot be; what a wheel holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "scripts" / "hatch_build.py"


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    """As `pip install .` shows it: no traceback, no half-made module."""
    (tmp_path / "bin").mkdir()
    into = tmp_path / "into"
    into.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CFLAGS")}
    done = subprocess.run(
        [sys.executable, BUILD, into],
        env={**environment, "PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the C modules could not be compiled: " in done.stderr
    assert "They need gcc or clang and the headers of this Python. Install them, then run pip again:" in done.stderr
    assert "apt-get install gcc python3-dev" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(into.iterdir()) == []
