"""The kernels under AddressSanitizer and UBSan: ``python scripts/sanitize.py --seconds 60 --seed 0``.

Builds each ``filters/_*.c`` into ``build/sanitize/filters`` beside links to the Python files, with warnings as errors,
and once more as on a processor that is not x86, to see that it compiles. Then runs their tests and ``fuzz_kernels.py``
there. A first report ends it with exit 1. Needs gcc and its libasan (Debian: both are in gcc).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "sanitize"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]
CHECKS = [
    "-fsanitize=address,undefined",
    "-fno-sanitize=null,object-size",  # AddressSanitizer sees both, and they double the time to compile
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-fno-var-tracking",
    "-g1",
    "-O1",
]
SLOW = "not no_worse_than_datasketch and not long_texts"  # half their time is plain Python's; nothing else is in them
TESTS = ["native", "minhash", "signals", "fasttext_kernel", "perplexity_kernel", "kernel_bounds"]


def build() -> None:
    """Lay out the package with the kernels that check themselves."""
    shutil.rmtree(PLACE, ignore_errors=True)
    folder = PLACE / "filters"
    folder.mkdir(parents=True)
    for source in (ROOT / "filters").glob("*.py"):
        (folder / source.name).symlink_to(source)
    compile_into = [sys.executable, str(ROOT / "scripts/hatch_build.py")]
    subprocess.run([*compile_into, str(folder), *WARNINGS, *CHECKS], check=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([*compile_into, scratch, *WARNINGS, "-O1", "-DRPJ_PORTABLE"], check=True)


def libraries() -> str:
    """What has to be loaded before Python: the sanitizer's runtime, and C++'s, whose exceptions it wraps."""
    found = []
    for name in ("libasan.so", "libstdc++.so.6"):
        path = subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if not os.path.isabs(path):
            raise SystemExit(
                f"make sanitize: gcc has no {name}, so NOTHING WAS CHECKED. Install: apt-get install gcc g++"
            )
        found.append(path)
    return " ".join(found)


def run(*command: str) -> None:
    """A Python command on the kernels that check themselves; ends the program where it fails."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PLACE), str(ROOT)]),
        "PYTHONMALLOC": "malloc",  # else the bounds of small blocks are not seen
        "PYTHONDONTWRITEBYTECODE": "1",
        "LD_PRELOAD": libraries(),
        "ASAN_OPTIONS": "detect_leaks=0:strict_string_checks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "CI": "1",  # hypothesis: always the same examples, and no time limit for one
    }
    # from the folder of the kernels: Python looks for modules where it is started first
    status = subprocess.run([sys.executable, *command], env=environment, cwd=PLACE, check=False).returncode
    if status:
        raise SystemExit(f"make sanitize: {' '.join(command)} ended with {status}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of generated texts and models (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of what is generated (default: 0)")
    parser.add_argument("--without-tests", action="store_true", help="only what is generated")
    given = parser.parse_args()
    libraries()  # says so where there are none, before anything is compiled
    build()
    loaded = (
        "from filters import _fasttext, _minhash, _native, _perplexity, _signals as s; print('checked:', s.__file__)"
    )
    run("-c", f"{loaded}; assert 'build/sanitize' in s.__file__")
    if not given.without_tests:
        tests = [str(ROOT / f"tests/kernels/test_{name}.py") for name in TESTS]
        run("-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-n", "2", "-p", "no:cacheprovider", "-k", SLOW, *tests)
    run(str(ROOT / "scripts/fuzz_kernels.py"), "--seconds", str(given.seconds), "--seed", str(given.seed))
