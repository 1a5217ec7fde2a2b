"""Kernels of other sources, or of another Python, are refused with what to do."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from redpajama_data.errors import UsageError

TOP = Path(__file__).resolve().parents[2]
KERNEL = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_tiny"};
__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__tiny(void) { return PyModule_Create(&module); }
"""


def import_filters(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("filters_of_another_checkout", root / "filters/__init__.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_kernels_of_other_sources_are_refused_until_they_are_compiled_again(tmp_path: Path) -> None:
    for name in ("filters/__init__.py", "scripts/hatch_build.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(TOP / name, tmp_path / name)
    source = tmp_path / "filters/_tiny.c"
    source.write_text(KERNEL)

    def compile_kernels() -> None:
        subprocess.run([sys.executable, str(tmp_path / "scripts/hatch_build.py")], check=True, capture_output=True)

    with pytest.raises(UsageError, match=r"_tiny\.c .* is not compiled for this Python .* -m pip install "):
        import_filters(tmp_path)
    compile_kernels()
    import_filters(tmp_path)
    source.write_text(KERNEL + "// another version\n")
    with pytest.raises(UsageError, match="Install again: make"):
        import_filters(tmp_path)
    compile_kernels()
    import_filters(tmp_path)
