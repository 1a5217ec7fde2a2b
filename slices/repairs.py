"""The table of repairs: what is wrong in the published recipe, by what rule each defect is repaired, and how a slice's
settings name them.

The default of every slice is the published recipe, byte for byte. ``repairs=all`` chooses every repair of a slice,
``repairs=NAME,...`` some of them. A repair is a function beside the published one, chosen where the slice lists its
steps; so it is part of the lineage of the stage it is in, and choosing it redoes that stage and what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import AfterValidator

ALL, NONE = "all", "none"
SETTING = "repairs of the published recipe: all, none or names of them (rpj help repairs)"


@dataclass(frozen=True)
class Repair:
    """One repair. ``name`` is what the setting ``repairs`` calls it, and the function where one does it alone.

    ``wrong`` is what the published scripts do, ``rule`` what is done instead, ``source`` where the rule is from and
    ``case`` an example: the input, what the published recipe makes of it, what the repair makes of it.
    """

    name: str
    slice: str
    wrong: str
    rule: str
    source: str
    case: tuple[str, str, str]


REPAIRS: tuple[Repair, ...] = (
    Repair(
        "kept_records",
        "common_crawl",
        "a URL is kept if it brought a new digest, and then all of its records: copies stay, and of a URL that comes "
        "twice in a file only the last digest is looked at",
        "decided for each record by its digest; the first one stays, in the order of CCNet's files, across dumps",
        "our own rule: the digest is of the page's text, so equal ones are copies",
        ("url a digest 1, url a digest 1, url a digest 2", "0 1 2 stay", "0 2 stay"),
    ),
    Repair(
        "classified_as_reference",
        "common_crawl",
        "pages stay from a probability of 0.25: three to one against a reference of Wikipedia",
        "pages stay that are rather a reference than not: from 0.5, beside the setting min_wiki_prob",
        "LLaMA: 'we discarded pages not classified as references'",
        ("0.25", "0.25", "dropped: classified_as_reference"),
    ),
    Repair(
        "cut_licence_header",
        "github",
        "the first block comment anywhere that says copyright goes, else every leading line that starts with #, // or "
        "--: shebangs, #include and Markdown titles with it; a second copyright block stays",
        "comments at the head go, in the comment syntax of the file's language, when they speak of copyright or "
        "licence; of line comments up to the last paragraph that does; shebang and coding line stay",
        "LLaMA: 'removed boilerplate, such as headers, with regular expressions'",
        ("#!/bin/sh\n# Copyright 2015 A\necho", "echo", "#!/bin/sh\necho"),
    ),
    Repair(
        "cleaned_key",
        "github",
        "files are told apart before their headers are cut, so copies with another header stay; of equal files the "
        "first stays, and where its ending is not on the list the text is lost",
        "told apart by the cleaned text, with plain line ends and without white space at its end, among files with an "
        "ending on the list",
        "LLaMA deduplicates files 'with exact matches' as the last step, behind the headers",
        ("# Copyright 2015 A\nb; # Copyright 2016 A\nb", "2 files", "1 file"),
    ),
    Repair(
        "min_characters",
        "github",
        "trivial files are published: a require, an empty list",
        "files of less than 50 characters go; the limit is the setting min_characters",
        "our own rule, from reading published files",
        ("'use strict';", "'use strict';", "dropped: min_characters"),
    ),
    Repair(
        "own_ids",
        "books",
        "PG19 and Books3 number their books alike, so the verdict on one decides about the other; the tail of PG19 is "
        "lost because its file is written over",
        "one space of ids, in the order of the setting collections; every book is read",
        "the order of LLaMA's table: Gutenberg, then Books3",
        ("2 books of pg19, 1 of books3", "ids 0 1, 0", "ids 0 1, 2"),
    ),
    Repair(
        "first_of_cluster",
        "books",
        "a book falls only if one with a smaller id is near to itself, so of a chain of copies several stay",
        "of books that hang together by a chain of near-duplicates the first stays",
        "LLaMA: 'removing books with more than 90% content overlap'",
        ("a near c, b near c, in this order: a b c", "a b stay", "a stays"),
    ),
    Repair(
        "strip_gutenberg",
        "books",
        "texts of Project Gutenberg in JSON lines keep header, small print, credits and licence",
        "they go, as from Gutenberg's own files; the near-duplicates are searched without them",
        "our own rule: the licence is no part of the book",
        ("*** START OF THIS PROJECT GUTENBERG EBOOK A ***\nOnce.\n*** END OF THIS PROJECT GUTENBERG EBOOK A ***",) * 2
        + ("Once.",),
    ),
    Repair(
        "join_lines",
        "books",
        "lines end where the typist's did, at about 70 characters, in the middle of sentences",
        "lines of a paragraph are joined when each end was needed at the width of the book; verse, tables, lists stay",
        "our own rule, from reading published books",
        ("a" * 60 + "\n" + "b" * 60 + "\n" + "c" * 9,) * 2 + (f"{'a' * 60} {'b' * 60} {'c' * 9}",),
    ),
    Repair(
        "plain_italics",
        "books",
        "words in italics stand between underscores",
        "the underscores go, where they stand around words",
        "our own rule: _ is how transcribers mark italics",
        ("It _was_ so, ___ my_word.", "It _was_ so, ___ my_word.", "It was so, ___ my_word."),
    ),
    Repair(
        "any_encoding",
        "arxiv",
        "one file that is not UTF-8 costs the whole paper, which hits papers of before 2010",
        "each file by its byte order mark, else UTF-8, else what inputenc declares, else Windows-1252; what is no text "
        "is no source, and only that file goes",
        "WHATWG's Encoding Standard for latin1; inputenc's own names",
        ("caf\xe9 in Latin-1", "dropped: strict_utf8", "caf\xe9 in Latin-1"),
    ),
    Repair(
        "remove_comments",
        "arxiv",
        "the character before a comment goes with it, a bare % stays, % in addresses and verbatim text is cut",
        "comments as TeX reads them: by the parity of backslashes, the line end with them, not in what is literal; "
        "comment environments and \\iffalse too; before all else",
        "TeX; the issues of google-research/arxiv-latex-cleaner (8, 51, 73, 82, 91, 116)",
        ("word% c\nnext \\url{a%20b}", "wor\nnext \\url{", "wordnext \\url{a%20b}"),
    ),
    Repair(
        "assemble_document",
        "arxiv",
        "files stand in the order of the archive, one without a header is lost, \\input stays as text",
        "one document: the file with a class and \\begin{document}, with what it reads in where it reads it; what lies "
        "behind \\end{document} and what nothing reads in is left out",
        "TeX; arXiv's 00README for the main file",
        (
            "a.tex: \\section{A} \\input{b} z; b.tex: read in",
            "\\section{A} \\input{b} z\n",
            "\\section{A} read in z",
        ),
    ),
    Repair(
        "any_header",
        "arxiv",
        "\\paragraph never counts as a header (a | is missing), nor does a header with a blank before its brace; a "
        "paper without headers is lines without text",
        "any sectioning command, blanks before its brackets, searched behind \\begin{document}; without one the text "
        "begins there",
        "LLaMA: 'we removed everything before the first section'; its setting is keep_abstract",
        ("x \\paragraph{A} b", "", "\\paragraph{A} b"),
    ),
    Repair(
        "expand_definitions",
        "arxiv",
        "a character outside printable ASCII in a macro costs the paper; of two macros in a row the first alone is "
        "written out; \\newcommand\\x and \\renewcommand are not seen",
        "values are put in as plain text, to a depth of 20, and nothing behind them is used up",
        "LLaMA: 'inline-expanded definitions and macros written by users'",
        ("\\def\\R{\xe9}\n\\section{A} \\R\\R ", "dropped: ascii_macros", "\\section{A} \xe9\xe9 "),
    ),
    Repair(
        "bibliography_as_block",
        "arxiv",
        "all behind the first \\bibliography or \\appendix goes, the paper too where it is a supplement that begins so",
        "the bibliography goes as a block; the text ends at an appendix only if a fifth of it lies before",
        "LLaMA removes 'the bibliography'; its settings are keep_appendix and min_main_share",
        ("\\section{A} b\n\\bibliography{c}\nThanks.", "\\section{A} b\n", "\\section{A} b\n\nThanks."),
    ),
    Repair(
        "no_leftovers",
        "arxiv",
        "\\input, \\include and \\end{document} stay in the text, and runs of empty lines where comments stood",
        "they go; of several empty lines one stays",
        "reading published papers beside their sources",
        (
            "\\section{A}\n\n\n\\include{b}\n\\end{document}",
            "\\section{A}\n\n\n\\include{b}\n\\end{document}",
            "\\section{A}\n",
        ),
    ),
    Repair(
        "not_blank",
        "arxiv",
        "a paper of which only line ends are left is published",
        "it is dropped, with the reason",
        "reading published papers",
        ("no header; none", "\n", "dropped: not_blank"),
    ),
    Repair(
        "without_categories",
        "wikipedia",
        "the names of a page's categories, or the keys to sort it by, stay as text at its end",
        "links to categories go as a whole, by their names in the 20 languages; [[:Category:A|b]] keeps its label",
        "MediaWiki: such a link puts the page into the category and shows nothing",
        ("Text.\n\n[[Category:A|B]]\n[[:Category:C]]", "Text.\n\nB\n:Category:C", "Text.\n\n:Category:C"),
    ),
    Repair(
        "render_templates",
        "wikipedia",
        "every template vanishes, those inside sentences too: 'It is less than  from Italy'",
        "a small table of them is rendered: convert (in its own unit), lang, nihongo, circa, as of, frac, "
        "nowrap, dashes",
        "the documentation of these templates in the English Wikipedia",
        ("It is {{convert|72|km|mi}} to {{lang|it|Roma}}.", "It is  to .", "It is 72 km to Roma."),
    ),
    Repair(
        "no_bare_headings",
        "wikipedia",
        "headings stay above what was removed: references, tables, lists of templates",
        "a heading goes if no text is left below it up to the next one of its level or above",
        "our own rule, from reading published articles",
        ("A\n\n== B ==\n=== C ===\n{{reflist}}", "A\n\nB\n\nC", "A"),
    ),
    Repair(
        "no_emptied",
        "wikipedia",
        "brackets, blanks and items of lists stay where a template was all that was in them",
        "brackets of nothing but blanks and , ; : go, and such signs at their edges; of blanks in a row one stays; "
        "lines of blanks go",
        "our own rule, from reading published articles; HTML for blanks",
        (
            "Albania ({{a}}, {{b}}; {{c}}), in  Europe\n* {{d}}\nE",
            "Albania (, ; ), in  Europe\n \nE",
            "Albania, in Europe\nE",
        ),
    ),
    Repair(
        "order_by_score",
        "stackexchange",
        "answers are ordered by their scores as text: 9 before 85 before 100 before -1 before -5",
        "by the number, highest first; in the order of the file among equals; what is no number is 0",
        "LLaMA: 'we sorted the answers by score (from highest to lowest)'",
        ("9 100 10 -1 -5", "9 100 10 -5 -1", "100 10 9 -1 -5"),
    ),
    Repair(
        "plain_title",
        "stackexchange",
        "the title is plain text and is read as HTML, so angle brackets in it are lost; the body is on its line",
        "it stays as it is, on a line of its own",
        "the dump: titles are text",
        ("List<String> | <p>Why?</p>", "Q: List Why?", "Q: List<String>\nWhy?"),
    ),
    Repair(
        "line_breaks",
        "stackexchange",
        "<br> gives nothing, so the words around it are glued",
        "it ends the line",
        "HTML",
        ("A | b<br>c<br/>\nd", "Q: A bc\nd", "Q: A b\nc\nd"),
    ),
    Repair(
        "list_items",
        "stackexchange",
        "<ol> gives an asterisk with nothing behind it, and an item with attributes none",
        "every <li> gives an asterisk and a blank before its text, <ol> gives none",
        "our own rule, from reading published threads",
        ("A | b<ol><li>c</li></ol>", "Q: A b\n*\n*c", "Q: A b\n* c"),
    ),
)


def repairs_of(name: str) -> list[Repair]:
    """The repairs of a slice, in the order of the table."""
    return [repair for repair in REPAIRS if repair.slice == name]


def chosen_from(name: str) -> AfterValidator:
    """Validates the setting ``repairs`` of a slice: ``all``, ``none`` or names, as names in the order of the table.

    However they are spelled, the same repairs are the same setting. Raises ValueError for a name that the slice lacks.
    """

    def chosen(value: tuple[str, ...]) -> tuple[str, ...]:
        known = [repair.name for repair in repairs_of(name)]
        if value == (ALL,):
            return tuple(known)
        if value == (NONE,):
            return ()
        for wanted in value:
            if wanted not in known:
                raise ValueError(_unknown(wanted, name, known))
        return tuple(each for each in known if each in value)

    return AfterValidator(chosen)


def _unknown(wanted: str, name: str, known: Sequence[str]) -> str:
    if wanted in (ALL, NONE):
        return f"{wanted!r} stands alone"
    others = [repair.slice for repair in REPAIRS if repair.name == wanted]
    if others:
        return f"{wanted!r} is a repair of {others[0]}: give {others[0]}.repairs={wanted}"
    return f"{wanted!r} is no repair of {name}; expected all, none or some of {', '.join(known) or 'no repairs yet'}"


def as_markdown(repairs: Iterable[Repair] = REPAIRS) -> str:
    """The table as a document, for ``rpj help repairs``. The first line is ``# title``."""
    lines = [
        "# Repairs of the published recipe: what was wrong, the rule, its source, a case",
        "",
        "The default is the recipe as published. `rpj run --all --set repairs=all` repairs all of it, and so does",
        "`recipe: corrected` in a configuration (`configs/redpajama-1t-corrected.yaml`). `--set github.repairs=NAME`",
        "chooses for one slice. A repair that is chosen later redoes the stage that it is in, and what follows.",
        "What each repair changes on real input: `rpj help recipe`.",
    ]
    for repair in repairs:
        given, published, repaired = map(repr, repair.case)
        lines += [
            "",
            f"## {repair.slice}: {repair.name}",
            "",
            f"- wrong: {repair.wrong}",
            f"- rule: {repair.rule}",
            f"- source: {repair.source}",
            f"- case: {given} gave {published}, gives {repaired}",
        ]
    return "\n".join(lines) + "\n"
