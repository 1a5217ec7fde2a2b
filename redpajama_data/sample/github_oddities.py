"""The odd files of the GitHub sample: what each rule of the slice drops, and what comes close to a limit and stays."""

from __future__ import annotations

from collections.abc import Iterator

from redpajama_data.sample.github_rows import EXCLUDED_LICENCES, KEPT_LICENCES, Row, anywhere, repositories
from redpajama_data.sample.lexicon import WORLDS
from redpajama_data.sample.planted import Planted
from redpajama_data.sample.programs import BY_NAME, LANGUAGES, program
from redpajama_data.sample.prose import EXPOSITORY, WEB, Chance, paragraph, wrapped

PLANTED: tuple[Planted, ...] = (
    Planted("broken line: cut off, not JSON, not UTF-8, or JSON but no object", 5, "malformed"),
    Planted("path missing, path a number, content a list", 3, "malformed"),
    Planted("excluded licence (" + ", ".join(map(str, EXCLUDED_LICENCES)) + ")", 22, "license_starts_with"),
    Planted("content null, three of them binary rows without the key", 6, "content_not_null"),
    Planted("path .crt", 3, "path_not_in"),
    Planted("path LICENSE", 4, "path_not_in"),
    Planted("empty text: empty file, only line comments, only a copyright block", 4, "not_empty"),
    Planted("path not on the list (LICENSE.txt, sub/LICENSE, GNUmakefile, .PY ...)", 12, "extension_in"),
    Planted("line of more than 1000 chars (one has 1001)", 4, "max_line_length"),
    Planted("lines of 101 chars on average, line end counted", 2, "avg_line_length"),
    Planted("less than a quarter letters and digits (one is a newline after a deleted block)", 4, "min_alnum_prop"),
    Planted("tables of numbers: fewer than 1.5 letters a token", 3, "min_alpha_per_token"),
    Planted("copyright in the first block comment", 12, ""),
    Planted("first block comment without copyright, a second one with: stays", 1, ""),
    Planted("copyright in line comments at the head", 10, ""),
    Planted("two files that differ in the year of the copyright line only: no copies", 2, ""),
    Planted("CRLF line ends", 4, ""),
    Planted("letters of other scripts", 6, ""),
    Planted("<|endoftext|> in the text", 1, ""),
    Planted("run of 600 blanks", 2, ""),
    Planted("longest line of 1000 chars exactly", 1, ""),
    Planted("average line of 100 chars exactly", 1, ""),
    Planted("a quarter letters and digits exactly", 1, ""),
)

_NOTICE = (
    "Copyright {year} The {name} authors.",
    "Use of this file is governed by the licence that is in the",
    "file LICENSE at the top of this repository.",
)
_PERMISSION = (
    "Copyright {year} {name}\n\n"
    "Anyone may use, change and pass on these files, free of charge, as long as this notice\n"
    "stays with them. They come as they are, and nobody is liable for what they do.\n"
)
_SCRIPTS = (
    ("Python", "# Größe, Gewicht und Länge müssen zusammenpassen"),
    ("Go", "// Проверка количества и веса перед отправкой"),
    ("Java", "// 数量と重さを確認してから送信する"),
    ("Ruby", "# números, señales y años: todo en español"),
    ("JavaScript", "// 统计数量并检查重量 ✅"),
    ("C", "// Έλεγχος του βάρους και της ποσότητας"),
)
_WRONG_PATHS = (
    "data/stations.json", ".travis.yml", "notes.txt", "LICENSE.txt", "third_party/zip/LICENSE", "GNUmakefile",
    "Setup.PY", "ios/View.swift", "app/Main.kt", "analysis/model.R", "setup.cfg", "notebooks/first.ipynb",
)  # fmt: skip


def _block(chance: Chance, name: str) -> str:
    notice = "\n".join(" * " + line for line in _NOTICE).format(year=chance.between(1999, 2022), name=name)
    return f"/*\n{notice}\n */\n"


def _numbers(chance: Chance, start: str, end: str) -> str:
    rows = (", ".join(str(chance.between(1000, 99999)) for _ in range(9)) for _ in range(40))
    return start + "".join(f"    {row},\n" for row in rows) + end


