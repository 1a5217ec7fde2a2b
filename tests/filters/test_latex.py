"""LaTeX cleaning: the published expressions, written out in full, against the linear scans; and hostile sources."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters import latex, latex_macros
from redpajama_data.document import Document, Drop, Step, run_steps
from slices.readers.arxiv_reader import read_arxiv_tar

MAX_INSERTED = 1 << 24
STEPS: list[Step] = [
    latex.strict_utf8,
    latex_macros.collect_macros,
    latex.start_at_first_header,
    latex.remove_comment_lines,
    latex.remove_inline_comments,
    latex.cut_at_appendix,
    latex_macros.ascii_macros,
    partial(latex_macros.expand_macros, max_inserted_chars=MAX_INSERTED),
    latex.join_sources,
    latex.not_empty,
]


def clean(*sources: str | bytes, steps: list[Step] = STEPS) -> Document | Drop:
    raw = [source if isinstance(source, bytes) else source.encode() for source in sources]
    return run_steps(Document("t#0", "", {}, {"sources": raw}), steps)


def cleaned(*sources: str) -> str | Drop:
    result = clean(*sources)
    return result if isinstance(result, Drop) else result.text


# ------------------------------------------------------------------ the recipe, in backtracking expressions

OPTION_AND_NAME = r"\b\*?(?:\[(.*?)\])?\{(.*?)\}"
HEADERS = [rf"\\\b{name}" + OPTION_AND_NAME for name in ("chapter", "part", "section", "subsection", "subsubsection")]
HEADERS.append(rf"\\\bparagraph{OPTION_AND_NAME}\\\bsubparagraph{OPTION_AND_NAME}")
HEADER = rf"^(.*?)({'|'.join(HEADERS)})"
CUT = r"(\\appendix|\\begin\{references\}|\\begin\{REFERENCES\}|\\begin\{thebibliography\}|\\bibliography\{.*\}).*$"
MACRO = (
    r"\\\bnewcommand\b\*?\{(\\[a-zA-Z0-9]+?)\}\{(.*?)\}$",
    r"\\def\s*(\\[a-zA-Z0-9]+?)\s*\{(.*?)\}$",
)


def published(sources: list[str]) -> str | None:
    """The text of a paper by the published expressions; None when it is dropped."""
    macros: dict[str, str] = {}
    for source in sources:
        for pattern in MACRO:
            for match in re.finditer(pattern, source, re.MULTILINE):
                name, value = (group.encode("unicode-escape").decode() for group in match.groups())
                macros[name] = value
    texts = []
    for source in sources:
        if not re.search(HEADER, source, re.DOTALL):
            texts.append("")
            continue
        text = re.sub(HEADER, r"\2", source, flags=re.DOTALL)
        text = re.sub(r"^%.*\n?", "", text, flags=re.MULTILINE)
        text = re.sub(r"[^\\]%.+$", "", text, flags=re.MULTILINE)
        text = re.sub(CUT, "", text, flags=re.DOTALL)
        for name, value in macros.items():
            try:
                text = re.sub(f"({name})([^a-zA-Z0-9])", value + r"\2", text)
            except re.error:
                return None
        texts.append(text)
    return "\n".join(texts) or None


def agrees(sources: list[str]) -> None:
    ours = cleaned(*sources)
    assert (None if isinstance(ours, Drop) else ours) == published(sources)


HEADER_PARTS = ["\\chapter", "\\part", "\\section", "\\subsection", "\\subsubsection", "\\subsubsubsection"]
HEADER_PARTS += ["\\paragraph", "\\subparagraph", "\\paragraph{a}\\subparagraph", "\\paragraph[b]{a}\\subparagraph{"]
MARKS = ["*", "[", "]", "]{", "{", "}", "{A}", "[B]", "\\", "\\\\", "%", "\\%", "\n", "\n%", "%\n", "\r\n", " "]
MARKS += ["\t", "a", "b1", "\u00e9", "\u2028", "\u00a0", "\x0c", "\x85", "_"]
CUTS = ["\\appendix", "page", "\\appendices", "\\begin{references}", "\\begin{REFERENCES}", "\\begin{thebibliography}"]
CUTS += ["\\bibliography{", "\\bibliographystyle{x}", "\\begin{", "references}"]
NAMES = ["\\a", "\\b", "\\ab", "\\a1", "\\aba", "\\1"]
VALUES = ["", "a", "b", "1a", "\\", "\\a", "\\b\\b", "\\ab \\a", "x}{", "a\\a1 b", "\\\\", "\\g<1>", "\u00e9"]


def latex_text(pieces: list[str], size: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), max_size=size).map("".join)


definition = st.builds(
    lambda opening, name, value, end: opening.replace("NAME", name) + value + end,
    st.sampled_from(
        ["\\newcommand{NAME}{", "\\newcommand*{NAME}{", "\\def NAME{", "\\defNAME\n{", "\\def\u00a0NAME\t{"]
    ),
    st.sampled_from(NAMES),
    st.sampled_from(VALUES),
    st.sampled_from(["}\n", "}\n", "}", "} \n", "}%\n", "}\r\n", ""]),
)


@settings(max_examples=400)
@given(st.lists(latex_text(HEADER_PARTS + MARKS, 14), min_size=1, max_size=2))
@example(["\\paragraph{a}\\subparagraph[x]{b}"])
@example(["\\paragraph[a]{b}}\\subparagraph{c}"])
@example(["\\section[a]{b"])
def test_headers_and_comments_are_those_of_the_published_expressions(sources: list[str]) -> None:
    agrees(sources)


@settings(max_examples=400)
@given(latex_text(["\\section{S}", *MARKS, *CUTS], 16))
def test_comments_and_cuts_are_those_of_the_published_expressions(text: str) -> None:
    agrees(["\\section{S}" + text])


@settings(max_examples=600)
@given(st.lists(definition, max_size=6), latex_text([*NAMES, *NAMES, "a", "b", " ", "\\", "{", "\n", "%"], 20))
@example(["\\def\\a{a}\n", "\\def\\b{b}\n", "\\def\\ab{!}\n"], "\\a\\a\\a \\\\a \\\\b ")
@example(["\\def\\a{}\n"], "\\a\\a\\a\\a")
@example(["\\def \\a{}", "\\def\\b\n{}\n"], "\\b ")
@example(["\\def\\b{x\\\\}\n", "\\def\\a{b}\n"], "\\b\\a \\\\\\a ")
@example(["\\def\\section{\\a}\n", "\\def\\a{}\n"], "\\\\a1 \\b\\a\\b")
def test_macros_are_those_of_the_published_expressions(definitions: list[str], body: str) -> None:
    agrees(["".join(definitions), "\\section{S}" + body, *definitions[:1]])


def test_real_papers_are_those_of_the_published_expressions(shared_data: Path) -> None:
    compared = 0
    for tar in sorted((shared_data / "arxiv").glob("*.tar")):
        for doc in read_arxiv_tar(str(tar)):
            if isinstance(doc, Document):
                try:
                    sources = [source.decode() for source in doc.work["sources"]]
                except UnicodeDecodeError:
                    continue
                if sum(map(len, sources)) < 60_000:  # the expressions take minutes on the long ones
                    agrees(sources)
                    compared += 1
    assert compared > 10


# ------------------------------------------------------------------ oddities, one by one

S = "\\section{S}"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("pre \\section{A} b", "\\section{A} b"),
        ("pre \\section {A} b", ""),
        ("pre\\section*[x\ny]{A\nB} b", "\\section*[x\ny]{A\nB} b"),
        ("% see \\part{A} x\ny", "\\part{A} x\ny"),
        ("\\paragraph{A} b", ""),
        ("\\subparagraph{A} b", ""),
        ("x\\paragraph{A}\\subparagraph{B}", "\\paragraph{A}\\subparagraph{B}"),
        ("x\\paragraph{A} \\subparagraph{B}", ""),
        ("\\subsubsubsection{A}", ""),
        (S + "\n%a\n%b\nc", S + "\nc"),
        (S + "\n%last", S + "\n"),
        (S + "\nword% c\nd", S + "\nwor\nd"),
        (S + "\n  % c\nd", S + "\n \nd"),
        (S + "\nbare%\nd", S + "\nbare%\nd"),
        (S + "\nbare%\r\nd", S + "\nbar\nd"),
        (S + "\n5\\% of\nd", S + "\n5\\% of\nd"),
        (S + "a\\appendixpage b", S + "a"),
        (S + "a\\appendices b", S + "a\\appendices b"),
        (S + "a\\bibliography{x} b", S + "a"),
        (S + "a\\bibliography{x", S + "a\\bibliography{x"),
        (S + "a\\bibliographystyle{x}", S + "a\\bibliographystyle{x}"),
        (S + "a\\end{document} b", S + "a\\end{document} b"),
        (S + "\\begin{thebibliography} b \\begin{references}", S),
    ],
)
def test_cleaning(source: str, text: str) -> None:
    assert cleaned(source) == (text or Drop("not_empty", 0, 1))


@pytest.mark.parametrize(
    ("definitions", "body", "expanded"),
    [
        ("\\newcommand{\\R}{real}\n", "\\R x", "real x"),
        ("\\newcommand*{\\R}{real}\n", "\\R x", "real x"),
        ("\\newcommand\\R{real}\n", "\\R x", "\\R x"),
        ("\\newcommand{\\R}[1]{real}\n", "\\R x", "\\R x"),
        ("\\renewcommand{\\R}{real}\n", "\\R x", "\\R x"),
        ("\\def\\R{real}\n", "\\R x", "real x"),
        ("\\def \\R\n {real}\n", "\\R x", "real x"),
        ("\\def\\R#1{real}\n", "\\R x", "\\R x"),
        ("\\def\\R{real} \n", "\\R x", "\\R x"),
        ("\\def\\R{real}\r\n", "\\R x", "\\R x"),
        ("% \\def\\R{real}\n", "\\R x", "real x"),
        ("\\newcommand{\\a}{x}\\newcommand{\\b}{y}\n", "\\a \\b ", "x}\\newcommand{\\b}{y \\b "),
        ("\\def\\R{real}\n", "\\R\\R x", "real\\R x"),
        ("\\def\\R{real}\n", "x\\R", "x\\R"),
        ("\\def\\R{real}\n", "\\Rx \\R1 \\R_", "\\Rx \\R1 real_"),
        ("\\def\\R{real}\n", "\\\\R x", "\\real x"),
        ("\\def\\a{\\b}\n\\def\\b{c}\n", "\\a \\b ", "c c "),
        ("\\def\\b{c}\n\\def\\a{\\b}\n", "\\a \\b ", "\\b c "),
        ("\\def\\a{1}\n\\def\\b{2}\n\\def\\a{\\b}\n", "\\a ", "2 "),
        ("\\def\\a{\\x\\1\\g<0>}\n", "\\a ", "\\x\\1\\g<0> "),
        ("\\def\\a{x\ty}\n", "\\a ", "x\ty "),
    ],
)
def test_macros(definitions: str, body: str, expanded: str) -> None:
    assert cleaned(definitions + S + body) == S + expanded


def test_only_what_is_no_ascii_in_a_macro_drops_the_paper() -> None:
    accent = "\\def\\a{caf\u00e9}\n"
    assert cleaned(accent + S) == Drop("ascii_macros", "\\a: U+00E9", "printable ASCII")
    assert cleaned(S + "x\\def\\a{caf\u00e9}, y") == S + "x\\def\\a{caf\u00e9}, y"
    assert cleaned(accent, "no header") == "\n"  # the published code stops before the macros


def test_one_file_that_is_not_utf8_drops_the_paper() -> None:
    assert clean(S, b"caf\xe9") == Drop("strict_utf8", "byte 0xe9 at offset 3", "UTF-8")


def test_sources_without_header_are_joined_all_the_same() -> None:
    assert cleaned("a", "b") == "\n"
    assert cleaned("a") == Drop("not_empty", 0, 1)
    assert clean() == Drop("not_empty", 0, 1)


# ------------------------------------------------------------------ hostile sources

SIZE = 5_000_000


def _repeat(unit: str, head: str = S, tail: str = "", size: int = SIZE) -> Callable[[], str]:
    return lambda: head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


HOSTILE: dict[str, Callable[[], str]] = {
    "unclosed section": _repeat("\\section{", ""),
    "unclosed option": _repeat("\\section[", "", "]}"),
    "option without name": _repeat("\\section[]", "", "}"),
    "paragraphs": _repeat("\\paragraph{a}", "", "\\section{a}"),
    "subparagraph options": _repeat("\\paragraph[]{}\\subparagraph[", "", "}"),
    "unclosed newcommand": _repeat("\\newcommand{\\a}{"),
    "newcommand on one line": _repeat("\\newcommand{\\a}{", tail="} "),
    "def without brace": _repeat("\\def\\ab"),
    "unclosed def": _repeat("\\def\\ab{"),
    "def and blanks": _repeat("\\def" + " " * 1000),
    "def of def": _repeat("\\def \\def\n"),
    "long name": _repeat("a", S + "\\def\\"),
    "unclosed bibliography": _repeat("\\bibliography{", "\\section{} "),
    "appendix begun": _repeat("\\begin{referencex}"),
    "percent signs": _repeat("%"),
    "escaped percent signs": _repeat("\\%"),
    "percent lines": _repeat("\n%"),
    "bare percent lines": _repeat("a%\n"),
    # Expansions are work that must be done: linear too, about 1 s for each million of them.
    "backslashes": _repeat("\\", "\\def\\a{b}\n" + S, "\\a ", size=500_000),
    "one macro everywhere": _repeat("\\a ", "\\def\\a{b}\n" + S, size=500_000),
    "run of one macro": _repeat("\\a", "\\def\\a{\\a\\a}\n" + S, size=500_000),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_source_of_megabytes_takes_under_2_seconds(kind: str) -> None:
    source = HOSTILE[kind]().encode()
    start = time.process_time()
    clean(source)
    assert time.process_time() - start < 2


def _bomb(levels: int, factor: int) -> str:
    body = [f"\\x{level} " * factor for level in range(levels + 1)]
    return "".join(f"\\def\\x{level}{{{body[level + 1]}}}\n" for level in range(levels)) + S + "\\x0 "


def _limited(chars: int) -> list[Step]:
    return [*STEPS[:-3], partial(latex_macros.expand_macros, max_inserted_chars=chars), *STEPS[-2:]]


def test_macros_that_multiply_are_dropped_at_the_limit() -> None:
    start = time.process_time()
    drop = clean(_bomb(60, 9), steps=_limited(1_000_000))
    assert isinstance(drop, Drop)
    assert (drop.rule, drop.limit) == ("expand_macros", 1_000_000)
    assert 1_000_000 < float(drop.measured or 0) < 1_001_000
    assert time.process_time() - start < 2


@pytest.mark.parametrize("kept", [True, False])
def test_the_expansion_limit_counts_all_sources(kept: bool) -> None:
    limit = 8 if kept else 7
    result = clean("\\def\\R{real}\n", S + "\\R ", S + "\\R ", steps=_limited(limit))
    assert isinstance(result, Document) if kept else result == Drop("expand_macros", 8, 7)


def test_many_macros_on_much_text_take_linear_time() -> None:
    names = [f"\\m{i}" for i in range(50_000)]
    source = "".join(f"\\def{name}{{v{name[2:]}}}\n" for name in names) + S + "".join(f"{name} " for name in names)
    start = time.process_time()
    text = cleaned(source)
    assert time.process_time() - start < 2
    assert text == S + "".join(f"v{name[2:]} " for name in names)
