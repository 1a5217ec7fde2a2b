"""The repaired LaTeX reader: comments, encodings, files read in, headers, ends, macros; both sides of each rule."""

from __future__ import annotations

import itertools
import re
import time
from functools import partial
from typing import Any

import pytest

from filters import latex_definitions, latex_document, latex_encoding, latex_marks, latex_sections
from redpajama_data.document import Document, Drop, run_steps

COMMENTS = [
    ("a comment eats no letter", "word% c\nnext", "wordnext"),
    ("an escaped percent sign", r"a\% b", r"a\% b"),
    ("a line break and a comment", "a\\\\% c\nb", "a\\\\b"),
    ("a line break and an escaped sign", r"a\\\% x", r"a\\\% x"),
    ("an indented comment line", "a\n  % c\nb", "a\nb"),
    ("escaped, then a comment", "100\\%% c\nb", "100\\%b"),
    ("nothing behind it", "foo%\nbar", "foobar"),
    ("indentation of the next line", "foo%\n   bar", "foobar"),
    ("before an empty line", "foo%\n\nbar", "foo\n\nbar"),
    ("a blank before it", "foo % c\nbar", "foo \nbar"),
    ("lines of comment behind text", "foo%\n% c\n  % d\n bar", "foobar"),
    ("windows line ends", "foo%\r\nbar\r\n% c\r\nd", "foobar\nd"),
    ("verb", r"\verb|%|% c" + "\nb", r"\verb|%|b"),
    ("verb with a star", r"\verb*+a%b+ c", r"\verb*+a%b+ c"),
    ("verb ends with its line", "\\verb|a% c\nb|", "\\verb|ab|"),
    ("an address", r"\url{a%20b}% c" + "\nd", r"\url{a%20b}d"),
    ("the first argument alone", "\\href{a%b}{c% d\n}", "\\href{a%b}{c}"),
    ("a listing", "\\begin{lstlisting}\na % b\n\\end{lstlisting}\n", None),
    ("verbatim without an end", "\\begin{verbatim}\na % b\n", "\\begin{verbatim}\na \n"),
    ("verbatim in a comment", "% \\begin{verbatim}\na % b\n\\end{verbatim}", "a \n\\end{verbatim}"),
    ("the last line", "a\n% last", "a\n"),
    ("at the very end", "foo%", "foo"),
    ("comment environment", "a\\begin{comment}b\\end{comment}c", "ac"),
    ("iffalse", "a\\iffalse b\\ifx c\\fi % \\fi\n d\\fi e", "a e"),
    ("iffalse with an else", "\\iffalse a\\else b\\fi", None),
    ("iffalse without an end", "\\iffalse a", None),
    ("a command that begins so", "\\verbatiminput{a% b\n}", "\\verbatiminput{a}"),
]


@pytest.mark.parametrize(("text", "left"), [case[1:] for case in COMMENTS], ids=[case[0] for case in COMMENTS])
def test_comments(text: str, left: str | None) -> None:
    assert latex_marks.without_comments(text) == (text if left is None else left)


ENCODINGS = [
    ("utf-8", "caf\u00e9".encode(), "caf\u00e9", "utf-8"),
    ("with a mark", b"\xef\xbb\xbfa", "a", "utf-8"),
    ("windows dash", b"a\x96b", "a\u2013b", "cp1252"),
    ("latin1 declared", b"\\usepackage[latin1]{inputenc} caf\xe9", None, "cp1252"),
    ("koi8", b"\\usepackage[koi8-r]{inputenc}\xc1", "\\usepackage[koi8-r]{inputenc}\u0430", "koi8-r"),
    ("mac", b"\\usepackage[applemac]{inputenc}\x8e", "\\usepackage[applemac]{inputenc}\u00e9", "mac-roman"),
    ("second option", b"\\usepackage[x,latin2]{inputenc}\xb1", None, "iso8859-2"),
    ("undefined in windows", b"a\x81b", "a\x81b", "cp1252"),
    ("utf-16", "\ufeffa".encode("utf-16-le"), "a", "utf-16-le"),
    ("pdf", b"%PDF-1.4 a", None, None),
    ("zero bytes", b"a\0b", None, None),
]


