"""The embedded sample on every Python that this machine has: `make matrix`, or nox with this file.

Each gets an environment of its own with the package built from the source distribution, runs the sample as a user
would, and holds what every slice and job gives against tests/golden/sample.json. Which Pythons are missing is said.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

VERSIONS = [f"3.{minor}" for minor in range(10, 15)]
SYSTEM = ["/usr/bin/python3"] if Path("/etc/debian_version").exists() else []  # Debian's own, with its patches
HERE = Path(__file__).resolve().parent
SAVED = HERE / "build" / "matrix"  # what each Python gave

nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.envdir = str(HERE / "build" / "nox")
os.environ.pop("PYTHONPATH", None)  # the packages are to come from the installation
for folder in sorted(Path.home().glob(".pyenv/versions/3.*/bin")):  # pyenv keeps them off the path
    os.environ["PATH"] += f"{os.pathsep}{folder}"


@nox.session(venv_backend="virtualenv")
def source(session: nox.Session) -> None:
    """The source distribution that every Python installs: nothing of theirs lands in the checkout."""
    session.install("hatchling", "setuptools")
    session.run("hatchling", "build", "-t", "sdist", "-d", str(SAVED / "dist"), "--clean")
    for old in SAVED.glob("*.json"):
        old.unlink()


@nox.session(python=[*VERSIONS, *SYSTEM], venv_backend="virtualenv")  # which needs no ensurepip: Debian splits it off
def sample(session: nox.Session) -> None:
    """Install, run the sample with workers, verify it; then every slice and job against the golden sample."""
    headers = "import sysconfig, pathlib; print(pathlib.Path(sysconfig.get_path('include'), 'Python.h').exists())"
    if "True" not in str(session.run("python", "-c", headers, silent=True)):
        session.skip("this Python has no headers (python3-dev)")
    [archive] = (SAVED / "dist").glob("*.tar.gz")
    session.install("--prefer-binary", f"{archive}[release]")  # RedPajama-V2 is written as Parquet
    folder = session.create_tmp()
    with session.chdir(folder):
        session.run("rpj", "sample", "raw", success_codes=[0])
        session.run("rpj", "run", "--all", "--quiet", success_codes=[0, 3])  # 3: the sample plants files that break off
        session.run("rpj", "verify", "out")
    name = session.name.rpartition("-")[2].replace("/", "_")
    session.run("python", str(HERE / "scripts/golden.py"), "--save", str(SAVED / f"{name}.json"))
