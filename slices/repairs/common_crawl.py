"""Repairs of Common Crawl: rows of the table."""

from slices.repairs.table import Repair

REPAIRS: tuple[Repair, ...] = (
    Repair(
        "lines_of_dump",
        "common_crawl",
        "lines are compared within one of 5,000 shards of a dump, so nearly all repeated lines stay",
        "compared within the dump, as hash_in_mem: all; in the same memory",
        "RedPajama's README: 'paragraph-level dedup' of a dump; the setting is hash_in_mem",
        ("shard: a b; shard: b c", "a b; b c", "a; c"),
    ),
    Repair(
        "keep_first_lines",
        "common_crawl",
        "a repeated line goes from every document, so that text which two pages quote is lost",
        "its first occurrence stays, in the order of shards, documents and lines, whatever becomes of that document",
        "our own rule: a dedup keeps one; CCNet's own code drops all",
        ("shard: a b | b c", "a | c", "a b | c"),
    ),
    Repair(
        "no_foreign_edges",
        "common_crawl",
        "pages begin and end with navigation in another language, where a site was translated and its text was not",
        "at each end the lines before the first of the page's language go, if one is surely of another (0.8)",
        "our own rule, from reading published pages",
        (
            "Zur\u00fcck\nThis is what it says.\nDruckereinrichtung",
            "Zur\u00fcck\nThis is what it says.\nDruckereinrichtung",
            "This is what it says.",
        ),
    ),
    Repair(
        "kept_records",
        "common_crawl",
        "a URL is kept if it brought a new digest, and then all of its records: copies stay, and of a URL that comes "
        "twice in a file only the last digest is looked at",
        "decided for each record by its digest; the first one stays, in the order of CCNet's files, across dumps; a "
        "record without a digest is no copy",
        "our own rule: the digest is of the page's text, so equal ones are copies",
        ("url a digest 1, url a digest 1, url a digest 2", "0 1 2 stay", "0 2 stay"),
    ),
    Repair(
        "distinct_texts",
        "common_crawl",
        "a digest is of the page as crawled: pages that differ in their title or in lines that the dedup of lines took "
        "away are published with the same text",
        "a second key behind the first: of what is kept, the first record with each text stays, in the same order",
        "our own rule, from the real input: one page of 92 is there twice",
        ("digest 1 text a, digest 2 text a, digest 3 text b", "0 1 2 stay", "0 2 stay"),
    ),
    Repair(
        "classified_as_reference",
        "common_crawl",
        "pages stay from a probability of 0.25: three to one against a reference of Wikipedia",
        "pages stay that are rather a reference than not: from 0.5, beside the setting min_wiki_prob",
        "LLaMA: 'we discarded pages not classified as references'",
        ("0.25", "0.25", "dropped: classified_as_reference"),
    ),
)
