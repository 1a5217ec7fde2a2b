"""Serves an export on this machine alone: the page, and the texts beside it, behind an address nobody can guess.

Only the loopback address is listened on. Every path begins with a random token, and a request must name this host: a
page of another site can reach neither (a name of its own that leads to 127.0.0.1 is no way around).
"""

from __future__ import annotations

import hmac
import secrets
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from redpajama_data.errors import UsageError
from redpajama_data.explorer.export import PAGE
from redpajama_data.explorer.text_file import INDEX, TextFile
from redpajama_data.io import storage
from redpajama_data.io.shards import to_json

HOST = "127.0.0.1"
_LONGEST = 1_000  # characters of a search
_TOKEN_BYTES = 24


class Server(ThreadingHTTPServer):
    """A server of an export; ``url`` is what to open. Texts are served when there are some beside the page.

    Raises :class:`UsageError` when the folder holds no page, or the port is in use.
    """

    daemon_threads = True

    def __init__(self, folder: str, port: int = 0) -> None:
        page = storage.read_bytes(storage.join(folder, PAGE))
        if page is None:
            raise UsageError(f"{folder}: no {PAGE} there. Make it: rpj explore ROOT --export {folder}")
        self.page = page
        beside = storage.read_bytes(storage.join(folder, INDEX)) is not None
        self.texts = TextFile(folder) if beside else None  # else the page has them
        self.token = secrets.token_urlsafe(_TOKEN_BYTES)
        self.searching = threading.Lock()  # one search at a time: each looks through all texts
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UsageError(f"port {port} of {HOST}: {error.strerror}. Give another --port.") from error

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"


def _is_number(text: str, below: int) -> bool:
    return len(text) < 10 and text.isascii() and text.isdecimal() and int(text) < below


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rpj", ""
    timeout = 60  # seconds of silence after which a connection is closed

    def do_GET(self) -> None:
        """The page, a text, a search."""
        target = urllib.parse.urlsplit(self.path)
        texts = self.server.texts
        _, token, *rest = target.path.split("/")
        host = f"{HOST}:{self.server.server_port}"
        if self.headers.get("Host") != host or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._send(404, b"not here\n", "text/plain")
            return
        match rest:
            case [""]:
                self._send(200, self.server.page, "text/html; charset=utf-8")
            case ["text", number] if texts and _is_number(number, len(texts)):
                self._send_json(texts.at(int(number)))
            case ["search"] if texts:
                asked = urllib.parse.parse_qs(target.query).get("q", [""])[0][:_LONGEST].lower().split()
                with self.server.searching:
                    self._send_json(list(texts.search(asked)))
            case _:
                self._send(404, b"not here\n", "text/plain")

    def _send_json(self, value: Any) -> None:
        self._send(200, to_json(value), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a terminal is for the address."""
