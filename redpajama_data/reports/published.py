"""What was published of the corpus: tokens of each slice by two references, and which parts a slice's source has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reference = Literal["redpajama", "llama"]
REFERENCES: dict[str, Reference] = {"redpajama-1t": "redpajama", "llama": "llama"}  # by their names for users


@dataclass(frozen=True)
class Published:
    """Published token counts of a slice, in billions, each rounded to a billion by its authors.

    ``redpajama``: README of RedPajama-Data-1T, GPT-NeoX (Pythia) tokens. ``llama``: the column beside it in the
    announcement of RedPajama, estimated there from table 1 of the LLaMA paper, in LLaMA's own tokens.
    """

    redpajama: int
    llama: int


PUBLISHED = {
    "common_crawl": Published(878, 852),
    "c4": Published(175, 190),
    "github": Published(59, 100),
    "books": Published(26, 25),
    "arxiv": Published(28, 33),
    "wikipedia": Published(24, 25),
    "stackexchange": Published(20, 27),
}
_BILLION = 1_000_000_000


@dataclass(frozen=True)
class Rerun:
    """What came of a slice when another team ran the published scripts."""

    documents: int
    tokens: int


# Source: configs/reproduced_redpajama of data-juicer; tokens are rounded to 10 M but for GitHub. RedPajama published no
# numbers of documents. At 2,054 tokens a file its 59 B of GitHub are 28.7 M files: the number of files differs, not the
# tokenizer.
RERUN = {
    "github": Rerun(73_208_524, 150_390_270_060),
    "books": Rerun(205_183, 25_960_000_000),
    "arxiv": Rerun(1_724_497, 30_670_000_000),
    "stackexchange": Rerun(29_825_086, 20_500_000_000),
}


def published_tokens(name: str, against: Reference) -> int | None:
    """The published tokens of a slice, None when it has none."""
    figures = PUBLISHED.get(name)
    return None if figures is None else getattr(figures, against) * _BILLION


@dataclass(frozen=True)
class Part:
    """A part of a slice's source that the reference has: its raw files are known by ``pattern``. ``note`` is what is
    published of its size, ``share`` its part of the slice by bytes."""

    name: str
    pattern: str
    note: str = ""
    share: float | None = None


# Sources: README of RedPajama-Data-1T (dumps, languages); its data_prep/book (chunks of 2,000 books: 14 of PG19, 99 of
# Books3); The Pile (Gao et al. 2020, table 1): Books3 100.96 GiB, PG-19 10.88 GiB.
_PG19, _BOTH = 10.88, 111.84  # GiB
_BOOKS3 = (
    "up to 198,000 books in RedPajama's chunks, and 100.96 of the 111.84 GiB that The Pile (2020, table 1) has of both "
    "collections. It is no longer distributed"
)
_LANGUAGES = (
    "bg", "ca", "cs", "da", "de", "en", "es", "fr", "hr", "hu", "it", "nl", "pl", "pt", "ro", "ru", "sl", "sr", "sv",
    "uk",
)  # fmt: skip
_DUMPS = ("2019-30", "2020-05", "2021-04", "2022-05", "2023-06")  # RedPajama's; LLaMA's are not published
PARTS: dict[str, list[Part]] = {
    "books": [
        Part("PG19 train", r"pg19-train", "28,000 books, 10.88 GiB with test and validation", _PG19 / _BOTH),
        Part("PG19 test", r"pg19-test"),
        Part("PG19 validation", r"pg19-validation"),
        Part("Books3", r"books3-train", _BOOKS3, 1 - _PG19 / _BOTH),
    ],
    "common_crawl": [Part(f"dump {dump}", rf"(^|[/-]){dump}(/|$)", "one of five dumps") for dump in _DUMPS],
    "wikipedia": [Part(f"{code}wiki", rf"(^|/){code}wiki-[^/]*$", "one of 20 languages") for code in _LANGUAGES],
}
