"""Loads a release with the libraries that people have, each in an environment of its own, without a network.

    python scripts/release_loads.py RELEASE [--jsonl RELEASE] [--envs DIR]

Environments are made once (DIR, default build/release-envs) from the package index; without one nothing is shown, which
is said. Every reader must give as many documents as the manifest says, and meta as text.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

ENVIRONMENTS = {  # name: packages, checks
    "newest": (
        ["datasets", "duckdb", "polars", "pandas", "pyarrow", "mlcroissant"],
        ["datasets", "duckdb", "polars", "pandas", "pyarrow", "croissant"],
    ),
    "datasets-4.0.0": (["datasets==4.0.0"], ["datasets"]),
}


def main() -> None:
    """Make the environments, run the checks in them, print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("--jsonl", type=Path, help="the same release with --format jsonl: read as its card says")
    parser.add_argument("--envs", type=Path, default=Path("build/release-envs"))
    parser.add_argument("--check", help=argparse.SUPPRESS)  # in an environment: do this one
    given = parser.parse_args()
    if given.check:
        return globals()[f"check_{given.check}"](Expected(given.release))
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(given.envs / "cache"),
    }
    failed = False
    for name, (packages, checks) in ENVIRONMENTS.items():
        python = prepared(given.envs / name, packages)
        if python is None:
            print(f"{name}: not shown, {', '.join(packages)} cannot be installed here")
            continue
        wanted = [(check, given.release) for check in checks]
        if given.jsonl is not None and name == "newest":
            wanted += [("duckdb_jsonl", given.jsonl), ("polars_jsonl", given.jsonl)]
        for check, folder in wanted:
            call = [python, Path(__file__), "--check", check, folder.resolve()]
            done = subprocess.run(call, env=environment, capture_output=True, text=True)
            print(f"{name}: {check}: {'loads' if done.returncode == 0 else 'FAILS'}")
            if done.returncode:
                print(done.stderr[-3000:], file=sys.stderr)
                failed = True
    sys.exit(1 if failed else 0)


def prepared(folder: Path, packages: list[str]) -> Path | None:
    """The Python of an environment with the packages; None when they cannot be installed."""
    python, stamp = folder / "bin" / "python", folder / "packages.txt"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        venv.create(folder, with_pip=True, clear=True)
        call = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        if subprocess.run(call, stderr=subprocess.DEVNULL).returncode:
            return None
        stamp.write_text("\n".join(packages))
    return python


class Expected:
    """A release and what it must hold: per slice the number of documents of the files' descriptions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents: dict[str, int] = {}
        for shard in json.loads((self.folder / "manifest.json").read_text())["shards"]:
            name = shard["path"].split("/")[1]
            self.documents[name] = self.documents.get(name, 0) + shard["documents"]
        self.total = sum(self.documents.values())


def whole_meta(meta: str) -> None:
    """The meta is the text of an object, with its numbers and dates as they were."""
    assert isinstance(meta, str), type(meta)
    assert isinstance(json.loads(meta), dict)


def check_datasets(expected: Expected) -> None:
    """Every configuration of the card, streaming and not."""
    datasets = importlib.import_module("datasets")
    for config, count in {"default": expected.total, **expected.documents}.items():
        for streaming in (False, True):
            rows = list(datasets.load_dataset(str(expected.folder), config, split="train", streaming=streaming))
            assert len(rows) == count, (config, streaming, len(rows), count)
            for row in rows:
                whole_meta(row["meta"])


def check_duckdb(expected: Expected) -> None:
    """One query over all files."""
    duckdb = importlib.import_module("duckdb")
    query = f"SELECT slice, count(*), count(json(meta)) FROM '{expected.folder}/data/*/*.parquet' GROUP BY slice"
    found = {name: (rows, metas) for name, rows, metas in duckdb.sql(query).fetchall()}
    assert found == {name: (count, count) for name, count in expected.documents.items()}


def check_polars(expected: Expected) -> None:
    """Lazily, all files together."""
    polars = importlib.import_module("polars")
    frame = polars.scan_parquet(f"{expected.folder}/data/*/*.parquet").collect()
    assert frame.height == expected.total
    assert frame.schema["meta"] == polars.String
    assert frame["id"].n_unique() == expected.total


def check_pandas(expected: Expected) -> None:
    """Folder by folder."""
    pandas = importlib.import_module("pandas")
    for name, count in expected.documents.items():
        frame = pandas.read_parquet(expected.folder / "data" / name)
        assert len(frame) == count
        for meta in frame["meta"]:
            whole_meta(meta)


def check_pyarrow(expected: Expected) -> None:
    """As one data set, and the row groups by their statistics."""
    dataset = importlib.import_module("pyarrow.dataset")
    found = dataset.dataset(expected.folder / "data", format="parquet")
    assert found.count_rows() == expected.total
    parquet = importlib.import_module("pyarrow.parquet")
    for path in (expected.folder / "data").rglob("*.parquet"):
        metadata = parquet.read_metadata(path)
        column = metadata.row_group(0).column(0)
        assert all((metadata.row_group(0).sorting_columns, column.has_offset_index, column.has_column_index))
        ids = parquet.read_table(path, columns=["id"])["id"].to_pylist()
        assert ids == sorted(ids)


def check_croissant(expected: Expected) -> None:
    """Valid, and its record sets give the documents."""
    mlcroissant = importlib.import_module("mlcroissant")
    dataset = mlcroissant.Dataset(str(expected.folder / "croissant.json"))
    issues = dataset.metadata.issues
    assert not [*issues.errors, *issues.warnings], issues.report()
    for name, count in expected.documents.items():
        rows = list(dataset.records(name))
        assert len(rows) == count, (name, len(rows), count)


def check_duckdb_jsonl(expected: Expected) -> None:
    """The shards as they are, read as the card says."""
    duckdb = importlib.import_module("duckdb")
    for name, count in expected.documents.items():
        query = (
            f"SELECT count(*) FROM read_json('{expected.folder}/data/{name}/*.jsonl.zst', "
            "format='newline_delimited', columns={text: 'VARCHAR', meta: 'JSON'}) WHERE json_valid(meta)"
        )
        assert duckdb.sql(query).fetchall() == [(count,)]


def check_polars_jsonl(expected: Expected) -> None:
    """The shards as they are, read as the card says."""
    pl = importlib.import_module("polars")
    for name, count in expected.documents.items():
        schema = {"text": pl.String, "meta": pl.String}
        assert pl.scan_ndjson(f"{expected.folder}/data/{name}/*.jsonl.zst", schema=schema).collect().height == count


if __name__ == "__main__":
    main()
