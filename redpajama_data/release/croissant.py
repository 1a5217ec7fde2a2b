"""``croissant.json``: the release in MLCommons' format for data sets, with the SHA-256 of every file.

Format: Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html); checked by ``mlcroissant`` in
``scripts/release_loads.py``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from redpajama_data.release.description import Facts, Release
from redpajama_data.release.parquet import COLUMNS

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_FORMATS = {"parquet": "application/x-parquet", "jsonl.zst": "application/zstd"}


def encode(of: Release) -> bytes:
    """The file: indented JSON."""
    return msgspec.json.format(msgspec.json.encode(build(of)), indent=1) + b"\n"


def build(of: Release) -> dict[str, Any]:
    """The description of a release. Of Parquet it has a record set a slice, with the columns."""
    terms = {address for name in of.files for _, address, _ in of.facts.get(name, Facts()).terms}
    files = [
        {
            "@type": "cr:FileObject",
            "@id": shard.path,
            "name": shard.path,
            "contentUrl": shard.path,
            "contentSize": f"{shard.bytes} B",
            "encodingFormat": _FORMATS[of.ending],
            "sha256": shard.sha256,
        }
        for own in of.files.values()
        for shard in own
    ]
    sets = [
        {
            "@type": "cr:FileSet",
            "@id": f"files-of-{name}",
            "name": f"files-of-{name}",
            "containedIn": [{"@id": shard.path} for shard in own],
            "encodingFormat": _FORMATS[of.ending],
            "includes": f"data/{name}/*.{of.ending}",
        }
        for name, own in of.files.items()
    ]
    found: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": of.name,
        "description": f"A reproduction of RedPajama-Data-1T, made by rpj {of.source.version}: {', '.join(of.files)}.",
        "license": sorted(terms) or "unknown",
        "url": of.url or "https://github.com/togethercomputer/RedPajama-Data",
        "citeAs": "RedPajama: an Open Dataset for Training Large Language Models (arXiv:2411.12372)",
        "version": f"1.0.0+rpj{of.source.version}",
        "datePublished": of.date,
        "distribution": [*files, *(sets if of.parquet else [])],
        "recordSet": [_record_set(name) for name in of.files] if of.parquet else [],
    }
    return found


def _record_set(name: str) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": column,
            "description": what,
            "dataType": "sc:Text",
            "source": {"fileSet": {"@id": f"files-of-{name}"}, "extract": {"column": column}},
        }
        for column, what in COLUMNS.items()
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/id"}, "field": fields}
