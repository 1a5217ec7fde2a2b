"""Repairs of the references that the classifier is trained on: rows of the table. No slice chooses them."""

from slices.repairs.table import Repair

REPAIRS: tuple[Repair, ...] = (
    Repair(
        "every_reference",
        "references",
        "only <ref> without a name opens a reference, all of it on one line, and text between two counts as one; an "
        "address ends at its first &, comma, apostrophe, asterisk or semicolon",
        "every <ref ...> to its </ref>, over lines, not in comments; entities are read before the address; copies of "
        "archives are the page they hold; each address once",
        "MediaWiki's rules for links; chosen by rpj extract references --recipe corrected",
        (
            '<ref name="a">{{cite web|url=http://a.org/?b=1&amp;c=2|title=d}}</ref> <REF>http://e.org/f,g.</REF>',
            "",
            "http://a.org/?b=1&c=2 http://e.org/f,g",
        ),
    ),
)
