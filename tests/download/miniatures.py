"""Every source in small: its listings as the real ones are written, over the files of the embedded sample."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from redpajama_data.download.client import Answer, NotThere

CRAWL_SHARDS = 5000
COMMIT = "1588ec454efa1a09f29cd18ddd04fe05fc8653a2"
CRAWL = "https://data.commoncrawl.org"
HUB = "https://huggingface.co"
GOOGLE = "https://storage.googleapis.com"
WIKIMEDIA = "https://dumps.wikimedia.org"
ARCHIVE = "https://archive.org"
GUTENBERG = "https://gutenberg.pglaf.org"


class Reply(NamedTuple):
    body: bytes
    headers: Mapping[str, str] = {}


class Site:
    """What each address answers; it is also the client that the tests of listings ask."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.asked: list[str] = []

    def put(self, url: str, body: bytes | Any, **headers: str) -> None:
        """``body`` as it is, or as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies[url] = Reply(data, {name.replace("_", "-"): value for name, value in headers.items()})

    def find(self, url: str) -> Reply | None:
        """The reply for an address; queries that only say which fields, or which state, are passed over."""
        if url in self.replies:
            return self.replies[url]
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        kept = "&".join(f"{key}={query[key][0]}" for key in ("prefix", "pageToken", "cursor") if key in query)
        return self.replies.get(f"{parts.scheme}://{parts.netloc}{parts.path}" + (f"?{kept}" if kept else ""))

    def ask(self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        self.asked.append(url)
        reply = self.find(url)
        if reply is None:
            raise NotThere(f"{url}: not there (HTTP 404). Check the selection, or choose another.")
        return Answer(url, 200, reply.headers, reply.body)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def crawl(site: Site, dump: str, files: Mapping[str, bytes], *, listed: int = 0) -> None:
    """``wet.paths.gz``, and the files under segments; of ``listed`` lines only the first are there."""
    names = [*files, *(f"CC-MAIN-x-{n:05d}.warc.wet.gz" for n in range(len(files), listed))]
    lines = [f"crawl-data/CC-MAIN-{dump}/segments/1.{n}/wet/{name}" for n, name in enumerate(names)]
    listing = gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    site.put(f"{CRAWL}/crawl-data/CC-MAIN-{dump}/wet.paths.gz", listing)
    for line, data in zip(lines, files.values(), strict=False):
        site.put(f"{CRAWL}/{line}", data)


def hub(site: Site, repository: str, files: Mapping[str, bytes], *, folder: str = "", pages: int = 2) -> None:
    """The commit, the tree in pages by the Link header, the files; a small one is not in LFS."""
    api = f"{HUB}/api/datasets/{repository}"
    site.put(f"{api}/revision/main", {"id": repository, "sha": COMMIT})
    entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f"{folder}/more".lstrip("/")}]
    for path, data in files.items():
        entry: dict[str, Any] = {"type": "file", "oid": sha1(data), "size": len(data), "path": path}
        if not path.endswith(".md"):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        entries.append(entry)
        site.put(f"{HUB}/datasets/{repository}/resolve/{COMMIT}/{path}", data)
    tree = f"{api}/tree/{COMMIT}/{folder}".rstrip("/")
    step = -(-len(entries) // pages)
    for n in range(pages):
        here = tree + (f"?cursor={n}" if n else "")
        more = {"link": f'<{tree}?recursive=true&cursor={n + 1}>; rel="next"'} if n + 1 < pages else {}
        site.put(here, entries[n * step : (n + 1) * step], **more)


def bucket(site: Site, name: str, prefix: str, objects: Mapping[str, bytes], *, pages: int = 1) -> None:
    """A page of the JSON API for each part; sizes and generations are strings there."""
    items = [
        {
            "name": key,
            "size": str(len(data)),
            "generation": "1679000000000001",
            "md5Hash": base64.b64encode(hashlib.md5(data).digest()).decode(),
            "updated": "2023-03-20T00:00:00.000Z",
        }
        for key, data in objects.items()
    ]
    step = max(1, -(-len(items) // pages))
    for n in range(pages):
        page: dict[str, Any] = {"kind": "storage#objects"}
        if items:
            page["items"] = items[n * step : (n + 1) * step]
        if n + 1 < pages:
            page["nextPageToken"] = f"page{n + 1}"
        token = f"&pageToken=page{n}" if n else ""
        site.put(f"{GOOGLE}/storage/v1/b/{name}/o?prefix={prefix}{token}", page)
    for key, data in objects.items():
        site.put(f"{GOOGLE}/{name}/{key}", data)


def pg19(site: Site, splits: Mapping[str, Mapping[str, bytes]], metadata: bytes) -> None:
    """The bucket of PG19: a folder a split, and ``metadata.csv``."""
    bucket(site, "deepmind-gutenberg", "metadata.csv", {"metadata.csv": metadata})
    for split, texts in splits.items():
        names = {f"{split}/{number}.txt": text for number, text in texts.items()}
        bucket(site, "deepmind-gutenberg", f"{split}/", names, pages=2)


def manifest(tars: Mapping[str, bytes]) -> bytes:
    """arXiv's manifest of sources."""
    entries = "".join(
        f"<file><content_md5sum>{'0' * 32}</content_md5sum><filename>src/{escape(name)}</filename>"
        f"<md5sum>{md5(data)}</md5sum><num_items>3</num_items><seq_num>1</seq_num><size>{len(data)}</size>"
        f"<timestamp>2023-03-02 01:02:03</timestamp><yymm>{name[10:14]}</yymm></file>\n"
        for name, data in tars.items()
    )
    return f'<?xml version="1.0"?>\n<arXivSRC>\n{entries}<timestamp>Thu Mar  2 2023</timestamp></arXivSRC>'.encode()


