"""Repairs of arXiv: rows of the table."""

from slices.repairs.table import Repair

REPAIRS: tuple[Repair, ...] = (
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
)