@pytest.mark.parametrize(("data", "text", "codec"), [c[1:] for c in ENCODINGS], ids=[c[0] for c in ENCODINGS])
def test_encodings(data: bytes, text: str | None, codec: str | None) -> None:
    found = latex_encoding.decode(data)
    assert (found and found[1]) == codec
    assert found is None or text is None or found[0] == text


def paper(*files: tuple[str, str | bytes]) -> Document:
    data = [text.encode() if isinstance(text, str) else text for _, text in files]
    return Document("a#0", "", {}, {"names": [name for name, _ in files], "sources": data})


def test_one_bad_file_of_three_goes_alone() -> None:
    doc = paper(("a.tex", "a"), ("b.tex", b"%PDF-1.5"), ("c.tex", b"caf\xe9"))
    assert latex_encoding.any_encoding(doc) is doc
    assert (doc.work["names"], doc.work["sources"]) == (["a.tex", "c.tex"], ["a", "caf\u00e9"])
    assert doc.meta == {"encoding": "cp1252"}


@pytest.mark.parametrize(
    ("name", "data", "kept"),
    [("", b"%!PS", False), ("", b"plain words", False), ("", b"\\magnification 1", True), ("a.tex", b"words", True)],
)
def test_a_single_source_must_look_like_tex(name: str, data: bytes, kept: bool) -> None:
    found = latex_encoding.any_encoding(paper((name, data)))
    assert (not isinstance(found, Drop)) is kept
    assert getattr(found, "rule", "not_tex") == "not_tex"


BEGIN, END, CLASS = "\\begin{document}", "\\end{document}", "\\documentclass{a}"
FILES: list[tuple[str, list[tuple[str, str]], list[str], int]] = [  # files, documents, unresolved inputs
    ("main last", [("b.tex", "B"), ("a.tex", f"{CLASS}{BEGIN}x\\input{{b}}y{END}z")], [f"{CLASS}{BEGIN}xBy"], 0),
    (
        "folders",
        [("m.tex", f"{CLASS}{BEGIN}\\input{{s/a}}"), ("s/a.tex", "A\\input{b}"), ("s/b.tex", "B")],
        [f"{CLASS}{BEGIN}AB"],
        0,
    ),
    ("main in a folder", [("p/m.tex", f"{CLASS}{BEGIN}\\input s/a z"), ("p/s/a.tex", "A")], [f"{CLASS}{BEGIN}A z"], 0),
    ("cycle", [("m.tex", f"{CLASS}{BEGIN}\\input{{a}}"), ("a.tex", "A\\input{m}\\input{a}")], [f"{CLASS}{BEGIN}A"], 0),
    ("twice", [("m.tex", f"{CLASS}{BEGIN}\\input{{a}}\\include{{a.tex}}"), ("a.tex", "A")], [f"{CLASS}{BEGIN}AA"], 0),
    ("missing", [("m.tex", f"{CLASS}\\input epsf\n{BEGIN}\\input{{n}}x")], [f"{CLASS}\n{BEGIN}x"], 1),
    ("comment", [("m.tex", f"{CLASS}{BEGIN}% \\input{{a}}\n"), ("a.tex", "A")], [f"{CLASS}{BEGIN}% \\input{{a}}\n"], 0),
    (
        "two",
        [("m.tex", f"{CLASS}{BEGIN}1"), ("n.tex", f"{CLASS}{BEGIN}2")],
        [f"{CLASS}{BEGIN}1", f"{CLASS}{BEGIN}2"],
        0,
    ),
    (
        "named",
        [("m.tex", f"{CLASS}{BEGIN}1"), ("n.tex", f"{CLASS}{BEGIN}2"), ("00README.XXX", "n.tex toplevelfile\n")],
        [f"{CLASS}{BEGIN}2"],
        0,
    ),
    ("class read in", [("p.tex", CLASS), ("m.tex", f"\\input{{p}}{BEGIN}x")], [f"{CLASS}{BEGIN}x"], 0),
    ("plain TeX", [("a.tex", "words"), ("b.tex", "\\input a \\bye")], ["words \\bye"], 0),
    ("neither", [("a.tex", "A"), ("b.tex", "B")], ["A", "B"], 0),
    ("capitals", [("M.TEX", f"{CLASS}{BEGIN}x")], [f"{CLASS}{BEGIN}x"], 0),
    ("out of the archive", [("m.tex", f"{CLASS}{BEGIN}\\input{{../a}}x"), ("a.tex", "A")], [f"{CLASS}{BEGIN}x"], 1),
    (
        "of its own",
        [("m.tex", f"{CLASS}{BEGIN}\\subfile{{s}}z"), ("s.tex", f"{CLASS}{BEGIN}S{END}")],
        [f"{CLASS}{BEGIN}Sz"],
        0,
    ),
    ("import", [("m.tex", f"{CLASS}{BEGIN}\\import{{d/}}{{a}}"), ("d/a.tex", "A")], [f"{CLASS}{BEGIN}A"], 0),
    ("nothing read in", [("m.tex", f"{CLASS}{BEGIN}x"), ("letter.tex", "Dear")], [f"{CLASS}{BEGIN}x"], 0),
]


