"""A stub of the Hugging Face hub on loopback: data set repositories, as far as an upload asks for them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml


class Hub:
    """What the stub holds: files of the one repository, large objects by their SHA-256; and what it does wrong.

    ``objects_left`` is how many large objects it takes before it refuses, ``damaged`` a path whose content it loses.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.large: dict[str, str] = {}  # path: SHA-256 of those that are large objects
        self.objects: dict[str, bytes] = {}
        self.objects_left = 1_000_000
        self.damaged = ""
        self.commits = 0
        self.created: list[dict[str, Any]] = []

    def tree(self) -> list[dict[str, Any]]:
        """The files as the hub lists them."""
        listed = []
        for path, data in sorted(self.files.items()):
            shown = data[:-1] if path == self.damaged else data
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data)}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + shown).hexdigest()
            if path in self.large:
                sha256 = hashlib.sha256(shown).hexdigest()
                entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 130}
            listed.append(entry)
        return listed

    def commit(self, lines: list[dict[str, Any]]) -> None:
        """One commit, in the form of the hub: a head, then files."""
        self.commits += 1
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
                self.large.pop(value["path"], None)
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]
                self.large[value["path"]] = value["oid"]
            elif line["key"] == "deletedFile":
                del self.files[value["path"]]


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """A stub at work."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def answer(self, value: object, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if "/tree/" in path:
                self.answer(hub.tree())
            elif path.endswith("/whoami-v2"):
                self.answer({"type": "user", "name": "me"})
            else:
                self.answer({"id": "me/data", "sha": "0" * 40, "siblings": [{"rfilename": name} for name in hub.files]})

        def do_PUT(self) -> None:
            data = self.body()
            hub.objects[self.path.rsplit("/", 1)[-1]] = data
            self.answer({})

        def do_POST(self) -> None:
            data = self.body()
            if self.path.endswith("/repos/create"):
                hub.created.append(json.loads(data))
                self.answer({"url": f"{hub.url}/datasets/me/data", "id": "me/data"})
            elif self.path.endswith("/validate-yaml"):
                front = yaml.safe_load(json.loads(data)["content"].split("---\n")[1])
                self.answer({"errors": [] if front.get("configs") else [{"message": "no configs"}], "warnings": []})
            elif "/preupload/" in self.path:
                paths = [file["path"] for file in json.loads(data)["files"]]
                modes = ["lfs" if path.endswith(".parquet") else "regular" for path in paths]
                found = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in zip(paths, modes, strict=True)]
                self.answer({"files": found})
            elif self.path.endswith("/objects/batch"):
                self.batch(json.loads(data)["objects"])
            elif "/commit/" in self.path:
                hub.commit([json.loads(line) for line in data.splitlines() if line.strip()])
                done = {"commitUrl": f"{hub.url}/datasets/me/data/commit/{'0' * 40}", "commitOid": "0" * 40}
                self.answer({**done, "success": True})
            else:
                self.answer({"error": f"the stub does not know {self.path}"}, 404)

        def batch(self, objects: list[dict[str, Any]]) -> None:
            hub.objects_left -= len(objects)
            if hub.objects_left < 0:
                return self.answer({"error": "no more for now"}, 403)
            actions = [{"upload": {"href": f"{hub.url}/objects/{each['oid']}"}} for each in objects]
            found = [{**each, "actions": action} for each, action in zip(objects, actions, strict=True)]
            return self.answer({"transfer": "basic", "objects": found})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
