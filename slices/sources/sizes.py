"""What the sources said of their sizes and prices, where no listing says it: data, with where each number is from."""

from __future__ import annotations

import os

from redpajama_data.yaml_file import read_yaml

TIB = 1 << 40

_DUMPS = read_yaml(os.path.join(os.path.dirname(__file__), "crawl_dumps.yaml"))[0]
CRAWL_BYTES: dict[str, float] = {dump: tib * TIB for dump, tib in _DUMPS["tib"].items()}
"""Compressed WET files of a dump, as Common Crawl announced it: ``crawl_dumps.yaml``, which says who collected it."""

CRAWL_ORIGIN: str = _DUMPS["origin"]

WET_FILE_BYTES = 131_000_000
"""Mean of a WET file, for other dumps: 2019-09 has 64,000 files of 7.62 TiB together (Common Crawl's blog, 2019-03)."""

S3_USD_PER_GB = 0.09
"""Transfer out of S3 us-east-1 to anywhere else, by a reader's bill of 2026 (graviton.at); inside the region nothing.
What AWS asks of your account may differ."""

BIGQUERY_USD_PER_TIB = 6.25
"""On-demand price of a query by the bytes it scans (tylerhillery.com, 2024-12); the first TiB of a month was free then,
which is not counted on here."""

PG19_BYTES_WRITTEN = 2
"""The books are on the disk twice: as texts, and in the three JSON lines files made of them."""