@pytest.mark.parametrize(("files", "documents", "unresolved"), [f[1:] for f in FILES], ids=[f[0] for f in FILES])
def test_documents(files: list[tuple[str, str]], documents: list[str], unresolved: int) -> None:
    doc = Document("a#0", "", {}, {"names": [n for n, _ in files], "sources": [t for _, t in files]})
    assert latex_document.assemble_document(doc, max_chars=100_000) is doc
    assert doc.work["sources"] == documents
    assert doc.meta.get("unresolved_inputs", 0) == unresolved


def test_files_that_grow_without_end_are_dropped() -> None:
    files = [("m0.tex", f"{CLASS}{BEGIN}\\input{{m1}}\\input{{m1}}")]
    files += [(f"m{n}.tex", f"\\input{{m{n + 1}}}\\input{{m{n + 1}}}") for n in range(1, 40)]
    doc = Document("a#0", "", {}, {"names": [n for n, _ in files], "sources": [t for _, t in files]})
    start = time.process_time()
    assert latex_document.assemble_document(doc, max_chars=1 << 20) == Drop(
        "assemble_document", "over 1048576 characters", 1 << 20
    )
    assert time.process_time() - start < 2


HEADERS = [
    ("paragraph", "x\\paragraph{A}b", "\\paragraph{A}b"),
    ("subparagraph", "x\\subparagraph*{A}b", "\\subparagraph*{A}b"),
    ("a blank before the brace", "x\\section {A}b", "\\section {A}b"),
    ("with an option", "x\\section*[a] {A}b", "\\section*[a] {A}b"),
    ("in a definition", f"\\newcommand{{\\s}}{{\\section{{}}}}{BEGIN}x\\part{{A}}", "\\part{A}"),
    ("a command that begins so", f"{BEGIN}x\\sectionname{{A}}", "x\\sectionname{A}"),
    ("none", f"a{BEGIN}x", "x"),
    ("none, and no document", "abc", ""),
]


@pytest.mark.parametrize(("text", "left"), [h[1:] for h in HEADERS], ids=[h[0] for h in HEADERS])
def test_headers(text: str, left: str) -> None:
    doc = latex_sections.any_header(Document("a#0", "", {}, {"sources": [text]}), keep_abstract=False)
    assert doc.work["sources"] == [left]


def test_a_header_in_a_comment_is_none() -> None:
    doc = Document("a#0", "", {}, {"sources": [f"{BEGIN}x % \\section{{A}}\ny\\section{{B}}c"], "names": ["a.tex"]})
    cleaned = latex_marks.remove_comments(doc)
    assert latex_sections.any_header(cleaned, keep_abstract=False).work["sources"] == ["\\section{B}c"]


