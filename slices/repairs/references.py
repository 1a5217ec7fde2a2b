"""Repairs of what the classifier of references is trained on: rows of the table. No slice chooses them."""

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
    Repair(
        "balanced_corpus",
        "classifier",
        "repeated pages stay (the check of digests never finds one), the others are the first of each file and not a "
        "sample, one host can be a tenth of a class, and the classes differ in size",
        "each page once, by its text and by its digest; one of both classes is cited; at most per_host of a host; of "
        "what is left both classes give as many, drawn and mixed by a seed",
        "our own rule; chosen by rpj train classifier --recipe corrected, with --per-host and --seed",
        (
            "cited: a a b; crawl: c c b d",
            "wiki a, wiki a, wiki b, cc c, cc c, cc b",
            "wiki a, wiki b, cc c, cc d",
        ),
    ),
)
