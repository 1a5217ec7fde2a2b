"""The query of the recipe in the user's own project of Google Cloud, and its export into the user's own bucket."""

from __future__ import annotations

import importlib
from typing import Any

from redpajama_data.errors import InputUnavailable, MissingModel
from slices.sources.sizes import BIGQUERY_USD_PER_TIB, TIB

DATASET, TABLE = "rpj", "github"
LOCATION = "US"  # where the public data lie: the destination must be there too
QUERY = """\
SELECT *
FROM `bigquery-public-data.github_repos.contents`
JOIN `bigquery-public-data.github_repos.files` USING (id)
JOIN `bigquery-public-data.github_repos.licenses` USING (repo_name)
JOIN `bigquery-public-data.github_repos.languages` USING (repo_name)
WHERE (license LIKE 'mit%' OR license LIKE 'bsd%' OR license LIKE 'apache%')
  AND content IS NOT NULL
"""
"""As the recipe has it: the licences in brackets, no content that is null. SELECT * keeps the columns, and their order,
that the published metadata has."""


def usd_of(scanned: int) -> float:
    """What a query costs by the bytes it scans, in cents rounded up."""
    return -(-scanned * BIGQUERY_USD_PER_TIB * 100 // TIB) / 100


def dry_run(project: str) -> int:
    """The bytes that the query would scan; asking is free."""
    bigquery = _library()
    client = bigquery.Client(project=project)
    settings = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False)
    return int(_asked(lambda: client.query(QUERY, job_config=settings, location=LOCATION)).total_bytes_processed)


def export(project: str, bucket: str, prefix: str) -> None:
    """Run the query into ``<project>.rpj.github``, and write that table to ``gs://bucket/prefix*.gz``, gzipped JSON
    lines. A table of an earlier run is exported as it is, and not paid for again."""
    bigquery = _library()
    client = bigquery.Client(project=project)
    table = f"{project}.{DATASET}.{TABLE}"
    if not _is_there(client, table):
        dataset = bigquery.Dataset(f"{project}.{DATASET}")
        dataset.location = LOCATION
        _asked(lambda: client.create_dataset(dataset, exists_ok=True))
        settings = bigquery.QueryJobConfig(
            destination=table,
            write_disposition="WRITE_EMPTY",
            maximum_bytes_billed=dry_run(project),
        )
        _asked(lambda: client.query(QUERY, job_config=settings, location=LOCATION).result())
    settings = bigquery.ExtractJobConfig(destination_format="NEWLINE_DELIMITED_JSON", compression="GZIP")
    # "*": a file holds at most 1 GB of data, so there are many
    target = f"gs://{bucket}/{prefix}*.gz"
    _asked(lambda: client.extract_table(table, target, job_config=settings, location=LOCATION).result())


def _is_there(client: Any, table: str) -> bool:
    not_found = importlib.import_module("google.api_core.exceptions").NotFound
    try:
        return bool(client.get_table(table).num_rows)
    except not_found:
        return False


def _asked(request: Any) -> Any:
    errors = importlib.import_module("google.api_core.exceptions").GoogleAPIError
    try:
        return request()
    except errors as error:
        raise InputUnavailable(f"BigQuery: {error}. Mend that, then run the same command again.") from error


def _library() -> Any:
    try:
        return importlib.import_module("google.cloud.bigquery")
    except ImportError as error:
        raise MissingModel(
            "the query needs Google's library: pip install 'redpajama-data[gcp]'. A bucket that has the export already "
            "needs none: give --bucket alone."
        ) from error