def _cut(chance: Chance, length: int) -> str:
    """Exactly ``length`` chars of prose, the last one no blank."""
    text = " ".join(paragraph(chance, WORLDS["mill"], EXPOSITORY, 9, 9) for _ in range(length // 400 + 1))
    return text[: length - 1] + "s"


def _dropped(chance: Chance) -> Iterator[tuple[str, str | None]]:
    """Path and content of the files that each rule after the licence drops."""
    contents = [program(chance, language).content for language in LANGUAGES]
    yield from ((path, None) for path in ("lib/core.py", "src/empty.go", "web/app.js"))
    for name in ("root.crt", "certs/client.crt", "test/expired.crt"):
        body = "\n".join(chance.digits(64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef+/0123456789") for _ in range(9))
        yield name, f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    for year in (2009, 2013, 2017, 2021):
        yield "LICENSE", _PERMISSION.format(year=year, name="the orchard developers")
    yield "pkg/__init__.py", ""
    yield "tests/__init__.py", "# This file is left empty on purpose.\n\n# It marks a package.\n"
    yield "schema/todo.sql", "-- Tables will follow.\n--\n-- See the notes of the last meeting.\n"
    yield "src/dummy.c", _block(chance, "dummy").rstrip("\n")
    yield from zip(_WRONG_PATHS, contents, strict=False)
    minified = ";".join(f"var {chance.digits(3, 'abcdefgh')}=function(a,b){{return a+b*{at}}}" for at in range(60))
    yield "dist/bundle.min.js", minified
    yield "dist/style.css", "".join(f".c{at}{{margin:{at}px;color:teal}}" for at in range(70)) + "\n"
    yield "docs/generated.html", "<table>\n" + "<tr><td>station</td><td>harbour</td></tr>" * 40 + "\n</table>\n"
    yield "docs/one-too-many.md", contents[19] + "\n" + _cut(chance, 1001) + "\n"
    for name in ("docs/unwrapped.md", "docs/essay.tex"):
        yield name, "".join(_cut(chance, 100) + "\n" for _ in range(12))
    yield "docs/table.md", "| a | b |\n" + "+-------+-------+\n|       |       |\n" * 30
    yield "docs/frame.rst", "=" * 60 + "\nBox\n" + "=" * 60 + "\n" + "." * 70 + "\n"
    yield "docs/graph.m", "plot\n" + "    . . . : : : | | | / / / \\ \\ \\\n" * 20
    yield "src/hollow.c", _block(chance, "hollow")
    yield "src/crc_table.c", _numbers(chance, "static const unsigned table[] = {\n", "};\n")
    yield "data/prices.sql", _numbers(chance, "INSERT INTO prices VALUES (\n", "    0);\n")
    yield "fixtures/series.py", _numbers(chance, "SERIES = [\n", "]\n")


def _kept(chance: Chance) -> Iterator[tuple[str, str]]:
    """Path and content of odd files that no rule drops."""
    for number, name in enumerate(("C", "Java", "JavaScript", "CSS", "Go", "C++") * 2):
        source = program(chance, BY_NAME[name])
        yield f"lib{number}/{source.path}", _block(chance, name.lower()) + source.content
    source = program(chance, BY_NAME["Rust"])
    yield "src/second_block.rs", f"/* Tables for the {source.path} */\n\n{_block(chance, 'second')}{source.content}"
    commented = [language for language in LANGUAGES if language.comment]
    for number in range(10):
        language = commented[number]
        source = program(chance, language)
        shebang = "#!/bin/bash\n" if language.name == "Shell" else ""
        head = "\n".join(f"{language.comment} {line}" for line in _NOTICE).format(year=2001 + number, name="orchard")
        yield f"vendor{number}/{source.path}", f"{shebang}{head}\n\n{source.content}"
    source = program(chance, BY_NAME["Python"])
    for year in (2011, 2012):
        yield f"release{year}/{source.path}", f"# Copyright {year} The orchard authors.\n\n{source.content}"
    for name in ("C#", "SQL", "PHP", "HTML"):
        source = program(chance, BY_NAME[name])
        yield "windows/" + source.path, source.content.replace("\n", "\r\n")
    for name, phrase in _SCRIPTS:
        source = program(chance, BY_NAME[name])
        yield "i18n/" + source.path, f"{source.content}\n{phrase}\n"
    source = program(chance, BY_NAME["Markdown"])
    mark = "\nDocuments are divided by the mark `<|endoftext|>`, which is one token.\n"
    yield "docs/tokens.md", source.content + mark
    for name in ("Scala", "Lua"):
        source = program(chance, BY_NAME[name])
        yield "wide/" + source.path, source.content.replace("= ", "=" + " " * 600, 1)
    source = program(chance, BY_NAME["Markdown"])
    yield "docs/just-fits.md", source.content + "\n" + _cut(chance, 1000) + "\n"
    yield "docs/hundred.md", "".join(_cut(chance, 99) + "\n" for _ in range(12))
    yield "docs/quarter.md", ("correspondence" + "=" * 41 + "\n") * 12


def odd_rows(chance: Chance) -> list[Row]:
    """Every odd row but the broken lines, at places of chance."""
    kept = repositories(chance, KEPT_LICENCES)
    files: list[tuple[str, str | None]] = [*_dropped(chance), *_kept(chance)]
    rows = [Row(anywhere(chance), chance.pick(kept), path, content) for path, content in files]
    for name in ("logo", "banner", "icon"):
        rows.append(Row(anywhere(chance), chance.pick(kept), f"img/{name}.png", None, absent=("content",)))
    for excluded, count in zip(repositories(chance, EXCLUDED_LICENCES), EXCLUDED_LICENCES.values(), strict=True):
        for _ in range(count):
            made = program(chance, chance.pick(LANGUAGES))
            rows.append(Row(anywhere(chance), excluded, made.path, made.content))
    remark = wrapped(paragraph(chance, WORLDS["farm"], WEB))
    rows.append(Row(anywhere(chance), kept[0], "", remark, absent=("path",)))
    rows.append(Row(anywhere(chance), kept[1], "", remark + "\n", {"path": 404}))
    rows.append(Row(anywhere(chance), kept[2], "docs/list.md", "", {"content": remark.split("\n")}))
    return rows


def broken_lines(whole: bytes) -> list[bytes]:
    """Lines that are no records; ``whole`` is a good line without its line end."""
    return [
        whole[: len(whole) // 2],
        whole.replace(b'": "', b'": ', 1),
        b"<html><head><title>503 Service Unavailable</title></head></html>",
        whole.replace(b'"content": "', b'"content": "\xff\xfe', 1),
        b"[" + whole + b"]",
    ]
