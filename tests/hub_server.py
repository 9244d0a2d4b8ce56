"""A small hub on loopback, for the real client of huggingface_hub."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from hub_contents import Hub, Refusal, Repository
from hub_routes import ROUTES


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers at its `address`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    # As on the real hub, large files lie on another host, which must not be shown the token.
    hub.storage = f"http://localhost:{server.server_port}/storage"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class Lost(Exception):
    """The connection is cut."""


class Answers:
    """What a connection's answers are written to, until it is lost."""

    def __init__(self, handler: Handler, file: Any) -> None:
        self._handler, self._file, self.closed = handler, file, False

    def write(self, content: bytes) -> int:
        hub = self._handler.hub
        part = content if hub.last is None else content[: max(0, hub.last - hub.sent)]
        hub.sent += len(part)
        self._file.write(part)
        if len(part) < len(content):
            raise Lost
        return len(content)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        self.closed = True


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.wfile: Any = Answers(self, self.wfile)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except Lost:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        self.hub.requests.append((self.command, unquote(path)))
        try:
            from_ = self.hub.failing_from
            if self.hub.failing and (from_ is None or len(self.hub.requests) > from_):
                raise Refusal(self.hub.failing, "down")
            for method, pattern, handle in ROUTES:
                if self.command in method and (found := re.fullmatch(pattern, path)):
                    parts = {name: unquote(value) for name, value in found.groupdict().items()}
                    status, headers, content = handle(self, body, **parts)
                    break
            else:
                raise Refusal(404, f"no route for {self.command} {path}")
        except Refusal as refusal:
            status, headers, content = refusal.status, refusal.headers, b"{}"
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        if self.command == "GET" and "/resolve/" in path and self.hub.meanwhile is not None:
            self.hub.meanwhile()
            self.hub.meanwhile = None

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self._read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self._read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _read(self, size: int) -> bytes:
        hub = self.hub
        there = size if hub.last_taken is None else min(size, max(0, hub.last_taken - hub.taken))
        hub.taken += there
        content = self.rfile.read(there)
        if there < size:
            raise Lost
        return content

    def user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.hub.users.get(token)

    def readable(self, name: str) -> Repository:
        """The repository; the hub hides a private one as if it were missing."""
        user, repository = self.user(), self.hub.repositories.get(name)
        owner = name.partition("/")[0]
        if repository is None or (repository.private and user != owner):
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        if repository.gated and user != owner:
            raise Refusal(403, "Access to this model is restricted", "GatedRepo")
        return repository

    def writable(self, name: str) -> Repository:
        repository = self.readable(name)
        if self.user() != name.partition("/")[0]:
            raise Refusal(403, "You don't have the rights to push here")
        return repository

    def revision(self, repository: Repository, revision: str) -> str:
        sha = repository.branches.get(revision, revision)
        if sha not in repository.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha
