"""One document out of the files of a paper, in the order in which TeX reads them: the repair of
:func:`filters.latex.join_sources`. Linear in what is put together.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from filters.latex_marks import Mark, marks
from redpajama_data.document import Document, Drop

DEPTH = 32  # files inside files
CALL_COST = 256  # characters that a file counts for beside its own, so that many empty ones are bounded too

_PLAIN_TEX = re.compile(r"\\(?:bye|magnification|end)(?![a-zA-Z@{])")
_TOPLEVEL = re.compile(r"^[ \t]*(\S{1,300})[ \t]{1,20}toplevelfile[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class _File:
    name: str
    text: str
    marks: list[Mark]

    def first(self, kind: str) -> Mark | None:
        return next((mark for mark in self.marks if mark.kind == kind), None)


class _TooLongError(Exception):
    pass


def assemble_document(doc: Document, *, max_chars: int) -> Document | Drop:
    """Put the files of a paper together: ``doc.work["sources"]`` becomes one text for each document in it.

    A document is a file with a class and a ``\\begin{document}`` that no other reads in, or the one that 00README
    names; without one, what begins a document; without that, plain TeX with a ``\\bye``, or else every file as it is.
    What is read in stands where it is read. The document ends at its ``\\end{document}``. Files that nothing reads in
    are left out. A command that names no file of the paper, or one that is being read already, is taken out;
    ``meta["unresolved_inputs"]`` counts the former in the text. Drops a paper of more than ``max_chars`` characters.
    """
    sources: list[str] = doc.work["sources"]
    names: list[str] = doc.work.get("names") or [""] * len(sources)
    files: dict[str, _File] = {}
    toplevel = None
    known: list[list[Mark]] = doc.work.pop("marks", None) or [list(marks(source)) for source in sources]
    for n, (given, text, found) in enumerate(zip(names, sources, known, strict=True)):
        name = _normal(given) or f"source {n}"
        if not is_readme(name):
            files[name] = _File(name, text, found)
        elif match := _TOPLEVEL.search(text):
            toplevel = match[1]
    writer = _Writer(files, max_chars)
    try:
        assembled = [writer.document(main) for main in _mains(files, toplevel)]
    except _TooLongError:
        return Drop("assemble_document", f"over {max_chars} characters", max_chars)
    if writer.unresolved:
        doc.meta["unresolved_inputs"] = writer.unresolved
    doc.work["sources"], doc.work["assembled"] = assembled, True
    return doc


class _Writer:
    """Writes documents with the files that they read in."""

    def __init__(self, files: Mapping[str, _File], left: int) -> None:
        self.files, self.left = files, left
        self.out: list[str] = []
        self.unresolved = 0

    def document(self, main: str) -> str:
        self.out = []
        begin = self.files[main].first("begin")
        self._write(self.files[main], (main,), 0, 0 if begin is None else begin.end)
        return "".join(self.out)

    def _write(self, file: _File, chain: tuple[str, ...], at: int, text_begins: int) -> None:
        """The file from ``at`` on; inputs that are not there count from ``text_begins`` on."""
        end = file.first("end")
        stop = len(file.text) if end is None or end.begin < text_begins else end.begin
        self.left -= max(0, stop - at) + CALL_COST
        if self.left < 0:
            raise _TooLongError
        for mark in file.marks:
            if mark.kind != "input" or mark.begin < at or mark.end > stop:
                continue
            self.out.append(file.text[at : mark.begin])
            at = mark.end
            target = _target(mark.argument, (posixpath.dirname(chain[0]), posixpath.dirname(file.name)), self.files)
            if target is None:
                self.unresolved += mark.begin >= text_begins
            elif target not in chain and len(chain) < DEPTH:
                inner = self.files[target]
                begin = inner.first("begin")  # of a file that can also be a document of its own, only its text
                start = 0 if begin is None else begin.end
                self._write(inner, (*chain, target), start, start if mark.begin >= text_begins else len(inner.text))
        self.out.append(file.text[at:stop])


def is_readme(name: str) -> bool:
    """True for the file in which arXiv notes which file is the main one."""
    return posixpath.basename(name).startswith("00README")


def _normal(name: str) -> str | None:
    """A name in the archive without ``./`` and the like; None for one that leads out of it, or none."""
    normal = posixpath.normpath(name)
    return None if normal.startswith(("/", "..")) or normal == "." else normal


def _target(argument: str, folders: tuple[str, ...], files: Mapping[str, _File]) -> str | None:
    """The file that an ``\\input`` means: in each folder by its name, then with ``.tex``."""
    for folder in dict.fromkeys(folders) if argument else ():
        named = _normal(posixpath.join(folder, argument))
        for name in (named, f"{named}.tex"):
            if name in files:
                return name
    return None


def _mains(files: Mapping[str, _File], toplevel: str | None) -> list[str]:
    """The files that documents begin with, in the order of the archive."""
    if toplevel is not None and _normal(toplevel) in files:
        return [posixpath.normpath(toplevel)]
    read_in = {
        _target(mark.argument, ("", posixpath.dirname(file.name)), files)
        for file in files.values()
        for mark in file.marks
        if mark.kind == "input"
    }
    begun = [name for name, file in files.items() if file.first("begin")]
    documents = [name for name in begun if files[name].first("class")] or begun  # the class may be in what it reads in
    found = [name for name in documents if name not in read_in] or documents[:1]
    return found or [name for name, file in files.items() if _PLAIN_TEX.search(file.text)] or list(files)
