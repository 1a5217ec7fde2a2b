"""Repairs of Common Crawl: rows of the table."""

from slices.repairs.table import Repair

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
)
