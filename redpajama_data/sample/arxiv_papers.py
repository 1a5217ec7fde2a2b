"""LaTeX sources for the sample: an ordinary paper out of parts, and the parts that make one odd."""

from __future__ import annotations

from typing import NamedTuple

from redpajama_data.sample.lexicon import World
from redpajama_data.sample.prose import EXPOSITORY, Chance, paragraph, subject, wrapped

_MATHS = (
    "Let $X$ be a compact space and let $f\\colon X \\to \\mathbb{R}$ be continuous. Then $f$ attains its maximum.",
    "For all $n \\geq 1$ we have $\\sum_{k=1}^{n} k = n(n+1)/2$, which follows by induction.",
    "We write $\\|x\\|$ for the norm of $x \\in E$ and $B_r$ for the ball of radius $r$.",
    "The proof of the second claim is the same, with $\\varepsilon$ in place of $\\delta$.",
    "About 12\\% of the samples were discarded, see Table~\\ref{tab:runs} and the discussion below.",
    "The error is of order $O(h^2)$ as long as $h \\leq h_0$, cf.\\ \\cite{first}.",
)
_EQUATION = (
    "\\begin{equation}\n  \\label{eq:%s}\n"
    "  u_t = \\alpha \\, \\Delta u + %d\\, u (1 - u), \\qquad u(0) = u_0 .\n\\end{equation}"
)
_TABLE = "\\begin{table}\n\\caption{Runs.}\\label{tab:runs}\n\\begin{tabular}{lr}\n%s\\end{tabular}\n\\end{table}"
BIBLIOGRAPHY = (
    "\\begin{thebibliography}{9}\n\\bibitem{first} A. Author, \\emph{A first paper}, J. Exp. Stud. 12 (1998), 1--20.\n"
    "\\bibitem{second} B. Author, Preprint, 2004.\n\\end{thebibliography}\n"
)
APPENDIX = "\\appendix\n\\section{Tables}\nThe remaining tables are given here without comment.\n"
MACROS = (
    "\\newcommand{\\R}{\\mathbb{R}}\n\\newcommand*{\\norm}{\\Vert x \\Vert}\n\\def\\eps{\\varepsilon}\n"
    "\\newcommand{\\pair}[2]{\\langle #1, #2 \\rangle}\n\\renewcommand{\\phi}{\\varphi}\n"
    "\\newcommand{\\commented}{not taken} % a comment follows\n\\newcommand\\bare{not taken}\n"
)


class Parts(NamedTuple):
    """What makes a paper: everything before the first section, the sections, and what follows them."""

    preamble: str
    sections: list[str]
    end: str


def _section(chance: Chance, world: World, title: str) -> str:
    pieces = [f"\\section{{{title}}}\\label{{sec:{title.split()[0].lower()}}}"]
    for _ in range(chance.between(2, 4)):
        pieces.append(wrapped(paragraph(chance, world, EXPOSITORY, 2, 4) + " " + chance.pick(_MATHS), 78))
        if chance.below(3) == 0:
            pieces.append(_EQUATION % (chance.digits(4), chance.between(2, 9)))
        if chance.below(4) == 0:
            rows = "".join(f"{noun} & {chance.between(3, 90)} \\\\\n" for noun in chance.some(world.nouns, 3))
            pieces.append(_TABLE % rows)
    return "\n\n".join(pieces) + "\n"


def parts(chance: Chance, macros: str = "") -> Parts:
    """A paper of three to five sections on a subject of chance."""
    name, world = subject(chance)
    noun, adjective = chance.pick(world.nouns), chance.pick(world.adjectives)
    preamble = (
        "\\documentclass[11pt]{article}\n\\usepackage{amsmath,amssymb}\n\\usepackage{graphicx}\n"
        f"{macros}\\title{{On the {adjective} {noun}}}\n"
        f"\\author{{{chance.pick(world.people)} \\\\ {chance.pick(world.places)}}}\n"
        f"\\begin{{document}}\n\\maketitle\n\\begin{{abstract}}\n"
        f"{wrapped(paragraph(chance, world, EXPOSITORY, 2, 3))}\n"
        "\\end{abstract}\n\n"
    )
    between = chance.some(
        (f"The {noun.capitalize()} Model", "Preliminaries", "Experiments", f"Previous work on {name}"), 3
    )
    titles = ["Introduction", *between[: chance.between(1, 3)], "Conclusions"]
    return Parts(preamble, [_section(chance, world, title) for title in titles], "\\end{document}\n")


def whole(paper: Parts, before_end: str = "") -> str:
    """One source out of the parts; ``before_end`` comes between the last section and the end."""
    return paper.preamble + "\n".join(paper.sections) + before_end + paper.end


def with_comments(source: str) -> str:
    """The same source with every kind of comment, and with per cent signs that are none."""
    lines = source.split("\n")
    for at in range(len(lines) - 6, 12, -7):
        lines[at:at] = ["% TODO: check this paragraph again", "  % an indented remark"] if at % 2 else ["%"]
    for at in range(14, len(lines) - 4, 9):
        if lines[at] and not lines[at].startswith("%"):
            lines[at] += "% joined to the next line" if at % 2 else "%"
    return "\n".join(lines)
