"""Repairs of Stack Exchange: rows of the table."""

from slices.repairs.table import Repair

REPAIRS: tuple[Repair, ...] = (
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
    Repair(
        "quote_marks",
        "stackexchange",
        "what others are quoted with stands among the words of the one who answers",
        "each line of a quote begins with > and a blank",
        "Markdown, in which these posts were written; the addresses of links are the setting link_addresses",
        (
            "A | <p>b</p>\n<blockquote>\n<p>c</p>\n</blockquote>\n<p>d</p>",
            "Q: A b\n\nc\n\nd",
            "Q: A b\n> c\nd",
        ),
    ),
)
