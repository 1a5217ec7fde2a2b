"""What the sources said of their sizes and prices, where no listing says it: data, with where each number is from."""

from __future__ import annotations

TIB = 1 << 40

CRAWL_BYTES = {
    "2019-30": 7.80 * TIB,
    "2020-05": 10.00 * TIB,
    "2021-04": 10.04 * TIB,
    "2022-05": 8.63 * TIB,
    "2023-06": 9.05 * TIB,
}
"""Compressed WET files of a dump, as Common Crawl announced it; collected by eugenesiow/LLM-Insights (cc/README.md),
whose values for two other dumps are those of Common Crawl's own blog."""

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
