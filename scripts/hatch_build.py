"""Compiles filters/_*.c when the package is built or installed. By hand: ``python scripts/hatch_build.py``.

``python scripts/hatch_build.py FOLDER FLAG...`` puts them there instead, compiled with these flags too."""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

# a * b + c is rounded twice everywhere, as in fastText's wheels: the same digits on every machine
FLAGS = ["-O3", "-std=gnu11", "-fvisibility=hidden", "-ffp-contract=off"]


def compile_native(root: Path, into: Path | None = None, flags: list[str] = FLAGS) -> list[Path]:
    """Compile each ``filters/_<module>.c`` below ``root`` and put it beside its source, or into a folder that is there;
    returns the paths.

    Raises ``SystemExit`` with what to install when there is no compiler or no Python headers.
    """
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    modules = sorted(path.stem for path in (root / "filters").glob("_*.c"))
    headers = [str(path) for path in sorted((root / "filters").glob("_*.h"))]
    extensions = [
        Extension(
            name,
            [str(root / f"filters/{name}.c")],
            depends=headers,
            extra_compile_args=flags,
            extra_link_args=[flag for flag in flags if flag.startswith("-fsanitize")],
        )
        for name in modules
    ]
    targets = [(into or root / "filters") / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}" for name in modules]
    with tempfile.TemporaryDirectory() as scratch:
        command = build_ext(Distribution({"name": "native", "ext_modules": extensions}))
        command.build_lib = command.build_temp = scratch
        command.parallel = True  # a compiler a core: 8 seconds instead of 15 on two
        try:
            command.ensure_finalized()
            command.run()
        except Exception as error:  # setuptools has its own class for each of its compilers
            raise SystemExit(
                f"the C modules could not be compiled: {error}\n"
                "They need gcc or clang and the headers of this Python. Install them, then run pip again:\n"
                "  Debian, Ubuntu:  apt-get install gcc python3-dev\n"
                "  Fedora, RHEL:    dnf install gcc python3-devel\n"
                "  macOS:           xcode-select --install"
            ) from error
        for target in targets:
            # a running process may hold the old file: replace it, never write into it
            fresh = target.with_name(f"{target.name}.{os.getpid()}")
            fresh.write_bytes((Path(scratch) / target.name).read_bytes())
            fresh.chmod(0o755)
            fresh.replace(target)
    if into is None:
        sources = b"".join(path.read_bytes() for path in sorted((root / "filters").glob("_*.[ch]")))
        (root / "filters/_kernels.sha256").write_text(sha256(sources).hexdigest())  # filters/__init__.py looks at it
    return targets


if __name__ == "__main__":
    into, more = (Path(sys.argv[1]), sys.argv[2:]) if sys.argv[1:] else (None, [])
    print(*compile_native(Path(__file__).resolve().parent.parent, into, [*FLAGS, *more]), sep="\n")
    sys.exit()

from hatchling.builders.hooks.plugin.interface import BuildHookInterface  # noqa: E402  (not needed by hand)


class NativeBuildHook(BuildHookInterface[Any]):
    """Wheels carry the compiled modules, the configurations and the platform's tag; an editable install finds them in
    the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build; ``version`` is "standard" or "editable"."""
        if self.target_name != "wheel":
            return
        targets = compile_native(Path(self.root))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version != "editable":
            configs = Path(self.root, "configs").glob("*.yaml")
            build_data["force_include"].update({str(target): f"filters/{target.name}" for target in targets})
            build_data["force_include"].update({str(path): f"redpajama_data/configs/{path.name}" for path in configs})
