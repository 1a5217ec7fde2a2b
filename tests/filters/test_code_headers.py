"""Licence headers by language: what goes, what stays, on both sides of each rule."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.code_headers import LICENCE, SYNTAX, cut_licence_header, without_licence_header
from redpajama_data.document import Document
from slices.github import EXTENSIONS

MIT = "Permission is hereby granted, free of charge"

CASES = [  # path, text, what is left
    ("shebang stays", "a.sh", f"#!/bin/sh\n# {MIT}\necho 1\n", "#!/bin/sh\necho 1\n"),
    ("include is code", "a.c", "#include <a.h>\n#define B 1\nint c;\n", None),
    ("include before the licence", "a.c", "#include <a.h>\n/* Copyright A */\nint c;\n", None),
    ("markdown title", "README.md", "# Title\n\nCopyright and licence\n", None),
    ("markdown comment", "README.md", "<!-- Copyright A -->\n\n# Title\n", "# Title\n"),
    ("rst title", "a.rst", "License\n=======\n", None),
    ("sql without a licence word", "a.sql", "-- Drop it all\nDROP TABLE a;\n", None),
    ("sql with one", "a.sql", "-- Copyright A\nDROP TABLE a;\n", "DROP TABLE a;\n"),
    ("documentation first", "a.c", "/* Sums. */\n/* Copyright A */\nint c;\n", "/* Sums. */\nint c;\n"),
    ("two comments before it", "a.c", "/* Sums. */\n/* More. */\n/* Copyright A */\nint c;\n", None),
    ("licence in the middle", "a.c", "int a;\n/* Copyright A */\nint c;\n", None),
    ("windows line ends", "a.cs", "// Copyright A\r\n//\r\n// B\r\nusing C;\r\n", "// B\r\nusing C;\r\n"),
    ("windows block", "a.cs", "/*\r\n Copyright A\r\n*/\r\n\r\nusing C;\r\n", "using C;\r\n"),
    ("docstring is text", "a.py", '"""A.\n\n:copyright: B\n"""\nimport c\n', None),
    ("php", "a.php", "<?php\n/* Copyright A */\necho 1;\n", "<?php\necho 1;\n"),
    ("php on one line", "a.php", "<?php /* Copyright A */\necho 1;\n", "<?php\necho 1;\n"),
    ("xml", "a.xml", '<?xml version="1.0"?>\n<!-- (c) 2015 A -->\n<b/>\n', '<?xml version="1.0"?>\n<b/>\n'),
    ("html", "a.html", "<!DOCTYPE html>\n<!-- License: A -->\n<p>\n", "<!DOCTYPE html>\n<p>\n"),
    ("only a licence", "a.py", "# Copyright A\n# All rights reserved.\n", ""),
    ("byte order mark", "a.cs", "\ufeff// Copyright A\nusing B;\n", "\ufeffusing B;\n"),
    ("coding line", "a.py", "# -*- coding: utf-8 -*-\n# Copyright A\nb = 1\n", "# -*- coding: utf-8 -*-\nb = 1\n"),
    ("coding line second", "a.py", "# Copyright A\n# coding=utf-8\nb = 1\n", "# coding=utf-8\nb = 1\n"),
    ("coding line third", "a.py", "# Copyright A\n# Licence B\n# coding: B licence\nc = 1\n", "c = 1\n"),
    ("second block", "a.js", "/* Copyright A */\n\n/* Copyright B */\n/* Doc */\nc();\n", "/* Doc */\nc();\n"),
    ("last paragraph that says it", "a.py", "# Copyright A\n#\n# Sums up.\nb = 1\n", "# Sums up.\nb = 1\n"),
    ("paragraph before it goes too", "a.py", "# Sums up.\n#\n# Copyright A\nb = 1\n", "b = 1\n"),
    ("box around it", "a.rb", "#####\n# Copyright A\n#####\nb = 1\n", "b = 1\n"),
    ("comment behind a blank line", "a.go", "// Copyright A\n\n//go:build b\n\nc\n", "//go:build b\n\nc\n"),
    ("indented", "a.js", "  /* Copyright A */\nc();\n", "c();\n"),
    ("code behind the block", "a.js", "/* Copyright A */ c();\n", " c();\n"),
    ("block without an end", "a.js", "/* Copyright A\nc();\n", None),
    ("hash is no comment in C", "a.h", "# Copyright A\nint c;\n", None),
    ("lua block", "a.lua", "--[[ Copyright A ]]\nb()\n", "b()\n"),
    ("fortran", "a.f", "C     Copyright A\n      CALL B\n", "      CALL B\n"),
    ("fortran call", "a.f", "CALL COPYRIGHT\n", None),
    ("batch", "a.bat", "@REM Copyright A\necho off\n", "echo off\n"),
    ("batch remark by another name", "a.bat", "remove Copyright\n", None),
    ("makefile", "src/Makefile", "# Copyright A\nall:\n", "all:\n"),
    ("rust attribute", "a.rs", "#![allow(a)]\n// Copyright A\nfn b() {}\n", None),
    ("no such language", "a.nosuch", "# Copyright A\nb\n", None),
    ("no ending", "copying", "# Copyright A\nb\n", None),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text", "left"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_headers(path: str, text: str, left: str | None) -> None:
    doc = cut_licence_header(Document("f#0", text, {"path": path}))
    assert doc.text == (text if left is None else left)


WORDS = [
    ("Copyright", True), ("COPYRIGHT", True), ("copyleft", False), ("(c) 2015", True), ("(c) A", False),
    ("\u00a9", True), ("License", True), ("licence", True), ("licensing", False), ("SPDX-", True), ("SPDX", False),
    ("All rights reserved", True), ("all rights", False), (MIT, True), ("permission", False),
    ("Redistribution and use", True), ("warranty", True), ("WARRANTIES", True), ("warrant", False),
]  # fmt: skip


@pytest.mark.parametrize(("words", "says"), WORDS)
def test_licence_words_decide(words: str, says: bool) -> None:
    assert bool(LICENCE.search(f"# {words} x")) is says
    assert without_licence_header(f"# {words} x\nb\n", "a.py") == ("b\n" if says else f"# {words} x\nb\n")


def test_every_ending_of_the_slice_has_a_syntax() -> None:
    assert set(EXTENSIONS) == set(SYNTAX)


HOSTILE = st.lists(
    st.sampled_from(["#", "/", "*", "-", "<", "!", ">", "{", "[", "\n", "\r", " ", "(c) 2015", "licence", "a"])
).map("".join)


@given(HOSTILE, st.sampled_from(sorted(SYNTAX)))
def test_only_characters_of_the_head_go(text: str, ending: str) -> None:
    left = without_licence_header(text, f"a{ending}")
    assert left == text or LICENCE.search(text[: len(text) - len(left)] + text)
    letters = iter(text)
    assert all(letter in letters for letter in left.replace("\n", ""))  # a subsequence: nothing is added


HOSTILE_HEADS = [
    (".c", "/*"), (".c", "//\n"), (".c", "/* licence */\n"), (".html", "<!--"), (".html", " "), (".py", "#\n"),
    (".py", "# licence\n"), (".py", "\n"), (".py", "#!"), (".py", "# coding"), (".hs", "{-"), (".f", "C\n"),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "piece"), HOSTILE_HEADS)
def test_hostile_heads_take_time_in_proportion(ending: str, piece: str) -> None:
    text = piece * (5_000_000 // len(piece))
    start = time.process_time()
    without_licence_header(text, f"a{ending}")
    assert time.process_time() - start < 2
