"""Repairs of the books: rows of the table."""

from slices.repairs.table import Repair

REPAIRS: tuple[Repair, ...] = (
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
)