def test_what_was_put_together_is_kept_without_a_header() -> None:
    doc = Document("a#0", "", {}, {"sources": ["abc"], "assembled": True})
    assert latex_sections.any_header(doc, keep_abstract=False).work["sources"] == ["abc"]


def test_title_and_abstract_are_kept_when_wanted() -> None:
    text = f"\\title{{On {{A}}}}{BEGIN}\\maketitle\\begin{{abstract}}Short.\\end{{abstract}} more \\section{{B}}c"
    doc = latex_sections.any_header(Document("a#0", "", {}, {"sources": [text]}), keep_abstract=True)
    front = "\\title{On {A}}\n\n\\begin{abstract}Short.\\end{abstract}\n\n"
    assert doc.work["sources"] == [f"{front}\\section{{B}}c"]


MAIN = "m" * 20
ENDS = [
    ("appendix", f"{MAIN}\\appendix {MAIN}", MAIN, None),
    ("appendix at the begin", f"mm\\appendix {MAIN}", None, None),
    ("appendices", f"{MAIN}\\begin{{appendices}}x", MAIN, None),
    ("another command", f"{MAIN}\\appendixname x", None, None),
    ("bibliography", f"{MAIN}\\bibliography{{a,b}}\nThanks", f"{MAIN}\nThanks", None),
    ("style", f"{MAIN}\\bibliographystyle{{a}}x", f"{MAIN}x", None),
    ("printed", f"{MAIN}\\printbibliography[a=b]x", f"{MAIN}x", None),
    ("block", f"{MAIN}\\begin{{thebibliography}}{{9}}b\\end{{thebibliography}}\nThanks", f"{MAIN}\nThanks", None),
    ("block without an end", f"{MAIN}\\begin{{references}}b", MAIN, None),
    ("both", f"{MAIN}\\bibliography{{a}}c\\appendix d", f"{MAIN}c", f"{MAIN}c\\appendix d"),
]


@pytest.mark.parametrize(("text", "left", "kept"), [e[1:] for e in ENDS], ids=[e[0] for e in ENDS])
def test_ends(text: str, left: str | None, kept: str | None) -> None:
    def end(keep: bool) -> Any:
        doc = Document("a#0", "", {}, {"sources": [text]})
        return latex_sections.bibliography_as_block(doc, keep_appendix=keep, min_main_share=0.2).work["sources"]

    assert end(False) == [text if left is None else left]
    assert kept is None or end(True) == [kept]


@pytest.mark.parametrize(("before", "cut"), [(20, True), (19, False)])
def test_a_fifth_of_the_paper_lies_before_an_appendix_that_ends_it(before: int, cut: bool) -> None:
    text = "m" * before + "\\appendix" + "." * (91 - before)
    doc = Document("a#0", "", {}, {"sources": [text]})
    latex_sections.bibliography_as_block(doc, keep_appendix=False, min_main_share=0.2)
    assert (doc.work["sources"] == ["m" * before]) is cut


LEFTOVERS = [
    ("inputs", "a\n\\input{b}\n\\include{c}\nd", "a\n\nd\n"),
    ("behind the end", f"a{END}b", "a\n"),
    ("one empty line", "a\n\nb", "a\n\nb\n"),
    ("two", "a\n\n\nb", "a\n\nb\n"),
    ("blanks in them", "\n\na\n \n\t\n  \n  b\n\n\n", "a\n\n  b\n"),
    ("nothing", "\n\n", ""),
    ("literal", "\\verb|\\input{a}|", "\\verb|\\input{a}|\n"),
]


@pytest.mark.parametrize(("text", "left"), [x[1:] for x in LEFTOVERS], ids=[x[0] for x in LEFTOVERS])
def test_leftovers(text: str, left: str) -> None:
    doc = latex_sections.no_leftovers(Document("a#0", "", {}, {"sources": [text]}))
    assert doc.work["sources"] == [left]


