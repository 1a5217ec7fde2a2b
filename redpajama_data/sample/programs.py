"""Program files for the sample: one of two dozen languages, filled with the words of a world and with code of its own.

A template is a head, blocks that each begin after a line ``<<<``, of which some are chosen, and a tail after ``>>>``.
Slots: ``@entity@ @Entity@ @ENTITIES@ ...`` the record the file is about, ``@text@ @one@ @two@`` its fields, ``@verb@``
what is done with it, ``@k@ @j@`` numbers, ``@remark@ @Remark@ @Summary@ @Prose@`` comments.
"""

from __future__ import annotations

from typing import NamedTuple

from redpajama_data.sample import programs_compiled as compiled
from redpajama_data.sample import programs_markup as markup
from redpajama_data.sample import programs_scripting as scripting
from redpajama_data.sample.prose import (
    EXPOSITORY,
    WEB,
    Chance,
    fill,
    paragraph,
    plural,
    sentence,
    subject,
    with_article,
    wrapped,
)


class Language(NamedTuple):
    """A language as GitHub names it: its template, the path of a file, how a line comment starts ("" = block)."""

    name: str
    template: str
    path: str
    comment: str


LANGUAGES: tuple[Language, ...] = (
    Language("Python", scripting.PYTHON, "@entities@/@verb@.py", "#"),
    Language("JavaScript", scripting.JAVASCRIPT, "src/@entity@.js", "//"),
    Language("TypeScript", scripting.TYPESCRIPT, "src/@entities@/@entity@-store.ts", "//"),
    Language("Ruby", scripting.RUBY, "lib/@entities@/@entity@.rb", "#"),
    Language("PHP", scripting.PHP, "app/@Entity@Repository.php", ""),
    Language("Lua", scripting.LUA, "scripts/@entity@.lua", "--"),
    Language("Perl", scripting.PERL, "lib/@Entity@.pm", "#"),
    Language("Shell", scripting.SHELL, "bin/@verb@-@entities@.sh", "#"),
    Language("C", compiled.C, "src/@entity@.c", "//"),
    Language("C++", compiled.CPP, "include/@entity@_index.hpp", "//"),
    Language("Java", compiled.JAVA, "src/main/java/org/example/@entities@/@Entity@.java", "//"),
    Language("C#", compiled.CSHARP, "@Entities@/@Entity@Extensions.cs", "//"),
    Language("Go", compiled.GO, "pkg/@entities@/@verb@.go", "//"),
    Language("Rust", compiled.RUST, "crates/@entity@/src/lib.rs", "//"),
    Language("Scala", compiled.SCALA, "core/src/@Entity@.scala", "//"),
    Language("Haskell", compiled.HASKELL, "src/@Entity@.hs", "--"),
    Language("SQL", markup.SQL, "schema/@entities@.sql", "--"),
    Language("HTML", markup.HTML, "docs/@entities@.html", ""),
    Language("CSS", markup.CSS, "static/css/@entities@.css", ""),
    Language("Markdown", markup.MARKDOWN, "README.md", ""),
    Language("reStructuredText", markup.RST, "docs/@entities@.rst", ""),
    Language("Makefile", markup.MAKEFILE, "Makefile", "#"),
    Language("Dockerfile", markup.DOCKERFILE, "docker/@entity@/Dockerfile", "#"),
)
BY_NAME = {language.name: language for language in LANGUAGES}

_TEXTS = [
    "label",
    "title",
    "owner",
    "colour",
    "region",
    "status",
    "category",
    "remark",
    "season",
    "origin",
    "supplier",
    "material",
]
_ONES = [
    "weight",
    "height",
    "price",
    "depth",
    "speed",
    "distance",
    "volume",
    "area",
    "score",
    "capacity",
    "length",
    "cost",
]
_TWOS = [
    "count",
    "rank",
    "level",
    "pages",
    "doses",
    "crates",
    "visits",
    "repairs",
    "shifts",
    "seats",
    "layers",
    "copies",
]
_VERBS = [
    "select",
    "collect",
    "filter",
    "pick",
    "sift",
    "screen",
    "choose",
    "gather",
    "narrow",
    "limit",
    "review",
    "inspect",
]


class Program(NamedTuple):
    """A file of a repository: its language, path and content."""

    language: str
    path: str
    content: str


def words(chance: Chance) -> dict[str, str]:
    """A filling for every slot of the templates. The record is never a reserved word: all are nouns of the lexicon."""
    _, world = subject(chance)
    fields = {*_TEXTS, *_ONES, *_TWOS}
    plain = [noun for noun in world.nouns if noun.isalpha() and noun not in fields and not noun.endswith("sis")]
    entity, noun, other = chance.some(plain, 3)
    remark = sentence(chance, world, chance.pick(WEB)).replace("'", "").replace('"', "")
    if len(remark) > 84:  # a comment must fit its line
        remark = f"Every {entity} needs {with_article(noun)} and {chance.between(2, 9)} {plural(other)}."
    basic = {
        "entity": entity,
        "entities": plural(entity),
        "noun": noun,
        "other": other,
        "text": chance.pick(_TEXTS),
        "one": chance.pick(_ONES),
        "two": chance.pick(_TWOS),
        "verb": chance.pick(_VERBS),
        "k": str(chance.between(11, 64)),
        "j": str(chance.between(110, 900)),
    }
    several = {key.capitalize(): value.capitalize() for key, value in basic.items()}
    shouted = {key.upper(): value.upper() for key, value in basic.items()}
    return {
        **shouted,
        **several,
        **basic,
        "remark": remark[0].lower() + remark[1:],
        "Remark": remark,
        "Summary": f"{plural(entity).capitalize()} with their {basic['text']}, {basic['one']} and {basic['two']}.",
        "Prose": wrapped(paragraph(chance, world, EXPOSITORY, 2, 4), 88),
    }


def program(chance: Chance, language: Language) -> Program:
    """One file in ``language``, 15 to 80 lines, none longer than 120 chars."""
    slots = words(chance)
    body, _, last = language.template.partition(">>>\n")
    first, *middle = body.split("<<<\n")
    chosen = chance.some(range(len(middle)), chance.between((len(middle) + 1) // 2, len(middle)))
    gap = "\n\n" if language.name == "Python" else "\n"
    if language.name in ("HTML", "C#"):
        gap = ""
    blocks = [first, *(middle[at] for at in sorted(chosen)), *([last] if last else [])]
    return Program(language.name, fill(language.path, slots), fill(gap.join(blocks), slots))