def arxiv(site: Site, tars: Mapping[str, bytes]) -> None:
    """The bucket, where who asks pays."""
    site.put("s3://arxiv/src/arXiv_src_manifest.xml", manifest(tars))
    for name, data in tars.items():
        site.put(f"s3://arxiv/src/{name}", data)


def dumpstatus(
    site: Site, wiki: str, date: str, files: Mapping[str, bytes], *, status: str = "done", base: str = WIKIMEDIA
) -> None:
    """``dumpstatus.json`` with the job of multistream files, and another of the same pages."""
    listed = {
        name: {"size": len(data), "url": f"/{wiki}/{date}/{name}", "md5": md5(data), "sha1": sha1(data)}
        for name, data in files.items()
    }
    plain = {f"{wiki}-{date}-pages-articles.xml.bz2": {"size": 1, "url": "/x", "md5": "0" * 32, "sha1": "0" * 40}}
    jobs = {
        "articlesdump": {"status": "done", "updated": "2023-03-21 00:00:00", "files": plain},
        "articlesmultistreamdump": {"status": status, "updated": "2023-03-21 00:00:00", "files": listed},
    }
    site.put(f"{base}/{wiki}/{date}/dumpstatus.json", {"version": "0.8", "jobs": jobs})
    for name, data in files.items():
        site.put(f"{base}/{wiki}/{date}/{name}", data)


def item(site: Site, name: str, files: Mapping[str, bytes]) -> None:
    """An item's metadata; the archive's own file among its files has a hash that is not its own."""
    listed: list[dict[str, str]] = [
        {"name": file, "source": "original", "size": str(len(data)), "md5": md5(data), "sha1": sha1(data),
         "crc32": "00000000", "mtime": "1712016000", "format": "7z"}
        for file, data in files.items()
    ]  # fmt: skip
    listed.append({"name": f"{name}_files.xml", "source": "metadata", "md5": "f" * 32, "format": "Metadata"})
    site.put(f"{ARCHIVE}/metadata/{name}", {"server": "ia800000.us.archive.org", "dir": f"/1/{name}", "files": listed})
    for file, data in files.items():
        site.put(f"{ARCHIVE}/download/{name}/{file}", data)


def catalogue(site: Site, rows: str, texts: Mapping[str, bytes]) -> None:
    """Project Gutenberg's catalogue on its mirror."""
    head = "Text#,Type,Issued,Title,Language,Authors,Subjects,LoCC,Bookshelves\n"
    date = "Mon, 20 Mar 2023 00:00:00 GMT"
    site.put(f"{GUTENBERG}/cache/epub/feeds/pg_catalog.csv", (head + rows).encode(), last_modified=date)
    for number, text in texts.items():
        site.put(f"{GUTENBERG}/cache/epub/{number}/pg{number}.txt", text)


def whole(site: Site, sample: Path) -> None:
    """All sources over the raw files of the sample in ``sample``."""
    for dump in ("2022-05", "2023-06"):
        files = {name: data for name, data in _files(sample / "common_crawl" / dump).items() if _is_sound(data)}
        crawl(site, dump, files, listed=CRAWL_SHARDS * len(files))  # all are in shard 0
    c4 = _files(sample / "c4")
    hub(site, "allenai/c4", {f"en/{name}": data for name, data in c4.items()}, folder="en")
    bucket(site, "mine", "github_", _files(sample / "github"), pages=2)
    splits, rows = {}, []
    for n, split in enumerate(("train", "validation", "test")):
        lines = map(json.loads, (sample / f"books/pg19-{split}.jsonl").read_text().splitlines())
        books = [book for book in lines if isinstance(book.get("text"), str)]  # the sample breaks one on purpose
        numbers = [str((n + 1) * 1000 + k) for k in range(len(books))]
        splits[split] = {number: book["text"].encode() for number, book in zip(numbers, books, strict=True)}
        rows += [
            f'{number},"{book["short_book_title"]}",{book["publication_date"]},{book["url"]}\n'
            for number, book in zip(numbers, books, strict=True)
        ]
    pg19(site, splits, "".join(rows).encode())
    arxiv(site, _files(sample / "arxiv"))
    wikipedia = _files(sample / "wikipedia")
    dumpstatus(site, "enwiki", "20230320", {name: data for name, data in wikipedia.items() if name[:2] == "en"})
    item(site, "dewiki-20230320", {name: data for name, data in wikipedia.items() if name[:2] == "de"})
    item(site, "stackexchange", _files(sample / "stackexchange"))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _is_sound(data: bytes) -> bool:
    """False for the file of gzip members that the sample damages on purpose: no walk through it accepts that one."""
    try:
        return bool(gzip.decompress(data))
    except (OSError, EOFError, zlib.error):
        return False