@pytest.mark.parametrize(("text", "stays"), [("a", True), ("\n", False), (" \n\t", False), ("", False)])
def test_blank_papers_leave(text: str, stays: bool) -> None:
    found = latex_sections.not_blank(Document("a#0", text, {}))
    assert isinstance(found, Document) if stays else found == Drop("not_blank", 0, 1)


MACROS = [
    ("two in a row", "\\def\\R{r}\\R\\R ", "\\def\\R{r}rr "),
    ("a prefix of another", "\\def\\R{r}\\def\\Rn{n}\\R \\Rn", "\\def\\R{r}\\def\\Rn{n}r n"),
    ("at the very end", "\\def\\R{r}\\R", "\\def\\R{r}r"),
    ("not ASCII", "\\def\\R{\u00e9\b}\\R.", "\\def\\R{\u00e9\b}\u00e9\b."),
    ("escapes of expressions", "\\def\\R{\\1\\g<0>\\}\\R", None),
    ("newcommand", "\\newcommand\\x{a}\\newcommand{\\y}{b}\\x\\y", "\\newcommand\\x{a}\\newcommand{\\y}{b}ab"),
    ("with a star", "\\newcommand*{\\x}{a}\\x", "\\newcommand*{\\x}{a}a"),
    ("provided", "\\providecommand{\\x}{a}\\x", "\\providecommand{\\x}{a}a"),
    ("operator", "\\DeclareMathOperator{\\Tr}{Tr}\\Tr x", "\\DeclareMathOperator{\\Tr}{Tr}\\operatorname{Tr} x"),
    ("arguments", "\\newcommand{\\x}[1]{a#1}\\x{b}", None),
    ("a pattern", "\\def\\x#1.{a}\\x b.", None),
    ("from its place on", "\\def\\x{a}\\x\\renewcommand{\\x}{b}\\x", "\\def\\x{a}a\\renewcommand{\\x}{b}b"),
    ("inside another", "\\def\\a{1\\b}\\def\\b{2}\\a", "\\def\\a{1\\b}\\def\\b{2}12"),
    (
        "redefined inside another",
        "\\def\\b{2}\\def\\a{1\\b}\\a\\def\\b{3}\\a",
        "\\def\\b{2}\\def\\a{1\\b}12\\def\\b{3}13",
    ),
    ("kept apart", "\\def\\x{a}\\em\\x", "\\def\\x{a}\\em a"),
    ("a line break before it", "\\def\\x{a}\\\\x\\x", "\\def\\x{a}\\\\xa"),
    ("structure", "\\renewcommand{\\section}{a}\\section{b}", None),
    ("internals", "\\def\\x{\\@y}\\x", None),
    ("braces inside", "\\def\\x{a{b}\\}}\\x", "\\def\\x{a{b}\\}}a{b}\\}"),
    ("without an end", "\\def\\x{a\\x", None),
]


def macros(text: str, limit: int = 10_000) -> Any:
    doc = Document("a#0", "", {}, {"sources": [text]})
    expand = partial(latex_definitions.expand_definitions, max_inserted_chars=limit)
    found = run_steps(doc, [latex_definitions.collect_definitions, expand])
    return found if isinstance(found, Drop) else found.work["sources"][0]


@pytest.mark.parametrize(("text", "left"), [m[1:] for m in MACROS], ids=[m[0] for m in MACROS])
def test_macros(text: str, left: str | None) -> None:
    assert macros(text) == (text if left is None else left)


def test_a_macro_that_holds_itself_ends() -> None:
    found = macros("\\def\\a{\\a x}\\a")
    assert re.fullmatch(r"\\def\\a\{\\a x\}\\a( x){20}", found)


def test_macros_that_grow_without_end_are_dropped() -> None:
    names = [f"\\{'x' * n}" for n in range(1, 40)]
    text = "".join(f"\\def{a}{{{b}{b}}}" for a, b in itertools.pairwise(names)) + names[0]
    start = time.process_time()
    found = macros(text, 1 << 20)
    assert isinstance(found, Drop)
    assert found.rule == "expand_definitions"
    assert time.process_time() - start < 2
