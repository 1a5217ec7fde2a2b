"""Repairs of Wikipedia: rows of the table."""

from slices.repairs.table import Repair

REPAIRS: tuple[Repair, ...] = (
    Repair(
        "namespaces_of_dump",
        "wikipedia",
        "links to files and categories are known by a table of 20 languages; in any other they stay as text, and a "
        "dump of another language is passed over",
        "by the names that the dump gives in its siteinfo, beside those of the table; every dump that is there is read "
        "unless languages are asked for",
        "MediaWiki: namespaces -2, 6 and 14 of the export's siteinfo; the setting is languages",
        ("ltg: Mola.\n[[Fails:A.png|thumb|B]][[Kategoreja:C]]", "Mola.\nthumb|BKategoreja:C", "Mola.\nC"),
    ),
    Repair(
        "own_dates",
        "wikipedia",
        "where the name of a dump has no date (enwiki-latest-...) its records carry that of another dump, 20230320",
        "the date in the file's name; where it has none, the day of the page's own revision",
        "MediaWiki: a dump says of itself no date, of each revision its time; the setting date is for pages without",
        ("enwiki-latest-pages-articles.xml: 2016-05-01T07:08:29Z", "20230320", "20160501"),
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
)
